/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an index is made of: entries and the table that finds them.
 *
 * The entries are kept by number and packed: what is added stays where it is and never changes. Of
 * a blob only its id, its end in the pack and its length when decompressed are kept, 39 bytes; its
 * pack and type are those of the run that it belongs to, and it begins where the blob before it in
 * the run ends. A run is what lies in one pack side by side, of one type, at most BLOCK blobs. An
 * index that tells of whole packs in their order, as all do that are not made to hurt, costs 39.5
 * bytes per blob; one in which no blob follows the one before it, 47.25. A slot of the table is 5
 * bytes, of which 7 of 8 are used at most and 2 of 3 at least.
 */
#ifndef HF_REPO_INDEX_I_H
#define HF_REPO_INDEX_I_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "repo/pack.h"

/* ---- index_entries.c ---- */

enum {
	BLOCK_BITS = 5,
	BLOCK = 1 << BLOCK_BITS,
	BLOCKS_BITS = 11,  /* in a chunk of memory: 65536 entries, 2.5 MiB */
	RUNS_BITS = 15,    /* in a chunk: 256 KiB */
	ENTRIES_BITS = 31, /* numbers of entries */
};

struct block {
	struct hf_id ids[BLOCK];
	uint32_t ends[BLOCK];          /* offset + length, modulo 2^32 */
	uint8_t raw_lengths[BLOCK][3]; /* little endian */
	atomic_uint begins;            /* a bit for each that begins a run */
	uint32_t first_run;
};
static_assert(sizeof(struct block) == BLOCK * 39 + 8,
	"the memory of large repositories is counted in these");
static_assert(BLOCK <= 32, "one bit each");

struct run;
struct giant;

/* Chunks are made when they are needed and never move. */
struct entries {
	pthread_mutex_t lock; /* of who adds */
	atomic_size_t len;
	_Atomic(struct block *) blocks[1 << (ENTRIES_BITS - BLOCK_BITS - BLOCKS_BITS)];
	_Atomic(struct run *) runs[1 << (ENTRIES_BITS - RUNS_BITS)];

	/* under the lock */
	uint32_t n_runs;
	uint32_t where;       /* of the last run */
	uint32_t end;         /* of its last blob */
	struct giant *giants; /* by number */
	size_t n_giants, cap_giants;
};

/* An entry but for its id. */
struct place {
	uint32_t pack; /* its number */
	enum hf_blob_type type;
	uint32_t offset, length, raw_length;
};

void entries_init(struct entries *s);
void entries_clear(struct entries *s);

/* Adds blobs that lie in one pack, in one go: they get numbers from the returned one on. */
uint32_t entries_add(struct entries *s, uint32_t pack, const struct hf_pack_entry *v, size_t n);

/* By number, which must have been given; without waiting for who adds others. */
static inline struct block *
entries_block(const struct entries *s, uint32_t number)
{
	uint32_t n = number >> BLOCK_BITS;
	struct block *chunk =
		atomic_load_explicit(&s->blocks[n >> BLOCKS_BITS], memory_order_acquire);

	return &chunk[n & ((1 << BLOCKS_BITS) - 1)];
}

static inline const struct hf_id *
entries_id(const struct entries *s, uint32_t number)
{
	return &entries_block(s, number)->ids[number & (BLOCK - 1)];
}

enum hf_blob_type entries_type(const struct entries *s, uint32_t number);
struct place entries_place(struct entries *s, uint32_t number);

/* ---- index_table.c ---- */

/* In a slot: the number is not that of an entry but of a claim in the shard. */
#define CLAIM (UINT32_C(1) << ENTRIES_BITS)

struct claim;

struct shard {
	pthread_mutex_t lock; /* held by who calls any of the functions below */
	uint8_t *tags;        /* `cap` of them, 0: free; they stand behind the numbers */
	uint32_t *numbers;
	uint32_t cap, len;
	struct claim *claims;
	uint32_t n_claims, cap_claims, free_claim; /* the first free one + 1, or 0 */
};

void shard_init(struct shard *s);
void shard_clear(struct shard *s);

uint64_t index_hash(const struct hf_id *id);

/* Steps through the slots that a blob has. */
struct probe {
	const struct entries *entries;
	struct shard *s;
	const struct hf_blob *blob;
	uint32_t slot;
	uint8_t tag;
};

struct probe probe_begin(
	const struct entries *en, struct shard *s, const struct hf_blob *blob, uint64_t h);

/* The number in the next slot of the blob, which may be replaced, or NULL. */
uint32_t *probe_next(struct probe *p);

/* One more slot, for a blob with this hash. */
void shard_add(const struct entries *en, struct shard *s, uint64_t h, uint32_t number);

/* A new claim, for a slot, and the end of one. */
uint32_t shard_claim(struct shard *s, const struct hf_blob *blob);
void shard_unclaim(struct shard *s, uint32_t number);

#endif
