/* SPDX-License-Identifier: BSD-2-Clause */
/* All index files of a repository into one index, several at a time. */
#include <pthread.h>

#include "base/group.h"
#include "repo/index.h"

enum { MAX_LOADERS = 16 };

struct loader {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_stop *stop; /* the caller's wish, may be NULL */
	const struct hf_id *files;
	size_t n;
	atomic_size_t next;
	struct hf_stop failed; /* a sibling's */

	pthread_mutex_t bad_lock; /* one call of on_bad at a time */
	hf_index_bad_fn *on_bad;
	void *arg;
};

static struct hf_err *
load_file(struct loader *l, const struct hf_id *file)
{
	HF_TRY(hf_index_read(l->repo, l->ix, file));
	hf_index_add_loaded(l->ix, file);
	return NULL;
}

static struct hf_err *
load_files(void *arg)
{
	struct loader *l = arg;
	size_t i;

	while ((i = atomic_fetch_add(&l->next, 1)) < l->n) {
		HF_TRY(hf_stop_check(l->stop));
		HF_TRY(hf_stop_check(&l->failed));
		struct hf_err *e = load_file(l, &l->files[i]);
		if (e == NULL)
			continue;
		if (l->on_bad == NULL)
			return hf_err_in(e, "index %s", hf_id_hex(&l->files[i]).s);
		pthread_mutex_lock(&l->bad_lock);
		l->on_bad(l->arg, &l->files[i], e);
		pthread_mutex_unlock(&l->bad_lock);
	}
	return NULL;
}

static void
stop_loading(void *arg)
{
	hf_stop_set(&((struct loader *)arg)->failed);
}

static struct hf_err *
run_loaders(struct loader *l, size_t n_threads)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_loading, l);

	for (size_t i = 0; i < n_threads; i++)
		HF_TRY(hf_group_go(g, "index", load_files, l));
	return hf_group_wait(g);
}

struct hf_err *
hf_index_load_files(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *files,
	size_t n, struct hf_stop *stop, hf_index_bad_fn *on_bad, void *arg)
{
	struct loader l = {.repo = repo,
		.ix = ix,
		.stop = stop,
		.files = files,
		.n = n,
		.on_bad = on_bad,
		.arg = arg};
	size_t n_threads = hf_store_workers(hf_repo_store(repo), MAX_LOADERS);

	pthread_mutex_init(&l.bad_lock, NULL);
	struct hf_err *e = run_loaders(&l, n_threads < n ? n_threads : n);
	pthread_mutex_destroy(&l.bad_lock);
	return e;
}

struct hf_err *
hf_index_load(struct hf_repo *repo, struct hf_index *ix, struct hf_stop *stop,
	hf_index_bad_fn *on_bad, void *arg)
{
	hf_autofree struct hf_id *files = NULL;
	size_t n;

	HF_TRY(hf_err_in(
		hf_repo_list(repo, HF_INDEX, &files, NULL, &n), "listing index files"));
	return hf_index_load_files(repo, ix, files, n, stop, on_bad, arg);
}
