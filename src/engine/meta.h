/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a file on disk to the metadata of its node. Holds buffers and the names of the users and
 * groups met last; belongs to one thread at a time. A node that comes out is valid until the next
 * call.
 */
#ifndef HF_ENGINE_META_H
#define HF_ENGINE_META_H

#include <sys/stat.h>

#include "repo/node.h"

struct hf_meta;

struct hf_meta *hf_meta_new(bool with_atime);
void hf_meta_free(struct hf_meta *m);
HF_AUTOPTR(hf_meta)

/* Everything that stat tells, in the form of a node. `name` is kept as a slice. */
void hf_meta_node(
	struct hf_meta *m, struct hf_str name, const struct stat *st, struct hf_node *out);

/*
 * Adds the extended attributes of an open file, or of the file at `path` (links not followed) when
 * fd is -1. A file system without them has none. When one cannot be read, the others are added and
 * the first error is returned.
 */
struct hf_err *hf_meta_xattrs(
	struct hf_meta *m, int fd, const char *path, struct hf_node *node) HF_MUST;

/* Adds the target of the symbolic link at dirfd/path. */
struct hf_err *hf_meta_link(
	struct hf_meta *m, int dirfd, const char *path, struct hf_node *node) HF_MUST;

#endif
