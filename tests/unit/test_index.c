/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/index.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/endian.h"
#include "base/group.h"
#include "harness/test.h"

/* An id that looks like a hash: the same for the same numbers. */
static struct hf_id
made_id(uint64_t space, uint64_t n)
{
	struct hf_id id;
	uint64_t x = space * UINT64_C(0x9e3779b97f4a7c15) + n;

	for (size_t i = 0; i < HF_ID_LEN; i += 8) {
		uint64_t z = x += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		hf_put_le64(id.b + i, z ^ z >> 31);
	}
	return id;
}

static struct hf_pack_entry
made_entry(uint64_t n, enum hf_blob_type type, uint32_t offset, uint32_t length, uint32_t raw)
{
	return (struct hf_pack_entry){{made_id(1, n), type}, offset, length, raw};
}

TEST(index_finds_what_was_added)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_id pack = made_id(2, 0);
	struct hf_pack_entry e[2] = {
		made_entry(1, HF_DATA, 0, 132, 0),
		made_entry(2, HF_TREE, 132, 60, 500),
	};
	struct hf_location at;

	CHECK(!hf_index_find(ix, &e[0].blob, 0, &at));
	CHECK_EQ(hf_index_len(ix), 0);
	CHECK_EQ(hf_index_packs(ix), 0);
	hf_index_add_pack(ix, &pack, e, 2);
	CHECK_EQ(hf_index_len(ix), 2);
	CHECK_EQ(hf_index_packs(ix), 1);

	REQUIRE(hf_index_find(ix, &e[1].blob, 0, &at));
	CHECK(hf_id_eq(&at.pack, &pack));
	CHECK_EQ(at.pack_number, 0);
	CHECK_EQ(at.offset, 132);
	CHECK_EQ(at.length, 60);
	CHECK_EQ(at.raw_length, 500);
	CHECK_EQ(hf_location_size(&at), 500);
	CHECK(!hf_index_find(ix, &e[1].blob, 1, &at));
	REQUIRE(hf_index_find(ix, &e[0].blob, 0, &at));
	CHECK_EQ(hf_location_size(&at), 100);

	/* The same id as another kind of blob is another blob. */
	struct hf_blob other = {e[0].blob.id, HF_TREE};
	CHECK(!hf_index_find(ix, &other, 0, &at));
}

TEST(index_keeps_every_copy_and_drops_repetitions)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_pack_entry e = made_entry(1, HF_DATA, 0, 50, 0);
	struct hf_location at;
	bool seen[3] = {false};

	for (unsigned i = 0; i < 3; i++) {
		struct hf_id pack = made_id(2, i);

		hf_index_add_pack(ix, &pack, &e, 1);
		hf_index_add_pack(ix, &pack, &e, 1);
	}
	CHECK_EQ(hf_index_len(ix), 3);
	CHECK_EQ(hf_index_packs(ix), 3);
	for (unsigned nth = 0; nth < 3; nth++) {
		REQUIRE(hf_index_find(ix, &e.blob, nth, &at));
		REQUIRE(at.pack_number < 3);
		CHECK(!seen[at.pack_number]);
		seen[at.pack_number] = true;
	}
	CHECK(!hf_index_find(ix, &e.blob, 3, &at));
}

TEST(index_claim_goes_from_absent_over_pending_to_stored)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_pack_entry e = made_entry(1, HF_TREE, 7, 50, 0);
	struct hf_id pack = made_id(2, 0);
	struct hf_blob blob;
	struct hf_location at;

	CHECK_EQ(hf_index_claim(ix, &e.blob), HF_CLAIM_NEW);
	CHECK_EQ(hf_index_claim(ix, &e.blob), HF_CLAIM_PENDING);
	CHECK(!hf_index_find(ix, &e.blob, 0, &at));
	CHECK(!hf_index_entry(ix, 0, &blob, &at));
	hf_index_add_pack(ix, &pack, &e, 1);
	CHECK_EQ(hf_index_claim(ix, &e.blob), HF_CLAIM_STORED);
	CHECK_EQ(hf_index_len(ix), 1); /* in the place of the claim */
	REQUIRE(hf_index_find(ix, &e.blob, 0, &at));
	CHECK_EQ(at.offset, 7);
	CHECK(!hf_index_find(ix, &e.blob, 1, &at));
	REQUIRE(hf_index_entry(ix, 0, &blob, &at));
	CHECK(hf_id_eq(&blob.id, &e.blob.id));
	CHECK_EQ(blob.type, HF_TREE);
	CHECK_EQ(at.number, 0);
	CHECK(!hf_index_entry(ix, 1, &blob, &at));
}

TEST(index_holds_many_and_numbers_them)
{
	enum { N = 300000, PER_PACK = 100 };
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_pack_entry e[PER_PACK];
	struct hf_location at, again;
	struct hf_blob blob;

	for (uint32_t i = 0; i < N; i += PER_PACK) {
		struct hf_id pack = made_id(2, i / PER_PACK);

		for (uint32_t k = 0; k < PER_PACK; k++)
			e[k] = made_entry(
				i + k, k % 3 == 0 ? HF_TREE : HF_DATA, k * 40, 40, i + k);
		hf_index_add_pack(ix, &pack, e, PER_PACK);
	}
	REQUIRE_EQ(hf_index_len(ix), N);
	REQUIRE_EQ(hf_index_packs(ix), N / PER_PACK);
	for (uint32_t i = 0; i < N; i++) {
		struct hf_pack_entry want =
			made_entry(i, i % PER_PACK % 3 == 0 ? HF_TREE : HF_DATA, 0, 40, i);

		REQUIRE(hf_index_find(ix, &want.blob, 0, &at));
		REQUIRE_EQ(at.raw_length, i);
		REQUIRE_EQ(at.pack_number, i / PER_PACK);
		REQUIRE_EQ(at.offset, i % PER_PACK * 40);
		REQUIRE(hf_index_entry(ix, at.number, &blob, &again));
		REQUIRE(hf_id_eq(&blob.id, &want.blob.id));
		REQUIRE_EQ(again.raw_length, i);
		struct hf_blob absent = {made_id(3, i), HF_DATA};
		REQUIRE(!hf_index_find(ix, &absent, 0, &at));
	}
	for (uint32_t i = 0; i < N / PER_PACK; i++) {
		struct hf_id want = made_id(2, i), got;
		uint32_t number;

		REQUIRE(hf_index_pack(ix, i, &got));
		REQUIRE(hf_id_eq(&got, &want));
		REQUIRE(hf_index_find_pack(ix, &want, &number));
		REQUIRE_EQ(number, i);
	}
	struct hf_id none = made_id(4, 0);
	uint32_t number;
	CHECK(!hf_index_find_pack(ix, &none, &number));
}

TEST(index_tells_duplicate_packs_from_split_ones)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_pack_entry e[3] = {
		made_entry(1, HF_DATA, 0, 100, 0),
		made_entry(2, HF_DATA, 100, 50, 200),
		made_entry(3, HF_TREE, 150, 40, 0),
	};
	struct hf_pack_entry back[2] = {e[1], e[0]};
	struct hf_id once = made_id(2, 0), twice = made_id(2, 1), split = made_id(2, 2);
	struct hf_index_pack_info info;

	hf_index_add_pack(ix, &once, e, 3);
	hf_index_add_pack(ix, &twice, e, 2);
	hf_index_add_pack(ix, &twice, back, 2);
	hf_index_add_pack(ix, &split, e, 2);
	hf_index_add_pack(ix, &split, e + 2, 1);

	REQUIRE(hf_index_pack_info(ix, 0, &info));
	CHECK_EQ(info.size, 190 + 37 + 41 + 37 + 36);
	CHECK_EQ(info.size, hf_pack_size(e, 3));
	CHECK_EQ(info.n_blobs, 3);
	CHECK_EQ(info.types, 1 << HF_DATA | 1 << HF_TREE);
	CHECK(!info.is_duplicate && !info.is_split);

	REQUIRE(hf_index_pack_info(ix, 1, &info));
	CHECK_EQ(info.size, hf_pack_size(e, 2));
	CHECK_EQ(info.n_blobs, 2);
	CHECK_EQ(info.types, 1 << HF_DATA);
	CHECK(info.is_duplicate && !info.is_split);

	REQUIRE(hf_index_pack_info(ix, 2, &info));
	CHECK_EQ(info.size, hf_pack_size(e, 3)); /* of all that any file lists */
	CHECK(info.is_split);
	CHECK(!hf_index_pack_info(ix, 3, &info));

	/* One bit of difference in anything is a difference. */
	e[0].raw_length = 1;
	hf_index_add_pack(ix, &once, e, 3);
	REQUIRE(hf_index_pack_info(ix, 0, &info));
	CHECK(info.is_split);
}

static bool
is_same(const struct hf_location *at, const struct hf_pack_entry *e)
{
	return at->offset == e->offset && at->length == e->length &&
	       at->raw_length == e->raw_length;
}

/*
 * Whatever order, gaps, lengths and types a listing has: each blob is found where it is said to be,
 * and by number.
 */
TEST(index_takes_any_lengths_and_offsets)
{
	enum { N = 5000, PER_PACK = 50 };
	static const uint32_t odd[] = {
		32, 33, 0xfffffe, 0xffffff, 0x1000000, 0xfffffffe, UINT32_MAX};
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autofree struct hf_pack_entry *e = malloc(N * sizeof *e);
	struct hf_location at, again;
	struct hf_blob blob;
	unsigned seed = 3;
	uint32_t end = 0;

	for (uint32_t i = 0; i < N; i++) {
		unsigned r = (unsigned)rand_r(&seed);
		uint32_t length = r % 9 < 7 ? 32 + r % 5000 : odd[r % 7];
		uint32_t raw = r % 11 < 8 ? r % 9000 : odd[r / 16 % 7];

		/* Mostly right behind the one before, sometimes anywhere. */
		e[i] = made_entry(i, r % 64 < 3 ? HF_TREE : HF_DATA,
			r % 32 < 29 ? end : (uint32_t)rand_r(&seed) * 2, length, raw);
		end = e[i].offset + length;
	}
	for (uint32_t i = 0; i < N; i += PER_PACK) {
		struct hf_id pack = made_id(2, i / PER_PACK);

		hf_index_add_pack(ix, &pack, e + i, PER_PACK);
		hf_index_add_pack(ix, &pack, e + i, PER_PACK / 2);
	}
	REQUIRE_EQ(hf_index_len(ix), N);
	for (uint32_t i = 0; i < N; i++) {
		REQUIRE(hf_index_find(ix, &e[i].blob, 0, &at));
		REQUIRE(is_same(&at, &e[i]));
		REQUIRE_EQ(at.pack_number, i / PER_PACK);
		REQUIRE(!hf_index_find(ix, &e[i].blob, 1, &at));
		REQUIRE(hf_index_entry(ix, at.number, &blob, &again));
		REQUIRE(hf_id_eq(&blob.id, &e[i].blob.id) && blob.type == e[i].blob.type);
		REQUIRE(is_same(&again, &e[i]));
	}
}

/* Zero with sanitizers, which have an allocator of their own. */
static size_t
heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* What index_i.h and docs/architecture.md say. */
TEST(index_needs_few_bytes_per_blob)
{
	enum { N = 6 << 16, PER_PACK = 192 };
	hf_autoptr(hf_index) ix = hf_index_new();
	size_t before = heap();
	struct hf_pack_entry e[PER_PACK];

	if (before == 0)
		SKIP("the heap is not counted here");
	for (uint32_t i = 0; i < N; i += PER_PACK) {
		struct hf_id pack = made_id(2, i / PER_PACK);

		for (uint32_t k = 0; k < PER_PACK; k++)
			e[k] = made_entry(i + k, HF_DATA, k * 4000, 4000, 9000);
		hf_index_add_pack(ix, &pack, e, PER_PACK);
	}
	size_t bytes = heap() - before;
	CHECK(bytes > 44 * (size_t)N); /* all of it is counted */
	if (bytes > 50 * (size_t)N)
		FAIL("%zu bytes for %d blobs", bytes, N);
}

enum { THREADS = 8, CLAIMS = 20000 };

struct claimer {
	struct hf_index *ix;
	atomic_uint *fresh; /* how many got HF_CLAIM_NEW, per blob */
	unsigned number;
};

/* Claims all blobs, each thread in another order; stores what is its own, a pack per blob. */
static struct hf_err *
claim_all(void *arg)
{
	struct claimer *c = arg;

	for (unsigned i = 0; i < CLAIMS; i++) {
		unsigned n = (i * (2 * c->number + 1) + c->number * 977) % CLAIMS;
		struct hf_pack_entry e = made_entry(n, HF_DATA, 0, 40 + n, 0);
		struct hf_id pack = made_id(2, n / 64 * 64 + c->number);
		struct hf_location at;

		if (hf_index_claim(c->ix, &e.blob) == HF_CLAIM_NEW) {
			atomic_fetch_add(&c->fresh[n], 1);
			hf_index_add_pack(c->ix, &pack, &e, 1);
		}
		if (hf_index_find(c->ix, &e.blob, 0, &at) && at.length != 40 + n)
			return hf_err(HF_ECORRUPT, "a blob is not where it was put");
		struct hf_blob blob;
		if (hf_index_entry(c->ix, i, &blob, &at) && at.length < 40)
			return hf_err(HF_ECORRUPT, "half an entry is to be seen");
	}
	return NULL;
}

static void
nothing(void *arg)
{
	(void)arg;
}

TEST(index_gives_each_claim_to_one_thread_only)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_group) g = hf_group_new(nothing, NULL);
	struct claimer c[THREADS];
	hf_autofree atomic_uint *fresh = calloc(CLAIMS, sizeof *fresh);

	for (unsigned i = 0; i < THREADS; i++) {
		c[i] = (struct claimer){ix, fresh, i};
		REQUIRE_OK(hf_group_go(g, "claim", claim_all, &c[i]));
	}
	REQUIRE_OK(hf_group_wait(g));
	CHECK_EQ(hf_index_len(ix), CLAIMS);
	for (unsigned i = 0; i < CLAIMS; i++)
		REQUIRE_EQ(atomic_load(&fresh[i]), 1);
	for (unsigned i = 0; i < CLAIMS; i++) {
		struct hf_pack_entry e = made_entry(i, HF_DATA, 0, 0, 0);

		REQUIRE_EQ(hf_index_claim(ix, &e.blob), HF_CLAIM_STORED);
	}
}

#define A "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define B "375d84e8444d4d271426ad13c0fc7f5e3b2739f5c20be86fec8a2b56d77a67d7"
#define P "5c49dcefecd6980e27aa3fc32fbde3ff38189d3b85df99524db50b0dffe0ecff"
#define Q "17b3e44233d242ff7736be3fb93d754da20a228bd3a80ae58440a1f714ee9f9a"

/* The vector of the format description. */
static const char vector[] =
	"{\"packs\":[{\"id\":\"" P "\",\"blobs\":[{\"id\":\"" A
	"\",\"type\":\"data\",\"offset\":0,\"length\":38}]},{\"id\":\"" Q
	"\",\"blobs\":[{\"id\":\"" B "\",\"type\":\"tree\",\"offset\":0,\"length\":283}]}]}\n";

static struct hf_err *
parse(struct hf_index *ix, const char *json, unsigned version)
{
	return hf_index_parse(ix, hf_str_bytes(hf_str(json)), version);
}

static struct hf_id
id_of(const char *hex)
{
	struct hf_id id;

	REQUIRE(hf_id_parse(hf_str(hex), &id));
	return id;
}

TEST(index_parse_reads_the_vector)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_blob a = {id_of(A), HF_DATA}, b = {id_of(B), HF_TREE};
	struct hf_location at;
	struct hf_index_pack_info info;

	REQUIRE_OK(parse(ix, vector, 1));
	CHECK_EQ(hf_index_len(ix), 2);
	REQUIRE(hf_index_find(ix, &a, 0, &at));
	CHECK_STR(hf_id_hex(&at.pack).s, P);
	CHECK_EQ(at.length, 38);
	REQUIRE(hf_index_find(ix, &b, 0, &at));
	CHECK_STR(hf_id_hex(&at.pack).s, Q);
	REQUIRE(hf_index_pack_info(ix, at.pack_number, &info));
	CHECK_EQ(info.size, 356);
}

TEST(index_json_writes_the_vector)
{
	hf_auto(hf_buf) out = HF_BUF_MAX(1 << 20);
	struct hf_pack_entry a = {{id_of(A), HF_DATA}, 0, 38, 0};
	struct hf_pack_entry b = {{id_of(B), HF_TREE}, 0, 283, 0};
	struct hf_index_pack packs[2] = {
		{id_of(P), {&a, 1, 1}},
		{id_of(Q), {&b, 1, 1}},
	};

	hf_index_json(&out, packs, 2);
	REQUIRE_OK(hf_buf_ok(&out));
	REQUIRE_EQ(out.len, strlen(vector));
	CHECK_MEM(out.p, vector, out.len);

	/* Compressed blobs announce their length, an empty index is legal. */
	hf_buf_reset(&out);
	b.raw_length = 4000000000;
	hf_index_json(&out, packs + 1, 1);
	hf_buf_add_char(&out, '\0');
	CHECK_STR((char *)out.p, "{\"packs\":[{\"id\":\"" Q "\",\"blobs\":[{\"id\":\"" B
				 "\",\"type\":\"tree\",\"offset\":0,\"length\":283,"
				 "\"uncompressed_length\":4000000000}]}]}\n");
	hf_buf_reset(&out);
	hf_index_json(&out, packs, 0);
	hf_buf_add_char(&out, '\0');
	CHECK_STR((char *)out.p, "{\"packs\":[]}\n");
}

TEST(index_parse_takes_any_order_and_unknown_fields)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_blob a = {id_of(A), HF_DATA};
	struct hf_location at;

	REQUIRE_OK(parse(ix,
		" { \"supersedes\": [1], \"packs_to_delete\":[{\"id\":\"" Q
		"\",\"blobs\":[]}],\n\"Packs\": [ {\"time\":null, \"blobs\": [ "
		"{\"uncompressed_length\":6, \"length\":47,\"x\":{\"y\":[]},\"offset\":9,"
		"\"type\":\"data\",\"id\":\"" A "\"}], \"size\":5, \"id\":\"" P "\"} ] }\n",
		2));
	CHECK_EQ(hf_index_len(ix), 1);
	CHECK_EQ(hf_index_packs(ix), 1);
	REQUIRE(hf_index_find(ix, &a, 0, &at));
	CHECK_STR(hf_id_hex(&at.pack).s, P);
	CHECK_EQ(at.offset, 9);
	CHECK_EQ(at.length, 47);
	CHECK_EQ(at.raw_length, 6);
	CHECK_OK(parse(ix, "{\"packs\":[]}\n", 2));
	CHECK_OK(parse(ix, "{\"packs\":null}", 2));
	CHECK_OK(parse(ix, "{}", 2));
	CHECK_EQ(hf_index_len(ix), 1);
}

#define BLOB(fields)                                                                           \
	"{\"packs\":[{\"id\":\"" P "\",\"blobs\":[{\"id\":\"" A "\"," fields "}]}]}"

TEST(index_parse_refuses_what_is_wrong)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{\"packs\":[}",
		"{\"packs\":[]}x",
		"{\"packs\":5}",
		BLOB("\"type\":\"date\",\"offset\":0,\"length\":38"),
		BLOB("\"type\":\"\",\"offset\":0,\"length\":38"),
		BLOB("\"type\":0,\"offset\":0,\"length\":38"),
		BLOB("\"offset\":0,\"length\":38"),
		BLOB("\"type\":\"data\",\"offset\":0,\"length\":31"),
		BLOB("\"type\":\"data\",\"offset\":0"),
		BLOB("\"type\":\"data\",\"offset\":4294967296,\"length\":38"),
		BLOB("\"type\":\"data\",\"offset\":-1,\"length\":38"),
		BLOB("\"type\":\"data\",\"offset\":0,\"length\":4294967296"),
		BLOB("\"type\":\"data\",\"offset\":0,\"length\":99999999999999999999999"),
		BLOB("\"type\":\"data\",\"offset\":0,\"length\":38.0"),
		BLOB("\"type\":\"data\",\"offset\":0,\"length\":1e3"),
		BLOB("\"type\":\"data\",\"offset\":0,\"length\":38,"
		     "\"uncompressed_length\":4294967296"),
		("{\"packs\":[{\"id\":\"" P
		 "\",\"blobs\":[{\"type\":\"data\",\"length\":40}]}]}"),
		"{\"packs\":[{\"blobs\":[]}]}",
		"{\"packs\":[{\"id\":null,\"blobs\":[]}]}",
		"{\"packs\":[{\"id\":\"\",\"blobs\":[]}]}",
		"{\"packs\":[{\"id\":\"5c49\",\"blobs\":[]}]}",
		("{\"packs\":[{\"id\":\"000000000000000000000000000000000000000000000000000000"
		 "0000000000\",\"blobs\":[]}]}"),
	};
	hf_autoptr(hf_index) ix = hf_index_new();

	CHECK_OK(parse(ix, BLOB("\"type\":\"data\",\"offset\":4294967295,\"length\":38"), 2));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ERR(parse(ix, bad[i], 2), HF_ECORRUPT);
	CHECK_EQ(hf_index_len(ix), 1);

	const char *long_form =
		BLOB("\"type\":\"data\",\"length\":38,\"uncompressed_length\":6");
	CHECK_ERR_TEXT(parse(ix, long_form, 1), HF_ECORRUPT, "version 1");
	CHECK_EQ(hf_index_len(ix), 1);
	CHECK_OK(parse(ix, long_form, 2));
	CHECK_EQ(hf_index_len(ix), 2);
}

TEST(index_uses_nothing_of_a_bad_file)
{
	hf_autoptr(hf_index) ix = hf_index_new();

	CHECK_ERR(parse(ix,
			  "{\"packs\":[{\"id\":\"" P "\",\"blobs\":[{\"id\":\"" A
			  "\",\"type\":\"data\",\"offset\":0,\"length\":38}]},{\"id\":\"" Q
			  "\",\"blobs\":[{\"id\":\"" B "\",\"type\":\"tr",
			  2),
		HF_ECORRUPT);
	CHECK_EQ(hf_index_len(ix), 0);
	CHECK_EQ(hf_index_packs(ix), 0);
}
