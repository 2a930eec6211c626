/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Authenticated encryption of the repository: AES-256-CTR, then Poly1305-AES over the ciphertext
 * (restic-format 2.1, 2.2).
 *
 *	sealed(x) = IV (16) | ciphertext (len(x)) | MAC (16)
 *
 * Opening checks the length, that the IV is not all zero and the MAC, in that order, and decrypts
 * only then.
 */
#ifndef HF_CODEC_AEAD_H
#define HF_CODEC_AEAD_H

#include "base/buf.h"

enum { HF_SEAL_OVERHEAD = 32, HF_KEY_LEN = 64 };

/* One key set. `r` is kept as stored; clamping is the business of the MAC. */
struct hf_key {
	uint8_t encrypt[32];
	uint8_t mac_k[16];
	uint8_t mac_r[16];
};

void hf_key_clear(struct hf_key *k); /* wipes; for hf_auto(hf_key) */

/* False when one of the three parts is all zero, which no honest key is. */
bool hf_key_is_valid(const struct hf_key *k);

/* Ciphers set up for one key. Belongs to one thread at a time; make one per thread. */
struct hf_aead;
struct hf_aead *hf_aead_new(const struct hf_key *key); /* copies the key */
void hf_aead_free(struct hf_aead *a);                  /* wipes it; NULL is fine */
HF_AUTOPTR(hf_aead)

/* How it is computed (ADR 18). */
enum hf_aead_way {
	HF_AEAD_FASTEST,
	HF_AEAD_VECTORS, /* AVX-512 with VAES and IFMA */
	HF_AEAD_LIBCRYPTO,
};

/* One that computes in this way; NULL: this machine cannot. For tests and measurements. */
struct hf_aead *hf_aead_new_of(const struct hf_key *key, enum hf_aead_way way);

/*
 * Writes sealed(plain) with a random IV to `out`, which has room for plain.len + 32 bytes.
 * plain.p may be out + 16 (in place).
 */
void hf_aead_seal(struct hf_aead *a, struct hf_bytes plain, uint8_t *out);

/* The same with a given IV, for test vectors. */
void hf_aead_seal_iv(
	struct hf_aead *a, const uint8_t iv[static 16], struct hf_bytes plain, uint8_t *out);

/*
 * Writes the plaintext of `sealed` to `out`, which has room for sealed.len - 32 bytes and may be
 * sealed.p + 16 (in place). False: too short, zero IV or wrong MAC; `out` is untouched.
 */
bool hf_aead_open(struct hf_aead *a, struct hf_bytes sealed, uint8_t *out) HF_MUST;

#endif
