/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees: the blob that lists one folder's nodes, strictly ascending by the raw bytes of their
 * names. Read node by node, so that a folder of a million entries needs the blob (in a buffer
 * that spills) and one node at a time.
 */
#ifndef HF_REPO_TREE_H
#define HF_REPO_TREE_H

#include "repo/node.h"
#include "repo/reader.h"

/* A tree of this plaintext size is refused: lengths in packs have 32 bits. */
#define HF_MAX_TREE ((size_t)UINT32_MAX)

struct hf_tree;

/*
 * The frame of a tree blob. A writer appends hf_tree_begin(), then per node hf_tree_add() and
 * last hf_tree_end(); hf_buf_ok() tells whether all fitted. Whoever writes keeps the order.
 */
static inline void
hf_tree_begin(struct hf_buf *out)
{
	hf_buf_add_str(out, "{\"nodes\":[");
}

static inline void
hf_tree_add(struct hf_buf *out, const struct hf_node *n)
{
	if (out->len > 0 && out->p[out->len - 1] == '}')
		hf_buf_add_char(out, ',');
	hf_node_add(out, n);
}

static inline void
hf_tree_end(struct hf_buf *out)
{
	hf_buf_add_str(out, "]}\n");
}

/* Loads a tree blob. HF_ENOTFOUND, HF_ECORRUPT as hf_reader_blob(). */
struct hf_err *hf_tree_load(
	struct hf_reader *r, const struct hf_id *id, struct hf_tree **out) HF_MUST;

/* A tree from plaintext, which must outlive it. */
struct hf_err *hf_tree_parse(struct hf_bytes plain, struct hf_tree **out) HF_MUST;

void hf_tree_free(struct hf_tree *t);
HF_AUTOPTR(hf_tree)

/*
 * The next node in *node and true in *more; false after the last. The node is valid until the next
 * call. HF_ECORRUPT: a node does not decode, has an empty name, or names are not ascending; then
 * the rest of the tree is lost, and every further call fails in the same way.
 */
struct hf_err *hf_tree_next(struct hf_tree *t, const struct hf_node **node, bool *more) HF_MUST;

/*
 * Advances to the node called `name`, for callers that ask in ascending order. *node is NULL when
 * there is none of that name. May be mixed with hf_tree_next(), which goes on behind `name`.
 */
struct hf_err *hf_tree_seek(
	struct hf_tree *t, struct hf_str name, const struct hf_node **node) HF_MUST;

#endif
