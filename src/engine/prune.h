/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prune: removes what no snapshot needs.
 *
 *	under a shared lock, beside running backups:
 *	  A1  list packs, load snapshots, load the index, in this order
 *	  A2  mark what the snapshots need
 *	  A3  plan: which packs stay, which go, and which are repacked
 *	  A4  repack: what is needed in the last ones goes into new packs, with index files
 *	  A5  write new index files, in which the packs that go are no more
 *	under the exclusive lock:
 *	  B1  look again: new index files, new snapshots; a pack that these need stays
 *	  B2  delete the old index files
 *	  B3  delete the packs
 *
 * Until B2 everything is additive: after a crash, or when the exclusive lock cannot be had, some
 * blobs are stored and some packs are listed twice, and the next prune ends the work without
 * repacking anything a second time. Why that is safe beside backups of any program that keeps to
 * the locks stands in docs/adr/0015-prune-beside-backups.md.
 *
 * Invariants:
 *  (1) A blob that is needed has, before B2 and ever after, a copy in a pack that stays and that an
 *      index file lists which stays.
 *  (2) Nothing is deleted before all of A has been durable, and B1 has looked under the exclusive
 *      lock.
 *  (3) What cannot be read, or is missing, ends it before anything is changed.
 *
 * Memory: the index; 3 bits per blob, a fourth while new snapshots are walked in B1; 80 bytes per
 * pack; 4 bytes for each blob that is moved.
 */
#ifndef HF_ENGINE_PRUNE_H
#define HF_ENGINE_PRUNE_H

#include "base/stop.h"
#include "engine/phases.h"
#include "repo/lease.h"
#include "repo/snapshot.h"

/*
 * Packs that no index lists are left alone while they are younger than this, in seconds: a backup
 * that lost its lock may still write the index file that names them (D5 in docs/locking-design.md).
 * Where a store cannot tell the age of a file, they are taken for old.
 */
#define HF_PRUNE_YOUNG_S 1800.0

struct hf_prune_options {
	bool is_dry_run;
	/* How much may stay in use without need: the word of --max-unused. */
	enum { HF_UNUSED_PERCENT, HF_UNUSED_BYTES, HF_UNUSED_ANY } max_unused;
	double unused_percent; /* of the whole; below 100 */
	uint64_t unused_bytes;
	uint64_t max_repack; /* bytes; UINT64_MAX: no limit */
	uint64_t small_pack; /* bytes below which a pack is small; 0: by what is there */
	bool cacheable_only; /* only packs of trees are repacked */
	bool compresses;     /* plain data is compressed */
	/*
	 * For a disk without any room: the lock is exclusive from the start, nothing is repacked, and
	 * the index is written when the old one and the packs are gone. A crash in between takes
	 * `repair index`.
	 */
	bool is_recovery;
	/* Snapshots that a dry run takes for gone; sorted. */
	const struct hf_id *ignored;
	size_t n_ignored;
};

struct hf_prune_stats {
	struct {
		uint64_t used, duplicate, unused, remove, repack, repack_rm;
	} blobs;
	struct {
		uint64_t used, duplicate, unused, remove, repack, repack_rm, unref,
			uncompressed;
	} size;
	struct {
		uint64_t used, unused, partly_used, unref, keep, repack, remove;
	} packs;
};

/* What is going to be done. All ids are sorted. */
struct hf_prune_plan {
	struct hf_prune_stats stats;
	struct hf_id *unref; /* packs that no index lists and that are old enough */
	size_t n_unref;
	struct hf_id *repack, *remove;
	size_t n_repack, n_remove;
	struct hf_id *gone; /* listed, not needed, and not there */
	size_t n_gone;
};

enum hf_prune_phase {
	HF_PRUNE_LOAD,    /* snapshots and index */
	HF_PRUNE_MARK,    /* progress: snapshots */
	HF_PRUNE_SEARCH,  /* for the packs of what is marked */
	HF_PRUNE_COLLECT, /* progress: packs */
	HF_PRUNE_PLANNED,
	HF_PRUNE_REPACK,       /* progress: packs */
	HF_PRUNE_INDEX,        /* progress: index files read */
	HF_PRUNE_EXCLUDE,      /* the exclusive lock is needed */
	HF_PRUNE_LOOK,         /* B1 */
	HF_PRUNE_DELETE_INDEX, /* progress: files; with is_recovery all of them */
	HF_PRUNE_DELETE_UNREF, /* the same */
	HF_PRUNE_DELETE_PACKS,
	HF_PRUNE_WRITE_INDEX, /* only with is_recovery; progress: packs */
	HF_PRUNE_DONE,
};
_Static_assert(HF_PRUNE_DONE < HF_MAX_PHASES, "there is a counter for each");

struct hf_prune_events {
	void *arg;
	/* A phase begins; `plan` is NULL before HF_PRUNE_PLANNED. On the caller's thread. */
	void (*phase)(void *arg, enum hf_prune_phase phase, const struct hf_prune_plan *plan);
	/* A line for the user, in detail or as an error. On the caller's thread. */
	void (*say)(void *arg, bool is_error, const char *text);
	/* A file was deleted, or not; as in repo/remove.h. */
	void (*removed)(
		void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e);
	/*
	 * Gives the shared lease back and takes an exclusive one, in *lease. NULL: the lease is
	 * exclusive already.
	 */
	struct hf_err *(*exclude)(void *arg, struct hf_lease **lease);
	/* After the exclusive lease was lost: takes a shared one, so that something can be mended. */
	struct hf_err *(*regain)(void *arg, struct hf_lease **lease);
};

/*
 * Prunes. `lease` (may be NULL in a dry run) is shared, or exclusive if there is no exclude().
 * HF_ECORRUPT: something is missing or damaged; nothing was changed. HF_ELOCKED: from exclude();
 * nothing was deleted, and the next run ends the work. HF_ELOST: the lock went; no pack was deleted
 * that anybody could still rely on. HF_ECANCELED: `stop`.
 */
struct hf_err *hf_prune(struct hf_repo *repo, struct hf_lease *lease,
	const struct hf_prune_options *options, const struct hf_prune_events *events,
	struct hf_phases *phases, struct hf_stop *stop) HF_MUST;

#endif
