/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/trees.h"

#include <pthread.h>
#include <unistd.h>

#include "base/group.h"

enum { MAX_THREADS = 32 };

struct walk {
	const struct hf_trees *t;

	pthread_mutex_t lock; /* guards the following */
	pthread_cond_t changed;
	uint32_t *stack; /* numbers of trees in the index */
	size_t len, cap;
	size_t n_busy; /* threads that may still push */
	bool is_over;
};

static struct hf_err *
push(struct walk *w, const struct hf_id *id)
{
	struct hf_blob blob = {*id, HF_TREE};
	struct hf_location at;

	if (!hf_index_find(w->t->ix, &blob, 0, &at))
		return hf_err(HF_ENOTFOUND, "tree %s is not in the index", hf_id_hex(id).s);
	if (!hf_bits_add(w->t->seen, at.number))
		return NULL;
	pthread_mutex_lock(&w->lock);
	if (w->len == w->cap) {
		w->cap = w->cap == 0 ? 1024 : 2 * w->cap;
		w->stack = hf_realloc_array(w->stack, w->cap, sizeof *w->stack);
	}
	w->stack[w->len++] = at.number;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* False: nothing is left to do. */
static bool
pop(struct walk *w, uint32_t *number)
{
	bool has;

	pthread_mutex_lock(&w->lock);
	w->n_busy--;
	while (w->len == 0 && w->n_busy > 0 && !w->is_over)
		pthread_cond_wait(&w->changed, &w->lock);
	has = w->len > 0 && !w->is_over;
	if (has) {
		*number = w->stack[--w->len];
		w->n_busy++;
	} else {
		w->is_over = true;
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return has;
}

static void
stop(void *arg)
{
	struct walk *w = arg;

	pthread_mutex_lock(&w->lock);
	w->is_over = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static struct hf_err *
visit(struct walk *w, struct hf_reader *r, const struct hf_blob *blob)
{
	hf_autoptr(hf_tree) tree = NULL;
	const struct hf_node *n;
	bool more;

	HF_TRY(hf_tree_load(r, &blob->id, &tree));
	HF_TRY(w->t->tree(w->t->arg, blob));
	for (;;) {
		HF_TRY(hf_tree_next(tree, &n, &more));
		if (!more)
			return NULL;
		HF_TRY(w->t->node(w->t->arg, n));
		if (n->type == HF_NODE_DIR && n->has_subtree)
			HF_TRY(push(w, &n->subtree));
	}
}

static struct hf_err *
loop(void *arg)
{
	struct walk *w = arg;
	hf_autoptr(hf_reader) r = hf_reader_new(w->t->repo, w->t->ix);
	uint32_t number;

	while (pop(w, &number)) {
		struct hf_location at;
		struct hf_blob blob;

		HF_TRY(hf_stop_check(w->t->stop));
		if (!hf_index_entry(w->t->ix, number, &blob, &at))
			abort();
		HF_TRY(hf_err_in(visit(w, r, &blob), "tree %.8s", hf_id_hex(&blob.id).s));
	}
	return NULL;
}

/* As many as there are processors, or calls that make sense at a time. */
static unsigned
thread_count(const struct hf_trees *t)
{
	unsigned n = hf_store_connections(hf_repo_store(t->repo));
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	n = processors > (long)n ? (unsigned)processors : n;
	return n > MAX_THREADS ? MAX_THREADS : n < 1 ? 1 : n;
}

static struct hf_err *
run(struct walk *w, const struct hf_id *roots, size_t n)
{
	hf_autoptr(hf_group) g = hf_group_new(stop, w);
	unsigned threads = thread_count(w->t);

	for (size_t i = 0; i < n; i++)
		HF_TRY(push(w, &roots[i]));
	if (w->len == 0)
		return NULL;
	w->n_busy = threads;
	for (unsigned i = 0; i < threads; i++) {
		struct hf_err *e = hf_group_go(g, "trees", loop, w);

		if (e != NULL) {
			stop(w);
			return e;
		}
	}
	return hf_group_wait(g);
}

struct hf_err *
hf_trees_visit(const struct hf_trees *t, const struct hf_id *roots, size_t n)
{
	struct walk w = {.t = t};

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.changed, NULL);
	struct hf_err *e = run(&w, roots, n);
	pthread_cond_destroy(&w.changed);
	pthread_mutex_destroy(&w.lock);
	free(w.stack);
	return e;
}
