/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries lie in chunks that never move: growing copies nothing, and a number stays good. Over
 * them are 256 hash tables ("shards", chosen by the hash of an id), each with a lock of its own, so
 * that threads hardly ever meet and only one 256th of the table is rebuilt at a time. A slot is a
 * byte of the hash, to pass over strangers without a look at their entries, and the number of an
 * entry. Copies of a blob stand in slots of their own.
 *
 * Cost per blob: 48 bytes of entry and 5 to 8 of table.
 *
 * Locks: a shard's lock or the lock over the packs, never both. What a reader by number sees
 * without any lock is published by entry.where (release), which is written last.
 */
#include "repo/index.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/endian.h"
#include "repo/trail.h"

enum {
	CHUNK_BITS = 16, /* entries per chunk: 3 MiB */
	CHUNK = 1 << CHUNK_BITS,
	CHUNKS = 1 << 16,
	PACK_CHUNK_BITS = 12,
	PACK_CHUNK = 1 << PACK_CHUNK_BITS,
	PACK_CHUNKS = 1 << 17,
	SHARDS = 256,
};

/* Values of entry.where below the type bit; packs begin at WHERE_PACK. */
enum { WHERE_NOTHING, WHERE_PENDING, WHERE_PACK };
#define WHERE_TREE (UINT32_C(1) << 31)

struct entry {
	struct hf_id id;
	atomic_uint where; /* type bit, and the pack's number + WHERE_PACK */
	uint32_t offset, length, raw_length;
};
static_assert(
	sizeof(struct entry) == 48, "the memory of large repositories is counted in these");

struct pack {
	struct hf_id id;
	uint64_t sum[2]; /* of the entries of its first listing, in any order */
	uint64_t size;   /* over the entries of all listings */
	uint32_t n_listed, n_blobs;
	uint8_t types;
	bool is_duplicate, is_split;
};

struct shard {
	pthread_mutex_t lock;
	uint8_t *tags; /* `cap` of them, 0: free; behind them in the same block ... */
	uint32_t *numbers;
	uint32_t cap, len;
};

struct hf_index {
	atomic_size_t len;
	_Atomic(struct entry *) chunks[CHUNKS];
	struct shard shards[SHARDS];

	pthread_mutex_t
		packs_lock; /* guards the following, but for what is published by n_packs */
	_Atomic(struct pack *) packs[PACK_CHUNKS];
	uint32_t *pack_table; /* of numbers + 1, 0: free; at most half full */
	size_t pack_cap;      /* a power of two */
	atomic_size_t n_packs;
	struct hf_buf files; /* ids of index files, under packs_lock */
	struct hf_trail *trail;
};

enum { MAX_FILES = 1 << 28 }; /* bytes of ids; eight million index files */

struct hf_index *
hf_index_new(void)
{
	struct hf_index *ix = hf_new(struct hf_index);

	for (size_t i = 0; i < SHARDS; i++)
		pthread_mutex_init(&ix->shards[i].lock, NULL);
	pthread_mutex_init(&ix->packs_lock, NULL);
	ix->files = (struct hf_buf)HF_BUF_MAX(MAX_FILES);
	return ix;
}

void
hf_index_free(struct hf_index *ix)
{
	if (ix == NULL)
		return;
	for (size_t i = 0; i < CHUNKS && ix->chunks[i] != NULL; i++)
		free(ix->chunks[i]);
	for (size_t i = 0; i < PACK_CHUNKS && ix->packs[i] != NULL; i++)
		free(ix->packs[i]);
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&ix->shards[i].lock);
		free(ix->shards[i].numbers);
	}
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
hf_index_add_file(struct hf_index *ix, const struct hf_id *file)
{
	pthread_mutex_lock(&ix->packs_lock);
	hf_buf_add(&ix->files, file, sizeof *file);
	pthread_mutex_unlock(&ix->packs_lock);
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

/*
 * Ids are hashes already; the multiplication is there for the ids of tests, and for those that
 * somebody chose.
 */
static uint64_t
hash(const struct hf_id *id)
{
	uint64_t h = (hf_get_le64(id->b) ^ (hf_get_le64(id->b + 16) >> 1)) *
		     UINT64_C(0x9e3779b97f4a7c15);

	return h ^ h >> 32;
}

static struct shard *
shard_of(struct hf_index *ix, uint64_t h)
{
	return &ix->shards[h >> 56];
}

static uint8_t
tag_of(uint64_t h)
{
	return (uint8_t)h | 1;
}

static uint32_t
slot_of(uint64_t h, uint32_t cap)
{
	return (uint32_t)((uint64_t)(uint32_t)(h >> 24) * cap >> 32);
}

static struct entry *
entry_at(struct hf_index *ix, size_t number)
{
	struct entry *chunk =
		atomic_load_explicit(&ix->chunks[number >> CHUNK_BITS], memory_order_acquire);

	return chunk != NULL ? &chunk[number & (CHUNK - 1)] : NULL;
}

static struct pack *
pack_at(struct hf_index *ix, size_t number)
{
	struct pack *chunk = atomic_load_explicit(
		&ix->packs[number >> PACK_CHUNK_BITS], memory_order_acquire);

	return &chunk[number & (PACK_CHUNK - 1)];
}

/* Takes the next number; two threads that want the same new chunk may both make it. */
static uint32_t
new_number(struct hf_index *ix)
{
	size_t number = atomic_fetch_add_explicit(&ix->len, 1, memory_order_relaxed);

	assert(number < (size_t)CHUNKS * CHUNK);
	_Atomic(struct entry *) *at = &ix->chunks[number >> CHUNK_BITS];
	if (atomic_load_explicit(at, memory_order_acquire) == NULL) {
		struct entry *chunk = hf_alloc_(CHUNK, sizeof *chunk), *none = NULL;

		if (!atomic_compare_exchange_strong(at, &none, chunk))
			free(chunk);
	}
	return (uint32_t)number;
}

/* Steps through the slots of blobs with one hash. The shard's lock is held. */
struct probe {
	struct hf_index *ix;
	struct shard *s;
	const struct hf_blob *blob;
	uint32_t slot;
	uint8_t tag;
};

static struct probe
probe_begin(struct hf_index *ix, const struct hf_blob *blob, uint64_t h)
{
	struct shard *s = shard_of(ix, h);

	return (struct probe){ix, s, blob, slot_of(h, s->cap), tag_of(h)};
}

/* The next entry of the blob, or NULL; then the probe stands on the free slot. */
static struct entry *
probe_next(struct probe *p, uint32_t *where)
{
	const struct shard *s = p->s;

	if (s->cap == 0)
		return NULL;
	for (;; p->slot = p->slot + 1 < s->cap ? p->slot + 1 : 0) {
		if (s->tags[p->slot] == 0)
			return NULL;
		if (s->tags[p->slot] != p->tag)
			continue;
		struct entry *e = entry_at(p->ix, s->numbers[p->slot]);
		uint32_t w = atomic_load_explicit(&e->where, memory_order_relaxed);

		if (!hf_id_eq(&e->id, &p->blob->id) ||
			((w & WHERE_TREE) != 0) != (p->blob->type == HF_TREE))
			continue;
		*where = w & ~WHERE_TREE;
		return e;
	}
}

/* Goes on behind the entry that probe_next() gave; its number before that. */
static uint32_t
probe_skip(struct probe *p)
{
	uint32_t number = p->s->numbers[p->slot];

	p->slot = p->slot + 1 < p->s->cap ? p->slot + 1 : 0;
	return number;
}

static void
put_slot(struct shard *s, uint64_t h, uint32_t number)
{
	uint32_t slot = slot_of(h, s->cap);

	while (s->tags[slot] != 0)
		slot = slot + 1 < s->cap ? slot + 1 : 0;
	s->tags[slot] = tag_of(h);
	s->numbers[slot] = number;
}

/*
 * Makes room for one more. At most 7 of 8 slots are used; growing by a third keeps at least 2 of
 * 3 in use, which is what bounds the memory per blob.
 */
static void
make_room(struct hf_index *ix, struct shard *s)
{
	if (s->len < s->cap - s->cap / 8)
		return;
	struct shard old = *s;
	uint32_t cap = old.cap < 64 ? 64 : old.cap + old.cap / 3;

	/* One block: numbers, then tags. */
	s->numbers = hf_alloc_(cap, sizeof *s->numbers + 1);
	s->tags = (uint8_t *)(s->numbers + cap);
	s->cap = cap;
	for (uint32_t i = 0; i < old.cap; i++)
		if (old.tags[i] != 0)
			put_slot(s, hash(&entry_at(ix, old.numbers[i])->id), old.numbers[i]);
	free(old.numbers);
}

/* Adds an entry that is not there yet; the lock of its shard is held. */
static struct entry *
new_entry(struct hf_index *ix, const struct hf_blob *blob, uint64_t h)
{
	struct shard *s = shard_of(ix, h);
	uint32_t number = new_number(ix);
	struct entry *e = entry_at(ix, number);

	e->id = blob->id;
	make_room(ix, s);
	put_slot(s, h, number);
	s->len++;
	return e;
}

static void
publish(struct entry *e, enum hf_blob_type type, uint32_t where)
{
	atomic_store_explicit(
		&e->where, where | (type == HF_TREE ? WHERE_TREE : 0), memory_order_release);
}

static void
location(struct hf_index *ix, const struct entry *e, uint32_t where, uint32_t number,
	struct hf_location *out)
{
	out->pack_number = where - WHERE_PACK;
	out->pack = pack_at(ix, out->pack_number)->id;
	out->number = number;
	out->offset = e->offset;
	out->length = e->length;
	out->raw_length = e->raw_length;
}

bool
hf_index_find(
	struct hf_index *ix, const struct hf_blob *blob, unsigned nth, struct hf_location *out)
{
	uint64_t h = hash(&blob->id);
	struct shard *s = shard_of(ix, h);
	const struct entry *e;
	uint32_t where, number = 0;

	pthread_mutex_lock(&s->lock);
	struct probe p = probe_begin(ix, blob, h);
	while ((e = probe_next(&p, &where)) != NULL) {
		number = probe_skip(&p);
		if (where >= WHERE_PACK && nth-- == 0)
			break;
	}
	pthread_mutex_unlock(&s->lock);
	/* What has been stored never changes again, so the rest needs no lock. */
	if (e != NULL)
		location(ix, e, where, number, out);
	return e != NULL;
}

enum hf_claim
hf_index_claim(struct hf_index *ix, const struct hf_blob *blob)
{
	uint64_t h = hash(&blob->id);
	struct shard *s = shard_of(ix, h);
	enum hf_claim c = HF_CLAIM_NEW;
	uint32_t where;

	pthread_mutex_lock(&s->lock);
	struct probe p = probe_begin(ix, blob, h);
	if (probe_next(&p, &where) == NULL)
		publish(new_entry(ix, blob, h), blob->type, WHERE_PENDING);
	else
		c = where == WHERE_PENDING ? HF_CLAIM_PENDING : HF_CLAIM_STORED;
	pthread_mutex_unlock(&s->lock);
	return c;
}

/* Stores one entry. False: it is there already, identical in everything. */
static bool
add_entry(struct hf_index *ix, const struct hf_pack_entry *pe, uint32_t pack)
{
	uint64_t h = hash(&pe->blob.id);
	struct shard *s = shard_of(ix, h);
	struct entry *e, *place = NULL;
	uint32_t where;
	bool is_new = true;

	pthread_mutex_lock(&s->lock);
	struct probe p = probe_begin(ix, &pe->blob, h);
	while (is_new && (e = probe_next(&p, &where)) != NULL) {
		probe_skip(&p);
		if (where == WHERE_PENDING)
			place = e;
		else if (where == pack + WHERE_PACK && e->offset == pe->offset &&
			 e->length == pe->length && e->raw_length == pe->raw_length)
			is_new = false;
	}
	if (is_new) {
		if (place == NULL)
			place = new_entry(ix, &pe->blob, h);
		place->offset = pe->offset;
		place->length = pe->length;
		place->raw_length = pe->raw_length;
		publish(place, pe->blob.type, pack + WHERE_PACK);
	}
	pthread_mutex_unlock(&s->lock);
	return is_new;
}

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
		size_t slot = hash(&pack_at(ix, i)->id) & (ix->pack_cap - 1);

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
	size_t slot = hash(id) & (ix->pack_cap - 1);

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

void
hf_index_add_pack(struct hf_index *ix, const struct hf_id *pack,
	const struct hf_pack_entry *entries, size_t n)
{
	uint64_t sum[2], size = 0;
	uint32_t number, n_new = 0;
	unsigned types = 0;
	bool is_new;

	sum_entries(entries, n, sum);
	pthread_mutex_lock(&ix->packs_lock);
	struct pack *p = pack_get(ix, pack, &number, &is_new);
	if (is_new) {
		p->size = hf_pack_size(NULL, 0);
		p->n_listed = (uint32_t)n;
		memcpy(p->sum, sum, sizeof p->sum);
	} else if (p->n_listed == n && memcmp(p->sum, sum, sizeof sum) == 0) {
		p->is_duplicate = true;
	} else {
		p->is_split = true;
	}
	pthread_mutex_unlock(&ix->packs_lock);

	for (size_t i = 0; i < n; i++)
		if (add_entry(ix, &entries[i], number)) {
			size += entries[i].length + hf_pack_entry_len(&entries[i]);
			types |= 1U << entries[i].blob.type;
			n_new++;
		}

	pthread_mutex_lock(&ix->packs_lock);
	p->size += size;
	p->n_blobs += n_new;
	p->types |= (uint8_t)types;
	pthread_mutex_unlock(&ix->packs_lock);
}

size_t
hf_index_len(struct hf_index *ix)
{
	return atomic_load_explicit(&ix->len, memory_order_acquire);
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
	struct entry *e = entry_at(ix, number);
	if (e == NULL)
		return false;
	uint32_t where = atomic_load_explicit(&e->where, memory_order_acquire);
	if ((where & ~WHERE_TREE) < WHERE_PACK)
		return false;
	blob->id = e->id;
	blob->type = (where & WHERE_TREE) != 0 ? HF_TREE : HF_DATA;
	location(ix, e, where & ~WHERE_TREE, (uint32_t)number, out);
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
	for (size_t slot = hash(pack) & (ix->pack_cap - 1); ix->pack_cap > 0 && !found;
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
