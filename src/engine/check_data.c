/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packs read whole. Most of the time goes into SHA-256, of the file and of every blob in it, so the
 * blobs are hashed side by side (repo/opened.h), and the file beside them. The part of the file that
 * holds a blob is hashed before the blob is opened, because it is opened in place. A thread
 * allocates nothing per blob.
 */
#include <stdarg.h>
#include <stdio.h>

#include "engine/check_run.h"
#include "engine/warm.h"
#include "repo/opened.h"

enum {
	PACK_ON_HEAP = 192 << 20, /* larger than any pack that restic makes on purpose */
	PACK_USUAL = 20 << 20,    /* 16 MiB, and the blob that made it full */
	MAX_TEXTS = 1 << 20,
};
#define MAX_PACK_FILE (UINT64_C(2) * UINT32_MAX + HF_PACK_MAX_HEADER + 4)

struct stage {
	struct hf_check_run *c;
	struct hf_opened_sets *sets;
	atomic_size_t next; /* of the chosen packs */
};

struct worker {
	struct hf_check_run *c;
	struct hf_reader *reader;
	struct hf_buf file;
	struct hf_opened_sets *sets;  /* borrowed */
	struct hf_opened_set *opened; /* one of them, while there are blobs to open */
	struct hf_buf texts;          /* what is wrong with the pack at hand */
	unsigned n_wrong;
	bool is_last_try; /* what is wrong now is damage */
	struct hf_pack_entries header;
};

static __attribute__((format(printf, 2, 3))) void
wrong(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hf_autofree char *text = hf_str_vprintf(fmt, ap);
	va_end(ap);
	if (w->n_wrong++ > 0)
		hf_buf_add_char(&w->texts, ' ');
	hf_buf_add_str(&w->texts, text);
}

static void
wrong_blob(struct worker *w, const struct hf_id *id, uint32_t number, const char *text)
{
	wrong(w, "blob %s: %s", hf_id_hex(id).s, text);
	if (w->is_last_try)
		hf_check_mark_bad(w->c, number);
}

/* The end of a blob: is it what its name says? False: there was none. */
static bool
finish(struct worker *w)
{
	const struct hf_opened *o;
	hf_autoptr(hf_err) e = hf_opened_end(w->opened, &o);

	if (e != NULL)
		wrong_blob(w, &o->id, (uint32_t)o->tag, hf_err_text(e));
	return o != NULL;
}

/* Opens one blob, of which the file's hash has had all bytes. */
static void
open_blob(struct worker *w, uint32_t number, uint64_t *last_end)
{
	hf_autoptr(hf_err) e = NULL;
	struct hf_location at;
	struct hf_blob blob;

	if (!hf_index_entry(w->c->ix, number, &blob, &at))
		abort();
	uint64_t end = (uint64_t)at.offset + at.length;
	if (end > w->file.len)
		e = hf_err(HF_ECORRUPT, "lies beyond the end of the file");
	else if (at.offset < *last_end)
		e = hf_err(HF_ECORRUPT, "overlaps the blob before it");
	else
		e = hf_opened_begin(w->opened, w->reader, &blob.id, number,
			w->file.p + at.offset, at.length, at.raw_length);
	if (end > *last_end)
		*last_end = end;
	if (e != NULL)
		wrong_blob(w, &blob.id, number, hf_err_text(e));
}

static uint64_t
end_of(struct hf_check_run *c, uint32_t number)
{
	struct hf_location at;
	struct hf_blob blob;

	if (!hf_index_entry(c->ix, number, &blob, &at))
		abort();
	return (uint64_t)at.offset + at.length;
}

/* All blobs, and the hash of the whole file. */
static void
check_blobs(struct worker *w, uint32_t pack, struct hf_id *file_id)
{
	const uint32_t *numbers = w->c->numbers + w->c->first[pack];
	size_t n = w->c->first[pack + 1] - w->c->first[pack];
	uint64_t last_end = 0;

	w->opened = hf_opened_take(w->sets);
	struct hf_many *many = hf_opened_many(w->opened);
	hf_many_long(many, hf_buf_bytes(&w->file));
	for (size_t i = 0; i < n; i++) {
		/* As long as many are there to go beside it. */
		hf_many_long_to(many, end_of(w->c, numbers[i]));
		while (hf_opened_is_full(w->opened))
			finish(w);
		open_blob(w, numbers[i], &last_end);
	}
	*file_id = hf_many_long_end(many);
	while (finish(w))
		;
	hf_opened_give(w->sets, w->opened);
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

/*
 * All of a pack. A store that is asked for as much as there is need not find out first how much that
 * is, which over SFTP is a way to the server and back for each pack.
 */
static struct hf_err *
read_pack(struct worker *w, uint32_t pack, const struct hf_id *id)
{
	const struct hf_name name = {HF_PACK, *id};
	uint64_t size = w->c->file_sizes[pack];
	bool is_known = size > 0 && size != HF_CHECK_NO_FILE;

	hf_buf_reset(&w->file);
	return hf_store_get(hf_repo_store(w->c->repo), &name, 0,
		is_known ? (size_t)size : SIZE_MAX, &w->file);
}

/* Reads the pack and collects what is wrong with it. The error: it could not be read. */
static struct hf_err *
try_pack(struct worker *w, uint32_t pack, const struct hf_id *id)
{
	struct hf_id got;

	hf_buf_reset(&w->texts);
	w->n_wrong = 0;
	HF_TRY(read_pack(w, pack, id));
	check_blobs(w, pack, &got);
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
		.sets = s->sets,
		.file = {.max = MAX_PACK_FILE, .spill = PACK_ON_HEAP},
		.texts = HF_BUF_MAX(MAX_TEXTS),
	};

	hf_buf_expect(&w.file, PACK_USUAL);
	struct hf_err *e = data_loop(&w, s);

	hf_reader_free(w.reader);
	hf_buf_clear(&w.file);
	hf_buf_clear(&w.texts);
	hf_pack_entries_clear(&w.header);
	return e;
}

/* All of them at once, before the first is read. */
static struct hf_err *
warm(struct hf_check_run *c)
{
	hf_auto(hf_bits) packs = {0};

	if (!hf_warm_is_wanted(c->repo))
		return NULL;
	hf_bits_init(&packs, hf_index_packs(c->ix));
	for (size_t i = 0; i < c->n_chosen; i++)
		hf_bits_add(&packs, c->chosen[i]);
	return hf_warm_packs(c->repo, c->ix, &packs, c->stop);
}

struct hf_err *
hf_check_data(struct hf_check_run *c)
{
	struct stage s = {.c = c};

	HF_TRY(warm(c));
	s.sets = hf_opened_sets_new(c->n_threads);
	struct hf_err *e = hf_check_threads(c, "data", data_thread, &s);
	hf_opened_sets_free(s.sets);
	return e;
}
