/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/tree.h"

struct hf_tree {
	struct hf_buf plain; /* owned when the tree was loaded; else empty */
	struct hf_json json;
	struct hf_node_store store;
	struct hf_node node;    /* the last one read */
	struct hf_str previous; /* its name: in the input, or in `kept` */
	struct hf_buf kept;
	size_t n_read;
	bool has_node;   /* `node` is valid */
	bool is_pending; /* `node` has been read by a seek, but not been given out */
	bool is_over;
};

void
hf_tree_free(struct hf_tree *t)
{
	if (t == NULL)
		return;
	hf_buf_clear(&t->plain);
	hf_buf_clear(&t->kept);
	hf_node_store_clear(&t->store);
	free(t);
}

/* Goes to the first node: other fields may stand before the list, which must be a list. */
static struct hf_err *
tree_enter(struct hf_tree *t, struct hf_bytes plain)
{
	struct hf_json *j = &t->json;
	struct hf_str key;

	hf_json_init(j, plain, &t->store.strings);
	if (hf_json_peek(j) != HF_JSON_OBJECT)
		hf_json_fail(j, "a tree is not an object");
	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		if (!hf_str_is(key, "nodes")) {
			hf_json_skip(j);
			continue;
		}
		if (hf_json_peek(j) != HF_JSON_ARRAY)
			hf_json_fail(j, "nodes is not an array");
		hf_json_array(j);
		return hf_json_err(j);
	}
	hf_json_fail(j, "a tree without nodes");
	return hf_json_err(j);
}

static struct hf_tree *
tree_new(void)
{
	struct hf_tree *t = hf_new(struct hf_tree);

	t->plain = (struct hf_buf)HF_BUF_SPOOL(HF_MAX_TREE);
	t->kept = (struct hf_buf)HF_BUF_SPOOL(HF_MAX_TREE);
	hf_node_store_init(&t->store);
	return t;
}

struct hf_err *
hf_tree_parse(struct hf_bytes plain, struct hf_tree **out)
{
	hf_autoptr(hf_tree) t = tree_new();

	HF_TRY(tree_enter(t, plain));
	*out = hf_steal(t);
	return NULL;
}

struct hf_err *
hf_tree_load(struct hf_reader *r, const struct hf_id *id, struct hf_tree **out)
{
	hf_autoptr(hf_tree) t = tree_new();
	struct hf_blob blob = {*id, HF_TREE};

	HF_TRY(hf_reader_blob(r, &blob, &t->plain));
	HF_TRY(hf_err_in(tree_enter(t, hf_buf_bytes(&t->plain)), "tree %.8s", hf_id_hex(id).s));
	*out = hf_steal(t);
	return NULL;
}

/* Keeps the name for the comparison with the next one; only an escaped name must be copied. */
static void
keep_name(struct hf_tree *t)
{
	struct hf_str name = t->node.name;
	const uint8_t *p = (const uint8_t *)name.p;

	if (p < t->json.start || p >= t->json.end) {
		hf_buf_reset(&t->kept);
		hf_buf_add(&t->kept, name.p, name.len);
		name = hf_bytes_str(hf_buf_bytes(&t->kept));
	}
	t->previous = name;
}

/* After the list: fields that nobody knows, then the closing brace. What follows is ignored. */
static void
tree_leave(struct hf_tree *t)
{
	struct hf_str key;

	while (hf_json_key(&t->json, &key))
		hf_json_skip(&t->json);
	t->is_over = t->json.error == NULL;
}

/* Reads one more node, or sets is_over. */
static struct hf_err *
tree_advance(struct hf_tree *t)
{
	t->has_node = false;
	t->is_pending = false;
	if (t->is_over)
		return NULL;
	if (!hf_json_item(&t->json)) {
		if (t->json.error == NULL)
			tree_leave(t);
		return hf_json_err(&t->json);
	}
	hf_node_read(&t->json, &t->store, &t->node);
	HF_TRY(hf_json_err(&t->json));
	if (t->node.name.len == 0)
		hf_json_fail(&t->json, "a node has an empty name");
	else if (t->n_read > 0 && hf_str_cmp(t->previous, t->node.name) >= 0)
		hf_json_fail(&t->json, "nodes are not ordered or duplicate");
	HF_TRY(hf_json_err(&t->json));
	keep_name(t);
	HF_TRY(hf_buf_ok(&t->kept));
	t->n_read++;
	t->has_node = true;
	return NULL;
}

struct hf_err *
hf_tree_next(struct hf_tree *t, const struct hf_node **node, bool *more)
{
	if (!t->is_pending)
		HF_TRY(tree_advance(t));
	t->is_pending = false;
	*more = t->has_node;
	*node = t->has_node ? &t->node : NULL;
	return NULL;
}

struct hf_err *
hf_tree_seek(struct hf_tree *t, struct hf_str name, const struct hf_node **node)
{
	int c = -1;

	if (t->has_node)
		c = hf_str_cmp(t->node.name, name);
	while (c < 0 && !t->is_over) {
		HF_TRY(tree_advance(t));
		if (!t->has_node)
			break;
		c = hf_str_cmp(t->node.name, name);
		t->is_pending = c > 0;
	}
	if (c == 0)
		t->is_pending = false;
	*node = c == 0 ? &t->node : NULL;
	return NULL;
}
