/* SPDX-License-Identifier: BSD-2-Clause */
/* Against the portable vector of the format reference and a byte-by-byte implementation. */
#include "base/endian.h"
#include "chunker_ref.h"
#include "codec/chunker.h"
#include "codec/sha256.h"
#include "codec/sweep.h"
#include "harness/test.h"

#include <stdlib.h>

static const hf_poly POLY = 0x3DA3358B4DC173;

static uint64_t
next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static void
fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i + 8 <= n; i += 8)
		hf_put_le64(p + i, next_random(&seed));
}

/* The next chunk, with the data coming in pieces of random sizes if `seed` is not 0. */
static size_t
cut(const struct hf_chunker *c, struct hf_bytes b, uint64_t *seed)
{
	size_t seen = 0;

	if (b.len > HF_CHUNK_MAX)
		b.len = HF_CHUNK_MAX;
	if (*seed == 0)
		return hf_chunker_cut(c, b, 0);
	while (seen < b.len) {
		unsigned scale = (unsigned)next_random(seed) % 20;
		size_t more = 1 + (size_t)(next_random(seed) >> 20) % (16 << scale % 20);
		size_t now = more < b.len - seen ? seen + more : b.len;
		size_t n = hf_chunker_cut(c, (struct hf_bytes){b.p, now}, seen);

		if (n != 0)
			return n;
		seen = now;
	}
	return 0;
}

TEST(chunker_vector)
{
	enum { N = 16 << 20 };
	static const struct {
		size_t len;
		uint64_t digest;
	} want[] = {
		{1015968, 0x001051a055300000},
		{1087132, 0x000e8c1a55300000},
		{693439, 0x000c0ae224600000},
		{2344058, 0x000cb24676900000},
		{903280, 0x00029da140500000},
		{1709091, 0x001f1e119c800000},
		{1791277, 0x0002af80b1400000},
		{1802453, 0x00040aca61100000},
		{1190352, 0x001ef2be1c000000},
		{528291, 0x000b3f8771600000},
		{868679, 0x0004bca4b3400000},
		{1105126, 0x001d27f356a00000},
	};
	hf_autofree uint8_t *data = malloc(N);
	hf_autoptr(hf_chunker) c = hf_chunker_new(POLY);
	size_t at = 0;
	uint64_t whole = 0;

	for (uint64_t i = 0; i < N / 32; i++) {
		uint8_t le[8];

		hf_put_le64(le, i);
		memcpy(data + 32 * i, hf_sha256((struct hf_bytes){le, 8}).b, 32);
	}
	struct hf_id id = hf_sha256((struct hf_bytes){data, N});

	REQUIRE_STR(hf_id_hex(&id).s,
		"01c65c8d6d336a8f1e9acf8bbfe807f7c1d0ec666ff41bc2db9f679849f03c03");
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		size_t n = cut(c, (struct hf_bytes){data + at, N - at}, &whole);

		REQUIRE_EQ(n, want[i].len);
		at += n;
		CHECK_EQ(hf_chunker_digest(c, data + at), want[i].digest);
	}
	CHECK_EQ(N - at, 1738070);
	CHECK_EQ(cut(c, (struct hf_bytes){data + at, N - at}, &whole), 0);
}

TEST(chunker_zeros_and_constants)
{
	enum { N = 20000000 };
	hf_autofree uint8_t *data = calloc(1, N);
	hf_autoptr(hf_chunker) c = hf_chunker_new(POLY);
	uint64_t whole = 0;

	CHECK_EQ(hf_chunker_cut(c, (struct hf_bytes){data, HF_CHUNK_MAX}, 0), HF_CHUNK_MIN);
	CHECK_EQ(hf_chunker_cut(c, (struct hf_bytes){data, HF_CHUNK_MIN}, 0), HF_CHUNK_MIN);
	CHECK_EQ(hf_chunker_cut(c, (struct hf_bytes){data, HF_CHUNK_MIN - 1}, 0), 0);
	CHECK_EQ(hf_chunker_cut(c, (struct hf_bytes){data, 0}, 0), 0);
	CHECK_EQ(hf_chunker_cut(c, (struct hf_bytes){NULL, 0}, 0), 0);
	memset(data, 'a', N);
	CHECK_EQ(cut(c, (struct hf_bytes){data, N}, &whole), HF_CHUNK_MAX);
	CHECK_EQ(hf_chunker_cut(c, (struct hf_bytes){data, HF_CHUNK_MAX - 1}, 0), 0);
	CHECK_EQ(hf_chunker_cut(c, (struct hf_bytes){data, HF_CHUNK_MAX}, HF_CHUNK_MAX - 1),
		HF_CHUNK_MAX);
	CHECK_EQ(cut(c, (struct hf_bytes){data + 2 * HF_CHUNK_MAX, 3222784}, &whole), 0);
}

/* All cuts of `data`, whole and in pieces, by every sweep, against the oracle. */
static void
compare(hf_poly p, const uint8_t *data, size_t len, uint64_t seed)
{
	hf_autoptr(hf_chunker) c = hf_chunker_new(p);
	size_t n_sweeps;
	const struct hf_sweep *sweeps = hf_sweeps(&n_sweeps);
	struct ref r;
	uint64_t whole = 0;

	ref_init(&r, p);
	for (size_t at = 0; at < len;) {
		struct hf_bytes rest = {data + at, len - at};
		size_t want = ref_cut(&r, rest);

		for (size_t i = 0; i < n_sweeps; i++) {
			c->sweep = &sweeps[i];
			REQUIRE_EQ(cut(c, rest, &whole), want);
			REQUIRE_EQ(cut(c, rest, &seed), want);
		}
		if (want == 0)
			break;
		CHECK_EQ(hf_chunker_digest(c, data + at + want), r.digest);
		at += want;
	}
}

TEST(chunker_like_reference)
{
	enum { N = 10 << 20 };
	hf_autofree uint8_t *data = malloc(N);
	uint64_t seed = 99;

	for (int turn = 0; turn < 3; turn++) {
		fill(data, N, (uint64_t)turn);
		/* Runs of one byte in it, as files have; the fingerprint then stands still. */
		for (int run = 0; run < 20; run++) {
			size_t n = next_random(&seed) % (N / 40);

			memset(data + next_random(&seed) % (N - n), run % 3 == 0 ? 0 : run, n);
		}
		compare(turn == 0 ? POLY : hf_poly_random(), data, N, seed);
	}
}

/*
 * A cut in every position of a stretch, first and last ones included: the bytes that make the
 * fingerprint zero are put there on purpose.
 */
TEST(chunker_cut_at_any_place)
{
	enum { N = HF_CHUNK_MIN + (400 << 10) };
	hf_autofree uint8_t *data = malloc(N);
	hf_autoptr(hf_chunker) c = hf_chunker_new(POLY);
	size_t n_sweeps;
	const struct hf_sweep *sweeps = hf_sweeps(&n_sweeps);
	uint8_t window[64] = {0};
	uint64_t seed = 5;

	/* The window that ends with a zero fingerprint: found in front, used everywhere. */
	fill(data, N, 77);
	while ((hf_chunker_digest(c, window + 64) & 0xfffff) != 0 || window[0] == 0) {
		fill(window, 56, next_random(&seed));
		/* Seven bytes can undo any fingerprint: the last ones are its remainder. */
		memset(window + 56, 0, 8);
		uint64_t d = hf_chunker_digest(c, window + 64);

		for (int i = 0; i < 7; i++)
			window[63 - i] = (uint8_t)(d >> 8 * i);
	}
	for (size_t i = 0; i < N; i++)
		data[i] |= 1;
	size_t first = hf_chunker_cut(c, (struct hf_bytes){data, N}, 0);
	size_t end = first == 0 ? N : first - 1;

	for (int turn = 0; turn < 3000; turn++) {
		uint8_t saved[64];
		size_t at = turn < 300 ? HF_CHUNK_MIN + (size_t)turn
				       : HF_CHUNK_MIN + (size_t)(next_random(&seed) %
								 (end - HF_CHUNK_MIN));

		memcpy(saved, data + at - 64, 64);
		memcpy(data + at - 64, window, 64);
		c->sweep = &sweeps[(size_t)turn % n_sweeps];
		size_t got = hf_chunker_cut(c, (struct hf_bytes){data, end}, 0);

		REQUIRE_EQ(got, at);
		/* From there on, the next thing found must not be the same again. */
		got = hf_chunker_cut(c, (struct hf_bytes){data, end}, at);
		CHECK(got == 0 || got > at);
		memcpy(data + at - 64, saved, 64);
	}
}

/* Every sweep finds each place, and the first of two, in short and long stretches. */
TEST(sweep_places)
{
	enum { N = 64 + 64 * 48 };
	static const size_t stretches[] = {16, 32, 48};
	hf_autoptr(hf_chunker) c = hf_chunker_new(POLY);
	uint8_t data[N];
	uint64_t seed = 6;
	size_t n_sweeps;
	const struct hf_sweep *sweeps = hf_sweeps(&n_sweeps);

	for (int turn = 0; turn < 600; turn++) {
		size_t stretch = stretches[turn % 3];
		size_t n_zero = 64 + next_random(&seed) % 8;

		/* Zeros are places to cut after from the 64th on. */
		fill(data, sizeof data, next_random(&seed));
		for (int i = 0; i < 1 + turn % 3; i++)
			memset(data + next_random(&seed) % (N - n_zero), 0, n_zero);
		for (size_t i = 0; i < n_sweeps; i++) {
			size_t want = 0;

			for (size_t at = 0; at < sweeps[i].lanes * stretch && want == 0; at++)
				if ((hf_chunker_digest(c, data + 65 + at) & 0xfffff) == 0)
					want = at + 1;
			REQUIRE_EQ(sweeps[i].fn(c, data + 64, stretch), want);
		}
	}
}

/* The number of irreducible polynomials is known, so a sample shows whether the test is sane. */
TEST(poly_validity)
{
	int n = 0;
	uint64_t seed = 1;

	CHECK(hf_poly_is_valid(POLY));
	CHECK(hf_poly_is_valid(0x3da3358b4dc173));
	CHECK(!hf_poly_is_valid(0));
	CHECK(!hf_poly_is_valid(1));
	CHECK(!hf_poly_is_valid(1ULL << 53));
	CHECK(!hf_poly_is_valid(1ULL << 53 | 1)); /* x^53 + 1 has the root 1 */
	CHECK(!hf_poly_is_valid(POLY << 1));
	CHECK(!hf_poly_is_valid(POLY | 1ULL << 54));
	CHECK(!hf_poly_is_valid(UINT64_MAX));
	for (int i = 0; i < 20000; i++)
		n += hf_poly_is_valid((next_random(&seed) & ((1ULL << 53) - 1)) | 1ULL << 53);
	CHECK(n > 300 && n < 460); /* 1 in 53 is expected: 377 */
	for (int i = 0; i < 20; i++) {
		hf_poly a = hf_poly_random();

		CHECK(hf_poly_is_valid(a));
		CHECK(a != hf_poly_random());
	}
}

/* Products of two factors are refused, whatever their degrees. */
TEST(poly_products)
{
	uint64_t seed = 2;

	for (int i = 0; i < 3000; i++) {
		int deg = 1 + i % 26;
		uint64_t a = (next_random(&seed) & ((1ULL << deg) - 1)) | 1ULL << deg;
		uint64_t b =
			(next_random(&seed) & ((1ULL << (53 - deg)) - 1)) | 1ULL << (53 - deg);
		uint64_t product = 0;

		for (int k = 0; k <= deg; k++)
			if (a >> k & 1)
				product ^= b << k;
		REQUIRE(product >> 53 == 1);
		CHECK(!hf_poly_is_valid(product));
	}
}
