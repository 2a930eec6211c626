/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Index files (restic-format 5.1). A file is read into lists first and goes into the index only
 * when all of it has proven good: of a bad file nothing is used.
 */
#include "codec/json.h"
#include "repo/index.h"

/* No header that a pack may have holds more. */
enum { MAX_BLOBS = HF_PACK_MAX_HEADER / 37, SCRATCH = 1 << 20 };

struct listing {
	struct hf_id pack;
	size_t first, n; /* of the entries */
};

struct listings {
	struct listing *v;
	size_t len, cap;
};

static void
listings_clear(struct listings *l)
{
	free(l->v);
}

static struct listing *
listings_add(struct listings *l)
{
	if (l->len == l->cap) {
		size_t cap = l->cap < 16 ? 16 : 2 * l->cap;
		struct listing *v = reallocarray(l->v, cap, sizeof *v);

		if (v == NULL)
			abort();
		l->v = v;
		l->cap = cap;
	}
	l->v[l->len] = (struct listing){0};
	return &l->v[l->len++];
}

static void
read_type(struct hf_json *j, struct hf_blob *blob, bool *has_type)
{
	struct hf_str s = hf_json_str(j);

	*has_type = true;
	if (hf_str_is(s, "data"))
		blob->type = HF_DATA;
	else if (hf_str_is(s, "tree"))
		blob->type = HF_TREE;
	else
		hf_json_fail(j, "unknown blob type");
}

static void
read_blob(struct hf_json *j, unsigned version, struct hf_pack_entry *e)
{
	struct hf_str key;
	bool has_id = false, has_type = false;

	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		if (hf_json_key_is(key, "id")) {
			e->blob.id = hf_json_id(j);
			has_id = true;
		} else if (hf_json_key_is(key, "type")) {
			read_type(j, &e->blob, &has_type);
		} else if (hf_json_key_is(key, "offset")) {
			e->offset = (uint32_t)hf_json_u64(j, UINT32_MAX);
		} else if (hf_json_key_is(key, "length")) {
			e->length = (uint32_t)hf_json_u64(j, UINT32_MAX);
		} else if (hf_json_key_is(key, "uncompressed_length")) {
			e->raw_length = (uint32_t)hf_json_u64(j, UINT32_MAX);
		} else {
			hf_json_skip(j);
		}
	}
	if (!has_id || !has_type)
		hf_json_fail(j, "blob without id or type");
	if (e->length < HF_SEAL_OVERHEAD)
		hf_json_fail(j, "blob length too short");
	if (version < 2 && e->raw_length != 0)
		hf_json_fail(j, "index uses feature not supported by repository version 1");
}

static void
read_pack(
	struct hf_json *j, unsigned version, struct listing *l, struct hf_pack_entries *entries)
{
	struct hf_str key;

	l->first = entries->len;
	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		if (hf_json_key_is(key, "id")) {
			l->pack = hf_json_id(j);
		} else if (hf_json_key_is(key, "blobs")) {
			entries->len = l->first; /* the last field of a name counts */
			hf_json_array(j);
			while (hf_json_item(j)) {
				struct hf_pack_entry e = {0};

				read_blob(j, version, &e);
				hf_pack_entries_add(entries, &e);
				if (entries->len - l->first > MAX_BLOBS)
					hf_json_fail(j, "more blobs than a pack can hold");
			}
		} else {
			hf_json_skip(j);
		}
	}
	l->n = entries->len - l->first;
	if (hf_id_is_zero(&l->pack))
		hf_json_fail(j, "pack without an id");
}

static struct hf_err *
each(struct hf_json *j, unsigned version, hf_index_pack_fn *fn, void *arg)
{
	hf_auto(hf_pack_entries) entries = {0};
	__attribute__((cleanup(listings_clear))) struct listings packs = {0};
	struct hf_str key;

	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		if (!hf_json_key_is(key, "packs")) {
			hf_json_skip(j);
			continue;
		}
		packs.len = entries.len = 0;
		hf_json_array(j);
		while (hf_json_item(j))
			read_pack(j, version, listings_add(&packs), &entries);
	}
	HF_TRY(hf_json_end(j));
	for (size_t i = 0; i < packs.len; i++)
		if (packs.v[i].n > 0)
			HF_TRY(fn(arg, &packs.v[i].pack, entries.v + packs.v[i].first,
				packs.v[i].n));
	return NULL;
}

struct hf_err *
hf_index_each(struct hf_bytes json, unsigned version, hf_index_pack_fn *fn, void *arg)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(SCRATCH);
	struct hf_json j;

	hf_json_init(&j, json, &scratch);
	return each(&j, version, fn, arg);
}

static struct hf_err *
add_pack(void *arg, const struct hf_id *pack, const struct hf_pack_entry *entries, size_t n)
{
	struct hf_index *ix = arg;

	if (hf_index_trusts(ix, pack))
		hf_index_add_pack(ix, pack, entries, n);
	return NULL;
}

struct hf_err *
hf_index_parse(struct hf_index *ix, struct hf_bytes json, unsigned version)
{
	return hf_index_each(json, version, add_pack, ix);
}

/* ---- files of a repository ---- */

struct reading {
	struct hf_index *ix;
	unsigned version;
	bool is_begun; /* the file was there, and what its name says */
};

static struct hf_err *
read_json(void *arg, struct hf_json *j)
{
	struct reading *r = arg;

	r->is_begun = true;
	return each(j, r->version, add_pack, r->ix);
}

static struct hf_err *
read_whole(struct hf_repo *repo, struct hf_index *ix, const struct hf_name *name)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(HF_MAX_INDEX_FILE);

	HF_TRY(hf_repo_load(repo, name, &json));
	return hf_index_parse(ix, hf_buf_bytes(&json), hf_repo_config(repo)->version);
}

struct hf_err *
hf_index_read(struct hf_repo *repo, struct hf_index *ix, const struct hf_id *file)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(SCRATCH);
	struct hf_name name = {HF_INDEX, *file};
	struct reading r = {.ix = ix, .version = hf_repo_config(repo)->version};
	struct hf_err *e = hf_repo_read(repo, &name, &scratch, read_json, &r);

	/* A string may be too long for a piece; and what is wrong, the whole tells best. */
	if (e != NULL && r.is_begun && hf_err_code(e) == HF_ECORRUPT) {
		hf_err_free(e);
		e = read_whole(repo, ix, &name);
	}
	return e;
}

/* ---- writing ---- */

void
hf_index_json(struct hf_buf *out, const struct hf_index_pack *packs, size_t n)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	hf_jout_key(&o, "packs");
	hf_jout_array(&o);
	for (size_t i = 0; i < n; i++) {
		hf_jout_object(&o);
		hf_jout_key(&o, "id");
		hf_jout_id(&o, &packs[i].id);
		hf_jout_key(&o, "blobs");
		hf_jout_array(&o);
		for (size_t k = 0; k < packs[i].entries.len; k++) {
			const struct hf_pack_entry *e = &packs[i].entries.v[k];

			hf_jout_object(&o);
			hf_jout_key(&o, "id");
			hf_jout_id(&o, &e->blob.id);
			hf_jout_key(&o, "type");
			hf_jout_str(&o, hf_str(hf_blob_type_text(e->blob.type)));
			hf_jout_key(&o, "offset");
			hf_jout_u64(&o, e->offset);
			hf_jout_key(&o, "length");
			hf_jout_u64(&o, e->length);
			if (e->raw_length != 0) {
				hf_jout_key(&o, "uncompressed_length");
				hf_jout_u64(&o, e->raw_length);
			}
			hf_jout_object_end(&o);
		}
		hf_jout_array_end(&o);
		hf_jout_object_end(&o);
	}
	hf_jout_array_end(&o);
	hf_jout_object_end(&o);
	hf_buf_add_char(out, '\n');
}
