/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A group is four rounds. The words of the message for group g + 4 are made from those of the four
 * groups before, in the order that the two message instructions prescribe.
 */
#include "codec/sha256_x86.h"

#include <assert.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define SHA __attribute__((target("sha,sse4.1,ssse3")))

/* The constants of FIPS 180-4, 4.2.2. */
const uint32_t hf_sha256_k[64] __attribute__((aligned(64))) = {
	0x428a2f98,
	0x71374491,
	0xb5c0fbcf,
	0xe9b5dba5,
	0x3956c25b,
	0x59f111f1,
	0x923f82a4,
	0xab1c5ed5,
	0xd807aa98,
	0x12835b01,
	0x243185be,
	0x550c7dc3,
	0x72be5d74,
	0x80deb1fe,
	0x9bdc06a7,
	0xc19bf174,
	0xe49b69c1,
	0xefbe4786,
	0x0fc19dc6,
	0x240ca1cc,
	0x2de92c6f,
	0x4a7484aa,
	0x5cb0a9dc,
	0x76f988da,
	0x983e5152,
	0xa831c66d,
	0xb00327c8,
	0xbf597fc7,
	0xc6e00bf3,
	0xd5a79147,
	0x06ca6351,
	0x14292967,
	0x27b70a85,
	0x2e1b2138,
	0x4d2c6dfc,
	0x53380d13,
	0x650a7354,
	0x766a0abb,
	0x81c2c92e,
	0x92722c85,
	0xa2bfe8a1,
	0xa81a664b,
	0xc24b8b70,
	0xc76c51a3,
	0xd192e819,
	0xd6990624,
	0xf40e3585,
	0x106aa070,
	0x19a4c116,
	0x1e376c08,
	0x2748774c,
	0x34b0bcb5,
	0x391c0cb3,
	0x4ed8aa4a,
	0x5b9cca4f,
	0x682e6ff3,
	0x748f82ee,
	0x78a5636f,
	0x84c87814,
	0x8cc70208,
	0x90befffa,
	0xa4506ceb,
	0xbef9a3f7,
	0xc67178f2,
};

bool
hf_sha256_x86_works(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_SSE4_1) == 0 || (c & bit_SSSE3) == 0)
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) != 0;
}

/* One stream in registers: half the state each, and the message words of four groups. */
struct lane {
	__m128i abef, cdgh, w0, w1, w2, w3;
};

/* The four rounds of a group whose words are `w`. */
#define ROUNDS(l, w, g)                                                                        \
	do {                                                                                   \
		__m128i m = _mm_add_epi32((w),                                                 \
			_mm_load_si128((const __m128i *)(const void *)&hf_sha256_k[4 * (g)])); \
		(l).cdgh = _mm_sha256rnds2_epu32((l).cdgh, (l).abef, m);                       \
		m = _mm_shuffle_epi32(m, 0x0e);                                                \
		(l).abef = _mm_sha256rnds2_epu32((l).abef, (l).cdgh, m);                       \
	} while (0)

/* Replaces the words of group g by those of g + 4. */
#define SCHEDULE(wa, wb, wc, wd)                                                               \
	((wa) = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32((wa), (wb)),           \
					     _mm_alignr_epi8((wd), (wc), 4)),                  \
		 (wd)))

/* Four groups, whose words then become those of the next four. */
#define FOUR(each, g)                                                                          \
	do {                                                                                   \
		each(w0, w1, w2, w3, (g));                                                     \
		each(w1, w2, w3, w0, (g) + 1);                                                 \
		each(w2, w3, w0, w1, (g) + 2);                                                 \
		each(w3, w0, w1, w2, (g) + 3);                                                 \
	} while (0)

#define ONE_MORE(wa, wb, wc, wd, g)                                                            \
	do {                                                                                   \
		ROUNDS(x, x.wa, g);                                                            \
		SCHEDULE(x.wa, x.wb, x.wc, x.wd);                                              \
	} while (0)
#define ONE_LAST(wa, wb, wc, wd, g) ROUNDS(x, x.wa, g)

#define TWO_MORE(wa, wb, wc, wd, g)                                                            \
	do {                                                                                   \
		ROUNDS(x, x.wa, g);                                                            \
		ROUNDS(y, y.wa, g);                                                            \
		SCHEDULE(x.wa, x.wb, x.wc, x.wd);                                              \
		SCHEDULE(y.wa, y.wb, y.wc, y.wd);                                              \
	} while (0)
#define TWO_LAST(wa, wb, wc, wd, g)                                                            \
	do {                                                                                   \
		ROUNDS(x, x.wa, g);                                                            \
		ROUNDS(y, y.wa, g);                                                            \
	} while (0)

static inline SHA __m128i
load(const void *p)
{
	return _mm_loadu_si128(p);
}

/* Four words of the message, big-endian as it is written. */
static inline SHA __m128i
words(const uint8_t *p)
{
	return _mm_shuffle_epi8(
		load(p), _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

static inline SHA void
load_block(struct lane *l, const uint8_t *p)
{
	l->w0 = words(p);
	l->w1 = words(p + 16);
	l->w2 = words(p + 32);
	l->w3 = words(p + 48);
}

static inline SHA void
store_state(const struct lane *l, uint32_t *state)
{
	_mm_storeu_si128((void *)state, l->abef);
	_mm_storeu_si128((void *)(state + 4), l->cdgh);
}

SHA void
hf_sha256_x86(uint32_t state[static 8], const uint8_t *p, size_t blocks)
{
	struct lane x = {.abef = load(state), .cdgh = load(state + 4)};

	for (; blocks > 0; blocks--, p += 64) {
		__m128i abef = x.abef, cdgh = x.cdgh;

		load_block(&x, p);
		FOUR(ONE_MORE, 0);
		FOUR(ONE_MORE, 4);
		FOUR(ONE_MORE, 8);
		FOUR(ONE_LAST, 12);
		x.abef = _mm_add_epi32(x.abef, abef);
		x.cdgh = _mm_add_epi32(x.cdgh, cdgh);
	}
	store_state(&x, state);
}

SHA void
hf_sha256_x86_two(uint32_t state_a[static 8], const uint8_t *a, uint32_t state_b[static 8],
	const uint8_t *b, size_t blocks)
{
	struct lane x = {.abef = load(state_a), .cdgh = load(state_a + 4)};
	struct lane y = {.abef = load(state_b), .cdgh = load(state_b + 4)};

	for (; blocks > 0; blocks--, a += 64, b += 64) {
		__m128i x_abef = x.abef, x_cdgh = x.cdgh, y_abef = y.abef, y_cdgh = y.cdgh;

		load_block(&x, a);
		load_block(&y, b);
		FOUR(TWO_MORE, 0);
		FOUR(TWO_MORE, 4);
		FOUR(TWO_MORE, 8);
		FOUR(TWO_LAST, 12);
		x.abef = _mm_add_epi32(x.abef, x_abef);
		x.cdgh = _mm_add_epi32(x.cdgh, x_cdgh);
		y.abef = _mm_add_epi32(y.abef, y_abef);
		y.cdgh = _mm_add_epi32(y.cdgh, y_cdgh);
	}
	store_state(&x, state_a);
	store_state(&y, state_b);
}

#else

bool
hf_sha256_x86_works(void)
{
	return false;
}

void
hf_sha256_x86(uint32_t state[static 8], const uint8_t *p, size_t blocks)
{
	(void)state;
	(void)p;
	(void)blocks;
	assert(!"there are no such instructions");
}

void
hf_sha256_x86_two(uint32_t state_a[static 8], const uint8_t *a, uint32_t state_b[static 8],
	const uint8_t *b, size_t blocks)
{
	(void)state_a;
	(void)a;
	(void)state_b;
	(void)b;
	(void)blocks;
	assert(!"there are no such instructions");
}

#endif
