/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Check: is everything there that the snapshots need, and is it what it was?
 *
 *	snapshots -> index files -> packs (are they there?) -> trees -> data (are they sound?)
 *
 * Nothing that is found ends the check: every damage is named in one run. What it returns as an
 * error is that it could not go on, because the store could not be listed or it was interrupted.
 *
 * Memory: the index and four bytes more per blob, the list of packs, and per thread one pack and
 * one blob in the clear.
 */
#ifndef HF_ENGINE_CHECK_H
#define HF_ENGINE_CHECK_H

#include <stdatomic.h>

#include "base/stop.h"
#include "repo/index.h"
#include "repo/snapshot.h"

/* What was found. The first ones are no damage: see hf_check_is_damage(). */
enum hf_check_kind {
	HF_CHECK_ORPHANED_PACK,  /* a pack that no index lists; `prune` removes it */
	HF_CHECK_DUPLICATE_PACK, /* listed by several index files alike */
	HF_CHECK_MIXED_PACK,     /* trees and data in one pack */
	HF_CHECK_TOUCHED,        /* a file or folder that needs a damaged blob */

	HF_CHECK_KEY,          /* a key file that is not what its name says */
	HF_CHECK_INDEX,        /* an index file that cannot be read or decoded */
	HF_CHECK_SPLIT_PACK,   /* listed by several index files with different blobs */
	HF_CHECK_INDEX_LAYOUT, /* the blobs of a pack have gaps between them, or overlap */
	HF_CHECK_MISSING_PACK,
	HF_CHECK_PACK_SIZE,
	HF_CHECK_SNAPSHOT,  /* a snapshot that cannot be read, or names no tree */
	HF_CHECK_TREE,      /* a tree that cannot be read, or a node in it that is wrong */
	HF_CHECK_PACK_DATA, /* bytes in a pack that do not verify, twice */
	HF_CHECK_PACK_READ, /* a pack could not be read, or verified at the second attempt only */
};

static inline bool
hf_check_is_damage(enum hf_check_kind kind)
{
	return kind > HF_CHECK_TOUCHED;
}

/* Dies when the call returns. */
struct hf_check_finding {
	enum hf_check_kind kind;
	/* Of the file; of the tree blob for HF_CHECK_TREE; zero for a snapshot not found. */
	struct hf_id id;
	const char *text; /* a whole line: "pack 3f2a…: does not exist" */
	/*
	 * For trees, and what is in them: the first snapshot in which they were met, and the path
	 * there, of bytes as in the file system. Else NULL. Other snapshots may have them too.
	 */
	const struct hf_id *snapshot;
	const char *path;
};

enum hf_check_phase {
	HF_CHECK_LOAD_INDEX,
	HF_CHECK_PACKS,
	HF_CHECK_STRUCTURE,
	HF_CHECK_DATA, /* progress has packs_total, bytes_total and packs_known by now */
};

/* Live figures; read relaxed, at any time, from any thread. */
struct hf_check_progress {
	atomic_uint_fast64_t snapshots_done, snapshots_total;
	atomic_uint_fast64_t trees_done;
	atomic_uint_fast64_t packs_done, packs_total; /* of those whose data is read */
	atomic_uint_fast64_t bytes_done, bytes_total;
	atomic_uint_fast64_t packs_known; /* out of how many they were chosen */
	atomic_uint_fast64_t damages;
};

/* Called from several threads, but one at a time; `phase` may be NULL. */
struct hf_check_events {
	void *arg;
	void (*phase)(void *arg, enum hf_check_phase phase);
	void (*found)(void *arg, const struct hf_check_finding *f);
};

/* Which packs are read whole. */
struct hf_check_subset {
	enum {
		HF_SUBSET_NONE,
		HF_SUBSET_ALL,
		HF_SUBSET_PART, /* part `n` of `t`, chosen by the pack's name: 1 <= n <= t <= 256 */
		HF_SUBSET_PERCENT, /* a random choice */
		HF_SUBSET_BYTES,   /* the same, of about that size */
	} kind;
	unsigned n, t;
	double percent;
	uint64_t bytes;
};

/*
 * The value of --read-data-subset: "n/t", "x%", or bytes with a suffix b, k, m, g or t. HF_EINVAL
 * with the text that restic has for it.
 */
struct hf_err *hf_check_subset_parse(const char *text, struct hf_check_subset *out) HF_MUST;

struct hf_check_options {
	struct hf_check_subset data;
	/* Snapshots that are meant, as in hf_snapshots_select(); none of both means all. */
	struct hf_strings snapshots;             /* borrowed */
	const struct hf_snapshot_filter *filter; /* may be NULL */
	unsigned threads; /* 0: as many as there are processors, or connections */
};

/* A list of ids; whoever has it owns it. */
struct hf_check_ids {
	struct hf_id *v;
	size_t len, cap;
};

struct hf_check_result {
	uint64_t damages; /* findings that are damage */
	uint64_t orphaned_packs, duplicate_packs, mixed_packs;
	uint64_t index_damages;               /* part of `damages`: `repair index` helps */
	uint64_t tree_damages;                /* the same */
	struct hf_check_ids broken_packs;     /* missing, of wrong size, or with wrong bytes */
	struct hf_check_ids missing_packs;    /* some of them */
	struct hf_check_ids broken_snapshots; /* whose own file is damaged */
	struct hf_check_ids hurt_snapshots;   /* that need what is damaged */
	uint64_t n_snapshots;                 /* that were looked at */
};

void hf_check_result_clear(struct hf_check_result *r);

/*
 * Checks the repository. `progress` and `stop` may be NULL. *out is the caller's to clear.
 * HF_ECANCELED: interrupted.
 */
struct hf_err *hf_check(struct hf_repo *repo, const struct hf_check_options *options,
	const struct hf_check_events *events, struct hf_check_progress *progress,
	struct hf_stop *stop, struct hf_check_result *out) HF_MUST;

/*
 * Parts of it, for a repair that looks at what it has made before it deletes what that replaces.
 * HF_ECORRUPT: damage was found; the text begins with the first of it.
 *
 * The index as it will be without the index files `gone`, which are sorted: it is read into `ix`, which
 * is empty, and compared with the packs that there are; the packs `fresh`, which have just been written,
 * are read whole. What no repair of the index mends is passed over: gaps between blobs, and packs that
 * are listed in two ways; with `may_lack`, packs that are not there or have another size, too.
 */
struct hf_check_made {
	const struct hf_id *gone, *fresh;
	size_t n_gone, n_fresh;
	bool may_lack;
};
struct hf_err *hf_check_index_made(struct hf_repo *repo, const struct hf_check_made *made,
	struct hf_index *ix, struct hf_stop *stop) HF_MUST;

/*
 * A snapshot with all its trees. `ix` is the index that it was made with; its packs from number
 * `first_fresh` on have just been written and are read whole.
 */
struct hf_err *hf_check_snapshot(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_snapshot *s, size_t first_fresh, struct hf_stop *stop) HF_MUST;

#endif
