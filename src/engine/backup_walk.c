/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Visiting folders. A walker opens a folder, makes its node, lists it and goes through the names
 * in order: folders are put aside for any walker, files that changed for the workers, all else is
 * done at once. The folder of the parent snapshot is read alongside.
 *
 * Extended attributes can only be listed by path or by an open file. To have a short path without
 * a race, each walker has a working folder of its own (unshare) and stands in the folder it visits.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/path.h"
#include "engine/backup_i.h"

/* One name about to be backed up. */
struct item {
	struct dir *dir;    /* whose entry it becomes */
	struct hf_str name; /* there */
	int dirfd;          /* `at` is relative to it */
	const char *at;     /* NUL-terminated */
	const char *
		open_path; /* absolute, when it is not `name` below dir's descriptor; or NULL */
	const char *path;  /* absolute, cleaned, as patterns see it; or NULL: w->path */
	bool is_explicit;  /* no exclusion concerns it */
	bool is_target;    /* nobody listed it: that it is not there is worth a report */
	const struct hf_node *old; /* of that name in the parent snapshot, or NULL */
};

static const char *
item_path(const struct worker *w, const struct item *it)
{
	return it->path != NULL ? it->path : (const char *)w->path.p;
}

/* The path under which a thread may look at the item's attributes, in `out` if need be. */
static const char *
attr_path(struct worker *w, const struct item *it, char out[static 512])
{
	if (it->open_path != NULL)
		return it->open_path;
	if (w->has_cwd) {
		if (w->cwd == it->dir)
			return it->at;
		if (fchdir(it->dirfd) == 0) {
			w->cwd = it->dir;
			return it->at;
		}
		w->cwd = NULL;
	}
	snprintf(out, 512, "/proc/self/fd/%d/%s", it->dirfd, it->at);
	return out;
}

static void
add_xattrs(struct worker *w, const struct item *it, struct hf_node *node)
{
	char buf[512];
	struct hf_err *e = hf_meta_xattrs(w->meta, -1, attr_path(w, it, buf), node);

	if (e != NULL)
		report(w, item_path(w, it),
			hf_err_in(e, "incomplete metadata for %s", item_path(w, it)));
}

static char *
json_dup(struct hf_buf *scratch, const struct hf_node *node, size_t *len)
{
	if (node == NULL)
		return NULL;
	hf_buf_reset(scratch);
	hf_node_add(scratch, node);
	*len = scratch->len;
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(scratch)));
}

/* The content that the parent snapshot has is still that of the file, as far as metadata tell. */
static bool
is_unchanged(const struct backup *b, const struct stat *st, const struct hf_node *old)
{
	struct timespec m = st->st_mtim, c = st->st_ctim;

	if (old == NULL || old->type != HF_NODE_FILE || (uint64_t)st->st_size != old->size)
		return false;
	if (m.tv_sec != old->mtime.sec || m.tv_nsec != (long)old->mtime.nsec)
		return false;
	if (!b->o->ignore_ctime && !b->o->ignore_inode &&
		(c.tv_sec != old->ctime.sec || c.tv_nsec != (long)old->ctime.nsec))
		return false;
	return b->o->ignore_inode || st->st_ino == old->inode;
}

static bool
has_all_blobs(struct backup *b, const struct hf_node *old)
{
	for (size_t i = 0; i < old->n_content; i++) {
		struct hf_blob blob = {old->content[i], HF_DATA};
		struct hf_location at;

		if (!hf_index_find(b->ix, &blob, 0, &at))
			return false;
	}
	return true;
}

static struct hf_err *
take_over(struct worker *w, const struct item *it, const struct stat *st)
{
	struct hf_backup_item done;
	struct hf_node node;

	hf_meta_node(w->meta, it->name, st, &node);
	item_of(&node, &done);
	done.action = HF_BACKUP_UNCHANGED;
	add_xattrs(w, it, &node);
	node.content = it->old->content;
	node.n_content = it->old->n_content;
	hf_buf_reset(&w->json);
	hf_node_add(&w->json, &node);
	count(&w->b->progress->bytes_done, node.size);
	return file_done(w, it->dir, dir_add_place(it->dir), it->name, node.size, &done);
}

static struct hf_err *
do_file(struct worker *w, const struct item *it, const struct stat *st)
{
	struct backup *b = w->b;

	if (is_unchanged(b, st, it->old)) {
		if (has_all_blobs(b, it->old))
			return take_over(w, it, st);
		report(w, item_path(w, it),
			hf_err(HF_ENOTFOUND,
				"parts of %s not found in the repository index; storing the "
				"file "
				"again",
				item_path(w, it)));
	}
	struct file_job *job = file_job_new(it->dir, dir_add_place(it->dir), it->name);

	if (it->open_path != NULL)
		job->path = hf_str_dup(hf_str(it->open_path));
	job->old_node = json_dup(&w->json, it->old, &job->old_node_len);
	return push_file(b, job);
}

/* Links, devices, FIFOs: all there is to know is in the node. */
static struct hf_err *
do_special(struct worker *w, const struct item *it, const struct stat *st)
{
	const struct hf_backup_events *ev = w->b->ev;
	struct hf_backup_item done;
	struct hf_node node;

	hf_meta_node(w->meta, it->name, st, &node);
	if (node.type == HF_NODE_SYMLINK) {
		struct hf_err *e = hf_meta_link(w->meta, it->dirfd, it->at, &node);

		if (e != NULL)
			report(w, item_path(w, it),
				hf_err_in(e, "incomplete metadata for %s", item_path(w, it)));
	}
	add_xattrs(w, it, &node);
	hf_buf_reset(&w->json);
	hf_node_add(&w->json, &node);
	HF_TRY(hf_buf_ok(&w->json));
	HF_TRY(dir_set(it->dir, dir_add_place(it->dir), hf_buf_bytes(&w->json)));
	item_of(&node, &done);
	if (ev->item != NULL && ev->wants_items)
		ev->item(ev->arg, snap_path(w, it->dir, it->name), &done);
	return NULL;
}

static struct hf_err *walk_dir(struct worker *w, struct dir *d);

static struct hf_err *
do_dir(struct worker *w, const struct item *it, const struct stat *st, dev_t device)
{
	struct dir *up = it->dir;
	struct dir *d = dir_new(up, dir_add_place(up), it->name);

	count(&up->left, 1);
	dir_fd_use(up);
	if (it->open_path != NULL) {
		d->base = hf_str_dup(hf_str(it->path));
		d->open_path = hf_str_dup(hf_str(it->open_path));
	}
	d->device = device;
	d->is_mount = w->b->o->one_file_system && st->st_dev != d->device;
	d->old_node = json_dup(&w->json, it->old, &d->old_node_len);
	if (it->old != NULL && it->old->type == HF_NODE_DIR && it->old->has_subtree) {
		d->has_old = true;
		d->old_tree = it->old->subtree;
	}
	if (push_dir(w->b, d))
		return NULL;
	struct hf_err *e = walk_dir(w, d);
	w->cwd = NULL;
	return e;
}

/* The file system that --one-file-system stays on from this item on. */
static dev_t
allowed_device(struct worker *w, const struct item *it, const struct stat *st)
{
	if (!w->b->o->one_file_system || it->is_explicit)
		return st->st_dev;
	return it->is_target ? device_above(w->b, it->path, st->st_dev) : it->dir->device;
}

/* Whether the item lies on another file system; not where that is mounted, which is kept. */
static bool
is_beyond(struct worker *w, const struct item *it, const struct stat *st, dev_t device)
{
	struct stat up;

	if (!w->b->o->one_file_system || st->st_dev == device)
		return false;
	if (!S_ISDIR(st->st_mode))
		return true;
	if (!it->is_target) /* else we would not be here */
		return false;
	hf_autofree char *dir = hf_path_join(it->at, "..");
	return fstatat(it->dirfd, dir, &up, 0) < 0 || up.st_dev != device;
}

/* Backs up one name; what cannot be is reported and left out. */
static struct hf_err *
do_item(struct worker *w, const struct item *it)
{
	const struct hf_backup_options *o = w->b->o;
	const struct hf_backup_events *ev = w->b->ev;
	const char *path = item_path(w, it);
	struct stat st;
	dev_t device;

	HF_TRY(check_stop(w->b));
	if (!it->is_explicit && is_excluded_name(o, path)) {
		if (ev->excluded != NULL)
			ev->excluded(ev->arg, path);
		return NULL;
	}
	if (fstatat(it->dirfd, it->at, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		/* A name that vanished after it was listed was not there. */
		if (errno != ENOENT || it->is_target)
			report(w, path, hf_err_errno(errno, "lstat %s", path));
		return NULL;
	}
	device = allowed_device(w, it, &st);
	if (!it->is_explicit && (is_excluded_stat(o, &st) || is_beyond(w, it, &st, device))) {
		if (ev->excluded != NULL)
			ev->excluded(ev->arg, path);
		return NULL;
	}
	if (S_ISREG(st.st_mode))
		return do_file(w, it, &st);
	if (S_ISDIR(st.st_mode))
		return do_dir(w, it, &st, device);
	if (S_ISSOCK(st.st_mode))
		return NULL; /* has no content and no meaning without its server */
	return do_special(w, it, &st);
}

/* The node of `old` called `name`; a tree that does not decode is reported once and dropped. */
static const struct hf_node *
old_node(struct worker *w, struct hf_tree **old, struct hf_str name)
{
	const struct hf_node *node = NULL;

	if (*old == NULL)
		return NULL;
	struct hf_err *e = hf_tree_seek(*old, name, &node);
	if (e != NULL) {
		report(w, (const char *)w->path.p, e);
		hf_tree_free(hf_steal(*old));
		return NULL;
	}
	return node;
}

static void
load_old(struct worker *w, const struct dir *d, struct hf_tree **old)
{
	if (!d->has_old)
		return;
	struct hf_err *e = hf_tree_load(w->reader, &d->old_tree, old);
	if (w->b->is_old_ours)
		e = hf_err_ignore(e, HF_ENOTFOUND); /* lost with the lock: read all again */
	if (e != NULL)
		report(w, (const char *)w->path.p,
			hf_err_in(e,
				"tree %s of the parent snapshot could not be loaded; "
				"the repository could be damaged",
				hf_id_hex(&d->old_tree).s));
}

/* Makes the folder's own node from the open folder. */
static struct hf_err *
make_node(struct worker *w, struct dir *d, bool ignore_xattrs)
{
	struct hf_node node;
	struct stat st;

	if (fstat(d->fd, &st) < 0)
		return hf_err_errno(errno, "stat");
	if (!S_ISDIR(st.st_mode))
		return hf_err(HF_EFATAL, "it is not a folder any more");
	hf_meta_node(w->meta, hf_str(d->name), &st, &node);
	struct hf_err *e = hf_meta_xattrs(w->meta, d->fd, NULL, &node);
	if (e != NULL && ignore_xattrs)
		hf_err_free(hf_steal(e));
	if (e != NULL)
		report(w, (const char *)w->path.p,
			hf_err_in(e, "incomplete metadata for %s", (char *)w->path.p));
	node.has_subtree = true;
	hf_buf_reset(&w->json);
	hf_node_add(&w->json, &node);
	HF_TRY(hf_buf_ok(&w->json));
	d->node = hf_str_dup(hf_bytes_str(hf_buf_bytes(&w->json)));
	d->node_len = w->json.len;
	return NULL;
}

static struct hf_err *
open_dir(struct dir *d)
{
	int fd = d->open_path != NULL ? open_quietly(AT_FDCWD, d->open_path, O_DIRECTORY)
				      : open_quietly(d->up->fd, d->name, O_DIRECTORY);
	int en = errno;

	dir_fd_release(d->up);
	if (fd < 0)
		return hf_err_errno(en, "opening the folder");
	d->fd = fd;
	d->fd_users = 1;
	return NULL;
}

static void
warn_tag(void *arg, struct hf_err *e)
{
	struct worker *w = arg;

	report_odd(w, (const char *)w->path.p, hf_err_in(e, "%s", (char *)w->path.p));
}

static struct hf_err *
do_names(struct worker *w, struct dir *d, const struct names *names)
{
	hf_autoptr(hf_tree) old = NULL;
	size_t n = names_len(names), path_len = w->path.len;

	load_old(w, d, &old);
	for (size_t i = 0; i < n; i++) {
		struct item it = {.dir = d,
			.name = hf_str(names_at(names, i)),
			.dirfd = d->fd,
			.at = names_at(names, i)};

		w->path.len = path_len;
		if (path_len > 1)
			hf_buf_add_char(&w->path, '/');
		hf_buf_add(&w->path, it.at, it.name.len + 1);
		w->path.len--;
		HF_TRY(hf_buf_ok(&w->path));
		it.old = old_node(w, &old, it.name);
		HF_TRY(do_item(w, &it));
	}
	return NULL;
}

static struct hf_err *
list_dir(struct worker *w, struct dir *d)
{
	hf_auto(names) names = {.text = DIR_BUF, .offs = DIR_BUF};

	if (d->is_mount)
		return NULL;
	struct hf_err *e = names_read(w->b->o, d->fd, &names, warn_tag, w);
	if (e != NULL) {
		/* Without its list the folder is as good as absent. */
		report(w, (const char *)w->path.p, hf_err_in(e, "%s", (char *)w->path.p));
		free(hf_steal(d->node));
		return NULL;
	}
	return do_names(w, d, &names);
}

/* Visits a folder. Takes the walker's hold on `d`. */
static struct hf_err *
walk_dir(struct worker *w, struct dir *d)
{
	struct hf_err *e;
	size_t path_len = w->path.len;

	hf_buf_reset(&w->path);
	dir_path(d, &w->path);
	hf_buf_add(&w->path, "", 1);
	w->path.len--;
	w->cwd = NULL;
	e = open_dir(d);
	if (e == NULL)
		e = make_node(w, d, false);
	if (e != NULL) {
		report(w, (const char *)w->path.p, hf_err_in(e, "%s", (char *)w->path.p));
		e = NULL;
	} else {
		e = list_dir(w, d);
	}
	if (d->fd >= 0)
		dir_fd_release(d);
	w->cwd = NULL;
	w->path.len = path_len; /* the caller writes its own names behind that */
	if (e != NULL) {
		dir_drop(d);
		return e;
	}
	return dir_release(w, d);
}

struct hf_err *
walk_loop(void *backup)
{
	struct backup *b = backup;
	hf_autoptr(worker) w = worker_new(b);
	struct dir *d;

	w->has_cwd = unshare(CLONE_FS) == 0;
	while ((d = take_dir(b)) != NULL) {
		struct hf_err *e = walk_dir(w, d);

		walk_end(b);
		HF_TRY(e);
	}
	return NULL;
}

/* A target that is taken whole. */
static struct hf_err *
do_leaf(struct worker *w, struct dir *up, const struct hf_target *t, const struct hf_node *old)
{
	hf_autofree char *abs = hf_path_abs(w->b->cwd, t->path), *place = NULL;
	struct item it = {.dir = up,
		.name = hf_str(t->name),
		.dirfd = AT_FDCWD,
		.path = abs,
		.is_explicit = t->is_explicit,
		.is_target = true,
		.old = old};

	/* Not cleaned: the kernel, not the text, says where `..` leads. */
	if (t->path[0] == '/')
		place = hf_str_dup(hf_str(t->path));
	else if (asprintf(&place, "%s/%s", w->b->cwd, t->path) < 0)
		abort();
	it.at = it.open_path = place;
	if (!t->is_explicit && w->b->o->n_exclude_tags > 0) {
		hf_autofree char *dir = hf_path_join(place, "..");

		if (is_excluded_by_tag(w->b->o, dir, t->name))
			return NULL;
	}
	return do_item(w, &it);
}

static struct hf_err *do_children(struct worker *w, struct dir *d, const struct hf_target *t);

/* A folder of which only some children are taken. */
static struct hf_err *
do_inner(struct worker *w, struct dir *up, const struct hf_target *t, const struct hf_node *old)
{
	hf_autofree char *meta = NULL;
	struct dir *d = dir_new(up, dir_add_place(up), hf_str(t->name));
	struct hf_err *e = NULL;

	count(&up->left, 1);
	d->base = hf_path_abs(w->b->cwd, t->meta_path);
	d->old_node = json_dup(&w->json, old, &d->old_node_len);
	if (old != NULL && old->type == HF_NODE_DIR && old->has_subtree) {
		d->has_old = true;
		d->old_tree = old->subtree;
	}
	hf_buf_reset(&w->path);
	hf_buf_add(&w->path, d->base, strlen(d->base) + 1);
	if (asprintf(&meta, "%s/%s", t->meta_path[0] == '/' ? "" : w->b->cwd, t->meta_path) < 0)
		abort();
	d->fd = open(meta, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0) /* its metadata are ours to read even if its list is not */
		d->fd = open(meta, O_PATH | O_DIRECTORY | O_CLOEXEC);
	d->fd_users = 1;
	if (d->fd < 0)
		e = hf_err_errno(errno, "opening the folder");
	else
		e = make_node(w, d, true);
	if (e != NULL) {
		report(w, (const char *)w->path.p, hf_err_in(e, "%s", (char *)w->path.p));
		e = NULL;
	} else {
		e = do_children(w, d, t);
	}
	dir_fd_release(d);
	if (e != NULL) {
		dir_drop(d);
		return e;
	}
	return dir_release(w, d);
}

static struct hf_err *
do_children(struct worker *w, struct dir *d, const struct hf_target *t)
{
	hf_autoptr(hf_tree) old = NULL;

	load_old(w, d, &old);
	for (size_t i = 0; i < t->n_children; i++) {
		const struct hf_target *c = t->children[i];
		const struct hf_node *node = old_node(w, &old, hf_str(c->name));

		HF_TRY(c->path != NULL ? do_leaf(w, d, c, node) : do_inner(w, d, c, node));
	}
	return NULL;
}

static struct dir *
root_new(struct backup *b)
{
	struct dir *root = dir_new(NULL, 0, hf_str(""));

	root->base = hf_str_dup(hf_str("/"));
	root->has_old = b->has_old_tree;
	root->old_tree = b->old_tree;
	return root;
}

struct hf_err *
walk_targets(struct worker *w)
{
	struct dir *root = root_new(w->b);

	hf_buf_reset(&w->path);
	hf_buf_add(&w->path, "/", 2);
	struct hf_err *e = do_children(w, root, &w->b->targets);
	if (e == NULL && root->entries.len == 0)
		e = hf_err(HF_EINVAL, "snapshot is empty");
	if (e != NULL) {
		dir_drop(root);
		return e;
	}
	return dir_release(w, root);
}

/* For what comes out of a pipe, and the folders above it. */
void
made_up_node(const struct backup *b, const char *name, bool is_dir, struct hf_node *out)
{
	*out = (struct hf_node){
		.name = hf_str(name),
		.type = is_dir ? HF_NODE_DIR : HF_NODE_FILE,
		.mode = hf_mode_from_stat(is_dir ? S_IFDIR | 0755 : S_IFREG | 0644),
		.mtime = b->o->time,
		.atime = b->o->time,
		.ctime = b->o->time,
		.uid = b->o->uid,
		.gid = b->o->gid,
		.has_content = !is_dir,
		.has_subtree = is_dir,
	};
}

struct hf_err *
walk_stdin(struct worker *w)
{
	struct backup *b = w->b;
	hf_autofree char *rooted = hf_path_join("/", b->o->stdin_filename);
	struct dir *d = root_new(b);
	struct hf_node node;
	const char *p = rooted + 1;
	size_t n;

	for (n = strcspn(p, "/"); p[n] != 0; p += n + 1, n = strcspn(p, "/")) {
		struct dir *sub = dir_new(d, dir_add_place(d), (struct hf_str){p, n});

		made_up_node(b, sub->name, true, &node);
		hf_buf_reset(&w->json);
		hf_node_add(&w->json, &node);
		sub->node = hf_str_dup(hf_bytes_str(hf_buf_bytes(&w->json)));
		sub->node_len = w->json.len;
		d = sub; /* its hold on the folder above is the one that we had */
	}
	if (n == 0) {
		dir_drop(d);
		return hf_err(HF_EINVAL, "%s is no name for a file", b->o->stdin_filename);
	}
	struct file_job *job = file_job_new(d, dir_add_place(d), hf_str(p));

	job->is_stdin = true;
	job->fd = b->o->stdin_fd;
	made_up_node(b, job->name, false, &job->stdin_node);
	struct hf_err *e = push_file(b, job);
	if (e != NULL) {
		dir_drop(d);
		return e;
	}
	return dir_release(w, d);
}
