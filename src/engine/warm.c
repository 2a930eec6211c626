/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/warm.h"

#include <pthread.h>

#include "base/clocks.h"
#include "base/group.h"
#include "base/time.h"

struct warm {
	struct hf_store *store;
	struct hf_index *ix;
	const struct hf_bits *packs;
	struct hf_stop *stop;  /* the caller's, or NULL */
	struct hf_stop failed; /* one thread did */
	atomic_size_t next;    /* pack to be ordered */

	pthread_mutex_t lock; /* for what follows */
	uint32_t *cold;       /* packs that are under way */
	size_t n_cold, cap;
};

static void
warm_clear(struct warm *w)
{
	pthread_mutex_destroy(&w->lock);
	free(w->cold);
}

static struct hf_err *
ask(struct warm *w, size_t number, bool *is_warm)
{
	struct hf_name name = {.kind = HF_PACK};

	if (!hf_index_pack(w->ix, number, &name.id))
		abort();
	return hf_store_warm(w->store, &name, is_warm);
}

/* ---- ordering ---- */

static void
add_cold(struct warm *w, size_t number)
{
	pthread_mutex_lock(&w->lock);
	if (w->n_cold == w->cap) {
		w->cap = w->cap < 64 ? 64 : 2 * w->cap;
		w->cold = hf_realloc_array(w->cold, w->cap, sizeof *w->cold);
	}
	w->cold[w->n_cold++] = (uint32_t)number;
	pthread_mutex_unlock(&w->lock);
}

static struct hf_err *
order(void *arg)
{
	struct warm *w = arg;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->packs->n) {
		bool is_warm;

		if (!hf_bits_has(w->packs, i))
			continue;
		HF_TRY(hf_stop_check(&w->failed));
		HF_TRY(hf_stop_check(w->stop));
		struct hf_err *e = ask(w, i, &is_warm);

		/* What is not there is for its reader to find out, who may know another copy. */
		if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
			hf_err_free(e);
		else if (e != NULL)
			return e;
		else if (!is_warm)
			add_cold(w, i);
	}
	return NULL;
}

static void
stop_ordering(void *arg)
{
	hf_stop_set(&((struct warm *)arg)->failed);
}

static struct hf_err *
order_all(struct warm *w)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_ordering, w);
	unsigned n = hf_store_connections(w->store);

	for (unsigned i = 0; i < n; i++) {
		struct hf_err *e = hf_group_go(g, "warm", order, w);

		if (e != NULL) {
			hf_stop_set(&w->failed);
			return e;
		}
	}
	return hf_group_wait(g);
}

/* ---- waiting ---- */

/* One after the other: who waits for the first has waited for most of the others. */
static struct hf_err *
wait_for_all(struct warm *w)
{
	const struct hf_thaw *t = hf_store_thaw(w->store);
	double begin = hf_clock();
	hf_auto(hf_buf) limit = HF_BUF_MAX(100);

	for (size_t i = 0; i < w->n_cold;) {
		bool is_warm;

		HF_TRY(ask(w, w->cold[i], &is_warm));
		i += is_warm;
		if (is_warm)
			continue;
		if (hf_clock() - begin + t->pause_s > t->wait_s) {
			hf_duration_add(
				&limit, (int64_t)(t->wait_s * 1e3) * (HF_SECOND / 1000));
			return hf_err(HF_EFATAL,
				"%zu packs have been ordered from cold storage and did not "
				"come "
				"within %.*s; the next run need not order them again",
				w->n_cold - i, (int)limit.len, (const char *)limit.p);
		}
		HF_TRY(hf_stop_wait(w->stop, t->pause_s));
	}
	return NULL;
}

bool
hf_warm_is_wanted(const struct hf_repo *repo)
{
	return hf_store_thaw(hf_repo_store(repo))->orders;
}

struct hf_err *
hf_warm_packs(struct hf_repo *repo, struct hf_index *ix, const struct hf_bits *packs,
	struct hf_stop *stop)
{
	__attribute__((cleanup(warm_clear))) struct warm w = {
		.store = hf_repo_store(repo), .ix = ix, .packs = packs, .stop = stop};
	const struct hf_thaw *t = hf_store_thaw(w.store);

	pthread_mutex_init(&w.lock, NULL);
	if (!t->orders)
		return NULL;
	HF_TRY(order_all(&w));
	if (w.n_cold == 0)
		return NULL;
	if (t->say != NULL)
		t->say(t->say_arg, w.n_cold);
	return wait_for_all(&w);
}
