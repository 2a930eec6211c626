/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees made anew from others, from the leaves up: a rule says of each node whether it stays and in
 * what form. A tree in which nothing changes keeps its id; those that change are saved. What a tree
 * becomes is remembered, so that what snapshots share is done once.
 *
 * One folder per level of depth is in memory, in buffers that spill, and a table of fixed size.
 * One thread.
 */
#ifndef HF_ENGINE_RETREE_H
#define HF_ENGINE_RETREE_H

#include "repo/saver.h"
#include "repo/tree.h"

struct hf_retree;

enum hf_retree_failed {
	HF_RETREE_ERROR, /* the error ends it */
	HF_RETREE_EMPTY, /* an empty folder takes its place */
	HF_RETREE_GONE,  /* the folder goes; of the root: nothing is left */
};

/* Paths are those inside the snapshot, "/home/u", and valid during the call, as are nodes. */
struct hf_retree_rules {
	void *arg;

	/* False: the node is left out. May change *n, but for its name and type. */
	bool (*node)(void *arg, const char *path, struct hf_node *n);

	/* Whether a folder stays of which nothing is left. NULL: it does. */
	bool (*keeps_empty)(void *arg, const char *path);

	/* A folder's tree cannot be loaded. NULL: HF_RETREE_ERROR. */
	enum hf_retree_failed (*failed)(void *arg, const char *path, const struct hf_err *e);

	/*
	 * Trees of which the JSON would be another if restic had written it are encoded anew. Else
	 * they are an error, because something that we do not know would be lost.
	 */
	bool may_lose;

	/* What becomes of a node depends on its path: only the same tree at the same place is known. */
	bool is_by_path;

	/* Nothing is remembered: every node of every snapshot is shown to the rule. */
	bool is_forgetful;
};

struct hf_retree_options {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_lease *lease; /* or NULL */
	struct hf_trail *trail; /* or NULL */
	struct hf_stop *stop;   /* or NULL */
	bool is_dry_run;        /* nothing is written */
};

/* Both are borrowed and outlive it. */
struct hf_retree *hf_retree_new(
	const struct hf_retree_options *options, const struct hf_retree_rules *rules);
void hf_retree_free(struct hf_retree *t);
HF_AUTOPTR(hf_retree)

/* The files that are left. */
struct hf_retree_sum {
	uint64_t files, bytes;
};

/*
 * Makes the tree `root` anew; *out is all zero when nothing is left of it. HF_ECORRUPT: a tree
 * cannot be read to its end, or would lose something.
 */
struct hf_err *hf_retree(struct hf_retree *t, const struct hf_id *root, struct hf_id *out,
	struct hf_retree_sum *sum) HF_MUST;

/* Makes all that was saved since the last time durable; only then may a snapshot name it. */
struct hf_err *hf_retree_commit(struct hf_retree *t) HF_MUST;

#endif
