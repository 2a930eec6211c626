/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One shard of the table from blobs to numbers. Open addressing: a slot is a byte of the hash, to
 * pass over strangers without a look at their entries, and a number. Copies of a blob stand in slots
 * of their own.
 */
#include <sys/mman.h>

#include "base/endian.h"
#include "repo/index_i.h"

/* A blob that somebody is about to store. Free ones are a list. */
struct claim {
	struct hf_id id;
	enum hf_blob_type type;
	uint32_t next;
};

enum {
	SLOT = 5,
	MAPPED = 16 << 10
}; /* bytes: of a slot, and of tables with pages of their own */

/*
 * Zeroed. Larger ones get pages of their own, so that what is left behind by one that has grown
 * goes back to the system: nothing else would fit into the gap.
 */
static void *
table_new(uint32_t cap)
{
	size_t len = (size_t)cap * SLOT;

	if (len < MAPPED)
		return hf_alloc_(len, 1);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort(); /* as hf_alloc_() would */
	return p;
}

static void
table_free(void *p, uint32_t cap)
{
	size_t len = (size_t)cap * SLOT;

	if (len < MAPPED)
		free(p);
	else
		munmap(p, len);
}

void
shard_init(struct shard *s)
{
	pthread_mutex_init(&s->lock, NULL);
}

void
shard_clear(struct shard *s)
{
	table_free(s->numbers, s->cap);
	free(s->claims);
	pthread_mutex_destroy(&s->lock);
}

/*
 * Ids are hashes already; the multiplication is there for the ids of tests, and for those that
 * somebody chose.
 */
uint64_t
index_hash(const struct hf_id *id)
{
	uint64_t h = (hf_get_le64(id->b) ^ (hf_get_le64(id->b + 16) >> 1)) *
		     UINT64_C(0x9e3779b97f4a7c15);

	return h ^ h >> 32;
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

struct probe
probe_begin(const struct entries *en, struct shard *s, const struct hf_blob *blob, uint64_t h)
{
	return (struct probe){en, s, blob, slot_of(h, s->cap), tag_of(h)};
}

static const struct hf_id *
id_of(const struct entries *en, const struct shard *s, uint32_t number)
{
	return (number & CLAIM) != 0 ? &s->claims[number & ~CLAIM].id : entries_id(en, number);
}

static bool
is_of(const struct entries *en, const struct shard *s, uint32_t number,
	const struct hf_blob *blob)
{
	if (!hf_id_eq(id_of(en, s, number), &blob->id))
		return false;
	return blob->type == ((number & CLAIM) != 0 ? s->claims[number & ~CLAIM].type
						    : entries_type(en, number));
}

uint32_t *
probe_next(struct probe *p)
{
	const struct shard *s = p->s;

	while (s->cap != 0 && s->tags[p->slot] != 0) {
		uint32_t *number = &s->numbers[p->slot];
		bool is_found =
			s->tags[p->slot] == p->tag && is_of(p->entries, s, *number, p->blob);

		p->slot = p->slot + 1 < s->cap ? p->slot + 1 : 0;
		if (is_found)
			return number;
	}
	return NULL;
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
make_room(const struct entries *en, struct shard *s)
{
	if (s->len < s->cap - s->cap / 8)
		return;
	struct shard old = *s;
	uint32_t cap = old.cap < 64 ? 64 : old.cap + old.cap / 3;

	/* One block: numbers, then tags. */
	s->numbers = table_new(cap);
	s->tags = (uint8_t *)(s->numbers + cap);
	s->cap = cap;
	for (uint32_t i = 0; i < old.cap; i++)
		if (old.tags[i] != 0)
			put_slot(s, index_hash(id_of(en, s, old.numbers[i])), old.numbers[i]);
	table_free(old.numbers, old.cap);
}

void
shard_add(const struct entries *en, struct shard *s, uint64_t h, uint32_t number)
{
	make_room(en, s);
	put_slot(s, h, number);
	s->len++;
}

uint32_t
shard_claim(struct shard *s, const struct hf_blob *blob)
{
	uint32_t i = s->free_claim - 1;

	if (s->free_claim != 0) {
		s->free_claim = s->claims[i].next;
	} else {
		if (s->n_claims == s->cap_claims) {
			s->cap_claims = s->cap_claims * 2 + 8;
			s->claims =
				hf_realloc_array(s->claims, s->cap_claims, sizeof *s->claims);
		}
		i = s->n_claims++;
	}
	s->claims[i] = (struct claim){blob->id, blob->type, 0};
	return i | CLAIM;
}

void
shard_unclaim(struct shard *s, uint32_t number)
{
	s->claims[number & ~CLAIM].next = s->free_claim;
	s->free_claim = (number & ~CLAIM) + 1;
}
