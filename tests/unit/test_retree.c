/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/retree.h"

#include "harness/test.h"
#include "store/mem.h"
#include "unit/handmade.h"

/* A repository with trees of folders in folders, in memory. */
struct world {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_id root; /* of /a/f, /b/f and /b/g: without g the two folders are alike */
};

static struct hf_node
file(const char *name, uint64_t size)
{
	return (struct hf_node){.name = hf_str(name),
		.type = HF_NODE_FILE,
		.mode = 0644,
		.size = size,
		.has_content = true};
}

static struct hf_node
folder(const char *name, const struct hf_id *tree)
{
	return (struct hf_node){.name = hf_str(name),
		.type = HF_NODE_DIR,
		.has_subtree = true,
		.subtree = *tree};
}

static struct hf_id
save(struct hf_sealer *z, const struct hf_node *v, size_t n)
{
	hf_auto(hf_buf) tree = HF_BUF_MAX(1 << 20);
	struct hf_id id;

	hf_tree_begin(&tree);
	for (size_t i = 0; i < n; i++)
		hf_tree_add(&tree, &v[i]);
	hf_tree_end(&tree);
	REQUIRE_OK(hf_sealer_save(z, HF_TREE, hf_buf_bytes(&tree), &id, NULL));
	return id;
}

static struct world
make_world(void)
{
	struct world w = {.ix = hf_index_new(), .repo = made_repo(hf_store_mem(), 2)};
	hf_autoptr(hf_saver) s = NULL;

	REQUIRE_OK(hf_saver_new(w.repo, w.ix, &(struct hf_saver_options){0}, &s));
	hf_autoptr(hf_sealer) z = hf_sealer_new(s);
	struct hf_node f[] = {file("f", 1), file("g", 2)};
	struct hf_id a = save(z, f, 1), b = save(z, f, 2);
	struct hf_node top[] = {folder("a", &a), folder("b", &b)};
	w.root = save(z, top, 2);
	REQUIRE_OK(hf_saver_flush(s));
	return w;
}

static void
world_clear(struct world *w)
{
	hf_index_free(w->ix);
	hf_repo_free(w->repo);
}

/* What the rules are asked, and what they say. */
struct asked {
	const char *drops; /* the path that goes */
	unsigned n_nodes;
	enum hf_retree_failed failed;
	bool keeps_empty;
};

static bool
node_rule(void *arg, const char *path, struct hf_node *n)
{
	struct asked *a = arg;

	(void)n;
	a->n_nodes++;
	return a->drops == NULL || strcmp(path, a->drops) != 0;
}

static bool
empty_rule(void *arg, const char *path)
{
	(void)path;
	return ((struct asked *)arg)->keeps_empty;
}

static enum hf_retree_failed
failed_rule(void *arg, const char *path, const struct hf_err *e)
{
	(void)path;
	(void)e;
	return ((struct asked *)arg)->failed;
}

static struct hf_retree_rules
rules_of(struct asked *a)
{
	return (struct hf_retree_rules){.arg = a,
		.node = node_rule,
		.keeps_empty = empty_rule,
		.failed = failed_rule,
		.is_by_path = true};
}

/* The same tree when nothing changes, nothing saved, and each node looked at once. */
TEST(retree_leaves_what_stays)
{
	__attribute__((cleanup(world_clear))) struct world w = make_world();
	struct asked a = {.keeps_empty = true};
	const struct hf_retree_rules rules = rules_of(&a);
	const struct hf_retree_options o = {.repo = w.repo, .ix = w.ix};
	hf_autoptr(hf_retree) t = hf_retree_new(&o, &rules);
	struct hf_retree_sum sum;
	struct hf_id id;

	for (int i = 0; i < 2; i++) {
		REQUIRE_OK(hf_retree(t, &w.root, &id, &sum));
		CHECK(hf_id_eq(&id, &w.root));
		CHECK(sum.files == 3 && sum.bytes == 4);
	}
	CHECK(a.n_nodes == 5); /* the second time all of it is known */
	REQUIRE_OK(hf_retree_commit(t));
	CHECK(hf_index_len(w.ix) == 3);
}

/* Without /b/g the folder b is what a is: known, and nothing but the root is new. */
TEST(retree_drops_a_file)
{
	__attribute__((cleanup(world_clear))) struct world w = make_world();
	struct asked a = {.drops = "/b/g", .keeps_empty = true};
	const struct hf_retree_rules rules = rules_of(&a);
	const struct hf_retree_options o = {.repo = w.repo, .ix = w.ix};
	hf_autoptr(hf_retree) t = hf_retree_new(&o, &rules);
	struct hf_retree_sum sum;
	struct hf_id id;

	REQUIRE_OK(hf_retree(t, &w.root, &id, &sum));
	CHECK(!hf_id_eq(&id, &w.root));
	CHECK(sum.files == 2 && sum.bytes == 2);
	REQUIRE_OK(hf_retree_commit(t));
	CHECK(hf_index_len(w.ix) == 4);
}

TEST(retree_drops_what_is_empty)
{
	__attribute__((cleanup(world_clear))) struct world w = make_world();
	struct asked a = {.drops = "/a/f"};
	const struct hf_retree_rules rules = rules_of(&a);
	const struct hf_retree_options o = {.repo = w.repo, .ix = w.ix, .is_dry_run = true};
	struct hf_retree_sum sum;
	struct hf_id without, with;

	hf_autoptr(hf_retree) t = hf_retree_new(&o, &rules);
	REQUIRE_OK(hf_retree(t, &w.root, &without, &sum));
	a.keeps_empty = true;
	hf_autoptr(hf_retree) again = hf_retree_new(&o, &rules);
	REQUIRE_OK(hf_retree(again, &w.root, &with, &sum));
	CHECK(!hf_id_eq(&with, &without));
	CHECK(sum.files == 2);
}

/* A tree that nobody has: an error, an empty folder, or none. */
TEST(retree_of_what_is_lost)
{
	__attribute__((cleanup(world_clear))) struct world w = make_world();
	struct asked a = {.keeps_empty = true};
	const struct hf_retree_rules rules = rules_of(&a);
	const struct hf_retree_options o = {.repo = w.repo, .ix = w.ix};
	struct hf_id lost = {{1}}, id;
	struct hf_retree_sum sum;

	hf_autoptr(hf_retree) t = hf_retree_new(&o, &rules);
	hf_autoptr(hf_err) e = hf_retree(t, &lost, &id, &sum);
	CHECK(e != NULL && hf_err_code(e) == HF_ENOTFOUND);
	a.failed = HF_RETREE_GONE;
	REQUIRE_OK(hf_retree(t, &lost, &id, &sum));
	CHECK(hf_id_is_zero(&id));
	a.failed = HF_RETREE_EMPTY;
	REQUIRE_OK(hf_retree(t, &lost, &id, &sum));
	CHECK_STR(hf_id_hex(&id).s,
		"ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8");
	REQUIRE_OK(hf_retree_commit(t));
}
