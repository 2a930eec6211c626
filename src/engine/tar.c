/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/tar.h"

#include <stdio.h>
#include <sys/sysmacros.h>

#include "base/endian.h"

/* The fields of a ustar header: offset and length. */
enum {
	NAME = 0,
	NAME_LEN = 100,
	MODE = 100,
	UID = 108,
	GID = 116,
	SIZE = 124,
	MTIME = 136,
	CHKSUM = 148,
	TYPE = 156,
	LINK = 157,
	LINK_LEN = 100,
	MAGIC = 257,
	UNAME = 265,
	UNAME_LEN = 32,
	GNAME = 297,
	DEVMAJOR = 329,
	DEVMINOR = 337,
	PREFIX = 345,
	PREFIX_LEN = 155,
};

/* Octal digits and a NUL; a number that does not fit is left to pax and reads as 0. */
static bool
put_octal(uint8_t *field, size_t len, uint64_t v)
{
	bool fits = v >> (3 * (len - 1)) == 0;

	if (!fits)
		v = 0;
	field[len - 1] = 0;
	for (size_t i = len - 1; i-- > 0; v >>= 3)
		field[i] = (uint8_t)('0' + (v & 7));
	return fits;
}

static bool
is_ascii(struct hf_str s)
{
	uint8_t any = 0;

	for (size_t i = 0; i < s.len; i++)
		any |= (uint8_t)s.p[i];
	return any < 0x80;
}

/* The text as far as it fits, with what is not ASCII replaced. False: pax must have the whole. */
static bool
put_text(uint8_t *field, size_t len, struct hf_str s)
{
	for (size_t i = 0; i < s.len && i < len; i++)
		field[i] = (uint8_t)s.p[i] < 0x80 ? (uint8_t)s.p[i] : '_';
	return s.len <= len && is_ascii(s);
}

/* A name of up to 255 bytes, split at a slash if it must be. */
static bool
put_name(uint8_t *h, struct hf_str s)
{
	if (s.len > NAME_LEN && s.len <= PREFIX_LEN + 1 + NAME_LEN && is_ascii(s)) {
		for (size_t i = s.len - NAME_LEN - 1; i <= PREFIX_LEN && i + 1 < s.len; i++) {
			if (s.p[i] != '/' || i == 0)
				continue;
			memcpy(h + PREFIX, s.p, i);
			memcpy(h + NAME, s.p + i + 1, s.len - i - 1);
			return true;
		}
	}
	return put_text(h + NAME, NAME_LEN, s);
}

static void
put_checksum(uint8_t *h)
{
	unsigned sum = 0;

	memset(h + CHKSUM, ' ', 8);
	for (size_t i = 0; i < HF_TAR_BLOCK; i++)
		sum += h[i];
	put_octal(h + CHKSUM, 7, sum);
	h[CHKSUM + 7] = ' ';
}

/* ---- pax records ---- */

/* "LENGTH KEY=VALUE\n", where the length counts itself. */
static void
pax(struct hf_buf *out, const char *key, struct hf_str value)
{
	size_t rest = 1 + strlen(key) + 1 + value.len + 1, len = rest;
	char digits[24];

	for (;;) {
		size_t n = (size_t)snprintf(digits, sizeof digits, "%zu", len);

		if (rest + n == len)
			break;
		len = rest + n;
	}
	hf_buf_add_str(out, digits);
	hf_buf_add_char(out, ' ');
	hf_buf_add_str(out, key);
	hf_buf_add_char(out, '=');
	hf_buf_add(out, value.p, value.len);
	hf_buf_add_char(out, '\n');
}

static void
pax_number(struct hf_buf *out, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	pax(out, key, hf_str(text));
}

/* Seconds with a fraction; before 1970 the fraction counts backwards. */
static void
pax_time(struct hf_buf *out, const char *key, const struct hf_time *t)
{
	bool is_negative = t->sec < 0;
	uint64_t sec = is_negative ? -(uint64_t)t->sec : (uint64_t)t->sec;
	uint32_t nsec = t->nsec;
	char text[48];

	if (is_negative && nsec > 0) {
		sec--;
		nsec = 1000000000 - nsec;
	}
	int n = snprintf(text, sizeof text, "%s%llu.%09u", is_negative ? "-" : "",
		(unsigned long long)sec, nsec);
	while (text[n - 1] == '0')
		text[--n] = 0;
	if (text[n - 1] == '.')
		text[n - 1] = 0;
	pax(out, key, hf_str(text));
}

/*
 * The text form of an ACL as Linux keeps it: a version, then tag, permissions and id of each
 * entry. False: it is not one.
 */
static bool
acl_text(struct hf_buf *out, struct hf_bytes acl)
{
	if (acl.len < 4 || (acl.len - 4) % 8 != 0 || hf_get_le32(acl.p) != 2)
		return false;
	for (size_t i = 4; i < acl.len; i += 8) {
		uint32_t word = hf_get_le32(acl.p + i), id = hf_get_le32(acl.p + i + 4);
		unsigned tag = word & 0xffff, perm = word >> 16;
		const char *who;

		switch (tag) {
		case 0x01:
		case 0x02:
			who = "user";
			break;
		case 0x04:
		case 0x08:
			who = "group";
			break;
		case 0x10:
			who = "mask";
			break;
		case 0x20:
			who = "other";
			break;
		default:
			return false;
		}
		hf_buf_addf(out, "%s:", who);
		if (tag == 0x02 || tag == 0x08)
			hf_buf_addf(out, "%u", id);
		hf_buf_addf(out, ":%c%c%c\n", perm & 4 ? 'r' : '-', perm & 2 ? 'w' : '-',
			perm & 1 ? 'x' : '-');
	}
	return true;
}

static void
pax_xattr(struct hf_buf *out, const struct hf_xattr *x)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);
	bool is_access = hf_str_is(x->name, "system.posix_acl_access");

	if (is_access || hf_str_is(x->name, "system.posix_acl_default")) {
		if (acl_text(&text, x->value))
			pax(out, is_access ? "SCHILY.acl.access" : "SCHILY.acl.default",
				hf_bytes_str(hf_buf_bytes(&text)));
		return;
	}
	/* The sign that ends a key is written as GNU tar does. */
	hf_buf_add_str(&text, "SCHILY.xattr.");
	for (size_t i = 0; i < x->name.len; i++) {
		char c = x->name.p[i];

		if (c == '=')
			hf_buf_add_str(&text, "%3D");
		else if (c == '%')
			hf_buf_add_str(&text, "%25");
		else if (c != 0)
			hf_buf_add_char(&text, c);
	}
	hf_buf_add_char(&text, 0);
	if (!text.is_full)
		pax(out, (const char *)text.p, hf_bytes_str(x->value));
}

/* ---- headers ---- */

static void
finish_header(struct hf_buf *out, uint8_t *h, char type, uint64_t device)
{
	h[TYPE] = (uint8_t)type;
	memcpy(h + MAGIC, "ustar\00000", 8);
	put_octal(h + DEVMAJOR, 8, major(device));
	put_octal(h + DEVMINOR, 8, minor(device));
	put_checksum(h);
	hf_buf_add(out, h, HF_TAR_BLOCK);
}

/* The pax header that belongs to the entry after it. */
static void
add_pax_header(struct hf_buf *out, const struct hf_buf *records, struct hf_str name)
{
	uint8_t h[HF_TAR_BLOCK] = {0};
	hf_auto(hf_buf) full = HF_BUF_MAX(SIZE_MAX / 2);

	hf_buf_add_str(&full, "PaxHeaders.0/");
	hf_buf_add(&full, name.p, name.len < 80 ? name.len : 80);
	put_text(h + NAME, NAME_LEN, hf_bytes_str(hf_buf_bytes(&full)));
	put_octal(h + MODE, 8, 0644);
	put_octal(h + UID, 8, 0);
	put_octal(h + GID, 8, 0);
	put_octal(h + SIZE, 12, records->len);
	put_octal(h + MTIME, 12, 0);
	finish_header(out, h, 'x', 0);
	hf_buf_add(out, records->p, records->len);
	hf_tar_pad(out, records->len);
}

/* The last component, for the name of the pax header. */
static struct hf_str
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return hf_str(slash != NULL ? slash + 1 : path);
}

static char
type_of(const struct hf_tar_entry *entry)
{
	static const char types[] = {[HF_NODE_FILE] = '0',
		[HF_NODE_DIR] = '5',
		[HF_NODE_SYMLINK] = '2',
		[HF_NODE_DEV] = '4',
		[HF_NODE_CHARDEV] = '3',
		[HF_NODE_FIFO] = '6'};

	return entry->hardlink != NULL ? '1' : types[entry->node->type];
}

static void
add_names(const struct hf_tar_entry *entry, uint8_t *h, struct hf_buf *records)
{
	hf_auto(hf_buf) name = HF_BUF_MAX(SIZE_MAX / 2);
	struct hf_str full, target = entry->node->linktarget;

	if (entry->is_sparse) {
		/* For programs that do not know what it is: they see a file of that name. */
		hf_buf_add_str(&name, "GNUSparseFile.0/");
		hf_buf_add_str(&name, last_part(entry->path).p);
	} else {
		hf_buf_add_str(&name, entry->path);
		if (entry->node->type == HF_NODE_DIR)
			hf_buf_add_char(&name, '/');
	}
	full = hf_bytes_str(hf_buf_bytes(&name));
	if (!put_name(h, full))
		pax(records, "path", full);
	if (entry->hardlink != NULL)
		target = hf_str(entry->hardlink);
	else if (entry->node->type != HF_NODE_SYMLINK)
		return;
	if (!put_text(h + LINK, LINK_LEN, target))
		pax(records, "linkpath", target);
}

static void
add_sparse(const struct hf_tar_entry *entry, struct hf_buf *records)
{
	pax_number(records, "GNU.sparse.major", 1);
	pax_number(records, "GNU.sparse.minor", 0);
	pax(records, "GNU.sparse.name", hf_str(entry->path));
	pax_number(records, "GNU.sparse.realsize", entry->real_size);
}

struct hf_err *
hf_tar_header(struct hf_buf *out, const struct hf_tar_entry *entry)
{
	hf_auto(hf_buf) records = HF_BUF_SPOOL(UINT32_MAX);
	const struct hf_node *n = entry->node;
	bool is_device = n->type == HF_NODE_DEV || n->type == HF_NODE_CHARDEV;
	uint8_t h[HF_TAR_BLOCK] = {0};

	add_names(entry, h, &records);
	put_octal(h + MODE, 8, hf_mode_perm(n->mode));
	if (!put_octal(h + UID, 8, n->uid))
		pax_number(&records, "uid", n->uid);
	if (!put_octal(h + GID, 8, n->gid))
		pax_number(&records, "gid", n->gid);
	if (!put_text(h + UNAME, UNAME_LEN - 1, n->user))
		pax(&records, "uname", n->user);
	if (!put_text(h + GNAME, UNAME_LEN - 1, n->group))
		pax(&records, "gname", n->group);
	if (!put_octal(h + SIZE, 12, entry->size))
		pax_number(&records, "size", entry->size);
	if (!put_octal(
		    h + MTIME, 12, n->mtime.sec >= 0 ? (uint64_t)n->mtime.sec : UINT64_MAX) ||
		n->mtime.nsec != 0)
		pax_time(&records, "mtime", &n->mtime);
	if (entry->is_sparse)
		add_sparse(entry, &records);
	for (size_t i = 0; i < n->n_xattrs && entry->hardlink == NULL; i++)
		pax_xattr(&records, &n->xattrs[i]);
	HF_TRY(hf_buf_ok(&records));
	if (records.len > 0)
		add_pax_header(out, &records, last_part(entry->path));
	finish_header(out, h, type_of(entry), is_device ? n->device : 0);
	return hf_buf_ok(out);
}

void
hf_tar_pad(struct hf_buf *out, uint64_t size)
{
	static const uint8_t zeros[HF_TAR_BLOCK];

	if (size % HF_TAR_BLOCK != 0)
		hf_buf_add(out, zeros, HF_TAR_BLOCK - (size_t)(size % HF_TAR_BLOCK));
}

void
hf_tar_end(struct hf_buf *out)
{
	static const uint8_t zeros[2 * HF_TAR_BLOCK];

	hf_buf_add(out, zeros, sizeof zeros);
}
