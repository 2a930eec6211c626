/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blobs that are stored nowhere: what a backup would add to the repository, if it were one and not
 * only a comparison. The index has them as if they lay in a pack whose name is all zero. Of data
 * there is no more to know than how long they are; trees can be read, and lie here as they are, in
 * a file beyond a few MiB. Any number of threads.
 */
#ifndef HF_REPO_LOOSE_H
#define HF_REPO_LOOSE_H

#include "repo/index.h"

struct hf_loose;
struct hf_loose *hf_loose_new(void);
void hf_loose_free(struct hf_loose *l);
HF_AUTOPTR(hf_loose)

/* Notes a blob that the caller has claimed in the index. HF_EFATAL: there is no room for a tree. */
struct hf_err *hf_loose_add(struct hf_loose *l, struct hf_index *ix, const struct hf_blob *blob,
	struct hf_bytes plain) HF_MUST;

/* Whether what the index has found is one of them. */
bool hf_loose_is(const struct hf_location *at);

/* Appends the tree at that place to `out`. */
struct hf_err *hf_loose_tree(
	struct hf_loose *l, const struct hf_location *at, struct hf_buf *out) HF_MUST;

#endif
