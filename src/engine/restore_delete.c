/* SPDX-License-Identifier: BSD-2-Clause */
/* Removing: what is in the way, and with --delete what the snapshot does not have. */
#include <errno.h>
#include <stdio.h>

#include "base/dir.h"
#include "engine/restore_i.h"

/* ---- the names of a tree ---- */

void
restore_names_add(struct rnames *l, struct hf_str name)
{
	uint64_t off = l->text.len;

	hf_buf_add(&l->offs, &off, sizeof off);
	hf_buf_add(&l->text, name.p, name.len);
}

void
restore_names_clear(struct rnames *l)
{
	hf_buf_clear(&l->text);
	hf_buf_clear(&l->offs);
}

static struct hf_str
name_at(const struct rnames *l, size_t i)
{
	size_t n = l->offs.len / sizeof(uint64_t);
	uint64_t off, end = l->text.len;

	memcpy(&off, l->offs.p + i * sizeof off, sizeof off);
	if (i + 1 < n)
		memcpy(&end, l->offs.p + (i + 1) * sizeof end, sizeof end);
	return (struct hf_str){(const char *)l->text.p + off, (size_t)(end - off)};
}

static bool
has_name(const struct rnames *l, const char *name)
{
	size_t lo = 0, hi = l->offs.len / sizeof(uint64_t);

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = hf_str_cmp(hf_str(name), name_at(l, mid));

		if (c == 0)
			return true;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}

/* ---- removing ---- */

/* How removed items are reported; NULL when they are not. */
struct report {
	struct hf_restore *r;
	bool is_dry;
	char path[PATH_MAX]; /* on disk */
	size_t len;
};

static void
report_deleted(const struct report *p)
{
	struct hf_restore *r = p->r;

	atomic_fetch_add(&r->progress.files_deleted, 1);
	if (r->ev.item != NULL)
		r->ev.item(r->ev.arg, HF_RESTORE_DELETED, p->path, 0);
}

static bool
report_enter(struct report *p, const char *name, size_t *old_len)
{
	size_t n = strlen(name);

	*old_len = p->len;
	if (p->len + 1 + n >= sizeof p->path)
		return false;
	if (p->len > 0 && p->path[p->len - 1] != '/')
		p->path[p->len++] = '/';
	memcpy(p->path + p->len, name, n + 1);
	p->len += n;
	return true;
}

static struct hf_err *remove_tree(int dirfd, const char *name, struct report *rep);

static struct hf_err *
remove_below(int fd, struct report *rep)
{
	hf_autodir *dir = hf_dir_take(fd);
	const char *name;
	int en;

	if (dir == NULL)
		return hf_err_errno(errno, "reading");
	while ((name = hf_dir_next(dir, &en)) != NULL)
		HF_TRY(remove_tree(dirfd(dir), name, rep));
	return NULL;
}

/* Removes whatever it is, the inside first. Links are removed, not followed. */
static struct hf_err *
remove_tree(int dirfd, const char *name, struct report *rep)
{
	struct hf_err *e = NULL;
	struct stat st;
	size_t len;

	if (!report_enter(rep, name, &len))
		return hf_err(HF_EFATAL, "path too long");
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		e = hf_err_errno(errno, "removing %s", rep->path);
	} else if (S_ISDIR(st.st_mode)) {
		int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		e = fd < 0 ? hf_err_errno(errno, "opening %s", rep->path)
			   : remove_below(fd, rep);
	}
	if (e == NULL && !rep->is_dry &&
		unlinkat(dirfd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) != 0)
		e = hf_err_errno(errno, "removing %s", rep->path);
	if (e == NULL && rep->r != NULL)
		report_deleted(rep);
	rep->len = len;
	rep->path[len] = 0;
	return e;
}

struct hf_err *
restore_remove(struct hf_restore *r, int dirfd, const char *name)
{
	struct report none = {0};
	int en;

	if (unlinkat(dirfd, name, 0) == 0)
		return NULL;
	en = errno;
	if (en == EISDIR || en == EPERM) {
		if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
			return NULL;
		if (errno == ENOTEMPTY && r->opt.should_delete)
			return remove_tree(dirfd, name, &none);
		if (errno != ENOTDIR)
			en = errno;
	}
	return en == ENOENT ? NULL : hf_err_errno(en, "removing what is in its place");
}

/* ---- what the snapshot does not have ---- */

static void
delete_entry(struct hf_restore *r, int fd, const struct rdir *d, const char *name)
{
	struct report rep = {.r = r, .is_dry = r->opt.is_dry_run};
	bool is_selected = true, child;
	struct rpath rel;
	size_t old;

	if (!restore_path(d, name, &rel))
		return;
	if (r->opt.select != NULL) {
		hf_autofree char *path = NULL;

		if (asprintf(&path, "/%s", rel.s) < 0)
			return;
		r->opt.select(r->opt.select_arg, path, false, &is_selected, &child);
	}
	if (!is_selected)
		return;
	if (!report_enter(&rep, r->opt.target, &old) ||
		(d->path_len > 0 && !report_enter(&rep, d->path, &old)))
		return;
	struct hf_err *e = remove_tree(fd, name, &rep);

	if (e != NULL)
		restore_error(r, rel.s, e);
}

void
restore_delete_others(struct hf_restore *r, const struct rdir *d, const struct rnames *l)
{
	struct hf_err *e = hf_buf_ok(&l->text);
	hf_autodir *dir = hf_dir_take(restore_open_dir(r, d, O_RDONLY));
	const char *name;
	int en;

	if (dir == NULL && e == NULL)
		e = hf_err_errno(errno, "reading");
	if (e == NULL)
		e = hf_buf_ok(&l->offs);
	while (e == NULL && !restore_is_stopped(r) && (name = hf_dir_next(dir, &en)) != NULL)
		if (!has_name(l, name))
			delete_entry(r, dirfd(dir), d, name);
	if (e != NULL)
		restore_error(r, d->path, e);
}
