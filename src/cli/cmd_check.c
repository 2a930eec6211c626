/* SPDX-License-Identifier: BSD-2-Clause */
/* check: is the repository sound? */
#include "cli/check.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "engine/check.h"

struct check_options {
	struct hf_filter_opts filter;
	bool read_data, with_cache, checks_unused;
	char *subset;
};

#define T struct check_options
static const struct hf_opt options[] = {
	{"read-data", 0, HF_OPT_FLAG(T, read_data), .help = "read all data"},
	{"read-data-subset", 0, HF_OPT_STRING(T, subset), .arg = "subset",
		.help = "read part of the data: 'n/t' for part n of t, or 'x%' or a size with "
			"a "
			"suffix of k, M, G, T for a random choice"},
	{"with-cache", 0, HF_OPT_FLAG(T, with_cache),
		.help = "take from the cache what is there"},
	{"check-unused", 0, HF_OPT_FLAG(T, checks_unused), .help = "",
		.instead = "`--check-unused` is deprecated and will be ignored"},
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

struct check {
	struct hf_cli *cli;
	const struct hf_check_options *options;
	struct hf_check_progress progress;
	struct hf_check_result result;
	struct hf_bar bar;
	bool is_filtered;
};

static void
error_json(struct hf_cli *cli, const char *text)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_key(&o, "message_type");
	hf_jout_str(&o, hf_str("error"));
	hf_jout_key(&o, "message");
	hf_jout_str(&o, hf_str(text));
	hf_jout_object_end(&o);
	hf_err_json(cli->out, &json);
}

static void
found(void *arg, const struct hf_check_finding *f)
{
	struct check *c = arg;
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	hf_buf_add_str(&text, f->text);
	if (f->snapshot != NULL) {
		hf_buf_addf(&text, " (snapshot %.8s, ", hf_id_hex(f->snapshot).s);
		hf_format_name(&text, hf_str(f->path != NULL ? f->path : "/"));
		hf_buf_add_char(&text, ')');
	}
	hf_buf_add_char(&text, '\0');
	if (text.is_full)
		return;
	if (hf_check_is_damage(f->kind) || f->kind == HF_CHECK_TOUCHED) {
		if (c->cli->global.is_json)
			error_json(c->cli, (const char *)text.p);
		else
			hf_say_err(c->cli->out, "%s%s",
				f->kind == HF_CHECK_TOUCHED ? "  affected: " : "error: ",
				(const char *)text.p);
	} else {
		hf_say(c->cli->out,
			f->kind == HF_CHECK_ORPHANED_PACK ? HF_SAY_VERBOSE : HF_SAY_NORMAL,
			"%s", (const char *)text.p);
	}
}

static void
say_data(struct check *c)
{
	const struct hf_check_subset *s = &c->options->data;
	const char *filtered = c->is_filtered ? "filtered " : "";
	unsigned long long packs = atomic_load(&c->progress.packs_total);
	unsigned long long known = atomic_load(&c->progress.packs_known);
	unsigned long long bytes = atomic_load(&c->progress.bytes_total);

	switch (s->kind) {
	case HF_SUBSET_NONE:
		return;
	case HF_SUBSET_ALL:
		hf_say(c->cli->out, HF_SAY_NORMAL, "read all %sdata", filtered);
		break;
	case HF_SUBSET_PART:
		hf_say(c->cli->out, HF_SAY_NORMAL,
			"read group #%u of %llu %sdata packs (out of total %llu packs in %u "
			"groups)",
			s->n, packs, filtered, known, s->t);
		break;
	case HF_SUBSET_PERCENT:
		hf_say(c->cli->out, HF_SAY_NORMAL, "read %.1f%% of %spackfiles", s->percent,
			filtered);
		break;
	case HF_SUBSET_BYTES:
		hf_say(c->cli->out, HF_SAY_NORMAL, "read %llu bytes of %sdata packs", bytes,
			filtered);
		break;
	}
	hf_bar_start(
		&c->bar, c->cli, "packs", &c->progress.packs_done, &c->progress.packs_total);
}

static void
begin_phase(void *arg, enum hf_check_phase phase)
{
	struct check *c = arg;

	hf_bar_stop(&c->bar);
	switch (phase) {
	case HF_CHECK_LOAD_INDEX:
		hf_say(c->cli->out, HF_SAY_NORMAL, "load indexes");
		break;
	case HF_CHECK_PACKS:
		hf_say(c->cli->out, HF_SAY_NORMAL, "check all packs");
		break;
	case HF_CHECK_STRUCTURE:
		hf_say(c->cli->out, HF_SAY_NORMAL, "check snapshots, trees and blobs");
		hf_bar_start(&c->bar, c->cli, "snapshots", &c->progress.snapshots_done,
			&c->progress.snapshots_total);
		break;
	case HF_CHECK_DATA:
		say_data(c);
		break;
	}
}

static void
say_hints(const struct check *c)
{
	const struct hf_check_result *r = &c->result;

	if (r->duplicate_packs > 0)
		hf_say(c->cli->out, HF_SAY_NORMAL,
			"Duplicate packs are non-critical, you can run `%s repair index` to "
			"correct this.",
			c->cli->program);
	if (r->mixed_packs > 0)
		hf_say(c->cli->out, HF_SAY_NORMAL,
			"Mixed packs with tree and data blobs are non-critical, you can run "
			"`%s prune` to correct this.",
			c->cli->program);
	if (r->orphaned_packs > 0 && r->damages == 0)
		hf_say(c->cli->out, HF_SAY_NORMAL,
			"%llu additional files were found in the repo, which likely contain "
			"duplicate data.\nThis is non-critical, you can run `%s prune` to "
			"correct "
			"this.",
			(unsigned long long)r->orphaned_packs, c->cli->program);
}

static void
add_ids(struct hf_buf *b, const struct hf_check_ids *l, const struct hf_check_ids *but)
{
	for (size_t i = 0, k = 0; i < l->len; i++) {
		while (but != NULL && k < but->len && hf_id_cmp(&but->v[k], &l->v[i]) < 0)
			k++;
		if (but == NULL || k == but->len || !hf_id_eq(&but->v[k], &l->v[i]))
			hf_buf_addf(b, " %s", hf_id_hex(&l->v[i]).s);
	}
}

/* What is hurt by the damage, which restic does not say. */
static void
say_hurt(const struct check *c)
{
	const struct hf_check_ids *l = &c->result.hurt_snapshots;
	hf_auto(hf_buf) ids = HF_BUF_MAX(64 << 20);

	if (l->len == 0)
		return;
	for (size_t i = 0; i < l->len; i++)
		hf_buf_addf(&ids, " %.8s", hf_id_hex(&l->v[i]).s);
	hf_say_err(c->cli->out, "\n%zu of %ju snapshots need what is damaged:%.*s", l->len,
		(uintmax_t)c->result.n_snapshots, (int)ids.len, (const char *)ids.p);
}

/*
 * What can be done about the damage, in the order in which to do it. restic sends its users to
 * `repair packs` with packs that are not there, which that refuses: so do we, under its name.
 */
static void
say_advice(const struct check *c)
{
	const struct hf_check_result *r = &c->result;
	const char *program = c->cli->program;
	bool is_restic = c->cli->is_restic;
	hf_auto(hf_buf) ids = HF_BUF_MAX(64 << 20);

	if (c->cli->global.is_json || r->damages == 0)
		return;
	if (!is_restic)
		say_hurt(c);
	hf_say_err(c->cli->out,
		"\nThe repository is damaged. Make a copy of it before you repair anything: "
		"what "
		"is\nmissing may turn up elsewhere, and a repair drops it for good.");
	if (r->index_damages > 0 || (!is_restic && r->missing_packs.len > 0))
		hf_say_err(c->cli->out, "\n%s repair index", program);
	if (r->broken_packs.len == 0)
		return;
	add_ids(&ids, &r->broken_packs, is_restic ? NULL : &r->missing_packs);
	if (ids.len > 0)
		hf_say_err(c->cli->out, "\n%s repair packs%.*s", program, (int)ids.len,
			(const char *)ids.p);
	if (!is_restic)
		hf_say_err(c->cli->out,
			"\nAfter that a `backup` of the files that are named brings back what "
			"is "
			"still\nthere of them. What is not, leaves the snapshots with:\n");
	hf_say_err(c->cli->out, "%s repair snapshots --forget\n", program);
}

static void
ids_json(struct hf_jout *o, const struct hf_check_ids *l)
{
	hf_jout_array(o);
	for (size_t i = 0; i < l->len; i++)
		hf_jout_id(o, &l->v[i]);
	hf_jout_array_end(o);
}

static void
print_summary(struct check *c, bool has_failed)
{
	const struct hf_check_result *r = &c->result;
	hf_auto(hf_buf) json = HF_BUF_MAX(64 << 20);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_key(&o, "message_type");
	hf_jout_str(&o, hf_str("summary"));
	hf_jout_key(&o, "num_errors");
	hf_jout_u64(&o, r->damages == 0 && has_failed ? 1 : r->damages);
	hf_jout_key(&o, "broken_packs");
	if (r->broken_packs.len == 0)
		hf_jout_null(&o);
	else
		ids_json(&o, &r->broken_packs);
	hf_jout_key(&o, "suggest_repair_index");
	hf_jout_bool(&o, r->duplicate_packs > 0 || r->index_damages > 0);
	hf_jout_key(&o, "suggest_prune");
	hf_jout_bool(&o, r->mixed_packs > 0 || r->orphaned_packs > 0);
	if (!c->cli->is_restic && r->hurt_snapshots.len > 0) {
		hf_jout_key(&o, "damaged_snapshots");
		ids_json(&o, &r->hurt_snapshots);
	}
	hf_jout_object_end(&o);
	hf_out_json(c->cli->out, &json);
}

/* With the options of `c`, which are forgotten then. */
static struct hf_err *
check_repo(struct check *c, struct hf_repo *repo)
{
	struct hf_check_events events = {c, begin_phase, found};
	struct hf_err *e =
		hf_check(repo, c->options, &events, &c->progress, &c->cli->stop, &c->result);

	hf_bar_stop(&c->bar);
	c->options = NULL;
	HF_TRY(e);
	say_hints(c);
	say_advice(c);
	if (c->result.damages > 0)
		return hf_err(HF_EFATAL, "repository contains errors");
	hf_say(c->cli->out, HF_SAY_NORMAL, "no errors were found");
	return NULL;
}

static struct hf_err *
check(struct check *c, const struct check_options *o, const struct hf_args *args)
{
	hf_auto(hf_snapshot_filter) filter = {0};
	hf_auto(hf_strings) ids = {0};
	hf_auto(hf_session) session = {0};
	struct hf_check_options co = {.filter = &filter};

	if (o->read_data && o->subset != NULL)
		return hf_err(HF_EINVAL,
			"check flags --read-data and --read-data-subset cannot "
			"be used together");
	if (o->read_data)
		co.data.kind = HF_SUBSET_ALL;
	else if (o->subset != NULL)
		HF_TRY(hf_check_subset_parse(o->subset, &co.data));
	for (size_t i = 0; i < args->len; i++)
		hf_strings_add(&ids, args->v[i]);
	co.snapshots = ids;
	hf_session_filter(&o->filter, &filter);
	c->is_filtered = ids.len + filter.hosts.len + filter.tags.len + filter.paths.len > 0;
	c->options = &co;
	if (!c->cli->global.no_lock)
		hf_say(c->cli->out, HF_SAY_NORMAL, "create exclusive lock for repository");
	c->cli->early = HF_EARLY_SNAPSHOTS | HF_EARLY_INDEX;
	HF_TRY(hf_session_open_with(c->cli, HF_SESSION_EXCLUSIVE, true,
		o->with_cache ? HF_CACHE_SHARED : HF_CACHE_TEMPORARY, &session));
	return check_repo(c, session.repo);
}

struct hf_err *
hf_check_session(struct hf_session *s)
{
	const struct hf_check_options all = {0};
	struct check c = {.cli = s->cli, .options = &all};
	struct hf_err *e = check_repo(&c, s->repo);

	hf_check_result_clear(&c.result);
	return e;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	struct check c = {.cli = cli};
	struct hf_err *e = check(&c, opts, args);

	if (cli->global.is_json)
		print_summary(&c, e != NULL);
	hf_check_result_clear(&c.result);
	return e;
}

const struct hf_command hf_cmd_check = {
	.name = "check",
	.usage = "[flags] [snapshotID ...]",
	.summary = "Check the repository for errors",
	.text = "Checks that everything is there that the snapshots need: index, packs, "
		"trees.\n"
		"Whether the data itself is what it was takes --read-data or\n"
		"--read-data-subset. With snapshots named or filtered, only what these need "
		"is\n"
		"looked at.",
	HF_COMMAND_OPTS(options, struct check_options),
	.run = run,
};
