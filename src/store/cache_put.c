/* SPDX-License-Identifier: BSD-2-Clause */
/* Adding copies, and what stands against it: errors, full disks, limits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "store/cache_dir_i.h"

enum {
	REST_S = 60,        /* after a full disk */
	MAX_STRIKES = 3,    /* then no more is published */
	EVICT_PAUSE_S = 10, /* between two evictions that did not help */
};

/* ---- what goes wrong ---- */

/* The one sentence about a cache to which nothing can be added. */
static void
say_closed(struct hf_cache *c, const char *why)
{
	if (!atomic_exchange(&c->has_said, true))
		hf_cache_say(c,
			"Warning: cache directory %s: %s; going on without adding to it",
			c->path, why);
}

/* Something that may pass, like a full disk; a few times. */
static void
strike(struct hf_cache *c)
{
	if (atomic_fetch_add(&c->strikes, 1) + 1 >= MAX_STRIKES)
		atomic_store(&c->is_closed, true);
	atomic_store(&c->rests_until, cache_seconds(CLOCK_BOOTTIME) + REST_S);
}

/* Publishing failed: decides whether to try again, soon, later or never. */
static void
failed(struct hf_cache *c, int en)
{
	char words[128];

	switch (en) {
	case 0:
	case ENOENT: /* somebody removed a folder; the next one makes it again */
	case EINTR:
	case EMFILE: /* ours or the machine's want of a moment */
	case ENFILE:
	case ENOMEM:
		return;
	case ELOOP: /* something else lies in the place of one folder */
	case ENOTDIR:
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		atomic_store(&c->is_closed, true);
		break;
	default:
		strike(c);
	}
	say_closed(c, strerror_r(en, words, sizeof words));
}

/* ---- room ---- */

void
cache_evict(struct hf_cache *c)
{
	int64_t now = cache_seconds(CLOCK_BOOTTIME);
	uint64_t left;

	if (now < atomic_load(&c->evict_after) || pthread_mutex_trylock(&c->evicting) != 0)
		return;
	uint64_t published = atomic_load(&c->published);
	if (hf_cache_evict(&cache_place_of(c)->base, c->limit, c->floor, &left)) {
		atomic_fetch_sub(&c->published, published);
		atomic_store(&c->usage, left);
		atomic_store(&c->looked_at, cache_seconds(CLOCK_REALTIME));
		if (left > c->limit)
			atomic_store(&c->evict_after, now + EVICT_PAUSE_S);
	} else {
		atomic_store(&c->evict_after, now + 1);
	}
	pthread_mutex_unlock(&c->evicting);
}

bool
cache_is_over(struct hf_cache *c)
{
	return atomic_load(&c->usage) + atomic_load(&c->published) > c->limit;
}

/* Whether the disk has room for so many bytes more, and leaves the rest its own. */
static bool
has_room(struct hf_cache *c, uint64_t size)
{
	uint64_t free_bytes, all;

	for (int i = 0; i < 2; i++) {
		if (!hf_cache_disk(&cache_place_of(c)->base, &free_bytes, &all) ||
			(free_bytes >= c->floor && free_bytes - c->floor >= size))
			return true;
		if (i == 0) {
			int64_t pause = cache_seconds(CLOCK_BOOTTIME) + EVICT_PAUSE_S;

			cache_evict(c);
			atomic_store(&c->evict_after, pause);
		}
	}
	failed(c, ENOSPC);
	return false;
}

/* ---- publishing ---- */

/* The folder of a copy, made if it is missing; -1 with errno. ENOENT: the repository's is gone. */
static int
open_shard(struct cache_place *p, const struct hf_name *name, const struct cache_copy_text *t)
{
	for (int i = 0; i < 2; i++) {
		int fd = hf_root_openat(&p->repo, t->shard, O_RDONLY | O_DIRECTORY, 0);

		if (fd >= 0 || errno != ENOENT)
			return fd;
		const char *kind = hf_kind_folder(name->kind);

		if (mkdirat(p->repo.fd, kind, 0700) != 0 && errno != EEXIST)
			return -1;
		hf_autofd int above = hf_root_openat(&p->repo, kind, O_PATH | O_DIRECTORY, 0);
		if (above < 0 || (mkdirat(above, strchr(t->shard, '/') + 1, 0700) != 0 &&
					 errno != EEXIST))
			return -1;
	}
	errno = ENOENT;
	return -1;
}

/*
 * A file without a name: if this process dies, nothing of it remains. Where the file system cannot
 * do that, one with a name that tells who made it.
 */
static int
open_temp(struct hf_cache *c, struct hf_cache_put *put)
{
	put->temp[0] = '\0';
	if (!atomic_load(&c->has_no_tmpfile)) {
		put->fd = openat(put->shard, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (put->fd >= 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
			return errno;
		atomic_store(&c->has_no_tmpfile, true);
	}
	struct hf_cache_temp temp = hf_cache_temp_name();

	put->fd = openat(
		put->shard, temp.s, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (put->fd < 0)
		return errno;
	memcpy(put->temp, temp.s, sizeof put->temp);
	return 0;
}

static void
put_clear(struct hf_cache_put *put)
{
	if (put->temp[0] != '\0')
		(void)unlinkat(put->shard, put->temp, 0);
	if (put->fd >= 0)
		close(put->fd);
	if (put->shard >= 0)
		close(put->shard);
	*put = (struct hf_cache_put){-1, -1, ""};
}

bool
hf_cache_put_begin(
	struct hf_cache *c, const struct hf_name *name, uint64_t size, struct hf_cache_put *put)
{
	struct cache_copy_text t = cache_copy_text(name);

	*put = (struct hf_cache_put){-1, -1, ""};
	if (atomic_load(&c->is_closed) ||
		cache_seconds(CLOCK_BOOTTIME) < atomic_load(&c->rests_until) ||
		!has_room(c, size))
		return false;
	put->shard = open_shard(cache_place_of(c), name, &t);
	if (put->shard < 0 && errno == ENOENT) {
		cache_reopen(c);
		put->shard = open_shard(cache_place_of(c), name, &t);
	}
	int en = put->shard < 0 ? errno : open_temp(c, put);
	if (en == 0)
		return true;
	failed(c, en);
	put_clear(put);
	return false;
}

bool
hf_cache_put_add(struct hf_cache *c, struct hf_cache_put *put, struct hf_bytes bytes)
{
	hf_autoptr(hf_err) e = hf_write_full(put->fd, bytes.p, bytes.len);

	if (e == NULL)
		return true;
	strike(c);
	say_closed(c, hf_err_text(e));
	return false;
}

bool
hf_cache_put_read(struct hf_cache_put *put, uint64_t off, size_t len, struct hf_buf *out)
{
	size_t before = out->len, got = 0;
	hf_autoptr(hf_err) e = hf_buf_reserve(out, len);

	if (e == NULL)
		e = hf_pread_full(put->fd, out->p + before, len, off, &got);
	if (e != NULL || got < len)
		return false;
	out->len = before + len;
	return true;
}

/*
 * The step by which the copy comes to be (1). Under a name that exists lies the same content (2),
 * or a damaged copy, which its next reader drops.
 */
static int
give_name(struct hf_cache *c, struct hf_cache_put *put, const char *file)
{
	char self[32];

	if (put->temp[0] != '\0') {
		if (renameat(put->shard, put->temp, put->shard, file) != 0)
			return errno;
		put->temp[0] = '\0';
		return 0;
	}
	snprintf(self, sizeof self, "/proc/self/fd/%d", put->fd);
	if (linkat(AT_FDCWD, self, put->shard, file, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST)
		return 0;
	/* Without /proc, or on a file system that takes nothing back from it. */
	int en = errno;
	struct stat st;
	if (en == ENOENT && fstat(put->shard, &st) == 0 && st.st_nlink > 0)
		atomic_store(&c->has_no_tmpfile, true);
	return en;
}

bool
hf_cache_put_end(
	struct hf_cache *c, struct hf_cache_put *put, const struct hf_name *name, bool is_whole)
{
	struct cache_copy_text t = cache_copy_text(name);
	struct stat st = {0};
	int en = is_whole ? give_name(c, put, t.file.s) : -1;

	if (en == 0 && fstat(put->fd, &st) == 0)
		atomic_fetch_add(&c->published, hf_cache_blocks((uint64_t)st.st_size));
	put_clear(put);
	if (en > 0)
		failed(c, en);
	if (en == 0 && cache_is_over(c))
		cache_evict(c);
	return en == 0;
}
