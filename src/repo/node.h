/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One entry of a tree: a file, folder, link or device with its metadata, and its JSON, byte for
 * byte as restic writes it (restic-format 7). Slices point into memory of whoever made the node.
 */
#ifndef HF_REPO_NODE_H
#define HF_REPO_NODE_H

#include <sys/types.h>

#include "base/id.h"
#include "base/time.h"
#include "codec/json.h"

enum hf_node_type {
	HF_NODE_INVALID, /* "" or a word that we do not know */
	HF_NODE_FILE,
	HF_NODE_DIR,
	HF_NODE_SYMLINK,
	HF_NODE_DEV,
	HF_NODE_CHARDEV,
	HF_NODE_FIFO,
	HF_NODE_SOCKET,
	HF_NODE_IRREGULAR,
};

struct hf_xattr {
	struct hf_str name;
	struct hf_bytes value;
};

struct hf_node {
	struct hf_str name; /* raw bytes, not escaped */
	enum hf_node_type type;
	struct hf_str other_type; /* the word, of HF_NODE_INVALID */
	uint32_t mode;            /* Go's os.FileMode, see hf_mode_from_stat() */
	struct hf_time mtime, atime, ctime;
	uint32_t uid, gid;
	struct hf_str user, group;
	uint64_t inode;
	uint64_t device_id;
	uint64_t size; /* of files: the sum of the chunks' lengths */
	uint64_t links;
	struct hf_str linktarget; /* raw bytes */
	const struct hf_xattr *xattrs;
	size_t n_xattrs;
	struct hf_str generic_attributes; /* a JSON object, or empty */
	uint64_t device;
	const struct hf_id *content;
	size_t n_content;
	bool has_content; /* an array, even if empty; else null */
	bool has_subtree;
	struct hf_id subtree;
	struct hf_str error;
};

/* "file", "dir", …; "" for HF_NODE_INVALID. */
const char *hf_node_type_text(enum hf_node_type t);

/* Between st_mode and Go's FileMode (restic-format 7.5). Only permission bits come back. */
uint32_t hf_mode_from_stat(mode_t m);
mode_t hf_mode_perm(uint32_t mode); /* rwx bits, setuid, setgid, sticky */

/*
 * As Go prints a FileMode: "-rw-r--r--", "drwxr-xr-x", "Lrwxrwxrwx"; ten or eleven characters, or
 * more when a hostile mode has several types.
 */
struct hf_mode_text {
	char s[24];
};
struct hf_mode_text hf_mode_text(uint32_t mode);

/* Appends the JSON object of a node. */
void hf_node_add(struct hf_buf *out, const struct hf_node *n);

/*
 * Storage that a decoded node points into; reset for every node. All but the first buffer move to
 * a file when they are large, so that the node of a huge file costs no memory.
 */
struct hf_node_store {
	struct hf_buf strings; /* what the JSON reader decodes: strings with escapes */
	struct hf_buf text;    /* names without quoting, and what was base64 */
	struct hf_buf content; /* ids */
	struct hf_buf xattrs;  /* struct hf_xattr */
};
#define HF_NODE_STORE_MAX ((size_t)UINT32_MAX)
enum { HF_NODE_MAX_STRINGS = 1 << 20 }; /* bytes of one node's strings that have escapes */

void hf_node_store_init(struct hf_node_store *s);
void hf_node_store_clear(struct hf_node_store *s);

/*
 * Reads one node at the reader's place, whose scratch buffer must be s->strings. The node is valid
 * until `s` is used again and as long as the input. Errors stick to the reader, as always; then
 * the node is not to be looked at.
 */
void hf_node_read(struct hf_json *j, struct hf_node_store *s, struct hf_node *out);

#endif
