/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 (FIPS 180-4) by libcrypto, and what is made of it. */
#ifndef HF_CODEC_SHA256_H
#define HF_CODEC_SHA256_H

#include "base/id.h"

/* The hash of one slice. Any thread. */
struct hf_id hf_sha256(struct hf_bytes b);

/* The hash of bytes that come piece by piece. One thread at a time. */
struct hf_sha256;
struct hf_sha256 *hf_sha256_new(void);
void hf_sha256_add(struct hf_sha256 *h, struct hf_bytes b);
struct hf_id hf_sha256_end(struct hf_sha256 *h); /* ready for another one afterwards */
void hf_sha256_free(struct hf_sha256 *h);
HF_AUTOPTR(hf_sha256)

/* HMAC-SHA-256 (RFC 2104) of `b` under a key of any length. Any thread. */
struct hf_id hf_hmac_sha256(struct hf_bytes key, struct hf_bytes b);

#endif
