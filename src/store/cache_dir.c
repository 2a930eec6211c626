/* SPDX-License-Identifier: BSD-2-Clause */
/* The copies of one repository: opening the folder, reading, publishing, dropping. */
#include "store/cache_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "store/cache_base.h"

enum {
	MAX_PLACES = 4,      /* how often the folder may be removed under us */
	TOUCH_AFTER_S = 600, /* how exactly the time of the last use is known */
	REST_S = 60,         /* after a full disk */
	MAX_STRIKES = 3,     /* then no more is published */
	EVICT_PAUSE_S = 10,  /* between two evictions that did not help */
	LOOK_AFTER_S = 3600, /* since others fill the cache as well */
};
static const uint64_t max_limit = UINT64_C(20) << 30, max_floor = UINT64_C(1) << 30;
static const size_t max_names = UINT64_C(4) << 20;

/* The opened folders. When somebody removes them, new ones are opened at the same path. */
struct place {
	struct hf_cache_base base;
	struct hf_root repo;
	int mark;
	dev_t dev;
	ino_t ino;
};

struct hf_cache {
	char *path;
	struct hf_hex repo;
	bool is_new;
	uint64_t limit, floor;
	bool has_limit; /* the user's, which he wants to see kept at once */
	void (*say)(void *arg, const char *text);
	void *say_arg;

	/* Places are only added, so that threads may go on using one that is no longer current. */
	struct place places[MAX_PLACES];
	atomic_uint n_places;
	pthread_mutex_t reopening, evicting;

	/* Publishing. Times are seconds of CLOCK_BOOTTIME. */
	atomic_bool is_closed, has_no_tmpfile, has_said;
	atomic_uint strikes;
	atomic_int_fast64_t rests_until, evict_after;
	atomic_uint_fast64_t published; /* bytes since the last look */
	atomic_uint_fast64_t usage;     /* of everything, at the last look */
	atomic_int_fast64_t looked_at;  /* as in struct hf_cache_usage */

	atomic_uint_fast64_t hits, misses;
};

static struct place *
place_of(struct hf_cache *c)
{
	return &c->places[atomic_load(&c->n_places) - 1];
}

static int64_t
seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec;
}

bool
hf_cache_takes(enum hf_kind kind)
{
	return kind == HF_INDEX || kind == HF_SNAPSHOT || kind == HF_PACK;
}

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

/* What a copy is called: the path of its folder below the repository's, and its name there. */
struct copy_text {
	char shard[32];
	struct hf_hex file;
	char path[32 + 1 + HF_ID_HEX + 1];
};

static struct copy_text
copy_text(const struct hf_name *name)
{
	struct copy_text t = {.file = hf_id_hex(&name->id)};

	snprintf(t.shard, sizeof t.shard, "%s/%.2s", hf_kind_folder(name->kind), t.file.s);
	snprintf(t.path, sizeof t.path, "%s/%s", t.shard, t.file.s);
	return t;
}

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
	atomic_store(&c->rests_until, seconds(CLOCK_BOOTTIME) + REST_S);
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

/* All at once, so that nobody ever reads half a number. */
static void
write_version(const struct hf_root *repo)
{
	struct hf_cache_temp temp = hf_cache_temp_name();
	hf_autofd int fd = openat(
		repo->fd, temp.s, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	hf_autoptr(hf_err) e = fd >= 0 ? hf_write_full(fd, "1", 1) : NULL;

	if (fd >= 0 && (e != NULL || renameat(repo->fd, temp.s, repo->fd, "version") != 0))
		(void)unlinkat(repo->fd, temp.s, 0);
}

static void
place_clear(struct place *p)
{
	hf_root_clear(&p->repo);
	hf_cache_base_clear(&p->base);
	if (p->mark >= 0)
		close(p->mark);
	p->mark = -1;
}

static struct hf_err *
open_repo(struct place *p, const struct hf_cache *c, bool *is_new)
{
	struct stat st;
	bool is_good;

	/* The mark first: who cleans up leaves alone what it finds marked. */
	p->mark = hf_cache_base_mark(&p->base, c->repo.s);
	*is_new = mkdirat(p->base.root.fd, c->repo.s, 0700) == 0;
	if (!*is_new && errno != EEXIST && errno != EROFS && errno != EACCES)
		return hf_err_errno(errno, "%s/%.10s", c->path, c->repo.s);
	p->repo = (struct hf_root){openat(p->base.root.fd, c->repo.s,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
		p->base.root.has_openat2};
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
open_place(const struct hf_cache *c, struct place *p, bool *is_new)
{
	*p = (struct place){.base = {{-1}, {-1}}, .repo = {-1}, .mark = -1};
	HF_TRY(hf_cache_base_open(c->path, true, &p->base));
	struct hf_err *e = open_repo(p, c, is_new);
	if (e != NULL)
		place_clear(p);
	return e;
}

/* Somebody removed the folder under us: makes it again, a few times. */
static void
reopen(struct hf_cache *c)
{
	struct hf_err *e = NULL;
	bool is_new;

	pthread_mutex_lock(&c->reopening);
	unsigned n = atomic_load(&c->n_places);
	struct place *p = &c->places[n - 1];
	struct stat st;
	bool is_there = fstatat(p->base.root.fd, c->repo.s, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_dev == p->dev && st.st_ino == p->ino;

	if (!is_there && n < MAX_PLACES)
		e = open_place(c, &c->places[n], &is_new);
	if (!is_there && n < MAX_PLACES && e == NULL)
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

	(void)hf_cache_disk(&place_of(c)->base, &free_bytes, &all);
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

/* ---- room ---- */

/* Evicts if nobody does, and if the last time is not just over. */
static void
evict(struct hf_cache *c)
{
	int64_t now = seconds(CLOCK_BOOTTIME);
	uint64_t left;

	if (now < atomic_load(&c->evict_after) || pthread_mutex_trylock(&c->evicting) != 0)
		return;
	uint64_t published = atomic_load(&c->published);
	if (hf_cache_evict(&place_of(c)->base, c->limit, c->floor, &left)) {
		atomic_fetch_sub(&c->published, published);
		atomic_store(&c->usage, left);
		atomic_store(&c->looked_at, seconds(CLOCK_REALTIME));
		if (left > c->limit)
			atomic_store(&c->evict_after, now + EVICT_PAUSE_S);
	} else {
		atomic_store(&c->evict_after, now + 1);
	}
	pthread_mutex_unlock(&c->evicting);
}

static bool
is_over(struct hf_cache *c)
{
	return atomic_load(&c->usage) + atomic_load(&c->published) > c->limit;
}

/* Whether the disk has room for so many bytes more, and leaves the rest its own. */
static bool
has_room(struct hf_cache *c, uint64_t size)
{
	uint64_t free_bytes, all;

	for (int i = 0; i < 2; i++) {
		if (!hf_cache_disk(&place_of(c)->base, &free_bytes, &all) ||
			(free_bytes >= c->floor && free_bytes - c->floor >= size))
			return true;
		if (i == 0) {
			int64_t pause = seconds(CLOCK_BOOTTIME) + EVICT_PAUSE_S;

			evict(c);
			atomic_store(&c->evict_after, pause);
		}
	}
	failed(c, ENOSPC);
	return false;
}

void
hf_cache_close(struct hf_cache *c)
{
	if (c == NULL)
		return;
	struct place *p = place_of(c);
	struct hf_cache_rate rate = {atomic_load(&c->hits), atomic_load(&c->misses)};
	uint64_t published = atomic_load(&c->published);
	int64_t age = seconds(CLOCK_REALTIME) - atomic_load(&c->looked_at);

	if (rate.hits + rate.misses > 0)
		hf_cache_rate_add(&p->base, c->repo.s, &rate);
	if (c->has_limit || is_over(c) || age < 0 || age > LOOK_AFTER_S) {
		atomic_store(&c->evict_after, 0);
		evict(c);
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

void
hf_cache_drop(struct hf_cache *c, const struct hf_name *name)
{
	struct copy_text t = copy_text(name);
	hf_autofd int shard =
		hf_root_openat(&place_of(c)->repo, t.shard, O_PATH | O_DIRECTORY, 0);

	if (shard >= 0)
		(void)unlinkat(shard, t.file.s, 0); /* gone, or nothing that we could do */
}

bool
hf_cache_read(struct hf_cache *c, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct copy_text t = copy_text(name);
	size_t before = out->len, got = 0;
	struct stat st;
	hf_autofd int fd = TEMP_FAILURE_RETRY(hf_root_openat(
		&place_of(c)->repo, t.path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0));

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
	if (seconds(CLOCK_REALTIME) - st.st_atim.tv_sec > TOUCH_AFTER_S)
		(void)futimens(fd,
			(struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}});
	return true;
}

void
hf_cache_drop_older(struct hf_cache *c, const struct hf_name *name, double s)
{
	struct copy_text t = copy_text(name);
	struct stat st;
	hf_autofd int shard =
		hf_root_openat(&place_of(c)->repo, t.shard, O_PATH | O_DIRECTORY, 0);

	if (shard < 0 || fstatat(shard, t.file.s, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	/* Its last use changes the inode, but only some time after it came. */
	if ((double)(seconds(CLOCK_REALTIME) - st.st_mtim.tv_sec) > s)
		(void)unlinkat(shard, t.file.s, 0);
}

struct names {
	struct hf_buf ids;
};

static void
add_name(void *arg, int shard, const char *file, enum hf_kind kind)
{
	struct names *n = arg;
	struct hf_id id;

	(void)shard;
	(void)kind;
	if (hf_id_parse(hf_str(file), &id))
		hf_buf_add(&n->ids, &id, sizeof id);
}

static int
id_cmp(const void *a, const void *b)
{
	return hf_id_cmp(a, b);
}

bool
hf_cache_names(struct hf_cache *c, enum hf_kind kind, struct hf_id **out, size_t *n)
{
	struct names names = {HF_BUF_MAX(max_names * sizeof(struct hf_id))};
	bool is_whole = hf_cache_walk(&place_of(c)->repo, kind, add_name, &names);

	if (!is_whole || names.ids.is_full) {
		hf_buf_clear(&names.ids);
		return false;
	}
	*out = (struct hf_id *)(void *)names.ids.p;
	*n = names.ids.len / sizeof **out;
	if (*n > 1)
		qsort(*out, *n, sizeof **out, id_cmp);
	return true;
}

void
hf_cache_count(struct hf_cache *c, bool is_hit)
{
	atomic_fetch_add(is_hit ? &c->hits : &c->misses, 1);
}

/* ---- publishing ---- */

/* The folder of a copy, made if it is missing; -1 with errno. ENOENT: the repository's is gone. */
static int
open_shard(struct place *p, const struct hf_name *name, const struct copy_text *t)
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
	struct copy_text t = copy_text(name);

	*put = (struct hf_cache_put){-1, -1, ""};
	if (atomic_load(&c->is_closed) ||
		seconds(CLOCK_BOOTTIME) < atomic_load(&c->rests_until) || !has_room(c, size))
		return false;
	put->shard = open_shard(place_of(c), name, &t);
	if (put->shard < 0 && errno == ENOENT) {
		reopen(c);
		put->shard = open_shard(place_of(c), name, &t);
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
	struct copy_text t = copy_text(name);
	struct stat st = {0};
	int en = is_whole ? give_name(c, put, t.file.s) : -1;

	if (en == 0 && fstat(put->fd, &st) == 0)
		atomic_fetch_add(&c->published, hf_cache_blocks((uint64_t)st.st_size));
	put_clear(put);
	if (en > 0)
		failed(c, en);
	if (en == 0 && is_over(c))
		evict(c);
	return en == 0;
}
