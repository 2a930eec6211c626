/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is needed in packs that go, into new packs (A4). Several threads read: each takes a pack,
 * and of that the ranges in which the blobs lie, neighbours joined. A blob is authenticated and
 * hashed before it goes anywhere, and then stored as the sealed bytes that it was; only plain data
 * that shall be compressed is sealed anew.
 */

#include "base/group.h"
#include "base/host.h"
#include "engine/prune_i.h"
#include "engine/warm.h"
#include "repo/reader.h"
#include "repo/saver.h"

enum {
	MAX_THREADS = 16,
	WINDOW = 8 << 20, /* bytes read at once, unless one blob is larger */
	GAP = 256 << 10,  /* so many bytes are read in vain rather than asking twice */
};

struct repacking {
	struct prune *p;
	struct hf_saver *saver;
	uint32_t *first, *numbers; /* what is copied, by packs */
	atomic_size_t next;
	struct hf_stop failed; /* a sibling's */
};

/* What one thread has. */
struct mover {
	struct repacking *r;
	struct hf_reader *reader;
	struct hf_sealer *sealer;
	struct hf_buf bytes; /* a range of the pack */
	struct hf_buf scratch, plain;
};

/* ---- which ---- */

/*
 * True for the copy that counts, in a pack that is repacked, of a blob that is in no pack that
 * stays.
 */
static bool
is_moved(struct prune *p, size_t number, const struct hf_blob *blob,
	const struct hf_location *at)
{
	struct hf_location other;

	if (number >= p->n_blobs || !hf_bits_has(&p->chosen, number) ||
		p->packs[at->pack_number].action != PACK_REPACK)
		return false;
	if (!hf_bits_has(&p->dup, number))
		return true;
	for (unsigned i = 0; hf_index_find(p->ix, blob, i, &other); i++)
		if (!prune_drops(p, other.pack_number))
			return false;
	return true;
}

struct span {
	uint32_t offset, number;
};

static int
cmp_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

static struct hf_err *
sort_pack(struct prune *p, uint32_t *numbers, size_t n, struct hf_buf *scratch)
{
	hf_buf_reset(scratch);
	for (size_t i = 0; i < n; i++) {
		struct hf_location at;
		struct hf_blob blob;

		if (!hf_index_entry(p->ix, numbers[i], &blob, &at))
			abort();
		struct span s = {at.offset, numbers[i]};
		hf_buf_add(scratch, &s, sizeof s);
	}
	HF_TRY(hf_buf_ok(scratch));
	struct span *spans = (struct span *)(void *)scratch->p;
	if (n > 1)
		qsort(spans, n, sizeof *spans, cmp_spans);
	for (size_t i = 0; i < n; i++)
		numbers[i] = spans[i].number;
	return NULL;
}

/* As in engine/check_packs.c: first[i + 1] is where the next blob of pack i goes, in the end. */
static void
group(struct prune *p, size_t n_packs,
	bool (*wants)(
		struct prune *, size_t, const struct hf_blob *, const struct hf_location *),
	uint32_t *first, uint32_t *numbers)
{
	size_t n = hf_index_len(p->ix);
	struct hf_location at;
	struct hf_blob blob;

	for (size_t i = 0; i < n; i++)
		if (hf_index_entry(p->ix, i, &blob, &at) && at.pack_number < n_packs &&
			wants(p, i, &blob, &at)) {
			if (numbers != NULL)
				numbers[first[at.pack_number + 1]] = (uint32_t)i;
			first[at.pack_number + 1]++;
		}
}

struct hf_err *
prune_by_pack(struct prune *p,
	bool (*wants)(struct prune *p, size_t number, const struct hf_blob *blob,
		const struct hf_location *at),
	uint32_t **first, uint32_t **numbers)
{
	hf_auto(hf_buf) scratch = HF_BUF_SPOOL(SIZE_MAX / 2);
	size_t n_packs = hf_index_packs(p->ix);
	hf_autofree uint32_t *f = calloc(n_packs + 2, sizeof *f), *v = NULL;
	uint32_t sum = 0;

	if (f == NULL)
		return hf_err(HF_EFATAL, "no memory for %zu packs", n_packs);
	group(p, n_packs, wants, f, NULL);
	for (size_t i = 0; i < n_packs; i++) {
		uint32_t n = f[i + 1];

		f[i + 1] = sum;
		sum += n;
	}
	v = calloc((size_t)sum + 1, sizeof *v);
	if (v == NULL)
		return hf_err(HF_EFATAL, "no memory for %u blobs", sum);
	group(p, n_packs, wants, f, v);
	for (size_t i = 0; i < n_packs; i++)
		HF_TRY(sort_pack(p, v + f[i], f[i + 1] - f[i], &scratch));
	*first = hf_steal(f);
	*numbers = hf_steal(v);
	return NULL;
}

/* ---- moving ---- */

/* The bytes as they lie in the pack did not verify: another copy, or another try. */
static struct hf_err *
move_otherwise(struct mover *m, const struct hf_blob *blob)
{
	hf_buf_reset(&m->plain);
	HF_TRY(hf_reader_blob(m->reader, blob, &m->plain));
	return hf_sealer_remake(m->sealer, blob, hf_buf_bytes(&m->plain));
}

static bool
is_remade(const struct prune *p, const struct hf_blob *blob, const struct hf_location *at)
{
	return hf_repo_config(p->repo)->version >= 2 && at->raw_length == 0 &&
	       (blob->type == HF_TREE || p->o->compresses);
}

static struct hf_err *
move(struct mover *m, const struct hf_blob *blob, const struct hf_location *at,
	struct hf_bytes sealed)
{
	const struct hf_pack_entry e = {
		.blob = *blob, .length = at->length, .raw_length = at->raw_length};

	/* It is opened in place. */
	hf_buf_reset(&m->scratch);
	hf_buf_reset(&m->plain);
	hf_buf_add(&m->scratch, sealed.p, sealed.len);
	HF_TRY(hf_buf_ok(&m->scratch));
	struct hf_err *e2 = hf_reader_open(
		m->reader, blob, m->scratch.p, at->length, at->raw_length, &m->plain);
	if (e2 != NULL && hf_err_code(e2) == HF_ECORRUPT) {
		hf_err_free(e2);
		return move_otherwise(m, blob);
	}
	HF_TRY(e2);
	if (is_remade(m->r->p, blob, at))
		return hf_sealer_remake(m->sealer, blob, hf_buf_bytes(&m->plain));
	return hf_sealer_move(m->sealer, &e, sealed);
}

/* How many of the blobs from numbers[0] on are read at once; their range. */
static size_t
take_window(struct prune *p, const uint32_t *numbers, size_t n, uint64_t *begin, uint64_t *end)
{
	for (size_t i = 0; i < n; i++) {
		struct hf_location at;
		struct hf_blob blob;

		if (!hf_index_entry(p->ix, numbers[i], &blob, &at))
			abort();
		uint64_t to = (uint64_t)at.offset + at.length;
		if (i == 0) {
			*begin = at.offset;
			*end = to;
		} else if (at.offset > *end + GAP || to > *begin + WINDOW) {
			return i;
		} else if (to > *end) {
			*end = to;
		}
	}
	return n;
}

static struct hf_err *
move_window(struct mover *m, const uint32_t *numbers, size_t n, uint64_t begin)
{
	for (size_t i = 0; i < n; i++) {
		struct hf_location at;
		struct hf_blob blob;

		if (!hf_index_entry(m->r->p->ix, numbers[i], &blob, &at))
			abort();
		struct hf_bytes sealed = {m->bytes.p + (at.offset - begin), at.length};
		HF_TRY(move(m, &blob, &at, sealed));
	}
	return NULL;
}

static struct hf_err *
move_pack(struct mover *m, size_t pack)
{
	struct prune *p = m->r->p;
	const uint32_t *numbers = m->r->numbers + m->r->first[pack];
	size_t n = m->r->first[pack + 1] - m->r->first[pack];
	struct hf_name name = {
		.kind = HF_PACK, .is_meta = p->packs[pack].types == 1 << HF_TREE};
	uint64_t begin = 0, end = 0;

	if (!hf_index_pack(p->ix, pack, &name.id))
		abort();
	while (n > 0) {
		HF_TRY(hf_stop_check(p->stop));
		HF_TRY(hf_stop_check(&m->r->failed));
		size_t taken = take_window(p, numbers, n, &begin, &end);

		hf_buf_reset(&m->bytes);
		HF_TRY(hf_store_get(hf_repo_store(p->repo), &name, begin, (size_t)(end - begin),
			&m->bytes));
		HF_TRY(move_window(m, numbers, taken, begin));
		numbers += taken;
		n -= taken;
	}
	atomic_fetch_add_explicit(p->done, 1, memory_order_relaxed);
	return NULL;
}

static struct hf_err *
move_packs(struct mover *m)
{
	struct repacking *r = m->r;
	size_t i;

	while ((i = atomic_fetch_add(&r->next, 1)) < r->p->n_packs)
		if (r->p->packs[i].action == PACK_REPACK)
			HF_TRY(move_pack(m, i));
	return NULL;
}

static struct hf_err *
move_thread(void *arg)
{
	struct repacking *r = arg;
	struct mover m = {
		.r = r,
		.reader = hf_reader_new(r->p->repo, r->p->ix),
		.sealer = hf_sealer_new(r->saver),
		.bytes = HF_BUF_SPOOL(UINT32_MAX + (size_t)WINDOW),
		.scratch = HF_BUF_SPOOL(UINT32_MAX),
		.plain = HF_BUF_SPOOL(UINT32_MAX),
	};
	struct hf_err *e = move_packs(&m);

	hf_reader_free(m.reader);
	hf_sealer_free(m.sealer);
	hf_buf_clear(&m.bytes);
	hf_buf_clear(&m.scratch);
	hf_buf_clear(&m.plain);
	return e;
}

static void
stop_moving(void *arg)
{
	hf_stop_set(&((struct repacking *)arg)->failed);
}

/* All of them at once, before the first is read. */
static struct hf_err *
warm(const struct prune *p)
{
	hf_auto(hf_bits) packs = {0};

	if (!hf_warm_is_wanted(p->repo))
		return NULL;
	hf_bits_init(&packs, p->n_packs);
	for (size_t i = 0; i < p->n_packs; i++)
		if (p->packs[i].action == PACK_REPACK)
			hf_bits_add(&packs, i);
	return hf_warm_packs(p->repo, p->ix, &packs, p->stop);
}

/* One connection stays free for uploads, as they hold up everything when they wait. */
static struct hf_err *
run(struct repacking *r)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_moving, r);
	unsigned n = hf_store_connections(hf_repo_store(r->p->repo)) - 1;
	unsigned cpus = hf_cpus();

	if (cpus > n)
		n = cpus;
	if (n > MAX_THREADS)
		n = MAX_THREADS;
	for (unsigned i = 0; i < n && i < r->p->plan.n_repack; i++)
		HF_TRY(hf_group_go(g, "repack", move_thread, r));
	return hf_group_wait(g);
}

/* prune.h (1): what is needed has a copy that stays. */
static struct hf_err *
check_copies(struct prune *p)
{
	for (size_t i = 0; i < p->n_blobs; i++) {
		struct hf_location at;
		struct hf_blob blob;
		bool stays = false;

		if (!hf_bits_has(&p->used, i) || !hf_index_entry(p->ix, i, &blob, &at))
			continue;
		stays = !prune_drops(p, at.pack_number);
		for (unsigned k = 0; !stays && hf_index_find(p->ix, &blob, k, &at); k++)
			stays = !prune_drops(p, at.pack_number);
		if (!stays)
			return hf_err(HF_EFATAL,
				"internal error: %s %s would be lost\n"
				"nothing was deleted; please report this",
				hf_blob_type_text(blob.type), hf_id_hex(&blob.id).s);
	}
	return NULL;
}

/* What is uploaded gets an index file in any case, so that the next prune need not do it again. */
static struct hf_err *
move_all(struct repacking *r)
{
	struct hf_saver_options so = {.lease = r->p->lease};
	hf_autoptr(hf_saver) saver = NULL;

	HF_TRY(hf_saver_new(r->p->repo, r->p->ix, &so, &saver));
	r->saver = saver;
	struct hf_err *e = run(r);
	struct hf_err *flushed = hf_saver_flush(saver);
	if (e == NULL || (flushed != NULL && hf_err_code(e) == HF_ECANCELED &&
				 !hf_stop_is_set(r->p->stop))) {
		hf_err_free(e); /* it was the uploads that failed first */
		return flushed;
	}
	hf_err_free(flushed);
	return e;
}

struct hf_err *
prune_repack(struct prune *p)
{
	struct repacking r = {.p = p};

	if (p->plan.n_repack > 0) {
		prune_phase(p, HF_PRUNE_REPACK, p->plan.n_repack);
		HF_TRY(warm(p));
		HF_TRY(prune_by_pack(p, is_moved, &r.first, &r.numbers));
		struct hf_err *e = move_all(&r);
		free(r.first);
		free(r.numbers);
		HF_TRY(e);
	}
	return check_copies(p);
}
