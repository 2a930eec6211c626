/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All trees below some roots, each once, by several threads, in no order. What waits is a stack of
 * numbers of the index, the last of them first, so that it is about as long as the folders on the
 * way down are wide.
 */
#ifndef HF_ENGINE_TREES_H
#define HF_ENGINE_TREES_H

#include "base/bits.h"
#include "base/stop.h"
#include "repo/tree.h"

struct hf_trees {
	struct hf_repo *repo;
	struct hf_index *ix;
	/* Trees by the number of their first copy. Those in it are passed over, others put into it. */
	struct hf_bits *seen;
	struct hf_stop *stop; /* or NULL */

	/* Called from any of the threads; an error ends it all. */
	void *arg;
	struct hf_err *(*tree)(void *arg, const struct hf_blob *tree);
	struct hf_err *(*node)(void *arg, const struct hf_node *n);
};

/*
 * Visits them. HF_ENOTFOUND, HF_ECORRUPT: a tree is not there or cannot be read; the text names it.
 * HF_ECANCELED: `stop` was set.
 */
struct hf_err *hf_trees_visit(
	const struct hf_trees *t, const struct hf_id *roots, size_t n) HF_MUST;

#endif
