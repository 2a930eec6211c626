/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counting what snapshots hold, in restic's four ways. Snapshots are added one after the other.
 *
 * Folders that were met before are not read again where what they count for is known: at most
 * 32 bytes a tree, up to a number of trees, are kept for that, beside a bit per blob. Only
 * HF_STATS_RESTORE_SIZE reads those again that hold hard links, which count once per snapshot. The
 * two modes that look at contents keep 32 bytes for each file of several chunks, or for each pair
 * of a path and a blob. HF_STATS_RAW_DATA reads with several threads. One caller at a time; the counters
 * may be read from any thread.
 */
#ifndef HF_ENGINE_STATS_H
#define HF_ENGINE_STATS_H

#include <stdatomic.h>

#include "base/stop.h"
#include "repo/index.h"
#include "repo/snapshot.h"

enum hf_stats_mode {
	HF_STATS_RESTORE_SIZE, /* every node counts; of hard links one per snapshot has a size */
	HF_STATS_FILES,        /* nodes with the same content count once */
	HF_STATS_BLOBS_PER_FILE, /* the different blobs at each path, of contents that are new */
	HF_STATS_RAW_DATA,       /* every copy of what is used, as it is stored */
};

/* How far it is; `files` to `bytes` are those of the snapshot at hand. */
struct hf_stats_progress {
	atomic_uint_fast64_t snapshots, files, blobs, bytes;
};

struct hf_stats_result {
	uint64_t snapshots, files, blobs;
	uint64_t bytes;
	/* HF_STATS_RAW_DATA of a repository of version 2; what packs take without compression. */
	uint64_t raw_bytes;
	uint64_t packed_bytes, packed_raw_bytes; /* of compressed blobs alone */
};

struct hf_stats;

/* All three outlive it. `progress` begins zeroed. */
struct hf_stats *hf_stats_new(struct hf_repo *repo, struct hf_index *ix,
	enum hf_stats_mode mode, struct hf_stats_progress *progress);
void hf_stats_free(struct hf_stats *s);
HF_AUTOPTR(hf_stats)

/*
 * Counts a snapshot. HF_ECORRUPT: it has no tree, or there is one that cannot be read, which the
 * text names. HF_ENOTFOUND: a blob is in no index. HF_ECANCELED: `stop` was set.
 */
struct hf_err *hf_stats_add(
	struct hf_stats *s, const struct hf_snapshot *sn, struct hf_stop *stop) HF_MUST;

/* The sums. HF_ENOTFOUND: as above, with HF_STATS_RAW_DATA. */
struct hf_err *hf_stats_end(struct hf_stats *s, struct hf_stats_result *out) HF_MUST;

#endif
