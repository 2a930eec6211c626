/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Poly1305 (RFC 8439, 2.5) with the vector instructions of x86 that multiply 52 bits (AVX-512 IFMA):
 * eight blocks of 16 bytes side by side. Where they are missing, nothing but
 * hf_poly1305_x86_works() may be called.
 */
#ifndef HF_CODEC_POLY1305_X86_H
#define HF_CODEC_POLY1305_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_POLY1305_STEP = 128, HF_POLY1305_LIMBS = 3, HF_POLY1305_LANES = 8 };

/*
 * A number in each lane, in limbs. As a key: the powers of r, from the eighth to the first. As a sum:
 * that of every eighth block. Whoever holds one wipes it.
 */
struct hf_poly1305 {
	uint64_t limb[HF_POLY1305_LIMBS][HF_POLY1305_LANES];
};

bool hf_poly1305_x86_works(void);

/* `r` as it is stored; it is clamped here. */
void hf_poly1305_x86_key(struct hf_poly1305 *k, const uint8_t r[static 16]);

/*
 * A message: begin, any number of times add, whose n are multiples of HF_POLY1305_STEP, and end with
 * the rest, of any length, and the pad that is added to the sum (the second half of the key).
 */
void hf_poly1305_x86_begin(struct hf_poly1305 *s);
void hf_poly1305_x86_add(
	const struct hf_poly1305 *k, struct hf_poly1305 *s, const uint8_t *p, size_t n);
void hf_poly1305_x86_end(const struct hf_poly1305 *k, struct hf_poly1305 *s,
	const uint8_t *rest, size_t n, const uint8_t pad[static 16], uint8_t mac[static 16]);

#endif
