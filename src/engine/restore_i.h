/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the restore engine share. restore.c has the threads, restore_plan.c walks the
 * trees, restore_visit.c fills windows, restore_work.c compares, reads and opens blobs,
 * restore_file.c writes files, restore_meta.c sets metadata and makes what is no file, restore_delete.c removes.
 *
 * A file (struct rfile) lives from the planner until its last blob:
 *
 *  (1) `left` counts the blobs that have not been dealt with, in this window and in later ones:
 *      written, found to be there already, or failed. Whoever brings it to 0 finishes and frees
 *      the file. A file that starts with 0 is finished by a job of its own.
 *  (2) Before its blobs are written, the parts of a file that exists are compared by one job each;
 *      a window's comparisons are over before its first write.
 *  (3) When the run is stopped, everything is counted down all the same, but nothing is written.
 */
#ifndef HF_ENGINE_RESTORE_I_H
#define HF_ENGINE_RESTORE_I_H

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "base/group.h"
#include "base/root.h"
#include "base/strings.h"
#include "engine/restore.h"
#include "repo/opened.h"
#include "repo/tree.h"

enum {
	WINDOW_FILES_FIRST = 1 << 10, /* so that the workers need not wait long at first */
	WINDOW_FILES_FAR =
		4 << 10, /* the same, where the end of a window leaves the line idle */
	WINDOW_FILES = 32 << 10,
	WINDOW_WANTS = 64 << 10,
	RANGE_MAX = 16 << 20,
	RANGE_MIN = 2 << 20,
	RANGE_GAP = 256 << 10, /* bytes that are rather read than skipped */
	/*
	 * The same of a store to which each request is a way: a pack of 16 MiB as a rule, with the blob
	 * that made it full. Each of the workers has a range, seven where there are two processors; of
	 * one that is poured it holds only some MiB.
	 */
	RANGE_FAR_MAX = 20 << 20,
	/* And where requests wait for no others: with 20 MiB it takes as long and 80 MiB more memory. */
	RANGE_PIPED_MAX = 8 << 20,
	RANGE_FAR_MIN = 4 << 20,
	RANGE_FAR_GAP = 1 << 20,
	RANGE_WRITE = 64 << 20, /* a blob that many want is given to several workers */
	MAX_OPEN_FILES = 100,   /* that are written in several pieces */
	N_FILE_LOCKS = 64,
	MAX_WORKERS = 64,
};

/* The metadata of an item that is to be restored. */
struct rmeta {
	enum hf_node_type type;
	uint32_t uid, gid;
	mode_t perm;
	struct timespec times[2]; /* access, modification */
	struct hf_xattr *xattrs;  /* one block with everything in it; owned */
	size_t n_xattrs;
};

/* A folder of the target. Counted: the planner's level, and each file and item in windows. */
struct rdir {
	atomic_uint refs;
	bool is_fresh;   /* made by this run (or would be): nothing of others is in it */
	size_t path_len; /* relative to the target; "" is the target itself */
	char path[];
};

/* Eight files, of which hf_restore_verify() will want to know whether they were written. */
struct rmark {
	_Atomic uint8_t bits;
};

struct rfile {
	struct rdir *dir;
	struct rmeta meta;
	uint64_t size;
	uint64_t n_blobs;
	atomic_uint_fast64_t left;
	atomic_uint_fast64_t bytes_kept; /* of blobs that were there already */
	struct rmark *mark; /* where hf_restore_verify() sees that it was written */
	uint8_t mark_bit;
	bool exists;       /* a regular file, which the parts are compared with */
	bool must_replace; /* it has other names, which must not change */
	bool is_size_ok;   /* the file that exists has the size that it must have */
	atomic_bool is_dirty;
	atomic_bool has_failed;
	/* Under its lock, one of hf_restore.file_locks: */
	bool is_open_for_all; /* made, or cut to size, for writing */
	int fd;               /* -1: not kept open */
	char name[];
};

/* One place that wants one blob. */
struct rwant {
	struct rfile *file; /* NULL: dealt with */
	uint64_t off;       /* in the file */
	uint32_t pack;      /* number in the index */
	uint32_t offset, length, raw_length;
	uint32_t number; /* of the index entry */
};

static inline uint32_t
want_size(const struct rwant *w)
{
	return w->raw_length != 0 ? w->raw_length : w->length - 32;
}

/* The wants of one file within a window, to be compared with what exists. */
struct rpart {
	struct rfile *file;
	size_t first, n;
};

/* Another name for a file. */
struct rlink {
	struct rdir *dir;
	struct timespec mtime;
	char *target; /* path of the first name, relative to the target */
	char name[];
};

/* A folder of which everything is planned. */
struct rdone {
	struct rdir *dir;
	struct rmeta meta;
};

struct rrange {
	size_t first, n;  /* wants */
	uint64_t written; /* bytes that come of it, which may be many more than are read */
	uint32_t pack, offset, length;
};

struct rwindow {
	struct rwant *wants;
	struct rpart *parts;
	struct rfile **files; /* those without blobs to write */
	struct rlink **links;
	struct rdone *dones;
	struct rrange *ranges;
	size_t n_wants, n_parts, n_files, n_links, n_dones, n_ranges;
	size_t cap_parts, cap_files, cap_links, cap_dones, cap_ranges;
	size_t n_planned; /* files in all */
};

/*
 * A range that was read. Its blobs are taken by the worker that read it and, once there is no other
 * work, by all of them: else the last ranges would each be the business of one processor while the
 * others wait. What is taken and by how many is guarded by share_lock.
 */
struct rshare {
	const struct rwant *wants;
	size_t n, next;  /* of them, and the first that nobody has taken */
	uint64_t offset; /* in the pack, of the first byte of raw */
	uint8_t *raw;
	unsigned n_helpers; /* other workers that are at it */
};

/* Wants of one blob, which has to be read from elsewhere. */
struct rlater {
	const struct rwant *wants;
	size_t n;
};

struct rworker {
	struct hf_restore *r;
	/*
	 * Of its range: read once all of it is dealt with, since reading takes a connection, and those
	 * that there are may belong to ranges on their way whose blobs wait for buffers. Guarded by
	 * share_lock.
	 */
	struct rlater *later;
	size_t n_later, cap_later;
	struct rshare share; /* n == next: nothing to share */
	struct hf_reader *reader;
	struct hf_buf raw;            /* a range, or as much of it as is there at a time */
	struct hf_opened_set *opened; /* blobs of it; borrowed while there are some */
	struct hf_many *many;         /* for what is compared */
	struct hf_buf plain;          /* what is compared, or was read again */
};

/* The name of an owner that was looked up last, and its number. */
struct rowner {
	char *name;
	uint32_t id;
};

enum { MARK_CHUNK = 64 << 10, MARK_CHUNKS = 64 << 10 };

struct hf_restore {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_restore_options opt;
	struct hf_restore_events ev;
	struct hf_restore_progress progress;
	struct hf_root root; /* fd -1: dry run, and there is no target */
	bool is_verifying;
	struct hf_bits *survey; /* nothing is read but noted here: the packs; or NULL */
	bool is_root_user;
	struct rowner last_user, last_group; /* the planner's */
	struct hf_strings warned;            /* the planner's: attributes named in warnings */
	atomic_bool is_stopped;
	atomic_int n_open;
	pthread_mutex_t file_locks[N_FILE_LOCKS];
	struct rmark *marks[MARK_CHUNKS]; /* one bit per file, in the order of the walk */

	struct rworker *workers;
	unsigned n_workers;
	struct hf_opened_sets *sets;
	pthread_mutex_t share_lock;
	pthread_cond_t shared; /* there is a range to share, or one less to come */
	size_t n_ranges_left;  /* of the window, that have not been written */

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	struct rwindow *window; /* for the conductor, or NULL */
	bool is_working;        /* the conductor has one */
	bool is_over;           /* no more windows */
	void (*job)(struct rworker *w, struct rwindow *window, size_t i);
	struct rwindow *job_window;
	size_t n_jobs;
	atomic_size_t next_job;
	unsigned round; /* of jobs */
	unsigned n_busy;
};

/* True once the user wants to stop. */
bool restore_is_stopped(struct hf_restore *r);

/* Reports an error at a path relative to the target, and takes it. */
void restore_error(struct hf_restore *r, const char *rel, struct hf_err *e);
void restore_item(
	struct hf_restore *r, enum hf_restore_action action, const char *rel, uint64_t size);

/* Gives a window to the conductor and waits until it has no other. */
void restore_submit(struct hf_restore *r, struct rwindow *w);

struct rwindow *restore_window_new(void);

/* Room for one more element at the end of an array that grows. */
#define RESTORE_PUSH(array, n, cap)                                                            \
	((n) == (cap) ? (array) = restore_grow(array, sizeof *(array), &(cap)) : (array), (n)++)
void *restore_grow(void *array, size_t size, size_t *cap);

/* restore_plan.c: walks the tree; the caller's thread. */
struct hf_err *restore_plan(struct hf_restore *r, const struct hf_id *tree);

/* "dir/name" into `buf`; false (ENAMETOOLONG): too long for any call. */
struct rpath {
	char s[PATH_MAX];
};
bool restore_path(const struct rdir *dir, const char *name, struct rpath *out);

static inline struct rdir *
rdir_ref(struct rdir *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

static inline void
rdir_unref(struct rdir *d)
{
	if (d != NULL && atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
		free(d);
}

/* A descriptor of the folder with these open flags, or -1 with errno. */
int restore_open_dir(struct hf_restore *r, const struct rdir *d, int flags);

/* restore_compare.c and restore_work.c: jobs of a window. */
void restore_compare_job(struct rworker *w, struct rwindow *window, size_t i);
void restore_write_job(struct rworker *w, struct rwindow *window, size_t i);
/* Takes part in the ranges of others until all of the window are written. */
void restore_help(struct rworker *w);
void restore_make_ranges(struct hf_restore *r, struct rwindow *window);
/* Bytes of a range, as a rule: what is larger has one blob, or has blobs that many want. */
size_t restore_range_max(const struct hf_restore *r);

/* restore_file.c */
struct rfile *restore_file_new(struct rdir *dir, struct hf_str name);
/* `is_zero`: the data is known to be zeros, which need not be written where they become holes. */
void restore_file_write(struct hf_restore *r, struct rfile *f, uint64_t off,
	struct hf_bytes data, bool is_zero);
bool restore_is_zero(struct hf_bytes data);
void restore_file_fail(struct hf_restore *r, struct rfile *f, struct hf_err *e); /* takes e */
void restore_file_dirty(struct hf_restore *r, struct rfile *f);
/* `n` of its blobs are dealt with; the file may be gone afterwards. */
void restore_file_done(struct hf_restore *r, struct rfile *f, uint64_t n);
/* A file without blobs to write: makes it if need be, sets metadata, frees it. */
void restore_file_finish(struct hf_restore *r, struct rfile *f);

/* restore_meta.c */
void restore_meta_init(struct hf_restore *r, const struct hf_node *n, struct rmeta *out);
void restore_meta_clear(struct rmeta *m);
/* Of an open file or folder. HF_ECORRUPT never; permission errors of non-root users are none. */
struct hf_err *restore_meta_fd(struct hf_restore *r, int fd, const struct rmeta *m) HF_MUST;
/* Of dirfd/name, links not followed. */
struct hf_err *restore_meta_at(
	struct hf_restore *r, int dirfd, const char *name, const struct rmeta *m) HF_MUST;
/* Makes a link, pipe or device where nothing is. */
struct hf_err *restore_make_special(
	int dirfd, const char *name, const struct hf_node *n) HF_MUST;
/* Whether the overwrite rules allow to change what exists. */
bool restore_may_overwrite(
	struct hf_restore *r, const struct timespec *mtime, const struct stat *existing);
/* The conductor's: the other names, then the folders. */
void restore_make_links(struct hf_restore *r, struct rwindow *window);
void restore_finish_dirs(struct hf_restore *r, struct rwindow *window);

/* restore_delete.c */
/* Removes dirfd/name, which is in the way: whatever it is, full folders only with --delete. */
struct hf_err *restore_remove(struct hf_restore *r, int dirfd, const char *name) HF_MUST;

/* The names that a tree has, in order, to tell what else is in a folder. */
struct rnames {
	struct hf_buf text, offs;
};
#define RNAMES_INIT ((struct rnames){HF_BUF_SPOOL(HF_MAX_TREE), HF_BUF_SPOOL(HF_MAX_TREE)})
void restore_names_add(struct rnames *l, struct hf_str name);
void restore_names_clear(struct rnames *l);
/* Removes what is in the folder and selected, but not named. `rel` is the folder's path. */
void restore_delete_others(struct hf_restore *r, const struct rdir *d, const struct rnames *l);

#endif
