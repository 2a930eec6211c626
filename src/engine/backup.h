/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backup: from files to a snapshot.
 *
 *	walkers --(files)--> workers --(chunks)--> workers --(blobs)--> saver
 *	   \--(everything else: nodes)--> folders, finished bottom-up --(trees)--> saver
 *
 * Walkers visit folders in parallel and make the nodes; a file that the parent snapshot holds
 * unchanged is taken over from there. Other files go through a bounded queue to the workers, which
 * read, cut, hash and seal. A folder is complete when its last node is; its tree is saved then, and
 * its own node goes to the folder above. The root's tree makes the snapshot, which is written
 * after every blob is durable (saver.h (3)).
 *
 * Memory: each worker has one file chunk (8 MiB at most) and the chunk queue holds one per worker;
 * walkers stop when too many files wait; folders and chunk lists that are larger than a few MiB
 * spill to a file (base/buf.h).
 *
 * What cannot be read is reported and left out; the snapshot is written all the same.
 *
 * Success is told only when the lock, looked at after the snapshot was written, had been there
 * without a break, and the index has lost nothing that the snapshot stands on. Otherwise the work
 * is done again under a new lock: blobs that the index still has are not stored again, nor files
 * read that were saved before, so that a lost lock costs little more than a look at every file.
 */
#ifndef HF_ENGINE_BACKUP_H
#define HF_ENGINE_BACKUP_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "base/stop.h"
#include "repo/node.h"
#include "repo/saver.h"
#include "repo/snapshot.h"

/* What became of a file or folder; values of `action` in restic's verbose_status. */
enum hf_backup_action { HF_BACKUP_NEW, HF_BACKUP_UNCHANGED, HF_BACKUP_MODIFIED };

/* What became of one item, and the bytes that it added to the repository. */
struct hf_backup_item {
	enum hf_backup_action action; /* of files and folders */
	enum hf_node_type type;
	bool is_stdin;
	bool has_changed;              /* while it was read */
	uint64_t inode, device, links; /* links 0 or 1: it has no other name */
	double duration_s;
	uint64_t data_size, data_size_in_repo; /* of new data blobs: plain, stored */
	uint64_t meta_size, meta_size_in_repo; /* of the tree blob, for folders */
};

/* Live figures for a progress display; read relaxed, at any time, from any thread. */
struct hf_backup_progress {
	atomic_uint_fast64_t total_files, total_dirs, total_bytes; /* grow while scanning */
	atomic_bool is_scan_done;
	atomic_uint_fast64_t files_done, dirs_done, bytes_done;
	atomic_uint_fast64_t errors;
};

/*
 * What the engine tells its caller. Called from several threads at once; any may be NULL. Paths
 * are those inside the snapshot ("/etc/passwd"), except in error(), warning(), changed() and
 * excluded(), which have the path on disk.
 */
struct hf_backup_events {
	void *arg;
	/* Something could not be saved, and is left out. `during` is "scan" or "archival". */
	void (*error)(void *arg, const char *path, const char *during, const struct hf_err *e);
	/* Something is odd, but nothing is lost by it: a tag with a wrong header, for example. */
	void (*warning)(void *arg, const char *path, const struct hf_err *e);
	/* Others wrote to the file while it was read; it is saved as it was read. */
	void (*changed)(void *arg, const char *path);
	void (*file_start)(void *arg, const char *path);
	void (*file_end)(void *arg, const char *path);
	/* An item of any type is complete. Only called when `wants_items` is set. */
	void (*item)(void *arg, const char *path, const struct hf_backup_item *item);
	void (*excluded)(void *arg, const char *path);
	void (*scan_done)(void *arg, double duration_s);
	/* The lock was lost; what can be saved of the work is being saved. `round` counts from 1. */
	void (*recovers)(void *arg, unsigned round, const struct hf_err *why);
	bool wants_items;
};

/* By what a file that changes while it is read gives itself away, besides its size. */
enum hf_files_changed { HF_CHANGED_CTIME, HF_CHANGED_MTIME, HF_CHANGED_DISABLED };

/* How a tar archive is read. */
struct hf_archive_options {
	bool ignore_zeros; /* go on behind what looks like its end */
	bool is_plain;     /* it is not compressed; else that is found out */
};

/* "NAME" or "NAME:HEADER" of --exclude-if-present. */
struct hf_exclude_tag {
	const char *name;
	const char *header; /* or NULL: the file need only be there */
};

struct hf_backup_options {
	/*
	 * What to back up, as the user wrote it (restic-format 11.2). Must exist; `.` and `/`
	 * stand for their contents. Not used with stdin_fd.
	 */
	const char *const *targets;
	size_t n_targets;
	const char *cwd; /* the working folder as the user sees it ($PWD); NULL: getcwd() */

	/* True: leave out the item at this absolute path, whatever it is. NULL: nothing is. */
	bool (*exclude)(void *arg, const char *abs_path);
	void *exclude_arg;
	const struct hf_exclude_tag *exclude_tags;
	size_t n_exclude_tags;
	const uint64_t *exclude_larger_than; /* bytes; NULL: no limit */
	bool one_file_system;

	const struct hf_snapshot *parent; /* to take unchanged files from, or NULL */
	bool ignore_inode, ignore_ctime;  /* weaker tests for "unchanged" */
	enum hf_files_changed files_changed;
	bool with_atime;
	bool skip_if_unchanged; /* no snapshot when the tree equals the parent's */
	bool is_dry_run;
	struct hf_loose *loose; /* of a dry run: here is then what it would store (saver.h) */
	bool no_scan;
	unsigned read_concurrency; /* files read at once, 128 at most; 0: 2 */

	/*
	 * Instead of targets: one file with the bytes that come out of stdin_fd until its end, at
	 * "/" + stdin_filename. before_commit, if given, runs when all is read and can refuse the
	 * snapshot (a command that failed).
	 */
	bool use_stdin;
	int stdin_fd;
	/*
	 * What comes out of stdin_fd is an archive, and what is in it becomes the snapshot's tree;
	 * stdin_filename is only what the snapshot calls it. NULL: it is not one. HF_ECORRUPT: it is
	 * damaged, or has names that lead out of it, or contradicts itself.
	 */
	const struct hf_archive_options *archive;
	const char *stdin_filename;
	struct hf_err *(*before_commit)(void *arg);
	void *before_commit_arg;

	/* Of the snapshot. Strings are copied. */
	struct hf_time time, backup_start;
	const char *hostname, *username;
	uint32_t uid, gid;
	const struct hf_strings *tags, *excludes;
	const char *program_version;

	/*
	 * The lock under which all happens; NULL: none, and nothing is validated. regain() is called
	 * after it was lost: it gets a new lease and gives back the old one, which may take as long
	 * as somebody else's prune; on failure the old one stays. NULL: a loss is the end.
	 */
	struct hf_lease *lease;
	struct hf_err *(*regain)(void *arg, struct hf_lease **out);
	void *regain_arg;
	struct hf_stop *stop;
};

struct hf_backup_result {
	struct hf_id snapshot; /* zero: skipped as unchanged, or a dry run */
	struct hf_id tree;
	bool is_skipped;
	struct hf_summary summary;
};

/*
 * Makes a snapshot. `ix` is loaded. When `stop` is set it ends with HF_ECANCELED and no snapshot,
 * but what was uploaded is in the index, so that the next run need not upload it again.
 */
struct hf_err *hf_backup(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_backup_options *options, const struct hf_backup_events *events,
	struct hf_backup_progress *progress, struct hf_backup_result *out) HF_MUST;

#endif
