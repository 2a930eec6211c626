/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Going through the folders of a cache while others change them: every folder is opened by
 * descriptor, and what vanishes between being listed and being looked at was never there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/dir.h"
#include "store/cache_base.h"

/* Folders are opened by streams of their own, so that the descriptor of ours keeps its place. */
static DIR *
open_dir(int dir, const char *name)
{
	return hf_dir_open(dir, name, O_NOFOLLOW);
}

/* The next name; NULL at the end. A folder that was removed just ends. */
static const char *
next_name(DIR *dir, bool *is_whole)
{
	int en;
	const char *name = hf_dir_next(dir, &en);

	*is_whole &= en == 0 || en == ENOENT;
	return name;
}

/* A thing that is no folder, or a link, is passed over like one that is gone. */
static bool
is_nothing(int en)
{
	return en == ENOENT || en == ENOTDIR || en == ELOOP;
}

bool
hf_cache_walk(const struct hf_root *repo, enum hf_kind kind, hf_cache_walk_fn *fn, void *arg)
{
	hf_autodir *shards = open_dir(repo->fd, hf_kind_folder(kind));
	bool is_whole = true;
	const char *shard, *name;

	if (shards == NULL)
		return is_nothing(errno);
	while ((shard = next_name(shards, &is_whole)) != NULL) {
		if (strlen(shard) != 2)
			continue;
		hf_autodir *files = open_dir(dirfd(shards), shard);

		if (files == NULL) {
			is_whole &= is_nothing(errno);
			continue;
		}
		while ((name = next_name(files, &is_whole)) != NULL)
			fn(arg, dirfd(files), name, kind);
	}
	return is_whole;
}

bool
hf_cache_walk_all(const struct hf_root *repo, hf_cache_walk_fn *fn, void *arg)
{
	bool is_whole = hf_cache_walk(repo, HF_PACK, fn, arg);

	is_whole &= hf_cache_walk(repo, HF_INDEX, fn, arg);
	return hf_cache_walk(repo, HF_SNAPSHOT, fn, arg) && is_whole;
}

/* ---- the parts of the base ---- */

static bool
is_check_cache(const char *name)
{
	static const char prefix[] = "restic-check-cache-";
	const char *number = name + sizeof prefix - 1;

	return strncmp(name, prefix, sizeof prefix - 1) == 0 && *number != '\0' &&
	       strspn(number, "0123456789") == strlen(number);
}

static bool
is_part(const char *name)
{
	struct hf_id id;

	return hf_id_parse(hf_str(name), &id) || is_check_cache(name);
}

static void
add_size(void *arg, int shard, const char *name, enum hf_kind kind)
{
	struct hf_cache_part *part = arg;
	struct stat st;

	(void)kind;
	if (fstatat(shard, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return;
	part->files++;
	part->bytes += (uint64_t)st.st_size;
}

/* Asks for the mark of others, without taking it. */
static bool
is_in_use(const struct hf_cache_base *b, const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char file[96];

	if (b->side.fd < 0)
		return false;
	snprintf(file, sizeof file, "%s.use", name);
	hf_autofd int fd =
		openat(b->side.fd, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

struct hf_root
hf_cache_part_open(const struct hf_cache_base *b, const char *name)
{
	return (struct hf_root){
		openat(b->root.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
		b->root.has_openat2};
}

static void
count_files(const struct hf_cache_base *b, struct hf_cache_part *part)
{
	hf_auto(hf_root) root = hf_cache_part_open(b, part->name);

	if (root.fd < 0)
		return;
	add_size(part, root.fd, "version", HF_CONFIG);
	(void)hf_cache_walk_all(&root, add_size, part);
}

/* False: there is no such folder. */
static bool
look_at_part(const struct hf_cache_base *b, const char *name, enum hf_cache_look look,
	struct hf_cache_part *out)
{
	struct stat st;

	if (fstatat(b->root.fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
		return false;
	*out = (struct hf_cache_part){.used_at = st.st_mtim.tv_sec};
	snprintf(out->name, sizeof out->name, "%s", name);
	if (look >= HF_CACHE_USE) {
		out->is_in_use = is_in_use(b, name);
		hf_cache_rate_read(b, name, &out->rate);
	}
	if (look >= HF_CACHE_SIZE)
		count_files(b, out);
	return true;
}

static int
older_first(const void *a, const void *b)
{
	const struct hf_cache_part *x = a, *y = b;

	if (x->used_at != y->used_at)
		return x->used_at < y->used_at ? -1 : 1;
	return strcmp(x->name, y->name);
}

struct hf_err *
hf_cache_parts(const struct hf_cache_base *b, enum hf_cache_look look,
	struct hf_cache_part **out, size_t *n)
{
	hf_auto(hf_buf) parts = HF_BUF_MAX(256 << 20);
	hf_autodir *dir = open_dir(b->root.fd, ".");
	bool is_whole = true;
	const char *name;

	if (dir == NULL)
		return hf_err_errno(errno, "reading the cache directory");
	while ((name = next_name(dir, &is_whole)) != NULL) {
		struct hf_cache_part part;

		if (is_part(name) && look_at_part(b, name, look, &part))
			hf_buf_add(&parts, &part, sizeof part);
	}
	HF_TRY(hf_buf_ok(&parts));
	if (!is_whole)
		return hf_err(HF_EIO, "the cache directory could not be read to its end");
	*n = parts.len / sizeof **out;
	*out = hf_alloc_(*n + 1, sizeof **out);
	if (*n > 0)
		memcpy(*out, parts.p, parts.len);
	qsort(*out, *n, sizeof **out, older_first);
	return NULL;
}

/* ---- removing ---- */

enum { MAX_DEPTH = 16, REMOVE_TRIES = 4 };

static int remove_below(int dir, const char *name, int depth);

static int
empty_folder(int dir, const char *name, int depth)
{
	hf_autodir *d = open_dir(dir, name);
	bool is_whole = true;
	const char *entry;
	int en = 0;

	if (d == NULL)
		return errno == ENOENT ? 0 : errno;
	while ((entry = next_name(d, &is_whole)) != NULL) {
		int failed = remove_below(dirfd(d), entry, depth + 1);

		en = failed != 0 ? failed : en;
	}
	return en;
}

static int
remove_below(int dir, const char *name, int depth)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	/* Linux says EISDIR, POSIX allows EPERM. */
	if (errno != EISDIR && errno != EPERM)
		return errno;
	if (depth == MAX_DEPTH)
		return ELOOP;
	for (int i = 0;; i++) {
		int en = empty_folder(dir, name, depth);

		if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		/* Not empty: somebody put something there meanwhile. */
		if (en != 0 || errno != ENOTEMPTY || i == REMOVE_TRIES - 1)
			return en != 0 ? en : errno;
	}
}

struct hf_err *
hf_cache_remove_tree(int dir, const char *name)
{
	int en = remove_below(dir, name, 0);

	return en != 0 ? hf_err_errno(en, "removing %s", name) : NULL;
}

/* Takes the mark for ourselves alone; -1: somebody has it. Without a folder for marks, 0 says so. */
static int
claim(const struct hf_cache_base *b, const char *file)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (b->side.fd < 0)
		return 0;
	int fd = openat(
		b->side.fd, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return 0;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return fd;
	int en = errno;
	close(fd);
	return en == EAGAIN || en == EACCES ? -1 : 0;
}

/*
 * The folder leaves in one step, so that nobody ever sees half of it: a restic that is using it
 * finds nothing there any more and makes a new one.
 */
static struct hf_err *
remove_part(const struct hf_cache_base *b, const char *name)
{
	struct hf_cache_temp temp = hf_cache_temp_name();
	char trash[sizeof temp + 8];

	snprintf(trash, sizeof trash, "trash-%s", temp.s);
	if (b->side.fd < 0)
		return hf_cache_remove_tree(b->root.fd, name);
	if (renameat(b->root.fd, name, b->side.fd, trash) == 0)
		return hf_cache_remove_tree(b->side.fd, trash);
	if (errno == ENOENT)
		return NULL;
	return hf_cache_remove_tree(b->root.fd, name);
}

struct hf_err *
hf_cache_part_remove(const struct hf_cache_base *b, const struct hf_cache_part *part,
	enum hf_cache_removal *out)
{
	char use[96], rate[96];
	struct hf_cache_part now;

	snprintf(use, sizeof use, "%s.use", part->name);
	snprintf(rate, sizeof rate, "%s.rate", part->name);
	int mark = claim(b, use);
	hf_autofd int fd = mark > 0 ? mark : -1;

	*out = HF_CACHE_KEPT;
	if (mark < 0)
		return NULL;
	if (look_at_part(b, part->name, HF_CACHE_AGE, &now)) {
		if (now.used_at > part->used_at)
			return NULL;
		HF_TRY(hf_err_in(remove_part(b, part->name), "%s", part->name));
	}
	*out = HF_CACHE_REMOVED;
	if (fd >= 0) {
		(void)unlinkat(b->side.fd, rate, 0);
		(void)unlinkat(b->side.fd, use, 0);
	}
	return NULL;
}
