/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block says which of its entries begin a run, by one bit each, and which run is the first: the
 * run of an entry is found by counting bits.
 *
 * Who got a number got it from entries_add(), from the shard of the table that it was put in
 * afterwards under a lock, or by s->len, which is set last (release). So entries are read without a
 * lock; only the bits of a block may change meanwhile, those of later entries.
 */
#include <assert.h>

#include "repo/index_i.h"

enum { GIANT = 0xffffff }; /* raw lengths from here on stand in a list of their own */

/* In run.where. */
#define WHERE_TREE (UINT32_C(1) << 31)

struct run {
	uint32_t where; /* number of the pack, and WHERE_TREE */
	uint32_t offset;
};

struct giant {
	uint32_t number, raw_length;
};

void
entries_init(struct entries *s)
{
	pthread_mutex_init(&s->lock, NULL);
}

void
entries_clear(struct entries *s)
{
	for (size_t i = 0; i < sizeof s->blocks / sizeof *s->blocks && s->blocks[i]; i++)
		free(s->blocks[i]);
	for (size_t i = 0; i < sizeof s->runs / sizeof *s->runs && s->runs[i]; i++)
		free(s->runs[i]);
	free(s->giants);
	pthread_mutex_destroy(&s->lock);
}

static uint32_t
get24(const uint8_t p[static 3])
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static void
put24(uint8_t p[static 3], uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
}

static struct run *
run_at(const struct entries *s, uint32_t number)
{
	struct run *chunk =
		atomic_load_explicit(&s->runs[number >> RUNS_BITS], memory_order_acquire);

	return &chunk[number & ((1 << RUNS_BITS) - 1)];
}

/* ---- adding, under the lock ---- */

static struct block *
block_for(struct entries *s, uint32_t number)
{
	size_t chunk = number >> (BLOCK_BITS + BLOCKS_BITS);

	assert(chunk < sizeof s->blocks / sizeof *s->blocks);
	if (s->blocks[chunk] == NULL)
		s->blocks[chunk] = hf_alloc_(1 << BLOCKS_BITS, sizeof(struct block));
	return entries_block(s, number);
}

static uint32_t
add_run(struct entries *s, uint32_t where, uint32_t offset)
{
	uint32_t number = s->n_runs++;
	size_t chunk = number >> RUNS_BITS;

	if (s->runs[chunk] == NULL)
		s->runs[chunk] = hf_alloc_(1 << RUNS_BITS, sizeof(struct run));
	*run_at(s, number) = (struct run){where, offset};
	s->where = where;
	return number;
}

static void
add_giant(struct entries *s, uint32_t number, uint32_t raw_length)
{
	if (s->n_giants == s->cap_giants) {
		s->cap_giants = s->cap_giants * 2 + 16;
		s->giants = hf_realloc_array(s->giants, s->cap_giants, sizeof *s->giants);
	}
	s->giants[s->n_giants++] = (struct giant){number, raw_length};
}

static void
add_one(struct entries *s, uint32_t number, uint32_t pack, const struct hf_pack_entry *e)
{
	struct block *b = block_for(s, number);
	uint32_t i = number & (BLOCK - 1), raw_length = e->raw_length;
	uint32_t where = pack | (e->blob.type == HF_TREE ? WHERE_TREE : 0);

	if (i == 0 || where != s->where || e->offset != s->end) {
		uint32_t run = add_run(s, where, e->offset);

		if (i == 0)
			b->first_run = run;
		atomic_fetch_or_explicit(&b->begins, UINT32_C(1) << i, memory_order_relaxed);
	}
	if (raw_length >= GIANT) {
		add_giant(s, number, raw_length);
		raw_length = GIANT;
	}
	s->end = e->offset + e->length;
	b->ids[i] = e->blob.id;
	b->ends[i] = s->end;
	put24(b->raw_lengths[i], raw_length);
}

uint32_t
entries_add(struct entries *s, uint32_t pack, const struct hf_pack_entry *v, size_t n)
{
	pthread_mutex_lock(&s->lock);
	size_t first = s->len;

	for (size_t i = 0; i < n; i++)
		add_one(s, (uint32_t)(first + i), pack, &v[i]);
	atomic_store_explicit(&s->len, first + n, memory_order_release);
	pthread_mutex_unlock(&s->lock);
	return (uint32_t)first;
}

/* ---- reading ---- */

/* The bits of a block's entries up to this one that begin a run. */
static uint32_t
begins_until(const struct block *b, uint32_t i)
{
	return atomic_load_explicit(&b->begins, memory_order_relaxed) &
	       (UINT32_MAX >> (BLOCK - 1 - i));
}

static const struct run *
run_of(const struct entries *s, const struct block *b, uint32_t begins)
{
	bool is_first = (begins & (begins - 1)) == 0; /* as nearly always */

	return run_at(s, is_first ? b->first_run
				  : b->first_run + (uint32_t)__builtin_popcount(begins) - 1);
}

enum hf_blob_type
entries_type(const struct entries *s, uint32_t number)
{
	const struct block *b = entries_block(s, number);
	const struct run *r = run_of(s, b, begins_until(b, number & (BLOCK - 1)));

	return (r->where & WHERE_TREE) != 0 ? HF_TREE : HF_DATA;
}

/* There are few, if any: a blob of 16 MiB is a folder with more than some ten thousand names. */
static uint32_t
giant_length(struct entries *s, uint32_t number)
{
	pthread_mutex_lock(&s->lock);
	size_t lo = 0, hi = s->n_giants;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->giants[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	uint32_t length = s->giants[lo].raw_length;
	pthread_mutex_unlock(&s->lock);
	return length;
}

struct place
entries_place(struct entries *s, uint32_t number)
{
	const struct block *b = entries_block(s, number);
	uint32_t i = number & (BLOCK - 1), begins = begins_until(b, i);
	const struct run *r = run_of(s, b, begins);
	uint32_t offset = (begins >> i & 1) != 0 ? r->offset : b->ends[i - 1];
	struct place p = {
		.pack = r->where & ~WHERE_TREE,
		.type = (r->where & WHERE_TREE) != 0 ? HF_TREE : HF_DATA,
		.offset = offset,
		.length = b->ends[i] - offset, /* of 32 bits, also where the end is not */
		.raw_length = get24(b->raw_lengths[i]),
	};

	if (p.raw_length == GIANT)
		p.raw_length = giant_length(s, number);
	return p;
}
