/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/treewalk.h"

#include "unit/trees.h"

/* /a, /d/b, /d/e/c, /d/z, /m -> a folder whose tree is missing, /z */
static struct hf_id
make(struct trees *f)
{
	struct hf_id missing, id;
	struct trees_folder e = trees_folder(), d = trees_folder(), root = trees_folder();
	struct hf_node n = trees_file("c", NULL, 0, 0);

	memset(&missing, 7, sizeof missing);
	trees_add(&e, &n);
	id = trees_save(f, &e);
	n = trees_file("b", NULL, 0, 0);
	trees_add(&d, &n);
	n = trees_dir("e", &id);
	trees_add(&d, &n);
	n = trees_file("z", NULL, 0, 0);
	trees_add(&d, &n);
	id = trees_save(f, &d);
	n = trees_file("a", NULL, 0, 0);
	trees_add(&root, &n);
	n = trees_dir("d", &id);
	trees_add(&root, &n);
	n = trees_dir("m", &missing);
	trees_add(&root, &n);
	n = trees_file("z", NULL, 0, 0);
	trees_add(&root, &n);
	id = trees_save(f, &root);
	trees_flush(f);
	return id;
}

/* Writes down what is called. */
struct log {
	struct hf_buf text;
	const char *skip, *stop_at;
	struct hf_id entered; /* the last one */
};

static struct hf_err *
on_node(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct log *l = arg;

	hf_buf_addf(&l->text, "%s%s ", path, n->type == HF_NODE_DIR ? "/" : "");
	if (l->skip != NULL && strcmp(path, l->skip) == 0)
		*next = HF_WALK_SKIP;
	if (l->stop_at != NULL && strcmp(path, l->stop_at) == 0)
		*next = HF_WALK_STOP;
	return NULL;
}

static void
on_enter(void *arg, const char *path, const struct hf_id *id)
{
	struct log *l = arg;

	hf_buf_addf(&l->text, ">%s ", path);
	l->entered = *id;
}

static struct hf_err *
on_leave(void *arg, const char *path)
{
	struct log *l = arg;

	hf_buf_addf(&l->text, "<%s ", path);
	return NULL;
}

static struct hf_err *
on_error(void *arg, const char *path, struct hf_err *e)
{
	struct log *l = arg;

	hf_buf_addf(&l->text, "!%s ", path);
	hf_err_free(e);
	return NULL;
}

static void
check_walk(struct trees *f, const struct hf_id *id, const char *root, const char *skip,
	const char *stop_at, const char *want)
{
	struct log l = {.text = HF_BUF_MAX(4096), .skip = skip, .stop_at = stop_at};
	struct hf_walker w = {&l, on_node, on_leave, on_error, on_enter};

	REQUIRE_OK(hf_walk(f->reader, id, root, &w, NULL));
	hf_buf_add_char(&l.text, 0);
	CHECK_STR((const char *)l.text.p, want);
	hf_buf_clear(&l.text);
}

TEST(visits_depth_first)
{
	hf_auto(trees) f = {0};

	trees_init(&f);
	struct hf_id root = make(&f);
	check_walk(&f, &root, "/", NULL, NULL,
		">/ /a /d/ >/d /d/b /d/e/ >/d/e /d/e/c </d/e /d/z </d /m/ !/m /z ");
	check_walk(&f, &root, "/x", "/x/d/e", NULL,
		">/x /x/a /x/d/ >/x/d /x/d/b /x/d/e/ /x/d/z </x/d /x/m/ !/x/m /x/z ");
	check_walk(&f, &root, "/", NULL, "/d/e/c", ">/ /a /d/ >/d /d/b /d/e/ >/d/e /d/e/c ");
}

TEST(tells_which_tree_it_enters)
{
	hf_auto(trees) f = {0};
	struct log l = {.text = HF_BUF_MAX(4096)};
	struct hf_walker w = {.arg = &l, .node = on_node, .enter = on_enter};
	struct hf_id id;

	trees_init(&f);
	struct hf_id root = make(&f);
	CHECK_ERR(hf_walk(f.reader, &root, "/", &w, NULL), HF_ENOTFOUND);
	REQUIRE_OK(hf_walk_folder(f.reader, &root, "d/e", &id));
	CHECK(hf_id_eq(&l.entered, &id));
	hf_buf_clear(&l.text);
}

TEST(errors_end_the_walk_when_nobody_takes_them)
{
	hf_auto(trees) f = {0};
	struct log l = {.text = HF_BUF_MAX(4096)};
	struct hf_walker w = {.arg = &l, .node = on_node};
	struct hf_stop stop = {0};

	trees_init(&f);
	struct hf_id root = make(&f);
	CHECK_ERR(hf_walk(f.reader, &root, "/", &w, NULL), HF_ENOTFOUND);
	hf_stop_set(&stop);
	CHECK_ERR(hf_walk(f.reader, &root, "/", &w, &stop), HF_ECANCELED);
	hf_buf_clear(&l.text);
}

TEST(folders_and_nodes_by_path)
{
	hf_auto(trees) f = {0};
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *n;
	struct hf_id id;

	trees_init(&f);
	struct hf_id root = make(&f);
	REQUIRE_OK(hf_walk_folder(f.reader, &root, "", &id));
	CHECK(hf_id_eq(&id, &root));
	REQUIRE_OK(hf_walk_folder(f.reader, &root, "/", &id));
	CHECK(hf_id_eq(&id, &root));
	REQUIRE_OK(hf_walk_folder(f.reader, &root, "//d/./e/", &id));
	check_walk(&f, &id, "/d/e", NULL, NULL, ">/d/e /d/e/c ");
	CHECK_ERR_TEXT(hf_walk_folder(f.reader, &root, "d/x/y", &id), HF_ENOTFOUND,
		"path d/x: not found");
	CHECK_ERR_TEXT(hf_walk_folder(f.reader, &root, "d/b/y", &id), HF_ENOTFOUND,
		"path d/b: not a directory");
	CHECK_ERR_TEXT(hf_walk_folder(f.reader, &root, "d/b", &id), HF_ENOTFOUND,
		"path d/b: not a directory");
	REQUIRE_OK(hf_walk_find(f.reader, &root, "/d/z", &t, &n));
	CHECK(hf_str_is(n->name, "z"));
	CHECK_ERR(hf_walk_find(f.reader, &root, "/", &t, &n), HF_EINVAL);
}
