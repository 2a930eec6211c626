/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rounds of SHA-256 by the SHA instructions of x86, for one stream and for two. A state is
 * eight words in the order F E B A H G D C, which is how the instructions have it. Whole blocks of
 * 64 bytes only. Where there are no such instructions, nothing but hf_sha256_x86_works() may be
 * called.
 */
#ifndef HF_CODEC_SHA256_X86_H
#define HF_CODEC_SHA256_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The constants of the rounds; only on x86-64. */
extern const uint32_t hf_sha256_k[64];

bool hf_sha256_x86_works(void);
void hf_sha256_x86(uint32_t state[static 8], const uint8_t *p, size_t blocks);
void hf_sha256_x86_two(uint32_t state_a[static 8], const uint8_t *a, uint32_t state_b[static 8],
	const uint8_t *b, size_t blocks);

#endif
