/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/dump.h"

#include "engine/tar.h"
#include "engine/treewalk.h"

/* Texts are gathered to this size, so that small entries do not make small writes. */
enum { MAX_HEADER = 16 << 20 };

/* ---- one file ---- */

static struct hf_err *
produce_file(void *arg, struct hf_ahead *a)
{
	const struct hf_node *n = arg;

	for (size_t i = 0; i < n->n_content; i++)
		HF_TRY(hf_ahead_blob(a, &n->content[i]));
	return NULL;
}

struct hf_err *
hf_dump_file(struct hf_repo *repo, struct hf_index *ix, const struct hf_node *n,
	hf_sink_fn *sink, void *arg, struct hf_stop *stop)
{
	struct hf_node copy = *n;

	return hf_ahead_run(repo, ix, produce_file, &copy, sink, arg, stop);
}

/* ---- a folder ---- */

struct tarring {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_stop *stop;
	struct hf_id id;
	const char *root;
	struct hf_ahead *a;
	struct hf_buf text; /* padding of the file before and the next header */
};

static struct hf_err *
content_size(struct tarring *t, const struct hf_node *n, uint64_t *size)
{
	*size = 0;
	for (size_t i = 0; i < n->n_content; i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};
		struct hf_location at;

		if (!hf_index_find(t->ix, &blob, 0, &at))
			return hf_err(HF_ENOTFOUND, "data blob %s is not in the index",
				hf_id_hex(&blob.id).s);
		*size += hf_location_size(&at);
	}
	return NULL;
}

static struct hf_err *
flush_text(struct tarring *t)
{
	HF_TRY(hf_buf_ok(&t->text));
	HF_TRY(hf_ahead_text(t->a, hf_buf_bytes(&t->text)));
	hf_buf_reset(&t->text);
	return NULL;
}

static struct hf_err *
tar_entry(struct tarring *t, const char *path, const struct hf_node *n)
{
	uint64_t size = 0;

	if (n->type == HF_NODE_FILE)
		HF_TRY(content_size(t, n, &size));
	HF_TRY(hf_tar_header(&t->text, path + 1, n, size));
	/* Folders, links and empty files wait for the next text. */
	if (size == 0 && t->text.len < MAX_HEADER / 64)
		return NULL;
	HF_TRY(flush_text(t));
	for (size_t i = 0; i < n->n_content && n->type == HF_NODE_FILE; i++)
		HF_TRY(hf_ahead_blob(t->a, &n->content[i]));
	hf_tar_pad(&t->text, size);
	return NULL;
}

static struct hf_err *
tar_node(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	(void)next;
	if (n->type != HF_NODE_FILE && n->type != HF_NODE_DIR && n->type != HF_NODE_SYMLINK)
		return NULL;
	return hf_err_in(tar_entry(arg, path, n), "%s", path);
}

static struct hf_err *
produce_tar(void *arg, struct hf_ahead *a)
{
	struct tarring *t = arg;
	struct hf_walker w = {.arg = t, .node = tar_node};
	hf_autoptr(hf_reader) r = hf_reader_new(t->repo, t->ix);

	t->a = a;
	HF_TRY(hf_walk(r, &t->id, t->root, &w, t->stop));
	hf_tar_end(&t->text);
	return flush_text(t);
}

struct hf_err *
hf_dump_tar(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *id, const char *root,
	hf_sink_fn *sink, void *arg, struct hf_stop *stop)
{
	struct tarring t = {.repo = repo,
		.ix = ix,
		.stop = stop,
		.id = *id,
		.root = root,
		.text = HF_BUF_MAX(MAX_HEADER)};
	struct hf_err *e = hf_ahead_run(repo, ix, produce_tar, &t, sink, arg, stop);

	hf_buf_clear(&t.text);
	return e;
}
