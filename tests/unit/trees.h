/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repository in memory for tests that need trees: blobs and trees are saved as a backup saves
 * them, then read back.
 *
 *	trees_init(&f);
 *	struct hf_id data = trees_data(&f, "hello");
 *	struct trees_folder d = trees_folder();
 *	struct hf_node n = trees_file("name", &data, 1, 5);
 *	trees_add(&d, &n);
 *	struct hf_id root = trees_save(&f, &d);
 *	trees_flush(&f);
 */
#ifndef HF_TESTS_UNIT_TREES_H
#define HF_TESTS_UNIT_TREES_H

#include "harness/test.h"
#include "repo/saver.h"
#include "repo/tree.h"
#include "store/mem.h"
#include "unit/handmade.h"

struct trees {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_saver *saver;
	struct hf_sealer *sealer;
	struct hf_reader *reader;
};

/* A saver ends with its flush, so each round of saving has its own. */
static inline void
trees_begin(struct trees *f)
{
	REQUIRE_OK(hf_saver_new(f->repo, f->ix, &(struct hf_saver_options){0}, &f->saver));
	f->sealer = hf_sealer_new(f->saver);
}

/* The trees and blobs go to `store`, which is taken. */
static inline void
trees_init_in(struct trees *f, struct hf_store *store)
{
	f->repo = made_repo(store, 2);
	f->ix = hf_index_new();
	trees_begin(f);
	f->reader = hf_reader_new(f->repo, f->ix);
}

static inline void
trees_init(struct trees *f)
{
	trees_init_in(f, hf_store_mem());
}

static inline void
trees_clear(struct trees *f)
{
	hf_reader_free(f->reader);
	hf_sealer_free(f->sealer);
	hf_saver_free(f->saver);
	hf_index_free(f->ix);
	hf_repo_free(f->repo);
}

/* What was saved can be read afterwards. */
static inline void
trees_flush(struct trees *f)
{
	REQUIRE_OK(hf_saver_flush(f->saver));
	hf_sealer_free(f->sealer);
	hf_saver_free(f->saver);
	f->saver = NULL;
	trees_begin(f);
}

static inline struct hf_id
trees_blob(struct trees *f, const void *p, size_t len)
{
	struct hf_id id;

	REQUIRE_OK(hf_sealer_save(f->sealer, HF_DATA, (struct hf_bytes){p, len}, &id, NULL));
	return id;
}

static inline struct hf_id
trees_data(struct trees *f, const char *text)
{
	return trees_blob(f, text, strlen(text));
}

/* The JSON of a tree that grows. */
struct trees_folder {
	struct hf_buf json;
};

static inline struct trees_folder
trees_folder(void)
{
	struct trees_folder d = {.json = HF_BUF_MAX(256 << 20)};

	hf_tree_begin(&d.json);
	return d;
}

/* Names must be added in order. */
static inline void
trees_add(struct trees_folder *d, const struct hf_node *n)
{
	hf_tree_add(&d->json, n);
}

/* Saves the tree and frees the folder. */
static inline struct hf_id
trees_save(struct trees *f, struct trees_folder *d)
{
	struct hf_id id;

	hf_tree_end(&d->json);
	REQUIRE_OK(hf_buf_ok(&d->json));
	REQUIRE_OK(hf_sealer_save(f->sealer, HF_TREE, hf_buf_bytes(&d->json), &id, NULL));
	hf_buf_clear(&d->json);
	return id;
}

/* Nodes with times in 2026 and the ids of this process, so that anybody can restore them. */
static inline struct hf_node
trees_node(const char *name, enum hf_node_type type, mode_t mode)
{
	struct hf_time t = {.sec = 1767323045, .nsec = 123456789};

	return (struct hf_node){.name = hf_str(name),
		.type = type,
		.mode = hf_mode_from_stat(mode),
		.mtime = t,
		.atime = t,
		.ctime = t,
		.uid = geteuid(),
		.gid = getegid()};
}

static inline struct hf_node
trees_file(const char *name, const struct hf_id *content, size_t n, uint64_t size)
{
	struct hf_node f = trees_node(name, HF_NODE_FILE, 0100644);

	f.content = content;
	f.n_content = n;
	f.has_content = true;
	f.size = size;
	return f;
}

static inline struct hf_node
trees_dir(const char *name, const struct hf_id *subtree)
{
	struct hf_node d = trees_node(name, HF_NODE_DIR, 0040755);

	d.has_subtree = true;
	d.subtree = *subtree;
	return d;
}

#endif
