/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What becomes of the items of a folder: what is no file is made at once, files and further names go
 * into windows.
 */
#include <errno.h>
#include <stdio.h>

#include "engine/restore_plan_i.h"

/* The last component of the path of what is being looked at. */
static const char *
base(const struct rplan *p, const struct rlevel *l)
{
	return plan_location(p) + l->path_len + (l->path_len > 1);
}

/* ---- windows ---- */

/* Gives the window to the workers, and begins another one. */
static void
submit(struct rplan *p)
{
	restore_submit(p->r, p->window);
	p->window = restore_window_new();
	if (p->window_files < WINDOW_FILES)
		p->window_files *= 4;
}

void
plan_window_grew(struct rplan *p)
{
	if (++p->window->n_planned >= p->window_files)
		submit(p);
}

static void
add_finish(struct rplan *p, struct rfile *f)
{
	struct rwindow *w = p->window;

	RESTORE_PUSH(w->files, w->n_files, w->cap_files);
	w->files[w->n_files - 1] = f;
}

static void
add_part(struct rplan *p, struct rfile *f, size_t first)
{
	struct rwindow *w = p->window;
	size_t n = w->n_wants - first;

	if (!(f->exists || p->r->is_verifying) || (n == 0 && f->n_blobs > 0))
		return;
	RESTORE_PUSH(w->parts, w->n_parts, w->cap_parts);
	w->parts[w->n_parts - 1] = (struct rpart){f, first, n};
}

/* All places in the file that want blobs; a file larger than a window goes on in the next ones. */
static void
add_wants(struct rplan *p, struct rfile *f, const struct hf_node *n)
{
	size_t first = p->window->n_wants, i;
	uint64_t off = 0;

	for (i = 0; i < n->n_content && !restore_is_stopped(p->r); i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};
		struct hf_location at;

		if (p->window->n_wants == WINDOW_WANTS) {
			add_part(p, f, first);
			submit(p);
			first = 0;
		}
		if (!hf_index_find(p->r->ix, &blob, 0, &at)) {
			restore_file_fail(p->r, f,
				hf_err(HF_ENOTFOUND, "data blob %s is not in the index",
					hf_id_hex(&blob.id).s));
			break;
		}
		p->window->wants[p->window->n_wants++] = (struct rwant){.file = f,
			.off = off,
			.pack = at.pack_number,
			.offset = at.offset,
			.length = at.length,
			.raw_length = at.raw_length,
			.number = at.number};
		off += hf_location_size(&at);
	}
	add_part(p, f, first);
	/* Where the others belong is not known without the length of the missing one. */
	if (i < n->n_content)
		restore_file_done(p->r, f, n->n_content - i);
}

/* ---- items ---- */

/* Names of attributes of other systems that are known, and not for us. */
static bool
is_foreign(struct hf_str key)
{
	return key.len >= 8 && memcmp(key.p, "windows.", 8) == 0;
}

void
plan_warn_of_generic(struct rplan *p, const struct hf_node *n)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(1 << 20);
	struct hf_json j;
	struct hf_str key;

	if (n->generic_attributes.len == 0)
		return;
	hf_json_init(&j, hf_str_bytes(n->generic_attributes), &scratch);
	hf_json_object(&j);
	while (hf_json_key(&j, &key)) {
		hf_autofree char *name = hf_str_dup(key);
		hf_autofree char *text = NULL;

		hf_json_skip(&j);
		if (is_foreign(key) || p->r->warned.len >= 100 ||
			hf_strings_has(&p->r->warned, name))
			continue;
		hf_strings_add(&p->r->warned, name);
		if (p->r->ev.warning != NULL &&
			asprintf(&text, "generic attribute %s is not known and not restored",
				name) >= 0)
			p->r->ev.warning(p->r->ev.arg, text);
	}
}

/* What exists at the place of a node: 0, ENOENT, or another error. */
static int
stat_existing(struct rplan *p, struct rlevel *l, struct stat *st)
{
	if (l->dir->is_fresh)
		return ENOENT;
	int fd = plan_level_fd(p, l);

	if (fd < 0)
		return errno;
	return fstatat(fd, base(p, l), st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
}

/* True when the overwrite rules leave what exists alone, which is counted. */
static bool
is_left_alone(struct rplan *p, const struct hf_node *n, const struct stat *st)
{
	struct timespec mtime = {n->mtime.sec, n->mtime.nsec};
	struct hf_restore *r = p->r;

	if (restore_may_overwrite(r, &mtime, st))
		return false;
	atomic_fetch_add(&r->progress.files_skipped, 1);
	atomic_fetch_add(&r->progress.bytes_skipped, n->size);
	restore_item(r, HF_RESTORE_UNCHANGED, plan_rel(p), n->size);
	return true;
}

static struct hf_err *
make_special(struct rplan *p, struct rlevel *l, const struct hf_node *n, bool exists)
{
	struct hf_restore *r = p->r;
	int fd = plan_level_fd(p, l);
	struct rmeta meta;

	if (fd < 0)
		return hf_err_errno(errno, "opening its folder");
	if (exists)
		HF_TRY(restore_remove(r, fd, base(p, l)));
	HF_TRY(restore_make_special(fd, base(p, l), n));
	restore_meta_init(r, n, &meta);
	struct hf_err *e = restore_meta_at(r, fd, base(p, l), &meta);

	restore_meta_clear(&meta);
	return e;
}

void
plan_special(struct rplan *p, struct rlevel *l, const struct hf_node *n)
{
	struct hf_restore *r = p->r;
	struct hf_err *e = NULL;
	struct stat st;

	if (r->is_verifying)
		return;
	atomic_fetch_add(&r->progress.total_files, 1);
	int en = stat_existing(p, l, &st);
	if (en == 0 && is_left_alone(p, n, &st))
		return;
	if (en != 0 && en != ENOENT)
		e = hf_err_errno(en, "stat");
	else if (!r->opt.is_dry_run)
		e = make_special(p, l, n, en == 0);
	if (e != NULL) {
		restore_error(r, plan_rel(p), e);
		return;
	}
	atomic_fetch_add(&r->progress.files_restored, 1);
	restore_item(r, HF_RESTORE_OTHER, plan_rel(p), 0);
}

/* The place of a bit for the next file; NULL when nobody will ask, or there are far too many. */
static struct rmark *
next_mark(struct rplan *p, uint8_t *bit)
{
	struct hf_restore *r = p->r;
	size_t i = p->n_files++, chunk = i / 8 / MARK_CHUNK;

	if (!r->opt.can_verify || chunk >= MARK_CHUNKS)
		return NULL;
	if (r->marks[chunk] == NULL)
		r->marks[chunk] = hf_alloc_(MARK_CHUNK, sizeof *r->marks[chunk]);
	*bit = (uint8_t)(1u << (i % 8));
	return &r->marks[chunk][i / 8 % MARK_CHUNK];
}

static struct rfile *
new_file(struct rplan *p, struct rlevel *l, const struct hf_node *n)
{
	struct rfile *f = restore_file_new(l->dir, n->name);

	restore_meta_init(p->r, n, &f->meta);
	f->size = n->size;
	f->n_blobs = n->n_content;
	f->left = n->n_content;
	return f;
}

/* Decides what has to be done with a file of which something may exist, and adds it. */
static void
plan_existing(struct rplan *p, struct rfile *f, const struct hf_node *n, const struct stat *st)
{
	struct hf_restore *r = p->r;

	f->exists = S_ISREG(st->st_mode);
	if (!f->exists)
		return;
	f->must_replace = st->st_nlink > 1;
	f->is_size_ok = (uint64_t)st->st_size == n->size;
	if (n->n_content == 0 && !f->is_size_ok)
		restore_file_dirty(r, f);
	if (r->opt.overwrite == HF_OVERWRITE_IF_CHANGED && f->is_size_ok &&
		st->st_mtim.tv_sec == n->mtime.sec &&
		st->st_mtim.tv_nsec == (long)n->mtime.nsec) {
		f->n_blobs = 0; /* trusted */
		f->left = 0;
	}
}

void
plan_file(struct rplan *p, struct rlevel *l, const struct hf_node *n)
{
	struct hf_restore *r = p->r;
	uint8_t bit = 0;
	struct rmark *mark = next_mark(p, &bit);
	struct stat st;
	int en = ENOENT;

	if (r->is_verifying) {
		if (mark == NULL || !(atomic_load(&mark->bits) & bit))
			return;
	} else {
		en = stat_existing(p, l, &st);
		if (en != 0 && en != ENOENT) {
			restore_error(r, plan_rel(p), hf_err_errno(en, "stat"));
			return;
		}
		if (en == 0 && is_left_alone(p, n, &st))
			return;
	}
	struct rfile *f = new_file(p, l, n);

	f->mark = mark;
	f->mark_bit = bit;
	if (en == 0)
		plan_existing(p, f, n, &st);
	if (!f->exists && !r->is_verifying) {
		atomic_fetch_add(&r->progress.total_files, 1);
		atomic_fetch_add(&r->progress.total_bytes, n->size);
	}
	if (!f->exists && r->opt.is_dry_run && r->survey == NULL) {
		f->left = 0;
		f->n_blobs = 0;
	}
	if (f->n_blobs > 0 || r->is_verifying)
		add_wants(p, f, n);
	else
		add_finish(p, f);
	plan_window_grew(p);
}

/* ---- hard links ---- */

static void
add_link(struct rplan *p, struct rlevel *l, const struct hf_node *n, const char *target)
{
	struct rwindow *w = p->window;
	struct rlink *k = hf_alloc_(1, sizeof *k + n->name.len + 1);

	k->dir = rdir_ref(l->dir);
	k->mtime = (struct timespec){n->mtime.sec, n->mtime.nsec};
	k->target = hf_str_dup(hf_str(target));
	memcpy(k->name, n->name.p, n->name.len);
	RESTORE_PUSH(w->links, w->n_links, w->cap_links);
	w->links[w->n_links - 1] = k;
	plan_window_grew(p);
}

bool
plan_hardlink(struct rplan *p, struct rlevel *l, const struct hf_node *n)
{
	const char *first =
		hf_hardlinks_meet(&p->hardlinks, n->inode, n->device_id, n->links, plan_rel(p));

	if (first == NULL)
		return false;
	if (!p->r->is_verifying) {
		atomic_fetch_add(&p->r->progress.total_files, 1);
		add_link(p, l, n, first);
	}
	return true;
}
