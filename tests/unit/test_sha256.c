/* SPDX-License-Identifier: BSD-2-Clause */
/* Against the vectors of FIPS 180-4 and the well-known million of 'a'; and in pieces. */
#include "codec/sha256.h"
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
