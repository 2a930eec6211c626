/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the backup engine share. backup.c begins and ends a run, backup_work.c hands
 * out work, backup_walk.c visits folders, backup_read.c reads files, backup_file.c completes them,
 * backup_dir.c finishes folders, backup_select.c decides what is left out, backup_scan.c counts
 * ahead. Instead of walking, backup_archive.c reads an archive, of whose entries backup_catalog.c
 * makes folders.
 *
 * A folder (struct dir) lives from its first mention until its tree is saved:
 *
 *  (1) `left` counts what must still be completed: its walker, and each entry given away to
 *      others. Whoever brings it to 0 finishes the folder, and so on upwards.
 *  (2) An entry has a fixed place, given by its walker in the order of names. Its JSON may come in
 *      any order; the tree is put together by place.
 *  (3) The descriptor stays open while somebody may still open something below it: `fd_users`
 *      counts its walker, files waiting to be read and folders waiting to be walked.
 */
#ifndef HF_ENGINE_BACKUP_I_H
#define HF_ENGINE_BACKUP_I_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/group.h"
#include "codec/chunker.h"
#include "codec/sha256_many.h"
#include "engine/backup.h"
#include "engine/meta.h"
#include "engine/targets.h"
#include "repo/tree.h"

enum {
	MAX_DIRS_WAITING = 1024, /* beyond that a walker descends itself */
	MAX_FILES_WAITING = 256,
	MAX_WORKERS = 128, /* however many files shall be read at once */
	CHUNKS_PER_WORKER = 1,
	CHUNKS_AT_ONCE = 2, /* hashed side by side; more large ones gain nothing (ADR 17) */
	READ_STEP = 256 << 10,
	DIR_SPILL = 4 << 20,
};

/* A buffer as folders use it: to a file beyond a few MiB, however large the folder is. */
#define DIR_BUF ((struct hf_buf){.max = HF_MAX_TREE, .spill = DIR_SPILL})

/* The entries of an archive before they are in folders. */
struct catalog;

struct entry {
	uint64_t off, len; /* of its JSON in `text`; len 0: nothing came of it */
};

struct dir {
	struct dir *up;  /* NULL: the root of the snapshot */
	uint64_t place;  /* among the entries of `up` */
	char *name;      /* in the snapshot; owned */
	char *base;      /* absolute path on disk where that is not up's path + name; owned */
	char *open_path; /* to open it, when not by name below up's descriptor; owned */
	bool is_mount;   /* another file system that is not to be entered */
	dev_t device;    /* the file system that --one-file-system stays on */
	bool has_old;    /* the parent snapshot has such a folder */
	struct hf_id old_tree;
	char *old_node; /* its node there as JSON, without NUL; owned, may be NULL */
	size_t old_node_len;
	char *node; /* our own node, the subtree all zero; owned */
	size_t node_len;
	double start;
	struct catalog *catalog; /* it stands for a whole archive, not for a folder; owned */
	atomic_uint_fast64_t left;
	atomic_bool is_void; /* the run has failed below it: no tree is made of what there is */

	pthread_mutex_t lock; /* for what follows */
	int fd;
	unsigned fd_users;
	struct hf_buf text;    /* JSON of entries in the order in which they came */
	struct hf_buf entries; /* struct entry, by place */
};

/* A file that waits to be read. */
struct file_job {
	struct dir *dir;
	uint64_t place;
	char *path;     /* to open it, when not by name below dir->fd; owned */
	char *old_node; /* JSON of its node in the parent snapshot; owned */
	size_t old_node_len;
	int fd;        /* already open, or -1 */
	bool is_stdin; /* `fd` is not ours to close, and stdin_node says what to call it */
	struct hf_node stdin_node;
	char name[];
};

/* A file of several chunks, while it is being read or chunks of it are under way. */
struct file {
	struct file_job *job; /* owned */
	double start;
	struct hf_backup_item item; /* what is known of it before it is complete */
	atomic_uint_fast64_t left;  /* the reader, and chunks not yet saved */
	atomic_uint_fast64_t data_size, data_size_in_repo;
	uint64_t size; /* bytes read; set, as `node` is, when all is */
	char *node;    /* JSON up to the list of chunks */
	size_t node_len;
	atomic_bool is_bad;  /* reading failed: nothing comes of it */
	atomic_bool is_void; /* the run has failed while it was under way: nor of its folder */
	pthread_mutex_t lock;
	struct hf_buf ids; /* struct hf_id by number of the chunk; guarded by lock */
};

/* A piece of memory for one chunk; there is a fixed number of them. */
struct chunk {
	struct chunk *next;
	struct file *file;
	uint64_t number;
	size_t len;
	struct hf_id id; /* when it is hashed */
	uint8_t *p;      /* HF_CHUNK_MAX bytes; owned */
};

struct backup {
	struct hf_repo *repo;
	struct hf_index *ix;
	const struct hf_backup_options *o;
	const struct hf_backup_events *ev;
	struct hf_backup_progress *progress;
	struct hf_lease *lease;
	bool has_old_tree;     /* there is something to compare with: */
	struct hf_id old_tree; /* the parent's tree, or the one of a round before: */
	bool is_old_ours;      /* then some of it may be in packs that we do not trust */
	struct hf_saver *saver;
	struct hf_chunker *chunker;
	char *cwd;
	struct hf_target targets;
	struct hf_id root;
	atomic_bool is_stopped;

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t dir_cond, work_cond, room_cond;
	struct dir
		*dirs[MAX_DIRS_WAITING]; /* a stack: the last comes first, memory stays small */
	size_t n_dirs;
	unsigned walking; /* threads that may still push folders or files */
	struct file_job *files[MAX_FILES_WAITING];
	size_t files_head, n_files;
	unsigned reading; /* threads that may still push chunks */
	struct chunk *chunks, **chunks_tail;
	struct chunk *spares;

	atomic_uint_fast64_t file_counts[3], dir_counts[3]; /* by enum hf_backup_action */
	atomic_uint_fast64_t total_bytes;
};

/* What one thread has of its own. */
struct worker {
	struct backup *b;
	struct hf_sealer *sealer;
	struct hf_reader *reader;
	struct hf_meta *meta;
	struct hf_many *many;
	struct hf_buf path; /* absolute path on disk, with a NUL behind it */
	struct hf_buf snap; /* path in the snapshot, the same */
	struct hf_buf json, tree;
	bool has_cwd;        /* the working folder is this thread's alone */
	struct dir *cwd;     /* where it is, if so */
	struct chunk *chunk; /* to read into */
};

/* backup_work.c */
struct worker *worker_new(struct backup *b);
void worker_free(struct worker *w);
HF_AUTOPTR(worker)

/* NULL, or HF_ECANCELED when the user or a failure elsewhere stops the run. */
struct hf_err *check_stop(struct backup *b) HF_MUST;
void stop_all(void *backup);

/* False: there is no room, the caller walks it itself. Takes `d` when true. */
bool push_dir(struct backup *b, struct dir *d);
struct dir *take_dir(struct backup *b); /* NULL: there will be no more */
void walk_begin(struct backup *b);      /* one more thread may push */
void walk_end(struct backup *b);

/* Waits for room. HF_ECANCELED: stopped. Takes `job`, also on failure. */
struct hf_err *push_file(struct backup *b, struct file_job *job) HF_MUST;

/* Either a list of chunks or a file comes out; false: there will be no more of either. */
bool take_work(struct backup *b, struct chunk **chunks, struct file_job **job);
struct chunk *chunk_try_take(struct backup *b); /* one that waits to be saved; never waits */
void read_end(struct backup *b);                /* the file that take_work() gave is read */

struct chunk *chunk_new(void);
void chunk_free(struct chunk *c);

/* A spare chunk if there is one; never waits. */
struct chunk *chunk_try_get(struct backup *b);
void chunk_put(struct backup *b, struct chunk *c);
void push_chunk(struct backup *b, struct chunk *c);

/* Something is left out; something is odd. Both take `e`. */
void report(struct worker *w, const char *path, struct hf_err *e);
void report_odd(struct worker *w, const char *path, struct hf_err *e);

/* backup_dir.c */
struct dir *dir_new(struct dir *up, uint64_t place, struct hf_str name);
void dir_free(struct dir *d);
uint64_t dir_add_place(struct dir *d); /* only its walker */
int dir_fd_use(struct dir *d);         /* the descriptor; one more user */
void dir_fd_release(struct dir *d);
void dir_path(const struct dir *d, struct hf_buf *out);      /* absolute, on disk */
void dir_snap_path(const struct dir *d, struct hf_buf *out); /* "" for the root */

/* Writes the id of its tree into the JSON of a folder's node. */
void node_set_subtree(char *node, size_t len, const struct hf_id *id);

/* The JSON of one entry. Does not count down `left`. */
struct hf_err *dir_set(struct dir *d, uint64_t place, struct hf_bytes json) HF_MUST;

/* One less is left; the last finishes the folder and what is above it. `d` may be gone then. */
struct hf_err *dir_release(struct worker *w, struct dir *d) HF_MUST;
void dir_drop(struct dir *d); /* the same when the run has failed: nothing is saved any more */

/* backup_file.c */

/* Opens for reading; links are not followed, and the time of access stays, where we may. */
int open_quietly(int dirfd, const char *path, int flags);

struct file_job *file_job_new(struct dir *d, uint64_t place, struct hf_str name);
void file_job_free(struct file_job *job); /* drops its hold on the folder */

/* The folder is told that this file is complete, or that nothing came of it. Takes the job. */
struct hf_err *file_job_end(struct worker *w, struct file_job *job) HF_MUST;

/* The file's path on disk, in w->path; an error about it, which is taken; what users are told. */
const char *file_disk_path(struct worker *w, const struct file_job *job);
void file_report(struct worker *w, const struct file_job *job, struct hf_err *e);
void file_tell_start(struct worker *w, const struct file_job *job);
void file_tell_end(struct worker *w, const struct file_job *job);

/* w->json is the node of a file that is complete. Takes the job. */
struct hf_err *file_complete(struct worker *w, struct file_job *job, uint64_t size,
	struct hf_backup_item *item) HF_MUST;

/* A file of several chunks, with one hold on it. Takes the job. */
struct file *file_new(struct file_job *job, double start);

/* One less is left of it; the last completes it. `f` may be gone then. */
struct hf_err *file_release(struct worker *w, struct file *f) HF_MUST;
void file_drop(struct file *f); /* the same, when the run has failed */

/* Saves data; *size and *stored are 0 when it was there. */
struct hf_err *save_data(struct worker *w, struct hf_bytes data, struct hf_id *id,
	uint64_t *size, uint64_t *stored) HF_MUST;

/*
 * Saves a chunk of a long file that this thread keeps; and one of those that wait, if there are any, as two
 * are hashed together. So another file may be completed, and w->json and the like be used.
 */
struct hf_err *file_save_chunk(struct worker *w, struct chunk *c) HF_MUST;

/* Saves chunks that were given away, which are a list; counts down, and gives their memory back. */
struct hf_err *do_chunks(struct worker *w, struct chunk *list) HF_MUST;

/* The path of an entry in the snapshot, in w->snap. */
const char *snap_path(struct worker *w, const struct dir *d, struct hf_str name);

/* The fields of a node that an item has. */
void item_of(const struct hf_node *n, struct hf_backup_item *out);

/* Saves the JSON in w->json as the outcome of a file and says so to everybody. */
struct hf_err *file_done(struct worker *w, struct dir *d, uint64_t place, struct hf_str name,
	uint64_t size, const struct hf_backup_item *item) HF_MUST;

/* backup_read.c */
struct hf_err *work_loop(void *backup); /* a thread that reads files and saves chunks */

/* Fills `p` with the next bytes of a file; *got < len only at its end. */
typedef struct hf_err *read_fn(void *arg, uint8_t *p, size_t len, size_t *got);

/*
 * Reads a file on this thread, which has a w->chunk, from where `read` has it; job->stdin_node is
 * its node. An error of `read` ends the run. Takes the job.
 */
struct hf_err *read_stream(
	struct worker *w, struct file_job *job, read_fn *read, void *arg) HF_MUST;

/* backup_walk.c */

/* A node that no disk knows. */
void made_up_node(const struct backup *b, const char *name, bool is_dir, struct hf_node *out);
struct hf_err *walk_loop(void *backup); /* a thread that visits folders */
struct hf_err *walk_targets(struct worker *w) HF_MUST;
struct hf_err *walk_stdin(struct worker *w) HF_MUST;

/* backup_archive.c */
struct hf_err *walk_archive(struct worker *w) HF_MUST;

/* backup_catalog.c */
struct catalog *catalog_new(void);
void catalog_free(struct catalog *c);

/*
 * The next entry, whose path is clean and whose node will be in the same place of the folder. Of
 * another name of `target` the type is HF_NODE_INVALID.
 */
struct hf_err *catalog_add(struct catalog *c, struct hf_str path, enum hf_node_type type,
	struct hf_str target) HF_MUST;

/* When all entries are complete: saves the trees. HF_ECORRUPT: they contradict each other. */
struct hf_err *catalog_finish(struct worker *w, struct dir *d) HF_MUST;

/* backup_select.c */
struct names {
	struct hf_buf text; /* the names, each with its NUL */
	struct hf_buf offs; /* uint64_t into text, sorted by name */
};
void names_clear(struct names *n);
size_t names_len(const struct names *n);
const char *names_at(const struct names *n, size_t i);

/* The names in an open folder, without `.` and `..`, sorted, without those that tags exclude. */
struct hf_err *names_read(const struct hf_backup_options *o, int fd, struct names *out,
	void (*warn)(void *arg, struct hf_err *e), void *arg) HF_MUST;

bool is_excluded_name(const struct hf_backup_options *o, const char *path);
bool is_excluded_stat(const struct hf_backup_options *o, const struct stat *st);

/*
 * The file system that --one-file-system allows at the absolute path of a leaf that nobody named:
 * that of the nearest target above it, or `own` if there is none.
 */
dev_t device_above(const struct backup *b, const char *path, dev_t own);

/* True when a tag in folder `dir` excludes `name` (for targets that nobody listed). */
bool is_excluded_by_tag(const struct hf_backup_options *o, const char *dir, const char *name);

/* backup_resave.c */

/*
 * Saves again what the tree `root` needs and b->ix does not have, reading it through the index
 * `before`. HF_ELOST: some of it is gone.
 */
struct hf_err *resave_all(
	struct backup *b, struct hf_index *before, const struct hf_id *root) HF_MUST;

/* backup_scan.c */
struct hf_err *scan_loop(void *backup); /* a thread that counts files and bytes */

static inline void
count(atomic_uint_fast64_t *c, uint64_t n)
{
	atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

#endif
