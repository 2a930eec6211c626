/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Over the entries are 256 hash tables ("shards", chosen by the hash of an id), each with a lock of
 * its own, so that threads hardly ever meet and only one 256th of the table is rebuilt at a time.
 * Entries and tables are in index_i.h; here are the packs, and what holds all of it together.
 *
 * Locks: that of a pack's turn, and while that is held one at a time of a shard's, that over the
 * packs, and that of the entries.
 */
#include "repo/index.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/endian.h"
#include "repo/index_i.h"
#include "repo/trail.h"

enum {
	PACK_CHUNK_BITS = 12,
	PACK_CHUNK = 1 << PACK_CHUNK_BITS,
	PACK_CHUNKS = 1 << 17,
	SHARDS = 256,
	TURNS = 64,
};

struct pack {
	struct hf_id id;
	uint64_t sum[2]; /* of the entries of its first listing, in any order */
	uint64_t size;   /* over the entries of all listings */
	uint32_t n_listed, n_blobs;
	uint8_t types;
	bool is_duplicate, is_split;
};

struct hf_index {
	struct entries entries;
	struct shard shards[SHARDS];
	pthread_mutex_t turns[TURNS]; /* of who adds a pack, by its id */

	pthread_mutex_t
		packs_lock; /* guards the following, but for what is published by n_packs */
	_Atomic(struct pack *) packs[PACK_CHUNKS];
	uint32_t *pack_table; /* of numbers + 1, 0: free; at most half full */
	size_t pack_cap;      /* a power of two */
	atomic_size_t n_packs;
	struct hf_buf files; /* ids of index files, under packs_lock */
	bool has_loaded;
	struct hf_trail *trail;
	struct hf_loose *loose;
};

enum { MAX_FILES = 1 << 28 }; /* bytes of ids; eight million index files */

struct hf_index *
hf_index_new(void)
{
	struct hf_index *ix = hf_new(struct hf_index);

	entries_init(&ix->entries);
	for (size_t i = 0; i < SHARDS; i++)
		shard_init(&ix->shards[i]);
	for (size_t i = 0; i < TURNS; i++)
		pthread_mutex_init(&ix->turns[i], NULL);
	pthread_mutex_init(&ix->packs_lock, NULL);
	ix->files = (struct hf_buf)HF_BUF_MAX(MAX_FILES);
	return ix;
}

void
hf_index_free(struct hf_index *ix)
{
	if (ix == NULL)
		return;
	entries_clear(&ix->entries);
	for (size_t i = 0; i < PACK_CHUNKS && ix->packs[i] != NULL; i++)
		free(ix->packs[i]);
	for (size_t i = 0; i < SHARDS; i++)
		shard_clear(&ix->shards[i]);
	for (size_t i = 0; i < TURNS; i++)
		pthread_mutex_destroy(&ix->turns[i]);
	pthread_mutex_destroy(&ix->packs_lock);
	free(ix->pack_table);
	hf_buf_clear(&ix->files);
	free(ix);
}

void
hf_index_distrust(struct hf_index *ix, struct hf_trail *trail)
{
	ix->trail = trail;
}

bool
hf_index_trusts(const struct hf_index *ix, const struct hf_id *pack)
{
	return !hf_trail_distrusts(ix->trail, pack);
}

void
hf_index_set_loose(struct hf_index *ix, struct hf_loose *loose)
{
	ix->loose = loose;
}

struct hf_loose *
hf_index_loose(const struct hf_index *ix)
{
	return ix->loose;
}

void
hf_index_add_file(struct hf_index *ix, const struct hf_id *file)
{
	pthread_mutex_lock(&ix->packs_lock);
	hf_buf_add(&ix->files, file, sizeof *file);
	pthread_mutex_unlock(&ix->packs_lock);
}

void
hf_index_add_loaded(struct hf_index *ix, const struct hf_id *file)
{
	pthread_mutex_lock(&ix->packs_lock);
	ix->has_loaded = true;
	pthread_mutex_unlock(&ix->packs_lock);
	hf_index_add_file(ix, file);
}

bool
hf_index_has_loaded(struct hf_index *ix)
{
	pthread_mutex_lock(&ix->packs_lock);
	bool has = ix->has_loaded;
	pthread_mutex_unlock(&ix->packs_lock);
	return has;
}

size_t
hf_index_lost(struct hf_index *ix, const struct hf_id *ids, size_t n)
{
	size_t lost = 0;

	pthread_mutex_lock(&ix->packs_lock);
	const struct hf_id *v = (const void *)ix->files.p;
	for (size_t i = 0; i < ix->files.len / sizeof *v; i++)
		lost += hf_id_search(ids, n, &v[i]) == n;
	pthread_mutex_unlock(&ix->packs_lock);
	return lost;
}

void
hf_index_files(struct hf_index *ix, struct hf_id **out, size_t *n)
{
	pthread_mutex_lock(&ix->packs_lock);
	*n = ix->files.len / sizeof **out;
	*out = hf_alloc_(*n + 1, sizeof **out);
	if (*n > 0)
		memcpy(*out, ix->files.p, ix->files.len);
	pthread_mutex_unlock(&ix->packs_lock);
	hf_id_sort(*out, *n);
}

static struct shard *
shard_of(struct hf_index *ix, uint64_t h)
{
	return &ix->shards[h >> 56];
}

static struct pack *
pack_at(struct hf_index *ix, size_t number)
{
	struct pack *chunk = atomic_load_explicit(
		&ix->packs[number >> PACK_CHUNK_BITS], memory_order_acquire);

	return &chunk[number & (PACK_CHUNK - 1)];
}

/* ---- blobs ---- */

static void
location(struct hf_index *ix, const struct place *at, uint32_t number, struct hf_location *out)
{
	*out = (struct hf_location){
		.pack = pack_at(ix, at->pack)->id,
		.pack_number = at->pack,
		.number = number,
		.offset = at->offset,
		.length = at->length,
		.raw_length = at->raw_length,
	};
}

bool
hf_index_find(
	struct hf_index *ix, const struct hf_blob *blob, unsigned nth, struct hf_location *out)
{
	uint64_t h = index_hash(&blob->id);
	struct shard *s = shard_of(ix, h);
	uint32_t number = CLAIM;
	const uint32_t *slot;

	pthread_mutex_lock(&s->lock);
	struct probe p = probe_begin(&ix->entries, s, blob, h);
	while ((slot = probe_next(&p)) != NULL)
		if ((*slot & CLAIM) == 0 && nth-- == 0) {
			number = *slot;
			break;
		}
	pthread_mutex_unlock(&s->lock);
	if (number == CLAIM)
		return false;
	struct place at = entries_place(&ix->entries, number);

	location(ix, &at, number, out);
	return true;
}

enum hf_claim
hf_index_claim(struct hf_index *ix, const struct hf_blob *blob)
{
	uint64_t h = index_hash(&blob->id);
	struct shard *s = shard_of(ix, h);
	enum hf_claim c = HF_CLAIM_NEW;

	pthread_mutex_lock(&s->lock);
	struct probe p = probe_begin(&ix->entries, s, blob, h);
	const uint32_t *slot = probe_next(&p);
	if (slot == NULL)
		shard_add(&ix->entries, s, h, shard_claim(s, blob));
	else
		c = (*slot & CLAIM) != 0 ? HF_CLAIM_PENDING : HF_CLAIM_STORED;
	pthread_mutex_unlock(&s->lock);
	return c;
}

/* Makes the entry `number` one that is found, in the place of a claim if there is one. */
static void
show(struct hf_index *ix, const struct hf_blob *blob, uint32_t number)
{
	uint64_t h = index_hash(&blob->id);
	struct shard *s = shard_of(ix, h);
	uint32_t *slot;

	pthread_mutex_lock(&s->lock);
	struct probe p = probe_begin(&ix->entries, s, blob, h);
	do
		slot = probe_next(&p);
	while (slot != NULL && (*slot & CLAIM) == 0);
	if (slot != NULL) {
		shard_unclaim(s, *slot);
		*slot = number;
	} else {
		shard_add(&ix->entries, s, h, number);
	}
	pthread_mutex_unlock(&s->lock);
}

/* Whether an entry is there that is identical in everything. */
static bool
is_known(struct hf_index *ix, const struct hf_pack_entry *e, uint32_t pack)
{
	struct hf_location at;

	for (unsigned nth = 0; hf_index_find(ix, &e->blob, nth, &at); nth++)
		if (at.pack_number == pack && at.offset == e->offset &&
			at.length == e->length && at.raw_length == e->raw_length)
			return true;
	return false;
}

/* ---- packs ---- */

/* Adds up what tells one set of entries from another, whatever their order. */
static void
sum_entries(const struct hf_pack_entry *entries, size_t n, uint64_t sum[static 2])
{
	sum[0] = sum[1] = 0;
	for (size_t i = 0; i < n; i++) {
		const struct hf_pack_entry *e = &entries[i];
		uint64_t a =
			hf_get_le64(e->blob.id.b + 8) ^ ((uint64_t)e->offset << 32 | e->length);
		uint64_t b = hf_get_le64(e->blob.id.b + 24) ^
			     ((uint64_t)e->raw_length << 1 | (e->blob.type == HF_TREE));

		a = (a ^ a >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
		b = (b ^ b >> 29) * UINT64_C(0x94d049bb133111eb);
		sum[0] += a ^ b >> 32;
		sum[1] += b ^ a >> 32;
	}
}

static void
grow_pack_table(struct hf_index *ix)
{
	size_t n = ix->n_packs;

	if (2 * (n + 1) <= ix->pack_cap)
		return;
	free(ix->pack_table);
	ix->pack_cap = ix->pack_cap == 0 ? 256 : 2 * ix->pack_cap;
	ix->pack_table = hf_alloc_(ix->pack_cap, sizeof *ix->pack_table);
	for (size_t i = 0; i < n; i++) {
		size_t slot = index_hash(&pack_at(ix, i)->id) & (ix->pack_cap - 1);

		while (ix->pack_table[slot] != 0)
			slot = (slot + 1) & (ix->pack_cap - 1);
		ix->pack_table[slot] = (uint32_t)i + 1;
	}
}

/* The pack of that id and its number, made if there is none. The lock over the packs is held. */
static struct pack *
pack_get(struct hf_index *ix, const struct hf_id *id, uint32_t *number, bool *is_new)
{
	grow_pack_table(ix);
	size_t slot = index_hash(id) & (ix->pack_cap - 1);

	for (uint32_t i; (i = ix->pack_table[slot]) != 0;
		slot = (slot + 1) & (ix->pack_cap - 1))
		if (hf_id_eq(&pack_at(ix, i - 1)->id, id)) {
			*number = i - 1;
			*is_new = false;
			return pack_at(ix, i - 1);
		}
	size_t n = ix->n_packs;
	assert(n < (size_t)PACK_CHUNKS * PACK_CHUNK);
	if (ix->packs[n >> PACK_CHUNK_BITS] == NULL)
		ix->packs[n >> PACK_CHUNK_BITS] = hf_alloc_(PACK_CHUNK, sizeof(struct pack));
	struct pack *p = pack_at(ix, n);
	p->id = *id;
	ix->pack_table[slot] = (uint32_t)n + 1;
	atomic_store_explicit(&ix->n_packs, n + 1, memory_order_release);
	*number = (uint32_t)n;
	*is_new = true;
	return p;
}

/* Offsets that grow: no two can be the same. */
static bool
is_in_order(const struct hf_pack_entry *entries, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (entries[i].offset <= entries[i - 1].offset)
			return false;
	return true;
}

/* What came to a pack with one listing of it. */
struct gain {
	uint64_t size;
	uint32_t n;
	unsigned types;
};

static void
add_entries(struct hf_index *ix, uint32_t pack, const struct hf_pack_entry *entries, size_t n,
	struct gain *g)
{
	uint32_t number = entries_add(&ix->entries, pack, entries, n);

	for (size_t i = 0; i < n; i++) {
		show(ix, &entries[i].blob, number++);
		g->size += entries[i].length + hf_pack_entry_len(&entries[i]);
		g->types |= 1U << entries[i].blob.type;
		g->n++;
	}
}

/* The pack, with a note that there is one more listing of it. */
static struct pack *
take_pack(struct hf_index *ix, const struct hf_id *id, const struct hf_pack_entry *entries,
	size_t n, uint32_t *number, bool *is_new)
{
	uint64_t sum[2];

	sum_entries(entries, n, sum);
	pthread_mutex_lock(&ix->packs_lock);
	struct pack *p = pack_get(ix, id, number, is_new);
	if (*is_new) {
		p->size = hf_pack_size(NULL, 0);
		p->n_listed = (uint32_t)n;
		memcpy(p->sum, sum, sizeof p->sum);
	} else if (p->n_listed == n && memcmp(p->sum, sum, sizeof sum) == 0) {
		p->is_duplicate = true;
	} else {
		p->is_split = true;
	}
	pthread_mutex_unlock(&ix->packs_lock);
	return p;
}

void
hf_index_add_pack(struct hf_index *ix, const struct hf_id *pack,
	const struct hf_pack_entry *entries, size_t n)
{
	pthread_mutex_t *turn = &ix->turns[index_hash(pack) % TURNS];
	struct gain g = {0};
	uint32_t number;
	bool is_new;

	pthread_mutex_lock(turn);
	struct pack *p = take_pack(ix, pack, entries, n, &number, &is_new);
	/* Only another listing, or one that repeats itself, can have what is known already. */
	if (is_new && is_in_order(entries, n))
		add_entries(ix, number, entries, n, &g);
	else
		for (size_t i = 0; i < n; i++)
			if (!is_known(ix, &entries[i], number))
				add_entries(ix, number, &entries[i], 1, &g);
	pthread_mutex_unlock(turn);

	pthread_mutex_lock(&ix->packs_lock);
	p->size += g.size;
	p->n_blobs += g.n;
	p->types |= (uint8_t)g.types;
	pthread_mutex_unlock(&ix->packs_lock);
}

size_t
hf_index_len(struct hf_index *ix)
{
	return atomic_load_explicit(&ix->entries.len, memory_order_acquire);
}

size_t
hf_index_packs(struct hf_index *ix)
{
	return atomic_load_explicit(&ix->n_packs, memory_order_acquire);
}

bool
hf_index_entry(
	struct hf_index *ix, size_t number, struct hf_blob *blob, struct hf_location *out)
{
	if (number >= hf_index_len(ix))
		return false;
	struct place at = entries_place(&ix->entries, (uint32_t)number);

	blob->id = *entries_id(&ix->entries, (uint32_t)number);
	blob->type = at.type;
	location(ix, &at, (uint32_t)number, out);
	return true;
}

bool
hf_index_pack(struct hf_index *ix, size_t number, struct hf_id *out)
{
	if (number >= hf_index_packs(ix))
		return false;
	*out = pack_at(ix, number)->id;
	return true;
}

bool
hf_index_find_pack(struct hf_index *ix, const struct hf_id *pack, uint32_t *number)
{
	bool found = false;

	pthread_mutex_lock(&ix->packs_lock);
	for (size_t slot = index_hash(pack) & (ix->pack_cap - 1); ix->pack_cap > 0 && !found;
		slot = (slot + 1) & (ix->pack_cap - 1)) {
		uint32_t i = ix->pack_table[slot];

		if (i == 0)
			break;
		found = hf_id_eq(&pack_at(ix, i - 1)->id, pack);
		if (found)
			*number = i - 1;
	}
	pthread_mutex_unlock(&ix->packs_lock);
	return found;
}

bool
hf_index_pack_info(struct hf_index *ix, size_t number, struct hf_index_pack_info *out)
{
	if (number >= hf_index_packs(ix))
		return false;
	pthread_mutex_lock(&ix->packs_lock);
	const struct pack *p = pack_at(ix, number);
	*out = (struct hf_index_pack_info){
		.pack = p->id,
		.size = p->size,
		.n_blobs = p->n_blobs,
		.types = p->types,
		.is_duplicate = p->is_duplicate,
		.is_split = p->is_split,
	};
	pthread_mutex_unlock(&ix->packs_lock);
	return true;
}
