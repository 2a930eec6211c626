/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a tar archive, by libarchive, entry by entry: nodes are made of the headers, and the
 * content of files is cut into chunks as that of any other file.
 *
 * Names are bytes. libarchive takes those in pax headers for UTF-8 and brings them into the form
 * NFC, so that two names can become one, unless the locale is one that has none of the characters:
 * then it complains and gives the bytes as they are. Therefore headers are read in the locale "C",
 * and that complaint is none.
 */
#include <locale.h>

#include "engine/archive_attrs.h"
#include "engine/backup_i.h"
#include "engine/libarchive.h"

enum {
	READ_SIZE = 1 << 20,
	MAX_PATH = 1 << 20,
	NOBODY = 65534,
};

struct unpack {
	struct worker *w;
	struct dir *d;
	struct archive *a;
	struct archive_entry *entry;
	locale_t c_locale;
	struct hf_buf path;   /* clean, without a slash in front; a NUL behind it */
	struct hf_buf target; /* the same */
	struct hf_archive_attrs attrs;

	/* The content of the entry that is being read. */
	const uint8_t *block;
	size_t block_len;
	uint64_t block_off, pos;
	bool at_end;
};

static void
unpack_clear(struct unpack *u)
{
	if (u->a != NULL)
		archive_read_free(u->a);
	if (u->c_locale != NULL)
		freelocale(u->c_locale);
	hf_buf_clear(&u->path);
	hf_buf_clear(&u->target);
	hf_archive_attrs_clear(&u->attrs);
}

static struct hf_err *
archive_err(struct unpack *u)
{
	const char *text = archive_error_string(u->a);

	return hf_err(HF_ECORRUPT, "%s", text != NULL ? text : "the archive cannot be read");
}

/* ---- names ---- */

/*
 * The parts of a name, joined by single slashes; nothing is left of "/" and "./". A slash in front
 * has no meaning in an archive.
 */
static struct hf_err *
clean_name(const char *name, struct hf_buf *out)
{
	hf_buf_reset(out);
	for (const char *p = name; *p != '\0';) {
		size_t len = strcspn(p, "/");

		if (len == 2 && memcmp(p, "..", 2) == 0)
			return hf_err(
				HF_ECORRUPT, "the name %s leads out of the archive", name);
		if (len > 0 && !(len == 1 && *p == '.')) {
			if (out->len > 0)
				hf_buf_add_char(out, '/');
			hf_buf_add(out, p, len);
		}
		p += len + (p[len] == '/');
	}
	hf_buf_add_char(out, '\0');
	HF_TRY(hf_buf_ok(out));
	out->len--;
	return NULL;
}

static struct hf_str
last_part(const struct hf_buf *path)
{
	const char *p = (const char *)path->p;
	const char *slash = strrchr(p, '/');

	return hf_str(slash != NULL ? slash + 1 : p);
}

/* ---- nodes ---- */

/*
 * Before 1970 libarchive gives both parts of a number with a sign, the second one without it. That
 * of "-0.5" is lost.
 */
static struct hf_time
time_of(time_t sec, long nsec)
{
	if (sec < 0 && nsec > 0) {
		sec--;
		nsec = 1000000000 - nsec;
	}
	return hf_time_local((struct timespec){sec, nsec});
}

static enum hf_node_type
type_of(mode_t mode)
{
	switch (mode) {
	case AE_IFREG:
		return HF_NODE_FILE;
	case AE_IFDIR:
		return HF_NODE_DIR;
	case AE_IFLNK:
		return HF_NODE_SYMLINK;
	case AE_IFBLK:
		return HF_NODE_DEV;
	case AE_IFCHR:
		return HF_NODE_CHARDEV;
	case AE_IFIFO:
		return HF_NODE_FIFO;
	default:
		return HF_NODE_INVALID;
	}
}

static struct hf_str
text_or_none(const char *s)
{
	return hf_str(s != NULL ? s : "");
}

/* What is cut off a large number must not make it that of root. */
static uint32_t
owner(struct unpack *u, int64_t id)
{
	if (id >= 0 && id < UINT32_MAX)
		return (uint32_t)id;
	report(u->w, (const char *)u->path.p,
		hf_err(HF_EINVAL,
			"incomplete metadata for %s: %lld is no number of a user or group",
			(const char *)u->path.p, (long long)id));
	return NOBODY;
}

/* What cannot be had of its attributes is told, and left out. */
static struct hf_err *
add_attrs(struct unpack *u, struct hf_node *n)
{
	struct hf_err *odd = NULL, *e = hf_archive_attrs_add(&u->attrs, u->entry, n, &odd);

	if (odd != NULL)
		report(u->w, (const char *)u->path.p,
			hf_err_in(odd, "incomplete metadata for %s", (const char *)u->path.p));
	return e;
}

static struct hf_err *
make_node(struct unpack *u, struct hf_node *n)
{
	struct archive_entry *e = u->entry;
	mode_t type = archive_entry_filetype(e);

	*n = (struct hf_node){
		.name = last_part(&u->path),
		.type = type_of(type),
		.mode = hf_mode_from_stat(type | hf_archive_perm(e)),
		.mtime = time_of(archive_entry_mtime(e), archive_entry_mtime_nsec(e)),
		.uid = owner(u, archive_entry_uid(e)),
		.gid = owner(u, archive_entry_gid(e)),
		.user = text_or_none(archive_entry_uname(e)),
		.group = text_or_none(archive_entry_gname(e)),
		.has_content = type == AE_IFREG,
		.has_subtree = type == AE_IFDIR,
	};
	n->atime = n->ctime = n->mtime;
	if (archive_entry_ctime_is_set(e))
		n->ctime = time_of(archive_entry_ctime(e), archive_entry_ctime_nsec(e));
	if (u->w->b->o->with_atime && archive_entry_atime_is_set(e))
		n->atime = time_of(archive_entry_atime(e), archive_entry_atime_nsec(e));
	if (n->type != HF_NODE_DIR)
		n->links = 1;
	if (n->type == HF_NODE_SYMLINK)
		n->linktarget = text_or_none(archive_entry_symlink(e));
	if (n->type == HF_NODE_FIFO)
		n->links = 0; /* as in a backup */
	if (n->type == HF_NODE_DEV || n->type == HF_NODE_CHARDEV)
		n->device = archive_entry_rdev(e);
	return add_attrs(u, n);
}

/* ---- content ---- */

static struct hf_err *
next_block(struct unpack *u)
{
	const void *p;
	la_int64_t off;
	int r = archive_read_data_block(u->a, &p, &u->block_len, &off);

	if (r == ARCHIVE_EOF) {
		u->at_end = true;
		u->block_len = 0;
		u->block_off = (uint64_t)archive_entry_size(u->entry);
	} else if (r == ARCHIVE_OK || r == ARCHIVE_WARN) {
		u->block = p;
		u->block_off = (uint64_t)off;
	} else {
		return hf_err_in(archive_err(u), "%s", (const char *)u->path.p);
	}
	/* Of a block that begins before where we are nobody would know what to believe. */
	if (!u->at_end && (off < 0 || u->block_off < u->pos))
		return hf_err(HF_ECORRUPT, "%s: its parts overlap", (const char *)u->path.p);
	return NULL;
}

/* A read_fn: the blocks of the entry, and zeros between them. */
static struct hf_err *
read_content(void *arg, uint8_t *p, size_t len, size_t *got)
{
	struct unpack *u = arg;

	*got = 0;
	while (*got < len) {
		size_t room = len - *got, n = 0;

		if (u->pos < u->block_off) {
			n = u->block_off - u->pos < room ? (size_t)(u->block_off - u->pos)
							 : room;
			memset(p + *got, 0, n);
		} else if (u->block_len > 0) {
			n = u->block_len < room ? u->block_len : room;
			memcpy(p + *got, u->block, n);
			u->block += n;
			u->block_len -= n;
			u->block_off += n;
		} else if (u->at_end) {
			break;
		} else {
			HF_TRY(next_block(u));
		}
		u->pos += n;
		*got += n;
	}
	return NULL;
}

static struct hf_err *
unpack_file(struct unpack *u, uint64_t place, const struct hf_node *node)
{
	struct file_job *job = file_job_new(u->d, place, hf_bytes_str(hf_buf_bytes(&u->path)));

	job->is_stdin = true;
	job->stdin_node = *node;
	u->block = NULL;
	u->block_len = 0;
	u->block_off = u->pos = 0;
	u->at_end = false;
	return read_stream(u->w, job, read_content, u);
}

/* ---- entries ---- */

static struct hf_err *
unpack_other(struct unpack *u, uint64_t place, const struct hf_node *node)
{
	const struct hf_backup_events *ev = u->w->b->ev;
	struct hf_backup_item item;

	hf_buf_reset(&u->w->json);
	hf_node_add(&u->w->json, node);
	HF_TRY(hf_buf_ok(&u->w->json));
	HF_TRY(dir_set(u->d, place, hf_buf_bytes(&u->w->json)));
	item_of(node, &item);
	if (node->type != HF_NODE_DIR && ev->item != NULL && ev->wants_items)
		ev->item(ev->arg, snap_path(u->w, u->d, hf_bytes_str(hf_buf_bytes(&u->path))),
			&item);
	return NULL;
}

static struct hf_err *
unpack_entry(struct unpack *u)
{
	const char *name = archive_entry_pathname(u->entry);
	const char *target = archive_entry_hardlink(u->entry);
	struct catalog *c = u->d->catalog;
	struct hf_node node;

	if (name == NULL)
		return hf_err(HF_ECORRUPT, "an entry has no name");
	HF_TRY(clean_name(name, &u->path));
	struct hf_str path = hf_bytes_str(hf_buf_bytes(&u->path));

	if (path.len == 0)
		return NULL; /* the folder that everything is in */
	if (target != NULL) {
		HF_TRY(clean_name(target, &u->target));
		dir_add_place(u->d);
		return catalog_add(
			c, path, HF_NODE_INVALID, hf_bytes_str(hf_buf_bytes(&u->target)));
	}
	HF_TRY(make_node(u, &node));
	if (node.type == HF_NODE_INVALID) {
		report_odd(u->w, (const char *)u->path.p,
			hf_err(HF_EINVAL,
				"%s: left out, as it is of a type that has no place "
				"in a snapshot",
				(const char *)u->path.p));
		return NULL;
	}
	HF_TRY(catalog_add(c, path, node.type, hf_str("")));
	uint64_t place = dir_add_place(u->d);

	return node.type == HF_NODE_FILE ? unpack_file(u, place, &node)
					 : unpack_other(u, place, &node);
}

/* False when there is no entry any more. */
static struct hf_err *
next_entry(struct unpack *u, bool *out)
{
	locale_t before = uselocale(u->c_locale);
	int r = archive_read_next_header(u->a, &u->entry);

	uselocale(before);
	*out = r != ARCHIVE_EOF;
	if (r == ARCHIVE_OK || r == ARCHIVE_EOF)
		return NULL;
	if (r != ARCHIVE_WARN)
		return archive_err(u);
	struct hf_err *e = archive_err(u);

	if (strstr(hf_err_text(e), "can't be converted") == NULL)
		report_odd(u->w, "", hf_err_in(e, "archive"));
	else
		hf_err_free(e);
	return NULL;
}

static struct hf_err *
open_archive(struct unpack *u)
{
	const struct hf_backup_options *o = u->w->b->o;
	int r = ARCHIVE_OK;

	HF_TRY(hf_libarchive_load());
	u->c_locale = newlocale(LC_CTYPE_MASK, "C", (locale_t)0);
	u->a = archive_read_new();
	if (u->c_locale == NULL || u->a == NULL)
		abort();
	archive_read_support_format_tar(u->a);
	if (!o->archive->is_plain)
		archive_read_support_filter_all(u->a);
	if (o->archive->ignore_zeros)
		r = archive_read_set_option(u->a, "tar", "read_concatenated_archives", "1");
	if (r == ARCHIVE_OK)
		r = archive_read_open_fd(u->a, o->stdin_fd, READ_SIZE);
	return r != ARCHIVE_OK ? archive_err(u) : NULL;
}

static struct hf_err *
unpack_all(struct unpack *u)
{
	bool is_there;

	HF_TRY(open_archive(u));
	HF_TRY(next_entry(u, &is_there));
	while (is_there) {
		HF_TRY(check_stop(u->w->b));
		HF_TRY(unpack_entry(u));
		HF_TRY(next_entry(u, &is_there));
	}
	if (u->d->entries.len == 0)
		return hf_err(HF_EINVAL, "the archive is empty");
	return NULL;
}

struct hf_err *
walk_archive(struct worker *w)
{
	struct dir *d = dir_new(NULL, 0, hf_str(""));
	struct unpack u = {
		.w = w,
		.d = d,
		.path = HF_BUF_MAX(MAX_PATH),
		.target = HF_BUF_MAX(MAX_PATH),
		.attrs = HF_ARCHIVE_ATTRS,
	};

	d->catalog = catalog_new();
	d->text.max = d->entries.max = SIZE_MAX / 2;
	w->chunk = chunk_new();
	struct hf_err *e = unpack_all(&u);

	unpack_clear(&u);
	if (e != NULL) {
		dir_drop(d);
		return e;
	}
	return dir_release(w, d);
}
