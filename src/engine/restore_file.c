/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files: made, cut, written and finished. A file of one blob is all of that in one place, with one
 * descriptor. One of several blobs is made by whoever comes first; its descriptor stays open for
 * the others while there are not too many such files.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "base/io.h"
#include "engine/restore_i.h"

enum { PAGE = 4096 };

struct rfile *
restore_file_new(struct rdir *dir, struct hf_str name)
{
	struct rfile *f = hf_alloc_(1, sizeof *f + name.len + 1);

	f->dir = rdir_ref(dir);
	f->fd = -1;
	memcpy(f->name, name.p, name.len);
	return f;
}

static void
file_free(struct rfile *f)
{
	rdir_unref(f->dir);
	restore_meta_clear(&f->meta);
	free(f);
}

static pthread_mutex_t *
lock_of(struct hf_restore *r, const struct rfile *f)
{
	return &r->file_locks[((uintptr_t)f >> 6) % N_FILE_LOCKS];
}

/* Reports the first thing that went wrong with a file; more would only repeat it. */
void
restore_file_fail(struct hf_restore *r, struct rfile *f, struct hf_err *e)
{
	struct rpath path;

	if (atomic_exchange(&f->has_failed, true)) {
		hf_err_free(e);
		return;
	}
	if (!restore_path(f->dir, f->name, &path))
		memcpy(path.s, "?", 2);
	restore_error(r, path.s, e);
}

void
restore_file_dirty(struct hf_restore *r, struct rfile *f)
{
	if (atomic_exchange(&f->is_dirty, true))
		return;
	atomic_fetch_add_explicit(&r->progress.total_files, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->progress.total_bytes, f->size, memory_order_relaxed);
}

/* A new empty file; whatever has its name is removed. -1 with errno. */
static int
create_new(struct hf_restore *r, const struct rfile *f, const char *path, struct hf_err **why)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY;
	int fd = f->must_replace ? -1 : hf_root_openat(&r->root, path, flags, 0600);

	if (fd >= 0 || (errno != EEXIST && !f->must_replace))
		return fd;
	hf_autofd int dir = restore_open_dir(r, f->dir, O_PATH);

	if (dir < 0)
		return -1;
	*why = restore_remove(r, dir, f->name);
	return *why != NULL ? -1 : openat(dir, f->name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* The file that is there, to be changed in place; one that is read-only is made writable. */
static int
open_old(struct hf_restore *r, const struct rfile *f, const char *path)
{
	int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY;
	int fd = hf_root_openat(&r->root, path, flags, 0);

	if (fd >= 0 || errno != EACCES)
		return fd;
	hf_autofd int dir = restore_open_dir(r, f->dir, O_PATH);

	if (dir < 0 || fchmodat(dir, f->name, 0600, AT_SYMLINK_NOFOLLOW) != 0) {
		errno = EACCES;
		return -1;
	}
	return hf_root_openat(&r->root, path, flags, 0);
}

static bool
is_in_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* Gives the file its size, so that what is too long is gone and pieces can come in any order. */
static struct hf_err *
set_size(struct hf_restore *r, const struct rfile *f, int fd, bool is_new)
{
	struct stat st = {0};

	if (!is_new) {
		if (fstat(fd, &st) != 0)
			return hf_err_errno(errno, "stat");
		if (!S_ISREG(st.st_mode))
			return hf_err(HF_EFATAL, "is not a regular file any more");
	}
	if ((uint64_t)st.st_size > f->size || (is_new && r->opt.is_sparse)) {
		if (ftruncate(fd, (off_t)f->size) != 0)
			return hf_err_errno(errno, "setting the size");
		return NULL;
	}
	/*
	 * Room on the disk in one piece, as far as the file system can; in memory it would only be
	 * filled twice. A size that has nothing to do with the number of blobs is not believed.
	 */
	if (f->n_blobs > 1 && f->size / f->n_blobs <= 8 << 20 && !is_in_memory(fd))
		(void)!fallocate(fd, 0, 0, (off_t)f->size);
	return NULL;
}

/* Opens the file for its first write. */
static struct hf_err *
open_first(struct hf_restore *r, struct rfile *f, int *out)
{
	struct hf_err *e = NULL;
	bool is_new = !f->exists || f->must_replace;
	struct rpath path;
	int fd = -1;

	if (restore_path(f->dir, f->name, &path))
		fd = is_new ? create_new(r, f, path.s, &e) : open_old(r, f, path.s);
	if (fd < 0)
		return e != NULL ? e : hf_err_errno(errno, "opening");
	e = set_size(r, f, fd, is_new);
	if (e != NULL) {
		close(fd);
		return e;
	}
	*out = fd;
	return NULL;
}

static struct hf_err *
open_again(struct hf_restore *r, const struct rfile *f, int flags, int *out)
{
	struct rpath path;
	int fd = -1;

	if (restore_path(f->dir, f->name, &path))
		fd = hf_root_openat(&r->root, path.s, flags | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return hf_err_errno(errno, "opening");
	*out = fd;
	return NULL;
}

/* Whether all of it is zero: the first byte is, and each equals the next. */
bool
restore_is_zero(struct hf_bytes b)
{
	return b.len == 0 || (b.p[0] == 0 && memcmp(b.p, b.p + 1, b.len - 1) == 0);
}

/* Writes what is not zero; the file has its size and reads as zeros already. */
static struct hf_err *
write_sparse(int fd, uint64_t off, struct hf_bytes data)
{
	size_t start = 0, i = 0;

	while (i < data.len) {
		size_t n = PAGE - (size_t)((off + i) % PAGE);

		if (n > data.len - i)
			n = data.len - i;
		if (restore_is_zero((struct hf_bytes){data.p + i, n})) {
			if (i > start)
				HF_TRY(hf_pwrite_full(
					fd, data.p + start, i - start, off + start));
			start = i + n;
		}
		i += n;
	}
	if (i > start)
		return hf_pwrite_full(fd, data.p + start, i - start, off + start);
	return NULL;
}

static struct hf_err *
write_at(struct hf_restore *r, const struct rfile *f, int fd, uint64_t off,
	struct hf_bytes data, bool is_zero)
{
	if (r->opt.is_sparse && (!f->exists || f->must_replace))
		return is_zero ? NULL : write_sparse(fd, off, data);
	return hf_pwrite_full(fd, data.p, data.len, off);
}

/*
 * A descriptor for one write. The first of all makes the file, under the lock; it is kept in
 * f->fd unless too many are open, and then *is_own says that the caller closes it. *fd is -1 when
 * the file could not be made earlier, which is not tried again for each of its blobs.
 */
static struct hf_err *
acquire(struct hf_restore *r, struct rfile *f, int *fd, bool *is_own)
{
	pthread_mutex_t *lock = lock_of(r, f);
	struct hf_err *e = NULL;

	*is_own = false;
	pthread_mutex_lock(lock);
	if (f->fd >= 0) {
		*fd = f->fd;
	} else if (!f->is_open_for_all && atomic_load(&f->has_failed)) {
		*fd = -1;
	} else {
		e = f->is_open_for_all ? open_again(r, f, O_WRONLY, fd) : open_first(r, f, fd);
		if (e == NULL) {
			f->is_open_for_all = true;
			if (atomic_fetch_add(&r->n_open, 1) < MAX_OPEN_FILES) {
				f->fd = *fd;
			} else {
				atomic_fetch_sub(&r->n_open, 1);
				*is_own = true;
			}
		}
	}
	pthread_mutex_unlock(lock);
	return e;
}

void
restore_file_write(
	struct hf_restore *r, struct rfile *f, uint64_t off, struct hf_bytes data, bool is_zero)
{
	bool is_own;
	int fd;

	struct hf_err *e = acquire(r, f, &fd, &is_own);

	if (e == NULL && fd < 0)
		return;
	if (e == NULL) {
		e = write_at(r, f, fd, off, data, is_zero);
		if (is_own)
			close(fd);
	}
	if (e != NULL) {
		restore_file_fail(r, f, e);
		return;
	}
	atomic_fetch_add_explicit(&r->progress.bytes_restored, data.len, memory_order_relaxed);
}

void
restore_file_done(struct hf_restore *r, struct rfile *f, uint64_t n)
{
	if (atomic_fetch_sub(&f->left, n) == n)
		restore_file_finish(r, f);
}

/* Sets the metadata of a file whose content is complete, or as complete as it gets. */
static struct hf_err *
finish_meta(struct hf_restore *r, struct rfile *f)
{
	bool is_changed = !f->exists || atomic_load(&f->is_dirty);

	if (f->fd < 0) {
		struct hf_err *e;

		if (is_changed && !f->is_open_for_all)
			e = open_first(r, f, &f->fd); /* empty, or only too long */
		else
			e = open_again(r, f, O_RDONLY, &f->fd);
		if (e != NULL && hf_err_code(e) == HF_EFATAL && f->exists && !is_changed) {
			hf_err_free(e); /* without permission to read, by name */
			hf_autofd int dir = restore_open_dir(r, f->dir, O_PATH);

			return restore_meta_at(r, dir, f->name, &f->meta);
		}
		HF_TRY(e);
		f->is_open_for_all = true;
		atomic_fetch_add(&r->n_open, 1);
	}
	return restore_meta_fd(r, f->fd, &f->meta);
}

static void
count(struct hf_restore *r, struct rfile *f)
{
	bool is_changed = !f->exists || atomic_load(&f->is_dirty);
	struct rpath path;

	if (!restore_path(f->dir, f->name, &path))
		return;
	if (is_changed) {
		uint64_t more = r->opt.is_dry_run ? f->size : atomic_load(&f->bytes_kept);

		atomic_fetch_add_explicit(
			&r->progress.bytes_restored, more, memory_order_relaxed);
		atomic_fetch_add_explicit(&r->progress.files_restored, 1, memory_order_relaxed);
		restore_item(
			r, f->exists ? HF_RESTORE_UPDATED : HF_RESTORE_FILE, path.s, f->size);
	} else {
		atomic_fetch_add_explicit(&r->progress.files_skipped, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(
			&r->progress.bytes_skipped, f->size, memory_order_relaxed);
		restore_item(r, HF_RESTORE_UNCHANGED, path.s, f->size);
	}
	if (is_changed && f->mark != NULL) {
		atomic_fetch_or(&f->mark->bits, f->mark_bit);
		atomic_fetch_add(&r->progress.files_to_verify, 1);
	}
}

void
restore_file_finish(struct hf_restore *r, struct rfile *f)
{
	if (r->is_verifying) {
		if (!atomic_load(&f->has_failed) && !restore_is_stopped(r))
			atomic_fetch_add(&r->progress.files_verified, 1);
	} else if (!restore_is_stopped(r)) {
		/* Where not even the file could be made there is nothing to adorn. */
		bool is_there = f->is_open_for_all || !atomic_load(&f->has_failed);

		if (!r->opt.is_dry_run && is_there) {
			struct hf_err *e = finish_meta(r, f);

			if (e != NULL)
				restore_file_fail(r, f, e);
		}
		if (!atomic_load(&f->has_failed))
			count(r, f);
	}
	if (f->fd >= 0) {
		atomic_fetch_sub(&r->n_open, 1);
		if (close(f->fd) != 0 && !restore_is_stopped(r))
			restore_file_fail(r, f, hf_err_errno(errno, "closing"));
	}
	file_free(f);
}
