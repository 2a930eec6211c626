/* SPDX-License-Identifier: BSD-2-Clause */
/* The jobs of a window: files that exist are compared, then ranges of packs are read and written. */
#include <errno.h>

#include "base/io.h"
#include "engine/restore_i.h"

/* ---- comparing ---- */

enum {
	SOME_BYTES = 1 << 20, /* as many blobs are compared at a time as have so many, or two */
	MOST_BYTES = 8 << 20, /* but not two of more than this */
};

/* Some of a part's blobs, which were compared at the same time. */
struct compared {
	size_t first, end; /* of them, among the wants */
	struct hf_err *e;  /* what was the matter with reading the last one; owned */
	bool is_same[HF_MANY_MAX];
};

/* How many of the n wants, at least one, are to be compared at a time; and their bytes. */
static size_t
n_at_a_time(const struct rworker *w, const struct rwant *wants, size_t n, size_t *bytes)
{
	size_t width = hf_many_width(w->many), i = 1;

	*bytes = want_size(&wants[0]);
	while (i < n && i < width && (i < 2 || *bytes < SOME_BYTES) &&
		*bytes + want_size(&wants[i]) <= MOST_BYTES)
		*bytes += want_size(&wants[i++]);
	return i;
}

/* Whether the file holds at their places what blobs hold. Goes on with the wants behind `c`. */
static void
compare_some(
	struct rworker *w, int fd, const struct rwant *wants, size_t end, struct compared *c)
{
	struct hf_many *many = w->many;
	size_t bytes, got, n = n_at_a_time(w, wants + c->end, end - c->end, &bytes);
	struct hf_location at;
	struct hf_blob blob;
	struct hf_id id;
	void *want;

	hf_buf_reset(&w->plain);
	c->e = hf_buf_reserve(&w->plain, bytes);
	memset(c->is_same, 0, sizeof c->is_same);
	c->first = c->end;
	for (; c->end < c->first + n && (c->end == c->first || c->e == NULL); c->end++) {
		const struct rwant *x = &wants[c->end];
		uint8_t *p = w->plain.p + w->plain.len;

		if (c->e == NULL)
			c->e = hf_pread_full(fd, p, want_size(x), x->off, &got);
		if (c->e == NULL && got == want_size(x)) {
			hf_many_add(many, (struct hf_bytes){p, got}, (void *)(uintptr_t)x);
			w->plain.len += got;
		}
	}
	while (hf_many_end(many, &id, &want)) {
		const struct rwant *x = want;

		c->is_same[(size_t)(x - wants) - c->first] =
			hf_index_entry(w->r->ix, x->number, &blob, &at) &&
			hf_id_eq(&id, &blob.id);
	}
}

/*
 * Whether the file holds at the place of the i-th want what the blob holds; `end` is that of the
 * part. What is told of one want after the other is found out for some at a time.
 */
static struct hf_err *
compare_blob(struct rworker *w, int fd, const struct rwant *wants, size_t i, size_t end,
	struct compared *c, bool *is_same)
{
	if (i == c->end)
		compare_some(w, fd, wants, end, c);
	*is_same = c->is_same[i - c->first];
	return i + 1 == c->end ? hf_steal(c->e) : NULL;
}

/* Opens the file that a part is compared with; -1 with errno. */
static int
open_existing(struct hf_restore *r, const struct rfile *f)
{
	struct rpath path;

	if (!restore_path(f->dir, f->name, &path))
		return -1;
	return hf_root_openat(&r->root, path.s, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
}

static void
verify_part(struct rworker *w, struct rwindow *window, const struct rpart *p)
{
	struct hf_restore *r = w->r;
	struct rfile *f = p->file;
	hf_autofd int fd = open_existing(r, f);
	struct compared c = {.end = p->first};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		restore_file_fail(r, f, hf_err_errno(errno, "opening to verify"));
	} else if (!S_ISREG(st.st_mode)) {
		restore_file_fail(r, f, hf_err(HF_ECORRUPT, "expected to be a regular file"));
	} else if ((uint64_t)st.st_size != f->size) {
		restore_file_fail(r, f,
			hf_err(HF_ECORRUPT, "invalid file size: expected %llu, got %llu",
				(unsigned long long)f->size, (unsigned long long)st.st_size));
	}
	for (size_t i = p->first;
		i < p->first + p->n && !restore_is_stopped(r) && !atomic_load(&f->has_failed);
		i++) {
		bool is_same;
		struct hf_err *e =
			compare_blob(w, fd, window->wants, i, p->first + p->n, &c, &is_same);

		if (e == NULL && !is_same)
			e = hf_err(HF_ECORRUPT, "unexpected content, starting at offset %llu",
				(unsigned long long)window->wants[i].off);
		if (e != NULL)
			restore_file_fail(r, f, e);
	}
	hf_err_free(c.e);
	for (size_t i = p->first; i < p->first + p->n; i++)
		window->wants[i].file = NULL;
	restore_file_done(r, f, p->n);
}

/* Blobs that are there need not be written; a file with other names is written anew or not at all. */
static void
compare_part(struct rworker *w, struct rwindow *window, const struct rpart *p)
{
	struct hf_restore *r = w->r;
	struct rfile *f = p->file;
	hf_autofd int fd = f->must_replace && p->n < f->n_blobs ? -1 : open_existing(r, f);
	struct compared c = {.end = p->first};
	uint64_t n_same = 0, bytes = 0;

	for (size_t i = p->first; i < p->first + p->n && fd >= 0 && !restore_is_stopped(r);
		i++) {
		struct rwant *want = &window->wants[i];
		bool is_same;
		struct hf_err *e =
			compare_blob(w, fd, window->wants, i, p->first + p->n, &c, &is_same);

		if (e != NULL) {
			hf_err_free(e); /* what cannot be read is written */
			break;
		}
		if (is_same) {
			n_same++;
			bytes += want_size(want);
			want->file = NULL;
		} else if (f->must_replace) {
			break;
		}
	}
	hf_err_free(c.e);
	if (n_same < p->n || !f->is_size_ok) {
		if (fd < 0 && !f->must_replace && window->wants[p->first].off > 0)
			restore_file_fail(r, f, hf_err(HF_EIO, "has vanished while restoring"));
		if (f->must_replace || fd < 0) {
			f->must_replace = true;
			n_same = bytes = 0;
			for (size_t i = p->first; i < p->first + p->n; i++)
				window->wants[i].file = f;
		}
		restore_file_dirty(r, f);
	}
	if ((r->opt.is_dry_run && r->survey == NULL) || restore_is_stopped(r)) {
		for (size_t i = p->first; i < p->first + p->n; i++)
			window->wants[i].file = NULL;
		n_same = p->n;
	}
	atomic_fetch_add(&f->bytes_kept, bytes);
	if (n_same > 0)
		restore_file_done(r, f, n_same);
}

void
restore_compare_job(struct rworker *w, struct rwindow *window, size_t i)
{
	if (w->r->is_verifying)
		verify_part(w, window, &window->parts[i]);
	else
		compare_part(w, window, &window->parts[i]);
}

/* ---- ranges ---- */

enum { SHARE_BYTES = 256 << 10 }; /* of a range that is shared, taken at a time */

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
	return hf_store_is_near(hf_repo_store(r->repo)) ? RANGE_MAX : RANGE_FAR_MAX;
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

/* A blob's hash is compared, and the blob written. Its wants are the tag-th of the range and on. */
static bool
finish_blob(struct rworker *w, const struct rwant *wants, size_t n_wants)
{
	const struct hf_opened *o;
	struct hf_err *e = hf_opened_end(w->opened, &o);

	if (o == NULL)
		return false;
	size_t n = n_alike(wants + o->tag, n_wants - o->tag);

	if (e == NULL)
		write_blob(w->r, wants + o->tag, n, hf_buf_bytes(&o->plain), NULL);
	else
		write_from_elsewhere(w, wants + o->tag, n);
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

/* Takes some blobs of a range: the wants from *first to before *end. False: none are left. */
static bool
take_blobs(struct hf_restore *r, struct rshare *s, size_t *first, size_t *end)
{
	size_t bytes = 0;

	pthread_mutex_lock(&r->share_lock);
	*first = s->next;
	while (s->next < s->n && bytes < SHARE_BYTES) {
		bytes += s->wants[s->next].length;
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
				finish_blob(w, s->wants, s->n);
			if (s->raw == NULL || restore_is_stopped(w->r) ||
				!start_blob(w, want, s->raw + (want->offset - s->offset), i))
				write_from_elsewhere(w, want, n);
		}
	while (finish_blob(w, s->wants, s->n))
		;
	hf_opened_give(w->r->sets, w->opened);
}

/* Writes a range that was read, with whoever helps. */
static void
write_shared(struct rworker *w, const struct rwant *wants, const struct rrange *g, uint8_t *raw)
{
	struct hf_restore *r = w->r;

	pthread_mutex_lock(&r->share_lock);
	w->share = (struct rshare){.wants = wants, .n = g->n, .offset = g->offset, .raw = raw};
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

static void
write_range(struct rworker *w, struct rwindow *window, const struct rrange *g)
{
	struct hf_name name = {.kind = HF_PACK};
	uint8_t *raw = NULL;

	if (w->r->survey != NULL) {
		note_range(w->r, window->wants + g->first, g);
		return;
	}
	hf_buf_reset(&w->raw);
	if (!restore_is_stopped(w->r) && hf_index_pack(w->r->ix, g->pack, &name.id)) {
		struct hf_err *e = hf_store_get(
			hf_repo_store(w->r->repo), &name, g->offset, g->length, &w->raw);

		/* Then each blob is tried alone, wherever there is a copy. */
		if (e == NULL)
			raw = w->raw.p;
		hf_err_free(e);
	}
	write_shared(w, window->wants + g->first, g, raw);
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
