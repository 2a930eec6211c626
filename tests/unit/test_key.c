/* SPDX-License-Identifier: BSD-2-Clause */
/* Key files: the vector of the format notes, hostile files, and the search through several. */
#include "repo/key.h"

#include "codec/json.h"
#include "codec/sha256.h"
#include "harness/test.h"
#include "store/mem.h"

#define SALT                                                                                   \
	"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+" \
	"Pw=="
#define DATA                                                                                   \
	"QEFCQ0RFRkdISUpLTE1OTzKEkHkNzeJ35Ps9szdfYZ186kn/loR3GjEMQ6mNCFoUCwxzgp1vDBA36DIk55K8" \
	"aOg1cKD7PFUQjZZQnNqmJTzVhJe0Rt2B1RU0FijV6UQ1EjsxGBAHY5/Kt49WIF6+nT25EoApNrjXvVSr2UZm" \
	"D5mjFvit6go+Cl8x5diCj2LP1u+fGVHNV0cILvtOyBdkGA=="

static const char vector[] =
	"{\"created\":\"2026-01-02T03:04:05.6Z\",\"username\":\"u\",\"hostname\":\"h\","
	"\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":\"" SALT "\",\"data\":\"" DATA
	"\"}";

static const char vector_id[] =
	"21effbc93dbd30f293fa7e02a4507af63f9adad90f9dba9bc67d7655ab18830c";

/* encrypt 00…1f, mac k 20…2f, mac r 30…3f: the order of the struct. */
static struct hf_key
vector_key(void)
{
	struct hf_key k;

	for (unsigned i = 0; i < sizeof k; i++)
		((uint8_t *)&k)[i] = (uint8_t)i;
	return k;
}

static void
set(struct hf_secret *s, const char *text)
{
	hf_secret_set(s, hf_str_bytes(hf_str(text)));
}

static struct hf_id
put(struct hf_store *store, const char *text)
{
	struct hf_bytes bytes = hf_str_bytes(hf_str(text));
	struct hf_name name = {HF_KEY, hf_sha256(bytes)};

	REQUIRE_OK(hf_store_put(store, &name, bytes));
	return name.id;
}

TEST(vector_opens)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_key_info) info = {0};
	struct hf_key want = vector_key(), got = {0};
	struct hf_id id = put(store, vector);

	CHECK_STR(hf_id_hex(&id).s, vector_id);
	set(&password, "geheim");
	REQUIRE_OK(hf_key_open(store, &id, &password, &got, &info));
	CHECK_MEM(&got, &want, sizeof got);
	CHECK_STR(info.username, "u");
	CHECK_STR(info.hostname, "h");
	CHECK_EQ(info.created.sec, 1767323045);
	CHECK_EQ(info.created.nsec, 600000000);
	CHECK_EQ(info.kdf.n, 1024);

	set(&password, "geheim ");
	CHECK_ERR(hf_key_open(store, &id, &password, &got, NULL), HF_EAUTH);
	set(&password, "");
	CHECK_ERR(hf_key_open(store, &id, &password, &got, NULL), HF_EAUTH);
}

TEST(vector_is_written)
{
	struct hf_key_info info = {
		.created = {.sec = 1767323045, .nsec = 600000000},
		.username = (char[]){"u"},
		.hostname = (char[]){"h"},
		.kdf = {1024, 8, 1},
	};
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_buf) out = HF_BUF_MAX(4096);
	struct hf_key master = vector_key();
	uint8_t salt[HF_KDF_SALT], iv[16];

	for (unsigned i = 0; i < sizeof salt; i++)
		salt[i] = (uint8_t)i;
	for (unsigned i = 0; i < sizeof iv; i++)
		iv[i] = (uint8_t)(0x40 + i);
	set(&password, "geheim");
	REQUIRE_OK(hf_key_seal(&master, &password, &info, salt, iv, &out));
	REQUIRE_EQ(out.len, strlen(vector));
	CHECK_MEM(out.p, vector, out.len);
}

/* Every one of these was the end of the search in restic, or of the program. */
static const char *const damaged[] = {
	"",
	"no json",
	"[]",
	"{}",
	"{\"kdf\":\"scrypt\"",
	/* another function */
	"{\"kdf\":\"argon2\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":\"" SALT "\",\"data\":\"" DATA
	"\"}",
	/* costs out of bounds */
	"{\"kdf\":\"scrypt\",\"N\":1000,\"r\":8,\"p\":1,\"salt\":\"" SALT "\",\"data\":\"" DATA
	"\"}",
	"{\"kdf\":\"scrypt\",\"N\":2097152,\"r\":8,\"p\":1,\"salt\":\"" SALT
	"\",\"data\":\"" DATA "\"}",
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1000000000000,\"salt\":\"" SALT
	"\",\"data\":\"" DATA "\"}",
	"{\"kdf\":\"scrypt\",\"N\":-2,\"r\":8,\"p\":1,\"salt\":\"" SALT "\",\"data\":\"" DATA
	"\"}",
	"{\"kdf\":\"scrypt\",\"N\":1024.5,\"r\":8,\"p\":1,\"salt\":\"" SALT
	"\",\"data\":\"" DATA "\"}",
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":0,\"p\":1,\"salt\":\"" SALT "\",\"data\":\"" DATA
	"\"}",
	/* salt of 3 bytes, none, and no base64 */
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":\"AAEC\",\"data\":\"" DATA
	"\"}",
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":null,\"data\":\"" DATA "\"}",
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":\"!\",\"data\":\"" DATA "\"}",
	/* data of 3 and of 31 bytes, and none */
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":\"" SALT
	"\",\"data\":\"AAEC\"}",
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":\"" SALT
	"\",\"data\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\"}",
	"{\"kdf\":\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":\"" SALT "\"}",
};

enum { DAMAGED = sizeof damaged / sizeof damaged[0] };

TEST(damaged_files_are_refused)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	struct hf_key master;

	set(&password, "geheim");
	for (size_t i = 0; i < DAMAGED; i++) {
		struct hf_id id = put(store, damaged[i]);

		CHECK_ERR_TEXT(hf_key_open(store, &id, &password, &master, NULL), HF_ECORRUPT,
			hf_id_hex(&id).s);
	}

	/* The content is another than the name says. */
	struct hf_name name = {HF_KEY, {{1}}};
	REQUIRE_OK(hf_store_put(store, &name, hf_str_bytes(hf_str(vector))));
	CHECK_ERR_TEXT(hf_key_open(store, &name.id, &password, &master, NULL), HF_ECORRUPT,
		"does not match");
	name.id.b[0] = 2;
	CHECK_ERR(hf_key_open(store, &name.id, &password, &master, NULL), HF_ENOTFOUND);
}

TEST(sealed_key_may_be_malformed_too)
{
	static const char *const plain[] = {
		"", "{}", "[", "{\"mac\":{\"k\":\"AAEC\"}}",
		"{\"mac\":{\"k\":\"ICEiIyQlJicoKSorLC0uLw==\",\"r\":"
		"\"AAAAAAAAAAAAAAAAAAAAAA==\"},\"encrypt\":"
		"\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}", /* r is zero */
	};
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	struct hf_kdf kdf = {2, 8, 1};
	uint8_t salt[HF_KDF_SALT];
	struct hf_key user, master;

	set(&password, "x");
	memset(salt, 7, sizeof salt);
	REQUIRE_OK(hf_kdf_derive(&kdf, (struct hf_bytes){password.p, password.len},
		(struct hf_bytes){salt, sizeof salt}, 1, &user));
	hf_autoptr(hf_aead) aead = hf_aead_new(&user);
	for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
		hf_auto(hf_buf) json = HF_BUF_MAX(4096);
		uint8_t sealed[512];
		struct hf_jout o = {.buf = &json};
		size_t len = strlen(plain[i]);

		hf_aead_seal(aead, hf_str_bytes(hf_str(plain[i])), sealed);
		hf_jout_object(&o);
		hf_jout_key(&o, "kdf");
		hf_jout_str(&o, hf_str("scrypt"));
		hf_jout_key(&o, "N");
		hf_jout_u64(&o, 2);
		hf_jout_key(&o, "r");
		hf_jout_u64(&o, 8);
		hf_jout_key(&o, "p");
		hf_jout_u64(&o, 1);
		hf_jout_key(&o, "salt");
		hf_jout_base64(&o, (struct hf_bytes){salt, sizeof salt});
		hf_jout_key(&o, "data");
		hf_jout_base64(&o, (struct hf_bytes){sealed, len + HF_SEAL_OVERHEAD});
		hf_jout_object_end(&o);
		struct hf_name name = {HF_KEY, hf_sha256(hf_buf_bytes(&json))};
		REQUIRE_OK(hf_store_put(store, &name, hf_buf_bytes(&json)));
		CHECK_ERR(hf_key_open(store, &name.id, &password, &master, NULL), HF_ECORRUPT);
	}
}

/* Adds a key that is cheap to try. */
static struct hf_id
add_key(struct hf_store *store, const char *text, unsigned nr)
{
	struct hf_key_info info = {
		.username = (char[]){"u"},
		.hostname = (char[]){"h"},
		.kdf = {2, 8, 1},
	};
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_buf) out = HF_BUF_MAX(4096);
	struct hf_key master = vector_key();
	uint8_t salt[HF_KDF_SALT] = {(uint8_t)nr};

	set(&password, text);
	REQUIRE_OK(hf_key_seal(&master, &password, &info, salt, NULL, &out));
	struct hf_name name = {HF_KEY, hf_sha256(hf_buf_bytes(&out))};
	REQUIRE_OK(hf_store_put(store, &name, hf_buf_bytes(&out)));
	return name.id;
}

TEST(search_finds_the_key_among_many)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	struct hf_key want = vector_key(), master = {0};
	struct hf_id a = add_key(store, "a", 1), b = add_key(store, "b", 2), id;

	set(&password, "a");
	REQUIRE_OK(hf_key_search(store, &password, NULL, &master, &id));
	CHECK(hf_id_eq(&id, &a));
	CHECK_MEM(&master, &want, sizeof master);
	set(&password, "b");
	REQUIRE_OK(hf_key_search(store, &password, NULL, &master, &id));
	CHECK(hf_id_eq(&id, &b));
	set(&password, "c");
	CHECK_ERR_TEXT(hf_key_search(store, &password, NULL, &master, &id), HF_EAUTH,
		"wrong password or no key found");

	/* A wrong hint, one that means nothing, and the right one in short. */
	set(&password, "b");
	REQUIRE_OK(hf_key_search(store, &password, hf_id_hex(&a).s, &master, &id));
	CHECK(hf_id_eq(&id, &b));
	REQUIRE_OK(hf_key_search(store, &password, "xyz", &master, &id));
	CHECK(hf_id_eq(&id, &b));
	char hint[9] = "";
	memcpy(hint, hf_id_hex(&b).s, 8);
	REQUIRE_OK(hf_key_search(store, &password, hint, &master, &id));
	CHECK(hf_id_eq(&id, &b));
}

TEST(hint_reaches_beyond_the_limit)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	struct hf_key master;
	struct hf_id id, mine = {0};

	for (unsigned i = 0; i < 60; i++) {
		struct hf_id added = add_key(store, i == 30 ? "mine" : "other", i);

		if (i == 30)
			mine = added;
	}
	set(&password, "nobody's");
	CHECK_ERR_TEXT(hf_key_search(store, &password, NULL, &master, &id), HF_EAUTH,
		"maximum number of keys reached");
	set(&password, "mine");
	REQUIRE_OK(hf_key_search(store, &password, hf_id_hex(&mine).s, &master, &id));
	CHECK(hf_id_eq(&id, &mine));
}

TEST(foreign_files_do_not_lock_out)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	struct hf_key master;
	struct hf_id id;

	set(&password, "a");
	CHECK_ERR_TEXT(hf_key_search(store, &password, NULL, &master, &id), HF_EAUTH,
		"wrong password or no key found");
	for (size_t i = 0; i < DAMAGED; i++)
		put(store, damaged[i]);
	CHECK_ERR(hf_key_search(store, &password, NULL, &master, &id), HF_ECORRUPT);
	struct hf_id good = add_key(store, "a", 1);
	REQUIRE_OK(hf_key_search(store, &password, NULL, &master, &id));
	CHECK(hf_id_eq(&id, &good));

	/* A wrong password stays a wrong password; the other file is named. */
	set(&password, "b");
	CHECK_ERR_TEXT(
		hf_key_search(store, &password, NULL, &master, &id), HF_EAUTH, "(and keys/");
}

TEST(created_keys_open)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_key_info) info = {0};
	struct hf_key master, got;
	struct hf_id id;

	hf_key_random(&master);
	set(&password, "p\xc3\xa4ssword \xff");
	REQUIRE_OK(hf_key_create(store, &master, &password, "me <&>", "here", &id));
	REQUIRE_OK(hf_key_open(store, &id, &password, &got, &info));
	CHECK_MEM(&got, &master, sizeof got);
	CHECK_STR(info.username, "me <&>");
	hf_key_info_clear(&info);
	REQUIRE_OK(hf_key_read(store, &id, &info));
	CHECK_STR(info.hostname, "here");
	CHECK_EQ(info.kdf.n, 32768);
}
