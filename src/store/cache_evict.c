/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeping the cache small. Two walks: the first counts bytes by age, from which follows how old a
 * copy must be to go; the second removes what is older. So a cache of any size needs one page of
 * memory, and a copy that was used between the two walks stays.
 *
 * No lock protects what is removed: a copy that somebody has open stays readable for him, and
 * whoever comes later has a miss. The lock here only keeps two processes from evicting the same
 * bytes twice over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/dir.h"
#include "base/io.h"
#include "base/proc.h"
#include "store/cache_base.h"

enum {
	TEMP_KEPT_S = 24 * 3600, /* an unfinished file whose owner cannot be judged */
	FOREIGN_KEPT_S =
		7 * 24 * 3600, /* one of restic's, which says nothing about its owner */
	STEPS = 8,             /* of ages, between one power of two and the next */
	AGES = 64 * STEPS + 1,
};

/* ---- names of unfinished files ---- */

#define TEMP_PREFIX ".t-"

struct hf_cache_temp
hf_cache_temp_name(void)
{
	struct hf_proc self = hf_proc_self();
	struct hf_cache_temp t;
	uint64_t number;

	hf_random(&number, sizeof number);
	snprintf(t.s, sizeof t.s, TEMP_PREFIX "%.8s-%llx-%llx-%llx-%016llx",
		self.boot[0] != '\0' ? self.boot : "0", (unsigned long long)self.pidns,
		(unsigned long long)self.pid, (unsigned long long)self.start,
		(unsigned long long)number);
	return t;
}

/* Whether the process that made a file of that name has ended. */
static enum hf_life
life_of_owner(const char *name, const struct hf_proc *self)
{
	struct hf_proc p = *self;
	unsigned long long pidns, pid, start;
	char boot[9];

	if (sscanf(name, TEMP_PREFIX "%8[^-]-%llx-%llx-%llx-", boot, &pidns, &pid, &start) != 4)
		return HF_LIFE_UNKNOWN;
	/* Of another boot: whoever it was, he is gone. But other hosts may use this folder, too. */
	if (strncmp(boot, self->boot, 8) != 0)
		return HF_LIFE_UNKNOWN;
	p.pidns = pidns;
	p.pid = (int64_t)pid;
	p.start = start;
	return hf_proc_life(&p, self);
}

/* ---- the walks ---- */

/* What is read again and again goes last: without the index and the snapshots no command works. */
enum class { PACKS, SMALL_FILES, CLASSES };

struct look {
	int64_t now; /* seconds since 1970 */
	struct hf_proc self;
	uint64_t total;
	uint64_t bytes[CLASSES][AGES]; /* first walk: what is of that age */
	/* Second walk: all beyond this class and age goes, and of the age itself so many bytes. */
	bool is_removing;
	enum class cut_class;
	unsigned cut_age;
	uint64_t cut_bytes;
};

/* Ages in seconds, on a scale whose steps are an eighth of the age. */
static unsigned
age_step(int64_t age)
{
	uint64_t a = age > 0 ? (uint64_t)age : 0;
	unsigned log = 63 - (unsigned)__builtin_clzll(a | 1);

	if (a < STEPS)
		return (unsigned)a;
	return log * STEPS + (unsigned)((a >> (log - 3)) & (STEPS - 1));
}

static void
remove_leftover(struct look *l, int shard, const char *name, const struct stat *st)
{
	int64_t age = l->now - st->st_mtim.tv_sec;
	bool is_ours = strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0;
	enum hf_life life = is_ours ? life_of_owner(name, &l->self) : HF_LIFE_UNKNOWN;

	if (strncmp(name, "tmp-", 4) == 0) {
		if (age > FOREIGN_KEPT_S)
			(void)unlinkat(shard, name, 0);
	} else if (is_ours &&
		   (life == HF_LIFE_DEAD || (life == HF_LIFE_UNKNOWN && age > TEMP_KEPT_S))) {
		(void)unlinkat(shard, name, 0);
	}
}

static bool
must_go(struct look *l, enum class class, unsigned age, uint64_t bytes)
{
	if (class != l->cut_class)
		return class < l->cut_class;
	if (age != l->cut_age)
		return age > l->cut_age;
	if (l->cut_bytes == 0)
		return false;
	l->cut_bytes -= bytes < l->cut_bytes ? bytes : l->cut_bytes;
	return true;
}

static void
look_at_copy(void *arg, int shard, const char *name, enum hf_kind kind)
{
	struct look *l = arg;
	enum class class = kind == HF_PACK ? PACKS : SMALL_FILES;
	struct hf_id id;
	struct stat st;

	if (fstatat(shard, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return;
	if (!hf_id_parse(hf_str(name), &id)) {
		if (!l->is_removing)
			remove_leftover(l, shard, name, &st);
		return;
	}
	int64_t used =
		st.st_atim.tv_sec > st.st_mtim.tv_sec ? st.st_atim.tv_sec : st.st_mtim.tv_sec;
	unsigned age = age_step(l->now - used);
	uint64_t bytes = hf_cache_blocks((uint64_t)st.st_size);

	if (!l->is_removing) {
		l->bytes[class][age] += bytes;
		l->total += bytes;
	} else if (must_go(l, class, age, bytes) &&
		   (unlinkat(shard, name, 0) == 0 || errno == ENOENT)) {
		l->total -= bytes < l->total ? bytes : l->total;
	}
}

/* Everything below the base that belongs to a repository. */
static void
look_everywhere(const struct hf_cache_base *b, struct look *l)
{
	hf_autofree struct hf_cache_part *parts = NULL;
	hf_autoptr(hf_err) e = NULL;
	size_t n = 0;

	e = hf_cache_parts(b, HF_CACHE_AGE, &parts, &n);
	for (size_t i = 0; e == NULL && i < n; i++) {
		hf_auto(hf_root) root = hf_cache_part_open(b, parts[i].name);

		if (root.fd >= 0)
			(void)hf_cache_walk_all(&root, look_at_copy, l);
	}
}

/* Finds the cut by which `excess` bytes go. */
static void
find_cut(struct look *l, uint64_t excess)
{
	for (enum class class = PACKS; class < CLASSES; class ++) {
		for (unsigned age = AGES; age-- > 0;) {
			uint64_t here = l->bytes[class][age];

			l->cut_class = class;
			l->cut_age = age;
			l->cut_bytes = excess;
			if (here >= excess)
				return;
			excess -= here;
		}
	}
	l->cut_bytes = UINT64_MAX; /* all of it, and it is not enough */
}

/* What cleaning up put aside and then did not come to delete. */
static void
remove_trash(const struct hf_cache_base *b, const struct hf_proc *self)
{
	static const char prefix[] = "trash-";
	hf_autodir *dir = hf_dir_open(b->side.fd, ".", 0);
	const char *name;
	int en;

	while (dir != NULL && (name = hf_dir_next(dir, &en)) != NULL)
		if (strncmp(name, prefix, sizeof prefix - 1) == 0 &&
			life_of_owner(name + sizeof prefix - 1, self) != HF_LIFE_ALIVE)
			hf_err_free(hf_cache_remove_tree(dirfd(dir), name));
}

/* One process at a time; without a place for the lock everybody does it. False: not now. */
static bool
lock_eviction(const struct hf_cache_base *b, int *fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	*fd = b->side.fd < 0
		      ? -1
		      : openat(b->side.fd, "evict",
				O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	return *fd < 0 || fcntl(*fd, F_OFD_SETLK, &lock) == 0 ||
	       (errno != EAGAIN && errno != EACCES);
}

bool
hf_cache_evict(const struct hf_cache_base *b, uint64_t limit, uint64_t floor, uint64_t *left)
{
	hf_autofree struct look *l = hf_new(struct look);
	uint64_t free_bytes, all, excess = 0;
	int lock = -1;

	if (!lock_eviction(b, &lock)) {
		close(lock);
		return false;
	}
	hf_autofd int held = lock;
	l->now = (int64_t)time(NULL);
	l->self = hf_proc_self();
	if (b->side.fd >= 0)
		remove_trash(b, &l->self);
	look_everywhere(b, l);
	if (l->total > limit)
		excess = l->total - limit / 10 * 9;
	if (hf_cache_disk(b, &free_bytes, &all) && free_bytes < floor &&
		floor - free_bytes > excess)
		excess = floor - free_bytes;
	if (excess > 0) {
		find_cut(l, excess);
		l->is_removing = true;
		look_everywhere(b, l);
	}
	*left = l->total;
	hf_cache_usage_write(b, &(struct hf_cache_usage){l->total, l->now});
	return true;
}
