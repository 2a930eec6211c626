/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What becomes of each pack (A3). The rules and the figures are restic's (restic-format 12.2), but
 * for the choice among copies (prune_choose.c).
 */
#include <math.h>

#include "base/each.h"
#include "engine/prune_i.h"

enum {
	MIN_PACK = 4 << 20, /* bytes, below which no pack size may be set */
	MAX_ASKING = 64,    /* threads */
	FEW_SMALL = 10,     /* so few small packs are not worth the trouble */
};

static void
look_at_packs(struct prune *p)
{
	p->n_packs = hf_index_packs(p->ix);
	p->packs = hf_alloc_(p->n_packs + 1, sizeof *p->packs);
	for (size_t i = 0; i < p->n_packs; i++) {
		struct hf_index_pack_info info;

		if (!hf_index_pack_info(p->ix, i, &info))
			continue;
		p->packs[i].size = info.size;
		p->packs[i].types = info.types;
	}
}

static uint64_t
used_size(const struct pack_state *pk)
{
	return pk->size - pk->unused_size;
}

static int
cmp_sizes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* A pack below this is small: most of what there is is larger. */
static uint64_t
target_size(const struct prune *p)
{
	if (p->o->small_pack > 0 || p->n_packs == 0)
		return p->o->small_pack;
	hf_autofree uint64_t *sizes = hf_alloc_(p->n_packs, sizeof *sizes);
	for (size_t i = 0; i < p->n_packs; i++)
		sizes[i] = p->packs[i].size;
	qsort(sizes, p->n_packs, sizeof *sizes, cmp_sizes);
	uint64_t low = sizes[p->n_packs * 3 / 100];
	return (low > MIN_PACK ? low : MIN_PACK) * 4 / 5;
}

struct candidates {
	uint32_t *v; /* numbers of packs */
	size_t len;
};

struct deciding {
	struct prune *p;
	uint64_t target;
	struct candidates large, small;
};

/* ---- what only the store knows ---- */

/* One pack, and the answer. */
struct question {
	struct hf_id id;
	uint32_t number; /* of a pack that the index lists */
	bool is_there;
	double age_s;
	uint64_t size;
};

struct questions {
	struct hf_store *store;
	struct question *v; /* owned */
	size_t n, cap;
};

static void
questions_clear(struct questions *q)
{
	free(q->v);
}

static void
question_add(struct questions *q, const struct hf_id *id, uint32_t number)
{
	if (q->n == q->cap) {
		q->cap = q->cap == 0 ? 16 : 2 * q->cap;
		q->v = hf_realloc_array(q->v, q->cap, sizeof *q->v);
	}
	q->v[q->n++] = (struct question){.id = *id, .number = number};
}

static struct hf_err *
ask_age(void *arg, size_t i)
{
	struct questions *q = arg;
	struct hf_name name = {HF_PACK, q->v[i].id};
	struct hf_err *e = hf_store_age(q->store, &name, &q->v[i].age_s);

	q->v[i].is_there = e == NULL;
	return hf_err_ignore(e, HF_ENOTFOUND);
}

static struct hf_err *
ask_size(void *arg, size_t i)
{
	struct questions *q = arg;
	struct hf_name name = {HF_PACK, q->v[i].id};
	struct hf_err *e = hf_store_stat(q->store, &name, &q->v[i].size);

	q->v[i].is_there = e == NULL;
	return hf_err_ignore(e, HF_ENOTFOUND);
}

/* As many at once as there are connections. */
static struct hf_err *
ask(struct prune *p, struct questions *q, struct hf_err *(*one)(void *, size_t))
{
	q->store = hf_repo_store(p->repo);
	const struct hf_each all = {
		.n = q->n,
		.threads = hf_store_workers(q->store, MAX_ASKING),
		.name = "ask",
		.stop = p->stop,
		.one = one,
		.arg = q,
	};

	return hf_each(&all);
}

/* ---- the decisions ---- */

/* A pack that no index lists: it goes, unless somebody may still be about to list it. */
static void
decide_unlisted(struct prune *p, const struct question *q, uint64_t size)
{
	struct hf_hex id = hf_id_hex(&q->id);

	if (!q->is_there)
		return;
	if (!isnan(q->age_s) && q->age_s < HF_PRUNE_YOUNG_S) {
		prune_say(p, false,
			"pack %.8s is not indexed, but so young that it may yet be: it stays",
			id.s);
		return;
	}
	prune_say(p, false, "will remove pack %.8s as it is unused and not indexed", id.s);
	prune_add_id(&p->plan.unref, &p->plan.n_unref, &q->id);
	p->plan.stats.size.unref += size;
}

static void
count_pack(struct prune *p, const struct pack_state *pk)
{
	struct hf_prune_stats *st = &p->plan.stats;

	if (pk->n_used == 0)
		st->packs.unused++;
	else if (pk->n_unused == 0)
		st->packs.used++;
	else
		st->packs.partly_used++;
	if (pk->is_plain)
		st->size.uncompressed += pk->size;
}

static struct hf_err *
decide_pack(struct deciding *d, uint32_t number, const struct hf_id *id, uint64_t size)
{
	struct prune *p = d->p;
	struct pack_state *pk = &p->packs[number];
	struct hf_prune_stats *st = &p->plan.stats;

	if (pk->size != size && pk->n_used > 0) {
		prune_say(p, true,
			"pack %.8s: calculated size %ju does not match real size %ju\n"
			"`repair index` corrects that, if the pack is sound",
			hf_id_hex(id).s, (uintmax_t)pk->size, (uintmax_t)size);
		return hf_err(
			HF_ECORRUPT, "pack size does not match calculated size from index");
	}
	count_pack(p, pk);
	pk->action = PACK_KEEP;
	if (pk->n_used == 0) {
		pk->action = PACK_REMOVE;
		st->blobs.remove += pk->n_unused;
		st->size.remove += pk->unused_size;
	} else if (p->o->cacheable_only && pk->types == ONLY_DATA) {
		st->packs.keep++;
	} else if (pk->n_unused == 0 && pk->types != MIXED && !prune_must_compress(p, pk)) {
		if (size >= d->target)
			st->packs.keep++;
		else
			d->small.v[d->small.len++] = number;
	} else {
		d->large.v[d->large.len++] = number;
	}
	return NULL;
}

/* The list of the store against that of the index. */
static struct hf_err *
decide_files(struct deciding *d)
{
	__attribute__((cleanup(questions_clear))) struct questions unlisted = {0};
	struct prune *p = d->p;
	size_t next = 0;
	uint32_t number;

	for (size_t i = 0; i < p->n_files; i++)
		if (!hf_index_find_pack(p->ix, &p->files[i], &number))
			question_add(&unlisted, &p->files[i], 0);
	HF_TRY(ask(p, &unlisted, ask_age));
	for (size_t i = 0; i < p->n_files; i++) {
		HF_TRY(hf_stop_check(p->stop));
		if (!hf_index_find_pack(p->ix, &p->files[i], &number)) {
			decide_unlisted(p, &unlisted.v[next++], p->sizes[i]);
			continue;
		}
		HF_TRY(decide_pack(d, number, &p->files[i], p->sizes[i]));
		atomic_fetch_add_explicit(p->done, 1, memory_order_relaxed);
	}
	return NULL;
}

/*
 * Packs that came between the listing of packs and the loading of the index, by a backup that runs
 * beside us: those are asked for.
 */
static struct hf_err *
decide_late(struct deciding *d)
{
	__attribute__((cleanup(questions_clear))) struct questions late = {0};
	struct prune *p = d->p;
	struct hf_id id;

	for (uint32_t i = 0; i < p->n_packs; i++)
		if (p->packs[i].action == PACK_UNSEEN && hf_index_pack(p->ix, i, &id))
			question_add(&late, &id, i);
	HF_TRY(ask(p, &late, ask_size));
	for (size_t i = 0; i < late.n; i++)
		if (late.v[i].is_there)
			HF_TRY(decide_pack(d, late.v[i].number, &late.v[i].id, late.v[i].size));
	return NULL;
}

/* Packs that are listed and not there: needed, or only their listing is in the way. */
static struct hf_err *
decide_missing(struct prune *p)
{
	struct hf_prune_stats *st = &p->plan.stats;
	size_t n_needed = 0;
	struct hf_id id;

	for (size_t i = 0; i < p->n_packs; i++) {
		struct pack_state *pk = &p->packs[i];

		if (pk->action != PACK_UNSEEN || !hf_index_pack(p->ix, i, &id))
			continue;
		n_needed += pk->n_used > 0;
		if (pk->n_used > 0)
			continue;
		pk->action = PACK_GONE;
		st->blobs.remove += pk->n_unused;
		st->size.remove += pk->unused_size;
		prune_add_id(&p->plan.gone, &p->plan.n_gone, &id);
	}
	if (n_needed > 0) {
		prune_say(p, true,
			"The index references %zu needed pack files which are missing from the "
			"repository:",
			n_needed);
		for (size_t i = 0; i < p->n_packs; i++)
			if (p->packs[i].action == PACK_UNSEEN && hf_index_pack(p->ix, i, &id))
				prune_say(p, true, "  %s", hf_id_hex(&id).s);
		return hf_err(HF_ECORRUPT,
			"packs from index missing in repo\n"
			"`repair index` and then `repair snapshots` leave out what is lost; a "
			"backup "
			"before that may bring some of it back");
	}
	if (p->plan.n_gone > 0)
		prune_say(p, true,
			"Missing but unneeded pack files are referenced in the index, will be "
			"repaired");
	for (size_t i = 0; i < p->plan.n_gone; i++)
		prune_say(p, true, "will forget missing pack file %s",
			hf_id_hex(&p->plan.gone[i]).s);
	return NULL;
}

/* ---- repacking ---- */

/* Trees first, then small ones, then those with the largest part that is not needed. */
static int
cmp_candidates(const void *a, const void *b, void *arg)
{
	const struct deciding *d = arg;
	const uint32_t *m = a, *n = b;
	const struct pack_state *x = &d->p->packs[*m], *y = &d->p->packs[*n];
	bool x_first = x->types != ONLY_DATA, y_first = y->types != ONLY_DATA;

	if (x_first == y_first) {
		x_first = x->size < d->target;
		y_first = y->size < d->target;
	}
	if (x_first == y_first) {
		uint64_t left = x->unused_size * used_size(y);
		uint64_t right = y->unused_size * used_size(x);

		if (left == right)
			return (*m > *n) - (*m < *n);
		x_first = left > right;
		y_first = !x_first;
	}
	return (int)y_first - (int)x_first;
}

static uint64_t
max_unused(const struct prune *p)
{
	double percent = p->o->unused_percent;

	switch (p->o->max_unused) {
	case HF_UNUSED_ANY:
		return UINT64_MAX;
	case HF_UNUSED_BYTES:
		return p->o->unused_bytes;
	case HF_UNUSED_PERCENT:
		break;
	}
	return (uint64_t)(percent / (100 - percent) * (double)p->plan.stats.size.used);
}

static void
repack(struct prune *p, struct pack_state *pk)
{
	struct hf_prune_stats *st = &p->plan.stats;

	pk->action = PACK_REPACK;
	st->blobs.repack += pk->n_unused + pk->n_used;
	st->size.repack += pk->size;
	st->blobs.repack_rm += pk->n_unused;
	st->size.repack_rm += pk->unused_size;
	if (pk->is_plain)
		st->size.uncompressed -= pk->size;
}

static void
decide_candidates(struct deciding *d)
{
	struct prune *p = d->p;
	struct hf_prune_stats *st = &p->plan.stats;
	struct candidates *c = &d->large;
	uint64_t max = max_unused(p), max_repack = p->o->is_recovery ? 0 : p->o->max_repack;

	if (d->small.len < FEW_SMALL)
		st->packs.keep += d->small.len;
	else
		for (size_t i = 0; i < d->small.len; i++)
			c->v[c->len++] = d->small.v[i];
	if (c->len > 1)
		qsort_r(c->v, c->len, sizeof *c->v, cmp_candidates, d);
	for (size_t i = 0; i < c->len; i++) {
		struct pack_state *pk = &p->packs[c->v[i]];
		uint64_t unused = st->size.duplicate + st->size.unused - st->size.remove -
				  st->size.repack_rm;
		bool must = pk->types != ONLY_DATA || prune_must_compress(p, pk);

		if (st->size.repack + pk->size >= max_repack ||
			(!must && unused < max && pk->size >= d->target))
			st->packs.keep++;
		else
			repack(p, pk);
	}
}

static void
list_packs(struct prune *p)
{
	struct hf_prune_plan *plan = &p->plan;
	struct hf_id id;

	for (size_t i = 0; i < p->n_packs; i++) {
		if (!hf_index_pack(p->ix, i, &id))
			continue;
		if (p->packs[i].action == PACK_REPACK)
			prune_add_id(&plan->repack, &plan->n_repack, &id);
		else if (p->packs[i].action == PACK_REMOVE)
			prune_add_id(&plan->remove, &plan->n_remove, &id);
	}
	hf_id_sort(plan->repack, plan->n_repack);
	hf_id_sort(plan->remove, plan->n_remove);
	plan->stats.packs.unref = plan->n_unref;
	plan->stats.packs.repack = plan->n_repack;
	plan->stats.packs.remove = plan->n_remove;
	if (hf_repo_config(p->repo)->version < 2)
		plan->stats.size.uncompressed = 0;
}

struct hf_err *
prune_plan(struct prune *p)
{
	prune_phase(p, HF_PRUNE_SEARCH, 0);
	p->n_blobs = hf_index_len(p->ix);
	look_at_packs(p);
	HF_TRY(prune_choose(p));

	struct deciding d = {.p = p, .target = target_size(p)};
	d.large.v = hf_alloc_(p->n_packs + 1, sizeof *d.large.v);
	d.small.v = hf_alloc_(p->n_packs + 1, sizeof *d.small.v);
	prune_phase(p, HF_PRUNE_COLLECT, p->n_packs);
	struct hf_err *e = decide_files(&d);
	if (e == NULL)
		e = decide_late(&d);
	if (e == NULL)
		e = decide_missing(p);
	if (e == NULL) {
		decide_candidates(&d);
		list_packs(p);
	}
	free(d.large.v);
	free(d.small.v);
	return e;
}
