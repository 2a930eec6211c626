/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads share a stack of trees still to be read. Last in, first out: what waits is at most the
 * width of the folders on the way down. Each waiting tree takes 36 bytes.
 */
#include "engine/mark.h"

#include <pthread.h>

#include "base/bits.h"
#include "base/group.h"
#include "base/host.h"
#include "repo/tree.h"

enum { MAX_THREADS = 16 };

struct waiting {
	struct hf_id tree;
	uint32_t root;
};

struct list {
	struct waiting *v;
	size_t len, cap;
};

struct walk {
	struct hf_repo *repo;
	struct hf_index *ix;
	const struct hf_marker *m;
	_Atomic(uint32_t) *open; /* trees of each root that wait or are being read */

	pthread_mutex_t lock; /* guards the following */
	pthread_cond_t changed;
	struct list stack;
	size_t n_busy; /* threads that may still push */
	bool is_over;
};

/* What one thread has. */
struct reader {
	struct walk *w;
	struct hf_reader *reader;
	struct list found; /* in the tree at hand */
};

static void
list_add(struct list *l, const struct hf_id *tree, uint32_t root)
{
	if (l->len == l->cap) {
		l->cap = l->cap == 0 ? 64 : 2 * l->cap;
		l->v = hf_realloc_array(l->v, l->cap, sizeof *l->v);
	}
	l->v[l->len++] = (struct waiting){*tree, root};
}

static void
tree_done(struct walk *w, uint32_t root)
{
	if (atomic_fetch_sub(&w->open[root], 1) == 1 && w->m->done != NULL)
		atomic_fetch_add_explicit(w->m->done, 1, memory_order_relaxed);
}

static struct hf_err *
need_tree(struct walk *w, struct list *to, const struct hf_id *id, uint32_t root)
{
	struct hf_blob blob = {*id, HF_TREE};
	bool is_new = false;

	HF_TRY(w->m->need(w->m->arg, &blob, &is_new));
	if (!is_new)
		return NULL;
	atomic_fetch_add(&w->open[root], 1);
	list_add(to, id, root);
	return NULL;
}

static struct hf_err *
need_node(struct reader *r, const struct hf_node *node, uint32_t root)
{
	const struct hf_marker *m = r->w->m;
	bool is_new;

	if (node->type == HF_NODE_DIR) {
		if (!node->has_subtree)
			return hf_err(HF_ECORRUPT, "folder %.*s has no tree",
				(int)node->name.len, node->name.p);
		return need_tree(r->w, &r->found, &node->subtree, root);
	}
	for (size_t i = 0; i < node->n_content && node->type == HF_NODE_FILE; i++) {
		struct hf_blob blob = {node->content[i], HF_DATA};

		HF_TRY(m->need(m->arg, &blob, &is_new));
	}
	return NULL;
}

static struct hf_err *
read_tree(struct reader *r, const struct waiting *t)
{
	hf_autoptr(hf_tree) tree = NULL;
	const struct hf_node *node;
	bool more;

	HF_TRY(hf_tree_load(r->reader, &t->tree, &tree));
	for (;;) {
		HF_TRY(hf_tree_next(tree, &node, &more));
		if (!more)
			return NULL;
		HF_TRY(need_node(r, node, t->root));
	}
}

/* Puts what was found on the stack and takes the next one. False: nothing is left to do. */
static bool
next(struct reader *r, struct waiting *out)
{
	struct walk *w = r->w;
	bool has_one;

	pthread_mutex_lock(&w->lock);
	/* Backwards, so that the names come off the stack in order, as they lie in packs. */
	for (size_t i = r->found.len; i-- > 0;)
		list_add(&w->stack, &r->found.v[i].tree, r->found.v[i].root);
	if (r->found.len > 1)
		pthread_cond_broadcast(&w->changed);
	r->found.len = 0;
	w->n_busy--;
	while (w->stack.len == 0 && w->n_busy > 0 && !w->is_over)
		pthread_cond_wait(&w->changed, &w->lock);
	has_one = !w->is_over && w->stack.len > 0;
	if (has_one) {
		*out = w->stack.v[--w->stack.len];
		w->n_busy++;
	} else {
		w->is_over = true;
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return has_one;
}

static void
stop_walk(void *arg)
{
	struct walk *w = arg;

	pthread_mutex_lock(&w->lock);
	w->is_over = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static struct hf_err *
walk_trees(struct reader *r)
{
	struct waiting t;

	while (next(r, &t)) {
		HF_TRY(hf_stop_check(r->w->m->stop));
		HF_TRY(hf_err_in(read_tree(r, &t), "tree %s", hf_id_hex(&t.tree).s));
		tree_done(r->w, t.root);
	}
	return NULL;
}

static struct hf_err *
walk_thread(void *arg)
{
	struct walk *w = arg;
	struct reader r = {.w = w, .reader = hf_reader_new(w->repo, w->ix)};

	/* A thread counts from here on, not from its creation, which can fail. */
	pthread_mutex_lock(&w->lock);
	w->n_busy++;
	pthread_mutex_unlock(&w->lock);
	struct hf_err *e = walk_trees(&r);
	hf_reader_free(r.reader);
	free(r.found.v);
	return e;
}

static struct hf_err *
run(struct walk *w)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_walk, w);
	unsigned cpus = hf_cpus();
	unsigned n = hf_store_connections(hf_repo_store(w->repo));

	if (cpus > n)
		n = cpus;
	n = n < MAX_THREADS ? n : MAX_THREADS;
	for (unsigned i = 0; i < n; i++) {
		struct hf_err *e = hf_group_go(g, "trees", walk_thread, w);

		if (e != NULL) {
			stop_walk(w);
			return e;
		}
	}
	return hf_group_wait(g);
}

/* Each root is open once more until it has been looked at, so that it is counted once. */
static struct hf_err *
add_roots(struct walk *w, const struct hf_snapshot *const *v, size_t n)
{
	for (size_t i = n; i-- > 0;) {
		if (!v[i]->has_tree)
			return hf_err(HF_ECORRUPT, "snapshot %s names no tree",
				hf_id_hex(&v[i]->id).s);
		atomic_store(&w->open[i], 1);
		HF_TRY(hf_err_in(need_tree(w, &w->stack, &v[i]->tree, (uint32_t)i),
			"snapshot %s", hf_id_hex(&v[i]->id).s));
		tree_done(w, (uint32_t)i);
	}
	return NULL;
}

struct hf_err *
hf_mark(struct hf_repo *repo, struct hf_index *ix, const struct hf_snapshot *const *snapshots,
	size_t n, const struct hf_marker *marker)
{
	struct walk w = {.repo = repo, .ix = ix, .m = marker};

	w.open = hf_alloc_(n + 1, sizeof *w.open);
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.changed, NULL);
	struct hf_err *e = add_roots(&w, snapshots, n);
	if (e == NULL && w.stack.len > 0)
		e = run(&w);
	pthread_cond_destroy(&w.changed);
	pthread_mutex_destroy(&w.lock);
	free(w.stack.v);
	free((uint32_t *)(uintptr_t)w.open);
	return e;
}

/* ---- what is needed by some only ---- */

struct counting {
	struct hf_index *ix;
	struct hf_bits seen; /* by number of the first copy */
	atomic_uint_fast64_t blobs, bytes;
};

static struct hf_err *
count_blob(void *arg, const struct hf_blob *blob, bool *is_new)
{
	struct counting *c = arg;
	struct hf_location at;

	if (!hf_index_find(c->ix, blob, 0, &at))
		return hf_err(HF_ECORRUPT, "%s %s is not in the index",
			hf_blob_type_text(blob->type), hf_id_hex(&blob->id).s);
	*is_new = hf_bits_add(&c->seen, at.number);
	if (*is_new) {
		atomic_fetch_add_explicit(&c->blobs, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&c->bytes, at.length, memory_order_relaxed);
	}
	return NULL;
}

struct hf_err *
hf_mark_unique(struct hf_repo *repo, struct hf_index *ix, const struct hf_snapshot *const *kept,
	size_t n_kept, const struct hf_snapshot *const *gone, size_t n_gone,
	struct hf_stop *stop, uint64_t *blobs, uint64_t *bytes)
{
	struct counting c = {.ix = ix};
	struct hf_marker marker = {&c, count_blob, stop, NULL};

	hf_bits_init(&c.seen, hf_index_len(ix));
	struct hf_err *e = hf_mark(repo, ix, kept, n_kept, &marker);
	atomic_store(&c.blobs, 0);
	atomic_store(&c.bytes, 0);
	if (e == NULL)
		e = hf_mark(repo, ix, gone, n_gone, &marker);
	*blobs = atomic_load(&c.blobs);
	*bytes = atomic_load(&c.bytes);
	hf_bits_clear(&c.seen);
	return e;
}
