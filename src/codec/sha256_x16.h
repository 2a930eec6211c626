/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rounds of SHA-256 for sixteen streams, with AVX-512: a vector has one word of each of them.
 * No instruction for SHA is needed. Whole blocks of 64 bytes only. Where it does not work, nothing
 * but hf_sha256_x16_works() may be called.
 */
#ifndef HF_CODEC_SHA256_X16_H
#define HF_CODEC_SHA256_X16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_SHA256_LANES = 16 };

/* state[w][l] is the word w, in the order A to H, of the stream l. */
typedef uint32_t hf_sha256_x16_state[8][HF_SHA256_LANES];

bool hf_sha256_x16_works(void);

/* `blocks` blocks of every stream. Streams may be the same bytes. */
void hf_sha256_x16(hf_sha256_x16_state state, const uint8_t *const p[static HF_SHA256_LANES],
	size_t blocks);

#endif
