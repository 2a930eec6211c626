/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which blobs are needed, and which of several copies is the one that counts (A3). Restic takes any;
 * here it is that in the best pack, so that the packs which an earlier prune has written win over
 * those that it could not delete any more.
 */
#include "engine/prune_i.h"

/* ---- blobs ---- */

/* From "the first copy is needed" to "this copy is of a needed blob", and which have copies. */
static void
spread_marks(struct prune *p)
{
	for (size_t i = 0; i < p->n_blobs; i++) {
		struct hf_location at, first;
		struct hf_blob blob;

		if (!hf_index_entry(p->ix, i, &blob, &at) ||
			!hf_index_find(p->ix, &blob, 0, &first) || first.number == i ||
			!hf_bits_has(&p->used, first.number))
			continue;
		hf_bits_add(&p->used, i);
		hf_bits_add(&p->dup, i);
		hf_bits_add(&p->dup, first.number);
	}
}

static void
count_blobs(struct prune *p)
{
	struct hf_prune_stats *st = &p->plan.stats;

	for (size_t i = 0; i < p->n_blobs; i++) {
		struct hf_location at;
		struct hf_blob blob;

		if (!hf_index_entry(p->ix, i, &blob, &at))
			continue;
		struct pack_state *pk = &p->packs[at.pack_number];
		pk->is_plain |= at.raw_length == 0;
		if (hf_bits_has(&p->used, i) && !hf_bits_has(&p->dup, i)) {
			pk->n_used++;
			pk->n_single++;
			st->blobs.used++;
			st->size.used += at.length;
			hf_bits_add(&p->chosen, i);
			continue;
		}
		pk->n_unused++;
		pk->unused_size += at.length;
		if (hf_bits_has(&p->used, i)) {
			st->blobs.duplicate++;
			st->size.duplicate += at.length;
		} else {
			pk->n_garbage++;
			st->blobs.unused++;
			st->size.unused += at.length;
		}
	}
}

/* ---- copies ---- */

/* Packs in which needed blobs are that have copies, best first. */
static int
cmp_places(const void *a, const void *b, void *arg)
{
	const struct prune *p = arg;
	const uint32_t *m = a, *n = b;
	const struct pack_state *x = &p->packs[*m], *y = &p->packs[*n];

	/* Without garbage it can stay as it is: so are the packs that a prune has written. */
	if ((x->n_garbage == 0) != (y->n_garbage == 0))
		return x->n_garbage == 0 ? -1 : 1;
	if ((x->types == MIXED) != (y->types == MIXED))
		return y->types == MIXED ? -1 : 1;
	if (prune_must_compress(p, x) != prune_must_compress(p, y))
		return prune_must_compress(p, y) ? -1 : 1;
	if ((x->n_single > 0) != (y->n_single > 0))
		return x->n_single > 0 ? -1 : 1;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return (*m > *n) - (*m < *n);
}

static bool
has_copies(struct prune *p, size_t number, const struct hf_blob *blob,
	const struct hf_location *at)
{
	(void)blob;
	(void)at;
	return hf_bits_has(&p->dup, number);
}

struct choosing {
	struct prune *p;
	uint32_t *first, *numbers; /* entries with copies, by pack */
	uint32_t *blobs;           /* of each of them, the number of its blob's first copy */
	uint32_t *packs;           /* those that have any, best first */
	size_t n_packs;
	struct hf_bits is_settled; /* by the number of a blob's first copy */
};

/* Of all entries with copies, which of them are the same blob. */
static void
find_blobs(struct choosing *c)
{
	struct prune *p = c->p;
	size_t n = c->first[p->n_packs];

	c->blobs = hf_alloc_(n + 1, sizeof *c->blobs);
	for (size_t i = 0; i < n; i++) {
		struct hf_location at, first;
		struct hf_blob blob;

		if (!hf_index_entry(p->ix, c->numbers[i], &blob, &at) ||
			!hf_index_find(p->ix, &blob, 0, &first))
			abort(); /* it is one of those that spread_marks() has found so */
		c->blobs[i] = first.number;
	}
}

/* Whether nothing in the pack has been settled elsewhere, so that all of it would be used. */
static bool
is_whole(struct choosing *c, uint32_t pack)
{
	for (size_t i = c->first[pack]; i < c->first[pack + 1]; i++)
		if (hf_bits_has(&c->is_settled, c->blobs[i]))
			return false;
	return true;
}

/* What is in the pack and not settled yet is used from here. */
static void
settle(struct choosing *c, uint32_t pack)
{
	struct hf_prune_stats *st = &c->p->plan.stats;
	struct pack_state *pk = &c->p->packs[pack];

	for (size_t i = c->first[pack]; i < c->first[pack + 1]; i++) {
		struct hf_location at;
		struct hf_blob blob;

		if (hf_bits_has(&c->is_settled, c->blobs[i]) ||
			!hf_index_entry(c->p->ix, c->numbers[i], &blob, &at))
			continue;
		hf_bits_add(&c->is_settled, c->blobs[i]);
		hf_bits_add(&c->p->chosen, c->numbers[i]);
		pk->n_used++;
		pk->n_unused--;
		pk->unused_size -= at.length;
		st->blobs.used++;
		st->size.used += at.length;
		st->blobs.duplicate--;
		st->size.duplicate -= at.length;
	}
}

/*
 * Of each blob with copies one becomes the one that is used. Packs that can be used as a whole come
 * first, so that those which an earlier prune has written, and whose sources it could not delete,
 * are whole again, whatever the sizes; of a pack that is not whole the rest would have to be moved.
 */
static struct hf_err *
choose_copies(struct prune *p)
{
	struct choosing c = {.p = p};
	bool clean[] = {true, true, false, false}, whole[] = {true, false, true, false};

	HF_TRY(prune_by_pack(p, has_copies, &c.first, &c.numbers));
	find_blobs(&c);
	c.packs = hf_alloc_(p->n_packs + 1, sizeof *c.packs);
	hf_bits_init(&c.is_settled, p->n_blobs);
	for (uint32_t i = 0; i < p->n_packs; i++)
		if (c.first[i] < c.first[i + 1])
			c.packs[c.n_packs++] = i;
	if (c.n_packs > 1)
		qsort_r(c.packs, c.n_packs, sizeof *c.packs, cmp_places, p);
	for (size_t pass = 0; pass < sizeof clean / sizeof clean[0]; pass++)
		for (size_t i = 0; i < c.n_packs; i++)
			if ((p->packs[c.packs[i]].n_garbage == 0) == clean[pass] &&
				(!whole[pass] || is_whole(&c, c.packs[i])))
				settle(&c, c.packs[i]);
	free(c.first);
	free(c.numbers);
	free(c.blobs);
	free(c.packs);
	hf_bits_clear(&c.is_settled);
	return NULL;
}

/* Which blobs are needed, how many of each pack are, and which copy of each is the one. */
struct hf_err *
prune_choose(struct prune *p)
{
	hf_bits_init(&p->dup, p->n_blobs);
	hf_bits_init(&p->chosen, p->n_blobs);
	spread_marks(p);
	count_blobs(p);
	return choose_copies(p);
}
