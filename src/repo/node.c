/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/node.h"

#include <sys/stat.h>

#include "base/utf8.h"
#include "codec/quote.h"

/* Bits of Go's os.FileMode. */
enum {
	GO_DEVICE = 1 << 26,
	GO_FIFO = 1 << 25,
	GO_SOCKET = 1 << 24,
	GO_SETUID = 1 << 23,
	GO_SETGID = 1 << 22,
	GO_CHARDEV = 1 << 21,
	GO_STICKY = 1 << 20,
	GO_IRREGULAR = 1 << 19,
	GO_SYMLINK = 1 << 27,
};
#define GO_DIR (UINT32_C(1) << 31)

static const char *const type_text[] = {
	[HF_NODE_INVALID] = "",
	[HF_NODE_FILE] = "file",
	[HF_NODE_DIR] = "dir",
	[HF_NODE_SYMLINK] = "symlink",
	[HF_NODE_DEV] = "dev",
	[HF_NODE_CHARDEV] = "chardev",
	[HF_NODE_FIFO] = "fifo",
	[HF_NODE_SOCKET] = "socket",
	[HF_NODE_IRREGULAR] = "irregular",
};
enum { N_TYPES = sizeof type_text / sizeof type_text[0] };

const char *
hf_node_type_text(enum hf_node_type t)
{
	return (unsigned)t < N_TYPES ? type_text[t] : "";
}

uint32_t
hf_mode_from_stat(mode_t m)
{
	uint32_t go = m & 0777;

	switch (m & S_IFMT) {
	case S_IFREG:
		break;
	case S_IFDIR:
		go |= GO_DIR;
		break;
	case S_IFLNK:
		go |= GO_SYMLINK;
		break;
	case S_IFBLK:
		go |= GO_DEVICE;
		break;
	case S_IFCHR:
		go |= GO_DEVICE | GO_CHARDEV;
		break;
	case S_IFIFO:
		go |= GO_FIFO;
		break;
	case S_IFSOCK:
		go |= GO_SOCKET;
		break;
	default:
		go |= GO_IRREGULAR;
	}
	if (m & S_ISUID)
		go |= GO_SETUID;
	if (m & S_ISGID)
		go |= GO_SETGID;
	if (m & S_ISVTX)
		go |= GO_STICKY;
	return go;
}

mode_t
hf_mode_perm(uint32_t mode)
{
	mode_t m = mode & 0777;

	if (mode & GO_SETUID)
		m |= S_ISUID;
	if (mode & GO_SETGID)
		m |= S_ISGID;
	if (mode & GO_STICKY)
		m |= S_ISVTX;
	return m;
}

struct hf_mode_text
hf_mode_text(uint32_t mode)
{
	static const char flag[] = "dalTLDpSugct?", rwx[] = "rwxrwxrwx";
	struct hf_mode_text t = {{0}};
	size_t n = 0;

	for (unsigned i = 0; i < sizeof flag - 1; i++)
		if (mode & (GO_DIR >> i))
			t.s[n++] = flag[i];
	if (n == 0)
		t.s[n++] = '-';
	for (unsigned i = 0; i < 9; i++)
		t.s[n++] = mode & (0400u >> i) ? rwx[i] : '-';
	return t;
}

/* ---- writing ---- */

/* As hf_buf_add(), but in place when there is room: most pieces have a constant length. */
static inline void
put(struct hf_buf *b, const void *p, size_t n)
{
	if (n == 0) /* p may be NULL then, which memcpy() does not take */
		return;
	if (__builtin_expect(n <= b->cap - b->len, 1)) {
		memcpy(b->p + b->len, p, n);
		b->len += n;
	} else {
		hf_buf_add(b, p, n);
	}
}

#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static void
put_u64(struct hf_buf *b, uint64_t v)
{
	char text[20];
	size_t i = sizeof text;

	do
		text[--i] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	put(b, text + i, sizeof text - i);
}

/* True when neither Go's quoting nor JSON changes anything; in doubt false. */
static bool
is_plain(struct hf_str s)
{
	bool odd = false;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		odd |= c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' ||
		       c == '&';
	}
	return !odd;
}

/* A JSON string. */
static void
put_str(struct hf_buf *b, struct hf_str s)
{
	if (is_plain(s)) {
		PUT(b, "\"");
		put(b, s.p, s.len);
		PUT(b, "\"");
	} else {
		hf_jout_str(&(struct hf_jout){.buf = b}, s);
	}
}

static void
put_name(struct hf_buf *b, struct hf_str name)
{
	hf_auto(hf_buf) quoted = HF_BUF_MAX(SIZE_MAX / 2);

	if (is_plain(name)) {
		put_str(b, name);
		return;
	}
	hf_quote(&quoted, name);
	b->is_full |= quoted.is_full;
	hf_jout_str(&(struct hf_jout){.buf = b}, hf_bytes_str(hf_buf_bytes(&quoted)));
}

static void
put_id(struct hf_buf *b, const struct hf_id *id)
{
	struct hf_hex hex = hf_id_hex(id);

	PUT(b, "\"");
	put(b, hex.s, HF_ID_HEX);
	PUT(b, "\"");
}

static bool
same_time(const struct hf_time *a, const struct hf_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec && a->zone_s == b->zone_s;
}

/*
 * The three times. They are often equal, and making the text is the most expensive part of a
 * node, so equal ones are copied.
 */
static void
put_times(struct hf_buf *b, const struct hf_node *n)
{
	PUT(b, ",\"mtime\":\"");
	size_t start = b->len;
	hf_time_add(b, &n->mtime);
	size_t len = b->len - start;
	char mtime[48];
	bool can_copy = !b->is_full && len <= sizeof mtime;

	if (can_copy)
		memcpy(mtime, b->p + start, len);
	PUT(b, "\",\"atime\":\"");
	if (can_copy && same_time(&n->atime, &n->mtime))
		put(b, mtime, len);
	else
		hf_time_add(b, &n->atime);
	PUT(b, "\",\"ctime\":\"");
	if (can_copy && same_time(&n->ctime, &n->mtime))
		put(b, mtime, len);
	else
		hf_time_add(b, &n->ctime);
	PUT(b, "\"");
}

static void
put_xattrs(struct hf_buf *b, const struct hf_node *n)
{
	for (size_t i = 0; i < n->n_xattrs; i++) {
		if (i == 0)
			PUT(b, ",\"extended_attributes\":[{\"name\":");
		else
			PUT(b, ",{\"name\":");
		put_str(b, n->xattrs[i].name);
		PUT(b, ",\"value\":");
		hf_jout_base64(&(struct hf_jout){.buf = b}, n->xattrs[i].value);
		PUT(b, "}");
	}
	if (n->n_xattrs > 0)
		PUT(b, "]");
}

static void
put_linktarget(struct hf_buf *b, const struct hf_node *n)
{
	if (n->linktarget.len == 0)
		return;
	PUT(b, ",\"linktarget\":");
	put_str(b, n->linktarget);
	if (!is_plain(n->linktarget) && !hf_utf8_is_valid(n->linktarget)) {
		PUT(b, ",\"linktarget_raw\":");
		hf_jout_base64(&(struct hf_jout){.buf = b}, hf_str_bytes(n->linktarget));
	}
}

static void
put_content(struct hf_buf *b, const struct hf_node *n)
{
	if (!n->has_content) {
		PUT(b, ",\"content\":null");
		return;
	}
	PUT(b, ",\"content\":[");
	for (size_t i = 0; i < n->n_content; i++) {
		if (i > 0)
			PUT(b, ",");
		put_id(b, &n->content[i]);
	}
	PUT(b, "]");
}

/* A field that is left out when it is zero or empty. */
#define PUT_U64(b, key, v)                                                                     \
	do {                                                                                   \
		if ((v) != 0) {                                                                \
			PUT(b, ",\"" key "\":");                                               \
			put_u64(b, v);                                                         \
		}                                                                              \
	} while (0)
#define PUT_STR(b, key, s)                                                                     \
	do {                                                                                   \
		if ((s).len != 0) {                                                            \
			PUT(b, ",\"" key "\":");                                               \
			put_str(b, s);                                                         \
		}                                                                              \
	} while (0)

void
hf_node_add(struct hf_buf *b, const struct hf_node *n)
{
	const char *type = hf_node_type_text(n->type);

	PUT(b, "{\"name\":");
	put_name(b, n->name);
	PUT(b, ",\"type\":");
	put_str(b, n->type == HF_NODE_INVALID ? n->other_type : hf_str(type));
	PUT_U64(b, "mode", n->mode);
	put_times(b, n);
	PUT(b, ",\"uid\":");
	put_u64(b, n->uid);
	PUT(b, ",\"gid\":");
	put_u64(b, n->gid);
	PUT_STR(b, "user", n->user);
	PUT_STR(b, "group", n->group);
	PUT_U64(b, "inode", n->inode);
	PUT_U64(b, "device_id", n->device_id);
	PUT_U64(b, "size", n->size);
	PUT_U64(b, "links", n->links);
	put_linktarget(b, n);
	put_xattrs(b, n);
	if (n->generic_attributes.len != 0) {
		PUT(b, ",\"generic_attributes\":");
		put(b, n->generic_attributes.p, n->generic_attributes.len);
	}
	PUT_U64(b, "device", n->device);
	put_content(b, n);
	if (n->has_subtree) {
		PUT(b, ",\"subtree\":");
		put_id(b, &n->subtree);
	}
	PUT_STR(b, "error", n->error);
	PUT(b, "}");
}
