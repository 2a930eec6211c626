/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/remove.h"

#include <pthread.h>

#include "base/group.h"

enum { MAX_REMOVERS = 64 };

struct remover {
	struct hf_repo *repo;
	const struct hf_removal *how;
	const struct hf_id *ids;
	size_t n;
	atomic_size_t next;
	struct hf_stop failed; /* a sibling has ended */
	pthread_mutex_t lock;  /* one call of told() at a time */
};

/* True for errors with which no further file can be deleted either. */
static bool
is_final(const struct hf_err *e)
{
	return hf_err_code(e) == HF_ELOST || hf_err_code(e) == HF_ECANCELED;
}

static struct hf_err *
remove_one(struct remover *r, const struct hf_id *id)
{
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

static struct hf_err *
remove_some(void *arg)
{
	struct remover *r = arg;
	size_t i;

	while ((i = atomic_fetch_add(&r->next, 1)) < r->n) {
		HF_TRY(hf_stop_check(r->how->stop));
		HF_TRY(hf_stop_check(&r->failed));
		HF_TRY(remove_one(r, &r->ids[i]));
	}
	return NULL;
}

static void
stop_removing(void *arg)
{
	hf_stop_set(&((struct remover *)arg)->failed);
}

static struct hf_err *
run(struct remover *r)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_removing, r);
	size_t n_threads = hf_store_connections(hf_repo_store(r->repo));

	n_threads = n_threads < MAX_REMOVERS ? n_threads : MAX_REMOVERS;
	n_threads = n_threads < r->n ? n_threads : r->n;
	for (size_t i = 0; i < n_threads; i++)
		HF_TRY(hf_group_go(g, "remove", remove_some, r));
	return hf_group_wait(g);
}

struct hf_err *
hf_repo_remove(
	struct hf_repo *repo, const struct hf_removal *how, const struct hf_id *ids, size_t n)
{
	struct remover r = {.repo = repo, .how = how, .ids = ids, .n = n};

	if (n == 0)
		return NULL;
	pthread_mutex_init(&r.lock, NULL);
	struct hf_err *e = run(&r);
	pthread_mutex_destroy(&r.lock);
	return e;
}
