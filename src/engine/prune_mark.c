/* SPDX-License-Identifier: BSD-2-Clause */
/* What the snapshots need (A2), and what those need that came meanwhile (B1). */
#include <pthread.h>

#include "engine/mark.h"
#include "engine/prune_i.h"

enum { MAX_NAMED = 20 }; /* missing blobs that are named; all are counted */

struct marking {
	struct prune *p;
	struct hf_bits *seen; /* by number of the first copy */
	pthread_mutex_t lock; /* guards the following */
	struct hf_blob missing[MAX_NAMED];
	size_t n_missing;
};

static void
note_missing(struct marking *m, const struct hf_blob *blob)
{
	pthread_mutex_lock(&m->lock);
	if (m->n_missing < MAX_NAMED)
		m->missing[m->n_missing] = *blob;
	m->n_missing++;
	pthread_mutex_unlock(&m->lock);
}

/* Missing data is collected; a tree that is missing ends the walk when it is to be read. */
static struct hf_err *
need(void *arg, const struct hf_blob *blob, bool *is_new)
{
	struct marking *m = arg;
	struct hf_location at;

	if (hf_index_find(m->p->ix, blob, 0, &at)) {
		*is_new = hf_bits_add(m->seen, at.number);
		return NULL;
	}
	if (blob->type == HF_TREE)
		return hf_err(
			HF_ECORRUPT, "tree %s is not in the index", hf_id_hex(&blob->id).s);
	note_missing(m, blob);
	*is_new = false;
	return NULL;
}

static struct hf_err *
refuse_missing(struct marking *m)
{
	hf_auto(hf_buf) list = HF_BUF_MAX(1 << 16);
	size_t n = m->n_missing < MAX_NAMED ? m->n_missing : MAX_NAMED;

	if (m->n_missing == 0)
		return NULL;
	for (size_t i = 0; i < n; i++)
		hf_buf_addf(&list, "%s<%s/%.8s>", i > 0 ? " " : "",
			hf_blob_type_text(m->missing[i].type), hf_id_hex(&m->missing[i].id).s);
	if (n < m->n_missing)
		hf_buf_addf(&list, " and %zu more", m->n_missing - n);
	prune_say(m->p, true,
		"{%.*s} not found in the index\n\n"
		"Integrity check failed: Data seems to be missing.\n"
		"Will not start prune to prevent (additional) data loss!",
		(int)list.len, (const char *)list.p);
	return hf_err(HF_ECORRUPT,
		"index is not complete\n`repair index` looks for the data in packs that the "
		"index does not list; `check` then tells what is missing");
}

static struct hf_err *
mark(struct marking *m, const struct hf_snapshot *const *v, size_t n,
	struct hf_err *(*fn)(void *, const struct hf_blob *, bool *))
{
	struct prune *p = m->p;
	struct hf_marker marker = {m, fn, p->stop, p->done};

	pthread_mutex_init(&m->lock, NULL);
	struct hf_err *e = hf_mark(p->repo, p->ix, v, n, &marker);
	pthread_mutex_destroy(&m->lock);
	if (e != NULL && hf_err_code(e) != HF_ECANCELED && hf_err_code(e) != HF_ELOST)
		e = hf_err_in(e, "failed finding blobs");
	return e;
}

static bool
is_ignored(const struct prune *p, const struct hf_id *id)
{
	return hf_id_search(p->o->ignored, p->o->n_ignored, id) < p->o->n_ignored;
}

struct hf_err *
prune_mark(struct prune *p)
{
	const struct hf_snapshot **v = hf_alloc_(p->snapshots.len + 1, sizeof *v);
	struct marking m = {.p = p, .seen = &p->used};
	size_t n = 0;

	for (size_t i = 0; i < p->snapshots.len; i++)
		if (!is_ignored(p, &p->snapshots.v[i]->id))
			v[n++] = p->snapshots.v[i];
	prune_phase(p, HF_PRUNE_MARK, n);
	hf_bits_init(&p->used, hf_index_len(p->ix));
	struct hf_err *e = mark(&m, v, n, need);
	free(v);
	HF_TRY(e);
	return refuse_missing(&m);
}

/* ---- B1 ---- */

static void
rescue(struct prune *p, size_t pack)
{
	atomic_store(&p->packs[pack].is_rescued, true);
	atomic_store(&p->packs[pack].action, PACK_KEEP);
}

/*
 * A blob of a snapshot that came meanwhile. A pack that was to go stays if it has the only copy.
 * What was needed before has been seen to (prune.h (1)), and so has all below it.
 */
static struct hf_err *
need_now(void *arg, const struct hf_blob *blob, bool *is_new)
{
	struct marking *m = arg;
	struct prune *p = m->p;
	struct hf_location at, first;
	bool was_needed = false, stays = false;

	if (!hf_index_find(p->ix, blob, 0, &first))
		return hf_err(HF_ECORRUPT, "%s %s of a new snapshot is not in the index",
			hf_blob_type_text(blob->type), hf_id_hex(&blob->id).s);
	for (unsigned i = 0; hf_index_find(p->ix, blob, i, &at); i++) {
		was_needed = was_needed ||
			     (at.number < p->n_blobs && hf_bits_has(&p->used, at.number));
		stays = stays || !prune_drops(p, at.pack_number);
	}
	*is_new = !was_needed && hf_bits_add(m->seen, first.number);
	if (!stays && !was_needed)
		rescue(p, first.pack_number);
	return NULL;
}

/* A pack that a new index file lists is one that somebody relies on. */
static struct hf_err *
keep_listed(void *arg, const struct hf_id *pack, const struct hf_pack_entry *entries, size_t n)
{
	struct prune *p = arg;
	uint32_t number;

	(void)entries;
	(void)n;
	if (hf_index_find_pack(p->ix, pack, &number) && prune_drops(p, number) &&
		p->packs[number].action != PACK_GONE)
		rescue(p, number);
	return NULL;
}

static struct hf_err *
load_index_file(struct prune *p, const struct hf_id *file)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(HF_MAX_INDEX_FILE);
	struct hf_name name = {HF_INDEX, *file};
	unsigned version = hf_repo_config(p->repo)->version;

	HF_TRY(hf_repo_load(p->repo, &name, &json));
	HF_TRY(hf_index_each(hf_buf_bytes(&json), version, keep_listed, p));
	HF_TRY(hf_index_parse(p->ix, hf_buf_bytes(&json), version));
	hf_index_add_file(p->ix, file);
	return NULL;
}

/* The files that the plan stands on must all be there; new ones are loaded. */
static struct hf_err *
look_at_index(struct prune *p)
{
	hf_autofree struct hf_id *now = NULL, *known = NULL;
	size_t n_now, n_known;

	HF_TRY(hf_err_in(
		hf_repo_list(p->repo, HF_INDEX, &now, NULL, &n_now), "listing index files"));
	if (hf_index_lost(p->ix, now, n_now) > 0)
		return hf_err(HF_EFATAL,
			"the index was rewritten by another program meanwhile\n"
			"nothing was deleted, and nothing is lost; run prune again");
	hf_index_files(p->ix, &known, &n_known);
	for (size_t i = 0; i < n_now; i++) {
		if (hf_id_search(known, n_known, &now[i]) < n_known)
			continue;
		HF_TRY(hf_err_in(
			load_index_file(p, &now[i]), "index %s", hf_id_hex(&now[i]).s));
	}
	return NULL;
}

static int
cmp_snapshots(const void *a, const void *b)
{
	const struct hf_snapshot *const *x = a, *const *y = b;

	return hf_id_cmp(&(*x)->id, &(*y)->id);
}

/* Snapshots before the index, as every reader. */
struct hf_err *
prune_look_again(struct prune *p)
{
	static const struct hf_snapshot_filter all;
	hf_auto(hf_snapshots) now = {0};
	hf_auto(hf_bits) seen = {0};
	struct marking m = {.p = p, .seen = &seen};
	size_t n = 0;

	HF_TRY(hf_err_in(
		hf_snapshots_load(p->repo, &all, NULL, NULL, &now), "failed loading snapshot"));
	HF_TRY(look_at_index(p));
	hf_autofree const struct hf_snapshot **fresh = hf_alloc_(now.len + 1, sizeof *fresh);
	if (p->snapshots.len > 0)
		qsort(p->snapshots.v, p->snapshots.len, sizeof *p->snapshots.v, cmp_snapshots);
	for (size_t i = 0; i < now.len; i++)
		if (p->snapshots.len == 0 ||
			bsearch(&now.v[i], p->snapshots.v, p->snapshots.len,
				sizeof *p->snapshots.v, cmp_snapshots) == NULL)
			fresh[n++] = now.v[i];
	if (n == 0)
		return NULL;
	hf_bits_init(&seen, hf_index_len(p->ix));
	return mark(&m, fresh, n, need_now);
}
