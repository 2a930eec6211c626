/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Restore: from a tree to files.
 *
 *	planner --(window)--> conductor --(ranges of packs)--> workers --> files
 *
 * The planner walks the trees, makes folders, links and devices, and gathers the files to write in
 * a window of bounded size. The conductor sorts the blobs that a window needs by where they lie,
 * joins neighbours to ranges, and lets the workers read, open and write them to every place that
 * wants them. Meanwhile the planner fills the next window; there are never more than two. A blob
 * is read once per window.
 *
 * Memory: two windows (a few MiB each), one range per worker of at most 16 MiB, or 24 MiB where a
 * request is a way to another computer (or one blob that is longer), one tree per level of depth. Only hard links whose other names have not been met are
 * remembered beyond their window, and one bit per file for hf_restore_verify().
 *
 * Safety: nothing that lies in the target leads out of it. Every path is opened relative to the
 * target's descriptor without following symbolic links; a link or file where a folder belongs is
 * replaced. What cannot be restored is reported and the rest goes on.
 *
 * The order for one item is owner, extended attributes, times, mode; a folder gets its metadata
 * when everything below it is done.
 */
#ifndef HF_ENGINE_RESTORE_H
#define HF_ENGINE_RESTORE_H

#include <stdatomic.h>

#include "base/stop.h"
#include "repo/index.h"

enum hf_overwrite {
	HF_OVERWRITE_ALWAYS, /* what is there is compared blob by blob, differences written */
	HF_OVERWRITE_IF_CHANGED, /* the same, but equal size and mtime are trusted */
	HF_OVERWRITE_IF_NEWER,   /* only when the snapshot's mtime is newer */
	HF_OVERWRITE_NEVER,      /* what exists stays */
};

/* What became of an item. */
enum hf_restore_action {
	HF_RESTORE_DIR,       /* restic's verbose_status calls it "restored" */
	HF_RESTORE_FILE,      /* "restored": it was not there */
	HF_RESTORE_UPDATED,   /* "updated": it was there, and different */
	HF_RESTORE_UNCHANGED, /* "unchanged": it was there and right, or may not be overwritten */
	HF_RESTORE_OTHER,     /* "restored": link, device, pipe, second name of a file */
	HF_RESTORE_DELETED,   /* "deleted" */
};

/* Live figures for a progress display; read relaxed, at any time, from any thread. */
struct hf_restore_progress {
	atomic_uint_fast64_t total_files, total_bytes; /* grow while planning */
	atomic_uint_fast64_t files_restored, bytes_restored;
	atomic_uint_fast64_t files_skipped, bytes_skipped;
	atomic_uint_fast64_t files_deleted;
	atomic_uint_fast64_t files_to_verify, files_verified;
	atomic_uint_fast64_t errors;
};

/* What the engine tells its caller, from several threads at once. Any may be NULL. */
struct hf_restore_events {
	void *arg;
	/* An item (path inside the snapshot, "/a/b") could not be restored, or not in full. */
	void (*error)(void *arg, const char *path, const struct hf_err *e);
	/* Something odd that is no error. */
	void (*warning)(void *arg, const char *text);
	/* An item is done; deleted ones have their path on disk. */
	void (*item)(void *arg, enum hf_restore_action action, const char *path, uint64_t size);
};

struct hf_restore_options {
	const char *target; /* made if it does not exist */
	enum hf_overwrite overwrite;
	bool should_delete; /* remove what the snapshot does not have, in restored folders */
	bool is_sparse;     /* runs of zeros in new files become holes */
	bool is_dry_run;    /* write nothing; events and figures as if */
	bool by_name;       /* owners by name instead of number; unknown names are 0 */
	bool can_verify;    /* hf_restore_verify() will be called */

	/*
	 * Whether the item at `path` (inside the snapshot, or what is to be deleted there) is
	 * meant, and whether something below the folder may be. NULL: everything is. Called on
	 * the caller's thread.
	 */
	void (*select)(void *arg, const char *path, bool is_dir, bool *is_selected,
		bool *child_may_be);
	void *select_arg;

	/* Whether an extended attribute is touched. NULL: all are. From several threads. */
	bool (*select_xattr)(void *arg, const char *name);
	void *xattr_arg;

	struct hf_stop *stop; /* or NULL */
};

struct hf_restore;

/* `repo`, `ix`, and everything that options and events point to outlive it. */
struct hf_restore *hf_restore_new(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_restore_options *options, const struct hf_restore_events *events);
void hf_restore_free(struct hf_restore *r);
HF_AUTOPTR(hf_restore)

/*
 * Restores the tree `tree` into the target, once. Items that fail are reported and counted, and
 * do not make this fail. HF_ECANCELED: stopped. HF_EFATAL, HF_EIO: the target cannot be made or
 * opened, or a thread could not be started.
 */
struct hf_err *hf_restore_run(struct hf_restore *r, const struct hf_id *tree) HF_MUST;

/*
 * Reads again every file whose content has been written and compares it with the snapshot, after
 * hf_restore_run() with `can_verify`. Differences are reported as errors.
 */
struct hf_err *hf_restore_verify(struct hf_restore *r, const struct hf_id *tree) HF_MUST;

/* The live figures; they die with `r`. */
const struct hf_restore_progress *hf_restore_progress(const struct hf_restore *r);

#endif
