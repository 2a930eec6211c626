/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As FIPS 180-4 has it, 6.2.2, with a vector for each word. The sums of three rotations and the two
 * choices are one instruction each (vpternlogd). Sixteen words of the message stand in registers,
 * beside eight of the state, and are replaced by those of sixteen rounds later.
 */
#include "codec/sha256_x16.h"

#include <assert.h>

#if defined(__x86_64__)

#include <immintrin.h>

#include "codec/sha256_x86.h"

#define AVX512 __attribute__((target("avx512f,avx512bw")))
#define INLINE AVX512 static inline __attribute__((always_inline))

bool
hf_sha256_x16_works(void)
{
	/* These ask also whether the kernel saves the registers. */
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

enum { XOR3 = 0x96, CHOOSE = 0xca, MAJORITY = 0xe8 };

#define ADD(a, b)         _mm512_add_epi32(a, b)
#define XOR(a, b, c)      _mm512_ternarylogic_epi32(a, b, c, XOR3)
#define ROR(a, n)         _mm512_ror_epi32(a, n)
#define SHR(a, n)         _mm512_srli_epi32(a, n)
#define BIG(a, x, y, z)   XOR(ROR(a, x), ROR(a, y), ROR(a, z))
#define SMALL(a, x, y, z) XOR(ROR(a, x), ROR(a, y), SHR(a, z))

/* One round; afterwards the caller calls the words by other names. */
#define ROUND(a, b, c, d, e, f, g, h, i, t)                                                    \
	do {                                                                                   \
		__m512i t1 = ADD(ADD(h, ADD(w[i], _mm512_set1_epi32((int)k[(t) + (i)]))),      \
			ADD(BIG(e, 6, 11, 25), _mm512_ternarylogic_epi32(e, f, g, CHOOSE)));   \
		(d) = ADD(d, t1);                                                              \
		(h) = ADD(t1,                                                                  \
			ADD(BIG(a, 2, 13, 22), _mm512_ternarylogic_epi32(a, b, c, MAJORITY))); \
	} while (0)

#define EIGHT_ROUNDS(i, t)                                                                     \
	do {                                                                                   \
		ROUND(a, b, c, d, e, f, g, h, (i), t);                                         \
		ROUND(h, a, b, c, d, e, f, g, (i) + 1, t);                                     \
		ROUND(g, h, a, b, c, d, e, f, (i) + 2, t);                                     \
		ROUND(f, g, h, a, b, c, d, e, (i) + 3, t);                                     \
		ROUND(e, f, g, h, a, b, c, d, (i) + 4, t);                                     \
		ROUND(d, e, f, g, h, a, b, c, (i) + 5, t);                                     \
		ROUND(c, d, e, f, g, h, a, b, (i) + 6, t);                                     \
		ROUND(b, c, d, e, f, g, h, a, (i) + 7, t);                                     \
	} while (0)

INLINE void
schedule(__m512i *w)
{
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		w[i] = ADD(ADD(w[i], SMALL(w[(i + 1) & 15], 7, 18, 3)),
			ADD(w[(i + 9) & 15], SMALL(w[(i + 14) & 15], 17, 19, 10)));
}

/* Four rows of four words each become four columns, in each quarter. */
INLINE void
turn_quarters(__m512i *r)
{
	__m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
	__m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);

	r[0] = _mm512_unpacklo_epi64(a, c);
	r[1] = _mm512_unpackhi_epi64(a, c);
	r[2] = _mm512_unpacklo_epi64(b, d);
	r[3] = _mm512_unpackhi_epi64(b, d);
}

INLINE __m512i
quarters(const uint8_t *const *p, size_t at)
{
	__m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(p[0] + at)));

	v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p[4] + at)), 1);
	v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p[8] + at)), 2);
	return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p[12] + at)), 3);
}

/* The block at `at` of all streams: w[i] is the word i of each. */
INLINE void
load_words(__m512i *w, const uint8_t *const *p, size_t at)
{
	const __m512i swap =
		_mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));

#pragma GCC unroll 4
	for (size_t q = 0; q < 4; q++) {
#pragma GCC unroll 4
		for (size_t i = 0; i < 4; i++)
			w[4 * q + i] = _mm512_shuffle_epi8(quarters(p + i, at + 16 * q), swap);
		turn_quarters(w + 4 * q);
	}
}

AVX512 void
hf_sha256_x16(hf_sha256_x16_state state, const uint8_t *const p[static HF_SHA256_LANES],
	size_t blocks)
{
	const uint32_t *k = hf_sha256_k;
	__m512i w[16], s[8];

	for (int i = 0; i < 8; i++)
		s[i] = _mm512_loadu_si512(state[i]);
	for (size_t at = 0; at < 64 * blocks; at += 64) {
		__m512i a = s[0], b = s[1], c = s[2], d = s[3];
		__m512i e = s[4], f = s[5], g = s[6], h = s[7];

		load_words(w, p, at);
		EIGHT_ROUNDS(0, 0);
		EIGHT_ROUNDS(8, 0);
		for (int t = 16; t < 64; t += 16) {
			schedule(w);
			EIGHT_ROUNDS(0, t);
			EIGHT_ROUNDS(8, t);
		}
		s[0] = ADD(s[0], a);
		s[1] = ADD(s[1], b);
		s[2] = ADD(s[2], c);
		s[3] = ADD(s[3], d);
		s[4] = ADD(s[4], e);
		s[5] = ADD(s[5], f);
		s[6] = ADD(s[6], g);
		s[7] = ADD(s[7], h);
	}
	for (int i = 0; i < 8; i++)
		_mm512_storeu_si512(state[i], s[i]);
	_mm256_zeroupper(); /* see mac_end() in aead.c */
}

#else

bool
hf_sha256_x16_works(void)
{
	return false;
}

void
hf_sha256_x16(hf_sha256_x16_state state, const uint8_t *const p[static HF_SHA256_LANES],
	size_t blocks)
{
	(void)state;
	(void)p;
	(void)blocks;
	assert(!"there are no such instructions");
}

#endif
