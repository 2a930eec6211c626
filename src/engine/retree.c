/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/retree.h"

#include "codec/quote.h"
#include "codec/sha256.h"

enum {
	MAX_PATH = 16 << 20,
	LOAD_TRIES = 3,
	MEMOS = 1 << 18, /* entries of the table; what falls on one place forgets each other */
};

/* What a tree became. */
struct memo {
	struct hf_id key; /* all zero: none */
	struct hf_id to;
	struct hf_retree_sum sum;
};

/* One folder on the way down. */
struct level {
	struct hf_id id;
	struct hf_buf plain; /* the tree as it is */
	struct hf_tree *tree;
	struct hf_buf out;  /* the tree as it will be */
	struct hf_node dir; /* the folder in it that is being worked on */
	size_t path_len;    /* of its own path */
	size_t n_nodes;     /* that are left */
	struct hf_retree_sum sum;
};

struct hf_retree {
	struct hf_retree_options o;
	const struct hf_retree_rules *rules; /* borrowed */
	struct hf_reader *reader;
	struct hf_saver *saver; /* NULL: nothing to save so far */
	struct hf_sealer *sealer;
	struct memo *memos; /* MEMOS of them */
	struct level *levels;
	size_t n_levels, cap;
	struct hf_buf path; /* of what is being looked at, NUL-terminated */
};

struct hf_retree *
hf_retree_new(const struct hf_retree_options *options, const struct hf_retree_rules *rules)
{
	struct hf_retree *t = hf_new(struct hf_retree);

	t->o = *options;
	t->rules = rules;
	t->reader = hf_reader_new(options->repo, options->ix);
	t->memos = hf_alloc_(MEMOS, sizeof *t->memos);
	t->path = (struct hf_buf)HF_BUF_MAX(MAX_PATH);
	return t;
}

static void
level_clear(struct level *l)
{
	hf_tree_free(l->tree);
	hf_buf_clear(&l->plain);
	hf_buf_clear(&l->out);
}

static void
drop_levels(struct hf_retree *t)
{
	while (t->n_levels > 0)
		level_clear(&t->levels[--t->n_levels]);
}

static void
drop_saver(struct hf_retree *t)
{
	hf_sealer_free(t->sealer);
	hf_saver_free(t->saver);
	t->sealer = NULL;
	t->saver = NULL;
}

void
hf_retree_free(struct hf_retree *t)
{
	if (t == NULL)
		return;
	drop_levels(t);
	drop_saver(t);
	hf_reader_free(t->reader);
	hf_buf_clear(&t->path);
	free(t->memos);
	free(t->levels);
	free(t);
}

/* ---- paths ---- */

static const char *
path_of(const struct hf_retree *t)
{
	return (const char *)t->path.p;
}

/* Cuts the path to `len` bytes and puts "/name" behind it, unless `name` is empty. */
static struct hf_err *
set_path(struct hf_retree *t, size_t len, struct hf_str name)
{
	t->path.len = len;
	if (name.len > 0 && t->path.p[len - 1] != '/')
		hf_buf_add_char(&t->path, '/');
	hf_buf_add(&t->path, name.p, name.len);
	hf_buf_add_char(&t->path, 0);
	return hf_buf_ok(&t->path);
}

/* ---- what trees became ---- */

static struct memo *
memo_of(struct hf_retree *t, const struct hf_id *tree, struct hf_id *key)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_PATH + 64);

	*key = *tree;
	if (t->rules->is_by_path) {
		hf_buf_add(&text, tree, sizeof *tree);
		hf_buf_add_str(&text, path_of(t));
		*key = hf_sha256(hf_buf_bytes(&text));
	}
	size_t slot;
	memcpy(&slot, key->b, sizeof slot);
	return &t->memos[slot % MEMOS];
}

static bool
remembers(struct hf_retree *t, const struct hf_id *tree, struct hf_id *to,
	struct hf_retree_sum *sum)
{
	struct hf_id key;
	const struct memo *m = memo_of(t, tree, &key);

	if (t->rules->is_forgetful || hf_id_is_zero(&key) || !hf_id_eq(&m->key, &key))
		return false;
	*to = m->to;
	*sum = m->sum;
	return true;
}

static void
remember(struct hf_retree *t, const struct hf_id *tree, const struct hf_id *to,
	const struct hf_retree_sum *sum)
{
	struct hf_id key;
	struct memo *m = memo_of(t, tree, &key);

	*m = (struct memo){key, *to, *sum};
}

/* ---- saving ---- */

static struct hf_err *
save(struct hf_retree *t, struct hf_bytes tree, struct hf_id *id)
{
	struct hf_saver_options so = {
		.is_dry_run = t->o.is_dry_run, .lease = t->o.lease, .trail = t->o.trail};

	if (t->saver == NULL) {
		HF_TRY(hf_saver_new(t->o.repo, t->o.ix, &so, &t->saver));
		t->sealer = hf_sealer_new(t->saver);
	}
	return hf_sealer_save(t->sealer, HF_TREE, tree, id, NULL);
}

struct hf_err *
hf_retree_commit(struct hf_retree *t)
{
	struct hf_err *e = NULL;

	if (t->saver != NULL)
		e = hf_saver_flush(t->saver);
	drop_saver(t);
	return e;
}

static struct hf_err *
save_empty(struct hf_retree *t, struct hf_id *id)
{
	hf_auto(hf_buf) out = HF_BUF_MAX(64);

	hf_tree_begin(&out);
	hf_tree_end(&out);
	return save(t, hf_buf_bytes(&out), id);
}

/* ---- one folder ---- */

static bool
is_same(const struct hf_buf *a, const struct hf_buf *b)
{
	return hf_bytes_eq(hf_buf_bytes(a), hf_buf_bytes(b));
}

/* Reads all of it and writes it again, to see whether it is the same then. */
static struct hf_err *
check_form(struct hf_retree *t, struct level *l)
{
	hf_autoptr(hf_tree) tree = NULL;
	hf_auto(hf_buf) quoted = HF_BUF_MAX(3 * MAX_PATH);
	const struct hf_node *n;
	bool more;

	HF_TRY(hf_tree_parse(hf_buf_bytes(&l->plain), &tree));
	hf_buf_reset(&l->out);
	hf_tree_begin(&l->out);
	for (;;) {
		HF_TRY(hf_tree_next(tree, &n, &more));
		if (!more)
			break;
		hf_tree_add(&l->out, n);
	}
	hf_tree_end(&l->out);
	HF_TRY(hf_buf_ok(&l->out));
	if (is_same(&l->out, &l->plain))
		return NULL;
	hf_quote(&quoted, hf_str(path_of(t)));
	return hf_err(HF_ECORRUPT, "cannot encode tree at \"%.*s\" without losing information",
		(int)quoted.len, (const char *)quoted.p);
}

/* Bytes can be damaged on their way: what is to be taken for lost must fail more than once. */
static struct hf_err *
load(struct hf_retree *t, struct level *l)
{
	struct hf_blob blob = {l->id, HF_TREE};
	struct hf_err *e = NULL;

	if (hf_id_is_zero(&l->id))
		return hf_err(HF_ECORRUPT, "folder without a tree");
	for (int i = 0; i < LOAD_TRIES; i++) {
		hf_err_free(e);
		hf_buf_reset(&l->plain);
		e = hf_reader_blob(t->reader, &blob, &l->plain);
		if (e == NULL || hf_err_code(e) != HF_ECORRUPT)
			break;
	}
	HF_TRY(e);
	return hf_tree_parse(hf_buf_bytes(&l->plain), &l->tree);
}

/* The rule for a tree that is not there. *is_done: *out is what takes its place. */
static struct hf_err *
replace_failed(struct hf_retree *t, struct hf_err *e, struct hf_id *out)
{
	enum hf_retree_failed how = HF_RETREE_ERROR;

	if (t->rules->failed != NULL && hf_err_code(e) != HF_ECANCELED)
		how = t->rules->failed(t->rules->arg, path_of(t), e);
	if (how == HF_RETREE_ERROR)
		return e;
	hf_err_free(e);
	*out = (struct hf_id){0};
	return how == HF_RETREE_EMPTY ? save_empty(t, out) : NULL;
}

/*
 * Begins with the folder whose path is set. *is_done: there is nothing to be done in it, *out and
 * *sum are what comes of it.
 */
static struct hf_err *
enter(struct hf_retree *t, const struct hf_id *id, bool *is_done, struct hf_id *out,
	struct hf_retree_sum *sum)
{
	*sum = (struct hf_retree_sum){0};
	*is_done = remembers(t, id, out, sum);
	if (*is_done)
		return NULL;
	if (t->n_levels == t->cap) {
		t->cap = t->cap == 0 ? 16 : 2 * t->cap;
		t->levels = hf_realloc_array(t->levels, t->cap, sizeof *t->levels);
	}
	struct level *l = &t->levels[t->n_levels++];
	*l = (struct level){
		.id = *id,
		.plain = HF_BUF_SPOOL(HF_MAX_TREE),
		.out = HF_BUF_SPOOL(HF_MAX_TREE),
		.path_len = t->path.len - 1,
	};
	struct hf_err *e = load(t, l);
	if (e != NULL) {
		level_clear(l);
		t->n_levels--;
		*is_done = true;
		return replace_failed(t, e, out);
	}
	if (!t->rules->may_lose)
		HF_TRY(check_form(t, l));
	hf_buf_reset(&l->out);
	hf_tree_begin(&l->out);
	return NULL;
}

static void
add_node(struct level *l, const struct hf_node *n)
{
	hf_tree_add(&l->out, n);
	l->n_nodes++;
}

/* A folder below has become `id`; nothing is left of it when that is zero. */
static void
add_folder(struct level *l, const struct hf_id *id, const struct hf_retree_sum *sum)
{
	l->sum.files += sum->files;
	l->sum.bytes += sum->bytes;
	if (hf_id_is_zero(id))
		return;
	l->dir.subtree = *id;
	l->dir.has_subtree = true;
	add_node(l, &l->dir);
}

/* The innermost folder is done. */
static struct hf_err *
leave(struct hf_retree *t, struct hf_id *out, struct hf_retree_sum *sum)
{
	struct level *l = &t->levels[t->n_levels - 1];

	HF_TRY(set_path(t, l->path_len, (struct hf_str){0}));
	hf_tree_end(&l->out);
	HF_TRY(hf_buf_ok(&l->out));
	*sum = l->sum;
	if (l->n_nodes == 0 && t->rules->keeps_empty != NULL &&
		!t->rules->keeps_empty(t->rules->arg, path_of(t)))
		*out = (struct hf_id){0};
	else if (is_same(&l->out, &l->plain))
		*out = l->id;
	else
		HF_TRY(save(t, hf_buf_bytes(&l->out), out));
	remember(t, &l->id, out, sum);
	level_clear(l);
	t->n_levels--;
	return NULL;
}

/* One node of the innermost folder. False in *more: it was the last one. */
static struct hf_err *
step(struct hf_retree *t, bool *more)
{
	struct level *l = &t->levels[t->n_levels - 1];
	const struct hf_id none = {0};
	const struct hf_node *n;
	struct hf_retree_sum sum;
	struct hf_id id;
	bool is_done;

	HF_TRY(hf_tree_next(l->tree, &n, more));
	if (!*more)
		return NULL;
	HF_TRY(set_path(t, l->path_len, n->name));
	struct hf_node node = *n;
	if (!t->rules->node(t->rules->arg, path_of(t), &node))
		return NULL;
	if (node.type != HF_NODE_DIR) {
		l->sum.files += node.type == HF_NODE_FILE;
		l->sum.bytes += node.type == HF_NODE_FILE ? node.size : 0;
		add_node(l, &node);
		return NULL;
	}
	l->dir = node; /* lives on in the tree, which stands still meanwhile */
	HF_TRY(enter(t, node.has_subtree ? &node.subtree : &none, &is_done, &id, &sum));
	if (is_done)
		add_folder(&t->levels[t->n_levels - 1], &id, &sum);
	return NULL;
}

static struct hf_err *
run(struct hf_retree *t, const struct hf_id *root, struct hf_id *out, struct hf_retree_sum *sum)
{
	bool is_done, more;

	hf_buf_reset(&t->path);
	hf_buf_add_str(&t->path, "/");
	HF_TRY(set_path(t, 1, (struct hf_str){0}));
	HF_TRY(enter(t, root, &is_done, out, sum));
	while (t->n_levels > 0) {
		HF_TRY(hf_stop_check(t->o.stop));
		HF_TRY(step(t, &more));
		if (more)
			continue;
		HF_TRY(leave(t, out, sum));
		if (t->n_levels > 0)
			add_folder(&t->levels[t->n_levels - 1], out, sum);
	}
	return NULL;
}

struct hf_err *
hf_retree(struct hf_retree *t, const struct hf_id *root, struct hf_id *out,
	struct hf_retree_sum *sum)
{
	struct hf_err *e = run(t, root, out, sum);

	drop_levels(t);
	return e;
}
