/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The extended attributes and ACLs of an entry of an archive, as a node has them: an ACL is the
 * attribute that Linux keeps it in (acl(5); the kernel's posix_acl_xattr.h).
 */
#ifndef HF_ENGINE_ARCHIVE_ATTRS_H
#define HF_ENGINE_ARCHIVE_ATTRS_H

#include "base/buf.h"
#include "engine/libarchive.h"
#include "repo/node.h"

/* Those of one entry at a time. */
struct hf_archive_attrs {
	struct hf_buf bytes, attrs, xattrs;
};

/* The most bytes that names and values of one entry have. */
#define HF_ARCHIVE_ATTRS_MAX (64 << 20)
#define HF_ARCHIVE_ATTRS                                                                       \
	((struct hf_archive_attrs){HF_BUF_SPOOL(HF_ARCHIVE_ATTRS_MAX),                         \
		HF_BUF_SPOOL(HF_ARCHIVE_ATTRS_MAX), HF_BUF_SPOOL(HF_ARCHIVE_ATTRS_MAX)})
void hf_archive_attrs_clear(struct hf_archive_attrs *t);

/*
 * Sets node->xattrs, sorted by name, each once, since some programs write one in several ways. They
 * point into `t`, and are good until the next entry. *odd, which is the caller's, or NULL: an ACL
 * that names somebody whom nobody knows here, and is left out. HF_EFATAL: they are too large.
 */
struct hf_err *hf_archive_attrs_add(struct hf_archive_attrs *t, struct archive_entry *entry,
	struct hf_node *node, struct hf_err **odd) HF_MUST;

/* The permissions that stat() would show. */
mode_t hf_archive_perm(struct archive_entry *e);

#endif
