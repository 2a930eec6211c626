/* SPDX-License-Identifier: BSD-2-Clause */
/* Against RFC 7914, the format reference, and libcrypto's scrypt with random parameters. */
#include "codec/kdf.h"
#include "codec/romix.h"
#include "harness/test.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <time.h>

static void
check(const char *password, const char *salt, struct hf_kdf k, const char *hex)
{
	uint8_t out[64];
	char got[129];

	REQUIRE_OK(hf_scrypt(&k, hf_str_bytes(hf_str(password)), hf_str_bytes(hf_str(salt)), 0,
		out, sizeof out));
	for (size_t i = 0; i < sizeof out; i++) {
		got[2 * i] = "0123456789abcdef"[out[i] >> 4];
		got[2 * i + 1] = "0123456789abcdef"[out[i] & 15];
	}
	got[128] = '\0';
	CHECK_STR(got, hex);
}

TEST(scrypt_rfc_7914)
{
	check("", "", (struct hf_kdf){16, 1, 1},
		"77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
		"fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
	check("password", "NaCl", (struct hf_kdf){1024, 8, 16},
		"fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
		"2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
	check("pleaseletmein", "SodiumChloride", (struct hf_kdf){16384, 8, 1},
		"7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
		"d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

TEST(kdf_vector)
{
	static const uint8_t encrypt[32] = {0xaf, 0xd9, 0x91, 0x8d, 0x07, 0xaf, 0x99, 0xc4,
		0x1f, 0xe5, 0x3e, 0xa3, 0xe2, 0x60, 0x27, 0x02, 0xa2, 0xcc, 0x0f, 0x1d, 0x68,
		0xf2, 0xc2, 0x24, 0xf4, 0xf4, 0xbd, 0xff, 0x8a, 0x4b, 0xea, 0x38};
	static const uint8_t mac_k[16] = {0xe5, 0x22, 0x56, 0x5c, 0x84, 0xab, 0x5b, 0x10, 0x70,
		0xe2, 0xda, 0x80, 0xcf, 0xd4, 0xef, 0x48};
	static const uint8_t mac_r[16] = {0xe3, 0x69, 0xce, 0x34, 0x9f, 0xb9, 0x80, 0x16, 0x14,
		0x65, 0x94, 0xb7, 0x11, 0x34, 0x6c, 0x99};
	struct hf_kdf k = {1024, 8, 1};
	struct hf_key key;
	uint8_t salt[64];

	for (uint8_t i = 0; i < 64; i++)
		salt[i] = i;
	REQUIRE_OK(hf_kdf_derive(
		&k, hf_str_bytes(hf_str("geheim")), (struct hf_bytes){salt, 64}, 1, &key));
	CHECK_MEM(key.encrypt, encrypt, 32);
	CHECK_MEM(key.mac_k, mac_k, 16);
	CHECK_MEM(key.mac_r, mac_r, 16);
	CHECK_ERR(hf_kdf_derive(&k, hf_str_bytes(hf_str("geheim")), (struct hf_bytes){salt, 63},
			  1, &key),
		HF_ECORRUPT);
}

/* libcrypto's own, one lane after the other. */
static void
oracle(const struct hf_kdf *k, struct hf_bytes password, struct hf_bytes salt, uint8_t *out,
	size_t out_len)
{
	uint8_t pw[64], s[64];
	uint64_t n = k->n, r = k->r, p = k->p, maxmem = 1 << 30;
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);

	memcpy(pw, password.p, password.len);
	memcpy(s, salt.p, salt.len);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, pw, password.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, s, salt.len),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &maxmem),
		OSSL_PARAM_construct_end(),
	};

	REQUIRE_EQ(EVP_KDF_derive(c, out, out_len, params), 1);
	EVP_KDF_CTX_free(c);
	EVP_KDF_free(kdf);
}

TEST(scrypt_like_libcrypto)
{
	unsigned seed = 12345;

	for (int turn = 0; turn < 300; turn++) {
		uint8_t pw[64], salt[64], got[200], want[200];

		for (size_t i = 0; i < 64; i++) {
			pw[i] = (uint8_t)(rand_r(&seed) >> 3);
			salt[i] = (uint8_t)(rand_r(&seed) >> 3);
		}
		struct hf_kdf k = {2ULL << rand_r(&seed) % 9, 1 + (uint64_t)rand_r(&seed) % 12,
			1 + (uint64_t)rand_r(&seed) % 11};
		struct hf_bytes p = {pw, 1 + (size_t)rand_r(&seed) % 64};
		struct hf_bytes s = {salt, 1 + (size_t)rand_r(&seed) % 64};
		size_t len = 1 + (size_t)rand_r(&seed) % sizeof got;
		unsigned threads = (unsigned)rand_r(&seed) % 5;

		oracle(&k, p, s, want, len);
		REQUIRE_OK(hf_scrypt(&k, p, s, threads, got, len));
		REQUIRE_MEM(got, want, len);
	}
}

/* Each way to group the lanes gives what lanes alone give. */
TEST(romix_side_by_side)
{
	enum { R = 3, N = 64, BLOCK = 128 * R };
	uint8_t start[HF_ROMIX_LANES_MAX * BLOCK], alone[sizeof start], together[sizeof start];

	for (size_t i = 0; i < sizeof start; i++)
		start[i] = (uint8_t)(i * 7 + (i >> 8));
	memcpy(alone, start, sizeof start);
	for (unsigned l = 0; l < HF_ROMIX_LANES_MAX; l++)
		REQUIRE_OK(hf_romix(alone + l * BLOCK, 1, N, R));
	for (unsigned n = 1; n <= hf_romix_lanes(); n++) {
		memcpy(together, start, sizeof start);
		REQUIRE_OK(hf_romix(together, n, N, R));
		CHECK_MEM(together, alone, n * BLOCK);
		CHECK_MEM(together + n * BLOCK, start + n * BLOCK, sizeof start - n * BLOCK);
	}
}

TEST(kdf_limits)
{
	static const struct hf_kdf good[] = {
		{2, 1, 1},
		{32768, 8, 5},
		{1 << 17, 8, 1},
		{1 << 20, 8, 1}, /* the most for r = 8 */
		{1 << 23, 1, 1},
		{2, 65535, 256},
		{2, 8388607, 1},
		{2, 1, 16777215},
	};
	static const struct hf_kdf bad[] = {
		{0, 8, 1},
		{1, 8, 1},
		{3, 8, 1},
		{1000, 8, 1},
		{1 << 21, 8, 1},
		{1 << 24, 1, 1},
		{1ULL << 31, 1, 1},
		{1ULL << 40, 1, 1},
		{1ULL << 63, 1, 1},
		{1ULL << 40, 1ULL << 40, 1ULL << 40},
		{1024, 0, 1},
		{1024, 8, 0},
		{2, 8388608, 1},
		{2, 1, 16777216},
		{2, 1ULL << 32, 1ULL << 32},
		{2, 1ULL << 63, 2},
		{2, UINT64_MAX, UINT64_MAX},
		{2, UINT64_MAX, 1},
		{2, 1, UINT64_MAX},
	};
	uint8_t salt[HF_KDF_SALT] = {0};
	struct hf_key key;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK_OK(hf_kdf_check(&good[i]));
	clock_t start = clock();

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		CHECK_ERR(hf_kdf_check(&bad[i]), HF_ECORRUPT);
		CHECK_ERR(hf_kdf_derive(&bad[i], hf_str_bytes(hf_str("x")),
				  (struct hf_bytes){salt, sizeof salt}, 0, &key),
			HF_ECORRUPT);
	}
	CHECK(clock() - start < CLOCKS_PER_SEC / 10);
}
