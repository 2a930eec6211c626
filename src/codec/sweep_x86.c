/* SPDX-License-Identifier: BSD-2-Clause */
/* The vector forms for x86-64. Intrinsics, because no portable spelling has GFNI. */
#if defined(__x86_64__)

#include "codec/sweep.h"

#include <immintrin.h>

/* 64 lanes, one instruction per matrix. */
#define NAME(x)        x##_gfni
#define TARGET         __attribute__((target("avx512f,avx512bw,gfni")))
#define VECTOR         __m512i
#define LANES          64
#define HITS           uint64_t
#define MAP            __m512i
#define LOAD_MAP(c, k) _mm512_set1_epi64((long long)(c)->map[k])
#define SPLIT          __m512i
#define SPLIT_OF(x)    (x)
#define IMAGE(m, x)    _mm512_gf2p8affine_epi64_epi8(x, m, 0)
#define XOR(a, b)      _mm512_xor_si512(a, b)
#define XOR3(a, b, c)  _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define UNPACK_LO      _mm512_unpacklo_epi8
#define UNPACK_HI      _mm512_unpackhi_epi8
#define QUARTER(p)     _mm_loadu_si128((const __m128i *)(const void *)(p))

TARGET static inline __attribute__((always_inline)) __m512i
row_gfni(const uint8_t *p, size_t stretch)
{
	__m512i v = _mm512_castsi128_si512(QUARTER(p));

	v = _mm512_inserti32x4(v, QUARTER(p + 16 * stretch), 1);
	v = _mm512_inserti32x4(v, QUARTER(p + 32 * stretch), 2);
	return _mm512_inserti32x4(v, QUARTER(p + 48 * stretch), 3);
}

/* (c & 0x7f) | b | a is zero: 20 bits of the fingerprint, as the lowest 3 of `a` are always. */
TARGET static inline __attribute__((always_inline)) uint64_t
hits_gfni(__m512i a, __m512i b, __m512i c)
{
	__m512i rest = _mm512_ternarylogic_epi64(c, _mm512_set1_epi8(0x7f), b, 0xea);
	__m512i all = _mm512_or_si512(rest, a);

	return _mm512_testn_epi8_mask(all, all);
}

#include "codec/sweep_lanes.inc"

/* 32 lanes, two lookups per matrix. */
struct split {
	__m256i low, high;
};

struct map {
	__m256i low, high;
};

#define NAME(x)        x##_avx2
#define TARGET         __attribute__((target("avx2")))
#define VECTOR         __m256i
#define LANES          32
#define HITS           uint32_t
#define MAP            struct map
#define LOAD_MAP(c, k) load_map(c, k)
#define SPLIT          struct split
#define SPLIT_OF(x)    split_of(x)
#define IMAGE(m, x)                                                                            \
	_mm256_xor_si256(_mm256_shuffle_epi8((m).low, (x).low),                                \
		_mm256_shuffle_epi8((m).high, (x).high))
#define XOR(a, b)     _mm256_xor_si256(a, b)
#define XOR3(a, b, c) _mm256_xor_si256(a, _mm256_xor_si256(b, c))
#define UNPACK_LO     _mm256_unpacklo_epi8
#define UNPACK_HI     _mm256_unpackhi_epi8

TARGET static inline __attribute__((always_inline)) struct map
load_map(const struct hf_chunker *c, int k)
{
	return (struct map){_mm256_broadcastsi128_si256(QUARTER(c->nibble[k][0])),
		_mm256_broadcastsi128_si256(QUARTER(c->nibble[k][1]))};
}

TARGET static inline __attribute__((always_inline)) struct split
split_of(__m256i x)
{
	const __m256i mask = _mm256_set1_epi8(0x0f);

	return (struct split){
		_mm256_and_si256(x, mask), _mm256_and_si256(_mm256_srli_epi16(x, 4), mask)};
}

TARGET static inline __attribute__((always_inline)) __m256i
row_avx2(const uint8_t *p, size_t stretch)
{
	return _mm256_inserti128_si256(
		_mm256_castsi128_si256(QUARTER(p)), QUARTER(p + 16 * stretch), 1);
}

TARGET static inline __attribute__((always_inline)) uint32_t
hits_avx2(__m256i a, __m256i b, __m256i c)
{
	__m256i all = _mm256_or_si256(
		_mm256_and_si256(c, _mm256_set1_epi8(0x7f)), _mm256_or_si256(a, b));

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(all, _mm256_setzero_si256()));
}

#include "codec/sweep_lanes.inc"

#else
typedef int hf_no_sweep_x86; /* a translation unit may not be empty */
#endif
