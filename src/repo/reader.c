/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealed bytes come into a buffer that is used again for every blob; the plaintext is written
 * straight to where the caller wants it.
 */
#include "repo/reader.h"

#include "codec/sha256.h"
#include "repo/loose.h"
#include "repo/window.h"

/*
 * The most that one byte of zstd can become: a block of four bytes can stand for 128 KiB. An
 * announced length beyond that is a lie for which no memory is set aside.
 */
enum { MAX_EXPANSION = 32 << 10 };

struct hf_reader {
	struct hf_repo *repo; /* borrowed */
	struct hf_index *ix;  /* borrowed */
	struct hf_aead *aead;
	struct hf_zstd *zstd;
	struct hf_buf sealed;
};

struct hf_reader *
hf_reader_new(struct hf_repo *repo, struct hf_index *ix)
{
	struct hf_reader *r = hf_new(struct hf_reader);

	r->repo = repo;
	r->ix = ix;
	r->aead = hf_aead_new(hf_repo_key(repo));
	r->zstd = hf_zstd_new(HF_COMPRESS_AUTO);
	r->sealed = (struct hf_buf)HF_BUF_SPOOL(UINT32_MAX);
	return r;
}

void
hf_reader_free(struct hf_reader *r)
{
	if (r == NULL)
		return;
	hf_aead_free(r->aead);
	hf_zstd_free(r->zstd);
	hf_buf_clear(&r->sealed);
	free(r);
}

struct hf_aead *
hf_reader_aead(struct hf_reader *r)
{
	return r->aead;
}

/* Writes the plaintext behind the content of `out`, which has room for it. */
static struct hf_err *
open_to(struct hf_reader *r, uint8_t *sealed, uint32_t length, uint32_t raw_length, uint8_t *to)
{
	struct hf_bytes in = {sealed, length};
	uint8_t *packed = sealed + HF_SEAL_OVERHEAD / 2;

	if (!hf_aead_open(r->aead, in, raw_length != 0 ? packed : to))
		return hf_err(HF_ECORRUPT, "ciphertext verification failed");
	if (raw_length == 0)
		return NULL;
	in = (struct hf_bytes){packed, length - HF_SEAL_OVERHEAD};
	return hf_zstd_unpack(r->zstd, in, to, raw_length);
}

struct hf_err *
hf_reader_unseal(struct hf_reader *r, uint8_t *sealed, uint32_t length, uint32_t raw_length,
	struct hf_buf *out)
{
	if (length < HF_SEAL_OVERHEAD)
		return hf_err(HF_ECORRUPT, "%u bytes are too few to be sealed", length);
	size_t n = raw_length != 0 ? raw_length : length - HF_SEAL_OVERHEAD;

	if (n / MAX_EXPANSION > length)
		return hf_err(HF_ECORRUPT,
			"decompressing: %u bytes cannot have the announced length %u", length,
			raw_length);
	HF_TRY(hf_buf_reserve(out, n));
	HF_TRY(open_to(r, sealed, length, raw_length, out->p + out->len));
	out->len += n;
	return NULL;
}

struct hf_err *
hf_reader_open(struct hf_reader *r, const struct hf_blob *blob, uint8_t *sealed,
	uint32_t length, uint32_t raw_length, struct hf_buf *out)
{
	size_t before = out->len;

	HF_TRY(hf_reader_unseal(r, sealed, length, raw_length, out));
	struct hf_id id = hf_sha256((struct hf_bytes){out->p + before, out->len - before});
	if (hf_id_eq(&id, &blob->id))
		return NULL;
	out->len = before;
	return hf_err(HF_ECORRUPT, "the content's hash is %s", hf_id_hex(&id).s);
}

/* The sealed bytes; those of trees far away in the company of their neighbours. */
static struct hf_err *
fetch(struct hf_reader *r, const struct hf_name *pack, const struct hf_location *at)
{
	struct hf_store *store = hf_repo_store(r->repo);
	struct hf_index_pack_info info;

	hf_buf_reset(&r->sealed);
	if (pack->is_meta && !hf_store_is_near(store) && !hf_store_has_copies(store) &&
		hf_index_pack_info(r->ix, at->pack_number, &info) && info.types == 1 << HF_TREE)
		return hf_windows_get(hf_repo_windows(r->repo), store, pack, info.size,
			at->offset, at->length, &r->sealed);
	return hf_store_get(store, pack, at->offset, at->length, &r->sealed);
}

/* Reads and opens what is at one place. */
static struct hf_err *
read_once(struct hf_reader *r, const struct hf_name *pack, const struct hf_blob *blob,
	const struct hf_location *at, struct hf_buf *out)
{
	struct hf_err *e = fetch(r, pack, at);

	/* To the caller a blob without its pack is damage, not a blob that nobody knows. */
	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND) {
		hf_err_free(e);
		return hf_err(HF_ECORRUPT, "the pack does not exist");
	}
	HF_TRY(e);
	return hf_reader_open(r, blob, r->sealed.p, at->length, at->raw_length, out);
}

/* The same, and once more if what came was not the store's own but a damaged copy of it. */
static struct hf_err *
read_copy(struct hf_reader *r, const struct hf_blob *blob, const struct hf_location *at,
	struct hf_buf *out)
{
	const struct hf_name pack = {
		.kind = HF_PACK, .id = at->pack, .is_meta = blob->type == HF_TREE};
	struct hf_err *e = read_once(r, &pack, blob, at, out);

	if (e == NULL || hf_err_code(e) != HF_ECORRUPT ||
		!hf_store_forget(hf_repo_store(r->repo), &pack))
		return e;
	hf_err_free(e);
	return read_once(r, &pack, blob, at, out);
}

/* Of the errors of two copies, the one that may go away by itself, else the first. */
static struct hf_err *
worse(struct hf_err *a, struct hf_err *b)
{
	if (a != NULL && hf_err_code(a) == HF_ECORRUPT && hf_err_code(b) != HF_ECORRUPT) {
		hf_err_free(a);
		return b;
	}
	if (a == NULL)
		return b;
	hf_err_free(b);
	return a;
}

struct hf_err *
hf_reader_blob(struct hf_reader *r, const struct hf_blob *blob, struct hf_buf *out)
{
	struct hf_err *worst = NULL;
	struct hf_location at;

	for (unsigned i = 0; hf_index_find(r->ix, blob, i, &at); i++) {
		if (hf_loose_is(&at) && blob->type == HF_TREE) {
			hf_err_free(worst);
			return hf_loose_tree(hf_index_loose(r->ix), &at, out);
		}
		struct hf_err *e = read_copy(r, blob, &at, out);

		if (e == NULL) {
			hf_err_free(worst);
			return NULL;
		}
		e = hf_err_in(e, "%s blob %s in pack %s", hf_blob_type_text(blob->type),
			hf_id_hex(&blob->id).s, hf_id_hex(&at.pack).s);
		worst = worse(worst, e);
	}
	if (worst == NULL)
		return hf_err(HF_ENOTFOUND, "%s blob %s is not in the index",
			hf_blob_type_text(blob->type), hf_id_hex(&blob->id).s);
	return worst;
}
