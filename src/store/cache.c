/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/cache.h"

#include <pthread.h>
#include <stdio.h>

#include "codec/sha256.h"

enum {
	PIECE = 1 << 20, /* of a pack of a store that is near */
	MAX_FETCHES = 2, /* of one pack, by one process: more means that it is evicted again */
	MAX_SEEN = 1 << 20, /* files that are remembered */
	FEW = 16,           /* copies that may all go at once without a second look */
	YOUNG_PACK_S = 3600,
	UNSURE_LISTING_S = 3600, /* where a listing may be late */
};
static const uint64_t max_pack = UINT64_C(1) << 33;

/* What this process knows of one file. */
struct seen {
	struct hf_id id;
	bool is_used;        /* this slot of the table */
	bool is_coming;      /* a thread is fetching it */
	bool came_from_here; /* a copy of it was read */
	bool is_forgotten;   /* a copy of it was damaged */
	uint8_t fetches;
};

struct cached {
	struct hf_store store;
	struct hf_store *inner; /* owned, as is the cache */
	struct hf_cache *cache;

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t came;
	struct seen *seen; /* a hash table with free places; the id is its own hash */
	size_t n_seen, n_slots;
};

static const struct hf_store_ops cache_ops;

static struct cached *
cached_of(struct hf_store *s)
{
	return hf_container_of(s, struct cached, store);
}

/* Whether copies of this file are kept. */
static bool
takes(const struct hf_name *name)
{
	return name->kind == HF_INDEX || name->kind == HF_SNAPSHOT ||
	       (name->kind == HF_PACK && name->is_meta);
}

/* There is no copy of this file any more, if there was one. */
static void
drop(struct cached *c, struct hf_name name)
{
	name.is_meta = true; /* a pack that goes is often named for itself alone */
	if (takes(&name))
		hf_cache_drop(c->cache, &name);
}

/* ---- what is known of files ---- */

static struct seen *
slot_of(struct seen *table, size_t n_slots, const struct hf_id *id)
{
	uint64_t hash;

	memcpy(&hash, id->b, sizeof hash);
	for (size_t i = hash & (n_slots - 1);; i = (i + 1) & (n_slots - 1))
		if (!table[i].is_used || hf_id_eq(&table[i].id, id))
			return &table[i];
}

static void
grow(struct cached *c)
{
	size_t n = c->n_slots != 0 ? 2 * c->n_slots : 64;
	struct seen *table = hf_alloc_(n, sizeof *table);

	for (size_t i = 0; i < c->n_slots; i++)
		if (c->seen[i].is_used)
			*slot_of(table, n, &c->seen[i].id) = c->seen[i];
	free(c->seen);
	c->seen = table;
	c->n_slots = n;
}

/* Under the lock, valid until it is given back. NULL: too many to remember. */
static struct seen *
see(struct cached *c, const struct hf_id *id)
{
	if (c->n_seen >= c->n_slots / 2 && c->n_seen < MAX_SEEN)
		grow(c);
	struct seen *s = slot_of(c->seen, c->n_slots, id);

	if (s->is_used)
		return s;
	if (c->n_seen == MAX_SEEN)
		return NULL;
	c->n_seen++;
	*s = (struct seen){.id = *id, .is_used = true};
	return s;
}

enum way {
	WAY_COPY,   /* there may be a copy */
	WAY_FETCH,  /* this thread fetches it, and calls has_come() */
	WAY_DIRECT, /* the store is asked for what is wanted, and no copy is made */
};

/* After a miss: who fetches. Waits for another thread that does. */
static enum way
find_way(struct cached *c, const struct hf_name *name)
{
	enum way way = WAY_FETCH;

	pthread_mutex_lock(&c->lock);
	struct seen *s = see(c, &name->id);
	while (s != NULL && s->is_coming) {
		pthread_cond_wait(&c->came, &c->lock);
		way = WAY_COPY;
		s = see(c, &name->id);
	}
	if (s == NULL || (way == WAY_FETCH && s->fetches == MAX_FETCHES))
		way = WAY_DIRECT;
	if (way == WAY_FETCH) {
		s->is_coming = true;
		s->fetches++;
	}
	pthread_mutex_unlock(&c->lock);
	return way;
}

static void
has_come(struct cached *c, const struct hf_name *name)
{
	pthread_mutex_lock(&c->lock);
	see(c, &name->id)->is_coming = false;
	pthread_cond_broadcast(&c->came);
	pthread_mutex_unlock(&c->lock);
}

/* Reads a copy, unless one of that file was damaged before. */
static bool
read_copy(struct cached *c, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	pthread_mutex_lock(&c->lock);
	struct seen *s = see(c, &name->id);
	bool may = s != NULL && (!s->is_forgotten || s->fetches < MAX_FETCHES);
	pthread_mutex_unlock(&c->lock);

	if (!may || !hf_cache_read(c->cache, name, off, len, out))
		return false;
	pthread_mutex_lock(&c->lock);
	see(c, &name->id)->came_from_here = true;
	pthread_mutex_unlock(&c->lock);
	hf_cache_count(c->cache, true);
	return true;
}

/*
 * The copy goes once. When what came in its place proves wrong as well, it is not the cache that is
 * at fault, or not the copy alone: then there is none any more in this process.
 */
static bool
cache_forget(struct hf_store *store, const struct hf_name *name)
{
	struct cached *c = cached_of(store);
	bool again = false;

	pthread_mutex_lock(&c->lock);
	struct seen *s = see(c, &name->id);
	if (s != NULL && s->came_from_here) {
		again = true;
		s->came_from_here = false;
		s->fetches = s->is_forgotten ? MAX_FETCHES : 0;
		s->is_forgotten = true;
	}
	pthread_mutex_unlock(&c->lock);
	if (again) {
		hf_cache_drop(c->cache, name);
		hf_cache_say(c->cache,
			"Warning: the copy of %s %.8s in the cache was damaged and is fetched "
			"again",
			hf_kind_text(name->kind), hf_id_hex(&name->id).s);
	}
	return again;
}

/* ---- reading ---- */

static bool
is_proven(const struct hf_name *name, struct hf_bytes bytes)
{
	struct hf_id id = hf_sha256(bytes);

	return hf_id_eq(&id, &name->id);
}

/* Makes a copy of a whole file, if it is what its name says. */
static void
publish(struct cached *c, const struct hf_name *name, struct hf_bytes bytes)
{
	struct hf_cache_put put;

	if (is_proven(name, bytes) && hf_cache_put_begin(c->cache, name, bytes.len, &put))
		(void)hf_cache_put_end(
			c->cache, &put, name, hf_cache_put_add(c->cache, &put, bytes));
}

/* A file that is always read whole. */
static struct hf_err *
fetch_whole(struct cached *c, const struct hf_name *name, struct hf_buf *out)
{
	size_t before = out->len;

	HF_TRY(c->inner->ops->get(c->inner, name, 0, SIZE_MAX, out));
	publish(c, name, (struct hf_bytes){out->p + before, out->len - before});
	return NULL;
}

/* What is wanted of a pack. */
struct part {
	uint64_t off;
	size_t len;
};

/* One request, and the pack in memory or, if it is large, in an unlinked file. */
static struct hf_err *
fetch_far_pack(struct cached *c, const struct hf_name *name, struct part want,
	struct hf_cache_put *put, bool *is_whole, struct hf_buf *out)
{
	hf_auto(hf_buf) pack = HF_BUF_SPOOL(max_pack);

	HF_TRY(c->inner->ops->get(c->inner, name, 0, SIZE_MAX, &pack));
	struct hf_bytes bytes = hf_buf_bytes(&pack);

	if (want.len == SIZE_MAX && want.off <= bytes.len)
		want.len = bytes.len - (size_t)want.off;
	if (want.off > bytes.len || want.len > bytes.len - want.off)
		return hf_err(HF_ECORRUPT, "the file has only %zu bytes", bytes.len);
	*is_whole = is_proven(name, bytes) && hf_cache_put_add(c->cache, put, bytes);
	hf_buf_add(out, bytes.p + want.off, want.len);
	return hf_buf_ok(out);
}

/*
 * Piece by piece, so that little memory is needed, then what is wanted out of the copy; or of the
 * store, if there came to be none.
 */
static struct hf_err *
fetch_near_pack(struct cached *c, const struct hf_name *name, struct part want,
	struct hf_cache_put *put, bool *is_whole, struct hf_buf *out)
{
	hf_autoptr(hf_sha256) hash = hf_sha256_new();
	hf_auto(hf_buf) piece = HF_BUF_MAX(PIECE);
	uint64_t size, off = 0;
	bool is_added = true;

	HF_TRY(c->inner->ops->stat(c->inner, name, &size));
	while (off < size && is_added) {
		size_t len = size - off < PIECE ? (size_t)(size - off) : PIECE;

		hf_buf_reset(&piece);
		HF_TRY(c->inner->ops->get(c->inner, name, off, len, &piece));
		hf_sha256_add(hash, hf_buf_bytes(&piece));
		is_added = hf_cache_put_add(c->cache, put, hf_buf_bytes(&piece));
		off += len;
	}
	struct hf_id id = hf_sha256_end(hash);
	*is_whole = is_added && hf_id_eq(&id, &name->id);
	if (*is_whole && want.len != SIZE_MAX &&
		hf_cache_put_read(put, want.off, want.len, out))
		return NULL;
	return c->inner->ops->get(c->inner, name, want.off, want.len, out);
}

static struct hf_err *
fetch_pack(struct cached *c, const struct hf_name *name, struct part want, struct hf_buf *out)
{
	struct hf_cache_put put;
	bool is_whole = false;

	if (!hf_cache_put_begin(c->cache, name, 0, &put))
		return c->inner->ops->get(c->inner, name, want.off, want.len, out);
	struct hf_err *e = c->inner->is_near
				   ? fetch_near_pack(c, name, want, &put, &is_whole, out)
				   : fetch_far_pack(c, name, want, &put, &is_whole, out);
	(void)hf_cache_put_end(c->cache, &put, name, is_whole);
	return e;
}

static struct hf_err *
cache_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct cached *c = cached_of(s);
	bool is_part = off != 0 || len != SIZE_MAX;
	enum way way;

	if (!takes(name) || (name->kind != HF_PACK && is_part))
		return c->inner->ops->get(c->inner, name, off, len, out);
	if (read_copy(c, name, off, len, out))
		return NULL;
	way = find_way(c, name);
	if (way == WAY_COPY && read_copy(c, name, off, len, out))
		return NULL;
	hf_cache_count(c->cache, false);
	if (way != WAY_FETCH)
		return c->inner->ops->get(c->inner, name, off, len, out);
	struct hf_err *e = name->kind == HF_PACK
				   ? fetch_pack(c, name, (struct part){off, len}, out)
				   : fetch_whole(c, name, out);
	has_come(c, name);
	return e;
}

/* For what is not kept here, and else in one piece. */
static struct hf_err *
cache_pour(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_sink *sink)
{
	struct cached *c = cached_of(s);
	hf_auto(hf_buf) all = HF_BUF_SPOOL(SIZE_MAX / 2);

	if (!takes(name))
		return c->inner->ops->pour(c->inner, name, off, len, sink);
	HF_TRY(cache_get(s, name, off, len, &all));
	sink->begin(sink);
	return sink->take(sink, hf_buf_bytes(&all));
}

/* ---- listing, and clearing by it ---- */

struct names {
	struct hf_id *v; /* owned, sorted */
	bool *is_kept;   /* owned */
	size_t n, n_kept;
};

static void
names_clear(struct names *l)
{
	free(l->v);
	free(l->is_kept);
	*l = (struct names){0};
}

static bool
names_take(struct cached *c, enum hf_kind kind, struct names *out)
{
	*out = (struct names){0};
	if (!hf_cache_names(c->cache, kind, &out->v, &out->n))
		return false;
	out->is_kept = hf_alloc_(out->n + 1, sizeof *out->is_kept);
	return true;
}

static void
names_keep(struct names *l, const struct hf_id *id)
{
	size_t i = hf_id_search(l->v, l->n, id);

	if (i < l->n && !l->is_kept[i]) {
		l->is_kept[i] = true;
		l->n_kept++;
	}
}

/*
 * Nearly everything gone at once may be a folder that is not mounted: then the config, which every
 * repository has, must be there.
 */
static bool
is_plausible(struct cached *c, const struct names *l)
{
	struct hf_name config = {.kind = HF_CONFIG};
	uint64_t size;

	if (l->n - l->n_kept <= FEW || l->n_kept > l->n / 10)
		return true;
	hf_autoptr(hf_err) e = c->inner->ops->stat(c->inner, &config, &size);
	return e == NULL && size > 0;
}

/* Removes the copies that are not kept; with `age_s` > 0 only those that are older. */
static void
names_drop_rest(struct cached *c, enum hf_kind kind, const struct names *l, double age_s)
{
	if (!is_plausible(c, l))
		return;
	for (size_t i = 0; i < l->n; i++) {
		struct hf_name name = {.kind = kind, .id = l->v[i]};

		if (l->is_kept[i])
			continue;
		if (age_s > 0)
			hf_cache_drop_older(c->cache, &name, age_s);
		else
			hf_cache_drop(c->cache, &name);
	}
}

struct listing {
	hf_store_list_fn *fn;
	void *arg;
	struct names *cached;
};

static struct hf_err *
pass_on(void *arg, const struct hf_name *name, uint64_t size)
{
	struct listing *l = arg;

	names_keep(l->cached, &name->id);
	return l->fn(l->arg, name, size);
}

static struct hf_err *
list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg, bool no_sizes)
{
	struct cached *c = cached_of(s);
	struct names cached;
	struct listing l = {fn, arg, &cached};

	/* The cache first: what comes to be in it later is not touched. */
	if ((kind != HF_INDEX && kind != HF_SNAPSHOT) || !names_take(c, kind, &cached))
		return hf_store_list_op(c->inner, kind, fn, arg, no_sizes);
	struct hf_err *e = hf_store_list_op(c->inner, kind, pass_on, &l, no_sizes);
	if (e == NULL)
		names_drop_rest(c, kind, &cached,
			hf_store_promises(c->inner, HF_LISTS_AT_ONCE) ? 0 : UNSURE_LISTING_S);
	names_clear(&cached);
	return e;
}

static struct hf_err *
cache_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list(s, kind, fn, arg, false);
}

static struct hf_err *
cache_names(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list(s, kind, fn, arg, true);
}

struct hf_cached_packs {
	struct cached *c;
	struct names names;
};

struct hf_cached_packs *
hf_cached_packs(struct hf_store *s)
{
	struct names names;

	if (s->ops != &cache_ops || !names_take(cached_of(s), HF_PACK, &names))
		return NULL;
	struct hf_cached_packs *p = hf_new(struct hf_cached_packs);

	p->c = cached_of(s);
	p->names = names;
	return p;
}

void
hf_cached_packs_keep(struct hf_cached_packs *p, const struct hf_id *pack)
{
	if (p != NULL)
		names_keep(&p->names, pack);
}

void
hf_cached_packs_end(struct hf_cached_packs *p, bool is_whole)
{
	if (p == NULL)
		return;
	if (is_whole)
		names_drop_rest(p->c, HF_PACK, &p->names, YOUNG_PACK_S);
	names_clear(&p->names);
	free(p);
}

/* ---- the other calls ---- */

static struct hf_err *
cache_create(struct hf_store *s)
{
	struct cached *c = cached_of(s);

	return c->inner->ops->create(c->inner);
}

static struct hf_err *
cache_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	struct cached *c = cached_of(s);

	HF_TRY(c->inner->ops->put(c->inner, name, data));
	if (takes(name))
		publish(c, name, data);
	return NULL;
}

static struct hf_err *
cache_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	struct cached *c = cached_of(s);
	struct hf_err *e = c->inner->ops->stat(c->inner, name, size);

	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
		drop(c, *name);
	return e;
}

static struct hf_err *
cache_del(struct hf_store *s, const struct hf_name *name)
{
	struct cached *c = cached_of(s);
	struct hf_err *e = c->inner->ops->del(c->inner, name);

	if (e == NULL || hf_err_code(e) == HF_ENOTFOUND)
		drop(c, *name);
	return e;
}

static struct hf_err *
cache_age(struct hf_store *s, const struct hf_name *name, double *age)
{
	return hf_store_age(cached_of(s)->inner, name, age);
}

static struct hf_err *
cache_put_held(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd)
{
	struct hf_store *inner = cached_of(s)->inner;

	return inner->ops->put_held(inner, name, data, fd);
}

static enum hf_held
cache_held(struct hf_store *s, const struct hf_name *name)
{
	return hf_store_held(cached_of(s)->inner, name);
}

static void
cache_free(struct hf_store *s)
{
	struct cached *c = cached_of(s);

	hf_cache_close(c->cache);
	hf_store_free(c->inner);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->came);
	free(c->seen);
	free(c);
}

static const struct hf_store_ops cache_ops = {cache_create, cache_put, cache_get, cache_stat,
	cache_list, cache_del, cache_free, cache_age, cache_put_held, cache_held, cache_forget,
	.names = cache_names, .pour = cache_pour};

struct hf_store *
hf_store_cache(struct hf_store *inner, struct hf_cache *cache)
{
	struct cached *c = hf_new(struct cached);

	hf_store_wrap(&c->store, &cache_ops, inner);
	c->store.has_copies = true;
	c->inner = inner;
	c->cache = cache;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->came, NULL);
	return &c->store;
}
