/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever changes a repository in a folder: its folders, files that get their name when they are
 * whole and durable, the kernel's mark on those that are held, and deletions.
 */
#include "store/local_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"

enum { TEMP_TRIES = 100 };

/* A name without and with a temporary's suffix. */
struct temp_text {
	char s[sizeof(struct hf_name_text) + sizeof "-tmp-4294967295"];
};

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
	struct hf_err *e = local_root(l, out);

	if (e == NULL || hf_err_code(e) != HF_ENOTFOUND)
		return e;
	hf_err_free(e);
	int en = make_folders(AT_FDCWD, l->store.url, l->folder_mode);
	if (en != 0)
		return local_failed(l, NULL, en);
	return local_root(l, out);
}

struct hf_err *
local_create(struct hf_store *s)
{
	struct local *l = local_of(s);
	int root;

	HF_TRY(make_root(l, &root));
	for (unsigned kind = 0; kind < HF_KINDS; kind++) {
		const char *folder = hf_kind_folder(kind);
		int en = folder != NULL ? make_folder(root, folder, l->folder_mode) : 0;

		if (en != 0)
			return local_failed(l, folder, en);
	}
	for (unsigned i = 0; i < 256; i++) {
		char path[sizeof "data/ff"];

		snprintf(path, sizeof path, "data/%02x", i & 0xff);
		/* Not make_folder(): one fsync for all of them is enough. */
		if (mkdirat(root, path, l->folder_mode) != 0 && errno != EEXIST)
			return local_failed(l, path, errno);
	}
	int en = sync_folder(root, "data");
	return en != 0 ? local_failed(l, "data", en) : NULL;
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
	/*
	 * Only now: some network file systems do not rename what is read-only. Who has deleted it
	 * meanwhile, as a lock by force, has deleted a file that was there.
	 */
	if (fchmodat(root, name, l->file_mode, 0) != 0 && errno != EPERM && errno != EACCES &&
		errno != ENOENT)
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
	if (e == NULL)
		hf_store_saw(s, name, true);
	if (e != NULL)
		(void)unlinkat(root, temp.s, 0); /* no longer there if the rename was done */
	else if (kept != NULL)
		*kept = hf_steal_fd(&fd);
	return hf_err_in(e, "%s/%s", l->store.url, text.s);
}

struct hf_err *
local_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	return put(s, name, data, NULL);
}

struct hf_err *
local_put_held(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd)
{
	return put(s, name, data, fd);
}

/*
 * F_OFD_GETLK asks for a write lock and is told who is in the way; the file may be read-only for
 * us, since nothing is taken.
 */
enum hf_held
local_held(struct hf_store *s, const struct hf_name *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int root;
	hf_autoptr(hf_err) e = local_root(local_of(s), &root);

	if (e != NULL)
		return HF_HELD_UNKNOWN;
	hf_autofd int fd = TEMP_FAILURE_RETRY(openat(
		root, hf_name_text(name).s, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return HF_HELD_UNKNOWN;
	return lock.l_type == F_UNLCK ? HF_HELD_NO : HF_HELD_YES;
}

/* ---- deleting ---- */

struct hf_err *
local_del(struct hf_store *s, const struct hf_name *name)
{
	struct local *l = local_of(s);
	struct hf_name_text text = hf_name_text(name);
	int root;

	hf_store_saw(s, name, false);
	HF_TRY(local_root(l, &root));
	if (unlinkat(root, text.s, 0) != 0)
		return local_failed(l, text.s, errno);
	if (name->kind == HF_PACK || name->kind == HF_LOCK)
		return NULL;
	int en = sync_folder(root, cut_last(text.s));
	return en != 0 ? local_failed(l, text.s, en) : NULL;
}
