/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/meta.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	NAMES = 64, /* users and groups remembered */
	MAX_LINK = 1 << 20,
	MAX_XATTR_LIST = 1 << 20, /* the kernel's limit is 64 KiB; file systems may differ */
	MAX_XATTRS = 64 << 20,
};

/* A small direct-mapped cache: a backup meets few owners, again and again. */
struct name {
	uint32_t id;
	char *text; /* owned; NULL: nothing here yet */
};

struct hf_meta {
	bool with_atime;
	struct name users[NAMES], groups[NAMES];
	struct hf_buf list;   /* names of xattrs, each with its NUL */
	struct hf_buf values; /* one after the other */
	struct hf_buf xattrs; /* struct hf_xattr */
	struct hf_buf link;
};

struct hf_meta *
hf_meta_new(bool with_atime)
{
	struct hf_meta *m = hf_new(struct hf_meta);

	m->with_atime = with_atime;
	m->list = (struct hf_buf)HF_BUF_MAX(MAX_XATTR_LIST);
	m->values = m->xattrs = (struct hf_buf)HF_BUF_MAX(MAX_XATTRS);
	m->link = (struct hf_buf)HF_BUF_MAX(MAX_LINK);
	return m;
}

void
hf_meta_free(struct hf_meta *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < NAMES; i++) {
		free(m->users[i].text);
		free(m->groups[i].text);
	}
	hf_buf_clear(&m->list);
	hf_buf_clear(&m->values);
	hf_buf_clear(&m->xattrs);
	hf_buf_clear(&m->link);
	free(m);
}

static const char *
user_name(struct hf_meta *m, uint32_t id)
{
	struct name *n = &m->users[id % NAMES];
	char text[4096];
	struct passwd pw, *found = NULL;

	if (n->text != NULL && n->id == id)
		return n->text;
	if (getpwuid_r(id, &pw, text, sizeof text, &found) != 0)
		found = NULL;
	free(n->text);
	*n = (struct name){id, hf_str_dup(hf_str(found != NULL ? pw.pw_name : ""))};
	return n->text;
}

static const char *
group_name(struct hf_meta *m, uint32_t id)
{
	struct name *n = &m->groups[id % NAMES];
	char text[65536]; /* with the list of members */
	struct group gr, *found = NULL;

	if (n->text != NULL && n->id == id)
		return n->text;
	if (getgrgid_r(id, &gr, text, sizeof text, &found) != 0)
		found = NULL;
	free(n->text);
	*n = (struct name){id, hf_str_dup(hf_str(found != NULL ? gr.gr_name : ""))};
	return n->text;
}

static enum hf_node_type
type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return HF_NODE_FILE;
	case S_IFDIR:
		return HF_NODE_DIR;
	case S_IFLNK:
		return HF_NODE_SYMLINK;
	case S_IFBLK:
		return HF_NODE_DEV;
	case S_IFCHR:
		return HF_NODE_CHARDEV;
	case S_IFIFO:
		return HF_NODE_FIFO;
	case S_IFSOCK:
		return HF_NODE_SOCKET;
	default:
		return HF_NODE_IRREGULAR;
	}
}

void
hf_meta_node(struct hf_meta *m, struct hf_str name, const struct stat *st, struct hf_node *out)
{
	*out = (struct hf_node){
		.name = name,
		.type = type_of(st->st_mode),
		.mode = hf_mode_from_stat(st->st_mode),
		.mtime = hf_time_local(st->st_mtim),
		.ctime = hf_time_local(st->st_ctim),
		.uid = st->st_uid,
		.gid = st->st_gid,
		.user = hf_str(user_name(m, st->st_uid)),
		.group = hf_str(group_name(m, st->st_gid)),
		.inode = st->st_ino,
		.device_id = st->st_dev,
	};
	out->atime = m->with_atime ? hf_time_local(st->st_atim) : out->mtime;
	switch (out->type) {
	case HF_NODE_FILE:
		out->size = (uint64_t)st->st_size;
		out->has_content = true;
		out->links = st->st_nlink;
		break;
	case HF_NODE_DEV:
	case HF_NODE_CHARDEV:
		out->device = st->st_rdev;
		out->links = st->st_nlink;
		break;
	case HF_NODE_SYMLINK:
		out->links = st->st_nlink;
		break;
	default:
		break;
	}
}

static ssize_t
list_xattrs(int fd, const char *path, char *p, size_t len)
{
	return fd >= 0 ? flistxattr(fd, p, len) : llistxattr(path, p, len);
}

static ssize_t
get_xattr(int fd, const char *path, const char *name, void *p, size_t len)
{
	return fd >= 0 ? fgetxattr(fd, name, p, len) : lgetxattr(path, name, p, len);
}

static bool
is_unsupported(int en)
{
	return en == ENOTSUP || en == ENODATA || en == ENOSYS;
}

/* Appends one value; it may grow between asking for its size and reading it. */
static struct hf_err *
add_value(struct hf_meta *m, int fd, const char *path, const char *name)
{
	for (;;) {
		ssize_t n = get_xattr(fd, path, name, NULL, 0);

		if (n < 0)
			break;
		HF_TRY(hf_buf_reserve(&m->values, (size_t)n + 1));
		n = get_xattr(fd, path, name, m->values.p + m->values.len, (size_t)n);
		if (n >= 0) {
			m->values.len += (size_t)n;
			return NULL;
		}
		if (errno != ERANGE)
			break;
	}
	return hf_err_errno(errno, "reading extended attribute %s", name);
}

/* The list of names. Most files have none, which one call with the old buffer tells. */
static struct hf_err *
load_list(struct hf_meta *m, int fd, const char *path)
{
	HF_TRY(hf_buf_reserve(&m->list, 1024));
	for (;;) {
		ssize_t n = list_xattrs(fd, path, (char *)m->list.p, m->list.cap);

		if (n >= 0) {
			m->list.len = (size_t)n;
			return NULL;
		}
		if (is_unsupported(errno))
			return NULL;
		if (errno != ERANGE)
			return hf_err_errno(errno, "listing extended attributes");
		HF_TRY(hf_buf_reserve(&m->list, m->list.cap + 1));
	}
}

struct hf_err *
hf_meta_xattrs(struct hf_meta *m, int fd, const char *path, struct hf_node *node)
{
	struct hf_err *first = NULL;
	struct hf_xattr *x;
	size_t off = 0;

	hf_buf_reset(&m->list);
	hf_buf_reset(&m->values);
	hf_buf_reset(&m->xattrs);
	HF_TRY(load_list(m, fd, path));
	for (size_t i = 0; i < m->list.len;) {
		const char *name = (const char *)m->list.p + i;
		size_t before = m->values.len;
		struct hf_err *e = add_value(m, fd, path, name);

		i += strlen(name) + 1;
		if (e != NULL && first == NULL)
			first = e;
		else
			hf_err_free(e);
		if (e == NULL)
			hf_buf_add(&m->xattrs,
				&(struct hf_xattr){.name = hf_str(name),
					.value.len = m->values.len - before},
				sizeof *x);
	}
	if (first == NULL)
		first = hf_buf_ok(&m->xattrs);
	/* Only now does the buffer of values stay where it is. */
	x = (struct hf_xattr *)(void *)m->xattrs.p;
	node->xattrs = x;
	node->n_xattrs = m->xattrs.len / sizeof *x;
	for (size_t i = 0; i < node->n_xattrs; i++) {
		x[i].value.p = m->values.p + off;
		off += x[i].value.len;
	}
	return first;
}

struct hf_err *
hf_meta_link(struct hf_meta *m, int dirfd, const char *path, struct hf_node *node)
{
	hf_buf_reset(&m->link);
	HF_TRY(hf_buf_reserve(&m->link, 4096));
	for (;;) {
		ssize_t n = readlinkat(dirfd, path, (char *)m->link.p, m->link.cap);

		if (n < 0)
			return hf_err_errno(errno, "reading link");
		if ((size_t)n < m->link.cap) {
			node->linktarget = (struct hf_str){(char *)m->link.p, (size_t)n};
			return NULL;
		}
		HF_TRY(hf_buf_reserve(&m->link, m->link.cap + 1)); /* it was cut */
	}
}
