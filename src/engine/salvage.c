/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/salvage.h"

#include <stdarg.h>
#include <stdio.h>

#include "codec/sha256.h"
#include "engine/check.h"
#include "repo/index_rewrite.h"
#include "repo/reader.h"
#include "repo/remove.h"
#include "repo/saver.h"

/* What a pack file can have at most. */
#define MAX_PACK ((size_t)2 * UINT32_MAX)

struct salvage {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_lease *lease;
	const struct hf_id *ids;
	size_t n;
	bool is_dry_run;
	const struct hf_salvage_events *events;
	struct hf_phases *phases;
	struct hf_stop *stop;
	struct hf_pack_entries *listed; /* by the index, of each of the packs */
	struct hf_pack_entries saved;
	size_t first_fresh; /* number of the first pack of ours */
	struct hf_reader *reader;
	struct hf_saver *saver;
	struct hf_sealer *sealer;
	struct hf_buf file, sealed, plain; /* of the pack and the blob at hand */
};

static void
salvage_clear(struct salvage *s)
{
	for (size_t i = 0; i < s->n && s->listed != NULL; i++)
		hf_pack_entries_clear(&s->listed[i]);
	free(s->listed);
	hf_pack_entries_clear(&s->saved);
	hf_reader_free(s->reader);
	hf_sealer_free(s->sealer);
	hf_saver_free(s->saver);
	hf_buf_clear(&s->file);
	hf_buf_clear(&s->sealed);
	hf_buf_clear(&s->plain);
}

static __attribute__((format(printf, 2, 3))) void
say(struct salvage *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hf_autofree char *text = hf_str_vprintf(fmt, ap);
	va_end(ap);
	s->events->say(s->events->arg, text);
}

/* ---- reading ---- */

struct hf_err *
hf_salvage_load(struct hf_repo *repo, const struct hf_id *pack, struct hf_buf *out)
{
	struct hf_store *store = hf_repo_store(repo);
	const struct hf_name name = {.kind = HF_PACK, .id = *pack};

	HF_TRY(hf_store_get(store, &name, 0, SIZE_MAX, out));
	struct hf_id id = hf_sha256(hf_buf_bytes(out));
	if (hf_id_eq(&id, pack))
		return NULL;
	/* Bytes can be damaged on their way, or in a cache. */
	hf_store_forget(store, &name);
	hf_buf_reset(out);
	return hf_store_get(store, &name, 0, SIZE_MAX, out);
}

/* What the index says of the packs. */
static void
collect(struct salvage *s)
{
	size_t n = hf_index_len(s->ix);

	s->listed = hf_alloc_(s->n + 1, sizeof *s->listed);
	for (size_t i = 0; i < n; i++) {
		struct hf_pack_entry e = {0};
		struct hf_location at;

		if (!hf_index_entry(s->ix, i, &e.blob, &at))
			continue;
		size_t number = hf_id_search(s->ids, s->n, &at.pack);
		if (number == s->n)
			continue;
		e.offset = at.offset;
		e.length = at.length;
		e.raw_length = at.raw_length;
		hf_pack_entries_add(&s->listed[number], &e);
	}
}

static bool
is_same_entry(const struct hf_pack_entry *a, const struct hf_pack_entry *b)
{
	return hf_id_eq(&a->blob.id, &b->blob.id) && a->blob.type == b->blob.type &&
	       a->offset == b->offset && a->length == b->length &&
	       a->raw_length == b->raw_length;
}

static int
by_place(const void *a, const void *b)
{
	const struct hf_pack_entry *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return hf_id_cmp(&x->blob.id, &y->blob.id);
}

static void
sort(struct hf_pack_entries *l)
{
	if (l->len > 1)
		qsort(l->v, l->len, sizeof *l->v, by_place);
}

static bool
are_same(const struct hf_pack_entries *a, const struct hf_pack_entries *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (!is_same_entry(&a->v[i], &b->v[i]))
			return false;
	return true;
}

static bool
has_entry(const struct hf_pack_entries *l, const struct hf_pack_entry *e)
{
	const struct hf_pack_entry *found =
		l->len > 0 ? bsearch(e, l->v, l->len, sizeof *l->v, by_place) : NULL;

	return found != NULL && is_same_entry(found, e);
}

/* ---- salvaging ---- */

/* Opens a copy of the sealed bytes, which are stored as they are. */
static struct hf_err *
open_blob(struct salvage *s, const struct hf_pack_entry *e)
{
	hf_buf_reset(&s->sealed);
	hf_buf_reset(&s->plain);
	if ((uint64_t)e->offset + e->length > s->file.len)
		return hf_err(HF_ECORRUPT, "it lies beyond the end of the pack");
	hf_buf_add(&s->sealed, s->file.p + e->offset, e->length);
	HF_TRY(hf_buf_ok(&s->sealed));
	return hf_reader_open(
		s->reader, &e->blob, s->sealed.p, e->length, e->raw_length, &s->plain);
}

/* Blobs that cannot be opened are told and left out. */
static struct hf_err *
save_blob(struct salvage *s, const struct hf_pack_entry *e)
{
	struct hf_err *bad = open_blob(s, e);

	if (bad != NULL && hf_err_code(bad) != HF_ECORRUPT)
		return bad;
	if (bad != NULL) {
		say(s, "failed to load blob %s: %s", hf_id_hex(&e->blob.id).s,
			hf_err_text(bad));
		hf_err_free(bad);
		return NULL;
	}
	hf_pack_entries_add(&s->saved, e);
	if (s->is_dry_run)
		return NULL;
	return hf_sealer_move(
		s->sealer, e, (struct hf_bytes){s->file.p + e->offset, e->length});
}

static struct hf_err *
save_pack(struct salvage *s, size_t i)
{
	hf_auto(hf_pack_entries) header = {0};
	struct hf_pack_entries *listed = &s->listed[i];
	struct hf_hex id = hf_id_hex(&s->ids[i]);
	size_t before = s->saved.len;

	hf_buf_reset(&s->file);
	HF_TRY(hf_salvage_load(s->repo, &s->ids[i], &s->file));
	hf_autoptr(hf_err) no_header =
		hf_pack_entries_of(hf_reader_aead(s->reader), hf_buf_bytes(&s->file), &header);
	if (no_header != NULL)
		hf_pack_entries_reset(&header);
	sort(listed);
	sort(&header);
	for (size_t k = 0; k < listed->len; k++)
		HF_TRY(save_blob(s, &listed->v[k]));
	if (no_header == NULL && !are_same(listed, &header)) {
		say(s, "repairing incomplete index entry for pack %s", id.s);
		for (size_t k = 0; k < header.len; k++)
			if (!has_entry(listed, &header.v[k]))
				HF_TRY(save_blob(s, &header.v[k]));
	}
	if (listed->len == 0 && header.len == 0)
		say(s, "no blobs found for pack %s", id.s);
	if (s->is_dry_run)
		say(s, "would save %zu blobs of pack %s, and remove it", s->saved.len - before,
			id.s);
	return NULL;
}

static struct hf_err *
save_all(struct salvage *s)
{
	const struct hf_saver_options so = {.lease = s->lease};
	atomic_uint_fast64_t *done = hf_phase_begin(s->phases, HF_SALVAGE_READ, s->n);

	collect(s);
	s->first_fresh = hf_index_packs(s->ix);
	s->reader = hf_reader_new(s->repo, s->ix);
	if (!s->is_dry_run) {
		HF_TRY(hf_saver_new(s->repo, s->ix, &so, &s->saver));
		s->sealer = hf_sealer_new(s->saver);
	}
	for (size_t i = 0; i < s->n; i++) {
		HF_TRY(hf_stop_check(s->stop));
		HF_TRY(save_pack(s, i));
		atomic_fetch_add_explicit(done, 1, memory_order_relaxed);
	}
	return s->is_dry_run ? NULL : hf_saver_flush(s->saver);
}

/* ---- the index without them, and then they go ---- */

static bool
drops(void *arg, const struct hf_id *pack)
{
	struct salvage *s = arg;

	return hf_id_search(s->ids, s->n, pack) < s->n;
}

/* The packs that were written. */
static struct hf_id *
fresh_packs(struct salvage *s, size_t *n)
{
	size_t n_packs = hf_index_packs(s->ix);
	struct hf_id *ids = hf_alloc_(n_packs - s->first_fresh + 1, sizeof *ids);

	*n = 0;
	for (size_t i = s->first_fresh; i < n_packs; i++)
		*n += hf_index_pack(s->ix, i, &ids[*n]);
	return ids;
}

/* The other packs are in the new index, and every blob that was good is. */
static struct hf_err *
has_all(struct salvage *s, struct hf_index *new)
{
	struct hf_location at;
	struct hf_id id;
	uint32_t number;

	for (size_t i = 0; i < s->first_fresh; i++)
		if (hf_index_pack(s->ix, i, &id) && !drops(s, &id) &&
			!hf_index_find_pack(new, &id, &number))
			return hf_err(
				HF_ECORRUPT, "pack %s is not in the index", hf_id_hex(&id).s);
	for (size_t i = 0; i < s->saved.len; i++)
		if (!hf_index_find(new, &s->saved.v[i].blob, 0, &at))
			return hf_err(HF_ECORRUPT, "blob %s is not in the index",
				hf_id_hex(&s->saved.v[i].blob.id).s);
	return NULL;
}

/* The repository as it will be, read from the store, before anything is deleted. */
static struct hf_err *
prove(struct salvage *s, struct hf_id *obsolete, size_t n_obsolete)
{
	hf_autoptr(hf_index) new = hf_index_new();
	size_t n;
	hf_autofree struct hf_id *fresh = fresh_packs(s, &n);
	const struct hf_check_made made = {obsolete, fresh, n_obsolete, n, .may_lack = true};

	hf_phase_begin(s->phases, HF_SALVAGE_CHECK, 0);
	hf_id_sort(obsolete, n_obsolete);
	HF_TRY(hf_check_index_made(s->repo, &made, new, s->stop));
	return has_all(s, new);
}

static struct hf_err *
replace_index(struct salvage *s)
{
	hf_autoptr(hf_index_writer) writer = hf_index_writer_new(s->repo);
	hf_autofree struct hf_id *files = NULL, *obsolete = NULL;
	size_t n_files, n_obsolete;

	hf_index_files(s->ix, &files, &n_files);
	struct hf_index_rewrite how = {
		.files = files,
		.n_files = n_files,
		.drops = drops,
		.arg = s,
		.stop = s->stop,
		.done = hf_phase_begin(s->phases, HF_SALVAGE_INDEX, n_files),
		.writer = writer,
	};
	HF_TRY(hf_err_in(hf_index_rewrite(s->repo, &how, &obsolete, &n_obsolete),
		"failed to rewrite indexes"));
	HF_TRY(hf_err_in(prove(s, obsolete, n_obsolete),
		"what was saved does not pass the check, so that nothing was deleted"));
	HF_TRY(hf_lease_verify(s->lease));
	struct hf_removal removal = {HF_INDEX, false, s->stop,
		hf_phase_begin(s->phases, HF_SALVAGE_DELETE_INDEX, n_obsolete),
		s->events->removed, s->events->arg};
	return hf_repo_remove(s->repo, &removal, obsolete, n_obsolete);
}

/* One that cannot be deleted now, the next prune takes for one that nobody needs. */
static struct hf_err *
delete_packs(struct salvage *s)
{
	struct hf_removal how = {HF_PACK, true, s->stop,
		hf_phase_begin(s->phases, HF_SALVAGE_DELETE_PACKS, s->n), s->events->removed,
		s->events->arg};

	HF_TRY(hf_lease_verify(s->lease));
	return hf_repo_remove(s->repo, &how, s->ids, s->n);
}

static struct hf_err *
run(struct salvage *s)
{
	HF_TRY(save_all(s));
	if (s->is_dry_run)
		return NULL;
	HF_TRY(replace_index(s));
	HF_TRY(delete_packs(s));
	hf_phase_begin(s->phases, HF_SALVAGE_DONE, 0);
	return NULL;
}

struct hf_err *
hf_salvage(struct hf_repo *repo, struct hf_index *ix, struct hf_lease *lease,
	const struct hf_id *ids, size_t n, bool is_dry_run,
	const struct hf_salvage_events *events, struct hf_phases *phases, struct hf_stop *stop)
{
	__attribute__((cleanup(salvage_clear))) struct salvage s = {
		.repo = repo,
		.ix = ix,
		.lease = lease,
		.ids = ids,
		.n = n,
		.is_dry_run = is_dry_run,
		.events = events,
		.phases = phases,
		.stop = stop,
		.file = HF_BUF_SPOOL(MAX_PACK),
		.sealed = HF_BUF_SPOOL(UINT32_MAX),
		.plain = HF_BUF_SPOOL(UINT32_MAX),
	};

	return run(&s);
}
