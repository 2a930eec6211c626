/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/pack.h"

#include "base/endian.h"
#include "codec/sha256.h"
#include "harness/test.h"

static const struct hf_key key = {
	{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d,
		0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a,
		0x1b, 0x1c, 0x1d, 0x1e, 0x1f},
	{0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d,
		0x2e, 0x2f},
	{0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d,
		0x3e, 0x3f},
};

/* The pack of the format description: one blob, "hello" LF. */
static const char vector[] =
	"50505050505050505050505050505050"
	"5119315ffd8d"
	"bc33e790d81a8aff84dc09ffe530f2e7"
	"51515151515151515151515151515151"
	"e313c0fb36ac8768f3549173ba4506fe1eeba6aba1c9c88c214e90bfde9c8c2c02d17e52d7"
	"5f685b4c000f1e853bb15572fe9352ff"
	"45000000";
enum { VECTOR_LEN = 111, VECTOR_BLOB = 38 };

static void
unhex(const char *hex, uint8_t *out)
{
	for (size_t i = 0; hex[2 * i] != '\0'; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (uint8_t)strtoul(two, NULL, 16);
	}
}

static struct hf_id
made_id(unsigned n)
{
	struct hf_id id = {{0}};

	hf_put_le32(id.b, n);
	hf_put_le32(id.b + 28, ~n);
	return id;
}

/* Four entries, one of each type, without gaps. */
static void
made_entries(struct hf_pack_entries *l)
{
	static const struct hf_pack_entry v[] = {
		{{{{0}}, HF_DATA}, 0, 100, 0},
		{{{{0}}, HF_TREE}, 100, 32, 0},
		{{{{0}}, HF_DATA}, 132, 45, 70000},
		{{{{0}}, HF_TREE}, 177, 0x01020304, 0xfffefdfc},
	};

	for (unsigned i = 0; i < 4; i++) {
		struct hf_pack_entry e = v[i];

		e.blob.id = made_id(i);
		hf_pack_entries_add(l, &e);
	}
}

static void
same_entries(const struct hf_pack_entries *got, const struct hf_pack_entries *want)
{
	REQUIRE_EQ(got->len, want->len);
	for (size_t i = 0; i < got->len; i++) {
		const struct hf_pack_entry *g = &got->v[i], *w = &want->v[i];

		CHECK(hf_id_eq(&g->blob.id, &w->blob.id));
		CHECK_EQ(g->blob.type, w->blob.type);
		CHECK_EQ(g->offset, w->offset);
		CHECK_EQ(g->length, w->length);
		CHECK_EQ(g->raw_length, w->raw_length);
	}
}

TEST(pack_header_has_the_bytes_of_the_format)
{
	hf_auto(hf_pack_entries) l = {0};
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);

	made_entries(&l);
	hf_pack_header_add(&b, &l);
	REQUIRE_OK(hf_buf_ok(&b));
	REQUIRE_EQ(b.len, 37 + 37 + 41 + 41);
	CHECK_MEM(b.p, "\x00\x64\x00\x00\x00", 5);
	CHECK_MEM(b.p + 5, made_id(0).b, 32);
	CHECK_MEM(b.p + 37, "\x01\x20\x00\x00\x00", 5);
	CHECK_MEM(b.p + 74, "\x02\x2d\x00\x00\x00\x70\x11\x01\x00", 9);
	CHECK_MEM(b.p + 83, made_id(2).b, 32);
	CHECK_MEM(b.p + 115, "\x03\x04\x03\x02\x01\xfc\xfd\xfe\xff", 9);
	CHECK_MEM(b.p + 124, made_id(3).b, 32);
	CHECK_EQ(hf_pack_size(l.v, l.len), 177 + 0x01020304 + b.len + 36);
}

TEST(pack_header_comes_back)
{
	hf_auto(hf_pack_entries) l = {0}, back = {0};
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);

	made_entries(&l);
	hf_pack_header_add(&b, &l);
	REQUIRE_OK(hf_pack_header_parse(hf_buf_bytes(&b), 177 + 0x01020304, &back));
	same_entries(&back, &l);
	/* Once more into the same list. */
	REQUIRE_OK(hf_pack_header_parse(hf_buf_bytes(&b), 177 + 0x01020304, &back));
	same_entries(&back, &l);
}

TEST(pack_header_must_add_up)
{
	hf_auto(hf_pack_entries) l = {0}, back = {0};
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);
	uint64_t blobs = 177 + 0x01020304;

	made_entries(&l);
	hf_pack_header_add(&b, &l);
	struct hf_bytes all = hf_buf_bytes(&b);
	CHECK_ERR(hf_pack_header_parse(all, blobs - 1, &back), HF_ECORRUPT);
	CHECK_ERR(hf_pack_header_parse(all, blobs + 1, &back), HF_ECORRUPT);
	CHECK_ERR(hf_pack_header_parse(all, 0, &back), HF_ECORRUPT);
	for (size_t n = 0; n < all.len; n++)
		CHECK_ERR(hf_pack_header_parse((struct hf_bytes){all.p, n}, blobs, &back),
			HF_ECORRUPT);

	b.p[37] = 4;
	CHECK_ERR_TEXT(hf_pack_header_parse(all, blobs, &back), HF_ECORRUPT, "type");
	b.p[37] = 1;
	b.p[38] = 31;
	CHECK_ERR_TEXT(hf_pack_header_parse(all, blobs - 1, &back), HF_ECORRUPT, "short");
	b.p[38] = 32;
	memset(b.p + 79, 0, 4);
	CHECK_ERR(hf_pack_header_parse(all, blobs, &back), HF_ECORRUPT);
	CHECK_EQ(back.len, 0);
}

TEST(pack_offsets_have_32_bits)
{
	hf_auto(hf_pack_entries) l = {0}, back = {0};
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);
	struct hf_pack_entry e = {{made_id(1), HF_DATA}, 0, UINT32_MAX, 0};

	hf_pack_entries_add(&l, &e);
	hf_pack_entries_add(&l, &e);
	hf_pack_header_add(&b, &l);
	REQUIRE_OK(hf_pack_header_parse(hf_buf_bytes(&b), 2 * (uint64_t)UINT32_MAX, &back));
	CHECK_EQ(back.v[1].offset, UINT32_MAX);
	hf_pack_header_add(&b, &l);
	CHECK_ERR(hf_pack_header_parse(hf_buf_bytes(&b), 4 * (uint64_t)UINT32_MAX, &back),
		HF_ECORRUPT);
}

TEST(pack_vector_opens)
{
	uint8_t file[VECTOR_LEN];
	hf_autoptr(hf_aead) aead = hf_aead_new(&key);
	hf_auto(hf_pack_entries) l = {0};

	unhex(vector, file);
	struct hf_bytes all = {file, sizeof file};
	struct hf_id name = hf_sha256(all);
	CHECK_STR(hf_id_hex(&name).s,
		"5c49dcefecd6980e27aa3fc32fbde3ff38189d3b85df99524db50b0dffe0ecff");
	REQUIRE_OK(hf_pack_entries_of(aead, all, &l));
	REQUIRE_EQ(l.len, 1);
	CHECK_STR(hf_id_hex(&l.v[0].blob.id).s,
		"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
	CHECK_EQ(l.v[0].blob.type, HF_DATA);
	CHECK_EQ(l.v[0].offset, 0);
	CHECK_EQ(l.v[0].length, VECTOR_BLOB);
	CHECK_EQ(l.v[0].raw_length, 0);
	CHECK_EQ(hf_pack_size(l.v, 1), VECTOR_LEN);
}

TEST(pack_vector_is_what_we_write)
{
	uint8_t want[VECTOR_LEN], got[VECTOR_LEN], iv[16];
	hf_autoptr(hf_aead) aead = hf_aead_new(&key);
	hf_auto(hf_pack_entries) l = {0};
	hf_auto(hf_buf) header = HF_BUF_MAX(1000);
	struct hf_bytes plain = hf_str_bytes(hf_str("hello\n"));
	struct hf_pack_entry e = {{hf_sha256(plain), HF_DATA}, 0, VECTOR_BLOB, 0};

	unhex(vector, want);
	memset(iv, 0x50, sizeof iv);
	hf_aead_seal_iv(aead, iv, plain, got);
	hf_pack_entries_add(&l, &e);
	hf_pack_header_add(&header, &l);
	memset(iv, 0x51, sizeof iv);
	hf_aead_seal_iv(aead, iv, hf_buf_bytes(&header), got + VECTOR_BLOB);
	hf_put_le32(got + VECTOR_LEN - 4, (uint32_t)header.len + 32);
	CHECK_MEM(got, want, VECTOR_LEN);
}

TEST(pack_refuses_a_changed_header_or_length)
{
	uint8_t file[VECTOR_LEN];
	hf_autoptr(hf_aead) aead = hf_aead_new(&key);
	hf_auto(hf_pack_entries) l = {0};

	unhex(vector, file);
	for (size_t i = VECTOR_BLOB; i < VECTOR_LEN; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			file[i] ^= (uint8_t)(1U << bit);
			CHECK_ERR(hf_pack_entries_of(
					  aead, (struct hf_bytes){file, sizeof file}, &l),
				HF_ECORRUPT);
			file[i] ^= (uint8_t)(1U << bit);
		}
	for (size_t n = 0; n < VECTOR_LEN; n++)
		CHECK_ERR(
			hf_pack_entries_of(aead, (struct hf_bytes){file, n}, &l), HF_ECORRUPT);
	CHECK_EQ(l.len, 0);
	/* What stands before is none of its business, as long as the lengths agree. */
	CHECK_OK(hf_pack_entries_of(aead, (struct hf_bytes){file, sizeof file}, &l));
}

TEST(pack_header_length_keeps_the_limits)
{
	uint8_t last[4];
	uint32_t len = 7;

	hf_put_le32(last, HF_PACK_MAX_HEADER + 1);
	CHECK_ERR(hf_pack_header_len(last, UINT64_C(1) << 32, &len), HF_ECORRUPT);
	hf_put_le32(last, UINT32_MAX);
	CHECK_ERR(hf_pack_header_len(last, UINT64_C(1) << 40, &len), HF_ECORRUPT);
	hf_put_le32(last, 0);
	CHECK_ERR_TEXT(hf_pack_header_len(last, 1000, &len), HF_ECORRUPT, "zero");
	hf_put_le32(last, 31);
	CHECK_ERR(hf_pack_header_len(last, 1000, &len), HF_ECORRUPT);
	hf_put_le32(last, 997);
	CHECK_ERR(hf_pack_header_len(last, 1000, &len), HF_ECORRUPT);
	hf_put_le32(last, 69);
	CHECK_ERR(hf_pack_header_len(last, HF_PACK_MIN_FILE - 1, &len), HF_ECORRUPT);
	CHECK_EQ(len, 7);
	CHECK_OK(hf_pack_header_len(last, HF_PACK_MIN_FILE, &len));
	CHECK_EQ(len, 69);
	hf_put_le32(last, HF_PACK_MAX_HEADER);
	CHECK_OK(hf_pack_header_len(last, UINT64_C(1) << 32, &len));
	CHECK_EQ(len, HF_PACK_MAX_HEADER);
}
