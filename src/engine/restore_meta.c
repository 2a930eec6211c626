/* SPDX-License-Identifier: BSD-2-Clause */
/* Metadata of restored items; links, pipes and devices; other names; finished folders. */
#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/host.h"
#include "engine/restore_i.h"

/* Linux allows 64 KiB of names per file; values likewise. */
enum { MAX_XATTR_LIST = 64 << 10 };

/* ---- owners by name; the planner's thread only ---- */

static uint32_t
uid_of(struct hf_str name)
{
	hf_autofree char *s = hf_str_dup(name);
	uint32_t id;

	return hf_user_id(s, &id) ? id : 0;
}

static uint32_t
gid_of(struct hf_str name)
{
	hf_autofree char *s = hf_str_dup(name);
	uint32_t id;

	return hf_group_id(s, &id) ? id : 0;
}

/* The number for a name, remembered as long as neighbours have the same one. */
static uint32_t
owner(struct rowner *last, struct hf_str name, uint32_t (*find)(struct hf_str))
{
	if (last->name == NULL || !hf_str_eq(hf_str(last->name), name)) {
		free(last->name);
		last->name = hf_str_dup(name);
		last->id = find(name);
	}
	return last->id;
}

/* ---- what is to be restored ---- */

/* A copy of the attributes in one block: the array, then names and values. */
static void
copy_xattrs(const struct hf_node *n, struct rmeta *m)
{
	size_t size = n->n_xattrs * sizeof m->xattrs[0];

	for (size_t i = 0; i < n->n_xattrs; i++)
		size += n->xattrs[i].name.len + 1 + n->xattrs[i].value.len;
	m->xattrs = hf_alloc_(1, size + 1);
	char *p = (char *)(m->xattrs + n->n_xattrs);

	for (size_t i = 0; i < n->n_xattrs; i++) {
		const struct hf_xattr *x = &n->xattrs[i];

		m->xattrs[i].name = (struct hf_str){p, x->name.len};
		if (x->name.len > 0)
			memcpy(p, x->name.p, x->name.len);
		p += x->name.len;
		*p++ = 0;
		m->xattrs[i].value = (struct hf_bytes){(uint8_t *)p, x->value.len};
		if (x->value.len > 0)
			memcpy(p, x->value.p, x->value.len);
		p += x->value.len;
	}
	m->n_xattrs = n->n_xattrs;
}

void
restore_meta_init(struct hf_restore *r, const struct hf_node *n, struct rmeta *out)
{
	*out = (struct rmeta){.type = n->type,
		.uid = n->uid,
		.gid = n->gid,
		.perm = hf_mode_perm(n->mode),
		.times = {{n->atime.sec, n->atime.nsec}, {n->mtime.sec, n->mtime.nsec}}};
	if (r->opt.by_name) {
		out->uid = owner(&r->last_user, n->user, uid_of);
		out->gid = owner(&r->last_group, n->group, gid_of);
	}
	if (n->n_xattrs > 0)
		copy_xattrs(n, out);
}

void
restore_meta_clear(struct rmeta *m)
{
	free(m->xattrs);
	m->xattrs = NULL;
	m->n_xattrs = 0;
}

/* ---- extended attributes, by descriptor or by path ---- */

/* What attributes belong to: an open file, or a path whose last component is not followed. */
struct place {
	int fd; /* or -1 */
	const char *path;
};

static ssize_t
place_list(const struct place *p, char *buf, size_t size)
{
	return p->fd >= 0 ? flistxattr(p->fd, buf, size) : llistxattr(p->path, buf, size);
}

static int
place_set(const struct place *p, const struct hf_xattr *x)
{
	if (p->fd >= 0)
		return fsetxattr(p->fd, x->name.p, x->value.p, x->value.len, 0);
	return lsetxattr(p->path, x->name.p, x->value.p, x->value.len, 0);
}

static int
place_remove(const struct place *p, const char *name)
{
	return p->fd >= 0 ? fremovexattr(p->fd, name) : lremovexattr(p->path, name);
}

static bool
is_selected(struct hf_restore *r, const char *name)
{
	return r->opt.select_xattr == NULL || r->opt.select_xattr(r->opt.xattr_arg, name);
}

static bool
is_wanted(const struct rmeta *m, const char *name)
{
	for (size_t i = 0; i < m->n_xattrs; i++)
		if (hf_str_is(m->xattrs[i].name, name))
			return true;
	return false;
}

/* Removes what the snapshot does not have. */
static struct hf_err *
remove_other_xattrs(struct hf_restore *r, const struct place *p, const struct rmeta *m)
{
	char small[1024];
	hf_autofree char *large = NULL;
	char *names = small;
	ssize_t n = place_list(p, small, sizeof small);

	if (n < 0 && errno == ERANGE) {
		names = large = hf_alloc_(1, MAX_XATTR_LIST);
		n = place_list(p, large, MAX_XATTR_LIST);
	}
	if (n < 0)
		return errno == ENOTSUP || errno == ENODATA
			       ? NULL
			       : hf_err_errno(errno, "listing extended attributes");
	for (const char *s = names; s < names + n; s += strlen(s) + 1) {
		if (is_wanted(m, s) || !is_selected(r, s))
			continue;
		/* Labels of security modules belong to this system and often cannot go. */
		if (place_remove(p, s) != 0 && errno != ENODATA && errno != ENOTSUP &&
			strncmp(s, "security.", 9) != 0)
			return hf_err_errno(errno, "removing extended attribute %s", s);
	}
	return NULL;
}

static struct hf_err *
restore_xattrs(struct hf_restore *r, const struct place *p, const struct rmeta *m)
{
	for (size_t i = 0; i < m->n_xattrs; i++) {
		const struct hf_xattr *x = &m->xattrs[i];

		if (!is_selected(r, x->name.p))
			continue;
		if (place_set(p, x) != 0 && errno != ENOTSUP)
			return hf_err_errno(errno, "setting extended attribute %s", x->name.p);
	}
	return remove_other_xattrs(r, p, m);
}

/* ---- all of it ---- */

/*
 * Collects what went wrong. Every step is taken, the first error counts; and users who are not
 * root may not give files away, which is what they expect.
 */
struct outcome {
	struct hf_err *first;
	bool is_permission;
};

static void
outcome_add(struct outcome *o, struct hf_err *e, int en)
{
	if (e != NULL && o->first == NULL) {
		o->first = e;
		o->is_permission = en == EPERM || en == EACCES;
	} else {
		hf_err_free(e);
	}
}

static struct hf_err *
outcome_result(struct hf_restore *r, struct outcome *o)
{
	if (o->first == NULL || r->is_root_user || !o->is_permission)
		return o->first;
	hf_err_free(o->first);
	return NULL;
}

static void
outcome_call(struct outcome *o, int result, const char *what)
{
	int en = errno;

	if (result != 0)
		outcome_add(o, hf_err_errno(en, "%s", what), en);
}

struct hf_err *
restore_meta_fd(struct hf_restore *r, int fd, const struct rmeta *m)
{
	struct outcome o = {0};
	struct place p = {.fd = fd};

	outcome_call(&o, fchown(fd, m->uid, m->gid), "setting the owner");
	errno = 0;
	struct hf_err *e = restore_xattrs(r, &p, m);
	outcome_add(&o, e, errno);
	outcome_call(&o, futimens(fd, m->times), "setting the times");
	outcome_call(&o, fchmod(fd, m->perm), "setting the mode");
	return outcome_result(r, &o);
}

struct hf_err *
restore_meta_at(struct hf_restore *r, int dirfd, const char *name, const struct rmeta *m)
{
	struct outcome o = {0};
	hf_autofree char *path = NULL;

	outcome_call(&o, fchownat(dirfd, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW),
		"setting the owner");
	/* There is no call for attributes by folder and name; without /proc they are left out. */
	if (asprintf(&path, "/proc/self/fd/%d/%s", dirfd, name) >= 0 &&
		(m->n_xattrs > 0 || access("/proc/self/fd", X_OK) == 0)) {
		struct place p = {.fd = -1, .path = path};

		errno = 0;
		struct hf_err *e = restore_xattrs(r, &p, m);
		outcome_add(&o, e, errno);
	}
	outcome_call(
		&o, utimensat(dirfd, name, m->times, AT_SYMLINK_NOFOLLOW), "setting the times");
	if (m->type != HF_NODE_SYMLINK)
		outcome_call(&o, fchmodat(dirfd, name, m->perm, AT_SYMLINK_NOFOLLOW),
			"setting the mode");
	return outcome_result(r, &o);
}

struct hf_err *
restore_make_special(int dirfd, const char *name, const struct hf_node *n)
{
	hf_autofree char *target = NULL;
	int result;

	switch (n->type) {
	case HF_NODE_SYMLINK:
		target = hf_str_dup(n->linktarget);
		result = symlinkat(target, dirfd, name);
		break;
	case HF_NODE_FIFO:
		result = mknodat(dirfd, name, S_IFIFO | 0600, 0);
		break;
	case HF_NODE_DEV:
		result = mknodat(dirfd, name, S_IFBLK | 0600, n->device);
		break;
	case HF_NODE_CHARDEV:
		result = mknodat(dirfd, name, S_IFCHR | 0600, n->device);
		break;
	default:
		return hf_err(HF_EINVAL, "filetype \"%s\" not implemented",
			hf_node_type_text(n->type));
	}
	return result == 0 ? NULL : hf_err_errno(errno, "creating");
}

/* ---- other names ---- */

/* Opens the folder of a path and says what its last component is. */
static int
open_parent(struct hf_restore *r, const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	hf_autofree char *dir =
		hf_str_dup((struct hf_str){path, slash != NULL ? (size_t)(slash - path) : 0});

	*base = slash != NULL ? slash + 1 : path;
	return hf_root_openat(&r->root, dir, O_PATH | O_DIRECTORY, 0);
}

/* Whether the overwrite rules let what exists alone. */
bool
restore_may_overwrite(
	struct hf_restore *r, const struct timespec *mtime, const struct stat *existing)
{
	switch (r->opt.overwrite) {
	case HF_OVERWRITE_NEVER:
		return false;
	case HF_OVERWRITE_IF_NEWER:
		if (mtime->tv_sec != existing->st_mtim.tv_sec)
			return mtime->tv_sec > existing->st_mtim.tv_sec;
		return mtime->tv_nsec > existing->st_mtim.tv_nsec;
	default:
		return true;
	}
}

static struct hf_err *
make_link(struct hf_restore *r, const struct rlink *l, bool *is_skipped)
{
	struct stat there, st;
	const char *base;
	hf_autofd int dir = restore_open_dir(r, l->dir, O_PATH);

	*is_skipped = false;
	if (dir < 0)
		return r->opt.is_dry_run ? NULL : hf_err_errno(errno, "opening its folder");
	bool exists = fstatat(dir, l->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
	*is_skipped = exists && !restore_may_overwrite(r, &l->mtime, &there);
	if (*is_skipped || r->opt.is_dry_run)
		return NULL;
	hf_autofd int from = open_parent(r, l->target, &base);
	if (from < 0 || fstatat(from, base, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return hf_err_errno(errno, "finding its other name /%s", l->target);
	if (exists && st.st_ino == there.st_ino && st.st_dev == there.st_dev)
		return NULL;
	if (exists)
		HF_TRY(restore_remove(r, dir, l->name));
	if (linkat(from, base, dir, l->name, 0) != 0)
		return hf_err_errno(errno, "linking to /%s", l->target);
	return NULL;
}

void
restore_make_links(struct hf_restore *r, struct rwindow *window)
{
	for (size_t i = 0; i < window->n_links && !restore_is_stopped(r); i++) {
		const struct rlink *l = window->links[i];
		struct rpath path;
		bool is_skipped;
		struct hf_err *e = make_link(r, l, &is_skipped);

		if (!restore_path(l->dir, l->name, &path))
			memcpy(path.s, "?", 2);
		if (e != NULL) {
			restore_error(r, path.s, e);
			continue;
		}
		atomic_fetch_add(
			is_skipped ? &r->progress.files_skipped : &r->progress.files_restored,
			1);
		restore_item(
			r, is_skipped ? HF_RESTORE_UNCHANGED : HF_RESTORE_OTHER, path.s, 0);
	}
}

/* ---- folders ---- */

static struct hf_err *
finish_dir(struct hf_restore *r, const struct rdone *d)
{
	const char *base;
	int fd = restore_open_dir(r, d->dir, O_RDONLY | O_NOCTTY);

	if (fd >= 0) {
		struct hf_err *e = restore_meta_fd(r, fd, &d->meta);

		close(fd);
		return e;
	}
	if (errno != EACCES)
		return hf_err_errno(errno, "opening");
	hf_autofd int up = open_parent(r, d->dir->path, &base);
	if (up < 0)
		return hf_err_errno(errno, "opening its folder");
	return restore_meta_at(r, up, base, &d->meta);
}

/* Inner folders stand before outer ones, so that no mode shuts out what is yet to come. */
void
restore_finish_dirs(struct hf_restore *r, struct rwindow *window)
{
	for (size_t i = 0; i < window->n_dones && !restore_is_stopped(r); i++) {
		const struct rdone *d = &window->dones[i];
		struct hf_err *e = r->opt.is_dry_run ? NULL : finish_dir(r, d);

		if (e != NULL) {
			restore_error(r, d->dir->path, e);
			continue;
		}
		atomic_fetch_add(&r->progress.files_restored, 1);
		restore_item(r, HF_RESTORE_DIR, d->dir->path, 0);
	}
}
