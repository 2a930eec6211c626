/* SPDX-License-Identifier: BSD-2-Clause */
/* The reading half of node.h: one node out of the JSON of a tree. */
#include <assert.h>

#include "codec/quote.h"
#include "repo/node.h"

static enum hf_node_type
parse_type(struct hf_str s)
{
	for (enum hf_node_type t = HF_NODE_FILE; t <= HF_NODE_IRREGULAR; t++)
		if (hf_str_is(s, hf_node_type_text(t)))
			return t;
	return HF_NODE_INVALID;
}

void
hf_node_store_init(struct hf_node_store *s)
{
	*s = (struct hf_node_store){
		.text = HF_BUF_SPOOL(HF_NODE_STORE_MAX),
		.content = HF_BUF_SPOOL(HF_NODE_STORE_MAX),
		.xattrs = HF_BUF_SPOOL(HF_NODE_STORE_MAX),
	};
}

void
hf_node_store_clear(struct hf_node_store *s)
{
	hf_buf_clear(&s->text);
	hf_buf_clear(&s->content);
	hf_buf_clear(&s->xattrs);
}

/*
 * Text of a node while it is being read. What is in the text buffer may still move, so it is an
 * offset until the node is complete.
 */
struct ref {
	const char *p; /* NULL: at `off` in the text buffer */
	size_t off;
	size_t len;
};

/* An attribute while the node is being read takes the place that it has afterwards. */
struct xattr_ref {
	struct ref name;
	size_t value_off, value_len;
};

static struct ref
ref_of(const struct hf_json *j, const struct hf_node_store *s, struct hf_str str)
{
	const uint8_t *p = (const uint8_t *)str.p;

	if (str.len == 0)
		return (struct ref){.p = ""};
	if (p >= j->start && p < j->end)
		return (struct ref){.p = str.p, .len = str.len};
	return (struct ref){.off = (size_t)(p - s->text.p), .len = str.len};
}

static struct hf_str
ref_str(const struct hf_node_store *s, struct ref r)
{
	if (r.p != NULL)
		return (struct hf_str){r.p, r.len};
	return (struct hf_str){(const char *)s->text.p + r.off, r.len};
}

enum field {
	F_NAME,
	F_TYPE,
	F_MODE,
	F_MTIME,
	F_ATIME,
	F_CTIME,
	F_UID,
	F_GID,
	F_USER,
	F_GROUP,
	F_INODE,
	F_DEVICE_ID,
	F_SIZE,
	F_LINKS,
	F_LINKTARGET,
	F_LINKTARGET_RAW,
	F_XATTRS,
	F_GENERIC,
	F_DEVICE,
	F_CONTENT,
	F_SUBTREE,
	F_ERROR,
	N_FIELDS,
};

static const char *const field_name[N_FIELDS] = {
	[F_NAME] = "name",
	[F_TYPE] = "type",
	[F_MODE] = "mode",
	[F_MTIME] = "mtime",
	[F_ATIME] = "atime",
	[F_CTIME] = "ctime",
	[F_UID] = "uid",
	[F_GID] = "gid",
	[F_USER] = "user",
	[F_GROUP] = "group",
	[F_INODE] = "inode",
	[F_DEVICE_ID] = "device_id",
	[F_SIZE] = "size",
	[F_LINKS] = "links",
	[F_LINKTARGET] = "linktarget",
	[F_LINKTARGET_RAW] = "linktarget_raw",
	[F_XATTRS] = "extended_attributes",
	[F_GENERIC] = "generic_attributes",
	[F_DEVICE] = "device",
	[F_CONTENT] = "content",
	[F_SUBTREE] = "subtree",
	[F_ERROR] = "error",
};

/*
 * Fields nearly always come in the order of the table, so the search begins after the field that
 * was found last. An exact match is tried first, as in Go; only then case is ignored.
 */
static enum field
find_field(struct hf_str key, enum field after)
{
	for (unsigned i = 0, f = after; i < N_FIELDS; i++, f++) {
		if (f >= N_FIELDS)
			f -= N_FIELDS;
		if (field_name[f][0] == (key.len > 0 ? key.p[0] : 0) &&
			hf_str_is(key, field_name[f]))
			return (enum field)f;
	}
	for (unsigned f = 0; f < N_FIELDS; f++)
		if (hf_json_key_is(key, field_name[f]))
			return (enum field)f;
	return N_FIELDS;
}

struct node_reader {
	struct hf_json *j;
	struct hf_node_store *s;
	struct hf_node *n;
	struct ref name, user, group, linktarget, linktarget_raw, error;
	size_t n_xattrs;
};

static struct ref
read_str(struct node_reader *r)
{
	return ref_of(r->j, r->s, hf_json_str(r->j));
}

static struct ref
read_base64(struct node_reader *r)
{
	size_t off = r->s->text.len;

	hf_json_base64(r->j, &r->s->text);
	return (struct ref){.off = off, .len = r->s->text.len - off};
}

static void
read_xattr(struct node_reader *r)
{
	struct xattr_ref x = {.name = {.p = ""}};
	struct hf_str key;

	hf_json_object(r->j);
	while (hf_json_key(r->j, &key)) {
		if (hf_json_key_is(key, "name")) {
			x.name = read_str(r);
		} else if (hf_json_key_is(key, "value")) {
			struct ref v = read_base64(r);

			x.value_off = v.off;
			x.value_len = v.len;
		} else {
			hf_json_skip(r->j);
		}
	}
	hf_buf_add(&r->s->xattrs, &x, sizeof x);
	r->n_xattrs++;
}

static void
read_content(struct node_reader *r)
{
	struct hf_buf *ids = &r->s->content;

	hf_buf_reset(ids);
	r->n->has_content = !hf_json_null(r->j);
	if (!r->n->has_content)
		return;
	hf_json_array(r->j);
	while (hf_json_item(r->j)) {
		struct hf_id id = hf_json_id(r->j);

		hf_buf_add(ids, &id, sizeof id);
	}
}

static void
read_subtree(struct node_reader *r)
{
	r->n->has_subtree = !hf_json_null(r->j);
	if (r->n->has_subtree)
		r->n->subtree = hf_json_id(r->j);
}

/* The object's text as it is; an empty one counts as none, as it does when a node is written. */
static void
read_generic(struct node_reader *r)
{
	r->n->generic_attributes = (struct hf_str){0};
	if (hf_json_null(r->j))
		return;
	if (hf_json_peek(r->j) != HF_JSON_OBJECT) {
		hf_json_fail(r->j, "generic_attributes is not an object");
		return;
	}
	struct hf_json ahead = *r->j;
	struct hf_str key;

	hf_json_object(&ahead);
	bool is_empty = !hf_json_key(&ahead, &key);
	struct hf_bytes text = hf_json_skip(r->j);

	if (!is_empty)
		r->n->generic_attributes = hf_bytes_str(text);
}

static void
read_field(struct node_reader *r, enum field f)
{
	struct hf_json *j = r->j;
	struct hf_node *n = r->n;

	switch (f) {
	case F_NAME:
		r->name = read_str(r);
		break;
	case F_TYPE:
		n->type = parse_type(hf_json_str(j));
		break;
	case F_MODE:
		n->mode = (uint32_t)hf_json_u64(j, UINT32_MAX);
		break;
	case F_MTIME:
		n->mtime = hf_json_time(j);
		break;
	case F_ATIME:
		n->atime = hf_json_time(j);
		break;
	case F_CTIME:
		n->ctime = hf_json_time(j);
		break;
	case F_UID:
		n->uid = (uint32_t)hf_json_u64(j, UINT32_MAX);
		break;
	case F_GID:
		n->gid = (uint32_t)hf_json_u64(j, UINT32_MAX);
		break;
	case F_USER:
		r->user = read_str(r);
		break;
	case F_GROUP:
		r->group = read_str(r);
		break;
	case F_INODE:
		n->inode = hf_json_u64(j, UINT64_MAX);
		break;
	case F_DEVICE_ID:
		n->device_id = hf_json_u64(j, UINT64_MAX);
		break;
	case F_SIZE:
		n->size = hf_json_u64(j, UINT64_MAX);
		break;
	case F_LINKS:
		n->links = hf_json_u64(j, UINT64_MAX);
		break;
	case F_LINKTARGET:
		r->linktarget = read_str(r);
		break;
	case F_LINKTARGET_RAW:
		r->linktarget_raw = read_base64(r);
		break;
	case F_XATTRS:
		hf_buf_reset(&r->s->xattrs);
		r->n_xattrs = 0;
		hf_json_array(j);
		while (hf_json_item(j))
			read_xattr(r);
		break;
	case F_GENERIC:
		read_generic(r);
		break;
	case F_DEVICE:
		n->device = hf_json_u64(j, UINT64_MAX);
		break;
	case F_CONTENT:
		read_content(r);
		break;
	case F_SUBTREE:
		read_subtree(r);
		break;
	case F_ERROR:
		r->error = read_str(r);
		break;
	case N_FIELDS:
		hf_json_skip(j);
	}
}

/*
 * Undoes the quoting of the name. A slice of the input had no escape in it, so no backslash, quote
 * or newline either: it is the name. The quoted form is in the text buffer already, and the result
 * is never longer, so that after reserving room nothing moves while it is read.
 */
static void
unquote_name(struct node_reader *r)
{
	struct hf_buf *text = &r->s->text;

	if (r->name.p != NULL)
		return;
	struct hf_err *e = hf_buf_reserve(text, r->name.len);

	if (e != NULL) {
		hf_err_free(e);
		hf_json_fail(r->j, "name too long");
		return;
	}
	size_t off = text->len;

	if (!hf_unquote(text, ref_str(r->s, r->name)))
		hf_json_fail(r->j, "name is not quoted correctly");
	r->name = (struct ref){.off = off, .len = text->len - off};
}

static void
finish_xattrs(struct node_reader *r)
{
	struct hf_node_store *s = r->s;
	size_t n = r->n_xattrs;

	if (n == 0 || s->xattrs.is_full)
		return;
	struct hf_err *e = hf_buf_reserve(&s->xattrs, n * sizeof(struct hf_xattr));

	if (e != NULL) {
		hf_err_free(e);
		hf_json_fail(r->j, "too many extended attributes");
		return;
	}
	const struct xattr_ref *from = (const void *)s->xattrs.p;
	struct hf_xattr *to = (void *)(s->xattrs.p + s->xattrs.len);

	for (size_t i = 0; i < n; i++) {
		to[i].name = ref_str(s, from[i].name);
		to[i].value.p = s->text.p + from[i].value_off;
		to[i].value.len = from[i].value_len;
	}
	r->n->xattrs = to;
	r->n->n_xattrs = n;
}

void
hf_node_read(struct hf_json *j, struct hf_node_store *s, struct hf_node *out)
{
	struct ref none = {.p = ""};
	struct node_reader r = {.j = j,
		.s = s,
		.n = out,
		.name = none,
		.user = none,
		.group = none,
		.linktarget = none,
		.linktarget_raw = none,
		.error = none};
	enum field f = F_NAME;
	struct hf_str key;

	assert(j->scratch == &s->text);
	hf_buf_reset(&s->text);
	hf_buf_reset(&s->content);
	hf_buf_reset(&s->xattrs);
	*out = (struct hf_node){
		.mtime = HF_TIME_ZERO, .atime = HF_TIME_ZERO, .ctime = HF_TIME_ZERO};
	if (hf_json_peek(j) != HF_JSON_OBJECT)
		hf_json_fail(j, "node is not an object");
	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		enum field found = find_field(key, f);

		read_field(&r, found);
		if (found != N_FIELDS)
			f = found + 1;
	}
	unquote_name(&r);
	finish_xattrs(&r);
	if (s->text.is_full || s->content.is_full || s->xattrs.is_full)
		hf_json_fail(j, "node too large");
	out->name = ref_str(s, r.name);
	out->user = ref_str(s, r.user);
	out->group = ref_str(s, r.group);
	out->linktarget =
		ref_str(s, r.linktarget_raw.p == NULL ? r.linktarget_raw : r.linktarget);
	out->error = ref_str(s, r.error);
	out->content = (const struct hf_id *)s->content.p;
	out->n_content = s->content.len / sizeof(struct hf_id);
}
