/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marking what trees use: every tree and data blob below some roots, each tree read once, by
 * several threads. Memory: four bytes for each folder that waits, beside the marks.
 */
#ifndef HF_ENGINE_MARK_H
#define HF_ENGINE_MARK_H

#include "base/bits.h"
#include "base/stop.h"
#include "repo/index.h"

/* Both are called by one thread at a time, on any. */
struct hf_marker {
	void *arg;

	/* No index lists this blob. May come several times for the same one. */
	void (*missing)(void *arg, const struct hf_blob *blob);

	/*
	 * The tree cannot be read, or not to its end; its rest is left out. Takes `e`; returns NULL
	 * to go on.
	 */
	struct hf_err *(*error)(void *arg, const struct hf_id *tree, struct hf_err *e);
};

/*
 * Adds the numbers of the blobs in use to `used`, which holds hf_index_len() numbers; the index does
 * not change meanwhile. A tree whose number is in there already is taken for done, with all below
 * it. HF_ECANCELED: `stop`, which may be NULL, was set.
 */
struct hf_err *hf_mark(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *roots,
	size_t n_roots, struct hf_bits *used, const struct hf_marker *m,
	struct hf_stop *stop) HF_MUST;

#endif
