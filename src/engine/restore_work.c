/* SPDX-License-Identifier: BSD-2-Clause */
/* The jobs of a window behind the comparing: ranges of packs are read and written. */
#include "engine/restore_i.h"

/* ---- ranges ---- */

enum {
	SHARE_BYTES = 256 << 10, /* of a range that is shared, taken at a time */
	/*
	 * Of a range on its way, at least, when some are written. With less, more of the hashes have
	 * no other one to go beside (3 MiB: one in six bytes, a fortieth of a restore).
	 */
	FLOW_BYTES = 6 << 20,
};

static int
compare_wants(const void *a, const void *b)
{
	const struct rwant *x = a, *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->off > y->off) - (x->off < y->off);
}

struct limits {
	uint64_t most, gap;
};

size_t
restore_range_max(const struct hf_restore *r)
{
	const struct hf_store *s = hf_repo_store(r->repo);

	if (hf_store_is_near(s))
		return RANGE_MAX;
	return hf_store_pipelines(s) ? RANGE_PIPED_MAX : RANGE_FAR_MAX;
}

/*
 * Ranges are to be as long as possible, but so many that the workers end at about the same time.
 * Where a request is a way to another computer and back, fewer do, and more is read to save one.
 */
static struct limits
limit_ranges(const struct hf_restore *r, uint64_t total)
{
	bool is_near = hf_store_is_near(hf_repo_store(r->repo));
	uint64_t least = is_near ? RANGE_MIN : RANGE_FAR_MIN;
	uint64_t most = restore_range_max(r);
	uint64_t even = total / ((is_near ? 8 : 1) * (uint64_t)r->n_workers);

	return (struct limits){
		.most = even < least  ? least
			: even > most ? most
				      : even,
		.gap = is_near ? RANGE_GAP : RANGE_FAR_GAP,
	};
}

/* What is left to be written, sorted by where it lies and joined to ranges. */
void
restore_make_ranges(struct hf_restore *r, struct rwindow *window)
{
	uint64_t total = 0;
	size_t n = 0;

	for (size_t i = 0; i < window->n_wants; i++) {
		if (window->wants[i].file == NULL)
			continue;
		total += window->wants[i].length;
		window->wants[n++] = window->wants[i];
	}
	window->n_wants = n;
	qsort(window->wants, n, sizeof window->wants[0], compare_wants);
	struct limits limits = limit_ranges(r, total);
	for (size_t i = 0; i < n; i++) {
		const struct rwant *w = &window->wants[i];
		uint64_t end = (uint64_t)w->offset + w->length;

		struct rrange *l =
			window->n_ranges > 0 ? &window->ranges[window->n_ranges - 1] : NULL;

		if (l == NULL || l->pack != w->pack || l->written >= RANGE_WRITE ||
			(end - l->offset > limits.most && w->number != w[-1].number) ||
			w->offset > (uint64_t)l->offset + l->length + limits.gap) {
			RESTORE_PUSH(window->ranges, window->n_ranges, window->cap_ranges);
			l = &window->ranges[window->n_ranges - 1];
			*l = (struct rrange){.first = i, .pack = w->pack, .offset = w->offset};
		}
		if (end - l->offset > l->length)
			l->length = (uint32_t)(end - l->offset);
		l->n++;
		l->written += want_size(w);
	}
}

/*
 * A blob to all the places that want it: those of the first want and of the ones behind it that are
 * alike. `e`, which is taken: it could not be had.
 */
static void
write_blob(struct hf_restore *r, const struct rwant *wants, size_t n, struct hf_bytes data,
	struct hf_err *e)
{
	bool is_zero = e == NULL && r->opt.is_sparse && n > 1 && restore_is_zero(data);

	for (size_t i = 0; i < n; i++) {
		struct rfile *f = wants[i].file;

		if (e != NULL)
			restore_file_fail(r, f, hf_err(hf_err_code(e), "%s", hf_err_text(e)));
		else if (!restore_is_stopped(r))
			restore_file_write(r, f, wants[i].off, data, is_zero);
		restore_file_done(r, f, 1);
	}
	hf_err_free(e);
}

/* How many of the n wants, at least one, want the first one's blob. */
static size_t
n_alike(const struct rwant *wants, size_t n)
{
	size_t i = 1;

	while (i < n && wants[i].number == wants[0].number)
		i++;
	return i;
}

/* A blob that could not be read with its range, or was not right in it: from any copy there is. */
static void
write_from_elsewhere(struct rworker *w, const struct rwant *wants, size_t n)
{
	struct hf_buf *plain = &w->plain;
	struct hf_err *e = NULL;
	struct hf_location at;
	struct hf_blob blob;

	hf_buf_reset(plain);
	if (!hf_index_entry(w->r->ix, wants->number, &blob, &at))
		e = hf_err(HF_ENOTFOUND, "blob has vanished from the index");
	else if (!restore_is_stopped(w->r))
		e = hf_reader_blob(w->reader, &blob, plain);
	write_blob(w->r, wants, n, hf_buf_bytes(plain), e);
}

/* The same for each blob of n wants. */
static void
write_all_from_elsewhere(struct rworker *w, const struct rwant *wants, size_t n)
{
	for (size_t i = 0, alike; i < n; i += alike) {
		alike = n_alike(wants + i, n - i);
		write_from_elsewhere(w, wants + i, alike);
	}
}

/* The n wants of a blob that is not where it should be, or not what it should be. */
static void
put_off(struct hf_restore *r, struct rshare *s, const struct rwant *wants, size_t n)
{
	struct rworker *owner = hf_container_of(s, struct rworker, share);

	pthread_mutex_lock(&r->share_lock);
	RESTORE_PUSH(owner->later, owner->n_later, owner->cap_later);
	owner->later[owner->n_later - 1] = (struct rlater){wants, n};
	pthread_mutex_unlock(&r->share_lock);
}

/* What was put off; nobody is at the range of the worker any more. */
static void
write_later(struct rworker *w)
{
	for (size_t i = 0; i < w->n_later; i++)
		write_from_elsewhere(w, w->later[i].wants, w->later[i].n);
	w->n_later = 0;
}

/* A blob's hash is compared, and the blob written. Its wants are the tag-th of the share and on. */
static bool
finish_blob(struct rworker *w, struct rshare *s)
{
	const struct hf_opened *o;
	struct hf_err *e = hf_opened_end(w->opened, &o);

	if (o == NULL)
		return false;
	const struct rwant *wants = s->wants + o->tag;
	size_t n = n_alike(wants, s->n - o->tag);

	if (e == NULL)
		write_blob(w->r, wants, n, hf_buf_bytes(&o->plain), NULL);
	else
		put_off(w->r, s, wants, n);
	hf_err_free(e);
	return true;
}

/* False: it is not right. */
static bool
start_blob(struct rworker *w, const struct rwant *want, uint8_t *sealed, size_t tag)
{
	struct hf_location at;
	struct hf_blob blob;

	if (!hf_index_entry(w->r->ix, want->number, &blob, &at))
		return false;
	struct hf_err *e = hf_opened_begin(
		w->opened, w->reader, &blob.id, tag, sealed, want->length, want->raw_length);

	hf_err_free(e);
	return e == NULL;
}

/*
 * Takes some blobs of a range: the wants from *first to before *end. False: none are left. Those that
 * lie over each other, as only in a damaged index, are not parted: blobs are opened in place.
 */
static bool
take_blobs(struct hf_restore *r, struct rshare *s, size_t *first, size_t *end)
{
	uint64_t bytes = 0, taken_to = 0;

	pthread_mutex_lock(&r->share_lock);
	*first = s->next;
	while (s->next < s->n && (bytes < SHARE_BYTES || s->wants[s->next].offset < taken_to)) {
		const struct rwant *want = &s->wants[s->next];

		bytes += want->length;
		if ((uint64_t)want->offset + want->length > taken_to)
			taken_to = (uint64_t)want->offset + want->length;
		s->next += n_alike(s->wants + s->next, s->n - s->next);
	}
	*end = s->next;
	pthread_mutex_unlock(&r->share_lock);
	return *first < *end;
}

/* As many of the blobs of a range as are left to be taken. */
static void
write_blobs(struct rworker *w, struct rshare *s)
{
	size_t i, n, end;

	w->opened = hf_opened_take(w->r->sets);
	while (take_blobs(w->r, s, &i, &end))
		for (; i < end; i += n) {
			const struct rwant *want = &s->wants[i];

			n = n_alike(want, s->n - i);
			while (hf_opened_is_full(w->opened))
				finish_blob(w, s);
			if (restore_is_stopped(w->r) ||
				!start_blob(w, want, s->raw + (want->offset - s->offset), i))
				put_off(w->r, s, want, n);
		}
	while (finish_blob(w, s))
		;
	hf_opened_give(w->r->sets, w->opened);
}

/*
 * Writes the blobs of n wants, with whoever helps. Their bytes, which lie from `offset` on in the
 * pack, begin at `raw`.
 */
static void
write_shared(
	struct rworker *w, const struct rwant *wants, size_t n, uint64_t offset, uint8_t *raw)
{
	struct hf_restore *r = w->r;

	pthread_mutex_lock(&r->share_lock);
	w->share = (struct rshare){.wants = wants, .n = n, .offset = offset, .raw = raw};
	pthread_cond_broadcast(&r->shared);
	pthread_mutex_unlock(&r->share_lock);
	write_blobs(w, &w->share);
	pthread_mutex_lock(&r->share_lock);
	while (w->share.n_helpers > 0)
		pthread_cond_wait(&r->shared, &r->share_lock);
	pthread_mutex_unlock(&r->share_lock);
}

/* Whose range has blobs that nobody has taken; NULL: nobody's. share_lock is held. */
static struct rshare *
find_share(struct hf_restore *r)
{
	for (unsigned i = 0; i < r->n_workers; i++)
		if (r->workers[i].share.next < r->workers[i].share.n)
			return &r->workers[i].share;
	return NULL;
}

void
restore_help(struct rworker *w)
{
	struct hf_restore *r = w->r;
	struct rshare *s;

	pthread_mutex_lock(&r->share_lock);
	while (r->n_ranges_left > 0) {
		s = find_share(r);
		if (s == NULL) {
			pthread_cond_wait(&r->shared, &r->share_lock);
			continue;
		}
		s->n_helpers++;
		pthread_mutex_unlock(&r->share_lock);
		write_blobs(w, s);
		pthread_mutex_lock(&r->share_lock);
		if (--s->n_helpers == 0)
			pthread_cond_broadcast(&r->shared);
	}
	pthread_mutex_unlock(&r->share_lock);
}

static void
note_range(struct hf_restore *r, const struct rwant *wants, const struct rrange *g)
{
	hf_bits_add(r->survey, g->pack);
	for (size_t i = 0; i < g->n; i++)
		restore_file_done(r, wants[i].file, 1);
}

/* ---- reading ranges ---- */

/*
 * A range on its way: as soon as some blobs are there they are written, and their bytes forgotten. So
 * what a worker holds is little, and still in a near cache of the processor when it is opened.
 */
struct flow {
	struct hf_sink sink;
	struct rworker *w; /* whose `raw` has the bytes from `at` on */
	const struct rwant *wants;
	size_t n;
	size_t next, ready; /* the first want that was not written, and that is not there yet */
	uint64_t begin, at, end; /* in the pack: the range; of raw; of all that has come */
};

static void
flow_begin(struct hf_sink *sink)
{
	struct flow *f = hf_container_of(sink, struct flow, sink);

	f->end = f->begin;
}

/* Those that are there are written; what is left of their bytes is the beginning of the next one. */
static void
write_ready(struct flow *f)
{
	struct hf_buf *raw = &f->w->raw;

	write_shared(f->w, f->wants + f->next, f->ready - f->next, f->at, raw->p);
	f->next = f->ready;
	uint64_t keep = f->next < f->n ? f->wants[f->next].offset : f->at + raw->len;
	size_t drop = keep - f->at < raw->len ? (size_t)(keep - f->at) : raw->len;
	if (drop < raw->len)
		memmove(raw->p, raw->p + drop, raw->len - drop);
	raw->len -= drop;
	f->at = keep;
}

static struct hf_err *
flow_take(struct hf_sink *sink, struct hf_bytes bytes)
{
	struct flow *f = hf_container_of(sink, struct flow, sink);
	struct hf_buf *raw = &f->w->raw;
	uint64_t lacking = f->at + raw->len; /* the first byte that is */
	uint64_t from = f->end;

	if (restore_is_stopped(f->w->r))
		return hf_err(HF_ECANCELED, "stopped");
	f->end += bytes.len;
	if (f->end <= lacking) /* between two blobs, or once more */
		return NULL;
	size_t skip = lacking > from ? (size_t)(lacking - from) : 0;
	HF_TRY(hf_buf_reserve(raw, bytes.len - skip));
	hf_buf_add(raw, bytes.p + skip, bytes.len - skip);
	while (f->ready < f->n &&
		(uint64_t)f->wants[f->ready].offset + f->wants[f->ready].length <= f->end)
		f->ready++;
	if (f->ready == f->n || (f->ready > f->next && raw->len >= FLOW_BYTES))
		write_ready(f);
	return NULL;
}

/* Reads a range and writes it on the way; what could not be read is left to each blob. */
static void
pour_range(struct rworker *w, const struct hf_name *pack, const struct rwant *wants,
	const struct rrange *g)
{
	struct flow f = {
		.sink = {flow_begin, flow_take},
		.w = w,
		.wants = wants,
		.n = g->n,
		.begin = g->offset,
		.at = g->offset,
	};
	struct hf_err *e =
		hf_store_pour(hf_repo_store(w->r->repo), pack, g->offset, g->length, &f.sink);

	hf_err_free(e);
	if (f.ready > f.next) /* has come before it broke off */
		write_ready(&f);
	write_later(w);
	write_all_from_elsewhere(w, wants + f.next, f.n - f.next);
}

/* The same in one piece. */
static void
get_range(struct rworker *w, const struct hf_name *pack, const struct rwant *wants,
	const struct rrange *g)
{
	struct hf_err *e =
		hf_store_get(hf_repo_store(w->r->repo), pack, g->offset, g->length, &w->raw);

	if (e == NULL) {
		write_shared(w, wants, g->n, g->offset, w->raw.p);
		write_later(w);
	} else {
		hf_err_free(e);
		write_all_from_elsewhere(w, wants, g->n);
	}
}

static void
write_range(struct rworker *w, struct rwindow *window, const struct rrange *g)
{
	const struct rwant *wants = window->wants + g->first;
	struct hf_name name = {.kind = HF_PACK};

	if (w->r->survey != NULL) {
		note_range(w->r, wants, g);
		return;
	}
	hf_buf_reset(&w->raw);
	if (restore_is_stopped(w->r) || !hf_index_pack(w->r->ix, g->pack, &name.id))
		write_all_from_elsewhere(w, wants, g->n);
	else if (hf_store_pours(hf_repo_store(w->r->repo)))
		pour_range(w, &name, wants, g);
	else
		get_range(w, &name, wants, g);
}

void
restore_write_job(struct rworker *w, struct rwindow *window, size_t i)
{
	struct hf_restore *r = w->r;

	if (i >= window->n_ranges) {
		restore_file_finish(r, window->files[i - window->n_ranges]);
		return;
	}
	write_range(w, window, &window->ranges[i]);
	pthread_mutex_lock(&r->share_lock);
	if (--r->n_ranges_left == 0)
		pthread_cond_broadcast(&r->shared);
	pthread_mutex_unlock(&r->share_lock);
}
