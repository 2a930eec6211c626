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

/* Loads a tree blob. HF_ENOTFOUND, HF_ECORRUPT as hf_reader_blob(). */
struct hf_err *hf_tree_load(
	struct hf_reader *r, const struct hf_id *id, struct hf_tree **out) HF_MUST;

/* A tree from plaintext, which must outlive it. */
struct hf_err *hf_tree_parse(struct hf_bytes plain, struct hf_tree **out) HF_MUST;

void hf_tree_free(struct hf_tree *t);
HF_AUTOPTR(hf_tree)

/*
 * The next node in *node and true in *more; false after the last. The node is valid until the next
 * call. HF_ECORRUPT: a node does not decode, has an empty name, or names are not ascending.
 */
struct hf_err *hf_tree_next(struct hf_tree *t, const struct hf_node **node, bool *more) HF_MUST;

/*
 * Advances to the node called `name`, for callers that ask in ascending order. *node is NULL when
 * there is none of that name.
 */
struct hf_err *hf_tree_seek(
	struct hf_tree *t, struct hf_str name, const struct hf_node **node) HF_MUST;

#endif
