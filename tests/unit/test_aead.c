/* SPDX-License-Identifier: BSD-2-Clause */
/* Against the vectors of the format reference, which a real repository was made of. */
#include "codec/aead.h"
#include "harness/test.h"

static const uint8_t iv_40[16] = {0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
	0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f};

/* Bytes 00 to 3f in the order encrypt, k, r. */
static struct hf_key
test_key(void)
{
	struct hf_key k;

	for (uint8_t i = 0; i < 32; i++)
		k.encrypt[i] = i;
	for (uint8_t i = 0; i < 16; i++) {
		k.mac_k[i] = 0x20 + i;
		k.mac_r[i] = 0x30 + i;
	}
	return k;
}

static void
from_hex(const char *hex, uint8_t *out)
{
	static const char digits[] = "0123456789abcdef";

	for (; *hex != '\0'; hex += 2)
		*out++ = (uint8_t)((strchr(digits, hex[0]) - digits) << 4 |
				   (strchr(digits, hex[1]) - digits));
}

static void
check_way(enum hf_aead_way way, const uint8_t *iv, struct hf_bytes plain, const char *hex)
{
	struct hf_key k = test_key();
	hf_autoptr(hf_aead) a = hf_aead_new_of(&k, way);
	uint8_t want[256], sealed[256], back[256];

	if (a == NULL)
		return;
	from_hex(hex, want);
	REQUIRE_EQ(strlen(hex), 2 * (plain.len + 16));
	for (int turn = 0; turn < 2; turn++) { /* contexts can be used again */
		hf_aead_seal_iv(a, iv, plain, sealed);
		CHECK_MEM(sealed, iv, 16);
		CHECK_MEM(sealed + 16, want, plain.len + 16);
	}
	struct hf_bytes s = {sealed, plain.len + 32};

	REQUIRE(hf_aead_open(a, s, back));
	CHECK_MEM(back, plain.p, plain.len);
	REQUIRE(hf_aead_open(a, s, sealed + 16)); /* in place */
	CHECK_MEM(sealed + 16, plain.p, plain.len);
}

static void
check(const uint8_t *iv, struct hf_bytes plain, const char *hex)
{
	check_way(HF_AEAD_VECTORS, iv, plain, hex);
	check_way(HF_AEAD_LIBCRYPTO, iv, plain, hex);
}

TEST(aead_vector_empty)
{
	check(iv_40, (struct hf_bytes){iv_40, 0}, "859469c07743c7e45b318d151d3d87e9");
}

TEST(aead_vector_short)
{
	check(iv_40, hf_str_bytes(hf_str("restic")),
		"d11bac4bfe39169d3c90659e770562ecb5ae9b7028fb");
}

TEST(aead_vector_counter_wraps)
{
	uint8_t zero[64] = {0};
	uint8_t iv[16];

	memset(iv, 0xff, sizeof iv);
	iv[15] = 0xfe;
	check(iv, (struct hf_bytes){zero, sizeof zero},
		"63e5b402b51e48ddfaedf9de99cc2744e999e41d4ca770da5387117b5d8f57ee"
		"f29000b62a499fd0a9f39a6add2e7780f05d76ae4ab99fe5a6f69b3148c2363d"
		"89f8dddac0da0ad9d120575125c5afda");
}

TEST(aead_vector_100)
{
	uint8_t plain[100];

	for (uint8_t i = 0; i < 100; i++)
		plain[i] = i;
	check(iv_40, (struct hf_bytes){plain, sizeof plain},
		"a37fdd3c935fbce89b7268cc8156bf58a0640c80bcfb725693f0a7d54c4b4b2e"
		"c55181c889c58123c5e094e568db135c82c533318f25d02a680e2a5add3dba59"
		"90b6ca69cfbffc316d0f4148a34dc1c869f35146650265d9c6bd8a02c77304bb"
		"eeda36ae15303d6694621394ae4e9e7b392a0db2");
}

/* Lengths around the piece that is encrypted at once; the opener uses one piece for the MAC. */
TEST(aead_lengths)
{
	static uint8_t plain[70000], sealed[70032], back[70000];
	static const size_t lens[] = {0, 1, 15, 16, 17, 16383, 16384, 16385, 32768, 70000};
	struct hf_key k = test_key();
	hf_autoptr(hf_aead) a = hf_aead_new(&k);
	hf_autoptr(hf_aead) b = hf_aead_new(&k);

	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)(i * i >> 7);
	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		hf_aead_seal(a, (struct hf_bytes){plain, lens[i]}, sealed);
		REQUIRE(hf_aead_open(b, (struct hf_bytes){sealed, lens[i] + 32}, back));
		CHECK_MEM(back, plain, lens[i]);
		if (lens[i] > 16)
			CHECK(memcmp(sealed + 16, plain, lens[i]) != 0);
	}
	/* The same text by pieces and by one call of the reference below is the same. */
	hf_aead_seal_iv(a, iv_40, (struct hf_bytes){plain, sizeof plain}, sealed);
	memmove(back, plain, sizeof back);
	memcpy(sealed + 16, back, sizeof back);
	hf_aead_seal_iv(b, iv_40, (struct hf_bytes){sealed + 16, sizeof back}, sealed);
	CHECK(hf_aead_open(a, (struct hf_bytes){sealed, sizeof sealed}, back));
	CHECK_MEM(back, plain, sizeof back);
}

/* ---- both ways ---- */

enum { BIG = 300000 };

static uint8_t big[BIG], by_vectors[BIG + HF_SEAL_OVERHEAD],
	by_libcrypto[BIG + HF_SEAL_OVERHEAD];

struct ways {
	struct hf_aead *vectors; /* NULL: this machine has none */
	struct hf_aead *libcrypto;
};

static void
ways_clear(struct ways *w)
{
	hf_aead_free(w->vectors);
	hf_aead_free(w->libcrypto);
}

static struct ways
ways_of(const struct hf_key *k)
{
	return (struct ways){
		hf_aead_new_of(k, HF_AEAD_VECTORS), hf_aead_new_of(k, HF_AEAD_LIBCRYPTO)};
}

/* What the one seals is what the other seals, and each opens it; in place too. */
static void
check_ways(const struct ways *w, const uint8_t *iv, size_t n)
{
	static uint8_t back[BIG];
	struct hf_bytes plain = {big, n}, sealed = {by_vectors, n + HF_SEAL_OVERHEAD};

	if (w->vectors == NULL)
		return;
	hf_aead_seal_iv(w->libcrypto, iv, plain, by_libcrypto);
	hf_aead_seal_iv(w->vectors, iv, plain, by_vectors);
	CHECK_MEM(by_vectors, by_libcrypto, sealed.len);
	REQUIRE(hf_aead_open(w->vectors, sealed, back));
	CHECK_MEM(back, big, n);
	memcpy(by_vectors + 16, big, n);
	hf_aead_seal_iv(w->vectors, iv, (struct hf_bytes){by_vectors + 16, n}, by_vectors);
	CHECK_MEM(by_vectors, by_libcrypto, sealed.len);
	REQUIRE(hf_aead_open(w->vectors, sealed, by_vectors + 16));
	CHECK_MEM(by_vectors + 16, big, n);
}

static void
fill_random(uint8_t *p, size_t n)
{
	static uint64_t state = 1;

	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005 + 1442695040888963407;
		p[i] = (uint8_t)(state >> 56);
	}
}

TEST(aead_ways_agree_on_lengths)
{
	struct hf_key k = test_key();
	hf_auto(ways) w = ways_of(&k);

	fill_random(big, sizeof big);
	for (size_t n = 0; n <= 1300; n++) /* two steps of AES, ten of the MAC */
		check_ways(&w, iv_40, n);
	for (size_t n = 16384 - 2; n <= 16384 + 2; n++)
		check_ways(&w, iv_40, n);
	for (size_t n = 2 * 16384 - 130; n <= 2 * 16384 + 130; n += 13)
		check_ways(&w, iv_40, n);
	check_ways(&w, iv_40, BIG);
}

TEST(aead_ways_agree_on_random_keys)
{
	for (int i = 0; i < 500; i++) {
		struct hf_key k;
		uint8_t iv[16];
		uint32_t n;

		fill_random((uint8_t *)&k, sizeof k);
		fill_random(iv, sizeof iv);
		fill_random((uint8_t *)&n, sizeof n);
		n %= i % 10 == 0 ? BIG : 3000;
		fill_random(big, n);
		hf_auto(ways) w = ways_of(&k);
		check_ways(&w, iv, n);
	}
}

/* The lower half of the counter ends at every block of two steps; and the whole of it. */
TEST(aead_ways_agree_where_the_counter_wraps)
{
	struct hf_key k = test_key();
	hf_auto(ways) w = ways_of(&k);

	for (unsigned i = 0; i <= 70; i++) {
		uint8_t iv[16];

		memset(iv, 0xff, sizeof iv);
		iv[15] = (uint8_t)(0xff - i);
		check_ways(&w, iv, 2000);
		iv[7] = 0x12; /* a carry that does not go on */
		check_ways(&w, iv, 2000);
	}
}

/*
 * Where carries go furthest: the largest r, and blocks of which all bits are set or none. The text is
 * ciphertext to the MAC, so that it is made by opening what libcrypto sealed twice, and then changed.
 */
TEST(aead_ways_agree_on_extreme_numbers)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xfb, 0xfe, 0xff};
	static uint8_t keystream[4096 + HF_SEAL_OVERHEAD];
	struct hf_key k = test_key();

	for (int r = 0; r < 3; r++) {
		memset(k.mac_r, r == 0 ? 0xff : 0, sizeof k.mac_r);
		if (r == 1)
			k.mac_r[0] = 1; /* the sum of the blocks themselves */
		if (r == 2)
			k.mac_r[15] = 0x0f;
		hf_auto(ways) w = ways_of(&k);
		memset(big, 0, 4096);
		hf_aead_seal_iv(w.libcrypto, iv_40, (struct hf_bytes){big, 4096}, keystream);
		for (size_t b = 0; b < sizeof bytes; b++)
			for (size_t n = 0; n <= 4096; n += n < 600 ? 1 : 97) {
				for (size_t i = 0; i < n; i++)
					big[i] = keystream[16 + i] ^ bytes[b];
				check_ways(&w, iv_40, n);
			}
	}
}

TEST(aead_vectors_refuse_any_change)
{
	enum { N = 700 };
	struct hf_key k = test_key();
	hf_auto(ways) w = ways_of(&k);
	static uint8_t sealed[N + HF_SEAL_OVERHEAD], out[N], before[N];
	struct hf_bytes all = {sealed, sizeof sealed};

	if (w.vectors == NULL)
		return;
	memset(out, 0x5a, sizeof out);
	memcpy(before, out, sizeof out);
	hf_aead_seal_iv(w.vectors, iv_40, (struct hf_bytes){big, N}, sealed);
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		REQUIRE(!hf_aead_open(w.vectors, all, out));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	CHECK_MEM(out, before, sizeof out);
	CHECK(hf_aead_open(w.vectors, all, out));
}

/* Every single bit of a sealed message counts. */
TEST(aead_refuses_any_change)
{
	struct hf_key k = test_key();
	hf_autoptr(hf_aead) a = hf_aead_new(&k);
	uint8_t sealed[32 + 6], out[6], before[6];

	hf_aead_seal_iv(a, iv_40, hf_str_bytes(hf_str("restic")), sealed);
	memset(out, 0x5a, sizeof out);
	memcpy(before, out, sizeof out);
	for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(!hf_aead_open(a, (struct hf_bytes){sealed, sizeof sealed}, out));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < sizeof sealed; n++)
		CHECK(!hf_aead_open(a, (struct hf_bytes){sealed, n}, out));
	CHECK_MEM(out, before, sizeof out);
	CHECK(hf_aead_open(a, (struct hf_bytes){sealed, sizeof sealed}, out));
}

TEST(aead_refuses_zero_iv)
{
	struct hf_key k = test_key();
	hf_autoptr(hf_aead) a = hf_aead_new(&k);
	uint8_t zero[16] = {0};
	uint8_t sealed[38], out[6];

	hf_aead_seal_iv(a, zero, hf_str_bytes(hf_str("restic")), sealed);
	CHECK(!hf_aead_open(a, (struct hf_bytes){sealed, sizeof sealed}, out));
}

TEST(aead_refuses_other_keys)
{
	uint8_t sealed[38], out[6];
	struct hf_key k = test_key();
	hf_autoptr(hf_aead) a = hf_aead_new(&k);

	hf_aead_seal(a, hf_str_bytes(hf_str("restic")), sealed);
	k.mac_k[3] ^= 1;
	hf_autoptr(hf_aead) b = hf_aead_new(&k);
	CHECK(!hf_aead_open(b, (struct hf_bytes){sealed, sizeof sealed}, out));
	k.mac_k[3] ^= 1;
	k.mac_r[0] ^= 1;
	hf_autoptr(hf_aead) c = hf_aead_new(&k);
	CHECK(!hf_aead_open(c, (struct hf_bytes){sealed, sizeof sealed}, out));
}

/* 1000 IVs use up the pool many times. */
TEST(aead_ivs_differ)
{
	static uint8_t iv[1000][32];
	struct hf_key k = test_key();
	hf_autoptr(hf_aead) a = hf_aead_new(&k);
	hf_autoptr(hf_aead) b = hf_aead_new(&k);

	for (int i = 0; i < 1000; i++)
		hf_aead_seal(i % 3 == 0 ? a : b, (struct hf_bytes){iv_40, 0}, iv[i]);
	for (int i = 0; i < 1000; i++)
		for (int j = 0; j < i; j++)
			REQUIRE(memcmp(iv[i], iv[j], 16) != 0);
}

TEST(key_validity)
{
	struct hf_key k = test_key();

	CHECK(hf_key_is_valid(&k));
	memset(k.mac_r, 0, 16);
	CHECK(!hf_key_is_valid(&k));
	k = test_key();
	memset(k.mac_k, 0, 16);
	CHECK(!hf_key_is_valid(&k));
	k = test_key();
	memset(k.encrypt, 0, 32);
	CHECK(!hf_key_is_valid(&k));
	k.encrypt[31] = 0x80;
	CHECK(hf_key_is_valid(&k));
	hf_key_clear(&k);
	CHECK(!hf_key_is_valid(&k));
}

#if defined(__x86_64__)
#include <cpuid.h>

/* The parts of the registers that are in use, as the processor tells; 0: it does not. */
static unsigned
in_use(void)
{
	unsigned a, b, c, d, low, high;

	if (!__builtin_cpu_supports("avx") || !__get_cpuid_count(0xd, 1, &a, &b, &c, &d) ||
		(a & 4) == 0)
		return 0;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
	return low;
}

/* What SSE instructions would have to preserve makes them slow. */
TEST(aead_leaves_no_upper_halves)
{
	enum { UPPER_HALVES = 4 };
	hf_autoptr(hf_aead) a = hf_aead_new(&(struct hf_key){{1}, {2}, {3}});
	uint8_t plain[5000] = {7}, sealed[sizeof plain + HF_SEAL_OVERHEAD];

	for (size_t n = 0; n <= sizeof plain; n += 500) {
		struct hf_bytes text = {plain, n};

		hf_aead_seal(a, text, sealed);
		CHECK_EQ(in_use() & UPPER_HALVES, 0);
		CHECK(hf_aead_open(a, (struct hf_bytes){sealed, n + HF_SEAL_OVERHEAD}, sealed));
		CHECK_EQ(in_use() & UPPER_HALVES, 0);
	}
}
#endif
