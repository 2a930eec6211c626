/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trees of an archive. Its entries come in any order, some twice, and links may stand before
 * what they are links to; so the node of each is kept by its number, and when all are there they
 * are sorted by path and put into folders. Everything that grows with the archive lies in files
 * (base/buf.h); what is on the heap grows with the depth of folders.
 *
 * The node of an entry is the JSON that its number has in the folder (struct dir) that stands for
 * the archive. The order of paths is that of their bytes with a slash before all others, so that
 * what is in a folder follows it, and siblings have the order of trees.
 */
#include "engine/backup_i.h"

enum {
	MAX_HOPS = 64,     /* of links to links */
	MAX_DEPTH = 20000, /* folders in folders */
};

struct slot {
	uint64_t path, target; /* in `text` */
	uint32_t path_len, target_len;
	enum hf_node_type type; /* HF_NODE_INVALID: another name of `target` */
};

struct catalog {
	struct hf_buf slots; /* struct slot, by number */
	struct hf_buf text;
	struct hf_buf order; /* uint64_t: numbers, sorted by path, then by number */
	struct hf_buf links; /* uint32_t: names that a file has, by number */
	struct hf_buf first; /* uint64_t: the number of the node, by number */
};

/* A folder that is being filled. */
struct level {
	struct hf_str path;
	char *node; /* owned; NULL: the root */
	size_t node_len;
	struct hf_buf tree;
	struct hf_str last; /* path of the last entry that is no folder */
	double start;
};

struct build {
	struct worker *w;
	struct dir *d;
	struct catalog *c;
	struct hf_node_store store;
	struct level *levels;
	size_t n, cap;
};

struct catalog *
catalog_new(void)
{
	struct catalog *c = hf_new(struct catalog);

	c->slots = c->text = c->order = c->links = c->first =
		(struct hf_buf){.max = SIZE_MAX / 2, .spill = DIR_SPILL};
	return c;
}

void
catalog_free(struct catalog *c)
{
	if (c == NULL)
		return;
	hf_buf_clear(&c->slots);
	hf_buf_clear(&c->text);
	hf_buf_clear(&c->order);
	hf_buf_clear(&c->links);
	hf_buf_clear(&c->first);
	free(c);
}

struct hf_err *
catalog_add(struct catalog *c, struct hf_str path, enum hf_node_type type, struct hf_str target)
{
	struct slot s = {.path = c->text.len,
		.path_len = (uint32_t)path.len,
		.target = c->text.len + path.len,
		.target_len = (uint32_t)target.len,
		.type = type};

	hf_buf_add(&c->text, path.p, path.len);
	hf_buf_add(&c->text, target.p, target.len);
	hf_buf_add(&c->slots, &s, sizeof s);
	HF_TRY(hf_buf_ok(&c->text));
	return hf_buf_ok(&c->slots);
}

static size_t
n_slots(const struct catalog *c)
{
	return c->slots.len / sizeof(struct slot);
}

static const struct slot *
slot_at(const struct catalog *c, uint64_t number)
{
	return (const struct slot *)(const void *)c->slots.p + number;
}

static struct hf_str
path_of(const struct catalog *c, uint64_t number)
{
	const struct slot *s = slot_at(c, number);

	return (struct hf_str){(const char *)c->text.p + s->path, s->path_len};
}

static struct hf_str
target_of(const struct catalog *c, uint64_t number)
{
	const struct slot *s = slot_at(c, number);

	return (struct hf_str){(const char *)c->text.p + s->target, s->target_len};
}

static uint64_t *
order_of(const struct catalog *c)
{
	return (uint64_t *)(void *)c->order.p;
}

static uint32_t *
links_of(const struct catalog *c)
{
	return (uint32_t *)(void *)c->links.p;
}

static uint64_t *
first_of(const struct catalog *c)
{
	return (uint64_t *)(void *)c->first.p;
}

static int
compare_paths(struct hf_str a, struct hf_str b)
{
	size_t len = a.len < b.len ? a.len : b.len, i = 0;

	while (i < len && a.p[i] == b.p[i])
		i++;
	if (i == len)
		return (a.len > b.len) - (a.len < b.len);
	int x = a.p[i] == '/' ? 0 : (uint8_t)a.p[i], y = b.p[i] == '/' ? 0 : (uint8_t)b.p[i];

	return x - y;
}

static int
compare_numbers(const void *a, const void *b, void *catalog)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	int order = compare_paths(path_of(catalog, x), path_of(catalog, y));

	return order != 0 ? order : (x > y) - (x < y);
}

static struct hf_err *
sort(struct catalog *c)
{
	size_t n = n_slots(c);

	HF_TRY(hf_buf_resize(&c->order, n * sizeof(uint64_t)));
	HF_TRY(hf_buf_resize(&c->links, n * sizeof(uint32_t)));
	HF_TRY(hf_buf_resize(&c->first, n * sizeof(uint64_t)));
	memset(c->links.p, 0, c->links.len);
	for (size_t i = 0; i < n; i++)
		order_of(c)[i] = i;
	qsort_r(c->order.p, n, sizeof(uint64_t), compare_numbers, c);
	return NULL;
}

/* Of several entries of one path the last one counts, as when they are unpacked. */
static bool
is_last_of_path(const struct catalog *c, size_t i)
{
	return i + 1 == n_slots(c) ||
	       !hf_str_eq(path_of(c, order_of(c)[i]), path_of(c, order_of(c)[i + 1]));
}

/*
 * What the link `number` sees at `path`: the last entry that came before it, or else the first of
 * those behind it. False: there is none.
 */
static bool
find(const struct catalog *c, struct hf_str path, uint64_t number, uint64_t *out)
{
	const uint64_t *order = order_of(c);
	size_t lo = 0, hi = n_slots(c);

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int sign = compare_paths(path_of(c, order[mid]), path);

		if (sign < 0 || (sign == 0 && order[mid] < number))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo > 0 && hf_str_eq(path_of(c, order[lo - 1]), path))
		lo--;
	else if (lo < n_slots(c) && order[lo] == number) /* it is its own target */
		lo++;
	if (lo == n_slots(c) || !hf_str_eq(path_of(c, order[lo]), path))
		return false;
	*out = order[lo];
	return true;
}

/* The number of the node that an entry has. */
static struct hf_err *
resolve(const struct catalog *c, uint64_t number, uint64_t *out)
{
	uint64_t at = number;

	for (unsigned hops = 0; slot_at(c, at)->type == HF_NODE_INVALID; hops++) {
		if (hops == MAX_HOPS || !find(c, target_of(c, at), at, &at)) {
			hf_autofree char *path = hf_str_dup(path_of(c, number));
			hf_autofree char *target = hf_str_dup(target_of(c, number));

			return hf_err(HF_ECORRUPT,
				"%s is another name of %s, which is not in the archive", path,
				target);
		}
	}
	if (slot_at(c, at)->type == HF_NODE_DIR && at != number) {
		hf_autofree char *path = hf_str_dup(path_of(c, number));

		return hf_err(HF_ECORRUPT, "%s is another name of a folder", path);
	}
	*out = at;
	return NULL;
}

static struct hf_err *
count_links(struct catalog *c)
{
	for (size_t i = 0; i < n_slots(c); i++) {
		uint64_t number = order_of(c)[i];

		if (!is_last_of_path(c, i))
			continue;
		HF_TRY(resolve(c, number, &first_of(c)[number]));
		links_of(c)[first_of(c)[number]]++;
	}
	return NULL;
}

/* ---- folders ---- */

static struct level *
top(const struct build *b)
{
	return &b->levels[b->n - 1];
}

static struct hf_err *
push(struct build *b, struct hf_str path, struct hf_bytes node)
{
	if (b->n == MAX_DEPTH)
		return hf_err(HF_ECORRUPT, "the folders of the archive are too deep");
	if (b->n == b->cap) {
		b->cap = b->cap != 0 ? 2 * b->cap : 16;
		b->levels = hf_realloc_array(b->levels, b->cap, sizeof *b->levels);
	}
	b->levels[b->n++] = (struct level){
		.path = path,
		.node = node.p != NULL ? hf_str_dup(hf_bytes_str(node)) : NULL,
		.node_len = node.len,
		.tree = DIR_BUF,
		.start = hf_clock(),
	};
	hf_buf_add_str(&top(b)->tree, "{\"nodes\":[");
	return NULL;
}

static void
drop_level(struct build *b)
{
	free(top(b)->node);
	hf_buf_clear(&top(b)->tree);
	b->n--;
}

/* Room for one more node in the tree of the open folder. */
static struct hf_buf *
next_node(struct build *b)
{
	struct hf_buf *tree = &top(b)->tree;

	if (tree->p[tree->len - 1] != '[')
		hf_buf_add_char(tree, ',');
	return tree;
}

static void
tell_folder(struct build *b, const struct level *l, uint64_t stored)
{
	const struct hf_backup_events *ev = b->w->b->ev;
	struct hf_backup_item item = {.action = HF_BACKUP_NEW,
		.type = HF_NODE_DIR,
		.duration_s = hf_clock() - l->start,
		.meta_size = stored > 0 ? l->tree.len : 0,
		.meta_size_in_repo = stored};

	count(&b->w->b->dir_counts[HF_BACKUP_NEW], 1);
	count(&b->w->b->progress->dirs_done, 1);
	if (ev->item != NULL && ev->wants_items)
		ev->item(ev->arg, snap_path(b->w, b->d, l->path), &item);
}

/* The folder is complete: its tree is saved, and its node goes to the one above. */
static struct hf_err *
pop(struct build *b)
{
	struct level *l = top(b);
	struct hf_id id;
	uint64_t stored;

	hf_buf_add_str(&l->tree, "]}\n");
	HF_TRY(hf_buf_ok(&l->tree));
	HF_TRY(hf_sealer_save(b->w->sealer, HF_TREE, hf_buf_bytes(&l->tree), &id, &stored));
	if (b->n == 1) {
		b->w->b->root = id;
		drop_level(b);
		return NULL;
	}
	node_set_subtree(l->node, l->node_len, &id);
	tell_folder(b, l, stored);
	hf_autofree char *node = hf_steal(l->node);
	size_t len = l->node_len;

	drop_level(b);
	hf_buf_add(next_node(b), node, len);
	return hf_buf_ok(&top(b)->tree);
}

static bool
is_inside(struct hf_str folder, struct hf_str path)
{
	return folder.len == 0 || (path.len > folder.len && path.p[folder.len] == '/' &&
					  memcmp(path.p, folder.p, folder.len) == 0);
}

/* Where the last part of the path begins, or the part behind the first `len` bytes. */
static size_t
part_after(size_t len)
{
	return len > 0 ? len + 1 : 0;
}

/* Folders above the path that are in the archive by what is in them only. */
static struct hf_err *
open_above(struct build *b, struct hf_str path)
{
	for (;;) {
		size_t start = part_after(top(b)->path.len);
		const char *slash = memchr(path.p + start, '/', path.len - start);
		struct hf_node node;

		if (slash == NULL)
			return NULL;
		struct hf_str above = {path.p, (size_t)(slash - path.p)};
		hf_autofree char *name =
			hf_str_dup((struct hf_str){above.p + start, above.len - start});

		if (hf_str_eq(above, top(b)->last)) {
			hf_autofree char *whole = hf_str_dup(path),
					 *not_folder = hf_str_dup(above);

			return hf_err(HF_ECORRUPT, "%s is no folder, but has %s in it",
				not_folder, whole);
		}
		made_up_node(b->w->b, name, true, &node);
		hf_buf_reset(&b->w->json);
		hf_node_add(&b->w->json, &node);
		HF_TRY(hf_buf_ok(&b->w->json));
		HF_TRY(push(b, above, hf_buf_bytes(&b->w->json)));
	}
}

/* The node of an entry that has other names, or is one. */
static struct hf_err *
add_linked(struct build *b, struct hf_bytes json, uint64_t number, struct hf_str name)
{
	uint64_t first = first_of(b->c)[number];
	struct hf_node node;
	struct hf_json j;

	hf_buf_reset(&b->store.strings);
	hf_json_init(&j, json, &b->store.strings);
	hf_node_read(&j, &b->store, &node);
	HF_TRY(hf_json_err(&j));
	node.name = name;
	node.links = links_of(b->c)[first];
	node.inode = first + 1; /* any, as long as no other file has it */
	hf_node_add(next_node(b), &node);
	return NULL;
}

static struct hf_err *
add_entry(struct build *b, uint64_t number)
{
	struct hf_str path = path_of(b->c, number);
	uint64_t first = first_of(b->c)[number];
	struct entry e;

	while (!is_inside(top(b)->path, path))
		HF_TRY(pop(b));
	HF_TRY(open_above(b, path));
	memcpy(&e, b->d->entries.p + first * sizeof e, sizeof e);
	struct hf_bytes json = {b->d->text.p + e.off, e.len};

	if (slot_at(b->c, number)->type == HF_NODE_DIR)
		return push(b, path, json);
	size_t start = part_after(top(b)->path.len);

	if (links_of(b->c)[first] > 1 || first != number)
		HF_TRY(add_linked(
			b, json, number, (struct hf_str){path.p + start, path.len - start}));
	else
		hf_buf_add(next_node(b), json.p, json.len);
	top(b)->last = path;
	return hf_buf_ok(&top(b)->tree);
}

static struct hf_err *
build(struct build *b)
{
	struct catalog *c = b->c;

	HF_TRY(sort(c));
	HF_TRY(count_links(c));
	HF_TRY(push(b, hf_str(""), (struct hf_bytes){NULL, 0}));
	for (size_t i = 0; i < n_slots(c); i++) {
		HF_TRY(check_stop(b->w->b));
		if (is_last_of_path(c, i))
			HF_TRY(add_entry(b, order_of(c)[i]));
	}
	while (b->n > 0)
		HF_TRY(pop(b));
	return NULL;
}

struct hf_err *
catalog_finish(struct worker *w, struct dir *d)
{
	struct build b = {.w = w, .d = d, .c = d->catalog};

	hf_node_store_init(&b.store);
	struct hf_err *e = build(&b);

	while (b.n > 0)
		drop_level(&b);
	free(b.levels);
	hf_node_store_clear(&b.store);
	return e;
}
