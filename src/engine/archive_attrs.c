/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/archive_attrs.h"

#include <stdlib.h>

#include "base/endian.h"
#include "base/host.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* An attribute while its bytes may still move. */
struct attr {
	uint64_t name, value; /* in `bytes` */
	uint64_t name_len, value_len;
};

void
hf_archive_attrs_clear(struct hf_archive_attrs *t)
{
	hf_buf_clear(&t->bytes);
	hf_buf_clear(&t->attrs);
	hf_buf_clear(&t->xattrs);
}

static void
add_attr(struct hf_archive_attrs *t, struct hf_str name, struct hf_bytes value)
{
	struct attr x = {t->bytes.len, t->bytes.len + name.len, name.len, value.len};

	hf_buf_add(&t->bytes, name.p, name.len);
	hf_buf_add(&t->bytes, value.p, value.len);
	hf_buf_add(&t->attrs, &x, sizeof x);
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
add_xattrs(struct hf_archive_attrs *t, struct archive_entry *entry)
{
	const char *name;
	const void *value;
	size_t len;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
		hf_autofree char *decoded = hf_alloc_(strlen(name) + 1, 1);
		size_t n = decode_name(name, decoded);

		if (n > 0)
			add_attr(t, (struct hf_str){decoded, n}, (struct hf_bytes){value, len});
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
mode_t
hf_archive_perm(struct archive_entry *e)
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
has_attr(const struct hf_archive_attrs *t, const char *name)
{
	for (size_t i = 0; i < t->attrs.len / sizeof(struct attr); i++) {
		const struct attr *x = (const struct attr *)(const void *)t->attrs.p + i;

		if (hf_str_is((struct hf_str){(const char *)t->bytes.p + x->name, x->name_len},
			    name))
			return true;
	}
	return false;
}

/* An ACL that is there as text becomes the attribute that Linux has for it. */
static struct hf_err *
add_acl(struct hf_archive_attrs *t, struct archive_entry *entry, int which, const char *attr)
{
	hf_auto(hf_buf) aces = HF_BUF_MAX(1 << 20), value = HF_BUF_MAX(1 << 20);
	int n = archive_entry_acl_reset(entry, which), type, perm, tag, id;
	const char *name;

	if (n == 0 || (which == ARCHIVE_ENTRY_ACL_TYPE_ACCESS && n <= 3) || has_attr(t, attr))
		return NULL;
	while (archive_entry_acl_next(entry, which, &type, &perm, &tag, &id, &name) ==
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
	add_attr(t, hf_str(attr), hf_buf_bytes(&value));
	return hf_buf_ok(&value);
}

static int
compare_xattrs(const void *a, const void *b)
{
	const struct hf_xattr *x = a, *y = b;

	return hf_str_cmp(x->name, y->name);
}

struct hf_err *
hf_archive_attrs_add(struct hf_archive_attrs *t, struct archive_entry *entry,
	struct hf_node *node, struct hf_err **odd)
{
	struct hf_xattr *x;
	size_t n;

	hf_buf_reset(&t->bytes);
	hf_buf_reset(&t->attrs);
	hf_buf_reset(&t->xattrs);
	add_xattrs(t, entry);
	*odd = add_acl(t, entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, ACL_ACCESS);
	if (*odd == NULL)
		*odd = add_acl(t, entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, ACL_DEFAULT);
	HF_TRY(hf_buf_ok(&t->bytes));
	HF_TRY(hf_buf_ok(&t->attrs));
	n = t->attrs.len / sizeof(struct attr);
	for (size_t i = 0; i < n; i++) {
		const struct attr *at = (const struct attr *)(const void *)t->attrs.p + i;
		struct hf_xattr one = {{(const char *)t->bytes.p + at->name, at->name_len},
			{t->bytes.p + at->value, at->value_len}};

		hf_buf_add(&t->xattrs, &one, sizeof one);
	}
	HF_TRY(hf_buf_ok(&t->xattrs));
	x = (struct hf_xattr *)(void *)t->xattrs.p;
	if (n > 1)
		qsort(x, n, sizeof *x, compare_xattrs);
	for (size_t i = 0; i < n; i++)
		if (node->n_xattrs == 0 || !hf_str_eq(x[i].name, x[node->n_xattrs - 1].name))
			x[node->n_xattrs++] = x[i];
	node->xattrs = x;
	return NULL;
}
