/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/prune_run.h"

#include <math.h>

#include "cli/format.h"
#include "cli/progress.h"

/* ---- options ---- */

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct hf_err *
read_percent(const char *given, struct hf_str text, double *out)
{
	hf_autofree char *number = hf_str_dup((struct hf_str){text.p, text.len - 1});
	char *end;

	*out = strtod(number, &end);
	if (*number == '\0' || is_blank(*number) || *end != '\0' || isnan(*out))
		return hf_err(HF_EINVAL,
			"invalid percentage \"%s\" passed for --max-unused: it is not a number",
			given);
	if (*out < 0)
		return hf_err(HF_EINVAL, "percentage for --max-unused must be positive");
	if (*out >= 100)
		return hf_err(HF_EINVAL, "percentage for --max-unused must be below 100%%");
	return NULL;
}

static struct hf_err *
read_max_unused(const char *given, struct hf_prune_options *out)
{
	struct hf_str s = hf_str(given);

	for (; s.len > 0 && is_blank(s.p[0]); s.p++)
		s.len--;
	while (s.len > 0 && is_blank(s.p[s.len - 1]))
		s.len--;
	hf_autofree char *text = hf_str_dup(s);
	if (s.len == 0)
		return hf_err(HF_EINVAL, "invalid value for --max-unused: \"%s\"", given);
	if (strcmp(text, "unlimited") == 0) {
		out->max_unused = HF_UNUSED_ANY;
		return NULL;
	}
	if (s.p[s.len - 1] == '%') {
		out->max_unused = HF_UNUSED_PERCENT;
		return read_percent(given, s, &out->unused_percent);
	}
	out->max_unused = HF_UNUSED_BYTES;
	if (!hf_parse_size(text, &out->unused_bytes))
		return hf_err(HF_EINVAL,
			"invalid number of bytes \"%s\" for --max-unused: it is not a size "
			"such "
			"as 300, 20k or 5M",
			given);
	return NULL;
}

struct hf_err *
hf_prune_opts_read(
	const struct hf_cli *cli, const struct hf_prune_opts *o, struct hf_prune_options *out)
{
	*out = (struct hf_prune_options){.max_repack = UINT64_MAX,
		.cacheable_only = o->cacheable_only,
		.compresses = o->uncompressed};
	if (hf_is_set(o->max_repack) && !hf_parse_size(o->max_repack, &out->max_repack))
		return hf_err(HF_EINVAL,
			"invalid number of bytes \"%s\" for --max-repack-size: it is not a "
			"size "
			"such as 300, 20k or 5M",
			o->max_repack);
	HF_TRY(read_max_unused(o->max_unused, out));
	if (hf_is_set(o->smaller_than)) {
		if (!hf_parse_size(o->smaller_than, &out->small_pack))
			return hf_err(HF_EINVAL,
				"invalid number of bytes \"%s\" for --repack-smaller-than: it "
				"is "
				"not a size such as 300, 20k or 5M",
				o->smaller_than);
		if (out->small_pack == 0)
			return hf_err(
				HF_EINVAL, "--repack-smaller-than must be larger than zero");
	}
	if (o->uncompressed && cli->global.compression == HF_COMPRESS_OFF)
		return hf_err(HF_EINVAL, "disabled compression and `--repack-uncompressed` are "
					 "mutually exclusive");
	return NULL;
}

/* ---- texts ---- */

struct run {
	struct hf_session *session;
	struct hf_out *out;
	const struct hf_prune_options *options;
	struct hf_phases phases;
	struct hf_bar bar;
};

static void
say_blobs(struct run *r, enum hf_say level, const char *what, uint64_t blobs, uint64_t bytes)
{
	hf_say(r->out, level, "%-13s %10llu blobs / %s", what, (unsigned long long)blobs,
		hf_format_bytes(bytes).s);
}

static void
say_packs(struct run *r, const char *what, uint64_t packs, const char *unit)
{
	hf_say(r->out, HF_SAY_VERBOSE, "%s %10llu%s", what, (unsigned long long)packs, unit);
}

static void
say_stats(struct run *r, const struct hf_prune_stats *s)
{
	uint64_t blobs = s->blobs.used + s->blobs.unused + s->blobs.duplicate;
	uint64_t size = s->size.used + s->size.duplicate + s->size.unused + s->size.unref;
	uint64_t unused = s->size.duplicate + s->size.unused;
	uint64_t pruned = s->size.remove + s->size.repack_rm + s->size.unref;
	uint64_t after = unused - s->size.remove - s->size.repack_rm;
	uint64_t removed = s->blobs.remove + s->blobs.repack_rm;

	hf_say(r->out, HF_SAY_VERBOSE, "\n");
	say_blobs(r, HF_SAY_VERBOSE, "used:", s->blobs.used, s->size.used);
	if (s->blobs.duplicate > 0)
		say_blobs(r, HF_SAY_VERBOSE, "duplicates:", s->blobs.duplicate,
			s->size.duplicate);
	say_blobs(r, HF_SAY_VERBOSE, "unused:", s->blobs.unused, s->size.unused);
	if (s->size.unref > 0)
		hf_say(r->out, HF_SAY_VERBOSE, "unreferenced:                    %s",
			hf_format_bytes(s->size.unref).s);
	say_blobs(r, HF_SAY_VERBOSE, "total:", blobs, size);
	hf_say(r->out, HF_SAY_VERBOSE, "unused size: %s of total size",
		hf_format_percent(unused, size).s);

	hf_say(r->out, HF_SAY_NORMAL, "\n");
	say_blobs(r, HF_SAY_NORMAL, "to repack:", s->blobs.repack, s->size.repack);
	say_blobs(r, HF_SAY_NORMAL, "this removes:", s->blobs.repack_rm, s->size.repack_rm);
	say_blobs(r, HF_SAY_NORMAL, "to delete:", s->blobs.remove,
		s->size.remove + s->size.unref);
	say_blobs(r, HF_SAY_NORMAL, "total prune:", removed, pruned);
	if (s->size.uncompressed > 0)
		hf_say(r->out, HF_SAY_NORMAL, "not yet compressed:              %s",
			hf_format_bytes(s->size.uncompressed).s);
	say_blobs(r, HF_SAY_NORMAL, "remaining:", blobs - removed, size - pruned);
	hf_say(r->out, HF_SAY_NORMAL, "unused size after prune: %s (%s of remaining size)\n",
		hf_format_bytes(after).s, hf_format_percent(after, size - pruned).s);
	hf_say(r->out, HF_SAY_NORMAL, "\n");

	say_packs(r, "totally used packs:", s->packs.used, "");
	say_packs(r, "partly used packs: ", s->packs.partly_used, "");
	say_packs(r, "unused packs:      ", s->packs.unused, "\n\n");
	say_packs(r, "to keep:     ", s->packs.keep, " packs");
	say_packs(r, "to repack:   ", s->packs.repack, " packs");
	say_packs(r, "to delete:   ", s->packs.remove, " packs");
	if (s->packs.unref > 0)
		say_packs(r, "to delete:   ", s->packs.unref, " unreferenced packs\n\n");
}

static void
say_ids(struct run *r, const char *what, const struct hf_id *ids, size_t n)
{
	hf_auto(hf_buf) text = HF_BUF_SPOOL(SIZE_MAX / 2);

	if (!hf_out_says(r->out, HF_SAY_VERBOSE))
		return;
	for (size_t i = 0; i < n; i++)
		hf_buf_addf(&text, "%s%.8s", i > 0 ? " " : "", hf_id_hex(&ids[i]).s);
	hf_say(r->out, HF_SAY_VERBOSE, "Would have %s packs:\n{%.*s}\n\n", what, (int)text.len,
		(const char *)text.p);
}

static void
say_plan(struct run *r, const struct hf_prune_plan *plan)
{
	if (r->options->is_dry_run)
		hf_say(r->out, HF_SAY_NORMAL, "\nWould have made the following changes:");
	say_stats(r, &plan->stats);
	if (!r->options->is_dry_run)
		return;
	hf_say(r->out, HF_SAY_VERBOSE,
		"Repeated prune dry-runs can report slightly different amounts of data to keep "
		"or "
		"repack. This is expected behavior.\n\n");
	if (plan->n_unref > 0)
		say_ids(r, "removed the following unreferenced", plan->unref, plan->n_unref);
	say_ids(r, "repacked and removed the following", plan->repack, plan->n_repack);
	say_ids(r, "removed the following no longer used", plan->remove, plan->n_remove);
}

/* What is said when a phase begins, and what is counted in it. */
static const char *
begin(struct run *r, enum hf_prune_phase phase, const struct hf_prune_plan *plan)
{
	unsigned long long total = hf_count(&r->phases.total[phase]);

	switch (phase) {
	case HF_PRUNE_LOAD:
		hf_say(r->out, HF_SAY_NORMAL, "loading all snapshots...");
		return NULL;
	case HF_PRUNE_MARK:
		hf_say(r->out, HF_SAY_NORMAL,
			"finding data that is still in use for %llu snapshots", total);
		return "snapshots";
	case HF_PRUNE_SEARCH:
		hf_say(r->out, HF_SAY_NORMAL, "searching used packs...");
		return NULL;
	case HF_PRUNE_COLLECT:
		hf_say(r->out, HF_SAY_NORMAL, "collecting packs for deletion and repacking");
		return "packs processed";
	case HF_PRUNE_PLANNED:
		say_plan(r, plan);
		return NULL;
	case HF_PRUNE_REPACK:
		hf_say(r->out, HF_SAY_NORMAL, "repacking packs");
		return "packs repacked";
	case HF_PRUNE_INDEX:
		hf_say(r->out, HF_SAY_NORMAL, "rebuilding index");
		return "indexes processed";
	case HF_PRUNE_EXCLUDE:
	case HF_PRUNE_LOOK:
		return NULL;
	case HF_PRUNE_DELETE_INDEX:
		if (!r->options->is_recovery)
			return "old indexes deleted";
		hf_say(r->out, HF_SAY_NORMAL, "deleting index files");
		return "files deleted";
	case HF_PRUNE_DELETE_UNREF:
		hf_say(r->out, HF_SAY_NORMAL, "deleting unreferenced packs");
		return "files deleted";
	case HF_PRUNE_DELETE_PACKS:
		hf_say(r->out, HF_SAY_NORMAL, "removing %llu old packs", total);
		return "files deleted";
	case HF_PRUNE_WRITE_INDEX:
		return "packs processed";
	case HF_PRUNE_DONE:
		hf_say(r->out, HF_SAY_NORMAL, "done");
		return NULL;
	}
	return NULL;
}

static void
phase(void *arg, enum hf_prune_phase phase, const struct hf_prune_plan *plan)
{
	struct run *r = arg;

	hf_bar_stop(&r->bar);
	const char *what = begin(r, phase, plan);
	if (what != NULL)
		hf_bar_start(&r->bar, r->session->cli, what, &r->phases.done[phase],
			&r->phases.total[phase]);
}

static void
say(void *arg, bool is_error, const char *text)
{
	struct run *r = arg;

	if (is_error)
		hf_say_err(r->out, "%s", text);
	else
		hf_say(r->out, HF_SAY_VERBOSE, "%s", text);
}

static void
removed(void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e)
{
	struct run *r = arg;
	struct hf_hex hex = hf_id_hex(id);

	if (kind == HF_INDEX && !r->options->is_recovery) {
		if (e == NULL)
			hf_say(r->out, HF_SAY_DEBUG, "removed index %s", hex.s);
		else
			hf_say(r->out, HF_SAY_DEBUG, "failed to remove index %s: %s", hex.s,
				hf_err_text(e));
		return;
	}
	if (e != NULL)
		hf_say_err(r->out, "unable to remove %s/%s from the repository",
			hf_kind_folder(kind), hex.s);
	else
		hf_say(r->out, HF_SAY_DEBUG, "removed %s/%s", hf_kind_folder(kind), hex.s);
}

/* ---- run ---- */

static struct hf_err *
exclude(void *arg, struct hf_lease **lease)
{
	struct run *r = arg;
	struct hf_err *e = hf_session_relock(r->session, HF_SESSION_EXCLUSIVE);

	*lease = r->session->lease;
	if (e == NULL || hf_err_code(e) != HF_ELOCKED)
		return e;
	struct hf_err *more = hf_err(HF_ELOCKED,
		"%s\nprune has written all that it needs, and deleted nothing yet: run it "
		"again "
		"when nobody else works, or with --retry-lock, and it ends quickly",
		hf_err_text(e));
	hf_err_free(e);
	return more;
}

static struct hf_err *
regain(void *arg, struct hf_lease **lease)
{
	struct run *r = arg;

	r->session->setup.options.mode = HF_LOCK_SHARED;
	HF_TRY(hf_session_regain(r->session));
	*lease = r->session->lease;
	return NULL;
}

struct hf_err *
hf_prune_run(struct hf_session *s, const struct hf_prune_options *options)
{
	struct run r = {.session = s, .out = s->cli->out, .options = options};
	struct hf_prune_events events = {.arg = &r,
		.phase = phase,
		.say = say,
		.removed = removed,
		.exclude = options->is_recovery ? NULL : exclude,
		.regain = options->is_recovery ? NULL : regain};

	if (s->cache.path == NULL)
		hf_say(r.out, HF_SAY_DATA,
			"warning: running prune without a cache, this may be very slow!");
	struct hf_err *e =
		hf_prune(s->repo, s->lease, options, &events, &r.phases, &s->cli->stop);
	hf_bar_stop(&r.bar);
	return e;
}
