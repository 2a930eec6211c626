/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/remove.h"

#include <pthread.h>

#include "base/each.h"

enum { MAX_REMOVERS = 64 };

struct remover {
	struct hf_repo *repo;
	const struct hf_removal *how;
	const struct hf_id *ids;
	pthread_mutex_t lock; /* one call of told() at a time */
};

/* True for errors with which no further file can be deleted either. */
static bool
is_final(const struct hf_err *e)
{
	return hf_err_code(e) == HF_ELOST || hf_err_code(e) == HF_ECANCELED;
}

static struct hf_err *
remove_one(void *arg, size_t i)
{
	struct remover *r = arg;
	const struct hf_id *id = &r->ids[i];
	struct hf_name name = {r->how->kind, *id};
	struct hf_err *e =
		hf_err_ignore(hf_store_del(hf_repo_store(r->repo), &name), HF_ENOTFOUND);

	if (e == NULL && r->how->done != NULL)
		atomic_fetch_add_explicit(r->how->done, 1, memory_order_relaxed);
	if (r->how->told != NULL) {
		pthread_mutex_lock(&r->lock);
		r->how->told(r->how->arg, r->how->kind, id, e);
		pthread_mutex_unlock(&r->lock);
	}
	if (e == NULL || !r->how->goes_on || is_final(e))
		return e;
	hf_err_free(e);
	return NULL;
}

struct hf_err *
hf_repo_remove(
	struct hf_repo *repo, const struct hf_removal *how, const struct hf_id *ids, size_t n)
{
	struct remover r = {.repo = repo, .how = how, .ids = ids};
	unsigned connections = hf_store_connections(hf_repo_store(repo));
	const struct hf_each all = {
		.n = n,
		.threads = connections < MAX_REMOVERS ? connections : MAX_REMOVERS,
		.name = "remove",
		.stop = how->stop,
		.one = remove_one,
		.arg = &r,
	};

	pthread_mutex_init(&r.lock, NULL);
	struct hf_err *e = hf_each(&all);
	pthread_mutex_destroy(&r.lock);
	return e;
}
