/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/index_rewrite.h"

#include <pthread.h>

#include "base/endian.h"
#include "base/group.h"
#include "base/host.h"
#include "base/idset.h"

enum {
	FULL = 50000, /* blobs in a file, as in restic */
	OVERSIZED = FULL + HF_PACK_MAX_ENTRIES,
	MAX_LOADERS = 8,
};

/* ---- writer ---- */

struct hf_index_writer {
	struct hf_repo *repo; /* borrowed */
	pthread_mutex_t lock; /* guards the following */
	struct hf_index_pack *v;
	size_t len, cap, n_blobs;
	struct hf_id *files;
	size_t n_files;
};

struct hf_index_writer *
hf_index_writer_new(struct hf_repo *repo)
{
	struct hf_index_writer *w = hf_new(struct hf_index_writer);

	w->repo = repo;
	pthread_mutex_init(&w->lock, NULL);
	return w;
}

static void
free_packs(struct hf_index_pack *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hf_pack_entries_clear(&v[i].entries);
	free(v);
}

void
hf_index_writer_free(struct hf_index_writer *w)
{
	if (w == NULL)
		return;
	free_packs(w->v, w->len);
	free(w->files);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* Writes one file; takes the packs. */
static struct hf_err *
write_file(struct hf_index_writer *w, struct hf_index_pack *v, size_t n)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(HF_MAX_INDEX_FILE);
	struct hf_id id;

	hf_index_json(&json, v, n);
	free_packs(v, n);
	HF_TRY(hf_buf_ok(&json));
	HF_TRY(hf_err_in(hf_repo_save(w->repo, HF_INDEX, hf_buf_bytes(&json), &id),
		"writing an index file"));
	pthread_mutex_lock(&w->lock);
	w->files = hf_realloc_array(w->files, w->n_files + 1, sizeof *w->files);
	w->files[w->n_files++] = id;
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct hf_err *
hf_index_writer_add(struct hf_index_writer *w, const struct hf_id *pack,
	const struct hf_pack_entry *entries, size_t n)
{
	struct hf_index_pack p = {.id = *pack}, *full = NULL;
	size_t n_full = 0;

	for (size_t i = 0; i < n; i++)
		hf_pack_entries_add(&p.entries, &entries[i]);
	pthread_mutex_lock(&w->lock);
	if (w->len == w->cap) {
		w->cap = w->cap == 0 ? 64 : 2 * w->cap;
		w->v = hf_realloc_array(w->v, w->cap, sizeof *w->v);
	}
	w->v[w->len++] = p;
	w->n_blobs += n;
	if (w->n_blobs >= FULL) {
		full = w->v;
		n_full = w->len;
		w->v = NULL;
		w->len = w->cap = w->n_blobs = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return full != NULL ? write_file(w, full, n_full) : NULL;
}

struct hf_err *
hf_index_writer_flush(struct hf_index_writer *w)
{
	struct hf_index_pack *v = w->v;
	size_t n = w->len;

	if (n == 0)
		return NULL;
	w->v = NULL;
	w->len = w->cap = w->n_blobs = 0;
	return write_file(w, v, n);
}

const struct hf_id *
hf_index_writer_files(const struct hf_index_writer *w, size_t *n)
{
	*n = w->n_files;
	return w->files;
}

/* ---- rewriting ---- */

struct rewriter {
	struct hf_repo *repo;
	const struct hf_index_rewrite *how;
	atomic_size_t next;
	struct hf_stop failed; /* a sibling's */

	pthread_mutex_t lock;   /* guards the following: one file is merged at a time */
	struct hf_idset listed; /* packs with their entries, see listing_key() */
	struct hf_id *obsolete;
	size_t n_obsolete;
};

/* What one index file lists. */
struct content {
	struct hf_index_pack *v;
	size_t len, cap, n_blobs;
};

static void
content_clear(struct content *c)
{
	free_packs(c->v, c->len);
}

static struct hf_err *
take_pack(void *arg, const struct hf_id *pack, const struct hf_pack_entry *entries, size_t n)
{
	struct content *c = arg;

	if (c->len == c->cap) {
		c->cap = c->cap == 0 ? 64 : 2 * c->cap;
		c->v = hf_realloc_array(c->v, c->cap, sizeof *c->v);
	}
	c->v[c->len] = (struct hf_index_pack){.id = *pack};
	for (size_t i = 0; i < n; i++)
		hf_pack_entries_add(&c->v[c->len].entries, &entries[i]);
	c->len++;
	c->n_blobs += n;
	return NULL;
}

/*
 * An id that stands for the pack and the set of its entries, in whatever order. The pack's name is
 * a hash already, and the entries are authentic: nobody chooses them.
 */
static struct hf_id
listing_key(const struct hf_index_pack *p)
{
	struct hf_id key = p->id;
	uint64_t sum[2] = {0};

	for (size_t i = 0; i < p->entries.len; i++) {
		const struct hf_pack_entry *e = &p->entries.v[i];
		uint64_t a =
			hf_get_le64(e->blob.id.b + 8) ^ ((uint64_t)e->offset << 32 | e->length);
		uint64_t b = hf_get_le64(e->blob.id.b + 24) ^
			     ((uint64_t)e->raw_length << 1 | (e->blob.type == HF_TREE));

		sum[0] += (a ^ a >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
		sum[1] += (b ^ b >> 29) * UINT64_C(0x94d049bb133111eb);
	}
	for (int i = 0; i < 2; i++)
		hf_put_le64(key.b + 8 * i, hf_get_le64(key.b + 8 * i) ^ sum[i]);
	return key;
}

static bool
drops(const struct rewriter *r, const struct hf_id *pack)
{
	return r->how->drops != NULL && r->how->drops(r->how->arg, pack);
}

/* True if the file may stay: full, and nothing in it is dropped or listed elsewhere. */
static bool
may_stay(const struct rewriter *r, const struct content *c)
{
	if (c->n_blobs < FULL || c->n_blobs >= OVERSIZED)
		return false;
	for (size_t i = 0; i < c->len; i++) {
		struct hf_id key = listing_key(&c->v[i]);

		if (drops(r, &c->v[i].id) || hf_idset_has(&r->listed, &key))
			return false;
	}
	return true;
}

/* Notes what the file lists, and hands what is to be written again to the writer. */
static struct hf_err *
merge(struct rewriter *r, const struct content *c, const struct hf_id *file)
{
	bool stays = may_stay(r, c);

	for (size_t i = 0; i < c->len; i++) {
		struct hf_index_pack *p = &c->v[i];
		struct hf_id key = listing_key(p);

		if (drops(r, &p->id) || hf_idset_has(&r->listed, &key))
			continue;
		if (!hf_idset_add(&r->listed, &key))
			return hf_err(HF_EFATAL, "no memory for the list of packs");
		if (!stays)
			HF_TRY(hf_index_writer_add(
				r->how->writer, &p->id, p->entries.v, p->entries.len));
	}
	if (!stays)
		r->obsolete[r->n_obsolete++] = *file;
	return NULL;
}

static struct hf_err *
rewrite_file(struct rewriter *r, const struct hf_id *file)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(HF_MAX_INDEX_FILE);
	hf_auto(content) c = {0};
	struct hf_name name = {HF_INDEX, *file};

	HF_TRY(hf_repo_load(r->repo, &name, &json));
	HF_TRY(hf_index_each(
		hf_buf_bytes(&json), hf_repo_config(r->repo)->version, take_pack, &c));
	pthread_mutex_lock(&r->lock);
	struct hf_err *e = merge(r, &c, file);
	pthread_mutex_unlock(&r->lock);
	if (e == NULL && r->how->done != NULL)
		atomic_fetch_add_explicit(r->how->done, 1, memory_order_relaxed);
	return e;
}

static struct hf_err *
rewrite_files(void *arg)
{
	struct rewriter *r = arg;
	size_t i;

	while ((i = atomic_fetch_add(&r->next, 1)) < r->how->n_files) {
		const struct hf_id *file = &r->how->files[i];

		HF_TRY(hf_stop_check(r->how->stop));
		HF_TRY(hf_stop_check(&r->failed));
		HF_TRY(hf_err_in(rewrite_file(r, file), "index %s", hf_id_hex(file).s));
	}
	return NULL;
}

static void
stop_rewriting(void *arg)
{
	hf_stop_set(&((struct rewriter *)arg)->failed);
}

static struct hf_err *
run(struct rewriter *r)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_rewriting, r);
	size_t n = hf_cpus() > 1 ? hf_cpus() : 2;

	n = n < MAX_LOADERS ? n : MAX_LOADERS;
	for (size_t i = 0; i < n && i < r->how->n_files; i++)
		HF_TRY(hf_group_go(g, "index", rewrite_files, r));
	HF_TRY(hf_group_wait(g));
	return hf_index_writer_flush(r->how->writer);
}

struct hf_err *
hf_index_rewrite(struct hf_repo *repo, const struct hf_index_rewrite *how,
	struct hf_id **obsolete, size_t *n_obsolete)
{
	struct rewriter r = {.repo = repo,
		.how = how,
		.listed = {.max = SIZE_MAX / 4},
		.obsolete = hf_alloc_(how->n_files + 1, sizeof *r.obsolete)};

	pthread_mutex_init(&r.lock, NULL);
	struct hf_err *e = run(&r);
	pthread_mutex_destroy(&r.lock);
	hf_idset_clear(&r.listed);
	if (e != NULL) {
		free(r.obsolete);
		return e;
	}
	*obsolete = r.obsolete;
	*n_obsolete = r.n_obsolete;
	return NULL;
}
