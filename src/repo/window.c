/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/window.h"

#include <pthread.h>

enum {
	N_WINDOWS = 8,
	LEAST = 128 << 10,
	FIRST = 512 << 10, /* all trees of most snapshots that fit into one pack */
	MOST = 2 << 20,
};

struct window {
	struct hf_id pack;
	uint64_t off;
	uint64_t len;        /* 0: nothing is in it */
	uint64_t n_used;     /* bytes that were asked for */
	uint64_t last;       /* when; see struct hf_windows */
	unsigned n_readers;  /* it stays while there are some */
	bool is_loading;     /* by one of them; `bytes` is that one's */
	struct hf_buf bytes; /* fewer than `len` when loading failed */
};

struct hf_windows {
	pthread_mutex_t
		lock; /* for everything but the bytes of a window that is being loaded */
	pthread_cond_t changed;
	struct window v[N_WINDOWS];
	const struct window *latest; /* the last one that was set up, or NULL */
	uint64_t now;                /* counts requests */
	uint64_t size;               /* of the next window */
};

struct hf_windows *
hf_windows_new(void)
{
	struct hf_windows *w = hf_new(struct hf_windows);

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	for (size_t i = 0; i < N_WINDOWS; i++)
		w->v[i].bytes = (struct hf_buf)HF_BUF_SPOOL(UINT32_MAX);
	w->size = FIRST;
	return w;
}

void
hf_windows_free(struct hf_windows *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < N_WINDOWS; i++)
		hf_buf_clear(&w->v[i].bytes);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static struct window *
find(struct hf_windows *w, const struct hf_id *pack, uint64_t off, size_t len)
{
	for (size_t i = 0; i < N_WINDOWS; i++) {
		struct window *v = &w->v[i];

		if (v->len > 0 && hf_id_eq(&v->pack, pack) && v->off <= off &&
			off + len <= v->off + v->len)
			return v;
	}
	return NULL;
}

/* The one that has been without use for longest; NULL: all are in use. */
static struct window *
oldest(struct hf_windows *w)
{
	struct window *found = NULL;

	for (size_t i = 0; i < N_WINDOWS; i++)
		if (w->v[i].n_readers == 0 && (found == NULL || w->v[i].last < found->last))
			found = &w->v[i];
	return found;
}

/* What has been used of the last window tells how large the next one should be. */
static void
learn(struct hf_windows *w)
{
	const struct window *v = w->latest;

	if (v == NULL || v->len == 0)
		return;
	if (v->n_used >= v->len / 2 && w->size < MOST)
		w->size *= 2;
	else if (v->n_used < v->len / 8 && w->size > LEAST)
		w->size /= 2;
}

/*
 * Sets the bounds of a window around those bytes. Windows begin at multiples of their size, since a
 * walk goes backwards through a pack as often as forwards; but not where others are already.
 */
static void
set_bounds(const struct hf_windows *w, struct window *v, const struct hf_id *pack,
	uint64_t size, uint64_t off, size_t len)
{
	uint64_t begin = off - off % w->size, end = begin + w->size;

	end = end > size ? size : end;
	end = end < off + len ? off + len : end;
	for (size_t i = 0; i < N_WINDOWS; i++) {
		const struct window *o = &w->v[i];
		uint64_t o_end = o->off + o->len;

		if (o == v || o->len == 0 || !hf_id_eq(&o->pack, pack))
			continue;
		if (o->off <= off && o_end > begin)
			begin = o_end < off ? o_end : off;
		if (o->off > off && o->off < end)
			end = o->off > off + len ? o->off : off + len;
	}
	v->pack = *pack;
	v->off = begin;
	v->len = end - begin;
}

/* A window with those bytes in it, or that will be loaded by the caller; NULL: all are in use. */
static struct window *
open_window(
	struct hf_windows *w, const struct hf_id *pack, uint64_t size, uint64_t off, size_t len)
{
	struct window *v = find(w, pack, off, len);

	if (v == NULL && (v = oldest(w)) != NULL) {
		learn(w);
		w->latest = v;
		set_bounds(w, v, pack, size, off, len);
		v->n_used = 0;
		v->is_loading = true;
		hf_buf_reset(&v->bytes);
	}
	if (v != NULL) {
		v->n_readers++;
		v->n_used += len;
		v->last = ++w->now;
	}
	return v;
}

static struct hf_err *
load(struct hf_windows *w, struct hf_store *store, const struct hf_name *pack, struct window *v)
{
	uint64_t off = v->off;
	size_t len = (size_t)v->len;

	pthread_mutex_unlock(&w->lock);
	struct hf_err *e = hf_store_get(store, pack, off, len, &v->bytes);
	pthread_mutex_lock(&w->lock);
	v->is_loading = false;
	if (e != NULL)
		v->len = 0;
	pthread_cond_broadcast(&w->changed);
	return e;
}

struct hf_err *
hf_windows_get(struct hf_windows *w, struct hf_store *store, const struct hf_name *pack,
	uint64_t size, uint64_t off, size_t len, struct hf_buf *out)
{
	struct hf_err *e = NULL;
	bool is_there = false;

	pthread_mutex_lock(&w->lock);
	struct window *v = open_window(w, &pack->id, size, off, len);
	if (v != NULL && v->is_loading && v->n_readers == 1)
		e = load(w, store, pack, v);
	while (v != NULL && v->is_loading)
		pthread_cond_wait(&w->changed, &w->lock);
	if (v != NULL && v->len > 0) {
		is_there = true;
		hf_buf_add(out, v->bytes.p + (off - v->off), len);
	}
	if (v != NULL)
		v->n_readers--;
	pthread_mutex_unlock(&w->lock);
	if (is_there)
		return hf_buf_ok(out);
	if (e != NULL && hf_err_code(e) != HF_ECORRUPT)
		return e;
	/* Alone, it may be there even if what should lie around it is not. */
	hf_err_free(e);
	return hf_store_get(store, pack, off, len, out);
}
