/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two trees are read side by side, in the order of names. What only one of them has is walked alone.
 */
#include "engine/diff.h"

#include "base/bits.h"
#include "base/idset.h"
#include "engine/treewalk.h"

enum { MAX_PATH = 16 << 20, MAX_MISSING = 1 << 26 };

enum side { BEFORE, AFTER, COMMON };

/* A set of blobs, of which those that no index lists have no number. */
struct blobs {
	struct hf_bits known;
	struct hf_idset missing[HF_TREE + 1];
};

/* One of the two trees of a folder, and the node that has been read and not been dealt with. */
struct half {
	struct hf_tree *tree; /* owned */
	const struct hf_node *node;
	bool is_over;
};

struct level {
	struct half half[2];
	size_t path_len; /* of the folder, with the slash behind it */
};

struct diff {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_reader *reader;
	const struct hf_differ *d;
	struct hf_stop *stop;
	struct hf_diff_result result;
	struct blobs blobs[3]; /* by enum side */

	struct hf_id *common; /* roots of what is the same; owned */
	size_t n_common, cap_common;

	struct level *levels; /* owned */
	size_t n_levels, cap_levels;
	struct hf_buf path; /* NUL-terminated */

	/* While a folder is walked that only one side has. */
	enum side side;
	struct hf_buf folder; /* its path with a slash */
};

static void
level_clear(struct level *l)
{
	hf_tree_free(l->half[0].tree);
	hf_tree_free(l->half[1].tree);
}

static void
diff_clear(struct diff *k)
{
	while (k->n_levels > 0)
		level_clear(&k->levels[--k->n_levels]);
	free(k->levels);
	free(k->common);
	for (enum side s = BEFORE; s <= COMMON; s++) {
		hf_bits_clear(&k->blobs[s].known);
		hf_idset_clear(&k->blobs[s].missing[HF_DATA]);
		hf_idset_clear(&k->blobs[s].missing[HF_TREE]);
	}
	hf_reader_free(k->reader);
	hf_buf_clear(&k->path);
	hf_buf_clear(&k->folder);
}

static void
report(struct diff *k, struct hf_err *e)
{
	k->result.errors++;
	k->d->error(k->d->arg, e);
}

/* What ends everything is returned; all else is reported, and the comparison goes on. */
static struct hf_err *
survive(struct diff *k, struct hf_err *e)
{
	if (e == NULL || hf_err_code(e) == HF_ECANCELED || hf_err_code(e) == HF_EFATAL)
		return e;
	report(k, e);
	return NULL;
}

static struct hf_err *
go_on(void *arg, const char *path, struct hf_err *e)
{
	(void)path;
	return survive(arg, e);
}

/* ---- blobs ---- */

/* Whether the side has not used this tree so far; what is in no index is looked for again. */
static bool
is_first_use(const struct diff *k, enum side side, const struct hf_id *tree)
{
	struct hf_blob blob = {*tree, HF_TREE};
	struct hf_location at;

	return !hf_index_find(k->ix, &blob, 0, &at) ||
	       !hf_bits_has(&k->blobs[side].known, at.number);
}

static void
use(struct diff *k, enum side side, const struct hf_id *id, enum hf_blob_type type)
{
	struct blobs *set = &k->blobs[side];
	struct hf_blob blob = {*id, type};
	struct hf_location at;

	if (hf_index_find(k->ix, &blob, 0, &at))
		hf_bits_add(&set->known, at.number);
	else
		hf_idset_add(&set->missing[type], id);
}

static void
use_node(struct diff *k, enum side side, const struct hf_node *n)
{
	for (size_t i = 0; n->type == HF_NODE_FILE && i < n->n_content; i++)
		use(k, side, &n->content[i], HF_DATA);
	if (n->type == HF_NODE_DIR && n->has_subtree)
		use(k, side, &n->subtree, HF_TREE);
}

/* Something in a folder that is the same in both. */
static struct hf_err *
visit_common(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct diff *k = arg;

	(void)path;
	if (n->type == HF_NODE_DIR && n->has_subtree && !is_first_use(k, COMMON, &n->subtree))
		*next = HF_WALK_SKIP;
	use_node(k, COMMON, n);
	return NULL;
}

/* Whether one side uses a blob that the other does not. */
static bool
is_different(const struct diff *k)
{
	const struct blobs *a = &k->blobs[BEFORE], *b = &k->blobs[AFTER];

	for (size_t i = 0; i <= a->known.n / 64; i++)
		if (atomic_load_explicit(&a->known.v[i], memory_order_relaxed) !=
			atomic_load_explicit(&b->known.v[i], memory_order_relaxed))
			return true;
	return a->missing[HF_DATA].len + a->missing[HF_TREE].len + b->missing[HF_DATA].len +
		       b->missing[HF_TREE].len >
	       0;
}

/* Marks all that the common folders use, unless nothing depends on it. */
static struct hf_err *
mark_common(struct diff *k)
{
	const struct hf_walker walker = {.arg = k, .node = visit_common, .error = go_on};

	if (!is_different(k))
		return NULL;
	for (size_t i = 0; i < k->n_common; i++) {
		if (!is_first_use(k, COMMON, &k->common[i]))
			continue;
		use(k, COMMON, &k->common[i], HF_TREE);
		HF_TRY(hf_walk(k->reader, &k->common[i], "/", &walker, k->stop));
	}
	return NULL;
}

/* What is in `side` alone. Of what is stored several times all copies count, as with restic. */
static void
count_blobs(struct diff *k, enum side side, struct hf_diff_stat *out)
{
	const struct blobs *own = &k->blobs[side], *other = &k->blobs[side ^ 1],
			   *common = &k->blobs[COMMON];
	struct hf_location at;
	struct hf_blob blob;

	for (size_t i = 0; i < own->known.n; i++) {
		if (!hf_bits_has(&own->known, i) || hf_bits_has(&other->known, i) ||
			hf_bits_has(&common->known, i) || !hf_index_entry(k->ix, i, &blob, &at))
			continue;
		for (unsigned n = 0; hf_index_find(k->ix, &blob, n, &at); n++) {
			*(blob.type == HF_DATA ? &out->data_blobs : &out->tree_blobs) += 1;
			out->bytes += hf_location_size(&at);
		}
	}
	for (enum hf_blob_type t = HF_DATA; t <= HF_TREE; t++) {
		for (size_t i = 0; i < own->missing[t].cap; i++) {
			const struct hf_id *id = &own->missing[t].v[i];

			if (hf_id_is_zero(id) || hf_idset_has(&other->missing[t], id) ||
				hf_idset_has(&common->missing[t], id))
				continue;
			*(t == HF_DATA ? &out->data_blobs : &out->tree_blobs) += 1;
			report(k, hf_err(HF_ENOTFOUND, "unable to find blob size for <%s/%.8s>",
					  hf_blob_type_text(t), hf_id_hex(id).s));
		}
	}
}

/* ---- paths ---- */

/* Cuts the path to `len` bytes and puts the name behind it, with a slash behind that of a folder. */
static struct hf_err *
set_path(struct diff *k, size_t len, struct hf_str name, bool is_folder)
{
	k->path.len = len;
	hf_buf_add(&k->path, name.p, name.len);
	if (is_folder)
		hf_buf_add_char(&k->path, '/');
	hf_buf_add_char(&k->path, 0);
	return hf_buf_ok(&k->path);
}

static struct hf_err *
tell(struct diff *k, const char *how)
{
	return k->d->change(k->d->arg, (const char *)k->path.p, how);
}

/* ---- what one side has alone ---- */

static void
count_node(struct hf_diff_stat *s, const struct hf_node *n)
{
	switch (n->type) {
	case HF_NODE_FILE:
		s->files++;
		break;
	case HF_NODE_DIR:
		s->dirs++;
		break;
	default:
		s->others++;
	}
}

static struct hf_err *
tell_alone(struct diff *k, const char *path, const struct hf_node *n)
{
	count_node(k->side == AFTER ? &k->result.added : &k->result.removed, n);
	use_node(k, k->side, n);
	return k->d->change(k->d->arg, path, k->side == AFTER ? "+" : "-");
}

static struct hf_err *
visit_alone(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct diff *k = arg;

	(void)next;
	if (n->type != HF_NODE_DIR)
		return tell_alone(k, path, n);
	hf_buf_reset(&k->folder);
	hf_buf_addf(&k->folder, "%s/", path);
	hf_buf_add_char(&k->folder, 0);
	HF_TRY(hf_buf_ok(&k->folder));
	return tell_alone(k, (const char *)k->folder.p, n);
}

/* A node that only one side has, and what is below it. Its path is that of `l` and its name. */
static struct hf_err *
walk_alone(struct diff *k, const struct level *l, enum side side, const struct hf_node *n)
{
	const struct hf_walker walker = {.arg = k, .node = visit_alone, .error = go_on};
	struct hf_id tree = n->subtree;
	bool is_folder = n->type == HF_NODE_DIR;

	k->side = side;
	HF_TRY(set_path(k, l->path_len, n->name, is_folder));
	HF_TRY(tell_alone(k, (const char *)k->path.p, n));
	if (!is_folder)
		return NULL;
	if (!n->has_subtree)
		return survive(k, hf_err(HF_ECORRUPT, "%s: folder without a tree",
					  (const char *)k->path.p));
	HF_TRY(set_path(k, l->path_len, n->name, false));
	return hf_walk(k->reader, &tree, (const char *)k->path.p, &walker, k->stop);
}

/* ---- what both have ---- */

static bool
is_same_content(const struct hf_node *a, const struct hf_node *b)
{
	return a->has_content == b->has_content && a->n_content == b->n_content &&
	       (a->n_content == 0 ||
		       memcmp(a->content, b->content, a->n_content * sizeof *a->content) == 0);
}

static bool
has_xattr(const struct hf_node *n, const struct hf_xattr *x)
{
	for (size_t i = 0; i < n->n_xattrs; i++)
		if (hf_str_eq(n->xattrs[i].name, x->name))
			return hf_str_eq(
				hf_bytes_str(n->xattrs[i].value), hf_bytes_str(x->value));
	return false;
}

static bool
is_same_xattrs(const struct hf_node *a, const struct hf_node *b)
{
	if (a->n_xattrs != b->n_xattrs)
		return false;
	for (size_t i = 0; i < a->n_xattrs; i++)
		if (!has_xattr(b, &a->xattrs[i]))
			return false;
	return true;
}

/* Everything but the content. */
static bool
is_same_metadata(const struct hf_node *a, const struct hf_node *b)
{
	return a->type == b->type && a->mode == b->mode &&
	       hf_time_cmp(&a->mtime, &b->mtime) == 0 &&
	       hf_time_cmp(&a->atime, &b->atime) == 0 &&
	       hf_time_cmp(&a->ctime, &b->ctime) == 0 && a->uid == b->uid && a->gid == b->gid &&
	       hf_str_eq(a->user, b->user) && hf_str_eq(a->group, b->group) &&
	       a->inode == b->inode && a->device_id == b->device_id && a->size == b->size &&
	       a->links == b->links && hf_str_eq(a->linktarget, b->linktarget) &&
	       a->device == b->device && is_same_xattrs(a, b) &&
	       hf_str_eq(a->generic_attributes, b->generic_attributes) &&
	       a->has_subtree == b->has_subtree &&
	       (!a->has_subtree || hf_id_eq(&a->subtree, &b->subtree)) &&
	       hf_str_eq(a->error, b->error);
}

static struct hf_err *
push(struct diff *k, const struct hf_id *before, const struct hf_id *after, size_t path_len)
{
	struct level l = {.path_len = path_len};
	struct hf_err *e = hf_tree_load(k->reader, before, &l.half[0].tree);

	if (e == NULL)
		e = hf_tree_load(k->reader, after, &l.half[1].tree);
	if (e != NULL) {
		level_clear(&l);
		return e;
	}
	if (k->n_levels == k->cap_levels) {
		k->cap_levels = k->cap_levels == 0 ? 16 : 2 * k->cap_levels;
		k->levels = hf_realloc_array(k->levels, k->cap_levels, sizeof *k->levels);
	}
	k->levels[k->n_levels++] = l;
	return NULL;
}

static void
add_common(struct diff *k, const struct hf_id *tree)
{
	if (k->n_common == k->cap_common) {
		k->cap_common = k->cap_common == 0 ? 64 : 2 * k->cap_common;
		k->common = hf_realloc_array(k->common, k->cap_common, sizeof *k->common);
	}
	k->common[k->n_common++] = *tree;
}

/* Two folders of the same name, whose path is set. */
static struct hf_err *
compare_folders(struct diff *k, const struct hf_node *a, const struct hf_node *b)
{
	if (!a->has_subtree || !b->has_subtree)
		return survive(k, hf_err(HF_ECORRUPT, "%s: folder without a tree",
					  (const char *)k->path.p));
	if (!hf_id_eq(&a->subtree, &b->subtree))
		return survive(k, push(k, &a->subtree, &b->subtree, k->path.len - 1));
	add_common(k, &a->subtree);
	return NULL;
}

/* Two nodes of the same name. */
static struct hf_err *
compare(struct diff *k, const struct level *l, const struct hf_node *a, const struct hf_node *b)
{
	char how[4];
	size_t n = 0;

	if (a->type != b->type)
		how[n++] = 'T';
	if (a->type == HF_NODE_FILE && b->type == HF_NODE_FILE && !is_same_content(a, b)) {
		how[n++] = 'M';
		k->result.changed_files++;
		if (is_same_metadata(a, b))
			how[n++] = '?';
	} else if (k->d->with_metadata && !(is_same_metadata(a, b) && is_same_content(a, b))) {
		how[n++] = 'U';
	}
	how[n] = '\0';
	HF_TRY(set_path(k, l->path_len, b->name, b->type == HF_NODE_DIR));
	if (n > 0)
		HF_TRY(tell(k, how));
	if (a->type == HF_NODE_DIR && b->type == HF_NODE_DIR)
		return compare_folders(k, a, b);
	return NULL;
}

/* ---- side by side ---- */

static struct hf_err *
read_half(struct half *h)
{
	bool more = true;

	if (h->node != NULL || h->is_over)
		return NULL;
	HF_TRY(hf_tree_next(h->tree, &h->node, &more));
	if (!more) {
		h->node = NULL;
		h->is_over = true;
	}
	return NULL;
}

/* The next name of the innermost folder. */
static struct hf_err *
step(struct diff *k)
{
	/* By value: what is pushed may move the levels. */
	struct level l = k->levels[k->n_levels - 1];
	struct half *before = &l.half[0], *after = &l.half[1];
	const struct hf_node *a, *b;
	int c = 0;

	HF_TRY(read_half(before));
	HF_TRY(read_half(after));
	a = before->node;
	b = after->node;
	if (a == NULL && b == NULL) {
		level_clear(&k->levels[--k->n_levels]);
		return NULL;
	}
	if (a != NULL && b != NULL)
		c = hf_str_cmp(a->name, b->name);
	if (c < 0)
		b = NULL;
	if (c > 0)
		a = NULL;
	if (a != NULL) {
		use_node(k, BEFORE, a);
		before->node = NULL;
	}
	if (b != NULL) {
		use_node(k, AFTER, b);
		after->node = NULL;
	}
	k->levels[k->n_levels - 1] = l;
	if (a != NULL && b != NULL)
		return compare(k, &l, a, b);
	return walk_alone(k, &l, a != NULL ? BEFORE : AFTER, a != NULL ? a : b);
}

static struct hf_err *
compare_all(struct diff *k)
{
	while (k->n_levels > 0) {
		size_t depth = k->n_levels;
		struct hf_err *e = hf_stop_check(k->stop);

		if (e == NULL)
			e = step(k);
		if (e == NULL)
			continue;
		/* The rest of a folder is lost; of the two at the top, all of it. */
		if (depth == 1)
			return e;
		HF_TRY(survive(k, e));
		level_clear(&k->levels[--k->n_levels]);
	}
	return NULL;
}

struct hf_err *
hf_diff(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *before,
	const struct hf_id *after, const struct hf_differ *d, struct hf_stop *stop,
	struct hf_diff_result *out)
{
	hf_auto(diff) k = {.repo = repo,
		.ix = ix,
		.reader = hf_reader_new(repo, ix),
		.d = d,
		.stop = stop,
		.path = HF_BUF_MAX(MAX_PATH),
		.folder = HF_BUF_MAX(MAX_PATH)};

	for (enum side s = BEFORE; s <= COMMON; s++) {
		hf_bits_init(&k.blobs[s].known, hf_index_len(ix));
		k.blobs[s].missing[HF_DATA].max = k.blobs[s].missing[HF_TREE].max = MAX_MISSING;
	}
	use(&k, BEFORE, before, HF_TREE);
	use(&k, AFTER, after, HF_TREE);
	hf_buf_add_char(&k.path, '/');
	HF_TRY(push(&k, before, after, 1));
	HF_TRY(compare_all(&k));
	HF_TRY(mark_common(&k));
	count_blobs(&k, BEFORE, &k.result.removed);
	count_blobs(&k, AFTER, &k.result.added);
	*out = k.result;
	return NULL;
}
