/* SPDX-License-Identifier: BSD-2-Clause */
/* The first jobs of a window: files that exist are compared with what is to be in them. */
#include <errno.h>

#include "base/io.h"
#include "engine/restore_i.h"

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
