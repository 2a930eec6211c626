/* SPDX-License-Identifier: BSD-2-Clause */
/* Counting ahead, so that a progress display knows the total. Works beside the backup. */
#include <fcntl.h>
#include <unistd.h>

#include "base/path.h"
#include "engine/backup_i.h"

struct scan {
	struct backup *b;
	struct hf_buf path;
};

static void
ignore(void *arg, struct hf_err *e)
{
	(void)arg;
	hf_err_free(e);
}

static struct hf_err *scan_dir(struct scan *s, int dirfd, const char *name, dev_t device);

/* One name; errors are the backup's to report. */
static struct hf_err *
scan_item(struct scan *s, int dirfd, const char *name, bool is_explicit, dev_t device)
{
	struct backup *b = s->b;
	const char *path = (const char *)s->path.p;
	struct stat st;

	HF_TRY(check_stop(b));
	if (!is_explicit && is_excluded_name(b->o, path))
		return NULL;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	if (dirfd == AT_FDCWD && b->o->one_file_system)
		device = is_explicit ? st.st_dev : device_above(b, path, st.st_dev);
	bool is_foreign = b->o->one_file_system && st.st_dev != device;
	if (!is_explicit &&
		(is_excluded_stat(b->o, &st) || (is_foreign && !S_ISDIR(st.st_mode))))
		return NULL;
	if (S_ISREG(st.st_mode)) {
		count(&b->progress->total_files, 1);
		count(&b->progress->total_bytes, (uint64_t)st.st_size);
	} else if (S_ISDIR(st.st_mode)) {
		count(&b->progress->total_dirs, 1);
		if (!is_foreign)
			return scan_dir(s, dirfd, name, device);
	}
	return NULL;
}

static struct hf_err *
scan_dir(struct scan *s, int dirfd, const char *name, dev_t device)
{
	hf_auto(names) names = {.text = DIR_BUF, .offs = DIR_BUF};
	size_t len = s->path.len;
	hf_autofd int fd = open_quietly(dirfd, name, O_DIRECTORY);

	if (fd < 0)
		return NULL;
	struct hf_err *e = names_read(s->b->o, fd, &names, ignore, NULL);
	if (e != NULL) {
		hf_err_free(e);
		return NULL;
	}
	for (size_t i = 0; i < names_len(&names); i++) {
		const char *child = names_at(&names, i);

		s->path.len = len;
		if (len > 1)
			hf_buf_add_char(&s->path, '/');
		hf_buf_add(&s->path, child, strlen(child) + 1);
		s->path.len--;
		HF_TRY(hf_buf_ok(&s->path));
		HF_TRY(scan_item(s, fd, child, false, device));
	}
	return NULL;
}

static struct hf_err *
scan_target(struct scan *s, const struct hf_target *t)
{
	if (t->path == NULL) {
		for (size_t i = 0; i < t->n_children; i++)
			HF_TRY(scan_target(s, t->children[i]));
		return NULL;
	}
	hf_autofree char *abs = hf_path_abs(s->b->cwd, t->path);

	hf_buf_reset(&s->path);
	hf_buf_add(&s->path, abs, strlen(abs) + 1);
	s->path.len--;
	return scan_item(s, AT_FDCWD, t->path, t->is_explicit, 0);
}

struct hf_err *
scan_loop(void *backup)
{
	struct backup *b = backup;
	struct scan s = {.b = b, .path = HF_BUF_MAX(64 << 20)};
	double start = hf_clock();
	struct hf_err *e = scan_target(&s, &b->targets);

	hf_buf_clear(&s.path);
	if (e == NULL) {
		atomic_store(&b->progress->is_scan_done, true);
		if (b->ev->scan_done != NULL)
			b->ev->scan_done(b->ev->arg, hf_clock() - start);
	}
	return e;
}
