/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/saver.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/group.h"
#include "base/io.h"
#include "codec/sha256.h"
#include "harness/test.h"
#include "repo/reader.h"
#include "store/fault.h"
#include "store/local.h"
#include "store/mem.h"
#include "unit/handmade.h"

/* Text that compresses well and is different for each number. */
static void
make_blob(struct hf_buf *b, uint64_t number, size_t len)
{
	hf_buf_reset(b);
	while (b->len < len)
		hf_buf_addf(b, "blob %llu line %zu\n", (unsigned long long)number, b->len);
	b->len = len;
}

/* Every blob that any index file names is there and opens, as a stranger would find it. */
static size_t
check_all(struct hf_repo *repo)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_reader) r = hf_reader_new(repo, ix);
	hf_auto(hf_buf) out = HF_BUF_MAX(64 << 20);

	REQUIRE_OK(hf_index_load(repo, ix, NULL, NULL, NULL));
	for (size_t i = 0; i < hf_index_len(ix); i++) {
		struct hf_blob blob;
		struct hf_location at;

		REQUIRE(hf_index_entry(ix, i, &blob, &at));
		hf_buf_reset(&out);
		REQUIRE_OK(hf_reader_blob(r, &blob, &out));
	}
	return hf_index_len(ix);
}

static size_t
count_files(struct hf_repo *repo, enum hf_kind kind)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	REQUIRE_OK(hf_repo_list(repo, kind, &ids, NULL, &n));
	return n;
}

TEST(saver_stores_each_blob_once)
{
	hf_autoptr(hf_repo) repo = made_repo_with_packs(hf_store_mem(), 2, 4 << 20);
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	uint64_t stored;
	struct hf_id id;

	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
	hf_autoptr(hf_sealer) z = hf_sealer_new(s);
	for (uint64_t i = 0; i < 20; i++) {
		struct hf_id want;

		make_blob(&b, i % 10, 5000);
		want = hf_sha256(hf_buf_bytes(&b));
		REQUIRE_OK(hf_sealer_save(z, HF_DATA, hf_buf_bytes(&b), &id, &stored));
		CHECK(hf_id_eq(&id, &want));
		CHECK_EQ(stored > 0, i < 10);
	}
	/* The same bytes as a tree are another blob. */
	REQUIRE_OK(hf_sealer_save(z, HF_TREE, hf_buf_bytes(&b), &id, &stored));
	CHECK(stored > 0);
	CHECK_EQ(count_files(repo, HF_PACK), 0);
	REQUIRE_OK(hf_saver_flush(s));
	CHECK_EQ(count_files(repo, HF_PACK), 2); /* data and trees do not mix */
	CHECK_EQ(count_files(repo, HF_INDEX), 1);
	CHECK_EQ(check_all(repo), 11);
	struct hf_saver_stats stats = hf_saver_stats(s);
	CHECK_EQ(stats.data_blobs, 10);
	CHECK_EQ(stats.tree_blobs, 1);
	CHECK_EQ(stats.data_bytes, 50000);
	CHECK(stats.data_bytes_packed < 10000);
}

TEST(saver_empty_blob)
{
	hf_autoptr(hf_repo) repo = made_repo_with_packs(hf_store_mem(), 2, 4 << 20);
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	struct hf_id id;

	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
	hf_autoptr(hf_sealer) z = hf_sealer_new(s);
	REQUIRE_OK(hf_sealer_save(z, HF_DATA, (struct hf_bytes){NULL, 0}, &id, NULL));
	REQUIRE_OK(hf_saver_flush(s));
	CHECK_EQ(check_all(repo), 1);
}

/* What does not compress is stored plain; version 1 never compresses. */
TEST(saver_chooses_per_blob)
{
	for (unsigned version = 1; version <= 2; version++) {
		hf_autoptr(hf_repo) repo =
			made_repo_with_packs(hf_store_mem(), version, 4 << 20);
		hf_autoptr(hf_index) ix = hf_index_new();
		hf_autoptr(hf_saver) s = NULL;
		hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);
		uint8_t noise[10000];
		struct hf_blob t = {.type = HF_DATA}, n = {.type = HF_DATA};
		struct hf_location at;

		make_blob(&text, 1, 10000);
		hf_random(noise, sizeof noise);
		REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
		hf_autoptr(hf_sealer) z = hf_sealer_new(s);
		REQUIRE_OK(hf_sealer_save(z, HF_DATA, hf_buf_bytes(&text), &t.id, NULL));
		REQUIRE_OK(hf_sealer_save(
			z, HF_DATA, (struct hf_bytes){noise, sizeof noise}, &n.id, NULL));
		REQUIRE_OK(hf_saver_flush(s));
		REQUIRE(hf_index_find(ix, &t, 0, &at));
		CHECK_EQ(at.raw_length, version == 2 ? 10000 : 0);
		REQUIRE(hf_index_find(ix, &n, 0, &at));
		CHECK_EQ(at.raw_length, 0);
		CHECK_EQ(at.length, 10032);
		CHECK_EQ(check_all(repo), 2);
	}
}

TEST(saver_packs_have_their_size)
{
	enum { BLOBS = 60, LEN = 1 << 20, PACK = 4 << 20 };
	hf_autoptr(hf_repo) repo = made_repo_with_packs(hf_store_mem(), 2, PACK);
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	hf_autofree uint8_t *noise = malloc(2 * PACK);
	hf_autofree struct hf_id *ids = NULL;
	hf_autofree uint64_t *sizes = NULL;
	struct hf_id id;
	size_t n, small = 0;
	uint64_t left = 0;

	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
	hf_autoptr(hf_sealer) z = hf_sealer_new(s);
	for (int i = 0; i < BLOBS; i++) {
		hf_random(noise, LEN);
		REQUIRE_OK(
			hf_sealer_save(z, HF_DATA, (struct hf_bytes){noise, LEN}, &id, NULL));
	}
	hf_random(noise, 2 * PACK); /* gets a pack of its own */
	REQUIRE_OK(hf_sealer_save(z, HF_DATA, (struct hf_bytes){noise, 2 * PACK}, &id, NULL));
	REQUIRE_OK(hf_saver_flush(s));
	REQUIRE_OK(hf_repo_list(repo, HF_PACK, &ids, &sizes, &n));
	for (size_t i = 0; i < n; i++) {
		CHECK(sizes[i] < PACK + LEN + 4096 || sizes[i] == 2 * PACK + 32 + 37 + 36);
		small += sizes[i] < PACK;
		left += sizes[i] < PACK ? sizes[i] : 0;
	}
	/* What was open at the end is one pack, unless that were too large. */
	CHECK(small <= 1 || (small == 2 && left >= PACK + PACK / 4));
	CHECK_EQ(check_all(repo), BLOBS + 1);
}

struct crowd {
	struct hf_saver *s;
	atomic_uint_fast64_t fresh;
};

static struct hf_err *
save_many(void *arg)
{
	struct crowd *c = arg;
	hf_autoptr(hf_sealer) z = hf_sealer_new(c->s);
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);

	for (uint64_t i = 0; i < 2000; i++) {
		struct hf_id id;
		uint64_t stored;

		make_blob(&b, i, 300 + i % 700);
		HF_TRY(hf_sealer_save(
			z, i % 3 == 0 ? HF_TREE : HF_DATA, hf_buf_bytes(&b), &id, &stored));
		if (stored > 0)
			atomic_fetch_add(&c->fresh, 1);
	}
	return NULL;
}

static void
no_stop(void *arg)
{
	(void)arg;
}

TEST(saver_many_threads_store_once)
{
	hf_autoptr(hf_repo) repo = made_repo_with_packs(hf_store_mem(), 2, 4 << 20);
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	struct crowd c = {0};

	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
	c.s = s;
	hf_autoptr(hf_group) g = hf_group_new(no_stop, NULL);
	for (int i = 0; i < 6; i++)
		REQUIRE_OK(hf_group_go(g, "save", save_many, &c));
	REQUIRE_OK(hf_group_wait(g));
	REQUIRE_OK(hf_saver_flush(s));
	CHECK_EQ(atomic_load(&c.fresh), 2000);
	CHECK_EQ(check_all(repo), 2000);
}

TEST(saver_dry_run_writes_nothing)
{
	hf_autoptr(hf_repo) repo = made_repo_with_packs(hf_store_mem(), 2, 4 << 20);
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	struct crowd c = {0};

	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){.is_dry_run = true}, &s));
	c.s = s;
	REQUIRE_OK(save_many(&c));
	REQUIRE_OK(hf_saver_flush(s));
	CHECK_EQ(hf_saver_stats(s).data_blobs + hf_saver_stats(s).tree_blobs, 2000);
	CHECK_EQ(count_files(repo, HF_PACK), 0);
	CHECK_EQ(count_files(repo, HF_INDEX), 0);
}

/* Saves 20 blobs of noise into a repository whose store fails once; what went wrong, if anything. */
static struct hf_err *
save_with_fault(const char *dir, const struct hf_fault_plan *plan)
{
	hf_autoptr(hf_repo) repo = NULL;
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	hf_auto(hf_secret) password = {0};
	struct hf_store *store;
	struct hf_err *e = NULL;
	struct hf_id id;
	static uint8_t noise[1 << 20];

	hf_secret_set(&password, hf_str_bytes(hf_str("geheim")));
	HF_TRY(hf_store_local(dir, 2, &store));
	HF_TRY(hf_repo_open(hf_store_fault(store, plan), &password,
		&(struct hf_repo_options){.pack_size = 4 << 20}, &repo));
	HF_TRY(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
	hf_autoptr(hf_sealer) z = hf_sealer_new(s);
	for (int i = 0; i < 20 && e == NULL; i++) {
		hf_random(noise, sizeof noise);
		e = hf_sealer_save(z, i % 5 == 4 ? HF_TREE : HF_DATA,
			(struct hf_bytes){noise, sizeof noise}, &id, NULL);
	}
	struct hf_err *last = hf_saver_flush(s);
	CHECK(e == NULL || last != NULL); /* the cause is told at the end */
	hf_err_free(e);
	return last;
}

/* Whichever call to the store fails: the error comes out, and no index names what is not there. */
TEST_WITHIN(saver_survives_any_failure, 120)
{
	struct hf_err *e = NULL;
	uint64_t at = 0;

	do {
		struct hf_fault_plan plan = {
			.kind = HF_FAULT_FAIL, .code = HF_EFATAL, .first = ++at};
		hf_autoptr(hf_repo) repo = NULL;
		hf_autofree char *dir = NULL;
		struct hf_store *store;

		REQUIRE(asprintf(&dir, "%s/%llu", test_tmpdir(), (unsigned long long)at) > 0);
		REQUIRE_OK(hf_store_local(dir, 2, &store));
		repo = made_repo_with_packs(store, 2, 4 << 20);
		hf_err_free(e);
		e = save_with_fault(dir, &plan);
		if (e != NULL)
			CHECK_EQ(hf_err_code(e), HF_EFATAL);
		(void)check_all(repo);
	} while (e != NULL && at < 100);
	REQUIRE_OK(e);
	CHECK(at > 8); /* the calls of opening, the packs and the index did fail one by one */
}

/* As on a full disk: what was stored before is found by the next run. */
TEST(saver_names_what_is_stored_when_the_rest_fails)
{
	struct hf_fault_plan plan = {.kind = HF_FAULT_FAIL,
		.code = HF_EFATAL,
		.first = 3,
		.lasts = true,
		.kinds = 1U << HF_PACK,
		.ops = 1U << HF_FAULT_PUT};
	hf_autoptr(hf_repo) repo = NULL;
	struct hf_store *store;

	REQUIRE_OK(hf_store_local(test_tmpdir(), 2, &store));
	repo = made_repo_with_packs(store, 2, 4 << 20);
	CHECK_ERR(save_with_fault(test_tmpdir(), &plan), HF_EFATAL);
	CHECK_EQ(count_files(repo, HF_PACK), 2);
	CHECK_EQ(count_files(repo, HF_INDEX), 1);
	CHECK(check_all(repo) >= 2);
}

TEST(saver_takes_any_number_of_connections)
{
	hf_autoptr(hf_repo) repo = NULL;
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	struct hf_store *store;

	REQUIRE_OK(hf_store_local(test_tmpdir(), 1000, &store));
	repo = made_repo_with_packs(store, 2, 4 << 20);
	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
	REQUIRE_OK(hf_saver_flush(s));
}

/* Blobs go into a second pack, as they are or made anew, although the index has them. */
TEST(saver_moves_what_it_has)
{
	hf_autoptr(hf_repo) repo = made_repo_with_packs(hf_store_mem(), 2, 4 << 20);
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	hf_autoptr(hf_saver) again = NULL;
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20), sealed = HF_BUF_MAX(1 << 20);
	struct hf_blob blobs[2] = {{.type = HF_DATA}, {.type = HF_TREE}};
	struct hf_location at, moved;

	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &s));
	hf_autoptr(hf_sealer) z = hf_sealer_new(s);
	make_blob(&b, 1, 5000);
	for (int i = 0; i < 2; i++)
		REQUIRE_OK(
			hf_sealer_save(z, blobs[i].type, hf_buf_bytes(&b), &blobs[i].id, NULL));
	REQUIRE_OK(hf_saver_flush(s));
	REQUIRE_OK(hf_saver_new(repo, ix, &(struct hf_saver_options){0}, &again));
	hf_autoptr(hf_sealer) z2 = hf_sealer_new(again);
	REQUIRE(hf_index_find(ix, &blobs[0], 0, &at));
	struct hf_name pack = {HF_PACK, at.pack};
	REQUIRE_OK(hf_store_get(hf_repo_store(repo), &pack, at.offset, at.length, &sealed));
	const struct hf_pack_entry e = {
		.blob = blobs[0], .length = at.length, .raw_length = at.raw_length};
	REQUIRE_OK(hf_sealer_move(z2, &e, hf_buf_bytes(&sealed)));
	REQUIRE_OK(hf_sealer_remake(z2, &blobs[1], hf_buf_bytes(&b)));
	REQUIRE_OK(hf_saver_flush(again));
	CHECK_EQ(check_all(repo), 4);
	/* The moved one has the very bytes. */
	REQUIRE(hf_index_find(ix, &blobs[0], 1, &moved));
	if (hf_id_eq(&moved.pack, &at.pack))
		REQUIRE(hf_index_find(ix, &blobs[0], 0, &moved));
	pack.id = moved.pack;
	hf_buf_reset(&b);
	REQUIRE_OK(hf_store_get(hf_repo_store(repo), &pack, moved.offset, moved.length, &b));
	CHECK_EQ(b.len, sealed.len);
	CHECK(memcmp(b.p, sealed.p, b.len) == 0);
	struct hf_saver_stats stats = hf_saver_stats(again);
	CHECK_EQ(stats.data_blobs, 1);
	CHECK_EQ(stats.data_bytes, 5000);
}

/* What another repository has compressed: sealed with this one's key, once, and no shorter or longer. */
TEST(saver_takes_what_is_compressed)
{
	hf_autoptr(hf_repo) from = made_repo_with_packs(hf_store_mem(), 2, 4 << 20);
	hf_autoptr(hf_repo) to = made_repo_with_packs(hf_store_mem(), 2, 4 << 20);
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autoptr(hf_index) to_ix = hf_index_new();
	hf_autoptr(hf_saver) s = NULL;
	hf_autoptr(hf_saver) t = NULL;
	hf_autoptr(hf_reader) r = hf_reader_new(from, ix);
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20), sealed = HF_BUF_MAX(1 << 20),
			plain = HF_BUF_MAX(1 << 20);
	struct hf_blob blob = {.type = HF_DATA};
	struct hf_location at, there;

	REQUIRE_OK(hf_saver_new(from, ix, &(struct hf_saver_options){0}, &s));
	hf_autoptr(hf_sealer) z = hf_sealer_new(s);
	make_blob(&b, 1, 50000);
	REQUIRE_OK(hf_sealer_save(z, HF_DATA, hf_buf_bytes(&b), &blob.id, NULL));
	REQUIRE_OK(hf_saver_flush(s));
	REQUIRE(hf_index_find(ix, &blob, 0, &at));
	REQUIRE(at.raw_length == 50000);
	struct hf_name pack = {HF_PACK, at.pack};
	REQUIRE_OK(hf_store_get(hf_repo_store(from), &pack, at.offset, at.length, &sealed));
	REQUIRE_OK(hf_reader_open(r, &blob, sealed.p, at.length, at.raw_length, &plain));

	REQUIRE_OK(hf_saver_new(to, to_ix, &(struct hf_saver_options){0}, &t));
	hf_autoptr(hf_sealer) z2 = hf_sealer_new(t);
	for (int i = 0; i < 2; i++)
		REQUIRE_OK(hf_sealer_save_packed(
			z2, &blob, hf_reader_packed(sealed.p, at.length), at.raw_length));
	REQUIRE_OK(hf_saver_flush(t));
	REQUIRE(hf_index_find(to_ix, &blob, 0, &there));
	CHECK(there.length == at.length && there.raw_length == at.raw_length);
	CHECK(hf_saver_stats(t).data_blobs == 1 && hf_saver_stats(t).data_bytes == 50000);
	CHECK(check_all(to) == 1);
}
