/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is different between two trees, and what the difference costs. Folders whose trees are the
 * same are passed over; only if something else is different are the blobs in them looked at, since
 * what they use too is neither added nor removed. Memory: three bits per blob of the index, 32
 * bytes for each folder that is the same, and two trees per level of depth.
 */
#ifndef HF_ENGINE_DIFF_H
#define HF_ENGINE_DIFF_H

#include "base/stop.h"
#include "repo/index.h"

struct hf_diff_stat {
	uint64_t files, dirs, others;
	uint64_t data_blobs, tree_blobs, bytes; /* of the blobs, in the clear */
};

struct hf_diff_result {
	uint64_t changed_files;
	struct hf_diff_stat added, removed;
	uint64_t errors; /* calls of error() */
};

/* What it calls, on the caller's thread. */
struct hf_differ {
	void *arg;
	bool with_metadata; /* tell also of what differs in nothing else */

	/*
	 * At `path`, which ends with a slash when there is a folder, in the order of the trees.
	 * `how` is restic's: "+", "-", or "T" (type), "M" (content of a file), "U" (metadata) in
	 * that order, with "?" behind an M when the metadata say that nothing was changed.
	 */
	struct hf_err *(*change)(void *arg, const char *path, const char *how);

	/* Something cannot be read, and is left out. Takes `e`. */
	void (*error)(void *arg, struct hf_err *e);
};

/* HF_ECORRUPT, HF_ENOTFOUND: one of the two cannot be read. HF_ECANCELED: `stop` was set. */
struct hf_err *hf_diff(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *before,
	const struct hf_id *after, const struct hf_differ *d, struct hf_stop *stop,
	struct hf_diff_result *out) HF_MUST;

#endif
