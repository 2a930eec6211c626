/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the base of the cache, marks of use, and the two small records beside the copies. */
#include "store/cache_base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/host.h"
#include "base/io.h"

/* bford.info/cachedir: the first 43 bytes of the file decide. */
static const char tag[] = "Signature: 8a477f597d28d172789f06886806bc55\n";

struct hf_err *
hf_cache_check_owner(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return hf_err_errno(errno, "%s", path);
	if (st.st_uid != geteuid()) {
		hf_autofree char *owner = hf_user_name(st.st_uid);
		hf_autofree char *self = hf_user_name(geteuid());

		return hf_err(HF_EFATAL,
			"cache directory %s belongs to %s, and this is %s; another one can be "
			"named with --cache-dir",
			path, owner, self);
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return hf_err(HF_EFATAL,
			"cache directory %s can be written by others (mode %04o); chmod 0700 "
			"makes it private",
			path, (unsigned)st.st_mode & 07777);
	return NULL;
}

/* Makes `path` and the folders above it; of those it does not matter why one cannot be made. */
static int
make_path(const char *path, bool *is_new)
{
	hf_autofree char *part = hf_str_dup(hf_str(path));
	size_t len = strlen(part);

	for (size_t i = 1; i <= len; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		char c = part[i];

		part[i] = '\0';
		*is_new = mkdir(part, 0700) == 0;
		if (i == len && !*is_new && errno != EEXIST)
			return errno;
		part[i] = c;
	}
	return 0;
}

/* An existing tag is left alone, whatever it says; without one the cache works as well. */
static void
write_tag(const struct hf_cache_base *b)
{
	hf_autofd int fd = openat(b->root.fd, "CACHEDIR.TAG",
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd >= 0)
		hf_err_free(hf_write_full(fd, tag, sizeof tag - 1));
}

static void
open_side(struct hf_cache_base *b)
{
	b->side = (struct hf_root){-1, b->root.has_openat2};
	if (mkdirat(b->root.fd, ".holdfast", 0700) != 0 && errno != EEXIST)
		return;
	b->side.fd = openat(
		b->root.fd, ".holdfast", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	hf_autoptr(hf_err) e =
		b->side.fd >= 0 ? hf_cache_check_owner(b->side.fd, ".holdfast") : NULL;
	if (e != NULL)
		hf_root_clear(&b->side);
}

struct hf_err *
hf_cache_base_open(const char *path, bool make, struct hf_cache_base *out)
{
	struct hf_cache_base b = {.root = {-1}, .side = {-1}};
	int en = make ? make_path(path, &b.is_new) : 0;

	if (en != 0)
		return hf_err_errno(en, "making the cache directory %s", path);
	HF_TRY(hf_err_in(hf_root_open(path, &b.root), "cache directory"));
	struct hf_err *e = hf_cache_check_owner(b.root.fd, path);
	if (e != NULL) {
		hf_root_clear(&b.root);
		return e;
	}
	if (make) {
		write_tag(&b);
		open_side(&b);
	} else {
		b.side = (struct hf_root){
			.fd = openat(b.root.fd, ".holdfast",
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
			.has_openat2 = b.root.has_openat2};
	}
	*out = b;
	return NULL;
}

void
hf_cache_base_clear(struct hf_cache_base *b)
{
	hf_root_clear(&b->root);
	hf_root_clear(&b->side);
}

bool
hf_cache_disk(const struct hf_cache_base *b, uint64_t *free_bytes, uint64_t *all_bytes)
{
	struct statvfs fs;

	if (TEMP_FAILURE_RETRY(fstatvfs(b->root.fd, &fs)) != 0)
		return false;
	*free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	*all_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	return true;
}

/* ---- marks and records ---- */

/* Opens a file of .holdfast; -1: not to be had. */
static int
open_record(const struct hf_cache_base *b, const char *name, int flags)
{
	if (b->side.fd < 0)
		return -1;
	return TEMP_FAILURE_RETRY(openat(b->side.fd, name,
		flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
}

int
hf_cache_base_mark(const struct hf_cache_base *b, const char *repo)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	char name[96];
	struct stat st;

	snprintf(name, sizeof name, "%s.use", repo);
	/* Whoever cleans up deletes the file under a lock: then ours is on one without a name. */
	for (int i = 0; i < 3; i++) {
		int fd = open_record(b, name, O_RDWR | O_CREAT);

		if (fd < 0)
			return -1;
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0 && fstat(fd, &st) == 0 &&
			st.st_nlink > 0)
			return fd;
		close(fd);
	}
	return -1;
}

/* A record is so many bytes, the first eight of which say what it is. */
enum { RECORD_TRIES = 10, RECORD_PAUSE_NS = 1000000 };

struct rate_record {
	char magic[8];
	uint64_t hits, misses;
};

struct usage_record {
	char magic[8];
	uint64_t bytes;
	int64_t looked_at;
};

/* False: not there, or not one of ours; then `r` is zeroed. */
static bool
read_record(int fd, const char *magic, void *r, size_t len)
{
	size_t got = 0;
	hf_autoptr(hf_err) e = fd >= 0 ? hf_pread_full(fd, r, len, 0, &got) : NULL;

	if (e == NULL && got == len && memcmp(r, magic, 8) == 0)
		return true;
	memset(r, 0, len);
	return false;
}

void
hf_cache_rate_read(const struct hf_cache_base *b, const char *repo, struct hf_cache_rate *out)
{
	struct rate_record r;
	char name[96];

	snprintf(name, sizeof name, "%s.rate", repo);
	hf_autofd int fd = open_record(b, name, O_RDONLY);
	read_record(fd, "hf.rate1", &r, sizeof r);
	*out = (struct hf_cache_rate){r.hits, r.misses};
}

void
hf_cache_rate_add(
	const struct hf_cache_base *b, const char *repo, const struct hf_cache_rate *more)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct rate_record r;
	char name[96];

	snprintf(name, sizeof name, "%s.rate", repo);
	hf_autofd int fd = open_record(b, name, O_RDWR | O_CREAT);
	/* Never waits for long: whoever has the lock may have been stopped. */
	for (int i = 0; fd >= 0 && i < RECORD_TRIES; i++) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
			read_record(fd, "hf.rate1", &r, sizeof r);
			memcpy(r.magic, "hf.rate1", 8);
			r.hits += more->hits;
			r.misses += more->misses;
			hf_err_free(hf_pwrite_full(fd, &r, sizeof r, 0));
			return;
		}
		nanosleep(&(struct timespec){.tv_nsec = RECORD_PAUSE_NS}, NULL);
	}
}

void
hf_cache_usage_read(const struct hf_cache_base *b, struct hf_cache_usage *out)
{
	struct usage_record r;
	hf_autofd int fd = open_record(b, "usage", O_RDONLY);

	read_record(fd, "hf.usag1", &r, sizeof r);
	*out = (struct hf_cache_usage){r.bytes, r.looked_at};
}

/* An estimate: of two processes that write at once one is lost, until the next look. */
void
hf_cache_usage_write(const struct hf_cache_base *b, const struct hf_cache_usage *usage)
{
	struct usage_record r = {.bytes = usage->bytes, .looked_at = usage->looked_at};
	hf_autofd int fd = open_record(b, "usage", O_WRONLY | O_CREAT);

	memcpy(r.magic, "hf.usag1", 8);
	if (fd >= 0)
		hf_err_free(hf_pwrite_full(fd, &r, sizeof r, 0));
}
