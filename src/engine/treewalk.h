/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Visiting the trees below a folder of a snapshot, depth first, each folder before what is in it
 * and names in order. One tree per level of depth is held; nothing grows with the number of
 * entries. Paths are those inside the snapshot, "/home/u/x", of raw bytes.
 */
#ifndef HF_ENGINE_TREEWALK_H
#define HF_ENGINE_TREEWALK_H

#include "base/stop.h"
#include "repo/tree.h"

enum hf_walk_next {
	HF_WALK_DESCEND, /* go on; into the folder, if the node is one */
	HF_WALK_SKIP,    /* go on; not into the folder */
	HF_WALK_STOP,    /* end the whole walk, without an error */
};

/* What the walk calls, on the caller's thread. An error that any of them returns ends the walk. */
struct hf_walker {
	void *arg;

	/*
	 * A node, at `path`, NUL-terminated; both are valid during the call. Sets *next, which is
	 * HF_WALK_DESCEND before.
	 */
	struct hf_err *(*node)(
		void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next);

	/* After the last node below the folder at `path` that was entered; may be NULL. */
	struct hf_err *(*leave)(void *arg, const char *path);

	/*
	 * The tree of the folder at `path` cannot be read, or not to its end: its rest is left
	 * out. Takes `e`; returns NULL to go on. When this is NULL, the error ends the walk.
	 */
	struct hf_err *(*error)(void *arg, const char *path, struct hf_err *e);

	/*
	 * The tree `id` of the folder at `path` was loaded, and the nodes that come are its own, up
	 * to the call of leave() for the same path. Also for the root, which nobody leaves. May be
	 * NULL.
	 */
	void (*enter)(void *arg, const char *path, const struct hf_id *id);
};

/*
 * Walks the tree `id`, whose own path is `root` ("/" for a whole snapshot). There is no call for
 * the root itself. HF_ECANCELED: `stop`, which may be NULL, was set.
 */
struct hf_err *hf_walk(struct hf_reader *r, const struct hf_id *id, const char *root,
	const struct hf_walker *w, struct hf_stop *stop) HF_MUST;

/*
 * The id of the tree at `folder` ("a/b", slashes at either end do not matter, "" is the tree
 * itself) below the tree `id`. HF_ENOTFOUND: "path a/b: not found" or "path a/b: not a directory".
 */
struct hf_err *hf_walk_folder(struct hf_reader *r, const struct hf_id *id, const char *folder,
	struct hf_id *out) HF_MUST;

/*
 * The node at `path` below the tree `id`. It points into *tree, which is the caller's to free.
 * Errors as above; the root has no node: HF_EINVAL.
 */
struct hf_err *hf_walk_find(struct hf_reader *r, const struct hf_id *id, const char *path,
	struct hf_tree **tree, const struct hf_node **node) HF_MUST;

#endif
