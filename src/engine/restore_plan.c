/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The planner: visits the trees depth first, makes folders when something in them is wanted, makes
 * what is no file at once, and puts files into windows.
 */
#include <errno.h>
#include <stdio.h>

#include "engine/hardlinks.h"
#include "engine/restore_i.h"

enum { MAX_DIR_FDS = 64 }; /* of levels that stay open while deeper ones are visited */

/* One folder on the way down. */
struct level {
	struct hf_tree *tree;
	struct rdir *dir; /* NULL until it is needed */
	struct rmeta meta;
	size_t path_len;
	int fd;            /* of the folder, or -1 */
	bool has_meta;     /* all but the target itself */
	bool is_selected;  /* for itself, not for what is in it */
	bool has_restored; /* something in it is selected */
	bool has_failed;   /* it could not be made, which has been reported */
	bool is_broken;    /* the tree could not be read to its end */
	struct rnames names;
};

struct plan {
	struct hf_restore *r;
	struct hf_reader *reader;
	struct level *levels;
	size_t n_levels, cap;
	struct hf_buf path; /* "/a/b", NUL-terminated */
	struct rwindow *window;
	size_t window_files; /* how many make it full */
	size_t n_files;      /* met so far */
	bool no_delete;      /* a strange name was met */
	struct hf_hardlinks hardlinks;
};

static void
level_clear(struct level *l)
{
	hf_tree_free(l->tree);
	rdir_unref(l->dir);
	restore_meta_clear(&l->meta);
	if (l->fd >= 0)
		close(l->fd);
	restore_names_clear(&l->names);
}

static void
plan_clear(struct plan *p)
{
	while (p->n_levels > 0)
		level_clear(&p->levels[--p->n_levels]);
	free(p->levels);
	hf_buf_clear(&p->path);
	hf_hardlinks_clear(&p->hardlinks);
	hf_reader_free(p->reader);
}

/* The path of what is being looked at: inside the snapshot, and relative to the target. */
static const char *
location(const struct plan *p)
{
	return (const char *)p->path.p;
}

static const char *
rel(const struct plan *p)
{
	return location(p) + 1;
}

/* Its last component. */
static const char *
base(const struct plan *p, const struct level *l)
{
	return location(p) + l->path_len + (l->path_len > 1);
}

/* Cuts the path to `len` bytes and puts "/name" behind it, unless `name` is empty. */
static void
set_path(struct plan *p, size_t len, struct hf_str name)
{
	p->path.len = len;
	p->path.is_full = false;
	if (name.len > 0 && len > 1)
		hf_buf_add_char(&p->path, '/');
	hf_buf_add(&p->path, name.p, name.len);
	hf_buf_add_char(&p->path, 0);
}

/* ---- windows ---- */

static void
submit(struct plan *p)
{
	restore_submit(p->r, p->window);
	p->window = restore_window_new();
	if (p->window_files < WINDOW_FILES)
		p->window_files *= 4;
}

static void
window_grew(struct plan *p)
{
	if (++p->window->n_planned >= p->window_files)
		submit(p);
}

static void
add_finish(struct plan *p, struct rfile *f)
{
	struct rwindow *w = p->window;

	RESTORE_PUSH(w->files, w->n_files, w->cap_files);
	w->files[w->n_files - 1] = f;
}

static void
add_part(struct plan *p, struct rfile *f, size_t first)
{
	struct rwindow *w = p->window;
	size_t n = w->n_wants - first;

	if (!(f->exists || p->r->is_verifying) || (n == 0 && f->n_blobs > 0))
		return;
	RESTORE_PUSH(w->parts, w->n_parts, w->cap_parts);
	w->parts[w->n_parts - 1] = (struct rpart){f, first, n};
}

/* All places in the file that want blobs; a file larger than a window goes on in the next ones. */
static void
add_wants(struct plan *p, struct rfile *f, const struct hf_node *n)
{
	size_t first = p->window->n_wants, i;
	uint64_t off = 0;

	for (i = 0; i < n->n_content && !restore_is_stopped(p->r); i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};
		struct hf_location at;

		if (p->window->n_wants == WINDOW_WANTS) {
			add_part(p, f, first);
			submit(p);
			first = 0;
		}
		if (!hf_index_find(p->r->ix, &blob, 0, &at)) {
			restore_file_fail(p->r, f,
				hf_err(HF_ENOTFOUND, "data blob %s is not in the index",
					hf_id_hex(&blob.id).s));
			break;
		}
		p->window->wants[p->window->n_wants++] = (struct rwant){.file = f,
			.off = off,
			.pack = at.pack_number,
			.offset = at.offset,
			.length = at.length,
			.raw_length = at.raw_length,
			.number = at.number};
		off += hf_location_size(&at);
	}
	add_part(p, f, first);
	/* Where the others belong is not known without the length of the missing one. */
	if (i < n->n_content)
		restore_file_done(p->r, f, n->n_content - i);
}

/* ---- folders ---- */

static int
level_fd(struct plan *p, struct level *l)
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
make_dir(struct plan *p, struct level *up, const char *name, bool *is_fresh)
{
	struct hf_restore *r = p->r;
	struct stat st;

	*is_fresh = up->dir->is_fresh;
	if (r->opt.is_dry_run && *is_fresh)
		return NULL;
	int fd = level_fd(p, up);
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
ensure_dir(struct plan *p)
{
	for (size_t i = 1; i < p->n_levels; i++) {
		struct level *l = &p->levels[i], *up = l - 1;

		if (l->dir != NULL)
			continue;
		if (l->has_failed)
			return false;
		struct hf_str path = {rel(p), l->path_len - 1};
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
done_dir(struct plan *p, struct level *l)
{
	struct rwindow *w = p->window;

	RESTORE_PUSH(w->dones, w->n_dones, w->cap_dones);
	w->dones[w->n_dones - 1] = (struct rdone){rdir_ref(l->dir), l->meta};
	l->meta = (struct rmeta){0};
	window_grew(p);
}

/* ---- items ---- */

/* Names of attributes of other systems that are known, and not for us. */
static bool
is_foreign(struct hf_str key)
{
	return key.len >= 8 && memcmp(key.p, "windows.", 8) == 0;
}

static void
warn_of_generic(struct plan *p, const struct hf_node *n)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(1 << 20);
	struct hf_json j;
	struct hf_str key;

	if (n->generic_attributes.len == 0)
		return;
	hf_json_init(&j, hf_str_bytes(n->generic_attributes), &scratch);
	hf_json_object(&j);
	while (hf_json_key(&j, &key)) {
		hf_autofree char *name = hf_str_dup(key);
		hf_autofree char *text = NULL;

		hf_json_skip(&j);
		if (is_foreign(key) || p->r->warned.len >= 100 ||
			hf_strings_has(&p->r->warned, name))
			continue;
		hf_strings_add(&p->r->warned, name);
		if (p->r->ev.warning != NULL &&
			asprintf(&text, "generic attribute %s is not known and not restored",
				name) >= 0)
			p->r->ev.warning(p->r->ev.arg, text);
	}
}

/* What exists at the place of a node: 0, ENOENT, or another error. */
static int
stat_existing(struct plan *p, struct level *l, struct stat *st)
{
	if (l->dir->is_fresh)
		return ENOENT;
	int fd = level_fd(p, l);

	if (fd < 0)
		return errno;
	return fstatat(fd, base(p, l), st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
}

/* True when the overwrite rules leave what exists alone, which is counted. */
static bool
is_left_alone(struct plan *p, const struct hf_node *n, const struct stat *st)
{
	struct timespec mtime = {n->mtime.sec, n->mtime.nsec};
	struct hf_restore *r = p->r;

	if (restore_may_overwrite(r, &mtime, st))
		return false;
	atomic_fetch_add(&r->progress.files_skipped, 1);
	atomic_fetch_add(&r->progress.bytes_skipped, n->size);
	restore_item(r, HF_RESTORE_UNCHANGED, rel(p), n->size);
	return true;
}

static struct hf_err *
make_special(struct plan *p, struct level *l, const struct hf_node *n, bool exists)
{
	struct hf_restore *r = p->r;
	int fd = level_fd(p, l);
	struct rmeta meta;

	if (fd < 0)
		return hf_err_errno(errno, "opening its folder");
	if (exists)
		HF_TRY(restore_remove(r, fd, base(p, l)));
	HF_TRY(restore_make_special(fd, base(p, l), n));
	restore_meta_init(r, n, &meta);
	struct hf_err *e = restore_meta_at(r, fd, base(p, l), &meta);

	restore_meta_clear(&meta);
	return e;
}

static void
visit_special(struct plan *p, struct level *l, const struct hf_node *n)
{
	struct hf_restore *r = p->r;
	struct hf_err *e = NULL;
	struct stat st;

	if (r->is_verifying)
		return;
	atomic_fetch_add(&r->progress.total_files, 1);
	int en = stat_existing(p, l, &st);
	if (en == 0 && is_left_alone(p, n, &st))
		return;
	if (en != 0 && en != ENOENT)
		e = hf_err_errno(en, "stat");
	else if (!r->opt.is_dry_run)
		e = make_special(p, l, n, en == 0);
	if (e != NULL) {
		restore_error(r, rel(p), e);
		return;
	}
	atomic_fetch_add(&r->progress.files_restored, 1);
	restore_item(r, HF_RESTORE_OTHER, rel(p), 0);
}

/* The place of a bit for the next file; NULL when nobody will ask, or there are far too many. */
static struct rmark *
next_mark(struct plan *p, uint8_t *bit)
{
	struct hf_restore *r = p->r;
	size_t i = p->n_files++, chunk = i / 8 / MARK_CHUNK;

	if (!r->opt.can_verify || chunk >= MARK_CHUNKS)
		return NULL;
	if (r->marks[chunk] == NULL)
		r->marks[chunk] = hf_alloc_(MARK_CHUNK, sizeof *r->marks[chunk]);
	*bit = (uint8_t)(1u << (i % 8));
	return &r->marks[chunk][i / 8 % MARK_CHUNK];
}

static struct rfile *
new_file(struct plan *p, struct level *l, const struct hf_node *n)
{
	struct rfile *f = restore_file_new(l->dir, n->name);

	restore_meta_init(p->r, n, &f->meta);
	f->size = n->size;
	f->n_blobs = n->n_content;
	f->left = n->n_content;
	return f;
}

/* Decides what has to be done with a file of which something may exist, and adds it. */
static void
plan_existing(struct plan *p, struct rfile *f, const struct hf_node *n, const struct stat *st)
{
	struct hf_restore *r = p->r;

	f->exists = S_ISREG(st->st_mode);
	if (!f->exists)
		return;
	f->must_replace = st->st_nlink > 1;
	f->is_size_ok = (uint64_t)st->st_size == n->size;
	if (n->n_content == 0 && !f->is_size_ok)
		restore_file_dirty(r, f);
	if (r->opt.overwrite == HF_OVERWRITE_IF_CHANGED && f->is_size_ok &&
		st->st_mtim.tv_sec == n->mtime.sec &&
		st->st_mtim.tv_nsec == (long)n->mtime.nsec) {
		f->n_blobs = 0; /* trusted */
		f->left = 0;
	}
}

static void
visit_file(struct plan *p, struct level *l, const struct hf_node *n)
{
	struct hf_restore *r = p->r;
	uint8_t bit = 0;
	struct rmark *mark = next_mark(p, &bit);
	struct stat st;
	int en = ENOENT;

	if (r->is_verifying) {
		if (mark == NULL || !(atomic_load(&mark->bits) & bit))
			return;
	} else {
		en = stat_existing(p, l, &st);
		if (en != 0 && en != ENOENT) {
			restore_error(r, rel(p), hf_err_errno(en, "stat"));
			return;
		}
		if (en == 0 && is_left_alone(p, n, &st))
			return;
	}
	struct rfile *f = new_file(p, l, n);

	f->mark = mark;
	f->mark_bit = bit;
	if (en == 0)
		plan_existing(p, f, n, &st);
	if (!f->exists && !r->is_verifying) {
		atomic_fetch_add(&r->progress.total_files, 1);
		atomic_fetch_add(&r->progress.total_bytes, n->size);
	}
	if (!f->exists && r->opt.is_dry_run && r->survey == NULL) {
		f->left = 0;
		f->n_blobs = 0;
	}
	if (f->n_blobs > 0 || r->is_verifying)
		add_wants(p, f, n);
	else
		add_finish(p, f);
	window_grew(p);
}

/* ---- hard links ---- */

static void
add_link(struct plan *p, struct level *l, const struct hf_node *n, const char *target)
{
	struct rwindow *w = p->window;
	struct rlink *k = hf_alloc_(1, sizeof *k + n->name.len + 1);

	k->dir = rdir_ref(l->dir);
	k->mtime = (struct timespec){n->mtime.sec, n->mtime.nsec};
	k->target = hf_str_dup(hf_str(target));
	memcpy(k->name, n->name.p, n->name.len);
	RESTORE_PUSH(w->links, w->n_links, w->cap_links);
	w->links[w->n_links - 1] = k;
	window_grew(p);
}

/*
 * True when the file is another name of one that has been met. It is linked when the window is
 * done, and the first name is complete by then. A file all of whose names were met is forgotten.
 */
static bool
is_hardlink(struct plan *p, struct level *l, const struct hf_node *n)
{
	const char *first =
		hf_hardlinks_meet(&p->hardlinks, n->inode, n->device_id, n->links, rel(p));

	if (first == NULL)
		return false;
	if (!p->r->is_verifying) {
		atomic_fetch_add(&p->r->progress.total_files, 1);
		add_link(p, l, n, first);
	}
	return true;
}

/* ---- the walk ---- */

/* Enters the folder whose path is set. */
static struct level *
push(struct plan *p, const struct hf_id *id)
{
	struct hf_tree *t;
	struct hf_err *e = hf_tree_load(p->reader, id, &t);

	if (e != NULL) {
		restore_error(p->r, rel(p), e);
		t = NULL;
	}
	if (p->n_levels >= MAX_DIR_FDS && p->levels[p->n_levels - 1].fd >= 0) {
		close(p->levels[p->n_levels - 1].fd);
		p->levels[p->n_levels - 1].fd = -1;
	}
	if (p->n_levels == p->cap)
		p->levels = restore_grow(p->levels, sizeof *p->levels, &p->cap);
	struct level *l = &p->levels[p->n_levels++];

	*l = (struct level){.tree = t,
		.path_len = p->path.len - 1,
		.fd = -1,
		.is_broken = t == NULL,
		.names = RNAMES_INIT};
	return l;
}

/* The innermost folder is done with. */
static void
pop(struct plan *p)
{
	struct hf_restore *r = p->r;
	struct level *l = &p->levels[p->n_levels - 1];
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
visit_dir(struct plan *p, const struct hf_node *n, bool is_selected, bool child)
{
	struct hf_restore *r = p->r;

	if (!n->has_subtree) {
		restore_error(r, rel(p), hf_err(HF_ECORRUPT, "folder without a tree"));
		return;
	}
	if (!is_selected && !child)
		return;
	struct level *l = push(p, &n->subtree);

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
visit(struct plan *p, struct level *l, const struct hf_node *n)
{
	struct hf_restore *r = p->r;
	bool is_dir = n->type == HF_NODE_DIR, is_selected = true, child = true;

	if (r->opt.should_delete)
		restore_names_add(&l->names, n->name);
	if (is_strange(n->name)) {
		set_path(p, l->path_len, (struct hf_str){0});
		restore_error(r, rel(p),
			hf_err(HF_ECORRUPT, "invalid child node name %.*s", (int)n->name.len,
				n->name.p));
		p->no_delete = true;
		return;
	}
	set_path(p, l->path_len, n->name);
	if (p->path.is_full) {
		set_path(p, l->path_len, (struct hf_str){0});
		restore_error(r, rel(p), hf_err(HF_EFATAL, "a path in it is too long"));
		return;
	}
	if (n->type == HF_NODE_SOCKET)
		return;
	if (r->opt.select != NULL) {
		is_selected = child = false;
		r->opt.select(r->opt.select_arg, location(p), is_dir, &is_selected, &child);
	}
	l->has_restored |= is_selected;
	if (is_selected && !r->is_verifying)
		warn_of_generic(p, n);
	if (is_dir)
		visit_dir(p, n, is_selected, child);
	else if (!is_selected || !ensure_dir(p))
		return;
	else if (n->type != HF_NODE_FILE)
		visit_special(p, l, n);
	else if (n->links <= 1 || !is_hardlink(p, l, n))
		visit_file(p, l, n);
}

static void
step(struct plan *p)
{
	struct level *l = &p->levels[p->n_levels - 1];
	const struct hf_node *n;
	bool more = false;
	struct hf_err *e = NULL;

	if (l->tree != NULL)
		e = hf_tree_next(l->tree, &n, &more);
	if (e != NULL) {
		l->is_broken = true;
		set_path(p, l->path_len, (struct hf_str){0});
		restore_error(p->r, rel(p), e);
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
	struct plan p = {.r = r,
		.reader = hf_reader_new(r->repo, r->ix),
		.path = HF_BUF_MAX(PATH_MAX),
		.window = restore_window_new(),
		.window_files = WINDOW_FILES_FIRST};

	hf_buf_add_char(&p.path, '/');
	set_path(&p, 1, (struct hf_str){0});
	struct level *root = push(&p, tree);

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
