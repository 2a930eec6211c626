/* SPDX-License-Identifier: BSD-2-Clause */
/* Begins and ends a restore, and has its threads: planner (the caller), conductor, workers. */
#include <errno.h>
#include <stdio.h>

#include "engine/restore_i.h"
#include "engine/warm.h"

struct hf_restore *
hf_restore_new(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_restore_options *options, const struct hf_restore_events *events)
{
	struct hf_restore *r = hf_new(struct hf_restore);

	r->repo = repo;
	r->ix = ix;
	r->opt = *options;
	if (events != NULL)
		r->ev = *events;
	r->root.fd = -1;
	r->is_root_user = geteuid() == 0;
	r->n_workers = hf_store_workers(hf_repo_store(repo), MAX_WORKERS);
	for (int i = 0; i < N_FILE_LOCKS; i++)
		pthread_mutex_init(&r->file_locks[i], NULL);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	pthread_mutex_init(&r->share_lock, NULL);
	pthread_cond_init(&r->shared, NULL);
	return r;
}

void
hf_restore_free(struct hf_restore *r)
{
	if (r == NULL)
		return;
	hf_root_clear(&r->root);
	free(r->last_user.name);
	free(r->last_group.name);
	hf_strings_clear(&r->warned);
	for (int i = 0; i < N_FILE_LOCKS; i++)
		pthread_mutex_destroy(&r->file_locks[i]);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->share_lock);
	pthread_cond_destroy(&r->shared);
	for (int i = 0; i < MARK_CHUNKS && r->marks[i] != NULL; i++)
		free(r->marks[i]);
	free(r);
}

const struct hf_restore_progress *
hf_restore_progress(const struct hf_restore *r)
{
	return &r->progress;
}

bool
restore_is_stopped(struct hf_restore *r)
{
	if (atomic_load_explicit(&r->is_stopped, memory_order_relaxed))
		return true;
	if (r->opt.stop == NULL ||
		!atomic_load_explicit(&r->opt.stop->is_set, memory_order_relaxed))
		return false;
	atomic_store(&r->is_stopped, true);
	return true;
}

void
restore_error(struct hf_restore *r, const char *rel, struct hf_err *e)
{
	hf_autofree char *path = NULL;

	atomic_fetch_add_explicit(&r->progress.errors, 1, memory_order_relaxed);
	if (r->ev.error != NULL && asprintf(&path, "/%s", rel) >= 0)
		r->ev.error(r->ev.arg, path, e);
	hf_err_free(e);
}

void
restore_item(
	struct hf_restore *r, enum hf_restore_action action, const char *rel, uint64_t size)
{
	hf_autofree char *path = NULL;

	if (r->ev.item != NULL && asprintf(&path, "/%s", rel) >= 0)
		r->ev.item(r->ev.arg, action, path, size);
}

bool
restore_path(const struct rdir *dir, const char *name, struct rpath *out)
{
	size_t n = strlen(name), at = 0;

	if (dir->path_len + 1 + n >= sizeof out->s) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(out->s, dir->path, dir->path_len);
	at = dir->path_len;
	if (at > 0 && n > 0)
		out->s[at++] = '/';
	memcpy(out->s + at, name, n + 1);
	return true;
}

int
restore_open_dir(struct hf_restore *r, const struct rdir *d, int flags)
{
	return hf_root_openat(&r->root, d->path, flags | O_DIRECTORY, 0);
}

void *
restore_grow(void *array, size_t size, size_t *cap)
{
	size_t n = *cap == 0 ? 64 : 2 * *cap;
	void *p = reallocarray(array, n, size);

	if (p == NULL)
		abort(); /* windows are bounded, so this is a small amount */
	*cap = n;
	return p;
}

/* ---- windows ---- */

struct rwindow *
restore_window_new(void)
{
	struct rwindow *w = hf_new(struct rwindow);

	w->wants = reallocarray(NULL, WINDOW_WANTS, sizeof w->wants[0]);
	if (w->wants == NULL)
		abort();
	return w;
}

/* The files in it are gone: each was freed when it was finished. */
static void
window_free(struct rwindow *w)
{
	for (size_t i = 0; i < w->n_links; i++) {
		rdir_unref(w->links[i]->dir);
		free(w->links[i]->target);
		free(w->links[i]);
	}
	for (size_t i = 0; i < w->n_dones; i++) {
		rdir_unref(w->dones[i].dir);
		restore_meta_clear(&w->dones[i].meta);
	}
	free(w->wants);
	free(w->parts);
	free(w->files);
	free(w->links);
	free(w->dones);
	free(w->ranges);
	free(w);
}

void
restore_submit(struct hf_restore *r, struct rwindow *w)
{
	pthread_mutex_lock(&r->lock);
	while (r->window != NULL || r->is_working)
		pthread_cond_wait(&r->changed, &r->lock);
	r->window = w;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* ---- workers ---- */

static struct hf_err *
work(void *arg)
{
	struct rworker *w = arg;
	struct hf_restore *r = w->r;
	unsigned seen = 0;
	size_t i;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		while (r->round == seen && !r->is_over)
			pthread_cond_wait(&r->changed, &r->lock);
		if (r->round == seen)
			break;
		seen = r->round;
		pthread_mutex_unlock(&r->lock);
		while ((i = atomic_fetch_add(&r->next_job, 1)) < r->n_jobs)
			r->job(w, r->job_window, i);
		restore_help(w);
		pthread_mutex_lock(&r->lock);
		if (--r->n_busy == 0)
			pthread_cond_broadcast(&r->changed);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Lets the workers do n jobs and waits for all of them. */
static void
run_jobs(struct hf_restore *r, void (*job)(struct rworker *, struct rwindow *, size_t),
	struct rwindow *window, size_t n)
{
	if (n == 0)
		return;
	pthread_mutex_lock(&r->lock);
	r->job = job;
	r->job_window = window;
	r->n_jobs = n;
	atomic_store(&r->next_job, 0);
	r->n_busy = r->n_workers;
	r->round++;
	pthread_cond_broadcast(&r->changed);
	while (r->n_busy > 0)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static void
process(struct hf_restore *r, struct rwindow *w)
{
	run_jobs(r, restore_compare_job, w, w->n_parts);
	restore_make_ranges(r, w);
	r->n_ranges_left = w->n_ranges;
	run_jobs(r, restore_write_job, w, w->n_ranges + w->n_files);
	restore_make_links(r, w);
	restore_finish_dirs(r, w);
	window_free(w);
}

static struct hf_err *
conduct(void *arg)
{
	struct hf_restore *r = arg;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		while (r->window == NULL && !r->is_over)
			pthread_cond_wait(&r->changed, &r->lock);
		struct rwindow *w = r->window;

		if (w == NULL)
			break;
		r->window = NULL;
		r->is_working = true;
		pthread_mutex_unlock(&r->lock);
		process(r, w);
		pthread_mutex_lock(&r->lock);
		r->is_working = false;
		pthread_cond_broadcast(&r->changed);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Ends the threads: the conductor first, since it needs the workers. */
static void
finish_threads(struct hf_restore *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->window != NULL || r->is_working)
		pthread_cond_wait(&r->changed, &r->lock);
	r->is_over = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

static void
workers_clear(struct hf_restore *r)
{
	for (unsigned i = 0; i < r->n_workers; i++) {
		hf_reader_free(r->workers[i].reader);
		hf_buf_clear(&r->workers[i].raw);
		hf_buf_clear(&r->workers[i].plain);
		hf_many_free(r->workers[i].many);
		free(r->workers[i].later);
	}
	free(r->workers);
	r->workers = NULL;
	hf_opened_sets_free(r->sets);
	r->sets = NULL;
}

static struct hf_err *
start_threads(struct hf_restore *r, struct hf_group *g)
{
	for (unsigned i = 0; i < r->n_workers; i++)
		HF_TRY(hf_group_go(g, "restore", work, &r->workers[i]));
	return hf_group_go(g, "conductor", conduct, r);
}

/* Threads report what fails item by item, and never fail themselves. */
static void
ignore_failure(void *arg)
{
	(void)arg;
}

/* Plans with the threads running. */
static struct hf_err *
run(struct hf_restore *r, const struct hf_id *tree)
{
	struct hf_group *g = hf_group_new(ignore_failure, NULL);

	r->is_over = false;
	r->round = 0;
	r->sets = hf_opened_sets_new(r->n_workers);
	r->workers = hf_alloc_(r->n_workers, sizeof r->workers[0]);
	for (unsigned i = 0; i < r->n_workers; i++) {
		r->workers[i] = (struct rworker){.r = r,
			.reader = hf_reader_new(r->repo, r->ix),
			.many = hf_many_new(),
			.raw = HF_BUF_SPOOL(UINT32_MAX),
			.plain = HF_BUF_SPOOL(UINT32_MAX)};
		/* A range that is read at once is meant to be in memory. */
		r->workers[i].raw.spill = 3 * RANGE_MAX;
		hf_buf_expect(&r->workers[i].raw, restore_range_max(r));
	}
	struct hf_err *e = start_threads(r, g);

	if (e == NULL)
		e = restore_plan(r, tree);
	finish_threads(r);
	struct hf_err *e2 = hf_group_wait(g);

	hf_group_free(g);
	workers_clear(r);
	if (e == NULL)
		return e2;
	hf_err_free(e2);
	return e;
}

/* Makes the folder at `path` and those above it, as far as they are missing. */
static struct hf_err *
make_target(const char *path)
{
	hf_autofree char *p = hf_str_dup(hf_str(path));

	for (char *s = p + 1; *p != 0; s++) {
		bool is_end = *s == 0;

		if (!is_end && *s != '/')
			continue;
		*s = 0;
		if (mkdir(p, 0700) != 0 && errno != EEXIST && errno != EISDIR && is_end)
			return hf_err_errno(errno, "creating %s", p);
		if (is_end)
			break;
		*s = '/';
	}
	return NULL;
}

/*
 * The same restore before, in which nothing is written and no pack is read: it tells the packs that
 * this one is going to read, which may be in an archive.
 */
static struct hf_err *
warm(const struct hf_restore *r, const struct hf_id *tree)
{
	struct hf_restore_options o = r->opt;
	hf_auto(hf_bits) packs = {0};

	if (!hf_warm_is_wanted(r->repo) || o.is_dry_run)
		return NULL;
	o.is_dry_run = true;
	o.should_delete = o.can_verify = false;
	hf_autoptr(hf_restore) survey = hf_restore_new(r->repo, r->ix, &o, NULL);
	hf_bits_init(&packs, hf_index_packs(r->ix));
	survey->survey = &packs;
	HF_TRY(hf_restore_run(survey, tree));
	return hf_warm_packs(r->repo, r->ix, &packs, o.stop);
}

struct hf_err *
hf_restore_run(struct hf_restore *r, const struct hf_id *tree)
{
	if (!r->opt.is_dry_run)
		HF_TRY(hf_err_in(make_target(r->opt.target), "cannot create target directory"));
	struct hf_err *e = hf_root_open(r->opt.target, &r->root);

	if (r->opt.is_dry_run)
		e = hf_err_ignore(e, HF_ENOTFOUND);
	HF_TRY(e);
	HF_TRY(warm(r, tree));
	return run(r, tree);
}

struct hf_err *
hf_restore_verify(struct hf_restore *r, const struct hf_id *tree)
{
	r->is_verifying = true;
	return run(r, tree);
}
