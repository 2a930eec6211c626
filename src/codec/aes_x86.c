/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instructions do a round of FIPS 197 each, in a time that does not depend on the data. A round
 * waits for the one before it, so that only blocks side by side keep the unit busy: 32 of them.
 */
#include "codec/aes_x86.h"

#include <assert.h>
#include <string.h>

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define AES    __attribute__((target("aes,sse4.1")))
#define VAES   __attribute__((target("avx512f,avx512bw,avx512vl,vaes")))
#define INLINE static inline __attribute__((always_inline))

enum {
	ROUNDS_128 = 10,
	ROUNDS_256 = 14,
	WIDTH = 8,             /* registers at a time */
	VECTOR = 64,           /* bytes of each */
	STEP = WIDTH * VECTOR, /* bytes at a time */
	PER_STEP = STEP / HF_AES_BLOCK,
};

__extension__ typedef unsigned __int128 counter_t;

bool
hf_aes_x86_works(void)
{
	unsigned a, b, c, d;

	/* These ask also whether the kernel saves the registers. */
	if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl"))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_VAES) != 0;
}

/* ---- keys (FIPS 197, 5.2) ---- */

/* A key of a round from the one a key's length before, and the word that the table gave. */
AES INLINE __m128i
next_key(__m128i before, __m128i word)
{
	before = _mm_xor_si128(before, _mm_slli_si128(before, 4));
	before = _mm_xor_si128(before, _mm_slli_si128(before, 8));
	return _mm_xor_si128(before, word);
}

/* The constant of a round has to be one of the instruction. */
#define TURNED(k, constant) _mm_shuffle_epi32(_mm_aeskeygenassist_si128(k, constant), 0xff)
#define AS_IT_IS(k)         _mm_shuffle_epi32(_mm_aeskeygenassist_si128(k, 0), 0xaa)

AES static void
store(struct hf_aes_x86 *aes, unsigned i, __m128i k)
{
	_mm_storeu_si128((void *)aes->round[i], k);
}

AES void
hf_aes_x86_key_128(struct hf_aes_x86 *aes, const uint8_t key[static 16])
{
	__m128i k = _mm_loadu_si128((const void *)key);

	aes->n_rounds = ROUNDS_128;
	store(aes, 0, k);
#define NEXT(i, constant) store(aes, i, k = next_key(k, TURNED(k, constant)))
	NEXT(1, 0x01);
	NEXT(2, 0x02);
	NEXT(3, 0x04);
	NEXT(4, 0x08);
	NEXT(5, 0x10);
	NEXT(6, 0x20);
	NEXT(7, 0x40);
	NEXT(8, 0x80);
	NEXT(9, 0x1b);
	NEXT(10, 0x36);
#undef NEXT
}

AES void
hf_aes_x86_key_256(struct hf_aes_x86 *aes, const uint8_t key[static 32])
{
	__m128i a = _mm_loadu_si128((const void *)key);
	__m128i b = _mm_loadu_si128((const void *)(key + 16));

	aes->n_rounds = ROUNDS_256;
	store(aes, 0, a);
	store(aes, 1, b);
#define EVEN(i, constant) store(aes, i, a = next_key(a, TURNED(b, constant)))
#define ODD(i)            store(aes, i, b = next_key(b, AS_IT_IS(a)))
	EVEN(2, 0x01);
	ODD(3);
	EVEN(4, 0x02);
	ODD(5);
	EVEN(6, 0x04);
	ODD(7);
	EVEN(8, 0x08);
	ODD(9);
	EVEN(10, 0x10);
	ODD(11);
	EVEN(12, 0x20);
	ODD(13);
	EVEN(14, 0x40);
#undef EVEN
#undef ODD
}

AES void
hf_aes_x86_block(const struct hf_aes_x86 *aes, const uint8_t in[static HF_AES_BLOCK],
	uint8_t out[static HF_AES_BLOCK])
{
	__m128i x = _mm_xor_si128(_mm_loadu_si128((const void *)in),
		_mm_loadu_si128((const void *)aes->round[0]));

	for (unsigned i = 1; i < aes->n_rounds; i++)
		x = _mm_aesenc_si128(x, _mm_loadu_si128((const void *)aes->round[i]));
	x = _mm_aesenclast_si128(x, _mm_loadu_si128((const void *)aes->round[aes->n_rounds]));
	_mm_storeu_si128((void *)out, x);
}

/* ---- counters ---- */

static counter_t
get_counter(const uint8_t *p)
{
	counter_t n = 0;

	for (int i = 0; i < HF_AES_BLOCK; i++)
		n = n << 8 | p[i];
	return n;
}

static void
put_counter(uint8_t *p, counter_t n)
{
	for (int i = HF_AES_BLOCK; i-- > 0; n >>= 8)
		p[i] = (uint8_t)n;
}

/* The lower halves of four numbers. */
VAES INLINE __m512i
low(int n)
{
	return _mm512_set_epi64(0, n, 0, n, 0, n, 0, n);
}

/* The numbers n to n + 3, the lowest byte first. */
VAES static __m512i
four(counter_t n)
{
	uint64_t v[8];

	for (int i = 0; i < 4; i++) {
		v[2 * i] = (uint64_t)(n + (counter_t)i);
		v[2 * i + 1] = (uint64_t)((n + (counter_t)i) >> 64);
	}
	return _mm512_loadu_si512(v);
}

/*
 * The counters of a step, of which the first four are *first, and the first four of the next one. Only
 * where the lower half comes to its end does the upper one change.
 */
VAES INLINE void
count(__m512i *x, counter_t n, __m512i *first)
{
	const __m512i swap =
		_mm512_broadcast_i32x4(_mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f));

	if ((uint64_t)n <= UINT64_MAX - 2 * PER_STEP) {
#pragma GCC unroll 8
		for (int i = 0; i < WIDTH; i++)
			x[i] = _mm512_shuffle_epi8(_mm512_add_epi64(*first, low(4 * i)), swap);
		*first = _mm512_add_epi64(*first, low(PER_STEP));
	} else {
		for (int i = 0; i < WIDTH; i++)
			x[i] = _mm512_shuffle_epi8(four(n + 4 * (counter_t)i), swap);
		*first = four(n + PER_STEP);
	}
}

/* ---- the bytes ---- */

/* Of the n bytes that are left, those in the i-th register of a step. */
VAES INLINE __mmask64
those(size_t n, int i)
{
	size_t before = (size_t)i * VECTOR;

	return n >= before + VECTOR ? ~0ULL : n <= before ? 0 : (1ULL << (n - before)) - 1;
}

VAES INLINE void
step(const __m512i *k, counter_t n, __m512i *first, const uint8_t *in, uint8_t *out, size_t len)
{
	__m512i x[WIDTH];

	count(x, n, first);
#pragma GCC unroll 8
	for (int i = 0; i < WIDTH; i++)
		x[i] = _mm512_xor_si512(x[i], k[0]);
#pragma GCC unroll 13
	for (int r = 1; r < ROUNDS_256; r++) {
#pragma GCC unroll 8
		for (int i = 0; i < WIDTH; i++)
			x[i] = _mm512_aesenc_epi128(x[i], k[r]);
	}
#pragma GCC unroll 8
	for (int i = 0; i < WIDTH; i++) {
		__mmask64 m = those(len, i);

		x[i] = _mm512_aesenclast_epi128(x[i], k[ROUNDS_256]);
		x[i] = _mm512_xor_si512(x[i], _mm512_maskz_loadu_epi8(m, in + i * VECTOR));
	}
#pragma GCC unroll 8
	for (int i = 0; i < WIDTH; i++)
		_mm512_mask_storeu_epi8(out + i * VECTOR, those(len, i), x[i]);
}

/* Keys stay in no register; of the lower ones that also ends what mac_end() in aead.c tells of. */
VAES INLINE void
forget_registers(void)
{
	_mm256_zeroall();
	__asm__ volatile(
		".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n\t"
		"vpxorq %%zmm\\n, %%zmm\\n, %%zmm\\n\n\t"
		".endr" ::
			: "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
		"xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30",
		"xmm31");
}

VAES void
hf_aes_x86_ctr(const struct hf_aes_x86 *aes, uint8_t counter[static HF_AES_BLOCK],
	const uint8_t *in, uint8_t *out, size_t n)
{
	counter_t at = get_counter(counter);
	__m512i k[ROUNDS_256 + 1];

	assert(aes->n_rounds == ROUNDS_256);
#pragma GCC unroll 15
	for (int i = 0; i <= ROUNDS_256; i++)
		k[i] = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)aes->round[i]));
	__m512i first = four(at);
	for (; n >= STEP; n -= STEP, in += STEP, out += STEP) {
		step(k, at, &first, in, out, STEP);
		at += PER_STEP;
	}
	if (n > 0) {
		step(k, at, &first, in, out, n);
		at += (n + HF_AES_BLOCK - 1) / HF_AES_BLOCK;
	}
	put_counter(counter, at);
	explicit_bzero(k, sizeof k);
	forget_registers();
}

#else

bool
hf_aes_x86_works(void)
{
	return false;
}

void
hf_aes_x86_key_128(struct hf_aes_x86 *aes, const uint8_t key[static 16])
{
	(void)aes;
	(void)key;
	assert(!"there are no such instructions");
}

void
hf_aes_x86_key_256(struct hf_aes_x86 *aes, const uint8_t key[static 32])
{
	(void)aes;
	(void)key;
	assert(!"there are no such instructions");
}

void
hf_aes_x86_block(const struct hf_aes_x86 *aes, const uint8_t in[static HF_AES_BLOCK],
	uint8_t out[static HF_AES_BLOCK])
{
	(void)aes;
	(void)in;
	(void)out;
	assert(!"there are no such instructions");
}

void
hf_aes_x86_ctr(const struct hf_aes_x86 *aes, uint8_t counter[static HF_AES_BLOCK],
	const uint8_t *in, uint8_t *out, size_t n)
{
	(void)aes;
	(void)counter;
	(void)in;
	(void)out;
	(void)n;
	assert(!"there are no such instructions");
}

#endif
