/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/dump.h"

#include <inttypes.h>

#include "codec/chunker.h"
#include "codec/sha256.h"
#include "engine/hardlinks.h"
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
	const struct hf_tar_options *o;
	struct hf_stop *stop;
	struct hf_id id;
	struct hf_id zeros; /* of a chunk of nothing else */
	struct hf_ahead *a;
	struct hf_hardlinks hardlinks;
	struct hf_buf text; /* padding of the file before and the next header */
	struct hf_buf map;  /* of a file with holes */
};

static bool
is_hole(const struct tarring *t, const struct hf_id *id)
{
	return t->o->is_sparse && memcmp(id, &t->zeros, sizeof *id) == 0;
}

/* Where a file has data: `len` bytes at `off`, none at the end of a file that ends in a hole. */
static void
add_region(struct hf_buf *map, uint64_t *n, uint64_t off, uint64_t len)
{
	hf_buf_addf(map, "%" PRIu64 "\n%" PRIu64 "\n", off, len);
	++*n;
}

/* The next multiple of a block: GNU tar wants that of all that lies before a hole. */
static uint64_t
whole_blocks(uint64_t len)
{
	return (len + HF_TAR_BLOCK - 1) / HF_TAR_BLOCK * HF_TAR_BLOCK;
}

/* Fills in sizes; t->map becomes the list of regions when there are holes. */
static struct hf_err *
measure(struct tarring *t, const struct hf_node *n, struct hf_tar_entry *entry)
{
	hf_auto(hf_buf) regions = HF_BUF_SPOOL(MAX_HEADER / 4);
	uint64_t off = 0, start = 0, data = 0, n_regions = 0;
	bool was_hole = true, has_holes = false;

	for (size_t i = 0; i < n->n_content; i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};
		struct hf_location at;
		bool hole = is_hole(t, &n->content[i]);

		if (!hf_index_find(t->ix, &blob, 0, &at))
			return hf_err(HF_ENOTFOUND, "data blob %s is not in the index",
				hf_id_hex(&blob.id).s);
		if (hole && !was_hole) {
			data += whole_blocks(off - start);
			add_region(&regions, &n_regions, start, whole_blocks(off - start));
		} else if (was_hole && !hole) {
			start = off;
		}
		was_hole = hole;
		has_holes = has_holes || hole;
		off += hf_location_size(&at);
	}
	entry->size = off;
	/* A map that is too long is of no use to anybody: then the zeros are written. */
	if (!has_holes || regions.is_full)
		return NULL;
	data += was_hole ? 0 : off - start;
	add_region(&regions, &n_regions, was_hole ? off : start, was_hole ? 0 : off - start);
	hf_buf_reset(&t->map);
	hf_buf_addf(&t->map, "%" PRIu64 "\n", n_regions);
	hf_buf_add(&t->map, regions.p, regions.len);
	hf_tar_pad(&t->map, t->map.len);
	entry->is_sparse = true;
	entry->real_size = off;
	entry->size = t->map.len + data;
	return hf_buf_ok(&t->map);
}

static struct hf_err *
flush_text(struct tarring *t)
{
	HF_TRY(hf_buf_ok(&t->text));
	HF_TRY(hf_ahead_text(t->a, hf_buf_bytes(&t->text)));
	hf_buf_reset(&t->text);
	return NULL;
}

/* The content of a file, the holes left out. */
static struct hf_err *
add_content(struct tarring *t, const struct hf_node *n, const struct hf_tar_entry *entry)
{
	uint64_t len = 0; /* since the last hole */

	for (size_t i = 0; i < n->n_content; i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};
		struct hf_location at;

		if (!entry->is_sparse || !is_hole(t, &blob.id)) {
			HF_TRY(hf_ahead_blob(t->a, &blob.id));
			if (entry->is_sparse && hf_index_find(t->ix, &blob, 0, &at))
				len += hf_location_size(&at);
			continue;
		}
		if (len % HF_TAR_BLOCK != 0) {
			hf_tar_pad(&t->text, len);
			HF_TRY(flush_text(t));
		}
		len = 0;
	}
	hf_tar_pad(&t->text, entry->size);
	return NULL;
}

static struct hf_err *
tar_entry(struct tarring *t, const char *name, const struct hf_node *n)
{
	struct hf_tar_entry entry = {.path = name, .node = n};

	if (t->o->is_whole && n->type == HF_NODE_FILE && n->links > 1)
		entry.hardlink = hf_hardlinks_meet(
			&t->hardlinks, n->inode, n->device_id, n->links, name);
	if (n->type == HF_NODE_FILE && entry.hardlink == NULL)
		HF_TRY(measure(t, n, &entry));
	HF_TRY(hf_tar_header(&t->text, &entry));
	if (entry.is_sparse)
		hf_buf_add(&t->text, t->map.p, t->map.len);
	/* Folders, links and empty files wait for the next text. */
	if (entry.size == 0 && t->text.len < MAX_HEADER / 64)
		return NULL;
	HF_TRY(flush_text(t));
	return entry.size > 0 ? add_content(t, n, &entry) : NULL;
}

/* The name in the archive; NULL: nothing of it is left. */
static const char *
stripped(const struct tarring *t, const char *path)
{
	for (uint64_t i = 0; i < t->o->strip; i++) {
		path = strchr(path + 1, '/');
		if (path == NULL)
			return NULL;
	}
	return path + 1;
}

static bool
is_archived(const struct tarring *t, enum hf_node_type type)
{
	return type == HF_NODE_FILE || type == HF_NODE_DIR || type == HF_NODE_SYMLINK ||
	       (t->o->is_whole && (type == HF_NODE_DEV || type == HF_NODE_CHARDEV ||
					  type == HF_NODE_FIFO));
}

static struct hf_err *
tar_node(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct tarring *t = arg;
	bool is_selected = true, child_may_be = true;

	if (!is_archived(t, n->type))
		return NULL;
	if (t->o->select != NULL)
		t->o->select(t->o->select_arg, path, n->type == HF_NODE_DIR, &is_selected,
			&child_may_be);
	if (!child_may_be)
		*next = HF_WALK_SKIP;
	const char *name = stripped(t, path);

	if (!is_selected || name == NULL)
		return NULL;
	return hf_err_in(tar_entry(t, name, n), "%s", path);
}

static struct hf_err *
produce_tar(void *arg, struct hf_ahead *a)
{
	struct tarring *t = arg;
	struct hf_walker w = {.arg = t, .node = tar_node};
	hf_autoptr(hf_reader) r = hf_reader_new(t->repo, t->ix);

	t->a = a;
	hf_hardlinks_clear(&t->hardlinks);
	hf_buf_reset(&t->text);
	HF_TRY(hf_walk(r, &t->id, t->o->root, &w, t->stop));
	hf_tar_end(&t->text);
	return flush_text(t);
}

static void
hash_zeros(struct hf_id *out)
{
	hf_autofree uint8_t *zeros = hf_alloc_(1, HF_CHUNK_MIN);

	*out = hf_sha256((struct hf_bytes){zeros, HF_CHUNK_MIN});
}

struct hf_err *
hf_dump_tar(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *id,
	const struct hf_tar_options *options, hf_sink_fn *sink, void *arg, struct hf_stop *stop)
{
	struct tarring t = {.repo = repo,
		.ix = ix,
		.o = options,
		.stop = stop,
		.id = *id,
		.text = HF_BUF_MAX(MAX_HEADER),
		.map = HF_BUF_SPOOL(MAX_HEADER)};

	if (options->is_sparse)
		hash_zeros(&t.zeros);
	struct hf_err *e = hf_ahead_run(repo, ix, produce_tar, &t, sink, arg, stop);

	hf_hardlinks_clear(&t.hardlinks);
	hf_buf_clear(&t.text);
	hf_buf_clear(&t.map);
	return e;
}
