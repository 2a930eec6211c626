/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/copy.h"

#include <pthread.h>

#include "base/bits.h"
#include "base/group.h"
#include "base/host.h"
#include "engine/mark.h"
#include "engine/warm.h"
#include "repo/opened.h"

enum {
	RANGE_MAX = 16 << 20, /* bytes read at once, but for a blob that is larger */
	NEAR_GAP = 256 << 10, /* bytes that are rather read than skipped */
	FAR_GAP = 1 << 20,
	MAX_THREADS = 8, /* each has a range in memory */
};

/* A blob to be copied, by its first copy in the source. */
struct want {
	uint32_t pack; /* its number */
	uint32_t offset, length;
	uint32_t number; /* of the entry */
};

struct hf_copy {
	struct hf_copy_options o;
	bool keeps_packed; /* compressed blobs stay as they are */
	uint32_t gap;
	struct hf_bits seen;    /* blobs that were met in any snapshot */
	struct hf_bits packs;   /* of those wanted now */
	struct hf_saver *saver; /* of the batch; NULL: nothing to save so far */
	struct hf_copy_progress *progress;

	pthread_mutex_t lock; /* guards the following */
	struct want *v;       /* what is wanted now */
	size_t len, cap;
	size_t next; /* of those that nobody has taken */
	struct hf_copy_found found;
};

struct hf_copy *
hf_copy_new(const struct hf_copy_options *o)
{
	struct hf_copy *c = hf_new(struct hf_copy);

	c->o = *o;
	c->keeps_packed = hf_repo_config(o->to)->version >= 2 &&
			  hf_repo_opts(o->to)->compression == HF_COMPRESS_AUTO;
	c->gap = hf_store_is_near(hf_repo_store(o->from)) ? NEAR_GAP : FAR_GAP;
	hf_bits_init(&c->seen, hf_index_len(o->from_ix));
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
hf_copy_free(struct hf_copy *c)
{
	if (c == NULL)
		return;
	hf_saver_free(c->saver);
	hf_bits_clear(&c->seen);
	hf_bits_clear(&c->packs);
	pthread_mutex_destroy(&c->lock);
	free(c->v);
	free(c);
}

/* ---- which blobs ---- */

/* All packs that have a copy of it are counted, as restic does. The lock is held. */
static void
count_packs(struct hf_copy *c, const struct hf_blob *blob)
{
	struct hf_location at;

	for (unsigned i = 0; hf_index_find(c->o.from_ix, blob, i, &at); i++)
		c->found.packs += hf_bits_add(&c->packs, at.pack_number);
}

/* Trees that were met before have been walked. */
static struct hf_err *
want(void *arg, const struct hf_blob *blob, bool *is_new)
{
	struct hf_copy *c = arg;
	struct hf_location at;

	if (!hf_index_find(c->o.from_ix, blob, 0, &at))
		return hf_err(HF_ENOTFOUND, "%s blob %s is not in the index of the source",
			hf_blob_type_text(blob->type), hf_id_hex(&blob->id).s);
	*is_new = hf_bits_add(&c->seen, at.number);
	if (!*is_new || hf_index_find(c->o.to_ix, blob, 0, &(struct hf_location){0}))
		return NULL;
	pthread_mutex_lock(&c->lock);
	if (c->len == c->cap) {
		c->cap = c->cap == 0 ? 1024 : 2 * c->cap;
		c->v = hf_realloc_array(c->v, c->cap, sizeof *c->v);
	}
	c->v[c->len++] = (struct want){at.pack_number, at.offset, at.length, at.number};
	c->found.blobs++;
	c->found.bytes += at.length;
	count_packs(c, blob);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int
by_place(const void *a, const void *b)
{
	const struct want *x = a, *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

struct hf_err *
hf_copy_find(struct hf_copy *c, const struct hf_snapshot *s, struct hf_copy_found *out)
{
	const struct hf_marker marker = {.arg = c, .need = want, .stop = c->o.stop};

	c->len = c->next = 0;
	c->found = (struct hf_copy_found){0};
	hf_bits_clear(&c->packs);
	hf_bits_init(&c->packs, hf_index_packs(c->o.from_ix));
	HF_TRY(hf_mark(c->o.from, c->o.from_ix, &s, 1, &marker));
	if (c->len > 0)
		qsort(c->v, c->len, sizeof *c->v, by_place);
	*out = c->found;
	return NULL;
}

/* ---- copying them ---- */

/* What one thread has. */
struct worker {
	struct hf_copy *c;
	struct hf_reader *reader;
	struct hf_sealer *sealer;
	struct hf_opened_set *opened; /* blobs of a range */
	struct hf_buf range, plain;
};

static void
worker_clear(struct worker *w)
{
	hf_reader_free(w->reader);
	hf_sealer_free(w->sealer);
	hf_opened_free(w->opened);
	hf_buf_clear(&w->range);
	hf_buf_clear(&w->plain);
}

/* The next blobs that are read at once: *n of them from the one returned on; none: all are taken. */
static const struct want *
take(struct hf_copy *c, size_t *n)
{
	pthread_mutex_lock(&c->lock);
	const struct want *first = c->v + c->next;
	size_t left = c->len - c->next, i = left > 0;

	while (i < left && first[i].pack == first->pack) {
		uint64_t end = (uint64_t)first[i - 1].offset + first[i - 1].length;

		if (first[i].offset < end || first[i].offset - end > c->gap ||
			(uint64_t)first[i].offset + first[i].length - first->offset > RANGE_MAX)
			break;
		i++;
	}
	c->next += i;
	/* A pack is done when the last of it has been taken: near enough for people. */
	if (i > 0 && (i == left || first[i].pack != first->pack))
		atomic_fetch_add_explicit(&c->progress->packs_done, 1, memory_order_relaxed);
	pthread_mutex_unlock(&c->lock);
	*n = i;
	return first;
}

/* A blob that has been verified; `packed` is its compressed form, if that is at hand. */
static struct hf_err *
save(struct worker *w, const struct hf_blob *blob, struct hf_bytes plain,
	struct hf_bytes packed)
{
	if (packed.len > 0 && w->c->keeps_packed)
		return hf_sealer_save_packed(w->sealer, blob, packed, (uint32_t)plain.len);
	return hf_sealer_save_named(w->sealer, blob, plain, NULL);
}

static void
look_up(const struct worker *w, const struct want *want, struct hf_blob *blob,
	struct hf_location *at)
{
	if (!hf_index_entry(w->c->o.from_ix, want->number, blob, at))
		abort();
}

/* There may be another copy, or a cached one was wrong. */
static struct hf_err *
copy_from_elsewhere(struct worker *w, const struct hf_blob *blob)
{
	hf_buf_reset(&w->plain);
	HF_TRY(hf_reader_blob(w->reader, blob, &w->plain));
	return save(w, blob, hf_buf_bytes(&w->plain), (struct hf_bytes){0});
}

/* The sealed bytes of one of the blobs of a range that begins with `first`. */
static uint8_t *
sealed_of(const struct worker *w, const struct want *first, const struct want *want)
{
	return w->range.p + (want->offset - first->offset);
}

/* Saves one of those that were begun; *is_last: there was none. */
static struct hf_err *
finish_blob(struct worker *w, const struct want *first, bool *is_last)
{
	const struct hf_opened *o;
	struct hf_bytes packed = {0};
	hf_autoptr(hf_err) e = hf_opened_end(w->opened, &o);
	struct hf_location at;
	struct hf_blob blob;

	*is_last = o == NULL;
	if (o == NULL)
		return NULL;
	look_up(w, &first[o->tag], &blob, &at);
	if (e != NULL)
		return copy_from_elsewhere(w, &blob);
	if (at.raw_length != 0)
		packed = hf_reader_packed(sealed_of(w, first, &first[o->tag]), at.length);
	return save(w, &blob, hf_buf_bytes(&o->plain), packed);
}

/* The n blobs of a range that was read. */
static struct hf_err *
copy_blobs(struct worker *w, const struct want *first, size_t n)
{
	bool is_last = false;

	for (size_t i = 0; i < n; i++) {
		struct hf_location at;
		struct hf_blob blob;

		while (hf_opened_is_full(w->opened))
			HF_TRY(finish_blob(w, first, &is_last));
		look_up(w, &first[i], &blob, &at);
		hf_autoptr(hf_err) e = hf_opened_begin(w->opened, w->reader, &blob.id, i,
			sealed_of(w, first, &first[i]), at.length, at.raw_length);
		if (e != NULL)
			HF_TRY(copy_from_elsewhere(w, &blob));
	}
	while (!is_last)
		HF_TRY(finish_blob(w, first, &is_last));
	return NULL;
}

static struct hf_err *
copy_range(struct worker *w, const struct want *first, size_t n)
{
	struct hf_copy *c = w->c;
	const struct want *last = &first[n - 1];
	size_t len = (size_t)last->offset + last->length - first->offset;
	struct hf_name name = {.kind = HF_PACK};
	struct hf_location at;
	struct hf_blob blob;

	look_up(w, first, &blob, &at);
	name.id = at.pack;
	name.is_meta = blob.type == HF_TREE;
	hf_buf_reset(&w->range);
	hf_autoptr(hf_err) e =
		hf_store_get(hf_repo_store(c->o.from), &name, first->offset, len, &w->range);
	if (e == NULL)
		return copy_blobs(w, first, n);
	if (hf_err_code(e) != HF_ENOTFOUND && hf_err_code(e) != HF_ECORRUPT)
		return hf_steal(e);
	for (size_t i = 0; i < n; i++) {
		look_up(w, &first[i], &blob, &at);
		HF_TRY(copy_from_elsewhere(w, &blob));
	}
	return NULL;
}

static struct hf_err *
loop(void *arg)
{
	struct hf_copy *c = arg;
	__attribute__((cleanup(worker_clear))) struct worker w = {
		.c = c,
		.reader = hf_reader_new(c->o.from, c->o.from_ix),
		.sealer = hf_sealer_new(c->saver),
		.opened = hf_opened_new(),
		.range = {.max = UINT32_MAX, .spill = 2 * RANGE_MAX},
		.plain = HF_BUF_SPOOL(UINT32_MAX),
	};
	const struct want *first;
	size_t n;

	while (first = take(c, &n), n > 0) {
		HF_TRY(hf_stop_check(c->o.stop));
		HF_TRY(copy_range(&w, first, n));
	}
	return NULL;
}

static void
stop(void *arg)
{
	struct hf_copy *c = arg;

	pthread_mutex_lock(&c->lock);
	c->next = c->len;
	pthread_mutex_unlock(&c->lock);
}

static unsigned
thread_count(const struct hf_copy *c)
{
	unsigned n = hf_store_connections(hf_repo_store(c->o.from));
	unsigned cpus = hf_cpus();

	n = cpus > n ? cpus : n;
	return n > MAX_THREADS ? MAX_THREADS : n < 1 ? 1 : n;
}

struct hf_err *
hf_copy_order(const struct hf_copy_options *o, struct hf_snapshot *const *snapshots, size_t n)
{
	struct hf_copy_found found;
	hf_auto(hf_bits) packs = {0};

	if (!hf_warm_is_wanted(o->from))
		return NULL;
	hf_autoptr(hf_copy) c = hf_copy_new(o);
	hf_bits_init(&packs, hf_index_packs(o->from_ix));
	for (size_t i = 0; i < n; i++) {
		hf_autoptr(hf_err) e = hf_copy_find(c, snapshots[i], &found);

		HF_TRY(hf_stop_check(o->stop));
		for (size_t k = 0; k < c->len && e == NULL; k++)
			hf_bits_add(&packs, c->v[k].pack);
	}
	return hf_warm_packs(o->from, o->from_ix, &packs, o->stop);
}

struct hf_err *
hf_copy_blobs(struct hf_copy *c, struct hf_copy_progress *progress)
{
	struct hf_saver_options so = {.lease = c->o.lease, .trail = c->o.trail};
	hf_autoptr(hf_group) g = hf_group_new(stop, c);

	c->progress = progress;
	atomic_store(&progress->packs_done, 0);
	atomic_store(&progress->packs, c->found.packs);
	if (c->len > 0 && c->saver == NULL)
		HF_TRY(hf_saver_new(c->o.to, c->o.to_ix, &so, &c->saver));
	for (unsigned i = 0; i < thread_count(c) && i < c->len; i++) {
		struct hf_err *e = hf_group_go(g, "copy", loop, c);

		if (e != NULL) {
			stop(c);
			return e;
		}
	}
	HF_TRY(hf_group_wait(g));
	atomic_store(&progress->packs_done, c->found.packs);
	return NULL;
}

struct hf_err *
hf_copy_commit(struct hf_copy *c)
{
	struct hf_err *e = c->saver != NULL ? hf_saver_flush(c->saver) : NULL;

	hf_saver_free(c->saver);
	c->saver = NULL;
	return e;
}

/* ---- snapshots ---- */

struct hf_err *
hf_copy_save(struct hf_copy *c, struct hf_snapshot *s)
{
	s->parent = (struct hf_id){0};
	if (hf_id_is_zero(&s->original))
		s->original = s->id;
	return hf_snapshot_save(c->o.to, s);
}

static bool
has_all(const struct hf_strings *of, const struct hf_strings *which)
{
	for (size_t i = 0; i < which->len; i++)
		if (!hf_strings_has(of, which->v[i]))
			return false;
	return true;
}

bool
hf_copy_is_same(const struct hf_snapshot *a, const struct hf_snapshot *b)
{
	if (hf_time_cmp(&a->time, &b->time) != 0 || a->has_tree != b->has_tree ||
		!hf_id_eq(&a->tree, &b->tree) || strcmp(a->hostname, b->hostname) != 0 ||
		strcmp(a->username, b->username) != 0 || a->uid != b->uid || a->gid != b->gid)
		return false;
	if (a->paths.len != b->paths.len || a->excludes.len != b->excludes.len ||
		a->tags.len != b->tags.len)
		return false;
	if (!has_all(&a->paths, &b->paths) || !has_all(&a->tags, &b->tags))
		return false;
	for (size_t i = 0; i < a->excludes.len; i++)
		if (strcmp(a->excludes.v[i], b->excludes.v[i]) != 0)
			return false;
	return true;
}
