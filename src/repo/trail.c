/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/trail.h"

#include <pthread.h>

enum { MAX_STEPS = 64 << 20 }; /* bytes; 1.6 million packs that are not confirmed */

#define NEVER UINT64_MAX

/* A pack or an index file of ours that is not confirmed. */
struct step {
	struct hf_id id;
	/* How many had begun when the index file was there; NEVER: no look confirms it. */
	uint64_t looks;
};

struct hf_trail {
	pthread_mutex_t lock;
	struct hf_buf packs, files; /* steps */
};

struct hf_trail *
hf_trail_new(void)
{
	struct hf_trail *t = hf_new(struct hf_trail);

	t->packs = t->files = (struct hf_buf)HF_BUF_MAX(MAX_STEPS);
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void
hf_trail_free(struct hf_trail *t)
{
	if (t == NULL)
		return;
	hf_buf_clear(&t->packs);
	hf_buf_clear(&t->files);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct step *
find(const struct hf_buf *steps, const struct hf_id *id)
{
	struct step *v = (void *)steps->p;

	for (size_t i = 0; i < steps->len / sizeof *v; i++)
		if (hf_id_eq(&v[i].id, id))
			return &v[i];
	return NULL;
}

static void
drop_seen(struct hf_buf *steps, uint64_t seen)
{
	struct step *v = (void *)steps->p;
	size_t kept = 0;

	for (size_t i = 0; i < steps->len / sizeof *v; i++)
		if (v[i].looks >= seen)
			v[kept++] = v[i];
	steps->len = kept * sizeof *v;
}

void
hf_trail_pack(struct hf_trail *t, const struct hf_id *pack)
{
	struct step step = {*pack, NEVER};

	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	hf_buf_add(&t->packs, &step, sizeof step);
	pthread_mutex_unlock(&t->lock);
}

void
hf_trail_file(struct hf_trail *t, const struct hf_id *file, const struct hf_index_pack *packs,
	size_t n, uint64_t looks)
{
	struct step step = {*file, looks};

	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	hf_buf_add(&t->files, &step, sizeof step);
	for (size_t i = 0; i < n; i++) {
		struct step *pack = find(&t->packs, &packs[i].id);

		if (pack != NULL)
			pack->looks = looks;
	}
	pthread_mutex_unlock(&t->lock);
}

void
hf_trail_confirm(struct hf_trail *t, uint64_t seen)
{
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	drop_seen(&t->files, seen);
	drop_seen(&t->packs, seen);
	pthread_mutex_unlock(&t->lock);
}

static void
never(struct hf_buf *steps)
{
	struct step *v = (void *)steps->p;

	for (size_t i = 0; i < steps->len / sizeof *v; i++)
		v[i].looks = NEVER;
}

void
hf_trail_lost(struct hf_trail *t, uint64_t seen)
{
	if (t == NULL)
		return;
	hf_trail_confirm(t, seen);
	pthread_mutex_lock(&t->lock);
	never(&t->files);
	never(&t->packs);
	pthread_mutex_unlock(&t->lock);
}

bool
hf_trail_distrusts(struct hf_trail *t, const struct hf_id *pack)
{
	if (t == NULL)
		return false;
	pthread_mutex_lock(&t->lock);
	bool found = find(&t->packs, pack) != NULL;
	pthread_mutex_unlock(&t->lock);
	return found;
}

/* ---- repair ---- */

/* The packs of one index file, with their blobs, that are still in the store. */
struct kept {
	struct hf_index_pack *v;
	size_t len, n_gone;
};

static void
kept_clear(struct kept *k)
{
	for (size_t i = 0; i < k->len; i++)
		hf_pack_entries_clear(&k->v[i].entries);
	free(k->v);
}

static struct hf_err *
keep_pack(struct hf_repo *repo, struct hf_index *ix, size_t number, struct kept *k)
{
	struct hf_index_pack pack = {0};
	struct hf_name name = {.kind = HF_PACK};
	uint64_t size;

	if (!hf_index_pack(ix, number, &name.id))
		return NULL;
	struct hf_err *e = hf_store_stat(hf_repo_store(repo), &name, &size);
	k->n_gone += e != NULL && hf_err_code(e) == HF_ENOTFOUND;
	if (e != NULL)
		return hf_err_ignore(e, HF_ENOTFOUND);
	pack.id = name.id;
	for (size_t i = 0; i < hf_index_len(ix); i++) {
		struct hf_pack_entry entry = {0};
		struct hf_location at;

		if (!hf_index_entry(ix, i, &entry.blob, &at) || at.pack_number != number)
			continue;
		entry.offset = at.offset;
		entry.length = at.length;
		entry.raw_length = at.raw_length;
		hf_pack_entries_add(&pack.entries, &entry);
	}
	k->v[k->len++] = pack;
	return NULL;
}

static struct hf_err *
write_kept(struct hf_repo *repo, const struct kept *k)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_INDEX_FILE);
	struct hf_id id;

	if (k->len == 0)
		return NULL;
	hf_index_json(&json, k->v, k->len);
	HF_TRY(hf_buf_ok(&json));
	return hf_repo_save(repo, HF_INDEX, hf_buf_bytes(&json), &id);
}

static struct hf_err *
repair_file(struct hf_repo *repo, const struct hf_id *file)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(HF_MAX_INDEX_FILE);
	hf_autoptr(hf_index) ix = hf_index_new();
	__attribute__((cleanup(kept_clear))) struct kept k = {0};
	struct hf_name name = {HF_INDEX, *file};
	struct hf_err *e = hf_repo_load(repo, &name, &json);

	if (e != NULL)
		return hf_err_ignore(e, HF_ENOTFOUND);
	HF_TRY(hf_index_parse(ix, hf_buf_bytes(&json), hf_repo_config(repo)->version));
	k.v = hf_alloc_(hf_index_packs(ix) + 1, sizeof *k.v);
	for (size_t i = 0; i < hf_index_packs(ix); i++)
		HF_TRY(keep_pack(repo, ix, i, &k));
	if (k.n_gone == 0)
		return NULL;
	/* First what replaces it. */
	HF_TRY(write_kept(repo, &k));
	return hf_err_ignore(hf_store_del(hf_repo_store(repo), &name), HF_ENOTFOUND);
}

struct hf_err *
hf_trail_repair(struct hf_trail *t, struct hf_repo *repo)
{
	while (t != NULL && t->files.len > 0) {
		struct step *files = (void *)t->files.p;
		size_t last = t->files.len / sizeof *files - 1;
		struct hf_id file = files[last].id;

		HF_TRY(hf_err_in(repair_file(repo, &file), "index %.8s", hf_id_hex(&file).s));
		t->files.len = last * sizeof *files;
	}
	return NULL;
}
