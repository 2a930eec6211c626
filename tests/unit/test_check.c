/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/check.h"

#include <stdio.h>

#include "handmade.h"
#include "store/fault.h"

/*
 * A small repository: two snapshots share the folder /sub.
 *
 *	first:   /a (two chunks)  /sub/c
 *	second:  /b               /sub/c
 */
struct fixture {
	struct hf_store *store; /* the repository's */
	struct hf_repo *repo;
	struct hf_blob a1, a2, b, c;      /* data: a1, a2 in pack one, b and c in pack two */
	struct hf_blob sub, root1, root2; /* trees: in pack three */
	struct hf_id data1, data2, trees;
	struct hf_id index1, index2, index3;
	struct hf_id snapshot1, snapshot2;
	struct hf_pack_entries entries1, entries2, entries3;
	/* What the check said. */
	struct hf_buf said; /* one line per finding */
	unsigned n[HF_CHECK_PACK_READ + 1];
	struct hf_check_result result;
	struct hf_check_progress progress;
};

static void
fixture_clear(struct fixture *f)
{
	hf_buf_clear(&f->said);
	hf_pack_entries_clear(&f->entries1);
	hf_pack_entries_clear(&f->entries2);
	hf_pack_entries_clear(&f->entries3);
	hf_check_result_clear(&f->result);
	hf_repo_free(f->repo);
}

#define TIMES                                                                                  \
	"\"mtime\":\"2026-01-02T03:04:05Z\",\"atime\":\"2026-01-02T03:04:05Z\","               \
	"\"ctime\":\"2026-01-02T03:04:05Z\",\"uid\":0,\"gid\":0,"

/* Appends the JSON of a node; the caller puts the commas. */
static void
file_node(
	struct hf_buf *out, const char *name, const struct hf_blob *x, const struct hf_blob *y)
{
	hf_buf_addf(out,
		"{\"name\":\"%s\",\"type\":\"file\",\"mode\":420," TIMES "\"size\":3,"
		"\"content\":[\"%s\"",
		name, hf_id_hex(&x->id).s);
	if (y != NULL)
		hf_buf_addf(out, ",\"%s\"", hf_id_hex(&y->id).s);
	hf_buf_add_str(out, "]}");
}

static void
dir_node(struct hf_buf *out, const char *name, const struct hf_blob *tree)
{
	hf_buf_addf(out,
		"{\"name\":\"%s\",\"type\":\"dir\",\"mode\":2147484141," TIMES
		"\"subtree\":\"%s\",\"content\":null}",
		name, hf_id_hex(&tree->id).s);
}

static struct hf_blob
tree_blob(struct packing *p, struct hf_buf *nodes)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);

	hf_buf_add_str(&json, "{\"nodes\":[");
	hf_buf_add(&json, nodes->p, nodes->len);
	hf_buf_add_str(&json, "]}\n");
	REQUIRE_OK(hf_buf_ok(&json));
	hf_buf_reset(nodes);
	return packing_blob(p, HF_TREE, hf_buf_bytes(&json), true);
}

static struct hf_id
add_snapshot(struct hf_repo *repo, const char *time, const struct hf_id *tree)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	struct hf_id id;

	hf_buf_addf(&json,
		"{\"time\":\"2026-01-02T%sZ\",\"tree\":\"%s\",\"paths\":[\"/\"],"
		"\"hostname\":\"h\",\"tags\":[\"t%.2s\"]}",
		time, hf_id_hex(tree).s, time);
	REQUIRE_OK(hf_repo_save(repo, HF_SNAPSHOT, hf_buf_bytes(&json), &id));
	return id;
}

static void
fixture_init_on(struct fixture *f, struct hf_store *store)
{
	hf_auto(hf_buf) nodes = HF_BUF_MAX(1 << 20);

	f->said = (struct hf_buf)HF_BUF_MAX(1 << 20);
	f->repo = made_repo(store, 2);
	f->store = store;
	PACKING(one, f->repo);
	PACKING(two, f->repo);
	PACKING(three, f->repo);

	f->a1 = packing_text(&one, HF_DATA, "the first chunk of a", false);
	f->a2 = packing_text(&one, HF_DATA, "the second chunk of a, a, a, a, a, a, a", true);
	f->b = packing_text(&two, HF_DATA, "the only chunk of b", true);
	f->c = packing_text(&two, HF_DATA, "the only chunk of c", false);
	file_node(&nodes, "c", &f->c, NULL);
	f->sub = tree_blob(&three, &nodes);
	file_node(&nodes, "a", &f->a1, &f->a2);
	hf_buf_add_char(&nodes, ',');
	dir_node(&nodes, "sub", &f->sub);
	f->root1 = tree_blob(&three, &nodes);
	file_node(&nodes, "b", &f->b, NULL);
	hf_buf_add_char(&nodes, ',');
	dir_node(&nodes, "sub", &f->sub);
	f->root2 = tree_blob(&three, &nodes);

	f->data1 = packing_put(&one);
	f->data2 = packing_put(&two);
	f->trees = packing_put(&three);
	f->index1 = made_index(f->repo, &f->data1, &one.entries);
	f->index2 = made_index(f->repo, &f->data2, &two.entries);
	f->index3 = made_index(f->repo, &f->trees, &three.entries);
	f->snapshot1 = add_snapshot(f->repo, "01:00:00", &f->root1.id);
	f->snapshot2 = add_snapshot(f->repo, "02:00:00", &f->root2.id);
	f->entries1 = one.entries;
	one.entries = (struct hf_pack_entries){0};
	f->entries2 = two.entries;
	two.entries = (struct hf_pack_entries){0};
	f->entries3 = three.entries;
	three.entries = (struct hf_pack_entries){0};
}

static void
fixture_init(struct fixture *f)
{
	fixture_init_on(f, hf_store_mem());
}

static void
found(void *arg, const struct hf_check_finding *finding)
{
	struct fixture *f = arg;

	f->n[finding->kind]++;
	hf_buf_addf(&f->said, "%s", finding->text);
	if (finding->path != NULL)
		hf_buf_addf(
			&f->said, " <%s:%s>", hf_id_hex(finding->snapshot).s, finding->path);
	hf_buf_add_char(&f->said, '\n');
}

/* Runs a check; what it said ends in a NUL. */
static void
check_with(struct fixture *f, const struct hf_check_options *options)
{
	struct hf_check_events events = {.arg = f, .found = found};

	hf_check_result_clear(&f->result);
	memset(f->n, 0, sizeof f->n);
	memset(&f->progress, 0, sizeof f->progress);
	hf_buf_reset(&f->said);
	REQUIRE_OK(hf_check(f->repo, options, &events, &f->progress, NULL, &f->result));
	hf_buf_add_char(&f->said, '\0');
}

static void
check_structure(struct fixture *f)
{
	check_with(f, &(struct hf_check_options){0});
}

static void
check_all(struct fixture *f)
{
	check_with(f, &(struct hf_check_options){.data = {.kind = HF_SUBSET_ALL}});
}

#define SAID(f, part)                                                                          \
	(strstr((char *)(f)->said.p, (part)) != NULL                                           \
			? true                                                                 \
			: (fprintf(stderr, "# said:\n%s", (char *)(f)->said.p), false))

/* Exactly `count` findings of that kind. */
#define CHECK_FOUND(f, kind, count) CHECK_EQ((f)->n[kind], count)

TEST(check_finds_nothing_wrong_with_a_good_repository)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	check_all(&f);
	CHECK_STR((char *)f.said.p, "");
	CHECK_EQ(f.result.damages, 0);
	CHECK_EQ(f.progress.snapshots_total, 2);
	CHECK_EQ(f.progress.snapshots_done, 2);
	CHECK_EQ(f.progress.trees_done, 3); /* the shared one once */
	CHECK_EQ(f.progress.packs_total, 3);
	CHECK_EQ(f.progress.packs_done, 3);
	CHECK_EQ(f.progress.packs_known, 3);
	CHECK_EQ(f.progress.bytes_done, f.progress.bytes_total);
	CHECK(f.progress.bytes_total > 300);
	check_structure(&f);
	CHECK_STR((char *)f.said.p, "");
	CHECK_EQ(f.progress.packs_done, 0);
}

TEST(check_misses_packs)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	REQUIRE_OK(hf_store_del(f.store, &(struct hf_name){HF_PACK, f.data2}));
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_MISSING_PACK, 1);
	CHECK_FOUND(&f, HF_CHECK_TOUCHED, 2);
	CHECK(SAID(&f, "pack "));
	CHECK(SAID(&f, hf_id_hex(&f.data2).s));
	CHECK(SAID(&f, ": does not exist"));
	CHECK(SAID(&f, ":/b>"));
	CHECK(SAID(&f, ":/sub/c>"));
	CHECK_EQ(f.result.damages, 1);
	REQUIRE_EQ(f.result.broken_packs.len, 1);
	CHECK(hf_id_eq(&f.result.broken_packs.v[0], &f.data2));
	CHECK_EQ(f.progress.packs_done, 2);
}

TEST(check_misses_trees)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	REQUIRE_OK(hf_store_del(f.store, &(struct hf_name){HF_PACK, f.trees}));
	check_structure(&f);
	CHECK_FOUND(&f, HF_CHECK_MISSING_PACK, 1);
	CHECK_FOUND(&f, HF_CHECK_TREE, 2); /* both roots; below is nothing to be seen */
	CHECK(SAID(&f, hf_id_hex(&f.snapshot1).s));
	CHECK(SAID(&f, hf_id_hex(&f.snapshot2).s));
	CHECK_EQ(f.progress.snapshots_done, 2);
}

TEST(check_sees_wrong_sizes)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	cut(f.store, HF_PACK, &f.data1, 60);
	check_structure(&f);
	CHECK_FOUND(&f, HF_CHECK_PACK_SIZE, 1);
	CHECK_FOUND(&f, HF_CHECK_TOUCHED, 1); /* the second chunk lies behind the end */
	CHECK(SAID(&f, "unexpected file size: got 60, expected "));
	CHECK(SAID(&f, hf_id_hex(&f.a2.id).s));
	CHECK(SAID(&f, ":/a>"));
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
	CHECK(SAID(&f, "lies beyond the end"));
	for (size_t len = 40; len < 60; len -= 20) {
		cut(f.store, HF_PACK, &f.data1, len);
		check_all(&f);
		CHECK_FOUND(&f, HF_CHECK_PACK_SIZE, 1);
		CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
		CHECK_EQ(f.result.broken_packs.len, 1);
	}
}

TEST(check_reports_what_only_prune_cares_for)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	PACKING(orphan, f.repo);
	PACKING(mixed, f.repo);
	packing_text(&orphan, HF_DATA, "nobody needs this", true);
	packing_text(&mixed, HF_DATA, "x", true);
	packing_text(&mixed, HF_TREE, "{\"nodes\":[]}\n", true);
	struct hf_id o = packing_put(&orphan), m = packing_put(&mixed);
	made_index(f.repo, &m, &mixed.entries);
	struct hf_pack_entry swapped[2] = {f.entries1.v[1], f.entries1.v[0]};
	struct hf_pack_entries l = {swapped, 2, 2};
	made_index(f.repo, &f.data1, &l);

	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_ORPHANED_PACK, 1);
	CHECK_FOUND(&f, HF_CHECK_MIXED_PACK, 1);
	CHECK_FOUND(&f, HF_CHECK_DUPLICATE_PACK, 1);
	CHECK(SAID(&f, hf_id_hex(&o).s));
	CHECK(SAID(&f, "not referenced in any index"));
	CHECK(SAID(&f, "contained in several indexes"));
	CHECK(SAID(&f, "contains a mix of tree and data blobs"));
	CHECK_EQ(f.result.damages, 0);
	CHECK_EQ(f.result.broken_packs.len, 0);
}

TEST(check_refuses_a_pack_that_is_split)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	REQUIRE_OK(hf_store_del(f.store, &(struct hf_name){HF_INDEX, f.index1}));
	struct hf_pack_entries half = {f.entries1.v, 1, 1}, rest = {f.entries1.v + 1, 1, 1};
	made_index(f.repo, &f.data1, &half);
	made_index(f.repo, &f.data1, &rest);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_SPLIT_PACK, 1);
	CHECK(SAID(&f, "has different data in indexes"));
	CHECK_EQ(f.result.damages, 1); /* but all of it is there */
}

TEST(check_finds_every_wrong_bit_of_a_pack)
{
	hf_auto(fixture) f = {0};
	uint64_t size;

	fixture_init(&f);
	REQUIRE_OK(hf_store_stat(f.store, &(struct hf_name){HF_PACK, f.data1}, &size));
	for (size_t i = 0; i < size; i++) {
		flip(f.store, HF_PACK, &f.data1, i);
		check_all(&f);
		REQUIRE_EQ(f.n[HF_CHECK_PACK_DATA], 1);
		REQUIRE_EQ(f.result.damages, 1);
		REQUIRE(SAID(&f, "unexpected pack id"));
		bool is_a1 = i < f.entries1.v[0].length;
		bool is_a2 = !is_a1 && i < f.entries1.v[0].length + f.entries1.v[1].length;
		REQUIRE_EQ(f.n[HF_CHECK_TOUCHED], is_a1 || is_a2);
		if (is_a1)
			REQUIRE(SAID(&f, hf_id_hex(&f.a1.id).s));
		if (is_a2)
			REQUIRE(SAID(&f, hf_id_hex(&f.a2.id).s));
		flip(f.store, HF_PACK, &f.data1, i);
	}
	check_all(&f);
	CHECK_EQ(f.result.damages, 0);
}

TEST(check_names_damaged_trees_and_goes_on)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	flip(f.store, HF_PACK, &f.trees, f.entries3.v[0].offset + 20); /* /sub */
	flip(f.store, HF_PACK, &f.data1, 20);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_TREE, 1);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 2);
	CHECK_FOUND(&f, HF_CHECK_TOUCHED, 2);
	CHECK(SAID(&f, "ciphertext verification failed"));
	CHECK(SAID(&f, ":/sub>"));
	CHECK(SAID(&f, ":/a>"));
	CHECK_EQ(f.result.broken_packs.len, 2);
}

TEST(check_sees_packs_under_each_others_names)
{
	hf_auto(fixture) f = {0};
	hf_auto(hf_buf) one = HF_BUF_MAX(10000), two = HF_BUF_MAX(10000);
	struct hf_name n1, n2;

	fixture_init(&f);
	n1 = (struct hf_name){HF_PACK, f.data1};
	n2 = (struct hf_name){HF_PACK, f.data2};
	REQUIRE_OK(hf_store_get(f.store, &n1, 0, SIZE_MAX, &one));
	REQUIRE_OK(hf_store_get(f.store, &n2, 0, SIZE_MAX, &two));
	REQUIRE_OK(hf_store_put(f.store, &n1, hf_buf_bytes(&two)));
	REQUIRE_OK(hf_store_put(f.store, &n2, hf_buf_bytes(&one)));
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_PACK_SIZE, 2);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 2);
	CHECK_FOUND(&f, HF_CHECK_TOUCHED, 3);
	CHECK(SAID(&f, "is not contained in index or position is incorrect"));
}

TEST(check_survives_bad_index_files)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	flip(f.store, HF_INDEX, &f.index1, 40);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_INDEX, 1);
	CHECK_FOUND(&f, HF_CHECK_ORPHANED_PACK, 1);
	CHECK_FOUND(&f, HF_CHECK_TREE, 2); /* two chunks of /a that no index lists */
	CHECK(SAID(&f, "error loading index "));
	CHECK(SAID(&f, hf_id_hex(&f.index1).s));
	CHECK(SAID(&f, "not found in index"));
	CHECK_EQ(f.result.index_damages, 1);

	/* One more, which is authentic but nonsense. */
	struct hf_id id;
	REQUIRE_OK(
		hf_repo_save(f.repo, HF_INDEX, hf_str_bytes(hf_str("{\"packs\":[7]}")), &id));
	flip(f.store, HF_PACK, &f.data2, 20);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_INDEX, 2);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
	CHECK(SAID(&f, hf_id_hex(&id).s));
}

TEST(check_survives_bad_snapshots_and_keys)
{
	hf_auto(fixture) f = {0};
	struct hf_id id, key = {{0}};

	fixture_init(&f);
	flip(f.store, HF_SNAPSHOT, &f.snapshot1, 40);
	REQUIRE_OK(
		hf_repo_save(f.repo, HF_SNAPSHOT, hf_str_bytes(hf_str("{\"tree\":1}")), &id));
	memset(key.b, 7, sizeof key.b);
	REQUIRE_OK(hf_store_put(
		f.store, &(struct hf_name){HF_KEY, key}, hf_str_bytes(hf_str("{}"))));
	flip(f.store, HF_PACK, &f.data2, 20);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_SNAPSHOT, 2);
	CHECK_FOUND(&f, HF_CHECK_KEY, 1);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
	CHECK_FOUND(&f, HF_CHECK_TOUCHED, 1);
	CHECK(SAID(&f, hf_id_hex(&id).s));
	CHECK(SAID(&f, hf_id_hex(&key).s));
	CHECK_EQ(f.result.broken_snapshots.len, 2);
	CHECK_EQ(f.result.damages, 4);

	/* A snapshot of a tree that is nowhere. */
	struct hf_id nowhere = made_id_of("nowhere");
	add_snapshot(f.repo, "03:00:00", &nowhere);
	check_structure(&f);
	CHECK_FOUND(&f, HF_CHECK_TREE, 1);
	CHECK(SAID(&f, hf_id_hex(&nowhere).s));
}

/* Puts a tree of that text into the repository, and a snapshot of it. */
static void
add_tree(struct fixture *f, const char *time, const char *text)
{
	PACKING(p, f->repo);
	struct hf_blob tree = packing_text(&p, HF_TREE, text, true);
	struct hf_id pack = packing_put(&p);

	made_index(f->repo, &pack, &p.entries);
	add_snapshot(f->repo, time, &tree.id);
}

#define NODE(name, type, rest) "{\"name\":\"" name "\",\"type\":\"" type "\"," TIMES rest "}"
#define ZERO                   "0000000000000000000000000000000000000000000000000000000000000000"

TEST(check_sees_wrong_nodes)
{
	static const struct {
		const char *tree, *says;
	} bad[] = {
		{"{\"nodes\":[" NODE("f\\\\\\\"x", "file", "\"content\":null") "]}",
			"file \"f\\\"x\" has nil blob list"},
		{"{\"nodes\":[" NODE("f", "file", "\"content\":[\"" ZERO "\"]") "]}",
			"file \"f\" blob 0 has null ID"},
		{"{\"nodes\":[" NODE("d", "dir", "\"content\":null") "]}",
			"dir node \"d\" has no subtree"},
		{"{\"nodes\":[" NODE("d", "dir", "\"subtree\":\"" ZERO "\"") "]}",
			"dir node \"d\" subtree id is null"},
		{"{\"nodes\":[" NODE("i", "irregular", "\"content\":null") "]}",
			"node \"i\" with invalid type \"irregular\""},
		{"{\"nodes\":[" NODE("i", "door", "\"content\":null") "]}",
			"node \"i\" with invalid type"},
		{"{\"nodes\":[" NODE("", "file", "\"content\":[]") "]}", "tree "},
		{"{\"nodes\":[" NODE("b", "fifo", "\"content\":null") "," NODE(
			 "a", "fifo", "\"content\":null") "]}",
			"tree "},
		{"{\"nodes\":[" NODE("a", "fifo", "\"content\":null") "," NODE(
			 "a", "fifo", "\"content\":null") "]}",
			"tree "},
		{"{\"nodes\":{}}", "tree "},
		{"not a tree", "tree "},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		hf_auto(fixture) f = {0};

		fixture_init(&f);
		add_tree(&f, "05:00:00", bad[i].tree);
		check_structure(&f);
		CHECK_FOUND(&f, HF_CHECK_TREE, 1);
		CHECK_EQ(f.result.damages, 1);
		CHECK(SAID(&f, bad[i].says));
		CHECK_EQ(f.progress.trees_done, 4);
	}
}

TEST(check_reads_on_behind_a_wrong_node)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	add_tree(&f, "05:00:00",
		"{\"nodes\":[" NODE("a", "door", "\"content\":null") "," NODE(
			"d", "dir", "\"content\":null") "," NODE("f", "file",
			"\"content\":["
			"\"1111111111111111111111111111111111111111111111111111111111111111\","
			"\"2222222222222222222222222222222222222222222222222222222222222222\"]") "]}");
	check_structure(&f);
	CHECK_FOUND(&f, HF_CHECK_TREE, 4);
	CHECK(SAID(&f, "file \"f\" blob 22222222"));
	CHECK(SAID(&f, ":/d>"));
}

TEST(check_compares_header_and_index)
{
	/* The index says of the second blob: */
	enum { OTHER_ID, OTHER_TYPE, OTHER_RAW, SHIFTED, OVERLAP, HUGE_RAW, NO_SECOND, WRONGS };

	for (int wrong = 0; wrong < WRONGS; wrong++) {
		hf_auto(fixture) f = {0};

		fixture_init(&f);
		REQUIRE_OK(hf_store_del(f.store, &(struct hf_name){HF_INDEX, f.index1}));
		struct hf_pack_entry e[2] = {f.entries1.v[0], f.entries1.v[1]};
		struct hf_pack_entries l = {e, wrong == NO_SECOND ? 1 : 2, 2};
		switch (wrong) {
		case OTHER_ID:
			e[1].blob.id.b[31] ^= 1;
			break;
		case OTHER_TYPE:
			e[1].blob.type = HF_TREE;
			break;
		case OTHER_RAW:
			e[1].raw_length--;
			break;
		case SHIFTED:
			e[1].offset++;
			break;
		case OVERLAP:
			e[1].offset--;
			break;
		case HUGE_RAW:
			e[1].raw_length = UINT32_MAX;
			break;
		}
		made_index(f.repo, &f.data1, &l);
		check_all(&f);
		CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
		CHECK_FOUND(&f, HF_CHECK_INDEX_LAYOUT, wrong == SHIFTED || wrong == OVERLAP);
		CHECK_FOUND(&f, HF_CHECK_PACK_SIZE, wrong == NO_SECOND);
		CHECK(SAID(&f, "is not contained in index or position is incorrect"));
	}
}

TEST(check_compares_index_and_header)
{
	hf_auto(fixture) f = {0};

	/* The header knows less than what lies in the pack and in the index. */
	fixture_init(&f);
	PACKING(p, f.repo);
	packing_text(&p, HF_DATA, "one", false);
	packing_text(&p, HF_DATA, "two", false);
	struct hf_pack_entry all = p.entries.v[0];
	all.length *= 2;
	struct hf_pack_entries header = {&all, 1, 1};
	struct hf_id pack = packing_put_as(&p, &header);
	made_index(f.repo, &pack, &p.entries);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
	CHECK(SAID(&f, "pack header has 1 blobs, the index 2"));
}

TEST(check_sees_content_that_is_not_what_its_name_says)
{
	hf_auto(fixture) f = {0};
	struct hf_blob x = {made_id_of("x"), HF_DATA};

	fixture_init(&f);
	PACKING(p, f.repo);
	packing_raw(&p, x, hf_str_bytes(hf_str("not x")), 0);
	struct hf_id pack = packing_put(&p);
	made_index(f.repo, &pack, &p.entries);
	check_structure(&f);
	CHECK_EQ(f.result.damages, 0);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
	CHECK(SAID(&f, "contains 1 errors: [blob "));
}

TEST(check_takes_a_good_copy_for_a_bad_one)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	PACKING(p, f.repo);
	packing_text(&p, HF_DATA, "the first chunk of a", true);
	struct hf_id pack = packing_put(&p);
	made_index(f.repo, &pack, &p.entries);
	flip(f.store, HF_PACK, &f.data1, 3);
	check_all(&f);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);
	CHECK_FOUND(&f, HF_CHECK_TOUCHED, 0);
}

TEST(check_reads_only_what_was_asked_for)
{
	hf_auto(fixture) f = {0};
	struct hf_check_options o = {.data = {.kind = HF_SUBSET_PART, .t = 5}};
	uint64_t packs = 0, bytes = 0;

	fixture_init(&f);
	for (o.data.n = 1; o.data.n <= o.data.t; o.data.n++) {
		check_with(&f, &o);
		CHECK_EQ(f.progress.packs_done, f.progress.packs_total);
		CHECK_EQ(f.progress.packs_known, 3);
		packs += f.progress.packs_done;
		bytes += f.progress.bytes_done;
	}
	CHECK_EQ(packs, 3);
	check_all(&f);
	CHECK_EQ(bytes, f.progress.bytes_done);

	o.data = (struct hf_check_subset){.kind = HF_SUBSET_PERCENT, .percent = 70};
	check_with(&f, &o);
	CHECK_EQ(f.progress.packs_done, 2);
	o.data.percent = 0.001;
	check_with(&f, &o);
	CHECK_EQ(f.progress.packs_done, 1);
	o.data = (struct hf_check_subset){.kind = HF_SUBSET_BYTES, .bytes = 1};
	check_with(&f, &o);
	CHECK_EQ(f.progress.packs_done, 1);
	o.data.bytes = UINT64_MAX;
	check_with(&f, &o);
	CHECK_EQ(f.progress.packs_done, 3);
}

TEST(check_keeps_to_the_chosen_snapshots)
{
	hf_auto(fixture) f = {0};
	hf_auto(hf_snapshot_filter) filter = {0};
	struct hf_check_options o = {.data = {.kind = HF_SUBSET_ALL}, .filter = &filter};

	fixture_init(&f);
	hf_strings_add(&filter.tags, "t02");
	flip(f.store, HF_PACK, &f.data1, 3); /* only the first snapshot needs it */
	check_with(&f, &o);
	CHECK_EQ(f.result.damages, 0);
	CHECK_EQ(f.progress.snapshots_total, 1);
	CHECK_EQ(f.progress.packs_known, 2);
	flip(f.store, HF_PACK, &f.data2, 3);
	check_with(&f, &o);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 1);

	struct hf_check_options by_id = {.data = {.kind = HF_SUBSET_ALL}};
	hf_strings_add(&by_id.snapshots, hf_id_hex(&f.snapshot1).s);
	hf_strings_add(&by_id.snapshots, "ffffffff");
	check_with(&f, &by_id);
	CHECK_FOUND(&f, HF_CHECK_SNAPSHOT, 1);
	CHECK_FOUND(&f, HF_CHECK_PACK_DATA, 2); /* /sub/c is in the second one */
	CHECK_EQ(f.progress.snapshots_total, 1);
	hf_strings_clear(&by_id.snapshots);
}

static bool
is_hurt(const struct fixture *f, const struct hf_id *snapshot)
{
	const struct hf_check_ids *l = &f->result.hurt_snapshots;

	for (size_t i = 0; i < l->len; i++)
		if (hf_id_eq(&l->v[i], snapshot))
			return true;
	return false;
}

TEST(check_says_which_snapshots_are_hurt)
{
	hf_auto(fixture) f = {0};
	struct hf_check_options all = {.data = {.kind = HF_SUBSET_ALL}};

	fixture_init(&f);
	check_with(&f, &all);
	CHECK_EQ(f.result.hurt_snapshots.len, 0);
	flip(f.store, HF_PACK, &f.data1, 3); /* only the first snapshot needs it */
	check_with(&f, &all);
	CHECK_EQ(f.result.hurt_snapshots.len, 1);
	CHECK(is_hurt(&f, &f.snapshot1));
	flip(f.store, HF_PACK, &f.data2, 3); /* and both this */
	check_with(&f, &all);
	CHECK_EQ(f.result.hurt_snapshots.len, 2);
	CHECK(is_hurt(&f, &f.snapshot1));
	CHECK_EQ(f.result.n_snapshots, 2);
}

TEST(check_tries_twice_before_it_blames_a_pack)
{
	hf_auto(fixture) f = {0};

	fixture_init(&f);
	for (uint64_t call = 1; call < 60; call++) {
		struct hf_fault_plan plan = {.kind = HF_FAULT_FLIP,
			.first = call,
			.kinds = 1U << HF_PACK,
			.ops = 1U << HF_FAULT_GET};
		hf_auto(fixture) g = {0};

		fixture_init_on(&g, hf_store_fault(hf_store_mem(), &plan));
		check_all(&g);
		CHECK_FOUND(&g, HF_CHECK_PACK_DATA, 0);
		CHECK(g.n[HF_CHECK_PACK_READ] + g.n[HF_CHECK_TREE] <= 1);
		if (hf_store_fault_calls(g.store) < call)
			break;
		if (g.n[HF_CHECK_PACK_READ] > 0)
			CHECK(SAID(&g, "check successful on second attempt"));
		if (call > 40)
			break;
	}
}

TEST(check_stops_when_asked)
{
	hf_auto(fixture) f = {0};
	struct hf_stop stop = {0};
	struct hf_check_events events = {.arg = &f, .found = found};
	struct hf_check_options o = {.data = {.kind = HF_SUBSET_ALL}};

	fixture_init(&f);
	hf_stop_set(&stop);
	CHECK_ERR(hf_check(f.repo, &o, &events, NULL, &stop, &f.result), HF_ECANCELED);
}

TEST(check_subset_values)
{
	struct hf_check_subset s;
	static const char *const bad[] = {"", "x", "1/", "/2", "1/2/3", "0/2", "3/2", "1/257",
		"1/0", "-1/2", "0%", "-1%", "101%", "nan%", "%", "1%%", "0", "5x", "1kk", "-5",
		"1.5g", "99999999999999999999", "99999999999999999t"};

	REQUIRE_OK(hf_check_subset_parse("3/256", &s));
	CHECK_EQ(s.kind, HF_SUBSET_PART);
	CHECK_EQ(s.n, 3);
	CHECK_EQ(s.t, 256);
	REQUIRE_OK(hf_check_subset_parse("2.5%", &s));
	CHECK_EQ(s.kind, HF_SUBSET_PERCENT);
	CHECK(s.percent == 2.5);
	REQUIRE_OK(hf_check_subset_parse("100%", &s));
	REQUIRE_OK(hf_check_subset_parse("7", &s));
	CHECK_EQ(s.kind, HF_SUBSET_BYTES);
	CHECK_EQ(s.bytes, 7);
	REQUIRE_OK(hf_check_subset_parse("2B", &s));
	CHECK_EQ(s.bytes, 2);
	REQUIRE_OK(hf_check_subset_parse("3M", &s));
	CHECK_EQ(s.bytes, 3 << 20);
	REQUIRE_OK(hf_check_subset_parse("1t", &s));
	CHECK_EQ(s.bytes, INT64_C(1) << 40);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ERR_TEXT(hf_check_subset_parse(bad[i], &s), HF_EINVAL,
			"check flag --read-data-subset");
}
