/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of a prune: what is written before what is deleted, and under which lock. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/prune_i.h"
#include "repo/index_rewrite.h"
#include "repo/remove.h"

void
prune_phase(struct prune *p, enum hf_prune_phase phase, uint64_t total)
{
	p->done = hf_phase_begin(p->phases, phase, total);
	p->events->phase(p->events->arg, phase, phase < HF_PRUNE_PLANNED ? NULL : &p->plan);
}

void
prune_say(struct prune *p, bool is_error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hf_autofree char *text = hf_str_vprintf(fmt, ap);
	va_end(ap);
	p->events->say(p->events->arg, is_error, text);
}

void
prune_add_id(struct hf_id **list, size_t *n, const struct hf_id *id)
{
	if ((*n & (*n - 1)) == 0) /* full: 0, 1, 2, 4, ... */
		*list = hf_realloc_array(*list, *n == 0 ? 1 : 2 * *n, sizeof **list);
	(*list)[(*n)++] = *id;
}

static struct hf_err *
check_options(const struct prune *p)
{
	unsigned version = hf_repo_config(p->repo)->version;

	if (hf_store_connections(hf_repo_store(p->repo)) < 2)
		return hf_err(
			HF_EINVAL, "prune requires a backend connection limit of at least two");
	if (version < 2 && p->o->compresses)
		return hf_err(
			HF_EINVAL, "compression requires at least repository format version 2");
	if (p->o->small_pack > hf_repo_opts(p->repo)->pack_size)
		return hf_err(HF_EINVAL, "repack-smaller-than exceeds repository packsize");
	return NULL;
}

/*
 * A1. Packs before the index: what the index does not list by then has been there for a while, or
 * is being written. Snapshots before the index, as every reader.
 */
static struct hf_err *
load(struct prune *p)
{
	static const struct hf_snapshot_filter all;

	prune_phase(p, HF_PRUNE_LOAD, 0);
	HF_TRY(hf_err_in(hf_repo_list(p->repo, HF_PACK, &p->files, &p->sizes, &p->n_files),
		"listing packs"));
	HF_TRY(hf_err_in(hf_snapshots_load(p->repo, &all, NULL, NULL, &p->snapshots),
		"failed loading snapshot"));
	return hf_index_load(p->repo, p->ix, p->stop, NULL, NULL);
}

static bool
drops(void *arg, const struct hf_id *pack)
{
	struct prune *p = arg;
	uint32_t number;

	return hf_index_find_pack(p->ix, pack, &number) && prune_drops(p, number);
}

/*
 * A5. All index files that this prune knows, with those that the repacking has written. It stands
 * on the new ones too from now on: B1 looks for them.
 */
static struct hf_err *
rewrite_index(struct prune *p)
{
	hf_autoptr(hf_index_writer) writer = hf_index_writer_new(p->repo);
	hf_autofree struct hf_id *files = NULL;
	size_t n_files, n_new;

	hf_index_files(p->ix, &files, &n_files);
	prune_phase(p, HF_PRUNE_INDEX, n_files);
	struct hf_index_rewrite how = {.files = files,
		.n_files = n_files,
		.drops = drops,
		.arg = p,
		.stop = p->stop,
		.done = p->done,
		.writer = writer};
	HF_TRY(hf_err_in(hf_index_rewrite(p->repo, &how, &p->obsolete, &p->n_obsolete),
		"failed to rewrite indexes"));
	const struct hf_id *written = hf_index_writer_files(writer, &n_new);
	for (size_t i = 0; i < n_new; i++)
		hf_index_add_file(p->ix, &written[i]);
	return NULL;
}

/* ---- under the exclusive lock ---- */

static bool
is_rescued(struct prune *p, size_t number, const struct hf_blob *blob,
	const struct hf_location *at)
{
	(void)number;
	(void)blob;
	return at->pack_number < p->n_packs && p->packs[at->pack_number].is_rescued;
}

static bool
is_kept(struct prune *p, size_t number, const struct hf_blob *blob,
	const struct hf_location *at)
{
	(void)number;
	(void)blob;
	return !prune_drops(p, at->pack_number);
}

/* Writes index files with what fn() wants, whole packs. */
static struct hf_err *
write_index(struct prune *p, bool (*wants)(struct prune *, size_t, const struct hf_blob *,
				     const struct hf_location *))
{
	hf_autoptr(hf_index_writer) w = hf_index_writer_new(p->repo);
	hf_autofree uint32_t *first = NULL, *numbers = NULL;
	hf_auto(hf_pack_entries) entries = {0};
	size_t n_packs = hf_index_packs(p->ix);
	struct hf_id id;

	HF_TRY(prune_by_pack(p, wants, &first, &numbers));
	for (size_t i = 0; i < n_packs; i++) {
		if (first[i] == first[i + 1] || !hf_index_pack(p->ix, i, &id))
			continue;
		hf_pack_entries_reset(&entries);
		for (size_t k = first[i]; k < first[i + 1]; k++) {
			struct hf_pack_entry e = {0};
			struct hf_location at;

			if (!hf_index_entry(p->ix, numbers[k], &e.blob, &at))
				abort();
			e.offset = at.offset;
			e.length = at.length;
			e.raw_length = at.raw_length;
			hf_pack_entries_add(&entries, &e);
		}
		HF_TRY(hf_index_writer_add(w, &id, entries.v, entries.len));
		atomic_fetch_add_explicit(p->done, 1, memory_order_relaxed);
	}
	return hf_index_writer_flush(w);
}

/*
 * What B1 has taken off the plan is written into the index once more, since A5 has left it out.
 */
static struct hf_err *
write_rescued(struct prune *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_packs; i++)
		n += p->packs[i].is_rescued;
	if (n == 0)
		return NULL;
	prune_say(p, false, "%zu packs stay, as they came into use meanwhile", n);
	return write_index(p, is_rescued);
}

static struct hf_err *
verify_lease(struct prune *p)
{
	return p->lease != NULL ? hf_lease_verify(p->lease) : NULL;
}

static struct hf_err *
delete_files(struct prune *p, enum hf_prune_phase phase, enum hf_kind kind,
	const struct hf_id *ids, size_t n)
{
	prune_phase(p, phase, n);
	struct hf_removal how = {
		kind, kind == HF_PACK, p->stop, p->done, p->events->removed, p->events->arg};

	return hf_repo_remove(p->repo, &how, ids, n);
}

static bool
is_dropped(struct prune *p, size_t number, const struct hf_blob *blob,
	const struct hf_location *at)
{
	(void)number;
	(void)blob;
	return prune_drops(p, at->pack_number) && p->packs[at->pack_number].action != PACK_GONE;
}

/*
 * The exclusive lock went while old index files were deleted: a backup may have begun that has
 * loaded them, and relies on packs that no index lists now. So these are listed again, and nothing
 * more is deleted (commit.pml, RESTORE). Takes `e`.
 */
static struct hf_err *
put_back(struct prune *p, struct hf_err *e)
{
	if (hf_err_code(e) != HF_ELOST || p->events->regain == NULL)
		return hf_err_in(e, "no pack was deleted");
	hf_autoptr(hf_err) failed = p->events->regain(p->events->arg, &p->lease);
	if (failed == NULL)
		failed = write_index(p, is_dropped);
	hf_autoptr(hf_err) lost = e;
	if (failed != NULL)
		return hf_err(HF_ELOST,
			"%s\nno pack was deleted, but %zu are in no index any more (%s): run "
			"`repair index`, then prune again",
			hf_err_text(lost), p->plan.n_repack + p->plan.n_remove,
			hf_err_text(failed));
	return hf_err(HF_ELOST, "%s\nno pack was deleted; run prune again", hf_err_text(lost));
}

/*
 * B2, and whether the lock was there until its end: only then nobody can rely on the packs. With an
 * index file that stays by accident, no pack may go.
 */
static struct hf_err *
replace_index(struct prune *p)
{
	HF_TRY(verify_lease(p));
	struct hf_err *e =
		delete_files(p, HF_PRUNE_DELETE_INDEX, HF_INDEX, p->obsolete, p->n_obsolete);

	if (e == NULL && p->lease != NULL)
		e = hf_lease_validate(p->lease);
	return e != NULL ? put_back(p, e) : NULL;
}

/* Those that no index lists even now. */
static struct hf_err *
delete_unlisted(struct prune *p)
{
	size_t n = 0;
	uint32_t number;

	for (size_t i = 0; i < p->plan.n_unref; i++)
		if (!hf_index_find_pack(p->ix, &p->plan.unref[i], &number))
			p->plan.unref[n++] = p->plan.unref[i];
	if (n == 0)
		return NULL;
	return delete_files(p, HF_PRUNE_DELETE_UNREF, HF_PACK, p->plan.unref, n);
}

/* B3. What cannot be deleted is unlisted from now on, and the next prune will find it. */
static struct hf_err *
delete_packs(struct prune *p)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n = 0;

	for (size_t i = 0; i < p->n_packs; i++) {
		unsigned action = p->packs[i].action;
		struct hf_id id;

		if ((action == PACK_REMOVE || action == PACK_REPACK) &&
			hf_index_pack(p->ix, i, &id))
			prune_add_id(&ids, &n, &id);
	}
	if (n == 0)
		return NULL;
	return delete_files(p, HF_PRUNE_DELETE_PACKS, HF_PACK, ids, n);
}

/* Takes the exclusive lock, unless it is held, and looks what has changed. */
static struct hf_err *
exclude(struct prune *p)
{
	if (p->events->exclude == NULL)
		return NULL;
	prune_phase(p, HF_PRUNE_EXCLUDE, 0);
	HF_TRY(p->events->exclude(p->events->arg, &p->lease));
	prune_phase(p, HF_PRUNE_LOOK, 0);
	return prune_look_again(p);
}

static struct hf_err *
execute(struct prune *p)
{
	const struct hf_prune_plan *plan = &p->plan;
	bool has_listed = plan->n_repack + plan->n_remove + plan->n_gone > 0;

	HF_TRY(prune_repack(p));
	if (has_listed)
		HF_TRY(rewrite_index(p));
	if (has_listed || plan->n_unref > 0) {
		HF_TRY(exclude(p));
		HF_TRY(write_rescued(p));
		HF_TRY(has_listed ? replace_index(p) : verify_lease(p));
		HF_TRY(delete_unlisted(p));
		HF_TRY(delete_packs(p));
	}
	prune_phase(p, HF_PRUNE_DONE, 0);
	return NULL;
}

/* Without room for a single file: everything that can go goes, then the index is written. */
static struct hf_err *
recover(struct prune *p)
{
	size_t n_packs = 0;

	HF_TRY(prune_repack(p)); /* nothing is, but that all is there is looked at */
	HF_TRY(verify_lease(p));
	HF_TRY(delete_unlisted(p));
	hf_index_files(p->ix, &p->obsolete, &p->n_obsolete);
	HF_TRY(delete_files(p, HF_PRUNE_DELETE_INDEX, HF_INDEX, p->obsolete, p->n_obsolete));
	HF_TRY(delete_packs(p));
	for (size_t i = 0; i < p->n_packs; i++)
		n_packs += !prune_drops(p, i);
	prune_phase(p, HF_PRUNE_WRITE_INDEX, n_packs);
	HF_TRY(hf_err_in(
		write_index(p, is_kept), "the index is gone; `repair index` makes it anew"));
	prune_phase(p, HF_PRUNE_DONE, 0);
	return NULL;
}

static struct hf_err *
run(struct prune *p)
{
	HF_TRY(check_options(p));
	HF_TRY(load(p));
	HF_TRY(prune_mark(p));
	HF_TRY(prune_plan(p));
	prune_phase(p, HF_PRUNE_PLANNED, 0);
	if (p->o->is_dry_run)
		return NULL;
	return p->o->is_recovery ? recover(p) : execute(p);
}

struct hf_err *
hf_prune(struct hf_repo *repo, struct hf_lease *lease, const struct hf_prune_options *options,
	const struct hf_prune_events *events, struct hf_phases *phases, struct hf_stop *stop)
{
	struct prune p = {
		.repo = repo,
		.lease = lease,
		.o = options,
		.events = events,
		.phases = phases,
		.stop = stop,
		.ix = hf_index_new(),
	};
	struct hf_err *e = run(&p);

	hf_index_free(p.ix);
	hf_snapshots_clear(&p.snapshots);
	hf_bits_clear(&p.used);
	hf_bits_clear(&p.dup);
	hf_bits_clear(&p.chosen);
	free(p.files);
	free(p.sizes);
	free(p.packs);
	free(p.obsolete);
	free(p.plan.unref);
	free(p.plan.repack);
	free(p.plan.remove);
	free(p.plan.gone);
	return e;
}
