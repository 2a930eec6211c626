/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left out of a backup (restic-format 11.5, 11.6), and the sorted names of a folder. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/dir.h"
#include "base/io.h"
#include "base/path.h"
#include "engine/backup_i.h"

bool
is_excluded_name(const struct hf_backup_options *o, const char *path)
{
	return o->exclude != NULL && o->exclude(o->exclude_arg, path);
}

bool
is_excluded_stat(const struct hf_backup_options *o, const struct stat *st)
{
	return o->exclude_larger_than != NULL && !S_ISDIR(st->st_mode) && st->st_size > 0 &&
	       (uint64_t)st->st_size > *o->exclude_larger_than;
}

dev_t
device_above(const struct backup *b, const char *path, dev_t own)
{
	size_t best = 0;

	for (size_t i = 0; i < b->o->n_targets; i++) {
		hf_autofree char *target = hf_path_abs(b->cwd, b->o->targets[i]);
		struct stat st;

		if (strlen(target) > best && hf_path_is_below(path, target) &&
			lstat(target, &st) == 0) {
			best = strlen(target);
			own = st.st_dev;
		}
	}
	return own;
}

void
names_clear(struct names *n)
{
	hf_buf_clear(&n->text);
	hf_buf_clear(&n->offs);
}

size_t
names_len(const struct names *n)
{
	return n->offs.len / sizeof(uint64_t);
}

static uint64_t
offset(const struct names *n, size_t i)
{
	uint64_t off;

	memcpy(&off, n->offs.p + i * sizeof off, sizeof off);
	return off;
}

const char *
names_at(const struct names *n, size_t i)
{
	return (const char *)n->text.p + offset(n, i);
}

static int
by_name(const void *a, const void *b, void *text)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return strcmp((const char *)text + x, (const char *)text + y);
}

static struct hf_err *
list(int fd, struct names *out)
{
	hf_autodir *d = hf_dir_open(fd, ".", 0);
	const char *name;
	int en;

	if (d == NULL)
		return hf_err_errno(errno, "opening the folder");
	while ((name = hf_dir_next(d, &en)) != NULL) {
		uint64_t off = out->text.len;

		hf_buf_add(&out->text, name, strlen(name) + 1);
		hf_buf_add(&out->offs, &off, sizeof off);
	}
	return en != 0 ? hf_err_errno(en, "reading the folder") : NULL;
}

/* Drops repeated names; some file systems list one twice while the folder changes. */
static void
drop_repeated(struct names *n)
{
	size_t len = names_len(n), kept = 0;

	for (size_t i = 0; i < len; i++) {
		uint64_t off = offset(n, i);

		if (kept > 0 && strcmp(names_at(n, kept - 1), names_at(n, i)) == 0)
			continue;
		memcpy(n->offs.p + kept++ * sizeof off, &off, sizeof off);
	}
	n->offs.len = kept * sizeof(uint64_t);
}

static void
keep_only(struct names *n, const char *name)
{
	size_t len = names_len(n);

	for (size_t i = 0; i < len; i++) {
		uint64_t off = offset(n, i);

		if (strcmp(names_at(n, i), name) != 0)
			continue;
		memcpy(n->offs.p, &off, sizeof off);
		n->offs.len = sizeof off;
		return;
	}
	n->offs.len = 0;
}

/* Whether the folder bears the tag. A tag that cannot be read or is wrong is worth a warning. */
static struct hf_err *
has_tag(int dirfd, const struct hf_exclude_tag *tag, bool *has)
{
	char head[4096];
	size_t len = tag->header != NULL ? strlen(tag->header) : 0, got;
	struct stat st;

	*has = false;
	if (fstatat(dirfd, tag->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return NULL;
		return hf_err_errno(errno, "could not access exclusion tagfile %s", tag->name);
	}
	if (len == 0 || len > sizeof head) {
		*has = len == 0;
		return NULL;
	}
	hf_autofd int fd = openat(dirfd, tag->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return hf_err_errno(errno, "could not open exclusion tagfile %s", tag->name);
	HF_TRY(hf_err_in(hf_read_full(fd, head, len, &got),
		"could not read signature from exclusion tagfile %s", tag->name));
	if (got < len)
		return hf_err(HF_EINVAL,
			"invalid (too short) signature in exclusion tagfile %s", tag->name);
	*has = memcmp(head, tag->header, len) == 0;
	if (*has)
		return NULL;
	return hf_err(HF_EINVAL, "invalid signature in exclusion tagfile %s", tag->name);
}

struct hf_err *
names_read(const struct hf_backup_options *o, int fd, struct names *out,
	void (*warn)(void *arg, struct hf_err *e), void *arg)
{
	hf_buf_reset(&out->text);
	hf_buf_reset(&out->offs);
	HF_TRY(list(fd, out));
	HF_TRY(hf_buf_ok(&out->text));
	HF_TRY(hf_buf_ok(&out->offs));
	if (names_len(out) > 1)
		qsort_r(out->offs.p, names_len(out), sizeof(uint64_t), by_name, out->text.p);
	drop_repeated(out);
	for (size_t i = 0; i < o->n_exclude_tags; i++) {
		bool has;
		struct hf_err *e = has_tag(fd, &o->exclude_tags[i], &has);

		if (e != NULL)
			warn(arg, e);
		if (has)
			keep_only(out, o->exclude_tags[i].name);
	}
	return NULL;
}

bool
is_excluded_by_tag(const struct hf_backup_options *o, const char *dir, const char *name)
{
	if (o->n_exclude_tags == 0)
		return false;
	hf_autofd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < o->n_exclude_tags; i++) {
		bool has;

		hf_err_free(has_tag(fd, &o->exclude_tags[i], &has));
		if (has && strcmp(name, o->exclude_tags[i].name) != 0)
			return true;
	}
	return false;
}
