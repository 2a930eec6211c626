/* SPDX-License-Identifier: BSD-2-Clause */
/* The reading half of node.h: one node out of the JSON of a tree. */
#include <assert.h>

#include "codec/quote.h"
#include "repo/node.h"

static void
set_type(struct hf_node *n, struct hf_str s)
{
	n->type = HF_NODE_INVALID;
	n->other_type = s;
	for (enum hf_node_type t = HF_NODE_FILE; t <= HF_NODE_IRREGULAR; t++)
		if (hf_str_is(s, hf_node_type_text(t)))
			n->type = t;
}

void
hf_node_store_init(struct hf_node_store *s)
{
	*s = (struct hf_node_store){
		.strings = HF_BUF_MAX(HF_NODE_MAX_STRINGS),
		.text = HF_BUF_SPOOL(HF_NODE_STORE_MAX),
		.content = HF_BUF_SPOOL(HF_NODE_STORE_MAX),
		.xattrs = HF_BUF_SPOOL(HF_NODE_STORE_MAX),
	};
}

void
hf_node_store_clear(struct hf_node_store *s)
{
	hf_buf_clear(&s->strings);
	hf_buf_clear(&s->text);
	hf_buf_clear(&s->content);
	hf_buf_clear(&s->xattrs);
}

/* A part of the text buffer, which may move until the node is complete. */
struct span {
	size_t off, len;
};

/* An attribute while the node is being read. */
struct xattr_draft {
	struct hf_str name;
	struct span value;
};

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
	struct span linktarget_raw;
	bool has_linktarget_raw;
	size_t n_xattrs;
};

static struct span
read_base64(struct node_reader *r)
{
	size_t off = r->s->text.len;

	hf_json_base64(r->j, &r->s->text);
	return (struct span){off, r->s->text.len - off};
}

static void
read_xattr(struct node_reader *r)
{
	struct xattr_draft x = {0};
	struct hf_str key;

	hf_json_object(r->j);
	while (hf_json_key(r->j, &key)) {
		if (hf_json_key_is(key, "name"))
			x.name = hf_json_str(r->j);
		else if (hf_json_key_is(key, "value"))
			x.value = read_base64(r);
		else
			hf_json_skip(r->j);
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
		n->name = hf_json_str(j);
		break;
	case F_TYPE:
		set_type(n, hf_json_str(j));
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
		n->user = hf_json_str(j);
		break;
	case F_GROUP:
		n->group = hf_json_str(j);
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
		n->linktarget = hf_json_str(j);
		break;
	case F_LINKTARGET_RAW:
		r->has_linktarget_raw = !hf_json_null(j);
		if (r->has_linktarget_raw)
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
		n->error = hf_json_str(j);
		break;
	case N_FIELDS:
		hf_json_skip(j);
	}
}

/*
 * Undoes the quoting of the name. A slice of the input had no escape in it, so no backslash, quote
 * or newline either: it is the name.
 */
static struct span
unquote_name(struct node_reader *r)
{
	const uint8_t *p = (const uint8_t *)r->n->name.p;
	struct hf_buf *text = &r->s->text;
	size_t off = text->len;

	if (r->n->name.len == 0 || (p >= r->j->start && p < r->j->end))
		return (struct span){0};
	if (!hf_unquote(text, r->n->name))
		hf_json_fail(r->j, "name is not quoted correctly");
	return (struct span){off, text->len - off};
}

/* Without any text there is no buffer yet, and NULL + 0 is not C. */
static struct hf_str
span_str(const struct hf_buf *text, struct span s)
{
	const char *p = (const char *)text->p;

	return (struct hf_str){p != NULL ? p + s.off : p, s.len};
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
		s->xattrs.is_full = true;
		return;
	}
	const struct xattr_draft *from = (const void *)s->xattrs.p;
	struct hf_xattr *to = (void *)(s->xattrs.p + s->xattrs.len);

	for (size_t i = 0; i < n; i++) {
		to[i].name = from[i].name;
		to[i].value = hf_str_bytes(span_str(&s->text, from[i].value));
	}
	r->n->xattrs = to;
	r->n->n_xattrs = n;
}

/* All buffers have their final place: the offsets become pointers. */
static void
finish(struct node_reader *r)
{
	struct hf_node_store *s = r->s;
	struct hf_node *n = r->n;
	struct span name = unquote_name(r);

	finish_xattrs(r);
	if (s->text.is_full || s->content.is_full || s->xattrs.is_full)
		hf_json_fail(r->j, "node too large");
	if (name.len > 0)
		n->name = span_str(&s->text, name);
	if (r->has_linktarget_raw)
		n->linktarget = span_str(&s->text, r->linktarget_raw);
	n->content = (const struct hf_id *)s->content.p;
	n->n_content = s->content.len / sizeof(struct hf_id);
}

void
hf_node_read(struct hf_json *j, struct hf_node_store *s, struct hf_node *out)
{
	struct node_reader r = {.j = j, .s = s, .n = out};
	enum field f = F_NAME;
	struct hf_str key;

	assert(j->scratch == &s->strings);
	hf_buf_reset(&s->strings);
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
	finish(&r);
}
