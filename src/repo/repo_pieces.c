/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole files whose text is large: it is decompressed while it is read. */
#include "repo/raw.h"
#include "repo/repo_i.h"

struct pieces {
	struct hf_zstd *zstd;
	size_t left; /* that the text may still be long */
	struct hf_err *error;
};

static size_t
next_piece(void *arg, uint8_t *p, size_t room)
{
	struct pieces *t = arg;
	size_t got = 0;

	if (t->error != NULL)
		return 0;
	t->error = hf_zstd_more(t->zstd, p, room, &got);
	if (t->error == NULL && got > t->left)
		t->error = hf_err(HF_ECORRUPT, "decompressing: it is too long");
	t->left -= got;
	return t->error == NULL ? got : 0;
}

static struct hf_err *
read_packed(struct hf_zstd *zstd, struct hf_bytes in, size_t max, struct hf_buf *scratch,
	hf_repo_json_fn *fn, void *arg)
{
	struct pieces t = {.zstd = zstd, .left = max};
	hf_autofree uint8_t *room = hf_alloc_(HF_JSON_PIECES, 1);
	struct hf_json j;

	HF_TRY(hf_zstd_begin(zstd, in));
	hf_json_init_pieces(&j, room, next_piece, &t, scratch);
	struct hf_err *e = fn(arg, &j);

	hf_zstd_end(zstd);
	if (t.error == NULL)
		return e;
	hf_err_free(e); /* what was missing was missing for that reason */
	return t.error;
}

struct hf_err *
hf_repo_read(struct hf_repo *repo, const struct hf_name *name, struct hf_buf *scratch,
	hf_repo_json_fn *fn, void *arg)
{
	hf_auto(hf_buf) raw = HF_BUF_SPOOL(hf_raw_max(name->kind));
	struct hf_bytes plain;
	struct hf_json j;
	bool is_packed = false;

	HF_TRY(hf_raw_load(hf_repo_store(repo), name, &raw));
	struct kit k = take_kit(repo);
	struct hf_err *e = unseal(&k, &raw, &plain);
	if (e == NULL)
		e = how_packed(repo, name->kind, plain, &is_packed);
	if (e == NULL && is_packed) {
		struct hf_bytes packed = {plain.p + 1, plain.len - 1};

		e = read_packed(k.zstd, packed, hf_raw_max(name->kind), scratch, fn, arg);
	} else if (e == NULL) {
		hf_json_init(&j, plain, scratch);
		e = fn(arg, &j);
	}
	give_kit(repo, &k);
	return hf_err_in(e, "%s", hf_name_text(name).s);
}
