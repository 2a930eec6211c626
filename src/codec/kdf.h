/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scrypt (RFC 7914) with the limits of restic-format 2.4. The p lanes are computed on several
 * threads, and side by side in one; memory is 128 * N * r bytes for each that is under
 * way, of which there is never more than one beyond 64 MiB or an eighth of the machine's.
 */
#ifndef HF_CODEC_KDF_H
#define HF_CODEC_KDF_H

#include "base/buf.h"
#include "codec/aead.h"

struct hf_kdf {
	uint64_t n, r, p;
};

enum { HF_KDF_SALT = 64 };

/* Cost of new keys: the same work as restic's own choice on a current machine. */
#define HF_KDF_DEFAULT ((struct hf_kdf){.n = 32768, .r = 8, .p = 6})

/* HF_ECORRUPT: parameters that restic would refuse too, or that would need too much memory. */
struct hf_err *hf_kdf_check(const struct hf_kdf *k) HF_MUST;

/*
 * Derives a key set from a password. Checks the parameters first. `threads` is the most that may
 * be started, 0 for as many as there are processors. HF_EFATAL: no memory.
 */
struct hf_err *hf_kdf_derive(const struct hf_kdf *k, struct hf_bytes password,
	struct hf_bytes salt, unsigned threads, struct hf_key *out) HF_MUST;

/* The bare function, for test vectors: any salt, any output length, no limits but sanity. */
struct hf_err *hf_scrypt(const struct hf_kdf *k, struct hf_bytes password, struct hf_bytes salt,
	unsigned threads, uint8_t *out, size_t out_len) HF_MUST;

#endif
