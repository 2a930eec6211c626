/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/trail.h"

#include "harness/test.h"

static struct hf_id
id_of(uint8_t n)
{
	struct hf_id id = {{n}};

	return id;
}

/* A trail with the pack 1, which an index file names that was there after `looks`. */
static struct hf_trail *
named(uint64_t looks)
{
	struct hf_trail *t = hf_trail_new();
	struct hf_index_pack pack = {.id = id_of(1)};
	struct hf_id file = id_of(100);

	hf_trail_pack(t, &pack.id);
	hf_trail_file(t, &file, &pack, 1, looks);
	return t;
}

static bool
distrusts(struct hf_trail *t, uint8_t pack)
{
	struct hf_id id = id_of(pack);

	return hf_trail_distrusts(t, &id);
}

TEST(trail_confirms_by_a_look_that_began_later)
{
	hf_autoptr(hf_trail) t = named(7);

	CHECK(distrusts(t, 1));
	hf_trail_confirm(t, 6);
	CHECK(distrusts(t, 1));
	hf_trail_confirm(t, 7); /* had begun before the file was there */
	CHECK(distrusts(t, 1));
	hf_trail_confirm(t, 8);
	CHECK(!distrusts(t, 1));
}

TEST(trail_confirms_only_what_an_index_file_names)
{
	hf_autoptr(hf_trail) t = named(3);
	struct hf_id loose = id_of(2);

	hf_trail_pack(t, &loose);
	hf_trail_confirm(t, 1000);
	CHECK(!distrusts(t, 1));
	CHECK(distrusts(t, 2));
}

TEST(trail_confirms_each_file_by_itself)
{
	hf_autoptr(hf_trail) t = named(3);
	struct hf_index_pack later = {.id = id_of(2)};
	struct hf_id file = id_of(101);

	hf_trail_pack(t, &later.id);
	hf_trail_file(t, &file, &later, 1, 5);
	hf_trail_confirm(t, 5);
	CHECK(!distrusts(t, 1));
	CHECK(distrusts(t, 2));
	hf_trail_confirm(t, 6);
	CHECK(!distrusts(t, 2));
}

TEST(trail_knows_no_looks_of_a_later_lock)
{
	hf_autoptr(hf_trail) t = named(3);

	hf_trail_lost(t, 3);
	hf_trail_confirm(t, 4);
	CHECK(distrusts(t, 1));
	hf_trail_confirm(t, UINT64_MAX);
	CHECK(distrusts(t, 1));
}

TEST(trail_takes_what_was_seen_before_the_loss)
{
	hf_autoptr(hf_trail) t = named(3);

	hf_trail_lost(t, 4);
	CHECK(!distrusts(t, 1));
}

TEST(trail_without_a_lease_confirms_nothing)
{
	hf_autoptr(hf_trail) t = named(0);

	hf_trail_confirm(t, 0);
	CHECK(distrusts(t, 1));
	CHECK(!distrusts(NULL, 1));
}
