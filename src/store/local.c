/* SPDX-License-Identifier: BSD-2-Clause */
/* How a repository in a folder is opened, read and listed. */
#include "store/local_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/dir.h"
#include "base/io.h"

enum {
	DEFAULT_CONNECTIONS = 2,
	CHANGE_S = 5, /* a rename or an unlink; a disk that takes longer is about to fail */
};

struct hf_err *
local_failed(struct local *l, const char *path, int en)
{
	return hf_err_errno(
		en, "%s%s%s", l->store.url, path != NULL ? "/" : "", path != NULL ? path : "");
}

struct hf_err *
local_root(struct local *l, int *out)
{
	int fd = atomic_load(&l->root);

	if (fd < 0) {
		int none = -1;

		fd = TEMP_FAILURE_RETRY(open(l->store.url, O_PATH | O_DIRECTORY | O_CLOEXEC));
		if (fd < 0 && errno == ENOTDIR)
			return hf_err(HF_EFATAL, "%s is not a folder", l->store.url);
		if (fd < 0)
			return local_failed(l, NULL, errno);
		if (!atomic_compare_exchange_strong(&l->root, &none, fd)) {
			close(fd);
			fd = none;
		}
	}
	*out = fd;
	return NULL;
}

/* ---- reading ---- */

/* hf_store_look_fn */
static struct hf_err *
look_for_config(struct hf_store *s, enum hf_kind kind)
{
	struct local *l = local_of(s);
	struct stat st;
	int root;

	(void)kind;
	HF_TRY(local_root(l, &root));
	return fstatat(root, "config", &st, 0) != 0 ? local_failed(l, "config", errno) : NULL;
}

static struct hf_err *
get_once(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	struct stat st;
	size_t got;
	int root;

	HF_TRY(local_root(l, &root));
	/* Without O_NONBLOCK, a FIFO under the name of a file would hold us for ever. */
	hf_autofd int fd = TEMP_FAILURE_RETRY(
		openat(root, text.s, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd < 0 || fstat(fd, &st) != 0)
		return local_failed(l, text.s, errno);
	if (!S_ISREG(st.st_mode))
		return hf_err(HF_EFATAL, "%s/%s: not a regular file", l->store.url, text.s);

	uint64_t size = (uint64_t)st.st_size;
	uint64_t want = len == SIZE_MAX && off <= size ? size - off : len;
	if (off > size || want > size - off)
		return hf_err(HF_ECORRUPT, "%s/%s: the file has only %llu bytes", l->store.url,
			text.s, (unsigned long long)size);
	if (want > SIZE_MAX - 1)
		return hf_err(HF_EFATAL, "%s/%s: too large", l->store.url, text.s);
	HF_TRY(hf_err_in(hf_buf_reserve(out, (size_t)want), "%s/%s", l->store.url, text.s));
	HF_TRY(hf_err_in(hf_pread_full(fd, out->p + out->len, (size_t)want, off, &got), "%s/%s",
		l->store.url, text.s));
	if (got < want)
		return hf_err(
			HF_ECORRUPT, "%s/%s: the file became shorter", l->store.url, text.s);
	out->len += got;
	hf_store_saw(s, name, true);
	return NULL;
}

static struct hf_err *
local_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct hf_err *e = get_once(s, name, off, len, out);

	if (hf_store_asks_again(s, name->kind, look_for_config, &e))
		e = get_once(s, name, off, len, out);
	return e;
}

static struct hf_err *
stat_once(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	struct stat st;
	int root;

	HF_TRY(local_root(l, &root));
	if (fstatat(root, text.s, &st, 0) != 0)
		return local_failed(l, text.s, errno);
	if (!S_ISREG(st.st_mode))
		return hf_err(HF_EFATAL, "%s/%s: not a regular file", l->store.url, text.s);
	*size = (uint64_t)st.st_size;
	hf_store_saw(s, name, true);
	return NULL;
}

static struct hf_err *
local_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	struct hf_err *e = stat_once(s, name, size);

	if (hf_store_asks_again(s, name->kind, look_for_config, &e))
		e = stat_once(s, name, size);
	return e;
}

/* Files on this kernel's file systems are stamped by this kernel's clock. */
static struct hf_err *
local_age(struct hf_store *s, const struct hf_name *name, double *seconds)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	struct timespec now;
	struct stat st;
	int root;

	HF_TRY(local_root(l, &root));
	if (fstatat(root, text.s, &st, 0) != 0)
		return local_failed(l, text.s, errno);
	clock_gettime(CLOCK_REALTIME, &now);
	if (s->can_hold)
		*seconds = (double)(now.tv_sec - st.st_mtim.tv_sec) +
			   (double)(now.tv_nsec - st.st_mtim.tv_nsec) / 1e9;
	return NULL;
}

/* ---- listing ---- */

struct listing {
	struct local *l;
	int root;
	enum hf_kind kind;
	bool no_sizes;
	bool is_missing; /* the folder of the kind */
	hf_store_list_fn *fn;
	void *arg;
};

/* A missing folder, and a thing that is no folder if `may_be_file`, is *out == NULL. */
static struct hf_err *
open_folder(struct listing *p, const char *path, bool may_be_file, DIR **out)
{
	*out = hf_dir_open(p->root, path, 0);
	if (*out != NULL || errno == ENOENT || (may_be_file && errno == ENOTDIR))
		return NULL;
	return local_failed(p->l, path, errno);
}

/* Passes `file` on if it is one that get() would find. */
static struct hf_err *
list_file(struct listing *p, const char *file, unsigned char type)
{
	struct hf_name name;
	struct stat st;

	if (!hf_name_of_file(p->kind, hf_str(file), &name))
		return NULL;
	if (p->no_sizes && type == DT_REG)
		return p->fn(p->arg, &name, 0);
	struct hf_name_text text = hf_name_text(&name);
	if (fstatat(p->root, text.s, &st, 0) != 0)
		/* Deleted meanwhile, a dangling link, or in the wrong folder of packs. */
		return errno == ENOENT ? NULL : local_failed(p->l, text.s, errno);
	return S_ISREG(st.st_mode) ? p->fn(p->arg, &name, (uint64_t)st.st_size) : NULL;
}

/* The files of the folder `path`; those that begin with `prefix` if that is not NULL. */
static struct hf_err *
list_folder(struct listing *p, const char *path, const char *prefix)
{
	hf_autodir *dir = NULL;
	const struct dirent *d;
	int en = 0;

	HF_TRY(open_folder(p, path, prefix != NULL, &dir));
	if (prefix == NULL)
		p->is_missing = dir == NULL;
	while (dir != NULL && (d = hf_dir_entry(dir, &en)) != NULL)
		if (prefix == NULL || strncmp(d->d_name, prefix, strlen(prefix)) == 0)
			HF_TRY(list_file(p, d->d_name, d->d_type));
	return en != 0 ? local_failed(p->l, path, en) : NULL;
}

static struct hf_err *
list_packs(struct listing *p)
{
	hf_autodir *dir = NULL;
	const char *folder;
	int en = 0;

	HF_TRY(open_folder(p, "data", false, &dir));
	p->is_missing = dir == NULL;
	while (dir != NULL && (folder = hf_dir_next(dir, &en)) != NULL) {
		char path[sizeof "data/ff"];

		if (strlen(folder) != 2 || folder[0] == '.')
			continue;
		snprintf(path, sizeof path, "data/%.2s", folder);
		HF_TRY(list_folder(p, path, path + strlen("data/")));
	}
	return en != 0 ? local_failed(p->l, "data", en) : NULL;
}

static struct hf_err *
list_config(struct listing *p)
{
	struct hf_name name = {.kind = HF_CONFIG};
	struct stat st;

	if (fstatat(p->root, "config", &st, 0) != 0)
		return errno == ENOENT ? NULL : local_failed(p->l, "config", errno);
	return S_ISREG(st.st_mode) ? p->fn(p->arg, &name, (uint64_t)st.st_size) : NULL;
}

static struct hf_err *
list_kind(struct listing *p)
{
	if (p->kind == HF_CONFIG)
		return list_config(p);
	if (p->kind == HF_PACK)
		return list_packs(p);
	return list_folder(p, hf_kind_folder(p->kind), NULL);
}

static struct hf_err *
list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg, bool no_sizes)
{
	struct listing p = {
		.l = local_of(s), .kind = kind, .no_sizes = no_sizes, .fn = fn, .arg = arg};
	struct hf_err *e = local_root(p.l, &p.root);

	if (e != NULL)
		return hf_err_ignore(e, HF_ENOTFOUND);
	HF_TRY(list_kind(&p));
	if (!p.is_missing || !hf_store_doubts(s, kind))
		return NULL;
	HF_TRY(hf_store_find_config(s, kind, look_for_config));
	return list_kind(&p);
}

static struct hf_err *
local_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list(s, kind, fn, arg, false);
}

static struct hf_err *
local_names(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list(s, kind, fn, arg, true);
}

/* ---- the rest ---- */

static void
local_free(struct hf_store *s)
{
	struct local *l = local_of(s);

	if (l->root >= 0)
		close(l->root);
	free(l->store.url);
	free(l);
}

/*
 * Whether the folder is on a file system of this kernel, where every process sees a new name as
 * soon as it is there. Those of a network, and those that hide one behind FUSE, may cache lists.
 */
static bool
is_on_kernel_fs(int fd)
{
	static const unsigned long known[] = {
		0xEF53,     /* ext2, ext3, ext4 */
		0x58465342, /* XFS */
		0x9123683E, /* Btrfs */
		0x2FC12FC1, /* ZFS */
		0xF2F52010, /* F2FS */
		0x01021994, /* tmpfs */
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if ((unsigned long)fs.f_type == known[i])
			return true;
	return false;
}

struct hf_err *
hf_store_local(const char *path, unsigned connections, struct hf_store **out)
{
	static const struct hf_store_ops ops = {local_create, local_put, local_get, local_stat,
		local_list, local_del, local_free, local_age, local_put_held, local_held,
		.names = local_names};
	struct local *l = hf_new(struct local);
	hf_autoptr(hf_store) s = &l->store;
	struct stat st;
	int root;

	l->store = (struct hf_store){.ops = &ops,
		.url = hf_str_dup(hf_str(path)),
		.connections = connections != 0 ? connections : DEFAULT_CONNECTIONS};
	atomic_init(&l->root, -1);
	struct hf_err *e = local_root(l, &root);
	bool is_shared = e == NULL && fstatat(root, "config", &st, 0) == 0 &&
			 (st.st_mode & S_IRGRP) != 0;
	l->store.can_hold = l->store.is_near = e == NULL && is_on_kernel_fs(root);
	l->store.promises = HF_REPLACES_ATOMICALLY | HF_IS_DURABLE |
			    (l->store.can_hold ? HF_LISTS_AT_ONCE | HF_CREATES_IF_ABSENT : 0);
	l->store.within_s = CHANGE_S;
	HF_TRY(hf_err_ignore(e, HF_ENOTFOUND));
	l->folder_mode = is_shared ? 0770 : 0700;
	l->file_mode = is_shared ? 0440 : 0400;
	*out = hf_steal(s);
	return NULL;
}

static struct hf_err *
open_place(
	const char *place, const struct hf_open *o, unsigned connections, struct hf_store **out)
{
	(void)o;
	if (*place == '\0')
		return hf_err(HF_EINVAL, "the name of the repository's folder is empty");
	return hf_store_local(place, connections, out);
}

const struct hf_backend hf_backend_local = {
	.scheme = "local",
	.options = (const struct hf_backend_option[]){{NULL}},
	.connections = DEFAULT_CONNECTIONS,
	.is_local = true,
	.open = open_place,
};
