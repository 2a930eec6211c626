/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that share a stack of trees still to be read, by their numbers in the index. */
#include "engine/mark.h"

#include <pthread.h>
#include <unistd.h>

#include "base/group.h"
#include "repo/tree.h"

enum { MAX_THREADS = 16 };

/* Of numbers: each tree stands there once at most. */
#define MAX_STACK ((size_t)UINT32_MAX * sizeof(uint32_t))

struct marking {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_bits *used;
	const struct hf_marker *m;
	struct hf_stop *stop;

	pthread_mutex_t lock; /* guards the following, and calls of the marker */
	pthread_cond_t changed;
	struct hf_buf stack; /* of uint32_t */
	size_t n_busy;       /* threads that may still push */
	bool is_over;
};

/* What one thread has. */
struct reading {
	struct marking *k;
	struct hf_reader *reader;
	struct hf_buf found; /* likewise; trees in the one at hand that nobody has met */
};

/* Marks a blob; a tree that was not marked before is put on `found`. */
static void
use(struct marking *k, struct hf_buf *found, const struct hf_blob *blob)
{
	struct hf_location at;

	if (!hf_index_find(k->ix, blob, 0, &at)) {
		pthread_mutex_lock(&k->lock);
		k->m->missing(k->m->arg, blob);
		pthread_mutex_unlock(&k->lock);
	} else if (hf_bits_add(k->used, at.number) && blob->type == HF_TREE) {
		hf_buf_add(found, &at.number, sizeof at.number);
	}
}

static void
use_node(struct reading *r, const struct hf_node *n)
{
	struct hf_blob blob = {.type = HF_DATA};

	for (size_t i = 0; n->type == HF_NODE_FILE && i < n->n_content; i++) {
		blob.id = n->content[i];
		use(r->k, &r->found, &blob);
	}
	if (n->type == HF_NODE_DIR && n->has_subtree) {
		blob = (struct hf_blob){n->subtree, HF_TREE};
		use(r->k, &r->found, &blob);
	}
}

static struct hf_err *
read_nodes(struct reading *r, const struct hf_id *id)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *n;
	bool more;

	HF_TRY(hf_tree_load(r->reader, id, &t));
	for (;;) {
		HF_TRY(hf_tree_next(t, &n, &more));
		if (!more)
			return NULL;
		if (n->type == HF_NODE_DIR && !n->has_subtree)
			return hf_err(HF_ECORRUPT, "folder without a tree");
		use_node(r, n);
	}
}

static struct hf_err *
read_tree(struct reading *r, uint32_t number)
{
	struct marking *k = r->k;
	struct hf_location at;
	struct hf_blob blob;
	struct hf_err *e;

	if (!hf_index_entry(k->ix, number, &blob, &at))
		abort(); /* it was found there */
	e = read_nodes(r, &blob.id);
	if (e == NULL)
		return hf_buf_ok(&r->found);
	pthread_mutex_lock(&k->lock);
	e = k->m->error(k->m->arg, &blob.id, e);
	pthread_mutex_unlock(&k->lock);
	return e;
}

static void
end(void *arg)
{
	struct marking *k = arg;

	pthread_mutex_lock(&k->lock);
	k->is_over = true;
	pthread_cond_broadcast(&k->changed);
	pthread_mutex_unlock(&k->lock);
}

/* Puts what was found on the stack and takes the next one. False: nothing is left to do. */
static bool
next_tree(struct reading *r, uint32_t *number)
{
	struct marking *k = r->k;
	bool has_one;

	pthread_mutex_lock(&k->lock);
	if (r->found.len > 0) {
		hf_buf_add(&k->stack, r->found.p, r->found.len);
		pthread_cond_broadcast(&k->changed);
	}
	hf_buf_reset(&r->found);
	k->n_busy--;
	while (k->stack.len == 0 && k->n_busy > 0 && !k->is_over)
		pthread_cond_wait(&k->changed, &k->lock);
	has_one = !k->is_over && k->stack.len > 0;
	if (has_one) {
		k->stack.len -= sizeof *number;
		memcpy(number, k->stack.p + k->stack.len, sizeof *number);
		k->n_busy++;
	} else {
		k->is_over = true;
		pthread_cond_broadcast(&k->changed);
	}
	pthread_mutex_unlock(&k->lock);
	return has_one;
}

static struct hf_err *
read_loop(struct reading *r)
{
	uint32_t number;

	while (next_tree(r, &number)) {
		HF_TRY(hf_stop_check(r->k->stop));
		HF_TRY(read_tree(r, number));
	}
	return NULL;
}

static struct hf_err *
read_thread(void *arg)
{
	struct marking *k = arg;
	struct reading r = {.k = k,
		.reader = hf_reader_new(k->repo, k->ix),
		.found = HF_BUF_MAX(MAX_STACK)};
	struct hf_err *e;

	/* A thread counts from here on, not from its creation, which can fail. */
	pthread_mutex_lock(&k->lock);
	k->n_busy++;
	pthread_mutex_unlock(&k->lock);
	e = read_loop(&r);
	hf_reader_free(r.reader);
	hf_buf_clear(&r.found);
	return e;
}

/* As many as there are processors or calls that the store takes at once. */
static unsigned
count_threads(const struct hf_repo *repo)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned calls = hf_store_connections(hf_repo_store(repo));

	n = n < (long)calls ? (long)calls : n;
	return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (unsigned)n;
}

static struct hf_err *
run_threads(struct marking *k)
{
	hf_autoptr(hf_group) g = hf_group_new(end, k);
	unsigned n = count_threads(k->repo);

	for (unsigned i = 0; i < n; i++) {
		struct hf_err *e = hf_group_go(g, "trees", read_thread, k);

		if (e != NULL) {
			end(k);
			return e;
		}
	}
	return hf_group_wait(g);
}

struct hf_err *
hf_mark(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *roots, size_t n_roots,
	struct hf_bits *used, const struct hf_marker *m, struct hf_stop *stop)
{
	struct marking k = {.repo = repo,
		.ix = ix,
		.used = used,
		.m = m,
		.stop = stop,
		.stack = HF_BUF_MAX(MAX_STACK)};
	struct hf_err *e = NULL;

	pthread_mutex_init(&k.lock, NULL);
	pthread_cond_init(&k.changed, NULL);
	for (size_t i = 0; i < n_roots; i++) {
		struct hf_blob blob = {roots[i], HF_TREE};

		use(&k, &k.stack, &blob);
	}
	if (k.stack.len > 0)
		e = run_threads(&k);
	if (e == NULL)
		e = hf_buf_ok(&k.stack);
	hf_buf_clear(&k.stack);
	pthread_cond_destroy(&k.changed);
	pthread_mutex_destroy(&k.lock);
	return e;
}
