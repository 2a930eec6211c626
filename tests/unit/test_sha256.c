/* SPDX-License-Identifier: BSD-2-Clause */
/* Against the vectors of FIPS 180-4 and the well-known million of 'a'; and in pieces. MD5: RFC 1321's. */
#include "codec/md5.h"
#include "codec/sha256.h"
#include "codec/sha256_many.h"
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

TEST(md5_in_base64)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{"", "1B2M2Y8AsgTpgAmY7PhCfg=="},
		{"abc", "kAFQmDzST7DWlj99KOF/cg=="},
		{"message digest", "+WtpfXy3k41SWi8xqvFh0A=="},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct hf_md5_text text;

		CHECK(hf_md5_base64(hf_str_bytes(hf_str(cases[i].text)), &text));
		CHECK_STR(text.s, cases[i].want);
	}
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

/* ---- many at once; the oracle is libcrypto ---- */

static const enum hf_many_way ways[] = {
	HF_MANY_FASTEST, HF_MANY_SIXTEEN, HF_MANY_PAIRS, HF_MANY_SINGLE};

enum { N_WAYS = sizeof ways / sizeof ways[0], TEXT = 4 << 20 };

static uint8_t *
random_text(void)
{
	uint8_t *text = malloc(TEXT);
	uint64_t x = 88172645463325252;

	REQUIRE(text != NULL);
	for (size_t i = 0; i < TEXT; i += sizeof x) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(text + i, &x, sizeof x);
	}
	return text;
}

/* A string that is in flight, or was. */
struct flight {
	struct hf_bytes bytes;
	bool has_landed;
};

static bool
land(struct hf_many *m)
{
	struct hf_id got, want;
	void *tag;

	if (!hf_many_end(m, &got, &tag))
		return false;
	struct flight *f = tag;

	CHECK(!f->has_landed);
	f->has_landed = true;
	want = hf_sha256(f->bytes);
	REQUIRE_MEM(got.b, want.b, HF_ID_LEN);
	return true;
}

/* All of them, and never more than are to be in flight. */
static void
fly(struct hf_many *m, struct flight *v, size_t n)
{
	size_t n_landed = 0;

	for (size_t i = 0; i < n; i++) {
		if (hf_many_is_full(m))
			n_landed += land(m);
		CHECK(i - n_landed < hf_many_width(m));
		hf_many_add(m, v[i].bytes, &v[i]);
	}
	while (land(m))
		n_landed++;
	CHECK_EQ(n_landed, n);
	for (size_t i = 0; i < n; i++)
		CHECK(v[i].has_landed);
}

/* Every length of the last block and the one before, alone and beside all the others. */
TEST(many_of_all_lengths)
{
	enum { N = 301 };
	hf_autofree uint8_t *text = random_text();

	for (size_t w = 0; w < N_WAYS; w++) {
		hf_autoptr(hf_many) m = hf_many_new_of(ways[w]);
		struct flight v[N] = {0};

		if (m == NULL)
			continue;
		CHECK(!hf_many_is_full(m));
		for (size_t i = 0; i < N; i++) {
			v[i] = (struct flight){.bytes = {text + i, i}};
			fly(m, &v[i], 1);
		}
		for (size_t turn = 0; turn < 2; turn++) {
			for (size_t i = 0; i < N; i++) {
				size_t n = turn == 0 ? i : i * 7919 % N;

				v[i] = (struct flight){.bytes = {text + 3 * i, n}};
			}
			fly(m, v, N);
		}
	}
}

/* Few and many at a time, of a few bytes and of MiBs. */
TEST(many_of_random_lengths)
{
	enum { N = 60 };
	hf_autofree uint8_t *text = random_text();
	unsigned seed = 3;

	for (size_t w = 0; w < N_WAYS; w++) {
		hf_autoptr(hf_many) m = hf_many_new_of(ways[w]);
		struct flight v[N] = {0};

		if (m == NULL)
			continue;
		for (size_t n = 1; n <= N; n += n < 20 ? 1 : 13) {
			for (size_t i = 0; i < n; i++) {
				size_t most = (size_t)1 << (unsigned)rand_r(&seed) % 22;

				v[i] = (struct flight){
					.bytes = {text + i, 1 + (size_t)rand_r(&seed) % most}};
			}
			fly(m, v, n);
		}
	}
}

/* What was passed of the long one is overwritten at once. Others come and go beside it. */
static void
check_long(struct hf_many *m, const uint8_t *text, size_t len, unsigned *seed)
{
	enum { N = 40 };
	hf_autofree uint8_t *copy = malloc(len + 1);
	struct hf_id want = hf_sha256((struct hf_bytes){text, len});
	struct flight v[N] = {0};
	size_t at = 0;

	REQUIRE(copy != NULL);
	memcpy(copy, text, len);
	hf_many_long(m, (struct hf_bytes){copy, len});
	for (size_t i = 0; i < N; i++) {
		v[i].bytes = (struct hf_bytes){text, (size_t)rand_r(seed) % 2000};
		if (hf_many_is_full(m))
			land(m);
		hf_many_add(m, v[i].bytes, &v[i]);
		size_t to = at + (size_t)rand_r(seed) % (len / 20 + 1);

		hf_many_long_to(m, to);
		for (; at < to && at < len; at++)
			copy[at] ^= 0xff;
	}
	hf_many_long_to(m, len / 2); /* again: nothing is left to be done */
	struct hf_id got = hf_many_long_end(m);

	CHECK_MEM(got.b, want.b, HF_ID_LEN);
	while (land(m))
		;
	for (size_t i = 0; i < N; i++)
		CHECK(v[i].has_landed);
}

TEST(many_beside_a_long_one)
{
	hf_autofree uint8_t *text = random_text();
	unsigned seed = 4;

	for (size_t w = 0; w < N_WAYS; w++) {
		hf_autoptr(hf_many) m = hf_many_new_of(ways[w]);

		for (size_t len = 0; m != NULL && len < 300; len++)
			check_long(m, text, len, &seed);
		for (size_t len = 1000; m != NULL && len < 100000; len = len * 3 / 2)
			check_long(m, text, len, &seed);
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
