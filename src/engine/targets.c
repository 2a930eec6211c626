/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/targets.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>

#include "base/dir.h"
#include "base/path.h"

static void
keep(void *node)
{
	(void)node;
}

void
hf_target_clear(struct hf_target *t)
{
	for (size_t i = 0; i < t->n_children; i++) {
		hf_target_clear(t->children[i]);
		free(t->children[i]);
	}
	tdestroy(t->by_name, keep);
	free(t->children);
	free(t->name);
	free(t->path);
	free(t->meta_path);
	free(t->root);
	*t = (struct hf_target){0};
}

static int
by_name(const void *a, const void *b)
{
	const struct hf_target *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static struct hf_target *
child_named(struct hf_target *t, const char *name)
{
	hf_autofree char *copy = hf_str_dup(hf_str(name));
	struct hf_target key = {.name = copy};
	struct hf_target **found = tfind(&key, &t->by_name, by_name);

	return found != NULL ? *found : NULL;
}

static struct hf_target *
child_new(struct hf_target *t, const char *name)
{
	struct hf_target *c = hf_new(struct hf_target);

	if ((t->n_children & (t->n_children - 1)) == 0) /* full at every power of two */
		t->children = hf_realloc_array(t->children,
			t->n_children == 0 ? 1 : 2 * t->n_children, sizeof t->children[0]);
	c->name = hf_str_dup(hf_str(name));
	t->children[t->n_children++] = c;
	if (tsearch(c, &t->by_name, by_name) == NULL)
		abort();
	return c;
}

/* The next component that is not `..` or `.`, and what follows it in *rest. Empty at the end. */
static struct hf_str
component(const char *path, const char **rest)
{
	for (;;) {
		while (*path == '/')
			path++;
		struct hf_str s = {path, strcspn(path, "/")};
		*rest = path + s.len;
		if (!hf_str_is(s, "..") && !hf_str_is(s, "."))
			return s;
		path += s.len;
	}
}

/* "/", or as many ".." as the cleaned path begins with, or ".". */
static char *
root_of(const char *path)
{
	size_t n = 0;

	if (path[0] == '/')
		return hf_str_dup(hf_str("/"));
	while (strncmp(path + n, "..", 2) == 0 && (path[n + 2] == '/' || path[n + 2] == 0))
		n += path[n + 2] == '/' ? 3 : 2;
	while (n > 0 && path[n - 1] == '/')
		n--;
	return n == 0 ? hf_str_dup(hf_str(".")) : hf_str_dup((struct hf_str){path, n});
}

static struct hf_err *
set_leaf(struct hf_target *t, const char *path, bool is_explicit)
{
	if (t->path != NULL && strcmp(t->path, path) == 0)
		return NULL; /* named, and found by listing its folder, too */
	if (t->path != NULL)
		return hf_err(HF_EINVAL, "%s is named twice", path);
	t->path = hf_str_dup(hf_str(path));
	t->is_explicit = is_explicit;
	return NULL;
}

/* Adds what is left of the path below `t`, whose own place on disk is `dir`. */
static struct hf_err *
add_below(struct hf_target *t, const char *path, const char *rest, const char *dir,
	bool is_explicit)
{
	hf_autofree char *at = hf_str_dup(hf_str(dir));

	for (;;) {
		struct hf_str name = component(rest, &rest);

		if (name.len == 0)
			return set_leaf(t, path, is_explicit);
		free(t->meta_path);
		t->meta_path = hf_str_dup(hf_str(at));
		hf_autofree char *name_text = hf_str_dup(name);
		struct hf_target *c = child_named(t, name_text);
		if (c == NULL)
			c = child_new(t, name_text);
		hf_autofree char *sub = hf_path_join(at, c->name);
		free(at);
		at = hf_steal(sub);
		t = c;
	}
}

/* Namesakes from different places get a number: q, q-1, q-2. */
static struct hf_target *
first_level(struct hf_target *root, const char *name, const char *place)
{
	hf_autofree char *unique = hf_str_dup(hf_str(name));

	for (unsigned i = 1;; i++) {
		struct hf_target *t = child_named(root, unique);

		if (t == NULL) {
			t = child_new(root, unique);
			t->root = hf_str_dup(hf_str(place));
			return t;
		}
		if (t->root != NULL && strcmp(t->root, place) == 0)
			return t;
		free(hf_steal(unique));
		if (asprintf(&unique, "%s-%u", name, i) < 0)
			abort();
	}
}

static struct hf_err *
add(struct hf_target *root, const char *path, bool is_explicit)
{
	hf_autofree char *place = root_of(path);
	const char *rest;
	struct hf_str name = component(path, &rest);
	hf_autofree char *plain = hf_str_dup(name);
	hf_autofree char *dir = hf_path_join(place, plain);

	return add_below(first_level(root, plain, place), path, rest, dir, is_explicit);
}

typedef struct hf_err *name_fn(void *arg, const char *name);

static struct hf_err *
each_name(const char *dir, name_fn *fn, void *arg)
{
	hf_autodir *d = hf_dir_open(AT_FDCWD, dir, 0);
	const char *name;
	int en;

	if (d == NULL)
		return hf_err_errno(errno, "opening folder %s", dir);
	while ((name = hf_dir_next(d, &en)) != NULL)
		HF_TRY(fn(arg, name));
	return en != 0 ? hf_err_errno(en, "reading folder %s", dir) : NULL;
}

struct listing {
	struct hf_target *into;
	const char *dir;
};

static struct hf_err *
add_entry(void *arg, const char *name)
{
	struct listing *l = arg;
	hf_autofree char *path = hf_path_join(l->dir, name);

	return add(l->into, path, false);
}

static struct hf_err *
unroll_entry(void *arg, const char *name)
{
	struct listing *l = arg;
	struct hf_target *c = child_named(l->into, name);
	hf_autofree char *path = hf_path_join(l->dir, name);

	if (c == NULL)
		return set_leaf(child_new(l->into, name), path, false);
	if (c->path == NULL)
		c->path = hf_steal(path);
	else if (strcmp(c->path, path) != 0)
		return hf_err(HF_EINVAL, "%s and %s would be the same in the snapshot", c->path,
			path);
	return NULL;
}

/* A target that has targets inside gives up being a leaf: its other entries become leaves. */
static struct hf_err *
unroll(struct hf_target *t)
{
	if (t->path != NULL && t->n_children > 0) {
		hf_autofree char *dir = hf_steal(t->path);

		t->is_explicit = false;
		HF_TRY(each_name(dir, unroll_entry, &(struct listing){t, dir}));
	}
	for (size_t i = 0; i < t->n_children; i++)
		HF_TRY(unroll(t->children[i]));
	return NULL;
}

static int
by_name_deref(const void *a, const void *b)
{
	struct hf_target *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void
sort(struct hf_target *t)
{
	if (t->n_children > 0)
		qsort(t->children, t->n_children, sizeof(struct hf_target *), by_name_deref);
	for (size_t i = 0; i < t->n_children; i++)
		sort(t->children[i]);
}

struct hf_err *
hf_targets_build(const char *const *paths, size_t n, struct hf_target *root)
{
	hf_auto(hf_target) t = {0}, seen = {0}; /* `seen` is only a set of names */

	for (size_t i = 0; i < n; i++) {
		hf_autofree char *path = hf_path_clean(paths[i]);
		const char *rest;

		if (child_named(&seen, path) != NULL)
			continue;
		child_new(&seen, path);
		if (component(path, &rest).len > 0)
			HF_TRY(add(&t, path, true));
		else
			HF_TRY(each_name(path, add_entry, &(struct listing){&t, path}));
	}
	HF_TRY(unroll(&t));
	sort(&t);
	*root = t;
	t = (struct hf_target){0};
	return NULL;
}
