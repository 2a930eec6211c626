/* SPDX-License-Identifier: BSD-2-Clause */
/* One prune that is under way: what its stages share. Nobody but prune*.c includes this. */
#ifndef HF_ENGINE_PRUNE_I_H
#define HF_ENGINE_PRUNE_I_H

#include "base/bits.h"
#include "engine/prune.h"
#include "repo/index.h"

/* What a pack holds: bits 1 << enum hf_blob_type. */
enum { ONLY_DATA = 1 << HF_DATA, ONLY_TREES = 1 << HF_TREE, MIXED = ONLY_DATA | ONLY_TREES };

/* What becomes of a pack. */
enum pack_action {
	PACK_UNSEEN, /* listed by an index, but not in the store; so far */
	PACK_KEEP,
	PACK_REPACK,
	PACK_REMOVE,
	PACK_GONE, /* not in the store, and not needed: only its listing goes */
};

struct pack_state {
	uint64_t size;        /* that the file must have */
	uint64_t unused_size; /* of blobs that are not needed here */
	uint32_t n_used, n_unused;
	uint32_t n_garbage;     /* of those unused: not even needed elsewhere */
	uint32_t n_single;      /* of those used: there is no other copy */
	uint8_t types;          /* bit 1 << enum hf_blob_type */
	bool is_plain;          /* has blobs that are not compressed */
	atomic_uchar action;    /* enum pack_action */
	atomic_bool is_rescued; /* was to go, and stays after all (B1) */
};

struct prune {
	struct hf_repo *repo;
	struct hf_lease *lease; /* borrowed, the present one */
	const struct hf_prune_options *o;
	const struct hf_prune_events *events;
	struct hf_phases *phases;
	atomic_uint_fast64_t *done; /* of the present phase */
	struct hf_stop *stop;
	struct hf_prune_plan plan;

	struct hf_id *files; /* packs in the store, sorted, and their sizes */
	uint64_t *sizes;
	size_t n_files;
	struct hf_snapshots snapshots;
	struct hf_index *ix;

	/* As the plan was made: later entries and packs have numbers from here on, and stay. */
	size_t n_blobs, n_packs;
	struct pack_state *packs;
	/*
	 * By number of entry: needed; needed, with copies; needed, and this copy is the one. While
	 * marking, `used` has the first copy only.
	 */
	struct hf_bits used, dup, chosen;

	struct hf_id *obsolete; /* index files that A5 has replaced */
	size_t n_obsolete;
};

/* True when the pack of that number is one that the plan takes away. */
static inline bool
prune_drops(const struct prune *p, size_t pack)
{
	return pack < p->n_packs && p->packs[pack].action != PACK_KEEP;
}

/* True when the pack has to be moved because of blobs that are not compressed. */
static inline bool
prune_must_compress(const struct prune *p, const struct pack_state *pk)
{
	return hf_repo_config(p->repo)->version >= 2 && pk->is_plain &&
	       (pk->types == ONLY_TREES || p->o->compresses);
}

void prune_phase(struct prune *p, enum hf_prune_phase phase, uint64_t total);
void prune_say(struct prune *p, bool is_error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void prune_add_id(struct hf_id **list, size_t *n, const struct hf_id *id);

/* The stages. */
struct hf_err *prune_mark(struct prune *p) HF_MUST;
struct hf_err *prune_choose(struct prune *p) HF_MUST;
struct hf_err *prune_plan(struct prune *p) HF_MUST;
struct hf_err *prune_repack(struct prune *p) HF_MUST;
struct hf_err *prune_look_again(struct prune *p) HF_MUST;

/*
 * The entries that fn() wants, by packs: those of pack i are (*numbers)[(*first)[i]] up to the next
 * pack's, in the order of their offsets. The caller frees both.
 */
struct hf_err *prune_by_pack(struct prune *p,
	bool (*wants)(struct prune *p, size_t number, const struct hf_blob *blob,
		const struct hf_location *at),
	uint32_t **first, uint32_t **numbers) HF_MUST;

#endif
