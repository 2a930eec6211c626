/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which snapshots need something that is damaged or missing. Their trees are walked once more, each
 * tree once: what is known of it is kept, one bit for "walked" and one for "needs damage".
 */
#include "engine/check_run.h"
#include "engine/treewalk.h"

/* A folder on the way down. */
struct level {
	uint32_t number; /* of its tree */
	bool is_known;   /* in the index */
	bool is_hurt;
};

struct survey {
	struct hf_check_run *c;
	struct hf_bits walked, hurt; /* trees by number */
	struct hf_buf levels;
	bool is_root_lost; /* it could not even be loaded */
};

static struct level *
top(struct survey *s)
{
	return s->levels.len == 0 ? NULL
				  : (struct level *)(void *)(s->levels.p + s->levels.len -
							     sizeof(struct level));
}

/* Whether no copy of the blob is left that may be good. */
static bool
is_gone(struct survey *s, const struct hf_blob *blob)
{
	struct hf_location at;

	return !hf_index_find(s->c->ix, blob, 0, &at) || hf_check_is_lost(s->c, blob);
}

static void
see_dir(struct survey *s, const struct hf_node *n, enum hf_walk_next *next)
{
	struct hf_blob blob = {n->subtree, HF_TREE};
	struct hf_location at;

	*next = HF_WALK_SKIP;
	if (!n->has_subtree || is_gone(s, &blob) || !hf_index_find(s->c->ix, &blob, 0, &at))
		top(s)->is_hurt = true;
	else if (hf_bits_has(&s->walked, at.number))
		top(s)->is_hurt |= hf_bits_has(&s->hurt, at.number);
	else
		*next = HF_WALK_DESCEND;
}

static struct hf_err *
node(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct survey *s = arg;

	(void)path;
	if (n->type == HF_NODE_DIR)
		see_dir(s, n, next);
	for (size_t i = 0; i < n->n_content && !top(s)->is_hurt; i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};

		top(s)->is_hurt = is_gone(s, &blob);
	}
	return NULL;
}

static void
enter(void *arg, const char *path, const struct hf_id *id)
{
	struct survey *s = arg;
	struct hf_blob blob = {*id, HF_TREE};
	struct hf_location at = {.number = 0};
	struct level l = {.is_known = hf_index_find(s->c->ix, &blob, 0, &at)};

	(void)path;
	l.number = at.number;
	hf_buf_add(&s->levels, &l, sizeof l);
}

/* The innermost folder is over: what became known of it, and what that means for the one around it. */
static bool
pop(struct survey *s)
{
	struct level l = *top(s);

	s->levels.len -= sizeof l;
	if (l.is_known) {
		hf_bits_add(&s->walked, l.number);
		if (l.is_hurt)
			hf_bits_add(&s->hurt, l.number);
	}
	if (s->levels.len > 0)
		top(s)->is_hurt |= l.is_hurt;
	return l.is_hurt;
}

static struct hf_err *
leave(void *arg, const char *path)
{
	(void)path;
	pop(arg);
	return NULL;
}

/* A tree that cannot be read; if it could not be loaded, the innermost folder is the one around it. */
static struct hf_err *
error(void *arg, const char *path, struct hf_err *e)
{
	struct survey *s = arg;

	(void)path;
	if (hf_err_code(e) == HF_ECANCELED)
		return e;
	if (top(s) != NULL)
		top(s)->is_hurt = true;
	else
		s->is_root_lost = true;
	hf_err_free(e);
	return NULL;
}

static struct hf_err *
survey_root(struct survey *s, struct hf_reader *reader, const struct hf_check_root *root)
{
	const struct hf_walker walker = {s, node, leave, error, enter};
	bool is_hurt;

	hf_buf_reset(&s->levels);
	s->is_root_lost = false;
	HF_TRY(hf_walk(reader, &root->tree, "/", &walker, s->c->stop));
	is_hurt = s->is_root_lost;
	while (s->levels.len > 0)
		is_hurt = pop(s);
	if (is_hurt)
		hf_check_ids_add(&s->c->result.hurt_snapshots, &root->snapshot);
	return hf_buf_ok(&s->levels);
}

struct hf_err *
hf_check_hurt(struct hf_check_run *c)
{
	hf_autoptr(hf_reader) reader = hf_reader_new(c->repo, c->ix);
	struct survey s = {.c = c, .levels = HF_BUF_SPOOL(SIZE_MAX / 2)};
	struct hf_err *e = NULL;

	hf_bits_init(&s.walked, hf_index_len(c->ix));
	hf_bits_init(&s.hurt, hf_index_len(c->ix));
	for (size_t i = 0; i < c->n_roots && e == NULL; i++)
		e = survey_root(&s, reader, &c->roots[i]);
	hf_bits_clear(&s.walked);
	hf_bits_clear(&s.hurt);
	hf_buf_clear(&s.levels);
	return e;
}
