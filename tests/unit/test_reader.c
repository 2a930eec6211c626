/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/reader.h"

#include <stdio.h>

#include "handmade.h"
#include "repo/opened.h"

/* A repository in memory with an index and a reader; the last two come later. */
struct fixture {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_reader *r;
	struct hf_buf out;
};

static void
fixture_clear(struct fixture *f)
{
	hf_buf_clear(&f->out);
	hf_reader_free(f->r);
	hf_index_free(f->ix);
	hf_repo_free(f->repo);
}

static void
fixture_init(struct fixture *f, unsigned version)
{
	f->repo = made_repo(hf_store_mem(), version);
	f->ix = hf_index_new();
	f->r = hf_reader_new(f->repo, f->ix);
	f->out = (struct hf_buf)HF_BUF_MAX(64 << 20);
}

/* Stores the pack; the index in memory learns of it. */
static struct hf_id
put_pack(struct fixture *f, struct packing *p)
{
	struct hf_id id = packing_put(p);

	hf_index_add_pack(f->ix, &id, p->entries.v, p->entries.len);
	return id;
}

TEST(reader_reads_plain_and_compressed_blobs)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f, 2);
	PACKING(p, f.repo);
	struct hf_blob a = packing_text(&p, HF_DATA, "plain", false);
	struct hf_blob b =
		packing_text(&p, HF_DATA, "compressed, compressed, compressed", true);
	struct hf_blob c = packing_text(&p, HF_DATA, "", false);
	put_pack(&f, &p);

	hf_buf_add_str(&f.out, "> ");
	REQUIRE_OK(hf_reader_blob(f.r, &b, &f.out));
	REQUIRE_OK(hf_reader_blob(f.r, &c, &f.out));
	REQUIRE_OK(hf_reader_blob(f.r, &a, &f.out));
	hf_buf_add_char(&f.out, '\0');
	CHECK_STR((char *)f.out.p, "> compressed, compressed, compressedplain");

	struct hf_blob absent = {hf_sha256(hf_str_bytes(hf_str("absent"))), HF_DATA};
	CHECK_ERR_TEXT(
		hf_reader_blob(f.r, &absent, &f.out), HF_ENOTFOUND, hf_id_hex(&absent.id).s);
	a.type = HF_TREE;
	CHECK_ERR(hf_reader_blob(f.r, &a, &f.out), HF_ENOTFOUND);
}

TEST(reader_says_what_is_wrong)
{
	hf_auto(fixture) f = {0};
	static const char text[] = "some text some text some text some text";
	uint8_t packed[200], sealed[300];
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);
	size_t n;

	fixture_init(&f, 2);
	struct hf_aead *aead = hf_reader_aead(f.r);
	struct hf_bytes plain = hf_str_bytes(hf_str(text));
	struct hf_blob blob = {hf_sha256(plain), HF_DATA};
	struct hf_blob wrong = {hf_sha256(hf_str_bytes(hf_str("x"))), HF_DATA};
	uint32_t raw = (uint32_t)plain.len;
	REQUIRE_OK(hf_zstd_pack(z, plain, packed, &n));
	uint32_t len = (uint32_t)n + 32;

#define OPEN(b, stored_len, raw_len)                                                           \
	(hf_aead_seal(aead, (struct hf_bytes){packed, n}, sealed),                             \
		hf_reader_open(f.r, (b), sealed, (stored_len), (raw_len), &f.out))

	CHECK_OK(OPEN(&blob, len, raw));
	CHECK_EQ(f.out.len, raw);
	CHECK_ERR_TEXT(OPEN(&blob, len, raw - 1), HF_ECORRUPT, "decompressing");
	CHECK_ERR_TEXT(OPEN(&blob, len, raw + 1), HF_ECORRUPT, "decompressing");
	CHECK_ERR_TEXT(OPEN(&blob, len, UINT32_MAX), HF_ECORRUPT, "announced");
	CHECK_ERR_TEXT(OPEN(&blob, len, 0), HF_ECORRUPT, "hash");
	CHECK_ERR_TEXT(OPEN(&wrong, len, raw), HF_ECORRUPT, hf_id_hex(&blob.id).s);
	CHECK_ERR_TEXT(OPEN(&blob, len - 1, raw), HF_ECORRUPT, "verification");
	CHECK_ERR(OPEN(&blob, 31, raw), HF_ECORRUPT);
	CHECK_ERR(OPEN(&blob, 0, 0), HF_ECORRUPT);
	packed[0] ^= 1;
	CHECK_ERR_TEXT(OPEN(&blob, len, raw), HF_ECORRUPT, "zstd");
	packed[0] ^= 1;
	for (uint32_t i = 0; i < len; i++) {
		hf_aead_seal(aead, (struct hf_bytes){packed, n}, sealed);
		sealed[i] ^= 0x10;
		CHECK_ERR_TEXT(hf_reader_open(f.r, &blob, sealed, len, raw, &f.out),
			HF_ECORRUPT, "ciphertext verification failed");
	}
	CHECK_EQ(f.out.len, raw); /* nothing was left behind */
	CHECK_OK(OPEN(&blob, len, raw));
}

TEST(reader_tries_every_copy)
{
	hf_auto(fixture) f = {0};
	struct hf_store *store;
	struct hf_name name[3];
	struct hf_blob blob;

	fixture_init(&f, 2);
	store = hf_repo_store(f.repo);
	for (unsigned i = 0; i < 3; i++) {
		PACKING(p, f.repo);

		name[i] = (struct hf_name){.kind = HF_PACK};
		blob = packing_text(&p, HF_DATA, "kept three times", i == 1);
		name[i].id = put_pack(&f, &p);
	}
	/* Lose all but one, each in another way. */
	for (unsigned keep = 0; keep < 3; keep++) {
		struct hf_buf files[3] = {HF_BUF_MAX(1000), HF_BUF_MAX(1000), HF_BUF_MAX(1000)};

		for (unsigned i = 0; i < 3; i++)
			REQUIRE_OK(hf_store_get(store, &name[i], 0, SIZE_MAX, &files[i]));
		struct hf_name *cut = &name[(keep + 1) % 3], *gone = &name[(keep + 2) % 3];
		REQUIRE_OK(hf_store_put(
			store, cut, (struct hf_bytes){files[(keep + 1) % 3].p, 20}));
		REQUIRE_OK(hf_store_del(store, gone));
		hf_buf_reset(&f.out);
		CHECK_OK(hf_reader_blob(f.r, &blob, &f.out));
		CHECK_EQ(f.out.len, 16);
		REQUIRE_OK(hf_store_del(store, &name[keep]));
		CHECK_ERR_TEXT(
			hf_reader_blob(f.r, &blob, &f.out), HF_ECORRUPT, hf_id_hex(&blob.id).s);
		CHECK_EQ(f.out.len, 16);
		for (unsigned i = 0; i < 3; i++) {
			REQUIRE_OK(hf_store_put(store, &name[i], hf_buf_bytes(&files[i])));
			hf_buf_clear(&files[i]);
		}
	}
}

TEST(reader_loads_headers_of_any_length)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f, 2);
	struct hf_store *store = hf_repo_store(f.repo);
	struct hf_aead *aead = hf_reader_aead(f.r);
	/* One read is enough for the first, not for the last. */
	for (unsigned n = 1; n <= 1000; n *= 10) {
		PACKING(p, f.repo);
		hf_auto(hf_pack_entries) l = {0};
		char text[20];

		for (unsigned i = 0; i < n; i++) {
			snprintf(text, sizeof text, "%u", i);
			packing_text(&p, HF_DATA, text, i % 2 == 0);
		}
		struct hf_name name = {HF_PACK, put_pack(&f, &p)};
		REQUIRE_OK(hf_pack_entries_load(f.repo, aead, &name.id, p.file.len, &l));
		REQUIRE_EQ(l.len, n);
		CHECK_MEM(l.v[n - 1].blob.id.b, p.entries.v[n - 1].blob.id.b, HF_ID_LEN);
		CHECK_EQ(l.v[n - 1].offset, p.entries.v[n - 1].offset);

		/* With a size that is not the right one, or a byte that is not. */
		CHECK_ERR(hf_pack_entries_load(f.repo, aead, &name.id, p.file.len + 1, &l),
			HF_ECORRUPT);
		CHECK_ERR(hf_pack_entries_load(f.repo, aead, &name.id, p.file.len - 1, &l),
			HF_ECORRUPT);
		CHECK_ERR(hf_pack_entries_load(f.repo, aead, &name.id, 10, &l), HF_ECORRUPT);
		p.file.p[p.file.len - 5] ^= 1;
		REQUIRE_OK(hf_store_put(store, &name, hf_buf_bytes(&p.file)));
		CHECK_ERR_TEXT(hf_pack_entries_load(f.repo, aead, &name.id, p.file.len, &l),
			HF_ECORRUPT, "pack");
		REQUIRE_OK(hf_store_del(store, &name));
		CHECK_ERR(hf_pack_entries_load(f.repo, aead, &name.id, p.file.len, &l),
			HF_ENOTFOUND);
	}
}

static struct hf_id
save_index(struct fixture *f, const char *json)
{
	struct hf_id id;

	REQUIRE_OK(hf_repo_save(f->repo, HF_INDEX, hf_str_bytes(hf_str(json)), &id));
	return id;
}

struct bad {
	unsigned n;
	struct hf_id last;
};

static void
count_bad(void *arg, const struct hf_id *file, struct hf_err *e)
{
	struct bad *b = arg;

	b->n++;
	b->last = *file;
	CHECK_EQ(hf_err_code(e), HF_ECORRUPT);
	hf_err_free(e);
}

TEST(index_load_reads_all_files)
{
	hf_auto(fixture) f = {0};
	struct bad bad = {0};
	enum { FILES = 40 };

	fixture_init(&f, 2);
	REQUIRE_OK(hf_index_load(f.repo, f.ix, NULL, NULL, NULL));
	CHECK_EQ(hf_index_len(f.ix), 0);
	for (unsigned i = 0; i < FILES; i++) {
		char json[1000];
		struct hf_hex id;

		memset(&id, 0, sizeof id);
		memset(id.s, "0123456789abcdef"[i % 16], HF_ID_HEX);
		id.s[5] = (char)('1' + i / 16);
		snprintf(json, sizeof json,
			"{\"packs\":[{\"id\":\"%s\",\"blobs\":[{\"id\":\"%s\",\"type\":"
			"\"tree\","
			"\"offset\":0,\"length\":%u}]}]}\n",
			id.s, id.s, 40 + i);
		save_index(&f, json);
	}
	REQUIRE_OK(hf_index_load(f.repo, f.ix, NULL, NULL, NULL));
	CHECK_EQ(hf_index_len(f.ix), FILES);

	/* One bad file ends it, or is told and passed over. */
	struct hf_id id = save_index(&f, "{\"packs\":[{}]}\n");
	CHECK_ERR_TEXT(
		hf_index_load(f.repo, f.ix, NULL, NULL, NULL), HF_ECORRUPT, hf_id_hex(&id).s);
	hf_autoptr(hf_index) again = hf_index_new();
	REQUIRE_OK(hf_index_load(f.repo, again, NULL, count_bad, &bad));
	CHECK_EQ(bad.n, 1);
	CHECK(hf_id_eq(&bad.last, &id));
	CHECK_EQ(hf_index_len(again), FILES);

	struct hf_stop stop = {0};
	hf_stop_set(&stop);
	CHECK_ERR(hf_index_load(f.repo, again, &stop, count_bad, &bad), HF_ECANCELED);
}

TEST(index_load_refuses_compression_in_version_1)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f, 1);
	save_index(&f,
		"{\"packs\":[{\"id\":"
		"\"5c49dcefecd6980e27aa3fc32fbde3ff38189d3b85df99524db50b0dffe0ecff\","
		"\"blobs\":"
		"[{\"id\":\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\","
		"\"type\":\"data\",\"offset\":0,\"length\":42,\"uncompressed_length\":6}]}]}"
		"\n");
	CHECK_ERR_TEXT(hf_index_load(f.repo, f.ix, NULL, NULL, NULL), HF_ECORRUPT, "version 1");
}

/* ---- the repository of the format description, byte for byte ---- */

#define AB8       "abababababababab"
#define BLOB      "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define TREE      "375d84e8444d4d271426ad13c0fc7f5e3b2739f5c20be86fec8a2b56d77a67d7"
#define PACK      "5c49dcefecd6980e27aa3fc32fbde3ff38189d3b85df99524db50b0dffe0ecff"
#define TREE_PACK "17b3e44233d242ff7736be3fb93d754da20a228bd3a80ae58440a1f714ee9f9a"

static const char tree_text[] =
	"{\"nodes\":[{\"name\":\"hello\",\"type\":\"file\",\"mode\":420,\"mtime\":"
	"\"2026-01-02T03:04:05Z\",\"atime\":\"2026-01-02T03:04:05Z\",\"ctime\":"
	"\"2026-01-02T03:04:05Z\",\"uid\":0,\"gid\":0,\"size\":6,\"content\":[\"" BLOB
	"\"]}]}\n";

static void
put(struct hf_store *s, enum hf_kind kind, struct hf_bytes b, const char *hash)
{
	struct hf_name name = {kind, hf_sha256(b)};

	REQUIRE_STR(hf_id_hex(&name.id).s, hash);
	if (kind == HF_CONFIG)
		memset(&name.id, 0, sizeof name.id);
	REQUIRE_OK(hf_store_put(s, &name, b));
}

/* Appends the text, sealed with 16 times the byte `iv`; for 0x40 it counts up. */
static void
seal(struct hf_buf *out, struct hf_bytes text, uint8_t iv)
{
	struct hf_key key = made_key();
	uint8_t ivs[16];

	for (uint8_t i = 0; i < 16; i++)
		ivs[i] = iv == 0x40 ? iv + i : iv;
	hf_autoptr(hf_aead) aead = hf_aead_new(&key);
	size_t at = out->len;
	REQUIRE_OK(hf_buf_resize(out, at + text.len + 32));
	hf_aead_seal_iv(aead, ivs, text, out->p + at);
}

static void
put_sealed(
	struct hf_store *s, enum hf_kind kind, const char *text, uint8_t iv, const char *hash)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(4000);

	seal(&b, hf_str_bytes(hf_str(text)), iv);
	put(s, kind, hf_buf_bytes(&b), hash);
}

static void
put_vector(struct hf_store *s, const char *text, enum hf_blob_type type, uint8_t iv,
	const char *hash)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(4000), header = HF_BUF_MAX(100);
	struct hf_bytes plain = hf_str_bytes(hf_str(text));
	struct hf_pack_entry e = {{hf_sha256(plain), type}, 0, (uint32_t)plain.len + 32, 0};
	struct hf_pack_entries l = {&e, 1, 1};
	uint8_t len[4];

	hf_pack_header_add(&header, &l);
	seal(&b, plain, iv);
	seal(&b, hf_buf_bytes(&header), iv + 1);
	hf_put_le32(len, (uint32_t)header.len + 32);
	hf_buf_add(&b, len, 4);
	put(s, HF_PACK, hf_buf_bytes(&b), hash);
}

TEST(reader_reads_the_repository_of_the_format_description)
{
	struct hf_store *s = hf_store_mem();
	hf_auto(hf_secret) password = {0};
	hf_auto(fixture) f = {.out = HF_BUF_MAX(10000)};

	put(s, HF_KEY, hf_str_bytes(hf_str(made_key_file)),
		"21effbc93dbd30f293fa7e02a4507af63f9adad90f9dba9bc67d7655ab18830c");
	put_sealed(s, HF_CONFIG,
		"{\"version\":2,\"id\":\"" AB8 AB8 AB8 AB8
		"\",\"chunker_polynomial\":\"3da3358b4dc173\"}",
		0x40, "79189a4aae3381a66aaa9b803523aca8a32dcfa619a557bef7a5fd6c8f217643");
	put_vector(s, "hello\n", HF_DATA, 0x50, PACK);
	put_vector(s, tree_text, HF_TREE, 0x52, TREE_PACK);
	put_sealed(s, HF_INDEX,
		"{\"packs\":[{\"id\":\"" PACK "\",\"blobs\":[{\"id\":\"" BLOB
		"\",\"type\":\"data\",\"offset\":0,\"length\":38}]},{\"id\":\"" TREE_PACK
		"\",\"blobs\":[{\"id\":\"" TREE
		"\",\"type\":\"tree\",\"offset\":0,\"length\":283}]}]}\n",
		0x60, "9ddd0af58742c0843a71df70730f5fa1eb1a5710ee94f629eeac91e1442eff5b");

	hf_secret_set(&password, hf_str_bytes(hf_str("geheim")));
	REQUIRE_OK(hf_repo_open(s, &password, &(struct hf_repo_options){0}, &f.repo));
	f.ix = hf_index_new();
	f.r = hf_reader_new(f.repo, f.ix);
	REQUIRE_OK(hf_index_load(f.repo, f.ix, NULL, NULL, NULL));
	struct hf_blob blob = {.type = HF_DATA}, tree = {.type = HF_TREE};
	REQUIRE(hf_id_parse(hf_str(BLOB), &blob.id));
	REQUIRE(hf_id_parse(hf_str(TREE), &tree.id));
	REQUIRE_OK(hf_reader_blob(f.r, &blob, &f.out));
	REQUIRE_OK(hf_reader_blob(f.r, &tree, &f.out));
	REQUIRE_EQ(f.out.len, 6 + strlen(tree_text));
	CHECK_MEM(f.out.p, "hello\n", 6);
	CHECK_MEM(f.out.p + 6, tree_text, strlen(tree_text));
}

/* A blob as it is stored, and what it must be called. */
struct stored {
	uint8_t sealed[3000 + 32];
	uint32_t length;
	struct hf_id id;
	bool is_wrong;
};

/* One of those that wait; false: there was none. */
static bool
end_and_check(struct hf_opened_set *s, const struct stored *blobs, size_t *n_ended)
{
	const struct hf_opened *o;
	struct hf_err *e = hf_opened_end(s, &o);

	if (o == NULL) {
		CHECK_OK(e);
		return false;
	}
	const struct stored *b = &blobs[o->tag];

	++*n_ended;
	if (b->is_wrong)
		CHECK_ERR_TEXT(e, HF_ECORRUPT, "hash");
	else
		CHECK_OK(e);
	CHECK_MEM(o->id.b, b->id.b, HF_ID_LEN);
	CHECK_EQ(o->plain.len, b->length - 32);
	return true;
}

/* Blobs of all sizes, some under a wrong name, some that cannot be opened. */
TEST(reader_opens_many_at_a_time)
{
	enum { N = 300 };
	hf_auto(fixture) f = {0};
	hf_autofree struct stored *blobs = calloc(N, sizeof *blobs);
	struct hf_opened_set *s = hf_opened_new();
	unsigned width = hf_many_width(hf_opened_many(s));
	uint8_t plain[3000];
	unsigned seed = 5;
	size_t n_begun = 0, n_ended = 0;

	fixture_init(&f, 2);
	for (size_t i = 0; i < N; i++) {
		struct stored *b = &blobs[i];
		struct hf_bytes text = {plain, (size_t)rand_r(&seed) % sizeof plain};

		for (size_t k = 0; k < text.len; k++)
			plain[k] = (uint8_t)rand_r(&seed);
		b->length = (uint32_t)text.len + 32;
		b->id = hf_sha256(text);
		b->is_wrong = i % 7 == 3;
		b->id.b[5] ^= b->is_wrong;
		hf_aead_seal(hf_reader_aead(f.r), text, b->sealed);
		b->sealed[20] ^= i % 11 == 4; /* which the MAC tells */

		CHECK_EQ(hf_opened_is_full(s), n_begun - n_ended == width);
		while (hf_opened_is_full(s))
			CHECK(end_and_check(s, blobs, &n_ended));
		struct hf_err *e = hf_opened_begin(s, f.r, &b->id, i, b->sealed, b->length, 0);
		if (i % 11 == 4)
			CHECK_ERR_TEXT(e, HF_ECORRUPT, "verification");
		else
			CHECK_OK(e);
		n_begun += i % 11 != 4;
	}
	while (end_and_check(s, blobs, &n_ended))
		;
	CHECK_EQ(n_ended, n_begun);
	CHECK_EQ(n_begun, N - (N + 6) / 11);
	hf_opened_free(s);
}

/* Of large ones two wait, with small ones among them. Some are left when the set is freed. */
TEST(reader_opens_large_ones_in_pairs)
{
	enum { LARGE = 3 << 20 };
	hf_auto(fixture) f = {0};
	struct hf_opened_set *s = hf_opened_new();
	hf_autofree uint8_t *plain = calloc(1, LARGE);
	hf_autofree uint8_t *sealed = malloc(LARGE + HF_SEAL_OVERHEAD);
	size_t waiting = 0, most = 0;
	const struct hf_opened *o;

	fixture_init(&f, 2);
	REQUIRE(plain != NULL && sealed != NULL);
	for (uint32_t i = 0; i < 60; i++) {
		uint32_t size = i % 5 == 0 ? LARGE - i : i;
		struct hf_id id = hf_sha256((struct hf_bytes){plain, size});

		for (; hf_opened_is_full(s); waiting -= o->plain.len)
			CHECK_OK(hf_opened_end(s, &o));
		hf_aead_seal(hf_reader_aead(f.r), (struct hf_bytes){plain, size}, sealed);
		REQUIRE_OK(hf_opened_begin(s, f.r, &id, i, sealed, size + HF_SEAL_OVERHEAD, 0));
		waiting += size;
		most = waiting > most ? waiting : most;
	}
	CHECK(most <= 2 * LARGE);
	hf_opened_free(s);
}
