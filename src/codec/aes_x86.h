/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AES in counter mode with the vector instructions of x86: four blocks in a register, eight registers
 * at a time (VAES, AVX-512). Where they are missing, nothing but hf_aes_x86_works() may be called.
 */
#ifndef HF_CODEC_AES_X86_H
#define HF_CODEC_AES_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_AES_BLOCK = 16 };

/* The keys of the rounds. Whoever holds it wipes it. */
struct hf_aes_x86 {
	uint8_t round[15][HF_AES_BLOCK];
	unsigned n_rounds;
};

bool hf_aes_x86_works(void);

/* Of AES-128 and AES-256. */
void hf_aes_x86_key_128(struct hf_aes_x86 *aes, const uint8_t key[static 16]);
void hf_aes_x86_key_256(struct hf_aes_x86 *aes, const uint8_t key[static 32]);

void hf_aes_x86_block(const struct hf_aes_x86 *aes, const uint8_t in[static HF_AES_BLOCK],
	uint8_t out[static HF_AES_BLOCK]);

/*
 * Encrypts or decrypts, which is the same; `out` may be `in`. The counter is a number of 128 bits with
 * the highest byte first (SP 800-38A, B.1) and is left at the first block that has not been used. Of
 * several calls only the last one may end within a block. AES-256 only.
 */
void hf_aes_x86_ctr(const struct hf_aes_x86 *aes, uint8_t counter[static HF_AES_BLOCK],
	const uint8_t *in, uint8_t *out, size_t n);

#endif
