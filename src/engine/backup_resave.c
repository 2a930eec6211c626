/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What came out of a pipe cannot be read a second time. When the lock was lost after all of it was
 * saved, the blobs that nobody vouches for are fetched from the packs of the round before, as long as
 * these are still there, and stored again in packs of other names.
 */
#include "engine/backup_i.h"
#include "repo/tree.h"

struct resave {
	struct hf_reader *reader; /* through the index of the round before */
	struct hf_sealer *sealer;
	struct hf_index *ix; /* the present one */
	struct hf_buf bytes;
	struct hf_stop *stop;
};

static struct hf_err *
gone(struct hf_err *e)
{
	hf_autoptr(hf_err) cause = e;

	return hf_err(HF_ELOST, "what was read cannot be saved again: %s", hf_err_text(cause));
}

static struct hf_err *
resave_blob(struct resave *r, const struct hf_blob *blob)
{
	struct hf_location at;
	struct hf_id id;

	HF_TRY(hf_stop_check(r->stop));
	if (hf_index_find(r->ix, blob, 0, &at))
		return NULL;
	hf_buf_reset(&r->bytes);
	struct hf_err *e = hf_reader_blob(r->reader, blob, &r->bytes);
	if (e != NULL)
		return gone(e);
	return hf_sealer_save(r->sealer, blob->type, hf_buf_bytes(&r->bytes), &id, NULL);
}

/* As deep as the name of the one file has folders. */
static struct hf_err *
resave_tree(struct resave *r, const struct hf_id *id)
{
	struct hf_blob tree_blob = {*id, HF_TREE};
	hf_autoptr(hf_tree) tree = NULL;
	const struct hf_node *node;
	bool more;

	struct hf_err *e = hf_tree_load(r->reader, id, &tree);
	if (e != NULL)
		return gone(e);
	for (;;) {
		HF_TRY(hf_tree_next(tree, &node, &more));
		if (!more)
			break;
		for (size_t i = 0; i < node->n_content; i++) {
			struct hf_blob blob = {node->content[i], HF_DATA};

			HF_TRY(resave_blob(r, &blob));
		}
		if (node->has_subtree)
			HF_TRY(resave_tree(r, &node->subtree));
	}
	return resave_blob(r, &tree_blob);
}

struct hf_err *
resave_all(struct backup *b, struct hf_index *before, const struct hf_id *root)
{
	hf_autoptr(hf_reader) reader = hf_reader_new(b->repo, before);
	hf_autoptr(hf_sealer) sealer = hf_sealer_new(b->saver);
	struct resave r = {
		.reader = reader,
		.sealer = sealer,
		.ix = b->ix,
		.bytes = HF_BUF_SPOOL(UINT32_MAX),
		.stop = b->o->stop,
	};
	struct hf_err *e = resave_tree(&r, root);

	hf_buf_clear(&r.bytes);
	b->root = *root;
	return e;
}
