/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and opening repositories, and their whole files in both versions. */
#include "repo/repo.h"

#include "codec/sha256.h"
#include "harness/test.h"
#include "repo/index.h"
#include "repo/key.h"
#include "repo/raw.h"
#include "store/fault.h"
#include "store/mem.h"
#include "unit/listed.h"

static const struct hf_poly_text {
	const char *text;
	hf_poly value;
} poly = {"3da3358b4dc173", 0x3da3358b4dc173};

static void
set(struct hf_secret *s, const char *text)
{
	hf_secret_set(s, hf_str_bytes(hf_str(text)));
}

/* The repository that the format notes describe byte by byte: key and config. */
static struct hf_store *
vector_store(const char *config_json, struct hf_key *master)
{
	struct hf_store *store = hf_store_mem();
	struct hf_key_info info = {
		.created = {.sec = 1767323045},
		.username = (char[]){"u"},
		.hostname = (char[]){"h"},
		.kdf = {2, 8, 1},
	};
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_buf) key = HF_BUF_MAX(4096);
	uint8_t salt[HF_KDF_SALT] = {0}, iv[16], sealed[1024];

	for (unsigned i = 0; i < sizeof *master; i++)
		((uint8_t *)master)[i] = (uint8_t)i;
	for (unsigned i = 0; i < sizeof iv; i++)
		iv[i] = (uint8_t)(0x40 + i);
	set(&password, "geheim");
	REQUIRE_OK(hf_key_seal(master, &password, &info, salt, iv, &key));
	struct hf_name name = {HF_KEY, hf_sha256(hf_buf_bytes(&key))};
	REQUIRE_OK(hf_store_put(store, &name, hf_buf_bytes(&key)));

	hf_autoptr(hf_aead) aead = hf_aead_new(master);
	struct hf_bytes plain = hf_str_bytes(hf_str(config_json));
	hf_aead_seal_iv(aead, iv, plain, sealed);
	struct hf_name config = {.kind = HF_CONFIG};
	REQUIRE_OK(hf_store_put(
		store, &config, (struct hf_bytes){sealed, plain.len + HF_SEAL_OVERHEAD}));
	return store;
}

#define ABAB "abababababababababababababababababababababababababababababababab"

static struct hf_err *
open_config(const char *json, struct hf_repo **repo)
{
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_key) master = {0};

	set(&password, "geheim");
	return hf_repo_open(vector_store(json, &master), &password, NULL, repo);
}

TEST(vector_config_opens)
{
	static const char json[] =
		"{\"version\":2,\"id\":\"" ABAB "\",\"chunker_polynomial\":\"3da3358b4dc173\"}";
	hf_autoptr(hf_repo) repo = NULL;
	hf_auto(hf_buf) raw = HF_BUF_MAX(4096);
	hf_auto(hf_buf) plain = HF_BUF_MAX(4096);
	struct hf_name config = {.kind = HF_CONFIG};

	REQUIRE_OK(open_config(json, &repo));
	CHECK_EQ(hf_repo_config(repo)->version, 2);
	CHECK_EQ(hf_repo_config(repo)->polynomial, poly.value);
	CHECK_STR(hf_id_hex(&hf_repo_config(repo)->id).s, ABAB);
	CHECK_EQ(hf_repo_opts(repo)->pack_size, 16 << 20);
	REQUIRE_OK(hf_raw_load(hf_repo_store(repo), &config, &raw));
	struct hf_id id = hf_sha256(hf_buf_bytes(&raw));
	CHECK_STR(hf_id_hex(&id).s,
		"79189a4aae3381a66aaa9b803523aca8a32dcfa619a557bef7a5fd6c8f217643");
	REQUIRE_OK(hf_repo_load(repo, &config, &plain));
	CHECK_EQ(plain.len, strlen(json));
	CHECK_MEM(plain.p, json, strlen(json));
}

TEST(wrong_configs_are_refused)
{
	struct hf_repo *repo;

	CHECK_ERR_TEXT(open_config("{\"version\":3,\"id\":\"" ABAB
				   "\",\"chunker_polynomial\":\"3da3358b4dc173\"}",
			       &repo),
		HF_ECORRUPT, "unsupported repository version 3");
	CHECK_ERR_TEXT(open_config("{\"version\":0,\"id\":\"" ABAB
				   "\",\"chunker_polynomial\":\"3da3358b4dc173\"}",
			       &repo),
		HF_ECORRUPT, "unsupported repository version 0");
	CHECK_ERR_TEXT(open_config("{\"version\":2,\"id\":\"" ABAB
				   "\",\"chunker_polynomial\":\"3da3358b4dc172\"}",
			       &repo),
		HF_ECORRUPT, "invalid chunker polynomial");
	CHECK_ERR_TEXT(open_config("{\"version\":2,\"id\":\"" ABAB
				   "\",\"chunker_polynomial\":\"3da3358b4dc17g\"}",
			       &repo),
		HF_ECORRUPT, "invalid chunker polynomial");
	CHECK_ERR_TEXT(open_config("{\"version\":2,\"id\":\"" ABAB "\"}", &repo), HF_ECORRUPT,
		"invalid chunker polynomial");
	CHECK_ERR(open_config("{\"version\":2,\"id\":\"ab\",\"chunker_polynomial\":"
			      "\"3da3358b4dc173\"}",
			  &repo),
		HF_ECORRUPT);
	CHECK_ERR(open_config("", &repo), HF_ECORRUPT);
	CHECK_ERR(open_config("\x02(", &repo), HF_ECORRUPT);
}

TEST(damaged_config_files)
{
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_key) master = {0};
	struct hf_name config = {.kind = HF_CONFIG};
	struct hf_repo *repo;

	set(&password, "geheim");
	struct hf_store *store = vector_store("{}", &master);
	REQUIRE_OK(hf_store_put(store, &config, (struct hf_bytes){0}));
	CHECK_ERR_TEXT(hf_repo_open(store, &password, NULL, &repo), HF_ECORRUPT, "zero size");

	store = vector_store("{}", &master);
	REQUIRE_OK(hf_store_put(store, &config, hf_str_bytes(hf_str("short"))));
	CHECK_ERR_TEXT(hf_repo_open(store, &password, NULL, &repo), HF_ECORRUPT, "is damaged");

	store = vector_store("{}", &master);
	REQUIRE_OK(hf_store_put(store, &config,
		hf_str_bytes(hf_str("fifty bytes that nobody sealed with this master key"))));
	CHECK_ERR_TEXT(hf_repo_open(store, &password, NULL, &repo), HF_ECORRUPT, "is damaged");

	CHECK_ERR_TEXT(hf_repo_open(hf_store_mem(), &password, NULL, &repo), HF_ENOREPO,
		"Is there a repository at the following location?");
}

/*
 * Passes everything on to a store that outlives it, so that a repository can be opened again.
 */
struct window {
	struct hf_store store;
	struct hf_store *inner;
};

#define INNER(s) (hf_container_of(s, struct window, store)->inner)

static struct hf_err *
window_create(struct hf_store *s)
{
	return hf_store_create(INNER(s));
}

static struct hf_err *
window_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	return hf_store_put(INNER(s), name, data);
}

static struct hf_err *
window_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	return hf_store_get(INNER(s), name, off, len, out);
}

static struct hf_err *
window_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	return hf_store_stat(INNER(s), name, size);
}

static struct hf_err *
window_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return hf_store_list(INNER(s), kind, fn, arg);
}

static struct hf_err *
window_del(struct hf_store *s, const struct hf_name *name)
{
	return hf_store_del(INNER(s), name);
}

static void
window_free(struct hf_store *s)
{
	free(hf_container_of(s, struct window, store));
}

static const struct hf_store_ops window_ops = {
	.create = window_create,
	.put = window_put,
	.get = window_get,
	.stat = window_stat,
	.list = window_list,
	.del = window_del,
	.free = window_free,
};

static struct hf_store *
window(struct hf_store *inner)
{
	static char url[] = "window:";
	struct window *w = hf_new(struct window);

	w->store = (struct hf_store){.ops = &window_ops, .url = url, .connections = 2};
	w->inner = inner;
	return &w->store;
}

static struct hf_err *
init_in(struct hf_store *inner, unsigned version, struct hf_repo **repo)
{
	hf_auto(hf_secret) password = {0};

	set(&password, "pw");
	return hf_repo_init(window(inner), &password, version, poly.value, NULL, repo);
}

TEST(init_then_open)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	hf_autoptr(hf_repo) made = NULL;
	hf_autoptr(hf_repo) opened = NULL;
	struct hf_repo_options options = {.pack_size = 4 << 20};
	struct hf_repo *none;

	REQUIRE_OK(init_in(store, 2, &made));
	set(&password, "pw");
	REQUIRE_OK(hf_repo_open(window(store), &password, &options, &opened));
	CHECK_MEM(hf_repo_key(made), hf_repo_key(opened), sizeof(struct hf_key));
	CHECK(hf_id_eq(hf_repo_key_id(made), hf_repo_key_id(opened)));
	CHECK(hf_id_eq(&hf_repo_config(made)->id, &hf_repo_config(opened)->id));
	CHECK_EQ(hf_repo_config(opened)->polynomial, poly.value);
	CHECK_EQ(hf_repo_opts(opened)->pack_size, 4 << 20);
	set(&password, "PW");
	CHECK_ERR(hf_repo_open(window(store), &password, NULL, &none), HF_EAUTH);

	options.pack_size = 1;
	CHECK_ERR(hf_repo_open(window(store), &password, &options, &none), HF_EINVAL);
	options.pack_size = 1 << 30;
	CHECK_ERR(hf_repo_open(window(store), &password, &options, &none), HF_EINVAL);
}

TEST(init_refuses_what_is_there)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_autoptr(hf_repo) repo = NULL;
	struct hf_name config = {.kind = HF_CONFIG}, key = {.kind = HF_KEY};
	struct hf_name snapshot = {HF_SNAPSHOT, {{1}}};
	struct hf_repo *none;

	CHECK_ERR(init_in(store, 3, &none), HF_EINVAL);
	REQUIRE_OK(init_in(store, 1, &repo));
	key.id = *hf_repo_key_id(repo);
	CHECK_ERR_TEXT(init_in(store, 2, &none), HF_EEXISTS, "config file already exists");
	REQUIRE_OK(hf_store_del(store, &config));
	CHECK_ERR_TEXT(
		init_in(store, 2, &none), HF_EEXISTS, "repository already contains keys");
	REQUIRE_OK(hf_store_put(store, &snapshot, hf_str_bytes(hf_str("x"))));
	REQUIRE_OK(hf_store_del(store, &key));
	CHECK_ERR_TEXT(
		init_in(store, 2, &none), HF_EEXISTS, "repository already contains snapshots");
}

/* Whatever call fails, the next try is not kept from succeeding by what the first one left. */
TEST(init_that_fails_can_be_repeated)
{
	for (uint64_t at = 1;; at++) {
		hf_autoptr(hf_store) mem = hf_store_mem();
		hf_auto(hf_secret) password = {0};
		struct hf_fault_plan plan = {HF_FAULT_FAIL, .code = HF_EIO, .first = at};
		struct hf_repo *repo = NULL;
		size_t keys = 0;

		set(&password, "pw");
		struct hf_err *e = hf_repo_init(hf_store_fault(window(mem), &plan), &password,
			2, poly.value, NULL, &repo);
		if (e == NULL) {
			CHECK(at > 5); /* stat, two lists, create, key, config */
			hf_repo_free(repo);
			break;
		}
		CHECK_EQ(hf_err_code(e), HF_EIO);
		hf_err_free(e);
		REQUIRE_OK(hf_store_list(mem, HF_KEY, count_listed, &keys));
		CHECK_EQ(keys, 0);
		REQUIRE_OK(init_in(mem, 2, &repo));
		hf_repo_free(repo);
	}
}

static void
save_and_load(unsigned version)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_autoptr(hf_repo) repo = NULL;
	static char big[200000];
	const char *const texts[] = {"{}", "{\"a\":1}", "[]", big};
	uint64_t size;

	REQUIRE_OK(init_in(store, version, &repo));
	memset(big, '{', sizeof big - 1);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		hf_auto(hf_buf) back = HF_BUF_MAX(1 << 20);
		struct hf_name name = {.kind = HF_INDEX};
		struct hf_bytes plain = hf_str_bytes(hf_str(texts[i]));

		REQUIRE_OK(hf_repo_save(repo, HF_INDEX, plain, &name.id));
		REQUIRE_OK(hf_repo_load(repo, &name, &back));
		CHECK_EQ(back.len, plain.len);
		CHECK_MEM(back.p, plain.p, plain.len);
		REQUIRE_OK(hf_store_stat(store, &name, &size));
		if (version == 1)
			CHECK_EQ(size, plain.len + HF_SEAL_OVERHEAD);
		else if (texts[i] == big)
			CHECK(size < 1000);
	}
}

TEST(files_of_version_1)
{
	save_and_load(1);
}

TEST(files_of_version_2)
{
	save_and_load(2);
}

/* Stores `plain` as it is under its seal, and loads it. */
static struct hf_err *
load_sealed(struct hf_repo *repo, struct hf_bytes plain, struct hf_buf *out)
{
	hf_autoptr(hf_aead) aead = hf_aead_new(hf_repo_key(repo));
	uint8_t sealed[256];
	struct hf_bytes bytes = {sealed, plain.len + HF_SEAL_OVERHEAD};

	hf_aead_seal(aead, plain, sealed);
	struct hf_name name = {HF_SNAPSHOT, hf_sha256(bytes)};
	REQUIRE_OK(hf_store_put(hf_repo_store(repo), &name, bytes));
	return hf_repo_load(repo, &name, out);
}

TEST(encodings_on_reading)
{
	hf_autoptr(hf_store) one = hf_store_mem();
	hf_autoptr(hf_store) two = hf_store_mem();
	hf_autoptr(hf_repo) v1 = NULL;
	hf_autoptr(hf_repo) v2 = NULL;
	hf_auto(hf_buf) out = HF_BUF_MAX(4096);

	REQUIRE_OK(init_in(one, 1, &v1));
	REQUIRE_OK(init_in(two, 2, &v2));
	CHECK_OK(load_sealed(v2, hf_str_bytes(hf_str("{plain")), &out));
	CHECK_OK(load_sealed(v2, hf_str_bytes(hf_str("[plain")), &out));
	CHECK_OK(load_sealed(v2, hf_str_bytes(hf_str("")), &out));
	CHECK_EQ(out.len, 12);
	CHECK_ERR_TEXT(load_sealed(v2, hf_str_bytes(hf_str(" {}")), &out), HF_ECORRUPT,
		"not supported encoding format");
	CHECK_ERR(load_sealed(v2, hf_str_bytes(hf_str("\x02no zstd")), &out), HF_ECORRUPT);
	hf_buf_reset(&out);
	CHECK_OK(load_sealed(v1, hf_str_bytes(hf_str("\x02(as it is")), &out));
	CHECK_EQ(out.len, 10);
}

/* ---- in pieces ---- */

static struct hf_err *
add_up(void *arg, struct hf_json *j)
{
	uint64_t *sum = arg;

	for (hf_json_array(j); hf_json_item(j);)
		*sum += hf_json_u64(j, UINT64_MAX);
	return hf_json_end(j);
}

TEST(large_files_are_read_in_pieces)
{
	enum { N = 100000 };
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20), scratch = HF_BUF_MAX(16);

	for (unsigned i = 0; i < N; i++)
		hf_buf_addf(&json, "%c%u", i == 0 ? '[' : ',', i);
	hf_buf_add_str(&json, "]\n");
	for (unsigned version = 1; version <= 2; version++) {
		hf_autoptr(hf_store) mem = hf_store_mem();
		hf_autoptr(hf_repo) repo = NULL;
		struct hf_name name = {.kind = HF_INDEX};
		uint64_t sum = 0;

		REQUIRE_OK(init_in(mem, version, &repo));
		REQUIRE_OK(hf_repo_save(repo, HF_INDEX, hf_buf_bytes(&json), &name.id));
		REQUIRE_OK(hf_repo_read(repo, &name, &scratch, add_up, &sum));
		CHECK_EQ(sum, (uint64_t)N * (N - 1) / 2);

		/* What does not end, and what is not there. */
		REQUIRE_OK(hf_repo_save(
			repo, HF_INDEX, (struct hf_bytes){json.p, json.len - 2}, &name.id));
		CHECK_ERR_TEXT(hf_repo_read(repo, &name, &scratch, add_up, &sum), HF_ECORRUPT,
			hf_id_hex(&name.id).s);
		name.id.b[0] ^= 1;
		CHECK_ERR(hf_repo_read(repo, &name, &scratch, add_up, &sum), HF_ENOTFOUND);
	}
}

/* Half a frame under a good seal: the packing is to blame, not the text. */
TEST(damaged_packing_in_pieces)
{
	hf_autoptr(hf_store) mem = hf_store_mem();
	hf_autoptr(hf_repo) repo = NULL;
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);
	hf_auto(hf_buf) scratch = HF_BUF_MAX(16);
	uint8_t plain[200] = {2}, sealed[256];
	struct hf_bytes json = hf_str_bytes(hf_str("[1,2,3,4,5,6,7,8,9,10]"));
	uint64_t sum = 0;
	size_t n;

	REQUIRE_OK(init_in(mem, 2, &repo));
	REQUIRE_OK(hf_zstd_pack(z, json, plain + 1, &n));
	hf_autoptr(hf_aead) aead = hf_aead_new(hf_repo_key(repo));
	for (size_t len = 2; len <= n + 1; len++) {
		struct hf_bytes bytes = {sealed, len + HF_SEAL_OVERHEAD};

		hf_aead_seal(aead, (struct hf_bytes){plain, len}, sealed);
		struct hf_name name = {HF_INDEX, hf_sha256(bytes)};
		REQUIRE_OK(hf_store_put(mem, &name, bytes));
		if (len <= n)
			CHECK_ERR_TEXT(hf_repo_read(repo, &name, &scratch, add_up, &sum),
				HF_ECORRUPT, "decompressing");
		else
			CHECK_OK(hf_repo_read(repo, &name, &scratch, add_up, &sum));
	}
	CHECK_EQ(sum, 55);
}

/* Fields that nobody knows may be of any length. */
TEST(index_files_with_what_no_piece_holds)
{
	hf_autoptr(hf_store) mem = hf_store_mem();
	hf_autoptr(hf_repo) repo = NULL;
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	struct hf_id id;

	REQUIRE_OK(init_in(mem, 2, &repo));
	hf_buf_addf(&json,
		"{\"note\":\"%0*u\",\"packs\":[{\"id\":\"" ABAB "\",\"blobs\":[{\"id\":\"" ABAB
		"\",\"type\":\"data\",\"offset\":0,\"length\":40}]}]}",
		2 * HF_JSON_PIECES, 1);
	REQUIRE_OK(hf_repo_save(repo, HF_INDEX, hf_buf_bytes(&json), &id));
	REQUIRE_OK(hf_index_read(repo, ix, &id));
	CHECK_EQ(hf_index_len(ix), 1);
	/* Whatever is wrong is told of the whole text. */
	json.len--;
	REQUIRE_OK(hf_repo_save(repo, HF_INDEX, hf_buf_bytes(&json), &id));
	CHECK_ERR_TEXT(hf_index_read(repo, ix, &id), HF_ECORRUPT, "too early");
	CHECK_EQ(hf_index_len(ix), 1);
}

TEST(damage_on_the_way_is_tried_once_more)
{
	hf_autoptr(hf_store) mem = hf_store_mem();
	hf_autoptr(hf_repo) repo = NULL;
	hf_auto(hf_secret) password = {0};
	struct hf_name name = {.kind = HF_SNAPSHOT};
	struct hf_fault_plan plan = {HF_FAULT_FLIP, .kinds = 1u << HF_SNAPSHOT};

	set(&password, "pw");
	REQUIRE_OK(init_in(mem, 2, &repo));
	REQUIRE_OK(hf_repo_save(repo, HF_SNAPSHOT, hf_str_bytes(hf_str("{}")), &name.id));
	for (int lasts = 0; lasts < 2; lasts++) {
		hf_autoptr(hf_repo) again = NULL;
		hf_auto(hf_buf) out = HF_BUF_MAX(4096);

		plan.first = 1;
		plan.lasts = lasts == 1;
		struct hf_store *fault = hf_store_fault(window(mem), &plan);
		REQUIRE_OK(hf_repo_open(fault, &password, NULL, &again));
		if (lasts == 1)
			CHECK_ERR_TEXT(hf_repo_load(again, &name, &out), HF_ECORRUPT,
				hf_id_hex(&name.id).s);
		else
			CHECK_OK(hf_repo_load(again, &name, &out));
	}
}

TEST(list_and_resolve)
{
	hf_autoptr(hf_store) store = hf_store_mem();
	hf_autoptr(hf_repo) repo = NULL;
	hf_autofree struct hf_id *ids = NULL;
	hf_autofree uint64_t *sizes = NULL;
	struct hf_name name = {.kind = HF_PACK};
	struct hf_id id;
	size_t n;

	REQUIRE_OK(init_in(store, 2, &repo));
	for (unsigned i = 0; i < 40; i++) {
		name.id.b[0] = (uint8_t)(i * 37);
		name.id.b[1] = (uint8_t)(0xa0 + i);
		REQUIRE_OK(hf_store_put(
			store, &name, (struct hf_bytes){(const uint8_t *)ABAB, i}));
	}
	REQUIRE_OK(hf_repo_list(repo, HF_PACK, &ids, &sizes, &n));
	CHECK_EQ(n, 40);
	for (size_t i = 1; i < n; i++)
		CHECK(hf_id_cmp(&ids[i - 1], &ids[i]) < 0);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(sizes[i], ids[i].b[1] - 0xa0u);

	/* 25 * 37 = 0x39d, so that 9d is the only one with that beginning */
	REQUIRE_OK(hf_repo_resolve(repo, HF_PACK, "9d", &id));
	CHECK_EQ(id.b[0], 0x9d);
	REQUIRE_OK(hf_repo_resolve(repo, HF_PACK, "9db90", &id));
	CHECK_ERR_TEXT(hf_repo_resolve(repo, HF_PACK, "9da", &id), HF_ENOTFOUND,
		"no matching ID found for prefix \"9da\"");
	CHECK_ERR_TEXT(hf_repo_resolve(repo, HF_PACK, "0", &id), HF_EINVAL,
		"multiple IDs with prefix \"0\" found");
	CHECK_ERR_TEXT(hf_repo_resolve(repo, HF_PACK, "a\n\"", &id), HF_ENOTFOUND,
		"prefix \"a\\n\\\"\"");
	CHECK_ERR(hf_repo_resolve(repo, HF_PACK, "", &id), HF_ENOTFOUND);
	CHECK_ERR(hf_repo_resolve(repo, HF_PACK, ABAB "00", &id), HF_ENOTFOUND);
	REQUIRE_OK(hf_repo_resolve(repo, HF_PACK, ABAB, &id)); /* taken as it is */
	CHECK_EQ(id.b[31], 0xab);
}
