/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/repair_index.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/bits.h"
#include "base/group.h"
#include "engine/check.h"
#include "repo/index_rewrite.h"
#include "repo/remove.h"

enum { MAX_THREADS = 32 };

/* A list of files, and their sizes. */
struct files {
	struct hf_id *ids;
	uint64_t *sizes;
	size_t n, cap;
};

struct repair {
	struct hf_repo *repo;
	struct hf_lease *lease;
	const struct hf_repair_events *events;
	struct hf_phases *phases;
	atomic_uint_fast64_t *done; /* of the present phase */
	struct hf_stop *stop;

	struct hf_index *ix;        /* what the old index says; empty if all packs are read */
	struct hf_bits there, good; /* packs by number: in the store, and with the right size */
	struct files bad;           /* index files that cannot be used */
	struct files unread;        /* packs to be read */
	struct hf_index_writer *writer;

	atomic_size_t next;
	struct hf_stop failed; /* a sibling's */
	pthread_mutex_t lock;  /* guards the following, and calls of say() from threads */
	struct files invalid;  /* packs without a header that can be read */
	struct hf_err
		*hard; /* what made the loading of an index file fail, if not its content */
};

static void
files_add(struct files *f, const struct hf_id *id, uint64_t size)
{
	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 16 : 2 * f->cap;
		f->ids = hf_realloc_array(f->ids, f->cap, sizeof *f->ids);
		f->sizes = hf_realloc_array(f->sizes, f->cap, sizeof *f->sizes);
	}
	f->ids[f->n] = *id;
	f->sizes[f->n++] = size;
}

static void
files_clear(struct files *f)
{
	free(f->ids);
	free(f->sizes);
}

static __attribute__((format(printf, 3, 4))) void
say(struct repair *r, bool is_detail, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hf_autofree char *text = hf_str_vprintf(fmt, ap);
	va_end(ap);
	r->events->say(r->events->arg, is_detail, text);
}

/* ---- the old index ---- */

/* A file that does not decode goes; one that could not be had just now ends it all. */
static void
bad_index(void *arg, const struct hf_id *file, struct hf_err *e)
{
	struct repair *r = arg;

	if (hf_err_code(e) == HF_ECORRUPT) {
		say(r, false, "removing invalid index %s: %s", hf_id_hex(file).s,
			hf_err_text(e));
		files_add(&r->bad, file, 0);
	} else if (r->hard == NULL) {
		r->hard = hf_err_in(e, "index %s", hf_id_hex(file).s);
		return;
	}
	hf_err_free(e);
}

static struct hf_err *
load(struct repair *r, bool reads_all)
{
	if (reads_all) {
		HF_TRY(hf_err_in(
			hf_repo_list(r->repo, HF_INDEX, &r->bad.ids, &r->bad.sizes, &r->bad.n),
			"listing index files"));
		r->bad.cap = r->bad.n;
		return NULL;
	}
	hf_phase_begin(r->phases, HF_REPAIR_LOAD, 0);
	HF_TRY(hf_index_load(r->repo, r->ix, r->stop, bad_index, r));
	return hf_steal(r->hard);
}

/* ---- packs ---- */

static struct hf_err *
compare_pack(void *arg, const struct hf_name *name, uint64_t size)
{
	struct repair *r = arg;
	struct hf_index_pack_info info;
	uint32_t number;

	HF_TRY(hf_stop_check(r->stop));
	if (!hf_index_find_pack(r->ix, &name->id, &number)) {
		say(r, false, "adding pack file to index %s", hf_id_hex(&name->id).s);
		files_add(&r->unread, &name->id, size);
		return NULL;
	}
	if (!hf_index_pack_info(r->ix, number, &info))
		abort();
	hf_bits_add(&r->there, number);
	if (info.size == size) {
		hf_bits_add(&r->good, number);
		return NULL;
	}
	say(r, false, "reindexing pack file %s with unexpected size %ju instead of %ju",
		hf_id_hex(&name->id).s, (uintmax_t)size, (uintmax_t)info.size);
	files_add(&r->unread, &name->id, size);
	return NULL;
}

/* The list of the store against that of the index. */
static struct hf_err *
compare(struct repair *r)
{
	size_t n = hf_index_packs(r->ix);
	struct hf_id id;

	hf_phase_begin(r->phases, HF_REPAIR_COMPARE, 0);
	hf_bits_init(&r->there, n);
	hf_bits_init(&r->good, n);
	HF_TRY(hf_err_in(hf_store_list(hf_repo_store(r->repo), HF_PACK, compare_pack, r),
		"listing packs"));
	for (size_t i = 0; i < n; i++)
		if (!hf_bits_has(&r->there, i) && hf_index_pack(r->ix, i, &id))
			say(r, false, "removing not found pack file %s", hf_id_hex(&id).s);
	return NULL;
}

/* Lists the blobs of one pack by its header. A pack that has none that can be read is passed over. */
static struct hf_err *
read_pack(struct repair *r, struct hf_aead *aead, struct hf_pack_entries *entries, size_t i)
{
	const struct hf_id *id = &r->unread.ids[i];
	struct hf_err *e = hf_pack_entries_load(r->repo, aead, id, r->unread.sizes[i], entries);

	/* Bytes can be damaged on their way here: only what fails twice is in the store. */
	if (e != NULL && hf_err_code(e) == HF_ECORRUPT) {
		struct hf_name name = {HF_PACK, *id};

		hf_err_free(e);
		(void)hf_store_forget(hf_repo_store(r->repo), &name);
		e = hf_pack_entries_load(r->repo, aead, id, r->unread.sizes[i], entries);
	}
	if (e != NULL && (hf_err_code(e) == HF_ECORRUPT || hf_err_code(e) == HF_ENOTFOUND)) {
		hf_err_free(e);
		pthread_mutex_lock(&r->lock);
		files_add(&r->invalid, id, 0);
		pthread_mutex_unlock(&r->lock);
	} else if (e != NULL) {
		return e;
	} else if (entries->len > 0) {
		HF_TRY(hf_index_writer_add(r->writer, id, entries->v, entries->len));
	}
	atomic_fetch_add_explicit(r->done, 1, memory_order_relaxed);
	return NULL;
}

static struct hf_err *
read_packs(void *arg)
{
	struct repair *r = arg;
	hf_autoptr(hf_aead) aead = hf_aead_new(hf_repo_key(r->repo));
	hf_auto(hf_pack_entries) entries = {0};
	size_t i;

	while ((i = atomic_fetch_add(&r->next, 1)) < r->unread.n) {
		HF_TRY(hf_stop_check(r->stop));
		HF_TRY(hf_stop_check(&r->failed));
		HF_TRY(read_pack(r, aead, &entries, i));
	}
	return NULL;
}

static void
stop_reading(void *arg)
{
	hf_stop_set(&((struct repair *)arg)->failed);
}

static struct hf_err *
read_unread(struct repair *r)
{
	hf_autoptr(hf_group) g = hf_group_new(stop_reading, r);
	size_t n = hf_store_connections(hf_repo_store(r->repo));

	if (r->unread.n == 0)
		return NULL;
	r->done = hf_phase_begin(r->phases, HF_REPAIR_READ, r->unread.n);
	n = n < MAX_THREADS ? n : MAX_THREADS;
	for (size_t i = 0; i < n && i < r->unread.n; i++)
		HF_TRY(hf_group_go(g, "headers", read_packs, r));
	HF_TRY(hf_group_wait(g));
	HF_TRY(hf_index_writer_flush(r->writer));
	hf_phase_begin(r->phases, HF_REPAIR_HAS_READ, 0);
	for (size_t i = 0; i < r->invalid.n; i++)
		say(r, true, "skipped incomplete pack file: %s",
			hf_id_hex(&r->invalid.ids[i]).s);
	return NULL;
}

/* ---- the new index ---- */

static bool
drops(void *arg, const struct hf_id *pack)
{
	struct repair *r = arg;
	uint32_t number;

	return hf_index_find_pack(r->ix, pack, &number) && !hf_bits_has(&r->good, number);
}

static struct hf_err *
write_index(struct repair *r)
{
	hf_autofree struct hf_id *files = NULL, *obsolete = NULL;
	size_t n_files, n_obsolete;

	hf_index_files(r->ix, &files, &n_files);
	r->done = hf_phase_begin(r->phases, HF_REPAIR_INDEX, n_files);
	struct hf_index_rewrite how = {.files = files,
		.n_files = n_files,
		.drops = drops,
		.arg = r,
		.stop = r->stop,
		.done = r->done,
		.writer = r->writer};
	HF_TRY(hf_err_in(hf_index_rewrite(r->repo, &how, &obsolete, &n_obsolete),
		"failed to rewrite indexes"));
	for (size_t i = 0; i < n_obsolete; i++)
		files_add(&r->bad, &obsolete[i], 0);
	return NULL;
}

/* Whether the new index has a pack as the old one, which was right about it. */
static bool
has_as_before(struct repair *r, struct hf_index *new, size_t pack)
{
	struct hf_index_pack_info before, now;
	uint32_t number;

	return hf_index_pack_info(r->ix, pack, &before) &&
	       hf_index_find_pack(new, &before.pack, &number) &&
	       hf_index_pack_info(new, number, &now) && now.size == before.size &&
	       now.n_blobs == before.n_blobs;
}

/* The index as it will be, read from the store, before anything is deleted. */
static struct hf_err *
prove(struct repair *r)
{
	hf_autoptr(hf_index) new = hf_index_new();
	size_t n = hf_index_packs(r->ix);
	struct hf_id id;

	hf_phase_begin(r->phases, HF_REPAIR_CHECK, 0);
	hf_id_sort(r->bad.ids, r->bad.n);
	const struct hf_check_made made = {.gone = r->bad.ids, .n_gone = r->bad.n};
	HF_TRY(hf_check_index_made(r->repo, &made, new, r->stop));
	for (size_t i = 0; i < n; i++)
		if (hf_bits_has(&r->good, i) && !has_as_before(r, new, i) &&
			hf_index_pack(r->ix, i, &id))
			return hf_err(HF_ECORRUPT, "pack %s is not in it as it was",
				hf_id_hex(&id).s);
	return NULL;
}

static struct hf_err *
delete_old(struct repair *r)
{
	r->done = hf_phase_begin(r->phases, HF_REPAIR_DELETE, r->bad.n);
	HF_TRY(hf_lease_verify(r->lease));
	struct hf_removal how = {
		HF_INDEX, false, r->stop, r->done, r->events->removed, r->events->arg};
	return hf_repo_remove(r->repo, &how, r->bad.ids, r->bad.n);
}

static struct hf_err *
run(struct repair *r, const struct hf_repair_index_options *o)
{
	HF_TRY(load(r, o->reads_all));
	HF_TRY(compare(r));
	if (o->is_dry_run)
		return NULL;
	HF_TRY(read_unread(r));
	HF_TRY(write_index(r));
	if (r->bad.n > 0)
		HF_TRY(hf_err_in(prove(r), "the new index does not pass the check, so that no "
					   "old one was deleted"));
	HF_TRY(delete_old(r));
	hf_phase_begin(r->phases, HF_REPAIR_DONE, 0);
	return NULL;
}

struct hf_err *
hf_repair_index(struct hf_repo *repo, struct hf_lease *lease,
	const struct hf_repair_index_options *options, const struct hf_repair_events *events,
	struct hf_phases *phases, struct hf_stop *stop)
{
	struct repair r = {
		.repo = repo,
		.lease = lease,
		.events = events,
		.phases = phases,
		.stop = stop,
		.ix = hf_index_new(),
		.writer = hf_index_writer_new(repo),
	};

	pthread_mutex_init(&r.lock, NULL);
	struct hf_err *e = run(&r, options);
	pthread_mutex_destroy(&r.lock);
	hf_index_free(r.ix);
	hf_index_writer_free(r.writer);
	hf_bits_clear(&r.there);
	hf_bits_clear(&r.good);
	files_clear(&r.bad);
	files_clear(&r.unread);
	files_clear(&r.invalid);
	hf_err_free(r.hard);
	return e;
}
