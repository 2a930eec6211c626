/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inner loop of the chunker in the forms that machines have. A sweep looks at several
 * stretches of a buffer at once, one lane each: every lane first takes in the 64 bytes before its
 * stretch and then rolls on. Internal to the chunker, its test and its benchmark.
 *
 * The vector forms use that a step is linear over GF(2): the new fingerprint is the old one moved
 * up by a byte, plus something that depends linearly on the byte that was moved out, the byte
 * that leaves the window and the one that comes. They keep the fingerprints of all lanes as seven
 * vectors, the first for the lowest byte of each, and so on (times x^3, so that the byte to move
 * out is the top one of 56 bits). Moving up is then a renaming, and each linear dependence of
 * one byte on another is an 8 x 8 bit matrix: one instruction with GFNI, two table lookups of
 * nibbles with AVX2.
 */
#ifndef HF_CODEC_SWEEP_H
#define HF_CODEC_SWEEP_H

#include "codec/chunker.h"

enum {
	HF_SWEEP_STEP = 16, /* the length of a stretch is a multiple of this */
	HF_SWEEP_BYTES = 7, /* of a fingerprint times x^3 */
};

/* Where in hf_chunker.map the matrices of one kind begin: one for each byte they change. */
enum {
	HF_MAP_TOP = 0,
	HF_MAP_LEAVING = 7,
	HF_MAP_COMING = 14,
	HF_MAP_COUNT = 16,
};

static const uint64_t HF_SPLIT_MASK = (1 << 20) - 1;

/*
 * Looks at all places of `lanes` stretches, the first of which begins at `p`. Returns i + 1 for
 * the first i where the window that ends with p[i] is one to cut after, 0 if there is none. The
 * 64 bytes before `p` are read, too.
 */
typedef size_t hf_sweep_fn(const struct hf_chunker *c, const uint8_t *p, size_t stretch);

struct hf_sweep {
	const char *name;
	hf_sweep_fn *fn;
	unsigned lanes;
};

struct hf_chunker {
	uint64_t out[256]; /* the fingerprint of a byte and 63 zero bytes after it */
	uint64_t mod[256]; /* what the top 8 bits become when moved out, and themselves */
	uint64_t map[HF_MAP_COUNT];          /* as vgf2p8affineqb wants them */
	uint8_t nibble[HF_MAP_COUNT][2][16]; /* the same: images of 0n and of n0 */
	const struct hf_sweep *sweep;        /* the fastest here; tests choose others */
};

/* The forms that this machine can run, the fastest first. Always at least one. */
const struct hf_sweep *hf_sweeps(size_t *n);

/* Only for hf_sweeps(). */
hf_sweep_fn hf_sweep_portable;
#if defined(__x86_64__)
hf_sweep_fn hf_sweep_gfni;
hf_sweep_fn hf_sweep_avx2;
#endif

static inline uint64_t
hf_chunker_roll(const struct hf_chunker *c, uint64_t digest, uint8_t leaving, uint8_t coming)
{
	digest ^= c->out[leaving];
	return (digest << 8 | coming) ^ c->mod[digest >> 45];
}

#endif
