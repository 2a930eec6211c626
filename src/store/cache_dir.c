/* SPDX-License-Identifier: BSD-2-Clause */
/* The copies of one repository: opening the folder, reading, dropping. */
#include "store/cache_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "store/cache_dir_i.h"

enum {
	TOUCH_AFTER_S = 600, /* how exactly the time of the last use is known */
	LOOK_AFTER_S = 3600, /* since others fill the cache as well */
};
static const uint64_t max_limit = UINT64_C(20) << 30, max_floor = UINT64_C(1) << 30;
static const size_t max_names = UINT64_C(4) << 20;

void
hf_cache_say(struct hf_cache *c, const char *fmt, ...)
{
	hf_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (text != NULL && c->say != NULL)
		c->say(c->say_arg, text);
}

/* ---- opening ---- */

/* "1", or what makes no sense (an empty file, after a full disk): that is as good as none. */
static struct hf_err *
check_version(const struct hf_root *repo, bool *is_good)
{
	char text[32] = "";
	size_t got = 0;
	hf_autofd int fd = hf_root_openat(repo, "version", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	hf_autoptr(hf_err) e =
		fd >= 0 ? hf_pread_full(fd, text, sizeof text - 1, 0, &got) : NULL;

	*is_good = e == NULL && strcmp(text, "1") == 0;
	if (e != NULL || *is_good || got == 0 || got > 3 || *text == '0' ||
		strspn(text, "0123456789") != got)
		return NULL;
	return hf_err(HF_EFATAL,
		"the cache has format %s, which a newer program made; this one knows format 1",
		text);
}

/* By way of a file without a name, of which nothing remains if this process dies. */
static bool
link_version(const struct hf_root *repo)
{
	hf_autofd int fd = openat(repo->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
	hf_autoptr(hf_err) e = fd >= 0 ? hf_write_full(fd, "1", 1) : NULL;
	char self[32];

	if (fd < 0 || e != NULL)
		return false;
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, repo->fd, "version", AT_SYMLINK_FOLLOW) == 0;
}

/* All at once, so that nobody ever reads half a number; what is there and wrong is replaced. */
static void
write_version(const struct hf_root *repo)
{
	if (link_version(repo))
		return;
	struct hf_cache_temp temp = hf_cache_temp_name();
	hf_autofd int fd = openat(
		repo->fd, temp.s, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	hf_autoptr(hf_err) e = fd >= 0 ? hf_write_full(fd, "1", 1) : NULL;

	if (fd >= 0 && (e != NULL || renameat(repo->fd, temp.s, repo->fd, "version") != 0))
		(void)unlinkat(repo->fd, temp.s, 0);
}

static void
place_clear(struct cache_place *p)
{
	hf_root_clear(&p->repo);
	hf_cache_base_clear(&p->base);
	if (p->mark >= 0)
		close(p->mark);
	p->mark = -1;
}

static struct hf_err *
open_repo(struct cache_place *p, const struct hf_cache *c, bool *is_new)
{
	struct stat st;
	bool is_good;

	/* The mark first: who cleans up leaves alone what it finds marked. */
	p->mark = hf_cache_base_mark(&p->base, c->repo.s);
	*is_new = mkdirat(p->base.root.fd, c->repo.s, 0700) == 0;
	if (!*is_new && errno != EEXIST && errno != EROFS && errno != EACCES)
		return hf_err_errno(errno, "%s/%.10s", c->path, c->repo.s);
	p->repo = hf_cache_part_open(&p->base, c->repo.s);
	if (p->repo.fd < 0 || fstat(p->repo.fd, &st) != 0)
		return hf_err_errno(errno, "%s/%.10s", c->path, c->repo.s);
	HF_TRY(hf_cache_check_owner(p->repo.fd, c->path));
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	HF_TRY(check_version(&p->repo, &is_good));
	if (!is_good)
		write_version(&p->repo);
	(void)futimens(p->repo.fd, NULL); /* "last used", for us and for restic */
	return NULL;
}

static struct hf_err *
open_place(const struct hf_cache *c, struct cache_place *p, bool *is_new)
{
	*p = (struct cache_place){.base = {{-1}, {-1}}, .repo = {-1}, .mark = -1};
	HF_TRY(hf_cache_base_open(c->path, true, &p->base));
	struct hf_err *e = open_repo(p, c, is_new);
	if (e != NULL)
		place_clear(p);
	return e;
}

void
cache_reopen(struct hf_cache *c)
{
	struct hf_err *e = NULL;
	bool is_new;

	pthread_mutex_lock(&c->reopening);
	unsigned n = atomic_load(&c->n_places);
	struct cache_place *p = &c->places[n - 1];
	struct stat st;
	bool is_there = fstatat(p->base.root.fd, c->repo.s, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_dev == p->dev && st.st_ino == p->ino;

	if (!is_there && n < CACHE_MAX_PLACES)
		e = open_place(c, &c->places[n], &is_new);
	if (!is_there && n < CACHE_MAX_PLACES && e == NULL)
		atomic_store(&c->n_places, n + 1);
	else if (!is_there)
		atomic_store(&c->is_closed, true);
	pthread_mutex_unlock(&c->reopening);
	hf_err_free(e);
}

/*
 * By default a quarter of what could be had, free or taken by the cache already, and not more than
 * 20 GiB; the twentieth part of the disk stays free, or 1 GiB of a large one.
 */
static void
set_limits(struct hf_cache *c, const struct hf_cache_options *o)
{
	uint64_t free_bytes = UINT64_MAX / 2, all = UINT64_MAX / 2;
	uint64_t could = 0;

	(void)hf_cache_disk(&cache_place_of(c)->base, &free_bytes, &all);
	could = (free_bytes + atomic_load(&c->usage)) / 4;
	c->limit = could < max_limit ? could : max_limit;
	c->floor = all / 20 < max_floor ? all / 20 : max_floor;
	c->has_limit = o->limit != 0;
	if (c->has_limit)
		c->limit = o->limit;
	if (o->floor != 0)
		c->floor = o->floor;
}

struct hf_err *
hf_cache_open(
	const struct hf_cache_options *options, const struct hf_id *repo, struct hf_cache **out)
{
	hf_autofree struct hf_cache *c = hf_new(struct hf_cache);
	hf_autofree char *path = hf_str_dup(hf_str(options->base));
	struct hf_cache_usage usage;

	c->path = path;
	c->repo = hf_id_hex(repo);
	c->say = options->say;
	c->say_arg = options->arg;
	HF_TRY(open_place(c, &c->places[0], &c->is_new));
	atomic_init(&c->n_places, 1);
	hf_cache_usage_read(&c->places[0].base, &usage);
	atomic_init(&c->usage, usage.bytes);
	atomic_init(&c->looked_at, usage.looked_at);
	set_limits(c, options);
	pthread_mutex_init(&c->reopening, NULL);
	pthread_mutex_init(&c->evicting, NULL);
	path = NULL;
	*out = hf_steal(c);
	return NULL;
}

bool
hf_cache_is_new(const struct hf_cache *c)
{
	return c->is_new;
}

const char *
hf_cache_base(const struct hf_cache *c)
{
	return c->path;
}

void
hf_cache_close(struct hf_cache *c)
{
	if (c == NULL)
		return;
	struct cache_place *p = cache_place_of(c);
	struct hf_cache_rate rate = {atomic_load(&c->hits), atomic_load(&c->misses)};
	uint64_t published = atomic_load(&c->published);
	int64_t age = cache_seconds(CLOCK_REALTIME) - atomic_load(&c->looked_at);

	if (rate.hits + rate.misses > 0)
		hf_cache_rate_add(&p->base, c->repo.s, &rate);
	if (c->has_limit || cache_is_over(c) || age < 0 || age > LOOK_AFTER_S) {
		atomic_store(&c->evict_after, 0);
		cache_evict(c);
	} else if (published > 0) {
		struct hf_cache_usage usage;

		hf_cache_usage_read(&p->base, &usage);
		usage.bytes += published;
		hf_cache_usage_write(&p->base, &usage);
	}
	for (unsigned i = 0; i < atomic_load(&c->n_places); i++)
		place_clear(&c->places[i]);
	pthread_mutex_destroy(&c->reopening);
	pthread_mutex_destroy(&c->evicting);
	free(c->path);
	free(c);
}

/* ---- copies ---- */

struct cache_copy_text
cache_copy_text(const struct hf_name *name)
{
	struct cache_copy_text t = {.file = hf_id_hex(&name->id)};

	snprintf(t.shard, sizeof t.shard, "%s/%.2s", hf_kind_folder(name->kind), t.file.s);
	snprintf(t.path, sizeof t.path, "%s/%s", t.shard, t.file.s);
	return t;
}

void
hf_cache_drop(struct hf_cache *c, const struct hf_name *name)
{
	struct cache_copy_text t = cache_copy_text(name);
	hf_autofd int shard =
		hf_root_openat(&cache_place_of(c)->repo, t.shard, O_PATH | O_DIRECTORY, 0);

	if (shard >= 0)
		(void)unlinkat(shard, t.file.s, 0); /* gone, or nothing that we could do */
}

bool
hf_cache_read(struct hf_cache *c, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct cache_copy_text t = cache_copy_text(name);
	size_t before = out->len, got = 0;
	struct stat st;
	hf_autofd int fd = TEMP_FAILURE_RETRY(hf_root_openat(
		&cache_place_of(c)->repo, t.path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0));

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	uint64_t size = (uint64_t)st.st_size;
	size_t want = len == SIZE_MAX && off <= size ? (size_t)(size - off) : len;
	hf_autoptr(hf_err) e = NULL;

	if (off > size || want > size - off) {
		hf_cache_drop(c, name); /* half a file, by whatever accident */
		return false;
	}
	e = hf_buf_reserve(out, want);
	if (e == NULL)
		e = hf_pread_full(fd, out->p + before, want, off, &got);
	if (e != NULL || got < want)
		return false;
	out->len = before + want;
	if (cache_seconds(CLOCK_REALTIME) - st.st_atim.tv_sec > TOUCH_AFTER_S)
		(void)futimens(fd,
			(struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}});
	return true;
}

void
hf_cache_drop_older(struct hf_cache *c, const struct hf_name *name, double s)
{
	struct cache_copy_text t = cache_copy_text(name);
	struct stat st;
	hf_autofd int shard =
		hf_root_openat(&cache_place_of(c)->repo, t.shard, O_PATH | O_DIRECTORY, 0);

	if (shard < 0 || fstatat(shard, t.file.s, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	/* Its last use changes the inode, but only some time after it came. */
	if ((double)(cache_seconds(CLOCK_REALTIME) - st.st_mtim.tv_sec) > s)
		(void)unlinkat(shard, t.file.s, 0);
}

static void
add_name(void *arg, int shard, const char *file, enum hf_kind kind)
{
	struct hf_id id;

	(void)shard;
	(void)kind;
	if (hf_id_parse(hf_str(file), &id))
		hf_buf_add(arg, &id, sizeof id);
}

bool
hf_cache_names(struct hf_cache *c, enum hf_kind kind, struct hf_id **out, size_t *n)
{
	struct hf_buf ids = HF_BUF_MAX(max_names * sizeof(struct hf_id));

	if (!hf_cache_walk(&cache_place_of(c)->repo, kind, add_name, &ids) || ids.is_full) {
		hf_buf_clear(&ids);
		return false;
	}
	*out = (struct hf_id *)(void *)ids.p;
	*n = ids.len / sizeof **out;
	hf_id_sort(*out, *n);
	return true;
}

void
hf_cache_count(struct hf_cache *c, bool is_hit)
{
	atomic_fetch_add(is_hit ? &c->hits : &c->misses, 1);
}
