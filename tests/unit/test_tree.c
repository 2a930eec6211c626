/* SPDX-License-Identifier: BSD-2-Clause */
/* Trees: the frame, the order of names, looking up. */
#include "repo/tree.h"

#include <stdio.h>

#include "codec/sha256.h"
#include "harness/test.h"

#define REST                                                                                   \
	"\"mtime\":\"2026-01-02T03:04:05Z\",\"atime\":\"2026-01-02T03:04:05Z\","               \
	"\"ctime\":\"2026-01-02T03:04:05Z\",\"uid\":0,\"gid\":0"

static struct hf_err *
parse(const char *json, struct hf_tree **out)
{
	return hf_tree_parse(hf_str_bytes(hf_str(json)), out);
}

/* Reads a tree to its end; *n nodes came before the end or the error. */
static struct hf_err *
read_all(const char *json, size_t *n)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *node;
	bool more = true;

	*n = 0;
	HF_TRY(parse(json, &t));
	while (more) {
		HF_TRY(hf_tree_next(t, &node, &more));
		*n += more;
	}
	CHECK(node == NULL);
	return NULL;
}

static void
check_id(struct hf_bytes plain, const char *want)
{
	struct hf_id id = hf_sha256(plain);

	CHECK_STR(hf_id_hex(&id).s, want);
}

TEST(written_tree_has_the_id_that_restic_gives_it)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);
	struct hf_time t0 = {.sec = 1767323045};
	struct hf_id id;
	struct hf_node n = {.name = {"hello", 5},
		.type = HF_NODE_FILE,
		.mode = 0644,
		.mtime = t0,
		.atime = t0,
		.ctime = t0,
		.size = 6,
		.content = &id,
		.n_content = 1,
		.has_content = true};

	hf_tree_begin(&b);
	hf_tree_end(&b);
	check_id(hf_buf_bytes(&b),
		"ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8");
	hf_buf_reset(&b);
	REQUIRE(hf_id_parse(
		hf_str("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"),
		&id));
	hf_tree_begin(&b);
	hf_tree_add(&b, &n);
	hf_tree_end(&b);
	check_id(hf_buf_bytes(&b),
		"375d84e8444d4d271426ad13c0fc7f5e3b2739f5c20be86fec8a2b56d77a67d7");
	hf_buf_reset(&b);
	hf_tree_begin(&b);
	hf_tree_add(&b, &n);
	n.name = hf_str("hello2");
	hf_tree_add(&b, &n);
	hf_tree_end(&b);
	hf_buf_add_char(&b, 0);

	size_t count;
	CHECK_OK(read_all((const char *)b.p, &count));
	CHECK_EQ(count, 2);
}

TEST(frames_that_restic_accepts)
{
	size_t n;

	CHECK_OK(read_all("{\"nodes\":[]}\n", &n));
	CHECK_EQ(n, 0);
	CHECK_OK(read_all(
		" {\"Nodes\":3,\"x\":{\"nodes\":[1]},\"nodes\" : [ {\"name\":\"a\"} ] ,"
		" \"y\":[]} trailing",
		&n));
	CHECK_EQ(n, 1);
}

TEST(frames_that_restic_refuses)
{
	size_t n;

	CHECK_ERR(read_all("", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("[]", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("null", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{}", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":null}", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":{}}", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":[", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":[]", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":[{\"name\":\"a\"}", &n), HF_ECORRUPT);
	CHECK_EQ(n, 1);
	CHECK_ERR(read_all("{\"nodes\":[{\"name\":\"a\"},]}", &n), HF_ECORRUPT);
}

TEST(names_must_ascend)
{
	size_t n;

	CHECK_ERR(read_all("{\"nodes\":[{\"name\":\"\"}]}", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":[{\"type\":\"file\"}]}", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":[{\"name\":\"a\"},{\"name\":\"a\"}]}", &n), HF_ECORRUPT);
	CHECK_ERR(read_all("{\"nodes\":[{\"name\":\"b\"},{\"name\":\"a\"}]}", &n), HF_ECORRUPT);
	CHECK_EQ(n, 1);
	/* Raw bytes count: 0xff comes after z, though its escape begins with a backslash. */
	CHECK_OK(read_all("{\"nodes\":[{\"name\":\"z\"},{\"name\":\"\\\\xfe\"},"
			  "{\"name\":\"\\\\xff\"}]}",
		&n));
	CHECK_EQ(n, 3);
	CHECK_ERR(read_all("{\"nodes\":[{\"name\":\"\\\\xff\"},{\"name\":\"\\\\xfe\"}]}", &n),
		HF_ECORRUPT);
}

TEST(errors_stay)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *node;
	bool more;

	REQUIRE_OK(parse("{\"nodes\":[{\"name\":7},{\"name\":\"a\"}]}", &t));
	CHECK_ERR(hf_tree_next(t, &node, &more), HF_ECORRUPT);
	CHECK_ERR(hf_tree_next(t, &node, &more), HF_ECORRUPT);
	CHECK_ERR(hf_tree_seek(t, hf_str("a"), &node), HF_ECORRUPT);
}

TEST(seek)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *node;
	bool more;

	REQUIRE_OK(parse("{\"nodes\":[{\"name\":\"a\"},{\"name\":\"c\"},{\"name\":\"e\"},"
			 "{\"name\":\"g\"},{\"name\":\"h\"}]}",
		&t));
	REQUIRE_OK(hf_tree_seek(t, hf_str("b"), &node));
	CHECK(node == NULL);
	REQUIRE_OK(hf_tree_seek(t, hf_str("c"), &node));
	REQUIRE(node != NULL);
	CHECK(hf_str_is(node->name, "c"));
	REQUIRE_OK(hf_tree_seek(t, hf_str("c"), &node));
	CHECK(node != NULL);
	REQUIRE_OK(hf_tree_seek(t, hf_str("d"), &node));
	CHECK(node == NULL);
	REQUIRE_OK(hf_tree_next(t, &node, &more)); /* e was only looked at */
	REQUIRE(more);
	CHECK(hf_str_is(node->name, "e"));
	REQUIRE_OK(hf_tree_seek(t, hf_str("g"), &node));
	CHECK(node != NULL);
	REQUIRE_OK(hf_tree_next(t, &node, &more));
	REQUIRE(more);
	CHECK(hf_str_is(node->name, "h"));
	REQUIRE_OK(hf_tree_seek(t, hf_str("z"), &node));
	CHECK(node == NULL);
	REQUIRE_OK(hf_tree_seek(t, hf_str("zz"), &node));
	CHECK(node == NULL);
	REQUIRE_OK(hf_tree_next(t, &node, &more));
	CHECK(!more);
}

TEST(seek_in_an_empty_tree)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *node;

	REQUIRE_OK(parse("{\"nodes\":[]}\n", &t));
	REQUIRE_OK(hf_tree_seek(t, hf_str("a"), &node));
	CHECK(node == NULL);
}

/* A tree larger than the spill limit, read in full and looked up sparsely. */
TEST(two_hundred_thousand_entries)
{
	hf_auto(hf_buf) b = HF_BUF_SPOOL(HF_MAX_TREE);
	char name[32];

	hf_tree_begin(&b);
	for (int i = 0; i < 200000; i++) {
		struct hf_node n = {.type = HF_NODE_FILE, .has_content = true};

		snprintf(name, sizeof name, "file%08d", i);
		n.name = hf_str(name);
		hf_tree_add(&b, &n);
	}
	hf_tree_end(&b);
	REQUIRE_OK(hf_buf_ok(&b));
	CHECK(b.in_file);

	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *node;
	REQUIRE_OK(hf_tree_parse(hf_buf_bytes(&b), &t));
	for (int i = 0; i < 200000; i += 1000) {
		snprintf(name, sizeof name, "file%08d", i);
		REQUIRE_OK(hf_tree_seek(t, hf_str(name), &node));
		REQUIRE(node != NULL);
		snprintf(name, sizeof name, "file%08d.", i);
		REQUIRE_OK(hf_tree_seek(t, hf_str(name), &node));
		CHECK(node == NULL);
	}
}
