/* SPDX-License-Identifier: BSD-2-Clause */
/* The planner's way through the trees, depth first. Folders are made when something in them is wanted. */
#include <errno.h>

#include "engine/restore_plan_i.h"

enum { MAX_DIR_FDS = 64 }; /* of levels that stay open while deeper ones are visited */

static void
level_clear(struct rlevel *l)
{
	hf_tree_free(l->tree);
	rdir_unref(l->dir);
	restore_meta_clear(&l->meta);
	if (l->fd >= 0)
		close(l->fd);
	restore_names_clear(&l->names);
}

static void
plan_clear(struct rplan *p)
{
	while (p->n_levels > 0)
		level_clear(&p->levels[--p->n_levels]);
	free(p->levels);
	hf_buf_clear(&p->path);
	hf_hardlinks_clear(&p->hardlinks);
	hf_reader_free(p->reader);
}

/* Cuts the path to `len` bytes and puts "/name" behind it, unless `name` is empty. */
static void
set_path(struct rplan *p, size_t len, struct hf_str name)
{
	p->path.len = len;
	p->path.is_full = false;
	if (name.len > 0 && len > 1)
		hf_buf_add_char(&p->path, '/');
	hf_buf_add(&p->path, name.p, name.len);
	hf_buf_add_char(&p->path, 0);
}

/* ---- folders ---- */

int
plan_level_fd(struct rplan *p, struct rlevel *l)
{
	if (l->fd < 0)
		l->fd = restore_open_dir(p->r, l->dir, O_PATH);
	return l->fd;
}

static struct rdir *
rdir_new(struct hf_str path, bool is_fresh)
{
	struct rdir *d = hf_alloc_(1, sizeof *d + path.len + 1);

	d->refs = 1;
	d->is_fresh = is_fresh;
	d->path_len = path.len;
	memcpy(d->path, path.p, path.len);
	return d;
}

/* Makes the folder `name` in that of `up`; what is no folder and has its name is removed. */
static struct hf_err *
make_dir(struct rplan *p, struct rlevel *up, const char *name, bool *is_fresh)
{
	struct hf_restore *r = p->r;
	struct stat st;

	*is_fresh = up->dir->is_fresh;
	if (r->opt.is_dry_run && *is_fresh)
		return NULL;
	int fd = plan_level_fd(p, up);
	if (fd < 0)
		return hf_err_errno(errno, "opening the folder above");
	if (r->opt.is_dry_run) {
		*is_fresh = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
			    !S_ISDIR(st.st_mode);
		return NULL;
	}
	*is_fresh = mkdirat(fd, name, 0700) == 0;
	if (*is_fresh)
		return NULL;
	if (errno != EEXIST || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return hf_err_errno(errno, "creating the folder");
	if (S_ISDIR(st.st_mode))
		return NULL;
	if (unlinkat(fd, name, 0) != 0)
		return hf_err_errno(errno, "removing what is in its place");
	*is_fresh = mkdirat(fd, name, 0700) == 0;
	return *is_fresh ? NULL : hf_err_errno(errno, "creating the folder");
}

/*
 * Sees to it that the folder of the innermost level is there, and so those above it. False: it
 * could not be made; that is reported once.
 */
static bool
ensure_dir(struct rplan *p)
{
	for (size_t i = 1; i < p->n_levels; i++) {
		struct rlevel *l = &p->levels[i], *up = l - 1;

		if (l->dir != NULL)
			continue;
		if (l->has_failed)
			return false;
		struct hf_str path = {plan_rel(p), l->path_len - 1};
		hf_autofree char *text = hf_str_dup(path);
		size_t cut = up->path_len > 1 ? up->path_len : 0;
		bool is_fresh = false;
		struct hf_err *e = NULL;

		if (!p->r->is_verifying)
			e = make_dir(p, up, text + cut, &is_fresh);
		if (e != NULL) {
			l->has_failed = true;
			restore_error(p->r, text, e);
			return false;
		}
		l->dir = rdir_new(path, is_fresh);
	}
	return true;
}

static void
done_dir(struct rplan *p, struct rlevel *l)
{
	struct rwindow *w = p->window;

	RESTORE_PUSH(w->dones, w->n_dones, w->cap_dones);
	w->dones[w->n_dones - 1] = (struct rdone){rdir_ref(l->dir), l->meta};
	l->meta = (struct rmeta){0};
	plan_window_grew(p);
}

/* ---- the walk ---- */

/* Enters the folder whose path is set. */
static struct rlevel *
push(struct rplan *p, const struct hf_id *id)
{
	struct hf_tree *t;
	struct hf_err *e = hf_tree_load(p->reader, id, &t);

	if (e != NULL) {
		restore_error(p->r, plan_rel(p), e);
		t = NULL;
	}
	if (p->n_levels >= MAX_DIR_FDS && p->levels[p->n_levels - 1].fd >= 0) {
		close(p->levels[p->n_levels - 1].fd);
		p->levels[p->n_levels - 1].fd = -1;
	}
	if (p->n_levels == p->cap)
		p->levels = restore_grow(p->levels, sizeof *p->levels, &p->cap);
	struct rlevel *l = &p->levels[p->n_levels++];

	*l = (struct rlevel){.tree = t,
		.path_len = p->path.len - 1,
		.fd = -1,
		.is_broken = t == NULL,
		.names = RNAMES_INIT};
	return l;
}

/* The innermost folder is done with. */
static void
pop(struct rplan *p)
{
	struct hf_restore *r = p->r;
	struct rlevel *l = &p->levels[p->n_levels - 1];
	bool has_restored = l->is_selected || l->has_restored;

	set_path(p, l->path_len, (struct hf_str){0});
	if (has_restored && l->dir != NULL && !r->is_verifying && !restore_is_stopped(r)) {
		if (r->opt.should_delete && !p->no_delete && !l->is_broken && l->has_restored &&
			!l->dir->is_fresh)
			restore_delete_others(r, l->dir, &l->names);
		if (l->has_meta)
			done_dir(p, l);
	}
	if (p->n_levels > 1 && has_restored)
		l[-1].has_restored = true;
	level_clear(l);
	p->n_levels--;
}

static void
visit_dir(struct rplan *p, const struct hf_node *n, bool is_selected, bool child)
{
	struct hf_restore *r = p->r;

	if (!n->has_subtree) {
		restore_error(r, plan_rel(p), hf_err(HF_ECORRUPT, "folder without a tree"));
		return;
	}
	if (!is_selected && !child)
		return;
	struct rlevel *l = push(p, &n->subtree);

	restore_meta_init(r, n, &l->meta);
	l->has_meta = true;
	l->is_selected = is_selected;
	if (is_selected && !r->is_verifying)
		atomic_fetch_add(&r->progress.total_files, 1);
	/* Nothing below it can be restored then. */
	if ((is_selected && !ensure_dir(p)) || !child) {
		hf_tree_free(l->tree);
		l->tree = NULL;
		l->is_broken = true;
	}
}

static bool
is_strange(struct hf_str name)
{
	return hf_str_is(name, ".") || hf_str_is(name, "..") ||
	       memchr(name.p, '/', name.len) != NULL || memchr(name.p, 0, name.len) != NULL;
}

static void
visit(struct rplan *p, struct rlevel *l, const struct hf_node *n)
{
	struct hf_restore *r = p->r;
	bool is_dir = n->type == HF_NODE_DIR, is_selected = true, child = true;

	if (r->opt.should_delete)
		restore_names_add(&l->names, n->name);
	if (is_strange(n->name)) {
		set_path(p, l->path_len, (struct hf_str){0});
		restore_error(r, plan_rel(p),
			hf_err(HF_ECORRUPT, "invalid child node name %.*s", (int)n->name.len,
				n->name.p));
		p->no_delete = true;
		return;
	}
	set_path(p, l->path_len, n->name);
	if (p->path.is_full) {
		set_path(p, l->path_len, (struct hf_str){0});
		restore_error(r, plan_rel(p), hf_err(HF_EFATAL, "a path in it is too long"));
		return;
	}
	if (n->type == HF_NODE_SOCKET)
		return;
	if (r->opt.select != NULL) {
		is_selected = child = false;
		r->opt.select(
			r->opt.select_arg, plan_location(p), is_dir, &is_selected, &child);
	}
	l->has_restored |= is_selected;
	if (is_selected && !r->is_verifying)
		plan_warn_of_generic(p, n);
	if (is_dir)
		visit_dir(p, n, is_selected, child);
	else if (!is_selected || !ensure_dir(p))
		return;
	else if (n->type != HF_NODE_FILE)
		plan_special(p, l, n);
	else if (n->links <= 1 || !plan_hardlink(p, l, n))
		plan_file(p, l, n);
}

static void
step(struct rplan *p)
{
	struct rlevel *l = &p->levels[p->n_levels - 1];
	const struct hf_node *n;
	bool more = false;
	struct hf_err *e = NULL;

	if (l->tree != NULL)
		e = hf_tree_next(l->tree, &n, &more);
	if (e != NULL) {
		l->is_broken = true;
		set_path(p, l->path_len, (struct hf_str){0});
		restore_error(p->r, plan_rel(p), e);
		more = false;
	}
	if (more)
		visit(p, l, n);
	else
		pop(p);
}

struct hf_err *
restore_plan(struct hf_restore *r, const struct hf_id *tree)
{
	struct rplan p = {.r = r,
		.reader = hf_reader_new(r->repo, r->ix),
		.path = HF_BUF_MAX(PATH_MAX),
		.window = restore_window_new(),
		.window_files = hf_store_is_near(hf_repo_store(r->repo)) ? WINDOW_FILES_FIRST
									 : WINDOW_FILES_FAR};

	hf_buf_add_char(&p.path, '/');
	set_path(&p, 1, (struct hf_str){0});
	struct rlevel *root = push(&p, tree);

	root->path_len = 1;
	root->dir = rdir_new(hf_str(""), r->root.fd < 0);
	while (p.n_levels > 0 && !restore_is_stopped(r))
		step(&p);
	while (p.n_levels > 0)
		pop(&p);
	restore_submit(r, p.window);
	plan_clear(&p);
	return restore_is_stopped(r) ? hf_err(HF_ECANCELED, "interrupted") : NULL;
}
