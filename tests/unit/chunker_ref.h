/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Chunking as restic-format 8.4 says it, byte by byte with a window in a ring and no tables:
 * slow, and the oracle of the test, the fuzz target and the benchmark.
 */
#ifndef HF_TESTS_CHUNKER_REF_H
#define HF_TESTS_CHUNKER_REF_H

#include "codec/chunker.h"

#include <stdbool.h>

/* a * x^n + b mod p. */
static inline uint64_t
ref_shift(uint64_t a, unsigned n, uint8_t b, hf_poly p)
{
	for (unsigned i = 0; i < n; i++) {
		a <<= 1;
		if (a >> 53 & 1)
			a ^= p;
	}
	return a ^ b;
}

struct ref {
	hf_poly p;
	uint64_t out[256]; /* filled from ref_shift(), nothing else */
	uint8_t window[HF_CHUNK_WINDOW];
	unsigned at;
	uint64_t digest;
	size_t count;
};

static inline void
ref_slide(struct ref *r, uint8_t c)
{
	r->digest ^= r->out[r->window[r->at]];
	r->window[r->at] = c;
	r->at = (r->at + 1) % HF_CHUNK_WINDOW;
	r->digest = ref_shift(r->digest, 8, c, r->p);
}

static inline void
ref_begin(struct ref *r)
{
	memset(r->window, 0, sizeof r->window);
	r->at = 0;
	r->digest = 0;
	r->count = 0;
	ref_slide(r, 1);
}

static inline void
ref_init(struct ref *r, hf_poly p)
{
	r->p = p;
	for (unsigned b = 0; b < 256; b++)
		r->out[b] = ref_shift(b, 8 * (HF_CHUNK_WINDOW - 1), 0, p);
	ref_begin(r);
}

/* True: the chunk ends after this byte, and r->digest is what made it end. */
static inline bool
ref_byte(struct ref *r, uint8_t c)
{
	if (++r->count <= HF_CHUNK_MIN - HF_CHUNK_WINDOW)
		return false;
	ref_slide(r, c);
	return r->count >= HF_CHUNK_MIN &&
	       ((r->digest & 0xfffff) == 0 || r->count >= HF_CHUNK_MAX);
}

/* The length of the first chunk of `b`, 0 if it has no end. */
static inline size_t
ref_cut(struct ref *r, struct hf_bytes b)
{
	ref_begin(r);
	for (size_t i = 0; i < b.len; i++)
		if (ref_byte(r, b.p[i]))
			return i + 1;
	return 0;
}

#endif
