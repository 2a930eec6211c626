/* SPDX-License-Identifier: BSD-2-Clause */
/* Against the vectors of FIPS 180-4 and the well-known million of 'a'; and in pieces. */
#include "codec/sha256.h"
#include "codec/sha256_lanes.h"
#include "harness/test.h"

#include <pthread.h>

static void
check(const char *text, const char *want)
{
	struct hf_id id = hf_sha256(hf_str_bytes(hf_str(text)));

	CHECK_STR(hf_id_hex(&id).s, want);
}

TEST(sha256_vectors)
{
	check("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	check("hello\n", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
}

TEST(sha256_in_pieces)
{
	hf_autoptr(hf_sha256) h = hf_sha256_new();
	uint8_t a[1000];

	memset(a, 'a', sizeof a);
	for (int turn = 0; turn < 2; turn++) { /* the second one starts afresh */
		size_t left = 1000000;

		for (size_t n = 1; left > 0; n = n % 997 + 1) {
			size_t part = n < left ? n : left;

			hf_sha256_add(h, (struct hf_bytes){a, part});
			left -= part;
		}
		struct hf_id id = hf_sha256_end(h);

		CHECK_STR(hf_id_hex(&id).s,
			"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	}
	hf_sha256_free(NULL);
}

static void *
hash_many(void *arg)
{
	struct hf_id *id = arg;

	for (int i = 0; i < 1000; i++)
		*id = hf_sha256((struct hf_bytes){id->b, HF_ID_LEN});
	return NULL;
}

/* Including the very first hash of the process, as every test has a process of its own. */
TEST(sha256_on_threads)
{
	struct hf_id id[4] = {0};
	struct hf_id want = {0};
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		REQUIRE_EQ(pthread_create(&t[i], NULL, hash_many, &id[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	hash_many(&want);
	for (int i = 0; i < 4; i++)
		CHECK_MEM(id[i].b, want.b, HF_ID_LEN);
}

/* Two streams in pieces of all lengths give what each gives alone. */
TEST(sha256_lanes)
{
	hf_autoptr(hf_lane) a = hf_lane_new();
	hf_autoptr(hf_lane) b = hf_lane_new();
	uint8_t text[3000];
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * i >> 3);
	for (size_t n = 0; n < 700; n++) {
		struct hf_bytes in_a = {text, n}, in_b = {text + n, 3 * n};
		struct hf_id want_a = hf_sha256(in_a), want_b = hf_sha256(in_b);

		while (in_a.len + in_b.len > 0) {
			x = x * 1664525 + 1013904223;
			size_t part_a = (x >> 16) % 300, part_b = (x >> 8) % 200;

			part_a = part_a < in_a.len ? part_a : in_a.len;
			part_b = part_b < in_b.len ? part_b : in_b.len;
			hf_lanes_add(a, (struct hf_bytes){in_a.p, part_a}, b,
				(struct hf_bytes){in_b.p, part_b});
			in_a = (struct hf_bytes){in_a.p + part_a, in_a.len - part_a};
			in_b = (struct hf_bytes){in_b.p + part_b, in_b.len - part_b};
		}
		struct hf_id got_a = hf_lane_end(a), got_b = hf_lane_end(b);

		REQUIRE_MEM(got_a.b, want_a.b, HF_ID_LEN);
		REQUIRE_MEM(got_b.b, want_b.b, HF_ID_LEN);
	}
}

/* RFC 4231, cases 1, 2, 3, 6 and 7. */
TEST(hmac_of_rfc_4231)
{
	static const struct {
		uint8_t key_byte;
		size_t key_len;
		const char *key, *text, *want;
	} cases[] = {
		{0x0b, 20, NULL, "Hi There",
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{0, 4, "Jefe", "what do ya want for nothing?",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{0xaa, 20, NULL, NULL,
			"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{0xaa, 131, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{0xaa, 131, NULL,
			"This is a test using a larger than block-size key and a larger than "
			"block-size data. The key needs to be hashed before being used by the "
			"HMAC "
			"algorithm.",
			"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	};
	uint8_t key[131], dd[50];

	memset(dd, 0xdd, sizeof dd);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct hf_bytes k = {key, cases[i].key_len}, text = {dd, sizeof dd};

		memset(key, cases[i].key_byte, sizeof key);
		if (cases[i].key != NULL)
			k = hf_str_bytes(hf_str(cases[i].key));
		if (cases[i].text != NULL)
			text = hf_str_bytes(hf_str(cases[i].text));
		struct hf_id got = hf_hmac_sha256(k, text);
		CHECK_STR(hf_id_hex(&got).s, cases[i].want);
	}
}
