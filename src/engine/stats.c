/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modes that look at contents are about what is new: a tree that was met holds nothing new, and
 * is passed over for good. For the other two a tree counts for the same wherever it is met, apart
 * from hard links.
 */
#include "engine/stats.h"

#include <pthread.h>

#include "base/bits.h"
#include "base/idset.h"
#include "codec/sha256.h"
#include "engine/mark.h"
#include "engine/treewalk.h"

enum {
	MAX_MEMOS = 1 << 22, /* trees that are remembered: a table of 256 MiB at most */
	MAX_SET = 1 << 28,
};

/* What all below a tree comes to. */
struct sums {
	uint64_t nodes, bytes;
	uint64_t counted; /* of `bytes`, with the rule about hard links */
	uint64_t links;   /* nodes that this rule was asked about */
};

struct memo {
	uint32_t tree; /* its number in the index and 1; 0: an empty place */
	bool is_root;  /* there are hard links in it: the sums hold for a whole snapshot only */
	uint64_t nodes, bytes, counted;
};

/* A hash table by number, half full at most. */
struct memos {
	struct memo *v;
	size_t len, cap;
};

/* A folder on the way down. */
struct frame {
	struct hf_id tree;
	uint32_t number;
	struct sums before;
};

struct hf_stats {
	struct hf_repo *repo;     /* borrowed */
	struct hf_reader *reader; /* owned */
	struct hf_index *ix;      /* borrowed */
	enum hf_stats_mode mode;
	bool is_v2;
	struct hf_stats_progress *progress; /* borrowed */
	struct hf_stats_result result;

	struct memos memos;
	struct frame *frames;
	size_t n_frames, cap_frames;
	struct sums sums;       /* of the snapshot at hand */
	struct hf_idset inodes; /* of its hard links */

	/* Contents that were met. */
	bool has_empty;
	struct hf_bits single;    /* files of one blob, by the number of that */
	struct hf_idset contents; /* other files, by the hash of their blobs' ids */
	struct hf_idset pairs;    /* of path and blob, and paths alone */
	struct hf_sha256 *hash;

	struct hf_bits used;  /* blobs, by number */
	pthread_mutex_t lock; /* guards the following */
	bool has_missing;
	struct hf_blob missing; /* one that is in no index */
};

struct hf_stats *
hf_stats_new(struct hf_repo *repo, struct hf_index *ix, enum hf_stats_mode mode,
	struct hf_stats_progress *progress)
{
	struct hf_stats *s = hf_new(struct hf_stats);
	size_t n = hf_index_len(ix);

	s->repo = repo;
	s->reader = hf_reader_new(repo, ix);
	s->ix = ix;
	s->mode = mode;
	s->is_v2 = hf_repo_config(repo)->version >= 2;
	s->progress = progress;
	s->inodes.max = s->contents.max = s->pairs.max = MAX_SET;
	s->hash = hf_sha256_new();
	pthread_mutex_init(&s->lock, NULL);
	if (mode == HF_STATS_RAW_DATA)
		hf_bits_init(&s->used, n);
	else if (mode != HF_STATS_RESTORE_SIZE)
		hf_bits_init(&s->single, n);
	return s;
}

void
hf_stats_free(struct hf_stats *s)
{
	if (s == NULL)
		return;
	hf_reader_free(s->reader);
	free(s->memos.v);
	free(s->frames);
	hf_idset_clear(&s->inodes);
	hf_bits_clear(&s->single);
	hf_idset_clear(&s->contents);
	hf_idset_clear(&s->pairs);
	hf_sha256_free(s->hash);
	hf_bits_clear(&s->used);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- what is known of trees ---- */

static struct memo *
memo_place(struct memo *v, size_t cap, uint32_t tree)
{
	size_t i = tree * UINT64_C(0x9E3779B97F4A7C15) >> 32 & (cap - 1);

	while (v[i].tree != 0 && v[i].tree != tree)
		i = (i + 1) & (cap - 1);
	return &v[i];
}

static const struct memo *
memo_find(const struct memos *m, uint32_t number)
{
	const struct memo *found;

	if (m->len == 0)
		return NULL;
	found = memo_place(m->v, m->cap, number + 1);
	return found->tree != 0 ? found : NULL;
}

/* Without memory, or beyond the limit, nothing is remembered, and trees are read again. */
static void
memo_add(struct memos *m, const struct memo *memo)
{
	if (m->len == MAX_MEMOS)
		return;
	if (2 * (m->len + 1) > m->cap) {
		size_t cap = m->cap == 0 ? 256 : 2 * m->cap;
		struct memo *v = calloc(cap, sizeof *v);

		if (v == NULL)
			return;
		for (size_t i = 0; i < m->cap; i++)
			if (m->v[i].tree != 0)
				*memo_place(v, cap, m->v[i].tree) = m->v[i];
		free(m->v);
		m->v = v;
		m->cap = cap;
	}
	struct memo *p = memo_place(m->v, m->cap, memo->tree);

	m->len += p->tree == 0;
	*p = *memo;
}

static void
show(struct hf_stats *s)
{
	atomic_store_explicit(&s->progress->files, s->sums.nodes, memory_order_relaxed);
	atomic_store_explicit(&s->progress->bytes, s->sums.bytes, memory_order_relaxed);
}

/* Counts a tree that is known. False: it has to be read. */
static bool
take_known(struct hf_stats *s, const struct hf_id *tree, bool is_root)
{
	struct hf_blob blob = {*tree, HF_TREE};
	struct hf_location at;
	const struct memo *m;

	if (!hf_index_find(s->ix, &blob, 0, &at))
		return false;
	m = memo_find(&s->memos, at.number);
	if (m == NULL || (m->is_root && !is_root))
		return false;
	s->sums.nodes += m->nodes;
	s->sums.bytes += m->bytes;
	s->sums.counted += m->counted;
	show(s);
	return true;
}

/* ---- nodes ---- */

/* Adds to a set; *is_new tells whether it was not in there. */
static struct hf_err *
set_add(struct hf_idset *set, const struct hf_id *id, bool *is_new)
{
	size_t before = set->len;

	/* No hash is all zero. */
	if (!hf_idset_add(set, id) && !hf_id_is_zero(id))
		return hf_err(HF_EFATAL, "no memory to count more than %zu files", set->len);
	*is_new = set->len > before;
	return NULL;
}

/* As an id, of which the first bytes are spread like those of a hash. */
static struct hf_id
inode_key(const struct hf_node *n)
{
	uint64_t v[4] = {(n->inode ^ n->device_id << 32 ^ n->device_id >> 32) *
				 UINT64_C(0x9E3779B97F4A7C15),
		n->inode, n->device_id, 1};
	struct hf_id id;

	v[0] ^= v[0] >> 32;
	memcpy(id.b, v, sizeof id.b);
	return id;
}

/* restic's rule: of what has several links each inode counts once, if it is known. */
static struct hf_err *
count_size(struct hf_stats *s, const struct hf_node *n)
{
	bool is_new = true;

	if (n->links != 1 && n->type != HF_NODE_DIR && n->inode != 0) {
		struct hf_id key = inode_key(n);

		s->sums.links++;
		HF_TRY(set_add(&s->inodes, &key, &is_new));
	}
	if (is_new)
		s->sums.counted += n->size;
	return NULL;
}

/* Whether nothing with this content was met before; what has none has the same one. */
static struct hf_err *
is_new_content(struct hf_stats *s, const struct hf_node *n, bool *is_new)
{
	struct hf_location at;
	struct hf_id key;

	if (n->n_content == 0) {
		*is_new = !s->has_empty;
		s->has_empty = true;
		return NULL;
	}
	if (n->n_content == 1) {
		struct hf_blob blob = {n->content[0], HF_DATA};

		if (hf_index_find(s->ix, &blob, 0, &at)) {
			*is_new = hf_bits_add(&s->single, at.number);
			return NULL;
		}
	}
	for (size_t i = 0; i < n->n_content; i++)
		hf_sha256_add(
			s->hash, (struct hf_bytes){n->content[i].b, sizeof n->content[i].b});
	key = hf_sha256_end(s->hash);
	return set_add(&s->contents, &key, is_new);
}

/* The hash of a path and the id of a blob make the pair's key: both are hashes. */
static struct hf_err *
count_blobs(struct hf_stats *s, const char *path, const struct hf_node *n)
{
	struct hf_id whole;
	bool is_new;

	if (n->n_content == 0)
		return NULL;
	whole = hf_sha256(hf_str_bytes(hf_str(path)));
	HF_TRY(set_add(&s->pairs, &whole, &is_new));
	s->result.files += is_new;
	for (size_t i = 0; i < n->n_content; i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};
		struct hf_location at;
		struct hf_id key = whole;

		atomic_fetch_add_explicit(&s->progress->blobs, 1, memory_order_relaxed);
		for (size_t k = 0; k < sizeof key.b; k++)
			key.b[k] ^= blob.id.b[k];
		HF_TRY(set_add(&s->pairs, &key, &is_new));
		if (!is_new)
			continue;
		if (!hf_index_find(s->ix, &blob, 0, &at))
			return hf_err(HF_ENOTFOUND, "blob %s not found for tree %s",
				hf_id_hex(&blob.id).s,
				hf_id_hex(&s->frames[s->n_frames - 1].tree).s);
		s->result.bytes += hf_location_size(&at);
		s->result.blobs++;
	}
	return NULL;
}

static struct hf_err *
count_content(struct hf_stats *s, const char *path, const struct hf_node *n)
{
	bool is_new;

	HF_TRY(is_new_content(s, n, &is_new));
	if (!is_new)
		return NULL;
	if (s->mode == HF_STATS_BLOBS_PER_FILE)
		return count_blobs(s, path, n);
	s->result.files++;
	s->result.bytes += n->size;
	return NULL;
}

/* ---- blobs in use ---- */

static struct hf_err *
missing_blob(const struct hf_blob *blob)
{
	return hf_err(HF_ENOTFOUND, "blob <%s/%.8s> not found", hf_blob_type_text(blob->type),
		hf_id_hex(&blob->id).s);
}

/* On any thread. What is below a tree that is missing cannot be counted; data can wait. */
static struct hf_err *
need(void *arg, const struct hf_blob *blob, bool *is_new)
{
	struct hf_stats *s = arg;
	struct hf_location at;

	if (hf_index_find(s->ix, blob, 0, &at)) {
		*is_new = hf_bits_add(&s->used, at.number);
		return NULL;
	}
	if (blob->type == HF_TREE)
		return missing_blob(blob);
	pthread_mutex_lock(&s->lock);
	s->has_missing = true;
	s->missing = *blob;
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- the walk ---- */

static struct hf_err *
visit_node(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct hf_stats *s = arg;

	if (n->type == HF_NODE_INVALID)
		return hf_err(HF_ECORRUPT, "%s: a node without a type", path);
	s->sums.nodes++;
	s->sums.bytes += n->size;
	show(s);
	if (s->mode == HF_STATS_RESTORE_SIZE)
		HF_TRY(count_size(s, n));
	else
		HF_TRY(count_content(s, path, n));
	if (n->type == HF_NODE_DIR && n->has_subtree && take_known(s, &n->subtree, false))
		*next = HF_WALK_SKIP;
	return NULL;
}

static void
enter_folder(void *arg, const char *path, const struct hf_id *tree)
{
	struct hf_stats *s = arg;
	struct hf_blob blob = {*tree, HF_TREE};
	struct hf_location at;

	(void)path;
	if (s->n_frames == s->cap_frames) {
		s->cap_frames = s->cap_frames == 0 ? 32 : 2 * s->cap_frames;
		s->frames = hf_realloc_array(s->frames, s->cap_frames, sizeof *s->frames);
	}
	/* It was loaded, so that it is in the index. */
	if (!hf_index_find(s->ix, &blob, 0, &at))
		abort();
	s->frames[s->n_frames++] = (struct frame){*tree, at.number, s->sums};
}

/* Remembers the tree that is left, unless the rule about hard links makes it worthless. */
static void
leave(struct hf_stats *s, bool is_root)
{
	const struct frame *f = &s->frames[--s->n_frames];
	bool has_links = s->sums.links != f->before.links;
	struct memo m = {
		.tree = f->number + 1,
		.is_root = has_links,
		.nodes = s->sums.nodes - f->before.nodes,
		.bytes = s->sums.bytes - f->before.bytes,
		.counted = s->sums.counted - f->before.counted,
	};

	if (is_root || !has_links)
		memo_add(&s->memos, &m);
}

static struct hf_err *
leave_folder(void *arg, const char *path)
{
	(void)path;
	leave(arg, false);
	return NULL;
}

struct hf_err *
hf_stats_add(struct hf_stats *s, const struct hf_snapshot *sn, struct hf_stop *stop)
{
	struct hf_walker walker = {s, visit_node, leave_folder, NULL, enter_folder};
	const struct hf_marker marker = {s, need, stop, NULL};

	atomic_fetch_add(&s->progress->snapshots, 1);
	atomic_store(&s->progress->blobs, 0);
	s->sums = (struct sums){0};
	show(s);
	if (!sn->has_tree)
		return hf_err(HF_ECORRUPT, "snapshot %.8s has nil tree", hf_id_hex(&sn->id).s);
	s->result.snapshots++;
	if (s->mode == HF_STATS_RAW_DATA)
		return hf_mark(s->repo, s->ix, &sn, 1, &marker);
	s->n_frames = 0;
	hf_idset_clear(&s->inodes);
	if (!take_known(s, &sn->tree, true)) {
		HF_TRY(hf_err_in(hf_walk(s->reader, &sn->tree, "/", &walker, stop),
			"walking tree %s", hf_id_hex(&sn->tree).s));
		leave(s, true);
	}
	if (s->mode == HF_STATS_RESTORE_SIZE) {
		s->result.files += s->sums.nodes;
		s->result.bytes += s->sums.counted;
	}
	return NULL;
}

static void
count_stored(struct hf_stats *s, const struct hf_location *at)
{
	uint64_t raw = hf_location_size(at) + HF_SEAL_OVERHEAD;

	s->result.blobs++;
	s->result.bytes += at->length;
	if (!s->is_v2)
		return;
	s->result.raw_bytes += raw;
	if (at->raw_length != 0) {
		s->result.packed_bytes += at->length;
		s->result.packed_raw_bytes += raw;
	}
}

struct hf_err *
hf_stats_end(struct hf_stats *s, struct hf_stats_result *out)
{
	struct hf_location at;
	struct hf_blob blob;

	/* Of what is stored several times all copies count, as with restic. */
	for (size_t i = 0; s->mode == HF_STATS_RAW_DATA && i < s->used.n; i++)
		if (hf_bits_has(&s->used, i) && hf_index_entry(s->ix, i, &blob, &at))
			for (unsigned n = 0; hf_index_find(s->ix, &blob, n, &at); n++)
				count_stored(s, &at);
	if (s->mode == HF_STATS_RAW_DATA) {
		atomic_store(&s->progress->blobs, s->result.blobs);
		atomic_store(&s->progress->bytes, s->result.bytes);
	}
	if (s->has_missing)
		return missing_blob(&s->missing);
	*out = s->result;
	return NULL;
}
