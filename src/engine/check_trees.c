/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All trees of all snapshots, each once, by several threads that share a stack of folders still to
 * be visited. Last in, first out: what waits is at most the width of the folders on the way down.
 */
#include <stdarg.h>
#include <stdio.h>

#include "codec/quote.h"
#include "engine/check_run.h"
#include "repo/tree.h"

/* Where a tree was met: a chain up to the snapshot. Counted, because siblings share their parent. */
struct place {
	struct place *parent; /* NULL: the root of a snapshot */
	atomic_uint refs;
	uint32_t root; /* number of the snapshot */
	struct hf_id tree;
	struct place *next; /* on the stack */
	size_t name_len;
	char name[];
};

struct walk {
	struct hf_check_run *c;
	bool is_touched_walk; /* names files that need damaged blobs, and nothing else */
	struct hf_bits seen;  /* trees by number */

	pthread_mutex_t lock; /* guards the following */
	pthread_cond_t changed;
	struct place *stack;
	size_t n_busy; /* threads that may still push */
	bool is_over;
};

static struct place *
place_new(struct place *parent, uint32_t root, const struct hf_id *tree, struct hf_str name)
{
	struct place *p = hf_alloc_(1, sizeof *p + name.len);

	p->parent = parent;
	p->root = root;
	p->tree = *tree;
	p->name_len = name.len;
	if (name.len > 0)
		memcpy(p->name, name.p, name.len);
	atomic_init(&p->refs, 1);
	if (parent != NULL)
		atomic_fetch_add_explicit(&parent->refs, 1, memory_order_relaxed);
	return p;
}

/* The last one that lets go of a snapshot's root has seen the whole snapshot. */
static void
place_drop(struct walk *w, struct place *p)
{
	while (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1) {
		struct place *parent = p->parent;

		if (parent == NULL && !w->is_touched_walk)
			atomic_fetch_add_explicit(
				&w->c->progress->snapshots_done, 1, memory_order_relaxed);
		free(p);
		p = parent;
	}
}

/* "/folder/name", back to front. The caller frees it. */
static char *
place_path(const struct place *p, struct hf_str name)
{
	size_t len = name.len + 1;

	for (const struct place *q = p; q->parent != NULL; q = q->parent)
		len += q->name_len + 1;
	char *path = hf_alloc_(len + 1, 1), *at = path + len;
	at -= name.len;
	memcpy(at, name.p, name.len);
	*--at = '/';
	for (const struct place *q = p; q->parent != NULL; q = q->parent) {
		at -= q->name_len;
		memcpy(at, q->name, q->name_len);
		*--at = '/';
	}
	return path;
}

/* A finding in the tree at `p`, about its node `name`, or about all of it when that is empty. */
static __attribute__((format(printf, 5, 6))) void
report(struct walk *w, enum hf_check_kind kind, const struct place *p, struct hf_str name,
	const char *fmt, ...)
{
	hf_autofree char *line = NULL;
	struct hf_str folder = {p->name, p->name_len};
	bool is_folder = name.len == 0 && p->parent != NULL;
	hf_autofree char *path =
		is_folder ? place_path(p->parent, folder) : place_path(p, name);
	va_list ap;

	va_start(ap, fmt);
	hf_autofree char *text = hf_str_vprintf(fmt, ap);
	va_end(ap);
	if (asprintf(&line, "tree %s: %s", hf_id_hex(&p->tree).s, text) < 0)
		abort();
	struct hf_check_finding f = {
		.kind = kind,
		.id = p->tree,
		.text = line,
		.snapshot = &w->c->roots[p->root].snapshot,
		.path = path,
	};
	hf_check_report(w->c, &f);
}

/* The name as Go's %q would print it, in a buffer that every call uses again. */
static const char *
quoted(struct hf_buf *b, struct hf_str name)
{
	hf_buf_reset(b);
	hf_buf_add_char(b, '"');
	hf_quote(b, name);
	hf_buf_add_char(b, '"');
	hf_buf_add_char(b, '\0');
	return b->is_full ? "(a very long name)" : (const char *)b->p;
}

/* What one thread has. */
struct visitor {
	struct walk *w;
	struct hf_reader *reader;
	struct hf_buf text;
	struct place *first, *last; /* folders found in the tree at hand */
};

/* Marks the packs of all copies as needed. False: there is no copy. */
static bool
use_blob(struct hf_check_run *c, const struct hf_blob *blob, struct hf_location *at)
{
	struct hf_location other;

	if (!hf_index_find(c->ix, blob, 0, at))
		return false;
	if (c->is_filtered) {
		hf_bits_add(&c->used, at->pack_number);
		for (unsigned i = 1; hf_index_find(c->ix, blob, i, &other); i++)
			hf_bits_add(&c->used, other.pack_number);
	}
	return true;
}

bool
hf_check_is_lost(struct hf_check_run *c, const struct hf_blob *blob)
{
	struct hf_location at;
	unsigned i = 0;

	for (; hf_index_find(c->ix, blob, i, &at); i++)
		if (!hf_bits_has(&c->bad, at.number))
			return false;
	return i > 0;
}

static void
check_file(struct visitor *v, const struct place *p, const struct hf_node *node)
{
	struct walk *w = v->w;
	struct hf_location at;

	if (!node->has_content)
		report(w, HF_CHECK_TREE, p, node->name, "file %s has nil blob list",
			quoted(&v->text, node->name));
	for (size_t i = 0; i < node->n_content; i++) {
		struct hf_blob blob = {node->content[i], HF_DATA};

		if (use_blob(w->c, &blob, &at))
			continue;
		if (hf_id_is_zero(&blob.id))
			report(w, HF_CHECK_TREE, p, node->name, "file %s blob %zu has null ID",
				quoted(&v->text, node->name), i);
		else
			report(w, HF_CHECK_TREE, p, node->name,
				"file %s blob %s not found in index",
				quoted(&v->text, node->name), hf_id_hex(&blob.id).s);
	}
}

/* Names the file once, however many of its blobs are lost. */
static void
touch_file(struct visitor *v, const struct place *p, const struct hf_node *node)
{
	for (size_t i = 0; i < node->n_content; i++) {
		struct hf_blob blob = {node->content[i], HF_DATA};

		if (!hf_check_is_lost(v->w->c, &blob))
			continue;
		report(v->w, HF_CHECK_TOUCHED, p, node->name, "file %s needs damaged blob %s",
			quoted(&v->text, node->name), hf_id_hex(&blob.id).s);
		return;
	}
}

/* Remembers a folder for later, unless its tree has been met before. */
static void
add_tree(struct visitor *v, struct place *parent, uint32_t root, const struct hf_id *tree,
	struct hf_str name)
{
	struct hf_blob blob = {*tree, HF_TREE};
	struct hf_location at;

	if (use_blob(v->w->c, &blob, &at) && !hf_bits_add(&v->w->seen, at.number)) {
		if (parent == NULL && !v->w->is_touched_walk)
			atomic_fetch_add(&v->w->c->progress->snapshots_done, 1);
		return;
	}
	struct place *p = place_new(parent, root, tree, name);
	p->next = v->first;
	if (v->first == NULL)
		v->last = p;
	v->first = p;
}

static void
check_dir(struct visitor *v, struct place *p, const struct hf_node *node)
{
	bool is_quiet = v->w->is_touched_walk;

	if (node->has_subtree && !hf_id_is_zero(&node->subtree))
		add_tree(v, p, p->root, &node->subtree, node->name);
	else if (!is_quiet && !node->has_subtree)
		report(v->w, HF_CHECK_TREE, p, node->name, "dir node %s has no subtree",
			quoted(&v->text, node->name));
	else if (!is_quiet)
		report(v->w, HF_CHECK_TREE, p, node->name, "dir node %s subtree id is null",
			quoted(&v->text, node->name));
}

static void
check_node(struct visitor *v, struct place *p, const struct hf_node *node)
{
	switch (node->type) {
	case HF_NODE_FILE:
		if (v->w->is_touched_walk)
			touch_file(v, p, node);
		else
			check_file(v, p, node);
		break;
	case HF_NODE_DIR:
		check_dir(v, p, node);
		break;
	case HF_NODE_SYMLINK:
	case HF_NODE_DEV:
	case HF_NODE_CHARDEV:
	case HF_NODE_FIFO:
	case HF_NODE_SOCKET:
		break;
	case HF_NODE_IRREGULAR:
	case HF_NODE_INVALID:
		if (!v->w->is_touched_walk)
			report(v->w, HF_CHECK_TREE, p, node->name,
				"node %s with invalid type \"%s\"",
				quoted(&v->text, node->name), hf_node_type_text(node->type));
		break;
	}
}

static struct hf_err *
read_tree(struct visitor *v, struct place *p)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *node;
	bool more;

	HF_TRY(hf_tree_load(v->reader, &p->tree, &t));
	for (;;) {
		HF_TRY(hf_tree_next(t, &node, &more));
		if (!more)
			return NULL;
		check_node(v, p, node);
	}
}

static void
visit(struct visitor *v, struct place *p)
{
	static const struct hf_str all = {"", 0};
	struct hf_blob blob = {p->tree, HF_TREE};
	struct walk *w = v->w;
	hf_autoptr(hf_err) e = read_tree(v, p);

	if (w->is_touched_walk) {
		if (hf_check_is_lost(w->c, &blob))
			report(w, HF_CHECK_TOUCHED, p, all, "this folder's tree is damaged");
		return;
	}
	if (e != NULL)
		report(w, HF_CHECK_TREE, p, all, "%s", hf_err_text(e));
	atomic_fetch_add_explicit(&w->c->progress->trees_done, 1, memory_order_relaxed);
}

/* Puts what was found on the stack and takes the next one; NULL: nothing is left to do. */
static struct place *
next_place(struct visitor *v)
{
	struct walk *w = v->w;
	struct place *p = NULL;

	pthread_mutex_lock(&w->lock);
	if (v->first != NULL) {
		v->last->next = w->stack;
		w->stack = v->first;
		v->first = v->last = NULL;
		pthread_cond_broadcast(&w->changed);
	}
	w->n_busy--;
	while (w->stack == NULL && w->n_busy > 0 && !w->is_over)
		pthread_cond_wait(&w->changed, &w->lock);
	if (!w->is_over && w->stack != NULL) {
		p = w->stack;
		w->stack = p->next;
		w->n_busy++;
	} else {
		w->is_over = true;
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return p;
}

static struct hf_err *
walk_loop(struct visitor *v)
{
	struct place *p;

	while ((p = next_place(v)) != NULL) {
		struct hf_err *e = hf_check_go_on(v->w->c);

		if (e == NULL)
			visit(v, p);
		place_drop(v->w, p);
		if (e != NULL) {
			pthread_mutex_lock(&v->w->lock);
			v->w->is_over = true;
			pthread_cond_broadcast(&v->w->changed);
			pthread_mutex_unlock(&v->w->lock);
			return e;
		}
	}
	return NULL;
}

static struct hf_err *
walk_thread(void *arg)
{
	struct walk *w = arg;
	struct visitor v = {
		.w = w,
		.reader = hf_reader_new(w->c->repo, w->c->ix),
		.text = HF_BUF_MAX(1 << 20),
	};

	/* A thread counts from here on, not from its creation, which can fail. */
	pthread_mutex_lock(&w->lock);
	w->n_busy++;
	pthread_mutex_unlock(&w->lock);
	struct hf_err *e = walk_loop(&v);
	hf_reader_free(v.reader);
	hf_buf_clear(&v.text);
	return e;
}

/* Drops what is left of a walk that was ended early. */
static void
drop_stack(struct walk *w)
{
	while (w->stack != NULL) {
		struct place *p = w->stack;

		w->stack = p->next;
		place_drop(w, p);
	}
}

static struct hf_err *
walk(struct hf_check_run *c, bool is_touched_walk)
{
	struct walk w = {.c = c, .is_touched_walk = is_touched_walk};
	struct visitor roots = {.w = &w};

	hf_bits_init(&w.seen, hf_index_len(c->ix));
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.changed, NULL);
	/* The newest snapshot ends up on top, and what others share with it is called after it. */
	for (size_t i = c->n_roots; i-- > 0;)
		add_tree(&roots, NULL, (uint32_t)i, &c->roots[i].tree, hf_str(""));
	w.stack = roots.first;
	struct hf_err *e = hf_check_threads(c, "trees", walk_thread, &w);
	drop_stack(&w);
	pthread_cond_destroy(&w.changed);
	pthread_mutex_destroy(&w.lock);
	hf_bits_clear(&w.seen);
	return e;
}

struct hf_err *
hf_check_trees(struct hf_check_run *c)
{
	return walk(c, false);
}

struct hf_err *
hf_check_touched(struct hf_check_run *c)
{
	return walk(c, true);
}
