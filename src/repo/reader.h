/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading blobs: a reader has the ciphers, the decompressor and the buffers that one thread needs.
 * Make one per thread. Every blob that comes out has been authenticated, decompressed to the
 * announced length and hashed.
 */
#ifndef HF_REPO_READER_H
#define HF_REPO_READER_H

#include "repo/index.h"

struct hf_reader;

/* `repo` and `ix` outlive it. */
struct hf_reader *hf_reader_new(struct hf_repo *repo, struct hf_index *ix);
void hf_reader_free(struct hf_reader *r);
HF_AUTOPTR(hf_reader)

/*
 * Appends the plaintext of a blob to `out`; nothing on failure. Tries every copy before it gives
 * up. HF_ENOTFOUND: no index lists it. HF_ECORRUPT: no copy verifies, or its pack is gone; the text
 * names blob and pack.
 */
struct hf_err *hf_reader_blob(
	struct hf_reader *r, const struct hf_blob *blob, struct hf_buf *out) HF_MUST;

/*
 * Opens a blob whose stored bytes are at hand (from a longer read) and appends its plaintext.
 * `sealed` may be overwritten. HF_ECORRUPT: says whether MAC, zstd, length or hash is wrong.
 */
struct hf_err *hf_reader_open(struct hf_reader *r, const struct hf_blob *blob, uint8_t *sealed,
	uint32_t length, uint32_t raw_length, struct hf_buf *out) HF_MUST;

/* The same without the hash, for those who compute it themselves: see repo/opened.h. */
struct hf_err *hf_reader_unseal(struct hf_reader *r, uint8_t *sealed, uint32_t length,
	uint32_t raw_length, struct hf_buf *out) HF_MUST;

/*
 * The compressed form of a blob that one of the two has just opened in `sealed`, which has a
 * raw_length: for who seals it again as it is.
 */
static inline struct hf_bytes
hf_reader_packed(const uint8_t *sealed, uint32_t length)
{
	return (struct hf_bytes){
		sealed + HF_SEAL_OVERHEAD / 2, (size_t)length - HF_SEAL_OVERHEAD};
}

/* The cipher, for headers. */
struct hf_aead *hf_reader_aead(struct hf_reader *r);

#endif
