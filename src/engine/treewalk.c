/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/treewalk.h"

/* The longest path inside a snapshot that is looked at; nothing sensible comes near. */
enum { MAX_PATH = 16 << 20 };

/* One folder on the way down. */
struct level {
	struct hf_tree *tree;
	size_t path_len; /* of the folder's path */
};

struct walk {
	struct hf_reader *r;       /* borrowed */
	const struct hf_walker *w; /* borrowed */
	struct level *levels;      /* owned, with their trees */
	size_t n_levels, cap;
	struct hf_buf path; /* of what is being looked at, NUL-terminated */
};

static void
walk_clear(struct walk *k)
{
	while (k->n_levels > 0)
		hf_tree_free(k->levels[--k->n_levels].tree);
	free(k->levels);
	hf_buf_clear(&k->path);
}

/* Cuts the path to `len` bytes and puts "/name" behind it, unless `name` is empty. */
static struct hf_err *
set_path(struct walk *k, size_t len, struct hf_str name)
{
	k->path.len = len;
	if (name.len > 0 && (len == 0 || k->path.p[len - 1] != '/'))
		hf_buf_add_char(&k->path, '/');
	hf_buf_add(&k->path, name.p, name.len);
	hf_buf_add_char(&k->path, 0);
	return hf_buf_ok(&k->path);
}

static const char *
path_of(const struct walk *k)
{
	return (const char *)k->path.p;
}

/* Hands an error in the folder whose path is set to the caller. */
static struct hf_err *
report(struct walk *k, struct hf_err *e)
{
	if (e == NULL || k->w->error == NULL)
		return e;
	return k->w->error(k->w->arg, path_of(k), e);
}

/* Enters the folder whose path is set. */
static struct hf_err *
enter(struct walk *k, const struct hf_id *id)
{
	struct hf_tree *t;
	size_t path_len = k->path.len - 1;
	struct hf_err *e = hf_tree_load(k->r, id, &t);

	if (e != NULL)
		return report(k, e);
	if (k->n_levels == k->cap) {
		size_t cap = k->cap == 0 ? 16 : 2 * k->cap;
		struct level *l = reallocarray(k->levels, cap, sizeof *l);

		if (l == NULL) {
			hf_tree_free(t);
			return hf_err(HF_EFATAL, "out of memory at a depth of %zu folders",
				k->n_levels);
		}
		k->levels = l;
		k->cap = cap;
	}
	k->levels[k->n_levels++] = (struct level){t, path_len};
	if (k->w->enter != NULL)
		k->w->enter(k->w->arg, path_of(k), id);
	return NULL;
}

/* The innermost folder is done, or cannot be read further. */
static struct hf_err *
leave(struct walk *k, struct hf_err *why)
{
	struct level l = k->levels[--k->n_levels];

	hf_tree_free(l.tree);
	struct hf_err *e = set_path(k, l.path_len, (struct hf_str){0});

	if (why != NULL) {
		hf_err_free(e);
		e = report(k, why);
	}
	HF_TRY(e);
	if (k->n_levels > 0 && k->w->leave != NULL)
		return k->w->leave(k->w->arg, path_of(k));
	return NULL;
}

static struct hf_err *
step(struct walk *k, bool *is_over)
{
	struct level *l = &k->levels[k->n_levels - 1];
	enum hf_walk_next next = HF_WALK_DESCEND;
	const struct hf_node *n;
	bool more = false;
	struct hf_err *e = hf_tree_next(l->tree, &n, &more);

	if (e != NULL || !more)
		return leave(k, e);
	HF_TRY(set_path(k, l->path_len, n->name));
	HF_TRY(k->w->node(k->w->arg, path_of(k), n, &next));
	*is_over = next == HF_WALK_STOP;
	if (next != HF_WALK_DESCEND || n->type != HF_NODE_DIR)
		return NULL;
	if (!n->has_subtree)
		return report(k, hf_err(HF_ECORRUPT, "folder without a tree"));
	return enter(k, &n->subtree);
}

struct hf_err *
hf_walk(struct hf_reader *r, const struct hf_id *id, const char *root,
	const struct hf_walker *w, struct hf_stop *stop)
{
	hf_auto(walk) k = {.r = r, .w = w, .path = HF_BUF_MAX(MAX_PATH)};
	bool is_over = false;

	hf_buf_add_str(&k.path, root);
	HF_TRY(set_path(&k, k.path.len, (struct hf_str){0}));
	HF_TRY(enter(&k, id));
	while (k.n_levels > 0 && !is_over) {
		HF_TRY(hf_stop_check(stop));
		HF_TRY(step(&k, &is_over));
	}
	return NULL;
}

/* The next name of a path from *p on, which moves behind it; empty at the end. */
static struct hf_str
next_name(const char **p)
{
	for (;;) {
		*p += strspn(*p, "/");
		struct hf_str name = {*p, strcspn(*p, "/")};

		*p += name.len;
		if (!hf_str_is(name, "."))
			return name;
	}
}

struct hf_err *
hf_walk_find(struct hf_reader *r, const struct hf_id *id, const char *path,
	struct hf_tree **tree, const struct hf_node **node)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *n = NULL;
	const char *p = path;
	struct hf_str name = next_name(&p);
	struct hf_id next = *id;

	if (name.len == 0)
		return hf_err(HF_EINVAL, "the root has no node");
	while (name.len > 0) {
		struct hf_tree *t2;
		int shown = (int)(p - path);

		HF_TRY(hf_err_in(hf_tree_load(r, &next, &t2), "path %.*s", shown, path));
		hf_tree_free(t);
		t = t2;
		HF_TRY(hf_err_in(hf_tree_seek(t, name, &n), "path %.*s", shown, path));
		if (n == NULL)
			return hf_err(HF_ENOTFOUND, "path %.*s: not found", shown, path);
		name = next_name(&p);
		if (name.len == 0)
			break;
		if (n->type != HF_NODE_DIR || !n->has_subtree)
			return hf_err(HF_ENOTFOUND, "path %.*s: not a directory", shown, path);
		next = n->subtree;
	}
	*tree = hf_steal(t);
	*node = n;
	return NULL;
}

struct hf_err *
hf_walk_folder(
	struct hf_reader *r, const struct hf_id *id, const char *folder, struct hf_id *out)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *n;
	const char *p = folder;

	if (next_name(&p).len == 0) {
		*out = *id;
		return NULL;
	}
	HF_TRY(hf_walk_find(r, id, folder, &t, &n));
	if (n->type != HF_NODE_DIR || !n->has_subtree)
		return hf_err(HF_ENOTFOUND, "path %s: not a directory", folder);
	*out = n->subtree;
	return NULL;
}
