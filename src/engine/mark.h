/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What snapshots need: all trees below their roots, each read once by one of several threads, and
 * all blobs that these name. Who asks keeps the books; here is only the walk.
 *
 * Anything that is missing or cannot be read ends the walk: what is not known to be unneeded must
 * not be deleted.
 */
#ifndef HF_ENGINE_MARK_H
#define HF_ENGINE_MARK_H

#include <stdatomic.h>

#include "base/stop.h"
#include "repo/index.h"
#include "repo/snapshot.h"

struct hf_marker {
	void *arg;
	/*
	 * The blob is needed. Sets *is_new if it was not before; the trees below a new one are then
	 * walked. Called from any thread. An error ends the walk.
	 */
	struct hf_err *(*need)(void *arg, const struct hf_blob *blob, bool *is_new);
	struct hf_stop *stop;
	atomic_uint_fast64_t *done; /* counts roots of which all has been walked; or NULL */
};

/* Walks the trees of these snapshots. HF_ECORRUPT also: a snapshot names no tree. */
struct hf_err *hf_mark(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_snapshot *const *snapshots, size_t n,
	const struct hf_marker *marker) HF_MUST;

/*
 * Counts the blobs that the `n_gone` snapshots `gone` need and the `n_kept` others do not, and the
 * bytes that they take in packs, each once.
 */
struct hf_err *hf_mark_unique(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_snapshot *const *kept, size_t n_kept,
	const struct hf_snapshot *const *gone, size_t n_gone, struct hf_stop *stop,
	uint64_t *blobs, uint64_t *bytes) HF_MUST;

#endif
