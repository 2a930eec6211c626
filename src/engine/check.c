/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of a check, the snapshots, and how findings are told. */
#include "engine/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/group.h"
#include "engine/check_run.h"
#include "repo/raw.h"
#include "store/early.h"

enum { MAX_THREADS = 16 };

void
hf_check_result_clear(struct hf_check_result *r)
{
	free(r->broken_packs.v);
	free(r->broken_snapshots.v);
	free(r->missing_packs.v);
	free(r->hurt_snapshots.v);
	*r = (struct hf_check_result){0};
}

void
hf_check_ids_add(struct hf_check_ids *l, const struct hf_id *id)
{
	if (l->len == l->cap) {
		l->cap = l->cap < 8 ? 8 : 2 * l->cap;
		l->v = reallocarray(l->v, l->cap, sizeof *l->v);
		if (l->v == NULL)
			abort();
	}
	l->v[l->len++] = *id;
}

/* Sorted, each once: the same pack can be found bad in several ways. */
static void
tidy_ids(struct hf_check_ids *l)
{
	size_t n = 0;

	hf_id_sort(l->v, l->len);
	for (size_t i = 0; i < l->len; i++)
		if (n == 0 || !hf_id_eq(&l->v[n - 1], &l->v[i]))
			l->v[n++] = l->v[i];
	l->len = n;
}

static void
count(struct hf_check_result *r, const struct hf_check_finding *f)
{
	if (hf_check_is_damage(f->kind))
		r->damages++;
	switch (f->kind) {
	case HF_CHECK_ORPHANED_PACK:
		r->orphaned_packs++;
		break;
	case HF_CHECK_DUPLICATE_PACK:
		r->duplicate_packs++;
		break;
	case HF_CHECK_MIXED_PACK:
		r->mixed_packs++;
		break;
	case HF_CHECK_INDEX:
		r->index_damages++;
		break;
	case HF_CHECK_MISSING_PACK:
		hf_check_ids_add(&r->missing_packs, &f->id);
		hf_check_ids_add(&r->broken_packs, &f->id);
		break;
	case HF_CHECK_TREE:
		r->tree_damages++;
		break;
	case HF_CHECK_SPLIT_PACK:
	case HF_CHECK_PACK_SIZE:
	case HF_CHECK_PACK_DATA:
		hf_check_ids_add(&r->broken_packs, &f->id);
		break;
	case HF_CHECK_SNAPSHOT:
		if (!hf_id_is_zero(&f->id))
			hf_check_ids_add(&r->broken_snapshots, &f->id);
		break;
	case HF_CHECK_TOUCHED:
	case HF_CHECK_KEY:
	case HF_CHECK_INDEX_LAYOUT:
	case HF_CHECK_PACK_READ:
		break;
	}
}

void
hf_check_report(struct hf_check_run *c, const struct hf_check_finding *f)
{
	pthread_mutex_lock(&c->report_lock);
	count(&c->result, f);
	if (hf_check_is_damage(f->kind))
		atomic_fetch_add_explicit(&c->progress->damages, 1, memory_order_relaxed);
	c->events->found(c->events->arg, f);
	pthread_mutex_unlock(&c->report_lock);
}

void
hf_check_reportf(struct hf_check_run *c, enum hf_check_kind kind, const struct hf_id *id,
	const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hf_autofree char *text = hf_str_vprintf(fmt, ap);
	va_end(ap);
	struct hf_check_finding f = {.kind = kind, .id = *id, .text = text};
	hf_check_report(c, &f);
}

struct hf_err *
hf_check_go_on(struct hf_check_run *c)
{
	HF_TRY(hf_stop_check(c->stop));
	return hf_stop_check(&c->failed);
}

void
hf_check_mark_bad(struct hf_check_run *c, uint32_t number)
{
	hf_bits_add(&c->bad, number);
	atomic_store_explicit(&c->has_bad, true, memory_order_relaxed);
}

static void
stop_threads(void *arg)
{
	hf_stop_set(&((struct hf_check_run *)arg)->failed);
}

struct hf_err *
hf_check_threads(
	struct hf_check_run *c, const char *name, struct hf_err *(*fn)(void *), void *arg)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_threads, c);

	for (unsigned i = 0; i < c->n_threads; i++) {
		struct hf_err *e = hf_group_go(g, name, fn, arg);

		if (e != NULL) {
			hf_stop_set(&c->failed);
			return e;
		}
	}
	return hf_group_wait(g);
}

static void
enter(struct hf_check_run *c, enum hf_check_phase phase)
{
	if (c->events->phase == NULL)
		return;
	pthread_mutex_lock(&c->report_lock);
	c->events->phase(c->events->arg, phase);
	pthread_mutex_unlock(&c->report_lock);
}

/*
 * A key file that is damaged locks out whoever comes with its password. The one that opened the
 * repository has just been read, compared with its name, and used.
 */
static struct hf_err *
check_keys(struct hf_check_run *c)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(HF_MAX_KEY_FILE);
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	HF_TRY(hf_repo_list(c->repo, HF_KEY, &ids, NULL, &n));
	for (size_t i = 0; i < n; i++) {
		struct hf_name name = {HF_KEY, ids[i]};

		HF_TRY(hf_check_go_on(c));
		if (hf_id_eq(&ids[i], hf_repo_key_id(c->repo)))
			continue;
		hf_buf_reset(&b);
		hf_autoptr(hf_err) e = hf_raw_load(hf_repo_store(c->repo), &name, &b);
		if (e != NULL)
			hf_check_reportf(c, HF_CHECK_KEY, &ids[i], "key %s: %s",
				hf_id_hex(&ids[i]).s, hf_err_text(e));
	}
	return NULL;
}

static void
bad_snapshot(void *arg, const char *what, struct hf_err *e)
{
	struct hf_id id = {{0}};

	hf_id_parse(hf_str(what), &id);
	hf_check_reportf(
		arg, HF_CHECK_SNAPSHOT, &id, "snapshot error %s: %s", what, hf_err_text(e));
	hf_err_free(e);
}

static void
add_root(struct hf_check_run *c, const struct hf_snapshot *s)
{
	if (!s->has_tree) {
		hf_check_reportf(c, HF_CHECK_SNAPSHOT, &s->id,
			"snapshot error %s: snapshot has no tree", hf_id_hex(&s->id).s);
		return;
	}
	c->roots = reallocarray(c->roots, c->n_roots + 1, sizeof *c->roots);
	if (c->roots == NULL)
		abort();
	c->roots[c->n_roots++] = (struct hf_check_root){s->id, s->tree};
}

static bool
filter_is_empty(const struct hf_snapshot_filter *f)
{
	return f == NULL ||
	       (f->hosts.len == 0 && f->tags.len == 0 && f->paths.len == 0 && !f->has_until);
}

/*
 * Before the index, so that it knows all that these snapshots need, even if somebody is adding
 * to the repository at this moment.
 */
static struct hf_err *
load_snapshots(struct hf_check_run *c)
{
	static const struct hf_snapshot_filter all;
	const struct hf_snapshot_filter *f =
		c->options->filter != NULL ? c->options->filter : &all;
	hf_auto(hf_snapshots) l = {0};

	c->is_filtered = c->options->snapshots.len > 0 || !filter_is_empty(f);
	HF_TRY(hf_snapshots_select(c->repo, &c->options->snapshots, f, bad_snapshot, c, &l));
	for (size_t i = 0; i < l.len; i++)
		add_root(c, l.v[i]);
	atomic_store(&c->progress->snapshots_total, c->n_roots);
	return NULL;
}

static void
bad_index(void *arg, const struct hf_id *file, struct hf_err *e)
{
	hf_check_reportf(arg, HF_CHECK_INDEX, file, "error loading index %s: %s",
		hf_id_hex(file).s, hf_err_text(e));
	hf_err_free(e);
}

/*
 * What is looked at next. The packs are listed after the index files have been, so that all packs of
 * these are there, but they need not wait until these have been read.
 */
static void
ask_early(struct hf_repo *repo)
{
	struct hf_early keys = hf_early_list(HF_KEY);
	struct hf_early packs[] = {hf_early_list(HF_INDEX), hf_early_list(HF_PACK)};

	packs[1].fresh_s = 3600; /* the index may be large, and it is older in any case */
	hf_store_early(hf_repo_store(repo), packs, 2);
	hf_store_early(hf_repo_store(repo), &keys, 1);
}

static struct hf_err *
run(struct hf_check_run *c)
{
	HF_TRY(load_snapshots(c));
	enter(c, HF_CHECK_LOAD_INDEX);
	ask_early(c->repo);
	HF_TRY(hf_index_load(c->repo, c->ix, c->stop, bad_index, c));
	HF_TRY(check_keys(c));
	enter(c, HF_CHECK_PACKS);
	HF_TRY(hf_check_packs(c));
	enter(c, HF_CHECK_STRUCTURE);
	HF_TRY(hf_check_trees(c));
	if (c->options->data.kind != HF_SUBSET_NONE) {
		hf_check_choose(c);
		enter(c, HF_CHECK_DATA);
		HF_TRY(hf_check_data(c));
	}
	if (atomic_load(&c->has_bad))
		HF_TRY(hf_check_touched(c));
	if (atomic_load(&c->has_bad) || c->result.tree_damages > 0)
		HF_TRY(hf_check_hurt(c));
	c->result.n_snapshots = c->n_roots;
	return hf_stop_check(c->stop);
}

static unsigned
count_threads(struct hf_repo *repo, unsigned wanted)
{
	if (wanted == 0)
		return hf_store_workers(hf_repo_store(repo), MAX_THREADS);
	return wanted < MAX_THREADS ? wanted : MAX_THREADS;
}

void
hf_check_run_init(struct hf_check_run *c, struct hf_repo *repo, struct hf_index *ix,
	unsigned threads, struct hf_stop *stop)
{
	*c = (struct hf_check_run){
		.repo = repo,
		.ix = ix,
		.stop = stop,
		.n_threads = count_threads(repo, threads),
	};
	pthread_mutex_init(&c->report_lock, NULL);
}

void
hf_check_run_clear(struct hf_check_run *c)
{
	pthread_mutex_destroy(&c->report_lock);
	hf_bits_clear(&c->bad);
	hf_bits_clear(&c->used);
	free(c->roots);
	free(c->first);
	free(c->numbers);
	free(c->file_sizes);
	free(c->chosen);
	hf_check_result_clear(&c->result);
}

struct hf_err *
hf_check(struct hf_repo *repo, const struct hf_check_options *options,
	const struct hf_check_events *events, struct hf_check_progress *progress,
	struct hf_stop *stop, struct hf_check_result *out)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_check_progress unseen = {0};
	struct hf_check_run c;

	hf_check_run_init(&c, repo, ix, options->threads, stop);
	c.options = options;
	c.events = events;
	c.progress = progress != NULL ? progress : &unseen;
	struct hf_err *e = run(&c);
	if (e == NULL) {
		tidy_ids(&c.result.broken_packs);
		tidy_ids(&c.result.broken_snapshots);
		tidy_ids(&c.result.missing_packs);
		*out = c.result;
		c.result = (struct hf_check_result){0};
	}
	hf_check_run_clear(&c);
	return e;
}
