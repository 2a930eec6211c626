/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/find.h"

#include "base/idset.h"
#include "codec/sha256.h"
#include "engine/filter.h"
#include "engine/treewalk.h"
#include "repo/pack.h"

enum {
	SHORT = 8, /* digits of an id that is not whole */
	/*
	 * Folders that are remembered: a table of 128 MiB at most, which is less than what the
	 * index needs for as many trees.
	 */
	MAX_BARREN = 1 << 21,
	MAX_IDS = 1 << 26,
};

struct object {
	struct hf_id id;
	char *text; /* owned; NULL: the id is whole */
};

/* The ids of one type that are looked for. */
struct wanted {
	struct object *v;
	size_t len, cap;
	struct hf_idset ids; /* those that are whole */
	size_t *shorts;      /* numbers of those that have eight digits */
	size_t n_shorts;
};

/* A folder on the way down. */
struct frame {
	struct hf_id tree;
	struct hf_id key;      /* under which it is remembered */
	uint64_t hits, errors; /* so far, when it was entered */
};

struct hf_find {
	/* By name. */
	struct hf_filter *filter; /* NULL: by id */
	bool matches_all, has_oldest, has_newest;
	struct hf_time oldest, newest;
	/* By id. */
	struct wanted wanted[HF_TREE + 1];
	bool ends_early; /* once all trees were found */

	struct hf_idset barren; /* keys of folders below which there is nothing */
	struct hf_sha256 *hash;
	uint64_t hits, errors;

	/* During a search. */
	const struct hf_snapshot *snapshot;
	const struct hf_finder *finder;
	struct frame *frames;
	size_t n_frames, cap_frames;
	bool is_over;
};

static struct hf_find *
find_new(void)
{
	struct hf_find *f = hf_new(struct hf_find);

	f->barren.max = MAX_BARREN;
	f->wanted[HF_DATA].ids.max = MAX_IDS;
	f->wanted[HF_TREE].ids.max = MAX_IDS;
	f->hash = hf_sha256_new();
	return f;
}

static void
wanted_clear(struct wanted *w)
{
	for (size_t i = 0; i < w->len; i++)
		free(w->v[i].text);
	free(w->v);
	free(w->shorts);
	hf_idset_clear(&w->ids);
}

void
hf_find_free(struct hf_find *f)
{
	if (f == NULL)
		return;
	wanted_clear(&f->wanted[HF_DATA]);
	wanted_clear(&f->wanted[HF_TREE]);
	hf_filter_free(f->filter);
	hf_idset_clear(&f->barren);
	hf_sha256_free(f->hash);
	free(f->frames);
	free(f);
}

bool
hf_find_is_by_name(const struct hf_find *f)
{
	return f->filter != NULL;
}

/* ---- what is looked for ---- */

/* A `!` at the beginning has no meaning here; a second one is part of the name. */
static void
add_pattern(struct hf_strings *out, const char *text)
{
	hf_auto(hf_buf) escaped = HF_BUF_MAX(strlen(text) + 2);

	text += text[0] == '!';
	if (text[0] == '!')
		hf_buf_add_char(&escaped, '\\');
	hf_buf_add_str(&escaped, text[0] != '\0' ? text : ".");
	hf_strings_add_str(out, hf_bytes_str(hf_buf_bytes(&escaped)));
}

struct hf_err *
hf_find_by_name(const struct hf_strings *patterns, bool folds_case,
	const struct hf_time *oldest, const struct hf_time *newest, struct hf_find **out)
{
	hf_autoptr(hf_find) f = find_new();
	hf_auto(hf_strings) list = {0};

	for (size_t i = 0; i < patterns->len; i++) {
		if (patterns->v[i][0] == '\0')
			f->matches_all = true;
		else
			add_pattern(&list, patterns->v[i]);
	}
	HF_TRY(hf_filter_new(&list, folds_case, &f->filter));
	f->has_oldest = oldest != NULL;
	f->has_newest = newest != NULL;
	if (oldest != NULL)
		f->oldest = *oldest;
	if (newest != NULL)
		f->newest = *newest;
	*out = hf_steal(f);
	return NULL;
}

static bool
is_hex(const char *s)
{
	return s[strspn(s, "0123456789abcdef")] == '\0';
}

static struct object *
add_object(struct wanted *w)
{
	if (w->len == w->cap) {
		w->cap = w->cap == 0 ? 16 : 2 * w->cap;
		w->v = hf_realloc_array(w->v, w->cap, sizeof *w->v);
	}
	w->v[w->len] = (struct object){0};
	return &w->v[w->len++];
}

static void
want_id(struct wanted *w, const struct hf_id *id)
{
	if (hf_idset_has(&w->ids, id))
		return;
	/* Without memory it ends here: nothing may be left out in silence. No blob is all zero. */
	if (!hf_idset_add(&w->ids, id) && !hf_id_is_zero(id))
		abort();
	add_object(w)->id = *id;
}

static void
want_text(struct wanted *w, const char *text)
{
	struct hf_id id;

	if (is_hex(text) && hf_id_parse(hf_str(text), &id)) {
		want_id(w, &id);
		return;
	}
	for (size_t i = 0; i < w->len; i++) {
		if (w->v[i].text != NULL && strcmp(w->v[i].text, text) == 0)
			return;
	}
	add_object(w)->text = hf_str_dup(hf_str(text));
	if (strlen(text) != SHORT || !is_hex(text))
		return;
	w->shorts = hf_realloc_array(w->shorts, w->n_shorts + 1, sizeof *w->shorts);
	w->shorts[w->n_shorts++] = w->len - 1;
}

struct hf_find *
hf_find_by_id(enum hf_blob_type type, const struct hf_strings *ids)
{
	struct hf_find *f = find_new();

	for (size_t i = 0; i < ids->len; i++)
		want_text(&f->wanted[type], ids->v[i]);
	f->ends_early = type == HF_TREE;
	return f;
}

bool
hf_find_object(
	const struct hf_find *f, enum hf_blob_type type, size_t n, struct hf_find_object *out)
{
	if (n >= f->wanted[type].len)
		return false;
	const struct object *o = &f->wanted[type].v[n];

	*out = (struct hf_find_object){o->text == NULL, o->id, o->text};
	return true;
}

/*
 * Whether `id` is looked for. Of a data blob that eight digits stood for the whole id takes their
 * place, and no other blob is found by them any more.
 */
static bool
is_wanted(struct wanted *w, const struct hf_id *id, bool settles)
{
	struct hf_hex hex;

	if (hf_idset_has(&w->ids, id))
		return true;
	if (w->n_shorts == 0)
		return false;
	hex = hf_id_hex(id);
	for (size_t i = 0; i < w->n_shorts; i++) {
		struct object *o = &w->v[w->shorts[i]];

		if (memcmp(o->text, hex.s, SHORT) != 0)
			continue;
		if (settles && hf_idset_add(&w->ids, id)) {
			free(o->text);
			*o = (struct object){.id = *id};
			w->shorts[i] = w->shorts[--w->n_shorts];
		}
		return true;
	}
	return false;
}

/* ---- packs ---- */

/* Takes a pack out of the list, by its whole id or by eight digits. False: it is not in there. */
static bool
take_pack(struct hf_strings *left, const struct hf_id *pack)
{
	struct hf_hex hex = hf_id_hex(pack);

	if (hf_strings_remove(left, hex.s))
		return true;
	hex.s[SHORT] = '\0';
	return hf_strings_remove(left, hex.s);
}

/* The blobs that the header of a pack lists. */
static struct hf_err *
want_header(struct hf_find *f, struct hf_repo *repo, struct hf_reader *r,
	const struct hf_id *pack, uint64_t size)
{
	hf_auto(hf_pack_entries) entries = {0};

	HF_TRY(hf_pack_entries_load(repo, hf_reader_aead(r), pack, size, &entries));
	for (size_t i = 0; i < entries.len; i++)
		want_id(&f->wanted[entries.v[i].blob.type], &entries.v[i].blob.id);
	return NULL;
}

/* The blobs that the index says are in a pack. */
static void
want_indexed(struct hf_find *f, struct hf_index *ix, uint32_t pack_number)
{
	struct hf_blob blob;
	struct hf_location at;

	for (size_t i = 0, n = hf_index_len(ix); i < n; i++) {
		if (hf_index_entry(ix, i, &blob, &at) && at.pack_number == pack_number)
			want_id(&f->wanted[blob.type], &blob.id);
	}
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct hf_err *
unknown_packs(struct hf_strings *left)
{
	hf_auto(hf_buf) list = HF_BUF_MAX(1 << 20);

	qsort(left->v, left->len, sizeof *left->v, by_text);
	for (size_t i = 0; i < left->len; i++)
		hf_buf_addf(&list, "%s%s", i > 0 ? " " : "", left->v[i]);
	return hf_err(HF_ENOTFOUND, "unable to find pack(s): [%.*s]", (int)list.len,
		(const char *)list.p);
}

/* The packs in `left` that are there; the others stay in it. */
static struct hf_err *
want_packs(struct hf_find *f, struct hf_reader *r, struct hf_repo *repo, struct hf_index *ix,
	struct hf_strings *left, hf_find_bad_fn *on_bad, void *arg)
{
	hf_autofree struct hf_id *ids = NULL;
	hf_autofree uint64_t *sizes = NULL;
	size_t n;

	HF_TRY(hf_repo_list(repo, HF_PACK, &ids, &sizes, &n));
	for (size_t i = 0; i < n && left->len > 0; i++) {
		struct hf_err *e;
		uint32_t number;

		if (!take_pack(left, &ids[i]))
			continue;
		e = want_header(f, repo, r, &ids[i], sizes[i]);
		if (e == NULL)
			continue;
		if (!hf_index_find_pack(ix, &ids[i], &number))
			return e;
		on_bad(arg, &ids[i], e);
		want_indexed(f, ix, number);
	}
	return NULL;
}

struct hf_err *
hf_find_by_pack(struct hf_reader *r, struct hf_repo *repo, struct hf_index *ix,
	const struct hf_strings *packs, struct hf_strings *missing, hf_find_bad_fn *on_bad,
	void *arg, struct hf_find **out)
{
	hf_autoptr(hf_find) f = find_new();
	hf_auto(hf_strings) left = {0};
	struct hf_id pack;

	for (size_t i = 0; i < packs->len; i++) {
		if (!hf_strings_has(&left, packs->v[i]))
			hf_strings_add(&left, packs->v[i]);
	}
	HF_TRY(want_packs(f, r, repo, ix, &left, on_bad, arg));
	for (uint32_t i = 0; left.len > 0 && hf_index_pack(ix, i, &pack); i++) {
		if (!take_pack(&left, &pack))
			continue;
		hf_strings_add(missing, hf_id_hex(&pack).s);
		want_indexed(f, ix, i);
	}
	if (left.len > 0)
		return unknown_packs(&left);
	*out = hf_steal(f);
	return NULL;
}

/* ---- the search ---- */

static struct hf_id
key_of(struct hf_find *f, const struct hf_id *tree, const char *path)
{
	if (f->filter == NULL)
		return *tree;
	hf_sha256_add(f->hash, (struct hf_bytes){tree->b, sizeof tree->b});
	hf_sha256_add(f->hash, hf_str_bytes(hf_str(path)));
	return hf_sha256_end(f->hash);
}

static struct hf_err *
report(struct hf_find *f, const struct hf_find_hit *hit)
{
	f->hits++;
	return f->finder->found(f->finder->arg, hit);
}

/* Whether the node is wanted by its name and time; *child whether something below it could be. */
static bool
is_match(const struct hf_find *f, const char *path, const struct hf_node *n, bool *child)
{
	bool is_chosen = hf_filter_match_child(f->filter, path, child) || f->matches_all;

	*child = *child || f->matches_all;
	return is_chosen && (!f->has_oldest || hf_time_cmp(&n->mtime, &f->oldest) >= 0) &&
	       (!f->has_newest || hf_time_cmp(&n->mtime, &f->newest) <= 0);
}

static struct hf_err *
match_tree(struct hf_find *f, const char *path, const struct hf_node *n, const struct hf_id *id)
{
	struct wanted *w = &f->wanted[HF_TREE];
	struct hf_find_hit hit = {
		.snapshot = f->snapshot, .path = path, .node = n, .type = HF_TREE, .id = id};

	if (w->len == 0 || !is_wanted(w, id, false))
		return NULL;
	HF_TRY(report(f, &hit));
	f->is_over = f->ends_early && f->hits >= w->len;
	return NULL;
}

static struct hf_err *
match_blobs(struct hf_find *f, const char *path, const struct hf_node *n)
{
	struct wanted *w = &f->wanted[HF_DATA];
	struct hf_find_hit hit = {.snapshot = f->snapshot,
		.path = path,
		.node = n,
		.type = HF_DATA,
		.tree = &f->frames[f->n_frames - 1].tree};

	for (size_t i = 0; i < n->n_content && w->len > 0; i++) {
		hit.id = &n->content[i];
		if (is_wanted(w, hit.id, true))
			HF_TRY(report(f, &hit));
	}
	return NULL;
}

static struct hf_err *
visit_node(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct hf_find *f = arg;
	bool has_tree = n->type == HF_NODE_DIR && n->has_subtree, child = true;

	if (f->filter != NULL) {
		struct hf_find_hit hit = {.snapshot = f->snapshot, .path = path, .node = n};

		if (is_match(f, path, n, &child))
			HF_TRY(report(f, &hit));
	} else if (has_tree) {
		HF_TRY(match_tree(f, path, n, &n->subtree));
	} else if (n->type == HF_NODE_FILE) {
		HF_TRY(match_blobs(f, path, n));
	}
	if (f->is_over) {
		*next = HF_WALK_STOP;
	} else if (has_tree) {
		struct hf_id key = key_of(f, &n->subtree, path);

		if (!child || hf_idset_has(&f->barren, &key))
			*next = HF_WALK_SKIP;
	}
	return NULL;
}

static void
enter_folder(void *arg, const char *path, const struct hf_id *tree)
{
	struct hf_find *f = arg;

	if (f->n_frames == f->cap_frames) {
		f->cap_frames = f->cap_frames == 0 ? 32 : 2 * f->cap_frames;
		f->frames = hf_realloc_array(f->frames, f->cap_frames, sizeof *f->frames);
	}
	f->frames[f->n_frames++] =
		(struct frame){*tree, key_of(f, tree, path), f->hits, f->errors};
}

static struct hf_err *
leave_folder(void *arg, const char *path)
{
	struct hf_find *f = arg;
	const struct frame *fr = &f->frames[--f->n_frames];

	(void)path;
	if (f->hits == fr->hits && f->errors == fr->errors)
		hf_idset_add(&f->barren, &fr->key);
	return NULL;
}

static struct hf_err *
bad_folder(void *arg, const char *path, struct hf_err *e)
{
	struct hf_find *f = arg;

	if (hf_err_code(e) == HF_ECANCELED || hf_err_code(e) == HF_EFATAL)
		return e;
	f->errors++;
	f->finder->error(f->finder->arg, f->snapshot, path, e);
	return NULL;
}

struct hf_err *
hf_find_in(struct hf_find *f, struct hf_reader *r, const struct hf_snapshot *s,
	const struct hf_finder *finder, struct hf_stop *stop)
{
	struct hf_walker walker = {f, visit_node, leave_folder, bad_folder, enter_folder};
	struct hf_id key;

	if (!s->has_tree)
		return hf_err(HF_ECORRUPT, "snapshot %.8s has no tree", hf_id_hex(&s->id).s);
	f->snapshot = s;
	f->finder = finder;
	f->n_frames = 0;
	f->is_over = false;
	HF_TRY(match_tree(f, "/", NULL, &s->tree));
	key = key_of(f, &s->tree, "/");
	if (f->is_over || hf_idset_has(&f->barren, &key))
		return NULL;
	HF_TRY(hf_walk(r, &s->tree, "/", &walker, stop));
	/* Nobody leaves the root. */
	if (!f->is_over && f->n_frames > 0)
		HF_TRY(leave_folder(f, "/"));
	return NULL;
}
