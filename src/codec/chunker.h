/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Content-defined chunking by Rabin fingerprints, cut for cut as restic (restic-format 8): window
 * 64, at least 512 KiB, at most 8 MiB, cut after a byte where the low 20 bits of the fingerprint
 * are zero. The fingerprint of a place depends only on the 64 bytes before it, so that a cut is
 * found by looking at the bytes from the minimum on, in several stretches at once.
 */
#ifndef HF_CODEC_CHUNKER_H
#define HF_CODEC_CHUNKER_H

#include "base/buf.h"

enum {
	HF_CHUNK_WINDOW = 64,
	HF_CHUNK_MIN = 512 << 10,
	HF_CHUNK_MAX = 8 << 20,
};

/* A polynomial over GF(2), bit i for x^i; degree 53 in repositories. */
typedef uint64_t hf_poly;

/* A random irreducible polynomial of degree 53. */
hf_poly hf_poly_random(void);

/* True when `p` has degree 53 and is irreducible (Ben-Or test). */
bool hf_poly_is_valid(hf_poly p);

/* The tables for one polynomial: 5 KiB, immutable, shared by all threads. */
struct hf_chunker;
struct hf_chunker *hf_chunker_new(hf_poly p);
void hf_chunker_free(struct hf_chunker *c);
HF_AUTOPTR(hf_chunker)

/*
 * The length of the chunk that begins at buf.p. `buf` holds at most HF_CHUNK_MAX bytes from there
 * on; `from` bytes of them were given before and hold no cut (0 the first time). Returns 0 when
 * there is no cut in `buf` yet: the caller then reads more and calls again, or, at the end of the
 * file, takes what is left as the last chunk.
 */
size_t hf_chunker_cut(const struct hf_chunker *c, struct hf_bytes buf, size_t from);

/* The fingerprint of the 64 bytes that end at `p` (exclusive); for tests. */
uint64_t hf_chunker_digest(const struct hf_chunker *c, const uint8_t *p);

#endif
