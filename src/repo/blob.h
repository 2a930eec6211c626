/* SPDX-License-Identifier: BSD-2-Clause */
/* Words that packs, indexes and everything above share about blobs. */
#ifndef HF_REPO_BLOB_H
#define HF_REPO_BLOB_H

#include "base/id.h"

enum hf_blob_type { HF_DATA, HF_TREE };

static inline const char *
hf_blob_type_text(enum hf_blob_type t)
{
	return t == HF_TREE ? "tree" : "data";
}

/* The name of a blob: the hash of its plaintext, and what kind of blob it is. */
struct hf_blob {
	struct hf_id id;
	enum hf_blob_type type;
};

/* One blob inside a pack: `length` stored bytes at `offset`, sealed. */
struct hf_pack_entry {
	struct hf_blob blob;
	uint32_t offset;
	uint32_t length;     /* as stored, with IV and MAC */
	uint32_t raw_length; /* of the plaintext; 0: stored without compression */
};

/* Bytes of plaintext that the entry gives. */
static inline uint64_t
hf_entry_size(const struct hf_pack_entry *e)
{
	return e->raw_length != 0 ? e->raw_length : e->length >= 32 ? e->length - 32 : 0;
}

#endif
