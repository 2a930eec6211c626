/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All names are looked up below one descriptor of the repository's folder, so that a relative
 * path keeps its meaning and a folder that is moved away meanwhile does not split a repository.
 */
#include "store/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/dir.h"
#include "base/io.h"

enum {
	DEFAULT_CONNECTIONS = 2,
	TEMP_TRIES = 100,
	CHANGE_S = 5, /* a rename or an unlink; a disk that takes longer is about to fail */
};

struct local {
	struct hf_store store; /* its url is the path */
	mode_t folder_mode;    /* of new folders, minus umask */
	mode_t file_mode;      /* of finished files */
	atomic_int root;       /* -1 while the folder was not there yet; see open_root() */
};

/* A name without and with a temporary's suffix. */
struct temp_text {
	char s[sizeof(struct hf_name_text) + sizeof "-tmp-4294967295"];
};

static struct local *
local_of(struct hf_store *s)
{
	return hf_container_of(s, struct local, store);
}

/* The error for `path` below the repository, or for the repository itself. */
static struct hf_err *
failed(struct local *l, const char *path, int en)
{
	return hf_err_errno(
		en, "%s%s%s", l->store.url, path != NULL ? "/" : "", path != NULL ? path : "");
}

/*
 * The descriptor of the repository's folder, opened by whoever comes first after the folder came
 * into being. HF_ENOTFOUND: it is not there.
 */
static struct hf_err *
open_root(struct local *l, int *out)
{
	int fd = atomic_load(&l->root);

	if (fd < 0) {
		int none = -1;

		fd = TEMP_FAILURE_RETRY(open(l->store.url, O_PATH | O_DIRECTORY | O_CLOEXEC));
		if (fd < 0 && errno == ENOTDIR)
			return hf_err(HF_EFATAL, "%s is not a folder", l->store.url);
		if (fd < 0)
			return failed(l, NULL, errno);
		if (!atomic_compare_exchange_strong(&l->root, &none, fd)) {
			close(fd);
			fd = none;
		}
	}
	*out = fd;
	return NULL;
}

/* ---- folders ---- */

/*
 * Makes names in a folder survive a power cut; not every file system knows how, and a folder that
 * is gone has no names. Returns 0 or an errno value.
 */
static int
sync_folder(int at, const char *path)
{
	hf_autofd int fd =
		TEMP_FAILURE_RETRY(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	if (fd >= 0 && TEMP_FAILURE_RETRY(fsync(fd)) == 0)
		return 0;
	return errno == ENOTSUP || errno == ENOENT || errno == EINVAL ? 0 : errno;
}

/* Cuts the last part off `path`; what is left is the folder that it is in. */
static const char *
cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		return ".";
	slash[slash == path] = '\0';
	return path;
}

/* Makes one folder unless it is there, durably. Returns 0 or an errno value. */
static int
make_folder(int at, const char *path, mode_t mode)
{
	if (mkdirat(at, path, mode) != 0)
		return errno == EEXIST ? 0 : errno;
	hf_autofree char *parent = hf_str_dup(hf_str(path));
	return sync_folder(at, cut_last(parent));
}

/* The same for `path` and all folders above it. */
static int
make_folders(int at, const char *path, mode_t mode)
{
	hf_autofree char *p = hf_str_dup(hf_str(path));

	for (char *end = p; (end = strchr(end + 1, '/')) != NULL; *end = '/') {
		*end = '\0';
		int en = make_folder(at, p, mode);
		if (en != 0)
			return en;
	}
	return make_folder(at, p, mode);
}

static struct hf_err *
make_root(struct local *l, int *out)
{
	struct hf_err *e = open_root(l, out);

	if (e == NULL || hf_err_code(e) != HF_ENOTFOUND)
		return e;
	hf_err_free(e);
	int en = make_folders(AT_FDCWD, l->store.url, l->folder_mode);
	if (en != 0)
		return failed(l, NULL, en);
	return open_root(l, out);
}

static struct hf_err *
local_create(struct hf_store *s)
{
	struct local *l = local_of(s);
	int root;

	HF_TRY(make_root(l, &root));
	for (unsigned kind = 0; kind < HF_KINDS; kind++) {
		const char *folder = hf_kind_folder(kind);
		int en = folder != NULL ? make_folder(root, folder, l->folder_mode) : 0;

		if (en != 0)
			return failed(l, folder, en);
	}
	for (unsigned i = 0; i < 256; i++) {
		char path[sizeof "data/ff"];

		snprintf(path, sizeof path, "data/%02x", i & 0xff);
		/* Not make_folder(): one fsync for all of them is enough. */
		if (mkdirat(root, path, l->folder_mode) != 0 && errno != EEXIST)
			return failed(l, path, errno);
	}
	int en = sync_folder(root, "data");
	return en != 0 ? failed(l, "data", en) : NULL;
}

/* ---- writing ---- */

/* A new file beside `name`; the folder is made if need be. Returns 0 or an errno value. */
static int
open_temp(struct local *l, int root, const char *name, struct temp_text *temp, int *out)
{
	bool made = false;

	for (int i = 0; i < TEMP_TRIES; i++) {
		uint32_t number;

		hf_random(&number, sizeof number);
		snprintf(temp->s, sizeof temp->s, "%s-tmp-%u", name, number);
		int fd = TEMP_FAILURE_RETRY(
			openat(root, temp->s, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
		if (fd >= 0) {
			*out = fd;
			return 0;
		}
		if (errno == ENOENT && !made) {
			hf_autofree char *folder = hf_str_dup(hf_str(name));
			int en = make_folders(root, cut_last(folder), l->folder_mode);

			if (en != 0)
				return en;
			made = true;
		} else if (errno != EEXIST) {
			return errno;
		}
	}
	return EEXIST;
}

/* Closing tells more: network file systems report a full disk there. */
static struct hf_err *
close_file(int fd)
{
	/* EINTR: Linux has closed it all the same. */
	if (close(fd) != 0 && errno != EINTR)
		return hf_err_errno(errno, "close");
	return NULL;
}

/* Writes and syncs. */
static struct hf_err *
fill(int fd, struct hf_bytes data, bool *can_sync)
{
	/* One piece on disk if there is one; where that fails, writing tells why. */
	if (data.len > 0)
		(void)fallocate(fd, 0, 0, (off_t)data.len);
	HF_TRY(hf_write_full(fd, data.p, data.len));
	*can_sync = TEMP_FAILURE_RETRY(fsync(fd)) == 0;
	if (!*can_sync && errno != ENOTSUP)
		return hf_err_errno(errno, "fsync");
	return NULL;
}

/*
 * A read lock that belongs to the open file, not to the process: closing another descriptor of
 * the file does not end it, as it would end a classical one (fcntl(2), open file description
 * locks).
 */
static struct hf_err *
mark(int fd)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
		return hf_err_errno(errno, "marking");
	return NULL;
}

/* Gives the file its name unless that is taken; -1 with errno. Not all file systems know how to. */
static int
rename_new(int root, const char *temp, const char *name)
{
	if (renameat2(root, temp, root, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (linkat(root, temp, root, name, 0) == 0)
		return unlinkat(root, temp, 0);
	return errno == EEXIST ? -1 : renameat(root, temp, root, name);
}

/* Gives the finished file its name. */
static struct hf_err *
publish(struct local *l, int root, const char *temp, const struct hf_name *what,
	const char *name, bool can_sync)
{
	if ((what->is_new ? rename_new(root, temp, name) : renameat(root, temp, root, name)) !=
		0)
		return errno == EEXIST ? hf_err(HF_EEXISTS, "there is a file of that name")
				       : hf_err_errno(errno, "rename");
	if (can_sync) {
		hf_autofree char *folder = hf_str_dup(hf_str(name));
		int en = sync_folder(root, cut_last(folder));

		if (en != 0)
			return hf_err_errno(en, "fsync of the folder");
	}
	/* Only now: some network file systems do not rename what is read-only. */
	if (fchmodat(root, name, l->file_mode, 0) != 0 && errno != EPERM && errno != EACCES)
		return hf_err_errno(errno, "chmod");
	return NULL;
}

static bool
is_the_same(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	hf_auto(hf_buf) there = HF_BUF_SPOOL(data.len + 1);
	hf_autoptr(hf_err) e = s->ops->get(s, name, 0, SIZE_MAX, &there);

	return e == NULL && hf_bytes_eq(hf_buf_bytes(&there), data);
}

/* With `kept`, the file is marked before it has its name, and stays open as *kept. */
static struct hf_err *
put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *kept)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	struct temp_text temp;
	bool can_sync = true;
	int root;
	hf_autofd int fd = -1;

	HF_TRY(make_root(l, &root));
	int en = open_temp(l, root, text.s, &temp, &fd);
	if (en != 0)
		return hf_err_errno(en, "%s/%s: creating", l->store.url, text.s);
	struct hf_err *e = fill(fd, data, &can_sync);
	if (e == NULL)
		e = kept != NULL ? mark(fd) : close_file(hf_steal_fd(&fd));
	/* Syncing may have taken minutes. */
	if (e == NULL)
		e = hf_store_pass(s, name, false, data.len);
	if (e == NULL)
		e = publish(l, root, temp.s, name, text.s, can_sync);
	if (e != NULL && hf_err_code(e) == HF_EEXISTS && is_the_same(s, name, data)) {
		hf_err_free(e); /* written by an earlier try */
		(void)unlinkat(root, temp.s, 0);
		return NULL;
	}
	if (e != NULL)
		(void)unlinkat(root, temp.s, 0); /* no longer there if the rename was done */
	else if (kept != NULL)
		*kept = hf_steal_fd(&fd);
	return hf_err_in(e, "%s/%s", l->store.url, text.s);
}

static struct hf_err *
local_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	return put(s, name, data, NULL);
}

static struct hf_err *
local_put_held(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd)
{
	return put(s, name, data, fd);
}

/*
 * F_OFD_GETLK asks for a write lock and is told who is in the way; the file may be read-only for
 * us, since nothing is taken.
 */
static enum hf_held
local_held(struct hf_store *s, const struct hf_name *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int root;
	hf_autoptr(hf_err) e = open_root(local_of(s), &root);

	if (e != NULL)
		return HF_HELD_UNKNOWN;
	hf_autofd int fd = TEMP_FAILURE_RETRY(openat(
		root, hf_name_text(name).s, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return HF_HELD_UNKNOWN;
	return lock.l_type == F_UNLCK ? HF_HELD_NO : HF_HELD_YES;
}

/* ---- reading ---- */

static struct hf_err *
local_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	struct stat st;
	size_t got;
	int root;

	HF_TRY(open_root(l, &root));
	/* Without O_NONBLOCK, a FIFO under the name of a file would hold us for ever. */
	hf_autofd int fd = TEMP_FAILURE_RETRY(
		openat(root, text.s, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd < 0 || fstat(fd, &st) != 0)
		return failed(l, text.s, errno);
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
	return NULL;
}

static struct hf_err *
local_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	struct stat st;
	int root;

	HF_TRY(open_root(l, &root));
	if (fstatat(root, text.s, &st, 0) != 0)
		return failed(l, text.s, errno);
	if (!S_ISREG(st.st_mode))
		return hf_err(HF_EFATAL, "%s/%s: not a regular file", l->store.url, text.s);
	*size = (uint64_t)st.st_size;
	return NULL;
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

	HF_TRY(open_root(l, &root));
	if (fstatat(root, text.s, &st, 0) != 0)
		return failed(l, text.s, errno);
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
	return failed(p->l, path, errno);
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
		return errno == ENOENT ? NULL : failed(p->l, text.s, errno);
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
	while (dir != NULL && (d = hf_dir_entry(dir, &en)) != NULL)
		if (prefix == NULL || strncmp(d->d_name, prefix, strlen(prefix)) == 0)
			HF_TRY(list_file(p, d->d_name, d->d_type));
	return en != 0 ? failed(p->l, path, en) : NULL;
}

static struct hf_err *
list_packs(struct listing *p)
{
	hf_autodir *dir = NULL;
	const char *folder;
	int en = 0;

	HF_TRY(open_folder(p, "data", false, &dir));
	while (dir != NULL && (folder = hf_dir_next(dir, &en)) != NULL) {
		char path[sizeof "data/ff"];

		if (strlen(folder) != 2 || folder[0] == '.')
			continue;
		snprintf(path, sizeof path, "data/%.2s", folder);
		HF_TRY(list_folder(p, path, path + strlen("data/")));
	}
	return en != 0 ? failed(p->l, "data", en) : NULL;
}

static struct hf_err *
list_config(struct listing *p)
{
	struct hf_name name = {.kind = HF_CONFIG};
	struct stat st;

	if (fstatat(p->root, "config", &st, 0) != 0)
		return errno == ENOENT ? NULL : failed(p->l, "config", errno);
	return S_ISREG(st.st_mode) ? p->fn(p->arg, &name, (uint64_t)st.st_size) : NULL;
}

static struct hf_err *
list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg, bool no_sizes)
{
	struct listing p = {
		.l = local_of(s), .kind = kind, .no_sizes = no_sizes, .fn = fn, .arg = arg};
	struct hf_err *e = open_root(p.l, &p.root);

	if (e != NULL)
		return hf_err_ignore(e, HF_ENOTFOUND);
	if (kind == HF_CONFIG)
		return list_config(&p);
	if (kind == HF_PACK)
		return list_packs(&p);
	return list_folder(&p, hf_kind_folder(kind), NULL);
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

static struct hf_err *
local_del(struct hf_store *s, const struct hf_name *name)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	int root;

	HF_TRY(open_root(l, &root));
	if (unlinkat(root, text.s, 0) != 0)
		return failed(l, text.s, errno);
	if (name->kind == HF_PACK || name->kind == HF_LOCK)
		return NULL;
	int en = sync_folder(root, cut_last(text.s));
	return en != 0 ? failed(l, text.s, en) : NULL;
}

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
	struct hf_err *e = open_root(l, &root);
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
