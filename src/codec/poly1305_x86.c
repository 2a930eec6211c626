/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A number below 2^130 - 5 is three limbs of 44, 44 and 42 bits. What a product has above 2^130 comes
 * back five times as much below; for the limbs, whose weights end at 2^132, that is 20 times.
 *
 *	d0 = h0 r0 + h1 20 r2 + h2 20 r1
 *	d1 = h0 r1 + h1    r0 + h2 20 r2
 *	d2 = h0 r2 + h1    r1 + h2    r0
 *
 * Before a product the limbs of h are below 2^46 (a sum of two numbers with limbs of at most 45
 * bits), those of a power of r below 2^45 and 20 times those below 2^50. So all fit the 52 bits that the
 * instruction looks at, and the sum of three halves of products and of what the limb below gives
 * fits the 64 bits of a lane.
 */
#include "codec/poly1305_x86.h"

#include <assert.h>
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define IFMA   __attribute__((target("avx512f,avx512bw,avx512vl,avx512ifma")))
#define INLINE static inline __attribute__((always_inline))

enum {
	BLOCK = 16,
	LIMB = 44,
	TOP_LIMB = 42,
	STEP = HF_POLY1305_STEP,
	LANES = HF_POLY1305_LANES,
	WORTH_TWO = 8 * STEP, /* bytes that are worth two more products */
};

#define MASK     ((1ULL << LIMB) - 1)
#define TOP_MASK ((1ULL << TOP_LIMB) - 1)

__extension__ typedef unsigned __int128 wide;

bool
hf_poly1305_x86_works(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
}

/* ---- one number ---- */

struct number {
	uint64_t limb[HF_POLY1305_LIMBS];
};

/* h r, with limbs of which only the second may have a bit too many. */
static struct number
times(struct number h, struct number r)
{
	uint64_t r1 = 20 * r.limb[1], r2 = 20 * r.limb[2];
	wide d0 = (wide)h.limb[0] * r.limb[0] + (wide)h.limb[1] * r2 + (wide)h.limb[2] * r1;
	wide d1 = (wide)h.limb[0] * r.limb[1] + (wide)h.limb[1] * r.limb[0] +
		  (wide)h.limb[2] * r2;
	wide d2 = (wide)h.limb[0] * r.limb[2] + (wide)h.limb[1] * r.limb[1] +
		  (wide)h.limb[2] * r.limb[0];

	d1 += d0 >> LIMB;
	d2 += d1 >> LIMB;
	uint64_t low = ((uint64_t)d0 & MASK) + 5 * (uint64_t)(d2 >> TOP_LIMB);

	return (struct number){
		{low & MASK, ((uint64_t)d1 & MASK) + (low >> LIMB), (uint64_t)d2 & TOP_MASK}};
}

/* Of 16 bytes, the lowest first; the limb at the top gets `high` besides. */
static struct number
number(const uint8_t *p, uint64_t high)
{
	uint64_t v[2];

	memcpy(v, p, sizeof v);
	return (struct number){{v[0] & MASK, (v[0] >> LIMB | v[1] << (64 - LIMB)) & MASK,
		v[1] >> (2 * LIMB - 64) | high}};
}

static struct number
plus(struct number a, struct number b)
{
	for (int i = 0; i < HF_POLY1305_LIMBS; i++)
		a.limb[i] += b.limb[i];
	return a;
}

/* Every limb within its bits, and the number below 2^130 - 5; and as much of it as 16 bytes hold. */
static wide
reduced(struct number h)
{
	uint64_t *v = h.limb;

	for (int turn = 0; turn < 2; turn++) {
		v[1] += v[0] >> LIMB;
		v[0] &= MASK;
		v[2] += v[1] >> LIMB;
		v[1] &= MASK;
		v[0] += 5 * (v[2] >> TOP_LIMB);
		v[2] &= TOP_MASK;
	}
	v[1] += v[0] >> LIMB;
	v[0] &= MASK;

	/* h + 5 - 2^130 is what it is, unless that is below zero. */
	uint64_t g0 = v[0] + 5;
	uint64_t g1 = v[1] + (g0 >> LIMB);
	uint64_t g2 = v[2] + (g1 >> LIMB) - (1ULL << TOP_LIMB);
	uint64_t keep = 0 - (g2 >> 63); /* all ones: it is below */
	v[0] = (v[0] & keep) | (g0 & MASK & ~keep);
	v[1] = (v[1] & keep) | (g1 & MASK & ~keep);
	v[2] = (v[2] & keep) | (g2 & ~keep);
	return (wide)v[0] + ((wide)v[1] << LIMB) + ((wide)v[2] << 2 * LIMB);
}

/* ---- eight numbers ---- */

struct numbers {
	__m512i limb[HF_POLY1305_LIMBS];
};

IFMA INLINE struct numbers
load(const struct hf_poly1305 *v)
{
	return (struct numbers){{_mm512_loadu_si512(v->limb[0]), _mm512_loadu_si512(v->limb[1]),
		_mm512_loadu_si512(v->limb[2])}};
}

IFMA INLINE __m512i
twenty(__m512i v)
{
	return _mm512_add_epi64(_mm512_slli_epi64(v, 4), _mm512_slli_epi64(v, 2));
}

/* A factor, with what of it comes back from above. */
struct factor {
	struct numbers n;
	__m512i r1, r2; /* 20 times the limbs */
};

IFMA INLINE struct factor
factor(struct numbers n)
{
	return (struct factor){n, twenty(n.limb[1]), twenty(n.limb[2])};
}

#define LOW(sum, a, b)  _mm512_madd52lo_epu64(sum, a, b)
#define HIGH(sum, a, b) _mm512_madd52hi_epu64(sum, a, b)
#define ADD(a, b)       _mm512_add_epi64(a, b)

/*
 * The halves of a product meet at 2^52, which is 2^8 in the limb above, or 2^10 where that limb is
 * the lowest one again.
 */
IFMA INLINE struct numbers
times_eight(struct numbers h, struct factor r)
{
	const __m512i mask = _mm512_set1_epi64((long long)MASK);
	const __m512i top_mask = _mm512_set1_epi64((long long)TOP_MASK);
	const __m512i zero = _mm512_setzero_si512();
	const __m512i *a = h.limb, *b = r.n.limb;

#define SUM(part, x, y, z) part(part(part(zero, a[0], x), a[1], y), a[2], z)
	__m512i l0 = SUM(LOW, b[0], r.r2, r.r1), h0 = SUM(HIGH, b[0], r.r2, r.r1);
	__m512i l1 = SUM(LOW, b[1], b[0], r.r2), h1 = SUM(HIGH, b[1], b[0], r.r2);
	__m512i l2 = SUM(LOW, b[2], b[1], b[0]), h2 = SUM(HIGH, b[2], b[1], b[0]);
#undef SUM
	l1 = ADD(l1, ADD(_mm512_slli_epi64(h0, 52 - LIMB), _mm512_srli_epi64(l0, LIMB)));
	l2 = ADD(l2, ADD(_mm512_slli_epi64(h1, 52 - LIMB), _mm512_srli_epi64(l1, LIMB)));
	__m512i over =
		ADD(_mm512_slli_epi64(h2, 52 - TOP_LIMB), _mm512_srli_epi64(l2, TOP_LIMB));
	l0 = ADD(_mm512_and_si512(l0, mask), ADD(over, _mm512_slli_epi64(over, 2)));
	return (struct numbers){{_mm512_and_si512(l0, mask),
		ADD(_mm512_and_si512(l1, mask), _mm512_srli_epi64(l0, LIMB)),
		_mm512_and_si512(l2, top_mask)}};
}

/* Eight blocks, each with the bit behind it that makes its length count. */
IFMA INLINE struct numbers
blocks(const uint8_t *p)
{
	const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
	const __m512i odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
	const __m512i mask = _mm512_set1_epi64((long long)MASK);
	const __m512i behind = _mm512_set1_epi64(1LL << (128 - 2 * LIMB));
	__m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
	__m512i low = _mm512_permutex2var_epi64(a, even, b);
	__m512i high = _mm512_permutex2var_epi64(a, odd, b);
	__m512i mid = _mm512_or_si512(
		_mm512_srli_epi64(low, LIMB), _mm512_slli_epi64(high, 64 - LIMB));

	return (struct numbers){{_mm512_and_si512(low, mask), _mm512_and_si512(mid, mask),
		_mm512_or_si512(_mm512_srli_epi64(high, 2 * LIMB - 64), behind)}};
}

/* ---- a message ---- */

void
hf_poly1305_x86_key(struct hf_poly1305 *k, const uint8_t r[static 16])
{
	/* As RFC 8439 has it, 2.5: the upper four bits of four bytes and the lower two of three are 0. */
	static const uint8_t clamp[16] = {0xff, 0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f, 0xfc,
		0xff, 0xff, 0x0f, 0xfc, 0xff, 0xff, 0x0f};
	uint8_t clamped[16];

	for (int i = 0; i < 16; i++)
		clamped[i] = r[i] & clamp[i];
	struct number one = number(clamped, 0), power = one;
	for (int i = LANES; i-- > 0; power = times(power, one))
		for (int l = 0; l < HF_POLY1305_LIMBS; l++)
			k->limb[l][i] = power.limb[l];
	explicit_bzero(clamped, sizeof clamped);
	explicit_bzero(&one, sizeof one);
	explicit_bzero(&power, sizeof power);
}

void
hf_poly1305_x86_begin(struct hf_poly1305 *s)
{
	memset(s, 0, sizeof *s);
}

IFMA INLINE struct numbers
step(struct numbers h, struct factor r, struct numbers more)
{
	h = times_eight(h, r);
	for (int l = 0; l < HF_POLY1305_LIMBS; l++)
		h.limb[l] = ADD(h.limb[l], more.limb[l]);
	return h;
}

/* A product waits for the one before it, so that two sums go on by turns; *n becomes what is left. */
IFMA INLINE struct numbers
add_two(struct numbers h, struct factor r, const uint8_t **p, size_t *n)
{
	struct factor square = factor(times_eight(r.n, r));
	struct numbers other = {
		{_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()}};

	for (; *n >= 2 * STEP; *n -= 2 * STEP, *p += 2 * STEP) {
		other = step(other, square, blocks(*p));
		h = step(h, square, blocks(*p + STEP));
	}
	return step(other, r, h);
}

IFMA void
hf_poly1305_x86_add(
	const struct hf_poly1305 *k, struct hf_poly1305 *s, const uint8_t *p, size_t n)
{
	struct numbers h = load(s), eighth;

	assert(n % STEP == 0);
	for (int l = 0; l < HF_POLY1305_LIMBS; l++)
		eighth.limb[l] = _mm512_set1_epi64((long long)k->limb[l][0]);
	struct factor r = factor(eighth);
	if (n >= WORTH_TWO)
		h = add_two(h, r, &p, &n);
	for (; n > 0; n -= STEP, p += STEP)
		h = step(h, r, blocks(p));
	for (int l = 0; l < HF_POLY1305_LIMBS; l++)
		_mm512_storeu_si512(s->limb[l], h.limb[l]);
	_mm256_zeroupper(); /* see mac_end() in aead.c */
}

/* Each lane by the power that its last block is away from the end, and all of them together. */
IFMA static struct number
sum(const struct hf_poly1305 *k, const struct hf_poly1305 *s)
{
	struct factor r = factor(load(k));
	struct numbers h = times_eight(load(s), r);
	struct number n;

	for (int l = 0; l < HF_POLY1305_LIMBS; l++)
		n.limb[l] = (uint64_t)_mm512_reduce_add_epi64(h.limb[l]);
	_mm256_zeroupper();
	return n;
}

void
hf_poly1305_x86_end(const struct hf_poly1305 *k, struct hf_poly1305 *s, const uint8_t *rest,
	size_t n, const uint8_t pad[static 16], uint8_t mac[static 16])
{
	struct number r, h;
	size_t whole = n - n % STEP;
	wide end, more;

	if (whole > 0)
		hf_poly1305_x86_add(k, s, rest, whole);
	h = sum(k, s);
	for (int l = 0; l < HF_POLY1305_LIMBS; l++)
		r.limb[l] = k->limb[l][LANES - 1];
	for (rest += whole, n -= whole; n >= BLOCK; n -= BLOCK, rest += BLOCK)
		h = times(plus(h, number(rest, 1ULL << (128 - 2 * LIMB))), r);
	if (n > 0) {
		uint8_t last[BLOCK] = {0};

		memcpy(last, rest, n);
		last[n] = 1;
		h = times(plus(h, number(last, 0)), r);
	}
	memcpy(&more, pad, sizeof more);
	end = reduced(h) + more;
	memcpy(mac, &end, sizeof end);
	explicit_bzero(&r, sizeof r);
	explicit_bzero(&h, sizeof h);
}

#else

bool
hf_poly1305_x86_works(void)
{
	return false;
}

void
hf_poly1305_x86_key(struct hf_poly1305 *k, const uint8_t r[static 16])
{
	(void)k;
	(void)r;
	assert(!"there are no such instructions");
}

void
hf_poly1305_x86_begin(struct hf_poly1305 *s)
{
	(void)s;
	assert(!"there are no such instructions");
}

void
hf_poly1305_x86_add(
	const struct hf_poly1305 *k, struct hf_poly1305 *s, const uint8_t *p, size_t n)
{
	(void)k;
	(void)s;
	(void)p;
	(void)n;
	assert(!"there are no such instructions");
}

void
hf_poly1305_x86_end(const struct hf_poly1305 *k, struct hf_poly1305 *s, const uint8_t *rest,
	size_t n, const uint8_t pad[static 16], uint8_t mac[static 16])
{
	(void)k;
	(void)s;
	(void)rest;
	(void)n;
	(void)pad;
	(void)mac;
	assert(!"there are no such instructions");
}

#endif
