/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packs read whole. The hash over the file is fed blob by blob, just before the blob is opened, so
 * that the bytes are fetched from memory once. A thread has one buffer for packs and one for
 * plaintext and allocates nothing per blob.
 */
#include <stdarg.h>
#include <stdio.h>

#include "codec/sha256.h"
#include "engine/check_run.h"

enum {
	PACK_ON_HEAP = 192 << 20, /* larger than any pack that restic makes on purpose */
	MAX_TEXTS = 1 << 20,
};
#define MAX_PACK_FILE (UINT64_C(2) * UINT32_MAX + HF_PACK_MAX_HEADER + 4)

struct stage {
	struct hf_check_run *c;
	atomic_size_t next; /* of the chosen packs */
};

struct worker {
	struct hf_check_run *c;
	struct hf_reader *reader;
	struct hf_sha256 *hash;
	struct hf_buf file, plain;
	struct hf_buf texts; /* what is wrong with the pack at hand */
	unsigned n_wrong;
	bool is_last_try; /* what is wrong now is damage */
	struct hf_pack_entries header;
};

/* Where in the file the worker stands: all before `hashed` has gone into the hash. */
static void
hash_to(struct worker *w, uint64_t *hashed, uint64_t end)
{
	if (end > w->file.len)
		end = w->file.len;
	if (end <= *hashed)
		return;
	hf_sha256_add(w->hash, (struct hf_bytes){w->file.p + *hashed, (size_t)(end - *hashed)});
	*hashed = end;
}

static __attribute__((format(printf, 2, 3))) void
wrong(struct worker *w, const char *fmt, ...)
{
	hf_autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (w->n_wrong++ > 0)
		hf_buf_add_char(&w->texts, ' ');
	hf_buf_add_str(&w->texts, text);
}

/* Opens the blob at `at`, of which the hash has had all bytes. */
static struct hf_err *
open_blob(struct worker *w, const struct hf_blob *blob, const struct hf_location *at)
{
	hf_buf_reset(&w->plain);
	return hf_reader_open(
		w->reader, blob, w->file.p + at->offset, at->length, at->raw_length, &w->plain);
}

static void
check_blobs(struct worker *w, uint32_t pack, uint64_t *hashed)
{
	struct hf_check_run *c = w->c;
	uint64_t last_end = 0;

	for (uint32_t i = c->first[pack]; i < c->first[pack + 1]; i++) {
		struct hf_location at;
		struct hf_blob blob;

		if (!hf_index_entry(c->ix, c->numbers[i], &blob, &at))
			abort();
		uint64_t end = (uint64_t)at.offset + at.length;
		hf_autoptr(hf_err) e = NULL;

		hash_to(w, hashed, end);
		if (end > w->file.len)
			e = hf_err(HF_ECORRUPT, "lies beyond the end of the file");
		else if (at.offset < last_end)
			e = hf_err(HF_ECORRUPT, "overlaps the blob before it");
		else
			e = open_blob(w, &blob, &at);
		if (e != NULL) {
			wrong(w, "blob %s: %s", hf_id_hex(&blob.id).s, hf_err_text(e));
			if (w->is_last_try)
				hf_check_mark_bad(c, c->numbers[i]);
		}
		if (end > last_end)
			last_end = end;
	}
}

static bool
is_entry(
	const struct hf_pack_entry *e, const struct hf_blob *blob, const struct hf_location *at)
{
	return hf_id_eq(&e->blob.id, &blob->id) && e->blob.type == blob->type &&
	       e->offset == at->offset && e->length == at->length &&
	       e->raw_length == at->raw_length;
}

/* The header's blobs are in the order of their places, and so are those of the index. */
static void
check_header(struct worker *w, uint32_t pack)
{
	struct hf_check_run *c = w->c;
	const uint32_t *numbers = c->numbers + c->first[pack];
	size_t n = c->first[pack + 1] - c->first[pack];
	hf_autoptr(hf_err) e = hf_pack_entries_of(
		hf_reader_aead(w->reader), hf_buf_bytes(&w->file), &w->header);

	if (e != NULL) {
		wrong(w, "%s", hf_err_text(e));
		return;
	}
	if (w->header.len != n)
		wrong(w, "pack header has %zu blobs, the index %zu", w->header.len, n);
	for (size_t i = 0, k = 0; i < w->header.len; i++) {
		const struct hf_pack_entry *pe = &w->header.v[i];
		struct hf_location at;
		struct hf_blob blob;

		while (k < n && hf_index_entry(c->ix, numbers[k], &blob, &at) &&
			at.offset < pe->offset)
			k++;
		if (k < n && is_entry(pe, &blob, &at))
			k++;
		else
			wrong(w, "blob %s is not contained in index or position is incorrect",
				hf_id_hex(&pe->blob.id).s);
	}
}

/* Reads the pack and collects what is wrong with it. The error: it could not be read. */
static struct hf_err *
try_pack(struct worker *w, uint32_t pack, const struct hf_id *id)
{
	struct hf_name name = {HF_PACK, *id};
	uint64_t hashed = 0;

	hf_buf_reset(&w->file);
	hf_buf_reset(&w->texts);
	w->n_wrong = 0;
	HF_TRY(hf_store_get(hf_repo_store(w->c->repo), &name, 0, SIZE_MAX, &w->file));
	check_blobs(w, pack, &hashed);
	hash_to(w, &hashed, w->file.len);
	struct hf_id got = hf_sha256_end(w->hash);
	if (!hf_id_eq(&got, id))
		wrong(w, "unexpected pack id %s", hf_id_hex(&got).s);
	check_header(w, pack);
	return NULL;
}

static const char *
texts(struct worker *w)
{
	hf_buf_add_char(&w->texts, '\0');
	return w->texts.is_full ? "more than there is room for" : (const char *)w->texts.p;
}

static void
check_pack(struct worker *w, uint32_t pack)
{
	hf_autofree char *first = NULL;
	hf_autoptr(hf_err) e = NULL;
	struct hf_id id;

	if (!hf_index_pack(w->c->ix, pack, &id))
		abort();
	w->is_last_try = false;
	e = try_pack(w, pack, &id);
	if (e == NULL && w->n_wrong == 0)
		return;
	/* Bytes can be damaged on their way here: only what fails twice is in the store. */
	first = hf_str_dup(hf_str(e != NULL ? hf_err_text(e) : texts(w)));
	hf_err_free(e);
	w->is_last_try = true;
	e = try_pack(w, pack, &id);
	if (e != NULL)
		hf_check_reportf(w->c, HF_CHECK_PACK_READ, &id, "pack %s: download error: %s",
			hf_id_hex(&id).s, hf_err_text(e));
	else if (w->n_wrong > 0)
		hf_check_reportf(w->c, HF_CHECK_PACK_DATA, &id,
			"pack %s contains %u errors: [%s]", hf_id_hex(&id).s, w->n_wrong,
			texts(w));
	else
		hf_check_reportf(w->c, HF_CHECK_PACK_READ, &id,
			"pack %s: check successful on second attempt, original error: %s",
			hf_id_hex(&id).s, first);
}

static struct hf_err *
data_loop(struct worker *w, struct stage *s)
{
	struct hf_check_run *c = w->c;
	size_t i;

	while ((i = atomic_fetch_add(&s->next, 1)) < c->n_chosen) {
		HF_TRY(hf_check_go_on(c));
		check_pack(w, c->chosen[i]);
		atomic_fetch_add_explicit(&c->progress->packs_done, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&c->progress->bytes_done, c->file_sizes[c->chosen[i]],
			memory_order_relaxed);
	}
	return NULL;
}

static struct hf_err *
data_thread(void *arg)
{
	struct stage *s = arg;
	struct worker w = {
		.c = s->c,
		.reader = hf_reader_new(s->c->repo, s->c->ix),
		.hash = hf_sha256_new(),
		.file = {.max = MAX_PACK_FILE, .spill = PACK_ON_HEAP},
		.plain = HF_BUF_SPOOL(UINT32_MAX),
		.texts = HF_BUF_MAX(MAX_TEXTS),
	};
	struct hf_err *e = data_loop(&w, s);

	hf_reader_free(w.reader);
	hf_sha256_free(w.hash);
	hf_buf_clear(&w.file);
	hf_buf_clear(&w.plain);
	hf_buf_clear(&w.texts);
	hf_pack_entries_clear(&w.header);
	return e;
}

struct hf_err *
hf_check_data(struct hf_check_run *c)
{
	struct stage s = {.c = c};

	return hf_check_threads(c, "data", data_thread, &s);
}
