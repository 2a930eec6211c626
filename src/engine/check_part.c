/* SPDX-License-Identifier: BSD-2-Clause */
/* Parts of a check, on what a repair has made. */
#include "engine/check_run.h"
#include "repo/raw.h"

/* The first damage that was found; the others are counted. */
struct verdict {
	struct hf_check_run c;
	struct hf_check_options options;
	struct hf_check_events events;
	struct hf_check_progress progress;
	bool may_lack;
	char *first;
	uint64_t n;
};

static void
found(void *arg, const struct hf_check_finding *f)
{
	struct verdict *v = arg;
	bool is_lack = f->kind == HF_CHECK_MISSING_PACK || f->kind == HF_CHECK_PACK_SIZE;

	if (!hf_check_is_damage(f->kind) || f->kind == HF_CHECK_SPLIT_PACK ||
		f->kind == HF_CHECK_INDEX_LAYOUT || (is_lack && v->may_lack))
		return;
	if (v->n++ == 0)
		v->first = hf_str_dup(hf_str(f->text));
}

static void
verdict_init(struct verdict *v, struct hf_repo *repo, struct hf_index *ix, struct hf_stop *stop)
{
	*v = (struct verdict){.events = {.arg = v, .found = found}};
	hf_check_run_init(&v->c, repo, ix, 0, stop);
	v->c.options = &v->options;
	v->c.events = &v->events;
	v->c.progress = &v->progress;
}

/* The error that is made of it; `e`, which is taken: why it could not be reached. */
static struct hf_err *
verdict_end(struct verdict *v, struct hf_err *e)
{
	if (e == NULL && v->n > 0)
		e = hf_err(HF_ECORRUPT,
			"%s%s\nNothing was deleted. `check --read-data` shows what is wrong "
			"with "
			"what was written.",
			v->first, v->n > 1 ? ", and more" : "");
	free(v->first);
	hf_check_run_clear(&v->c);
	return e;
}

/* ---- the index ---- */

static void
bad_index(void *arg, const struct hf_id *file, struct hf_err *e)
{
	hf_check_reportf(
		arg, HF_CHECK_INDEX, file, "index %s: %s", hf_id_hex(file).s, hf_err_text(e));
	hf_err_free(e);
}

static struct hf_err *
load_without(struct hf_check_run *c, const struct hf_id *gone, size_t n_gone)
{
	hf_autofree struct hf_id *files = NULL;
	size_t n, kept = 0;

	HF_TRY(hf_err_in(
		hf_repo_list(c->repo, HF_INDEX, &files, NULL, &n), "listing index files"));
	for (size_t i = 0; i < n; i++)
		if (hf_id_search(gone, n_gone, &files[i]) == n_gone)
			files[kept++] = files[i];
	return hf_index_load_files(c->repo, c->ix, files, kept, c->stop, bad_index, c);
}

static void
choose(struct hf_check_run *c, const struct hf_id *packs, size_t n)
{
	c->chosen = hf_alloc_(n + 1, sizeof *c->chosen);
	for (size_t i = 0; i < n; i++) {
		uint32_t number;

		if (hf_index_find_pack(c->ix, &packs[i], &number))
			c->chosen[c->n_chosen++] = number;
		else
			hf_check_reportf(c, HF_CHECK_PACK_DATA, &packs[i],
				"pack %s: not in the index", hf_id_hex(&packs[i]).s);
	}
}

static struct hf_err *
check_index(struct hf_check_run *c, const struct hf_check_made *made)
{
	HF_TRY(load_without(c, made->gone, made->n_gone));
	HF_TRY(hf_check_packs(c));
	choose(c, made->fresh, made->n_fresh);
	return hf_check_data(c);
}

struct hf_err *
hf_check_index_made(struct hf_repo *repo, const struct hf_check_made *made, struct hf_index *ix,
	struct hf_stop *stop)
{
	struct verdict v;

	verdict_init(&v, repo, ix, stop);
	v.may_lack = made->may_lack;
	return verdict_end(&v, check_index(&v.c, made));
}

/* ---- a snapshot ---- */

/* As it lies in the store, not in a cache in front of it. */
static void
check_file(struct hf_check_run *c, const struct hf_id *id)
{
	const struct hf_name name = {HF_SNAPSHOT, *id};
	struct hf_store *store = hf_repo_store(c->repo);
	hf_auto(hf_buf) file = HF_BUF_MAX(hf_raw_max(HF_SNAPSHOT));
	struct hf_err *e = hf_raw_load(store, &name, &file);

	if (e == NULL && hf_store_forget(store, &name)) {
		hf_buf_reset(&file);
		e = hf_raw_load(store, &name, &file);
	}
	if (e != NULL)
		hf_check_reportf(c, HF_CHECK_SNAPSHOT, id, "%s", hf_err_text(e));
	hf_err_free(e);
}

static struct hf_err *
check_snapshot(struct hf_check_run *c, const struct hf_snapshot *s, size_t first_fresh)
{
	size_t n = hf_index_packs(c->ix);

	check_file(c, &s->id);
	HF_TRY(hf_check_group(c));
	c->roots = hf_alloc_(1, sizeof *c->roots);
	c->roots[c->n_roots++] = (struct hf_check_root){s->id, s->tree};
	HF_TRY(hf_check_trees(c));
	c->chosen = hf_alloc_(n + 1, sizeof *c->chosen);
	for (size_t p = first_fresh; p < n; p++) {
		HF_TRY(hf_check_sort(c, (uint32_t)p));
		c->chosen[c->n_chosen++] = (uint32_t)p;
	}
	return hf_check_data(c);
}

struct hf_err *
hf_check_snapshot(struct hf_repo *repo, struct hf_index *ix, const struct hf_snapshot *s,
	size_t first_fresh, struct hf_stop *stop)
{
	struct verdict v;

	verdict_init(&v, repo, ix, stop);
	return verdict_end(&v, check_snapshot(&v.c, s, first_fresh));
}
