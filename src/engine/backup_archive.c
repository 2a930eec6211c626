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
#include <stdlib.h>

#include "base/endian.h"
#include "base/host.h"
#include "engine/backup_i.h"
#include "engine/libarchive.h"

enum {
	READ_SIZE = 1 << 20,
	MAX_PATH = 1 << 20,
	MAX_ATTRS = 64 << 20, /* bytes of names and values of one entry */
	NOBODY = 65534,
};

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* An attribute while its bytes may still move. */
struct attr {
	uint64_t name, value; /* in `bytes` */
	uint64_t name_len, value_len;
};

struct unpack {
	struct worker *w;
	struct dir *d;
	struct archive *a;
	struct archive_entry *entry;
	locale_t c_locale;
	struct hf_buf path;   /* clean, without a slash in front; a NUL behind it */
	struct hf_buf target; /* the same */
	struct hf_buf bytes, attrs, xattrs;

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
	hf_buf_clear(&u->bytes);
	hf_buf_clear(&u->attrs);
	hf_buf_clear(&u->xattrs);
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

/* ---- attributes ---- */

static void
add_attr(struct unpack *u, struct hf_str name, struct hf_bytes value)
{
	struct attr x = {u->bytes.len, u->bytes.len + name.len, name.len, value.len};

	hf_buf_add(&u->bytes, name.p, name.len);
	hf_buf_add(&u->bytes, value.p, value.len);
	hf_buf_add(&u->attrs, &x, sizeof x);
}

/* The sign that ends a key in pax headers stands in a name as GNU tar and others write it. */
static size_t
decode_name(const char *name, char *out)
{
	size_t len = 0;

	while (*name != '\0') {
		bool is_equals = strncmp(name, "%3D", 3) == 0;

		if (is_equals || strncmp(name, "%25", 3) == 0) {
			out[len++] = is_equals ? '=' : '%';
			name += 3;
		} else {
			out[len++] = *name++;
		}
	}
	return len;
}

static void
add_xattrs(struct unpack *u)
{
	const char *name;
	const void *value;
	size_t len;

	archive_entry_xattr_reset(u->entry);
	while (archive_entry_xattr_next(u->entry, &name, &value, &len) == ARCHIVE_OK) {
		hf_autofree char *decoded = hf_alloc_(strlen(name) + 1, 1);
		size_t n = decode_name(name, decoded);

		if (n > 0)
			add_attr(u, (struct hf_str){decoded, n}, (struct hf_bytes){value, len});
	}
}

/* One entry of an ACL as Linux keeps it. */
struct ace {
	uint16_t tag, perm;
	uint32_t id;
};

static int
compare_aces(const void *a, const void *b)
{
	const struct ace *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* The id of a user or group that the archive names by name only. */
static struct hf_err *
find_id(bool is_user, const char *name, uint32_t *id)
{
	bool is_known =
		name != NULL && (is_user ? hf_user_id(name, id) : hf_group_id(name, id));

	return is_known ? NULL
			: hf_err(HF_EINVAL, "the ACL names the %s %s, which nobody knows here",
				  is_user ? "user" : "group", name != NULL ? name : "?");
}

/* False: it is no entry that Linux has. */
static bool
tag_of(int tag, struct ace *out)
{
	out->id = UINT32_MAX;
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		out->tag = 0x01;
		return true;
	case ARCHIVE_ENTRY_ACL_USER:
		out->tag = 0x02;
		return true;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		out->tag = 0x04;
		return true;
	case ARCHIVE_ENTRY_ACL_GROUP:
		out->tag = 0x08;
		return true;
	case ARCHIVE_ENTRY_ACL_MASK:
		out->tag = 0x10;
		return true;
	case ARCHIVE_ENTRY_ACL_OTHER:
		out->tag = 0x20;
		return true;
	default:
		return false;
	}
}

/*
 * Where an ACL has a mask, that is what stat() shows as the group's permissions; libarchive puts
 * those of the group's own entry there.
 */
static mode_t
perm_of(struct archive_entry *e)
{
	mode_t perm = archive_entry_perm(e);
	int type, permset, tag, id;
	const char *name;

	archive_entry_acl_reset(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS);
	while (archive_entry_acl_next(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &type, &permset, &tag,
		       &id, &name) == ARCHIVE_OK)
		if (tag == ARCHIVE_ENTRY_ACL_MASK)
			perm = (perm & ~(mode_t)070) | (mode_t)(permset & 7) << 3;
	return perm;
}

static bool
has_attr(const struct unpack *u, const char *name)
{
	for (size_t i = 0; i < u->attrs.len / sizeof(struct attr); i++) {
		const struct attr *x = (const struct attr *)(const void *)u->attrs.p + i;

		if (hf_str_is((struct hf_str){(const char *)u->bytes.p + x->name, x->name_len},
			    name))
			return true;
	}
	return false;
}

/* An ACL that is there as text becomes the attribute that Linux has for it. */
static struct hf_err *
add_acl(struct unpack *u, int which, const char *attr)
{
	hf_auto(hf_buf) aces = HF_BUF_MAX(1 << 20), value = HF_BUF_MAX(1 << 20);
	int n = archive_entry_acl_reset(u->entry, which), type, perm, tag, id;
	const char *name;

	if (n == 0 || (which == ARCHIVE_ENTRY_ACL_TYPE_ACCESS && n <= 3) || has_attr(u, attr))
		return NULL;
	while (archive_entry_acl_next(u->entry, which, &type, &perm, &tag, &id, &name) ==
		ARCHIVE_OK) {
		struct ace ace = {.perm = (uint16_t)(perm & 7)};

		if (!tag_of(tag, &ace))
			continue;
		if (ace.tag == 0x02 || ace.tag == 0x08) {
			ace.id = (uint32_t)id;
			if (id < 0)
				HF_TRY(find_id(ace.tag == 0x02, name, &ace.id));
		}
		hf_buf_add(&aces, &ace, sizeof ace);
	}
	if (aces.len == 0)
		return NULL;
	qsort(aces.p, aces.len / sizeof(struct ace), sizeof(struct ace), compare_aces);
	hf_buf_add(&value, "\2\0\0\0", 4);
	for (size_t i = 0; i < aces.len / sizeof(struct ace); i++) {
		struct ace ace;
		uint8_t raw[8];

		memcpy(&ace, aces.p + i * sizeof ace, sizeof ace);
		hf_put_le32(raw, ace.tag | (uint32_t)ace.perm << 16);
		hf_put_le32(raw + 4, ace.id);
		hf_buf_add(&value, raw, sizeof raw);
	}
	add_attr(u, hf_str(attr), hf_buf_bytes(&value));
	return hf_buf_ok(&value);
}

static int
compare_xattrs(const void *a, const void *b)
{
	const struct hf_xattr *x = a, *y = b;

	return hf_str_cmp(x->name, y->name);
}

/* Attributes sorted by name, each once; some programs write one in several ways. */
static struct hf_err *
make_xattrs(struct unpack *u, struct hf_node *node)
{
	struct hf_xattr *x;
	size_t n;

	hf_buf_reset(&u->bytes);
	hf_buf_reset(&u->attrs);
	hf_buf_reset(&u->xattrs);
	add_xattrs(u);
	struct hf_err *e = add_acl(u, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ACL_ACCESS);
	if (e == NULL)
		e = add_acl(u, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, ACL_DEFAULT);
	if (e != NULL)
		report(u->w, (const char *)u->path.p,
			hf_err_in(e, "incomplete metadata for %s", (const char *)u->path.p));
	HF_TRY(hf_buf_ok(&u->bytes));
	HF_TRY(hf_buf_ok(&u->attrs));
	n = u->attrs.len / sizeof(struct attr);
	for (size_t i = 0; i < n; i++) {
		const struct attr *at = (const struct attr *)(const void *)u->attrs.p + i;
		struct hf_xattr one = {{(const char *)u->bytes.p + at->name, at->name_len},
			{u->bytes.p + at->value, at->value_len}};

		hf_buf_add(&u->xattrs, &one, sizeof one);
	}
	HF_TRY(hf_buf_ok(&u->xattrs));
	x = (struct hf_xattr *)(void *)u->xattrs.p;
	if (n > 1)
		qsort(x, n, sizeof *x, compare_xattrs);
	for (size_t i = 0; i < n; i++)
		if (node->n_xattrs == 0 || !hf_str_eq(x[i].name, x[node->n_xattrs - 1].name))
			x[node->n_xattrs++] = x[i];
	node->xattrs = x;
	return NULL;
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

static struct hf_err *
make_node(struct unpack *u, struct hf_node *n)
{
	struct archive_entry *e = u->entry;
	mode_t type = archive_entry_filetype(e);

	*n = (struct hf_node){
		.name = last_part(&u->path),
		.type = type_of(type),
		.mode = hf_mode_from_stat(type | perm_of(e)),
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
	return make_xattrs(u, n);
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
		.bytes = HF_BUF_SPOOL(MAX_ATTRS),
		.attrs = HF_BUF_SPOOL(MAX_ATTRS),
		.xattrs = HF_BUF_SPOOL(MAX_ATTRS),
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
