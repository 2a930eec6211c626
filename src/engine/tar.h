/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the headers of tar archives: ustar, with a pax header before every entry that needs one
 * for its times (nanoseconds), long or non-ASCII names, large numbers, extended attributes
 * ("SCHILY.xattr.", as star, GNU tar and others have them) and ACLs ("SCHILY.acl.", as text).
 * Names that are not UTF-8 stand there as they are, which GNU tar, bsdtar and Python understand.
 */
#ifndef HF_ENGINE_TAR_H
#define HF_ENGINE_TAR_H

#include "repo/node.h"

enum { HF_TAR_BLOCK = 512 };

/* What a header says. */
struct hf_tar_entry {
	const char *path; /* no leading slash; folders get their trailing one here */
	const struct hf_node *node;
	uint64_t size;        /* bytes that follow the header */
	const char *hardlink; /* the name in the archive that this is another one of, or NULL */
	/*
	 * The file is written without its holes, as GNU tar does (PAX 1.0): what follows begins
	 * with the list of what there is, and the file has `real_size` bytes.
	 */
	bool is_sparse;
	uint64_t real_size;
};

/*
 * Appends the header of a node that is neither a socket nor of unknown type. `size` bytes must
 * follow, then padding. HF_EFATAL: the header does not fit into `out`.
 */
struct hf_err *hf_tar_header(struct hf_buf *out, const struct hf_tar_entry *entry) HF_MUST;

/* Appends zeros after content of `size` bytes, up to the next block. */
void hf_tar_pad(struct hf_buf *out, uint64_t size);

/* Appends the end of the archive. */
void hf_tar_end(struct hf_buf *out);

#endif
