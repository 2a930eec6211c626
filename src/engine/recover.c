/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/recover.h"

#include <pthread.h>

#include "base/bits.h"
#include "base/group.h"
#include "base/host.h"
#include "engine/resnap.h"
#include "repo/tree.h"

enum { MAX_THREADS = 32 };

struct hf_recover {
	struct hf_recover_options o;
	struct hf_bits trees;    /* by the number of the first copy */
	struct hf_bits referred; /* those that something refers to, or that cannot be read */
	size_t n_trees, len;     /* len: of the index when it began */
	atomic_uint_fast64_t *done;
	atomic_size_t next;
	struct hf_stop failed; /* a sibling's */
	pthread_mutex_t lock;  /* calls of bad_tree() */
};

struct hf_recover *
hf_recover_new(const struct hf_recover_options *options)
{
	struct hf_recover *r = hf_new(struct hf_recover);
	struct hf_location at, first;
	struct hf_blob blob;

	r->o = *options;
	r->len = hf_index_len(options->ix);
	hf_bits_init(&r->trees, r->len);
	hf_bits_init(&r->referred, r->len);
	pthread_mutex_init(&r->lock, NULL);
	for (size_t i = 0; i < r->len; i++)
		if (hf_index_entry(options->ix, i, &blob, &at) && blob.type == HF_TREE &&
			hf_index_find(options->ix, &blob, 0, &first))
			r->n_trees += hf_bits_add(&r->trees, first.number);
	return r;
}

void
hf_recover_free(struct hf_recover *r)
{
	if (r == NULL)
		return;
	hf_bits_clear(&r->trees);
	hf_bits_clear(&r->referred);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

uint64_t
hf_recover_trees(const struct hf_recover *r)
{
	return r->n_trees;
}

void
hf_recover_known(struct hf_recover *r, const struct hf_id *tree)
{
	struct hf_blob blob = {*tree, HF_TREE};
	struct hf_location at;

	if (hf_index_find(r->o.ix, &blob, 0, &at) && at.number < r->len)
		hf_bits_add(&r->referred, at.number);
}

/*
 * A tree's word counts only if it can be read to its end: what hangs below a damaged one is to be
 * found by itself.
 */
static struct hf_err *
read_tree(struct hf_recover *r, struct hf_reader *reader, struct hf_buf *below,
	const struct hf_id *id)
{
	hf_autoptr(hf_tree) tree = NULL;
	const struct hf_node *n;
	struct hf_id child;
	bool more;

	hf_buf_reset(below);
	HF_TRY(hf_tree_load(reader, id, &tree));
	for (;;) {
		HF_TRY(hf_tree_next(tree, &n, &more));
		if (!more)
			break;
		if (n->type == HF_NODE_DIR && n->has_subtree)
			hf_buf_add(below, &n->subtree, sizeof n->subtree);
	}
	HF_TRY(hf_buf_ok(below));
	for (size_t i = 0; i < below->len; i += sizeof child) {
		memcpy(&child, below->p + i, sizeof child);
		hf_recover_known(r, &child);
	}
	return NULL;
}

/* What is damaged is told and passed over; a store that does not answer ends it. */
static struct hf_err *
read_one(struct hf_recover *r, struct hf_reader *reader, struct hf_buf *below, size_t number)
{
	struct hf_location at;
	struct hf_blob blob;

	if (!hf_bits_has(&r->trees, number) || !hf_index_entry(r->o.ix, number, &blob, &at))
		return NULL;
	struct hf_err *e = read_tree(r, reader, below, &blob.id);
	if (e != NULL && hf_err_code(e) != HF_ECORRUPT && hf_err_code(e) != HF_ENOTFOUND)
		return hf_err_in(e, "tree %.8s", hf_id_hex(&blob.id).s);
	if (e == NULL) {
		atomic_fetch_add_explicit(r->done, 1, memory_order_relaxed);
		return NULL;
	}
	hf_bits_add(&r->referred, number);
	pthread_mutex_lock(&r->lock);
	r->o.bad_tree(r->o.arg, &blob.id, e);
	pthread_mutex_unlock(&r->lock);
	hf_err_free(e);
	return NULL;
}

static struct hf_err *
loop(void *arg)
{
	struct hf_recover *r = arg;
	hf_autoptr(hf_reader) reader = hf_reader_new(r->o.repo, r->o.ix);
	hf_auto(hf_buf) below = HF_BUF_SPOOL(HF_MAX_TREE);
	size_t i;

	while ((i = atomic_fetch_add(&r->next, 1)) < r->len) {
		HF_TRY(hf_stop_check(r->o.stop));
		HF_TRY(hf_stop_check(&r->failed));
		HF_TRY(read_one(r, reader, &below, i));
	}
	return NULL;
}

static void
stop(void *arg)
{
	hf_stop_set(&((struct hf_recover *)arg)->failed);
}

struct hf_err *
hf_recover_read(struct hf_recover *r, atomic_uint_fast64_t *done)
{
	hf_autoptr(hf_group) g = hf_group_new(stop, r);
	unsigned n = hf_store_connections(hf_repo_store(r->o.repo));
	unsigned cpus = hf_cpus();

	n = cpus > n ? cpus : n;
	r->done = done;
	for (unsigned i = 0; i < n && i < MAX_THREADS; i++) {
		struct hf_err *e = hf_group_go(g, "trees", loop, r);

		if (e != NULL) {
			stop(r);
			return e;
		}
	}
	return hf_group_wait(g);
}

void
hf_recover_roots(struct hf_recover *r, struct hf_id **out, size_t *n)
{
	struct hf_location at;
	struct hf_blob blob;
	size_t len = 0;

	for (size_t i = 0; i < r->len; i++)
		len += hf_bits_has(&r->trees, i) && !hf_bits_has(&r->referred, i);
	struct hf_id *ids = hf_alloc_(len + 1, sizeof *ids);
	*n = 0;
	for (size_t i = 0; i < r->len; i++)
		if (hf_bits_has(&r->trees, i) && !hf_bits_has(&r->referred, i) &&
			hf_index_entry(r->o.ix, i, &blob, &at))
			ids[(*n)++] = blob.id;
	hf_id_sort(ids, *n);
	*out = ids;
}

/* Ids are in order, and so are their beginnings; of those that begin alike the first is short. */
static void
add_folders(struct hf_buf *out, const struct hf_id *roots, size_t n)
{
	struct hf_node node = {
		.type = HF_NODE_DIR,
		.mode = 0755,
		.mtime = hf_time_now(),
		.has_subtree = true,
	};

	node.atime = node.ctime = node.mtime;
	hf_tree_begin(out);
	for (size_t i = 0; i < n; i++) {
		struct hf_hex hex = hf_id_hex(&roots[i]);
		bool is_short = i == 0 || memcmp(&roots[i - 1], &roots[i], 4) != 0;

		node.name = (struct hf_str){hex.s, is_short ? 8 : HF_ID_HEX};
		node.subtree = roots[i];
		hf_tree_add(out, &node);
	}
	hf_tree_end(out);
}

struct hf_err *
hf_recover_save(
	struct hf_recover *r, const struct hf_id *roots, size_t n, struct hf_snapshot *s)
{
	hf_auto(hf_buf) tree = HF_BUF_SPOOL(HF_MAX_TREE);
	const struct hf_saver_options so = {.lease = r->o.lease};
	hf_autoptr(hf_saver) saver = NULL;
	hf_autoptr(hf_sealer) sealer = NULL;

	add_folders(&tree, roots, n);
	HF_TRY(hf_buf_ok(&tree));
	HF_TRY(hf_saver_new(r->o.repo, r->o.ix, &so, &saver));
	sealer = hf_sealer_new(saver);
	HF_TRY(hf_sealer_save(sealer, HF_TREE, hf_buf_bytes(&tree), &s->tree, NULL));
	s->has_tree = true;
	HF_TRY(hf_saver_flush(saver));
	return hf_resnap(r->o.repo, r->o.lease, r->o.ix, s, false);
}
