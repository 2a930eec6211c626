/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/chunker.h"

#include "codec/sweep.h"

#include <assert.h>

enum {
	DEG = 53,
	WINDOW = HF_CHUNK_WINDOW,
	/*
	 * Longer stretches spend less on the 64 bytes before them, shorter ones less on what
	 * lies behind the cut; lines at 1 KiB intervals also proved good for the cache.
	 */
	STRETCH_MAX = 1024,
	PORTABLE_LANES = 4,
};

/* a * x^8 + byte, mod p, for a of a lower degree than p. */
static uint64_t
append(uint64_t a, uint8_t byte, hf_poly p)
{
	for (int bit = 7; bit >= 0; bit--) {
		a = a << 1 | (byte >> bit & 1);
		if (a >> DEG & 1)
			a ^= p;
	}
	return a;
}

/* What byte `b` in the role of map `k` does to one byte of the fingerprint times x^3. */
static uint8_t
image(const struct hf_chunker *c, unsigned k, uint8_t b, hf_poly p)
{
	uint64_t all = b;

	if (k < HF_MAP_LEAVING)
		all = c->mod[b] & ((1ULL << DEG) - 1);
	else if (k < HF_MAP_COMING)
		all = append(c->out[b], 0, p);
	return (uint8_t)(all << 3 >> 8 * (k % HF_SWEEP_BYTES));
}

/*
 * Row i of the matrix says which bits of the input make up bit i of the result; the row of the
 * highest bit is the lowest byte.
 */
static void
make_map(struct hf_chunker *c, unsigned k, hf_poly p)
{
	for (unsigned n = 0; n < 16; n++) {
		c->nibble[k][0][n] = image(c, k, (uint8_t)n, p);
		c->nibble[k][1][n] = image(c, k, (uint8_t)(n << 4), p);
	}
	for (unsigned j = 0; j < 8; j++) {
		uint8_t column = image(c, k, (uint8_t)(1 << j), p);

		for (unsigned i = 0; i < 8; i++)
			c->map[k] |= (uint64_t)(column >> i & 1) << (8 * (7 - i) + j);
	}
}

struct hf_chunker *
hf_chunker_new(hf_poly p)
{
	struct hf_chunker *c = hf_new(struct hf_chunker);
	size_t n;

	assert(p >> DEG == 1);
	for (unsigned b = 0; b < 256; b++) {
		uint64_t h = append(0, (uint8_t)b, p);

		for (int i = 1; i < WINDOW; i++)
			h = append(h, 0, p);
		c->out[b] = h;
		c->mod[b] = append((uint64_t)b << (DEG - 8), 0, p) | (uint64_t)b << DEG;
	}
	for (unsigned k = 0; k < HF_MAP_COUNT; k++)
		make_map(c, k, p);
	c->sweep = hf_sweeps(&n);
	return c;
}

void
hf_chunker_free(struct hf_chunker *c)
{
	free(c);
}

uint64_t
hf_chunker_digest(const struct hf_chunker *c, const uint8_t *p)
{
	uint64_t digest = 0;

	for (int i = -WINDOW; i < 0; i++)
		digest = hf_chunker_roll(c, digest, 0, p[i]);
	return digest;
}

/* Out of the way, or gcc makes it conditional moves in every step. */
__attribute__((noinline, cold)) static void
note(size_t *first, size_t at)
{
	if (*first == 0)
		*first = at;
}

/* One lane waits for its table lookups most of the time; four fill the gaps. */
size_t
hf_sweep_portable(const struct hf_chunker *c, const uint8_t *p, size_t stretch)
{
	uint64_t d[PORTABLE_LANES];
	size_t first[PORTABLE_LANES] = {0};

#pragma GCC unroll 4 /* all of them, so that d[] is in registers */
	for (size_t l = 0; l < PORTABLE_LANES; l++)
		d[l] = hf_chunker_digest(c, p + l * stretch);
	for (size_t i = 0; i < stretch; i++) {
#pragma GCC unroll 4
		for (size_t l = 0; l < PORTABLE_LANES; l++) {
			const uint8_t *at = p + l * stretch + i;

			d[l] = hf_chunker_roll(c, d[l], at[-WINDOW], at[0]);
			if (__builtin_expect((d[l] & HF_SPLIT_MASK) == 0, 0))
				note(&first[l], i + 1);
		}
	}
	for (size_t l = 0; l < PORTABLE_LANES; l++)
		if (first[l] != 0)
			return l * stretch + first[l];
	return 0;
}

const struct hf_sweep *
hf_sweeps(size_t *n)
{
	static const struct hf_sweep all[] = {
#if defined(__x86_64__)
		{"gfni", hf_sweep_gfni, 64},
		{"avx2", hf_sweep_avx2, 32},
#endif
		{"portable", hf_sweep_portable, PORTABLE_LANES},
	};
	size_t first = 0;

#if defined(__x86_64__)
	/* Who has the wide form of GFNI has AVX2. */
	if (!__builtin_cpu_supports("avx2"))
		first = 2;
	else if (!__builtin_cpu_supports("gfni") || !__builtin_cpu_supports("avx512bw"))
		first = 1;
#endif
	*n = sizeof all / sizeof *all - first;
	return all + first;
}

/* The first place in [from, to] to cut before, 0 if there is none. */
static size_t
search(const struct hf_chunker *c, const uint8_t *p, size_t from, size_t to)
{
	const struct hf_sweep *sweep = c->sweep;

	/* By itself, so that runs of zeros, which are all cuts, cost nothing. */
	uint64_t digest = hf_chunker_digest(c, p + from);

	if ((digest & HF_SPLIT_MASK) == 0)
		return from;
	for (;;) {
		size_t stretch = (to + 1 - from) / sweep->lanes;

		stretch = stretch < STRETCH_MAX ? stretch : STRETCH_MAX;
		stretch -= stretch % HF_SWEEP_STEP;
		if (stretch == 0)
			break;
		size_t n = sweep->fn(c, p + from - 1, stretch);

		if (n != 0)
			return from + n - 1;
		from += stretch * sweep->lanes;
	}
	if (from > to)
		return 0;
	/* What is left is too little to share out. */
	digest = hf_chunker_digest(c, p + from);
	for (size_t i = from;; i++) {
		if ((digest & HF_SPLIT_MASK) == 0)
			return i;
		if (i == to)
			return 0;
		digest = hf_chunker_roll(c, digest, p[i - WINDOW], p[i]);
	}
}

size_t
hf_chunker_cut(const struct hf_chunker *c, struct hf_bytes buf, size_t from)
{
	size_t first = from < HF_CHUNK_MIN ? HF_CHUNK_MIN : from + 1;
	size_t last = buf.len < HF_CHUNK_MAX ? buf.len : HF_CHUNK_MAX;
	size_t cut = first <= last ? search(c, buf.p, first, last) : 0;

	return cut == 0 && last == HF_CHUNK_MAX ? HF_CHUNK_MAX : cut;
}
