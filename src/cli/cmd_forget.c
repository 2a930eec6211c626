/* SPDX-License-Identifier: BSD-2-Clause */
/* forget: removes snapshots by a policy, or those that are named. */
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/prune_run.h"
#include "cli/snaplist.h"
#include "engine/forget.h"
#include "engine/mark.h"
#include "repo/remove.h"

enum { MAX_ENDED = 10 }; /* groups that are named in a warning */

struct forget_options {
	char *count[HF_KEEP_KINDS];
	char *within[HF_KEEP_KINDS];
	struct hf_strings keep_tags;
	struct hf_filter_opts filter;
	bool may_remove_all, is_compact, is_dry_run, prunes;
	char *group_by;
	struct hf_prune_opts prune;
};

#define T struct forget_options
#define COUNT(what, letter_, i, snapshots)                                                     \
	{                                                                                      \
		"keep-" what, letter_, HF_OPT_STRING(T, count[i]),                             \
			.arg = "n",                                                            \
			.help = "keep the last n " snapshots " (unlimited: all of them)"       \
	}
#define WITHIN(what, i, snapshots)                                                             \
	{                                                                                      \
		"keep-within" what, 0, HF_OPT_STRING(T, within[i]),                            \
			.arg = "duration",                                                     \
			.help = "keep " snapshots " that are newer than this, for instance "   \
				"1y5m7d2h, before the latest snapshot"                         \
	}
static const struct hf_opt options[] = {
	COUNT("last", 'l', HF_KEEP_LAST, "snapshots"),
	COUNT("hourly", 'H', HF_KEEP_HOURLY, "hourly snapshots"),
	COUNT("daily", 'd', HF_KEEP_DAILY, "daily snapshots"),
	COUNT("weekly", 'w', HF_KEEP_WEEKLY, "weekly snapshots"),
	COUNT("monthly", 'm', HF_KEEP_MONTHLY, "monthly snapshots"),
	COUNT("yearly", 'y', HF_KEEP_YEARLY, "yearly snapshots"),
	WITHIN("", HF_KEEP_LAST, "snapshots"),
	WITHIN("-hourly", HF_KEEP_HOURLY, "hourly snapshots"),
	WITHIN("-daily", HF_KEEP_DAILY, "daily snapshots"),
	WITHIN("-weekly", HF_KEEP_WEEKLY, "weekly snapshots"),
	WITHIN("-monthly", HF_KEEP_MONTHLY, "monthly snapshots"),
	WITHIN("-yearly", HF_KEEP_YEARLY, "yearly snapshots"),
	{"keep-tag", 0, HF_OPT_LIST(T, keep_tags), .arg = "taglist",
		.help = "keep snapshots that have all of these tags"},
	{"unsafe-allow-remove-all", 0, HF_OPT_FLAG(T, may_remove_all),
		.help = "allow to remove all snapshots of a group"},
	{"hostname", 0, HF_OPT_LIST(T, filter.hosts), .arg = "hostname", .help = "",
		.instead = "use --host"},
	HF_OPT_FILTERS(T, filter, 0),
	{"compact", 'c', HF_OPT_FLAG(T, is_compact), .help = "print a shorter table"},
	{"group-by", 'g', HF_OPT_STRING(T, group_by), .arg = "group", .def = "host,paths",
		.help = "group snapshots by host, paths and/or tags, separated by comma; '' "
			"puts "
			"all into one group"},
	{"dry-run", 'n', HF_OPT_FLAG(T, is_dry_run),
		.help = "do not delete anything, just print what would be done"},
	{"prune", 0, HF_OPT_FLAG(T, prunes),
		.help = "run the command prune if snapshots have been removed"},
	HF_OPT_PRUNE(T, prune),
};
#undef COUNT
#undef WITHIN
#undef T

/* One group, judged. All arrays run from the oldest to the newest. */
struct judged {
	const struct hf_snapshot **keep, **remove;
	char **reasons;                    /* of those kept, one text each */
	const struct hf_strings **matches; /* the same, singly; point into `verdicts` */
	size_t n_keep, n_remove;
	struct hf_keep_verdict *verdicts;
	size_t n;
};

static void
judged_clear(struct judged *j)
{
	for (size_t i = 0; i < j->n_keep; i++)
		free(j->reasons[i]);
	for (size_t i = 0; i < j->n; i++)
		hf_strings_clear(&j->verdicts[i].reasons);
	free(j->keep);
	free(j->remove);
	free(j->reasons);
	free(j->matches);
	free(j->verdicts);
}

struct forget {
	struct hf_cli *cli;
	const struct forget_options *o;
	struct hf_keep_policy policy;
	struct hf_prune_options prune;
	struct hf_time now;
	struct hf_id *ids; /* of the snapshots to remove */
	size_t n_ids, n_failed;
	atomic_uint_fast64_t n_done, n_total;
	struct hf_buf json;
	size_t n_groups;
};

/* ---- options ---- */

static struct hf_err *
read_count(const char *text, const struct hf_opt *opt, int64_t *out)
{
	const char *why = "negative values not allowed, use 'unlimited' instead";
	const char *digits = text + (*text == '+');
	uint64_t n;

	if (strcmp(text, "unlimited") == 0) {
		*out = HF_KEEP_ALL;
		return NULL;
	}
	if (hf_parse_uint(digits, INT64_MAX, &n)) {
		*out = (int64_t)n;
		return NULL;
	}
	if (*text != '-' || !hf_parse_uint(text + 1, INT64_MAX, &n))
		why = "not a number";
	return hf_err(HF_EINVAL, "invalid argument \"%s\" for \"-%c, --%s\" flag: %s", text,
		opt->letter, opt->name, why);
}

static struct hf_err *
read_within(const char *text, const struct hf_opt *opt, struct hf_span *out)
{
	HF_TRY(hf_err_in(hf_span_parse(text, out), "invalid argument \"%s\" for \"--%s\" flag",
		text, opt->name));
	if (out->years < 0 || out->months < 0 || out->days < 0 || out->hours < 0)
		return hf_err(HF_EINVAL, "durations containing negative values are not allowed "
					 "for --keep-within*");
	return NULL;
}

/* The options of both kinds stand in the table in the order of enum hf_keep_every. */
static struct hf_err *
read_policy(struct forget *f)
{
	const struct forget_options *o = f->o;

	for (int i = 0; i < HF_KEEP_KINDS; i++) {
		if (o->count[i] != NULL)
			HF_TRY(read_count(o->count[i], &options[i], &f->policy.count[i]));
		if (o->within[i] != NULL)
			HF_TRY(read_within(o->within[i], &options[HF_KEEP_KINDS + i],
				&f->policy.within[i]));
	}
	f->policy.tags = &o->keep_tags;
	return NULL;
}

static struct hf_err *
check_policy(const struct forget *f)
{
	hf_auto(hf_snapshot_filter) filter = {0};

	if (!hf_keep_policy_is_empty(&f->policy))
		return NULL;
	if (!f->o->may_remove_all)
		return hf_err(HF_EINVAL,
			"no policy was specified, no snapshots will be removed\n"
			"give one of the options --keep-*, or name snapshots");
	hf_session_filter(&f->o->filter, &filter);
	if (filter.hosts.len + filter.tags.len + filter.paths.len == 0)
		return hf_err(HF_EINVAL, "--unsafe-allow-remove-all is not allowed unless a "
					 "snapshot filter option is specified");
	return NULL;
}

/* ---- one group ---- */

/* The reasons, one on a line. The caller frees it. */
static char *
join(const struct hf_strings *l)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(16 << 20);

	hf_strings_join(&text, l, "\n");
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(&text)));
}

static void
judge(struct forget *f, const struct hf_group_of *g, struct judged *j)
{
	hf_autofree const struct hf_snapshot **newest_first =
		hf_alloc_(g->len + 1, sizeof *g->v);

	*j = (struct judged){
		.keep = hf_alloc_(g->len + 1, sizeof *j->keep),
		.remove = hf_alloc_(g->len + 1, sizeof *j->remove),
		.reasons = hf_alloc_(g->len + 1, sizeof *j->reasons),
		.matches = hf_alloc_(g->len + 1, sizeof *j->matches),
		.verdicts = hf_alloc_(g->len + 1, sizeof *j->verdicts),
		.n = g->len,
	};
	for (size_t i = 0; i < g->len; i++)
		newest_first[i] = g->v[g->len - 1 - i];
	hf_keep_apply(&f->policy, newest_first, g->len, &f->now, j->verdicts);
	for (size_t i = 0; i < g->len; i++) {
		const struct hf_keep_verdict *v = &j->verdicts[g->len - 1 - i];

		if (!v->is_kept) {
			j->remove[j->n_remove++] = g->v[i];
			continue;
		}
		j->matches[j->n_keep] = &v->reasons;
		j->reasons[j->n_keep] = join(&v->reasons);
		j->keep[j->n_keep++] = g->v[i];
	}
}

static void
add_list(struct hf_buf *out, const char *what, const struct hf_strings *l)
{
	if (l->len == 0)
		return;
	hf_buf_addf(out, "%s%s [", out->len > 0 ? ", " : "", what);
	hf_strings_join(out, l, " ");
	hf_buf_add_char(out, ']');
}

static struct hf_err *
refuse(const struct hf_group_of *g, unsigned by)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(16 << 20);
	const struct hf_snapshot *s = g->v[0];

	if ((by & HF_BY_HOST) != 0 && hf_is_set(s->hostname))
		hf_buf_addf(&text, "host %s", s->hostname);
	if ((by & HF_BY_PATHS) != 0)
		add_list(&text, "path", &s->paths);
	if ((by & HF_BY_TAGS) != 0)
		add_list(&text, "tags", &s->tags);
	return hf_err(HF_EINVAL,
		"refusing to delete last snapshot of snapshot group \"%.*s\"\n"
		"nothing was removed; a rule such as --keep-last 1 keeps the newest of each "
		"group",
		(int)text.len, (const char *)text.p);
}

static void
print_part(struct hf_cli *cli, const char *what, const struct hf_snapshot *const *v, size_t n,
	const char *const *reasons, bool is_compact)
{
	if (n == 0 || !hf_out_says(cli->out, HF_SAY_NORMAL))
		return;
	hf_say(cli->out, HF_SAY_NORMAL, "%s %zu snapshots:", what, n);
	hf_snapshots_print(cli->out, v, n, reasons, is_compact);
	hf_say(cli->out, HF_SAY_NORMAL, "\n");
}

/* The newest first. */
static void
snapshots_json(struct hf_jout *o, const char *key, const struct hf_snapshot *const *v, size_t n)
{
	hf_jout_key(o, key);
	if (n == 0) {
		hf_jout_null(o);
		return;
	}
	hf_jout_array(o);
	while (n-- > 0)
		hf_snapshot_json(o, v[n]);
	hf_jout_array_end(o);
}

static void
reasons_json(struct hf_jout *o, const struct judged *j)
{
	hf_jout_key(o, "reasons");
	if (j->n_keep == 0) {
		hf_jout_null(o);
		return;
	}
	hf_jout_array(o);
	for (size_t i = j->n_keep; i-- > 0;) {
		hf_jout_object(o);
		hf_jout_key(o, "snapshot");
		hf_snapshot_json(o, j->keep[i]);
		hf_jout_key(o, "matches");
		hf_strings_json(o, j->matches[i]);
		hf_jout_object_end(o);
	}
	hf_jout_array_end(o);
}

static void
group_json(struct hf_jout *o, const struct hf_group_of *g, unsigned by, const struct judged *j)
{
	const struct hf_snapshot *s = g->v[0];

	hf_jout_object(o);
	hf_jout_key(o, "tags");
	hf_strings_json(o, (by & HF_BY_TAGS) != 0 ? &s->tags : NULL);
	hf_jout_key(o, "host");
	hf_jout_str(o, hf_str((by & HF_BY_HOST) != 0 ? s->hostname : ""));
	hf_jout_key(o, "paths");
	hf_strings_json(o, (by & HF_BY_PATHS) != 0 ? &s->paths : NULL);
	snapshots_json(o, "keep", j->keep, j->n_keep);
	snapshots_json(o, "remove", j->remove, j->n_remove);
	reasons_json(o, j);
	hf_jout_object_end(o);
}

static struct hf_err *
do_group(struct forget *f, const struct hf_group_of *g, unsigned by, struct hf_jout *json)
{
	hf_auto(judged) j = {0};
	bool is_compact = f->o->is_compact;

	judge(f, g, &j);
	if (hf_out_says(f->cli->out, HF_SAY_VERBOSE))
		hf_group_header(f->cli->out, g, by);
	if (j.n_keep == 0 && !hf_keep_policy_is_empty(&f->policy))
		return refuse(g, by);
	print_part(
		f->cli, "keep", j.keep, j.n_keep, (const char *const *)j.reasons, is_compact);
	print_part(f->cli, "remove", j.remove, j.n_remove, NULL, is_compact);
	if (f->cli->global.is_json)
		group_json(json, g, by, &j);
	for (size_t i = 0; i < j.n_remove; i++)
		f->ids[f->n_ids++] = j.remove[i]->id;
	return NULL;
}

/* ---- all of it ---- */

/* Says on standard error, to people, that nothing is ever removed this way. */
static void
warn_of_accident(const struct forget *f, const struct hf_groups *groups)
{
	hf_autofree size_t *sizes = hf_alloc_(groups->len + 1, sizeof *sizes);
	const char *why;

	if (f->n_ids > 0 || f->cli->is_restic || f->cli->global.is_json ||
		f->cli->global.is_quiet)
		return;
	for (size_t i = 0; i < groups->len; i++)
		sizes[i] = groups->v[i].len;
	why = hf_keep_accident(&f->policy, sizes, groups->len);
	if (*why != '\0')
		hf_say_err(f->cli->out, "Warning: no snapshot is removed: %s", why);
}

/* The time of the newest snapshot of a group. */
static const struct hf_time *
newest(const struct hf_group_of *g)
{
	const struct hf_time *found = &g->v[0]->time;

	for (size_t i = 1; i < g->len; i++)
		if (hf_time_cmp(&g->v[i]->time, found) > 0)
			found = &g->v[i]->time;
	return found;
}

/* Says, in the same way, which groups get no snapshots any more and are kept all the same. */
static void
warn_of_ended(const struct forget *f, const struct hf_groups *groups, unsigned by)
{
	const struct hf_time *last = NULL;
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);
	size_t n = 0;

	if (f->cli->is_restic || f->cli->global.is_json || f->cli->global.is_quiet)
		return;
	for (size_t i = 0; i < groups->len; i++) {
		const struct hf_time *t = newest(&groups->v[i]);

		last = last == NULL || hf_time_cmp(t, last) > 0 ? t : last;
	}
	for (size_t i = 0; i < groups->len; i++) {
		const struct hf_group_of *g = &groups->v[i];

		if (!hf_keep_has_ended(newest(g), last) || n++ >= MAX_ENDED)
			continue;
		hf_buf_add_str(&text, "\n  ");
		hf_group_text(&text, g, by);
		hf_buf_addf(&text, ", last on %.10s", hf_format_time(newest(g)).s);
	}
	if (n > 0)
		hf_say_err(f->cli->out,
			"Warning: %zu %s had no snapshot in the last %d days: what is kept of "
			"%s now is kept for ever%.*s%s",
			n, n == 1 ? "group has" : "groups have", HF_ENDED_DAYS,
			n == 1 ? "it" : "them", (int)text.len, (const char *)text.p,
			n > MAX_ENDED ? "\n  …" : "");
}

static struct hf_err *
apply_policy(struct forget *f, const struct hf_snapshots *list)
{
	hf_auto(hf_groups) groups = {0};
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);
	struct hf_jout json = {.buf = &f->json};
	unsigned by;

	HF_TRY(hf_group_parse(f->o->group_by, &by));
	HF_TRY(check_policy(f));
	hf_keep_policy_add(&text, &f->policy);
	hf_say(f->cli->out, HF_SAY_NORMAL, "Applying Policy: %.*s", (int)text.len,
		(const char *)text.p);
	hf_groups_make(list, by, &groups);
	f->n_groups = groups.len;
	hf_jout_array(&json);
	for (size_t i = 0; i < groups.len; i++)
		HF_TRY(do_group(f, &groups.v[i], by, &json));
	hf_jout_array_end(&json);
	warn_of_accident(f, &groups);
	warn_of_ended(f, &groups, by);
	return NULL;
}

static void
told(void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e)
{
	struct forget *f = arg;

	(void)kind;
	if (e == NULL) {
		hf_say(f->cli->out, HF_SAY_DEBUG, "removed snapshot/%s", hf_id_hex(id).s);
		return;
	}
	f->n_failed++;
	hf_say_err(f->cli->out, "unable to remove snapshot/%s from the repository",
		hf_id_hex(id).s);
	if (!f->cli->is_restic)
		hf_say_err(f->cli->out, "  %s", hf_err_text(e));
}

static struct hf_err *
remove_snapshots(struct forget *f, struct hf_session *s)
{
	struct hf_removal how = {HF_SNAPSHOT, true, &f->cli->stop, &f->n_done, told, f};
	struct hf_bar bar = {0};

	hf_id_sort(f->ids, f->n_ids);
	if (f->n_ids > 0 && f->o->is_dry_run) {
		hf_auto(hf_buf) text = HF_BUF_MAX(64 << 20);

		for (size_t i = 0; i < f->n_ids; i++)
			hf_buf_addf(&text, "%s%.8s", i > 0 ? " " : "", hf_id_hex(&f->ids[i]).s);
		hf_say(f->cli->out, HF_SAY_NORMAL,
			"Would have removed the following snapshots:\n{%.*s}\n\n",
			(int)text.len, (const char *)text.p);
	} else if (f->n_ids > 0) {
		atomic_store(&f->n_total, f->n_ids);
		hf_bar_start(&bar, f->cli, "files deleted", &f->n_done, &f->n_total);
		struct hf_err *e = hf_repo_remove(s->repo, &how, f->ids, f->n_ids);
		hf_bar_stop(&bar);
		HF_TRY(e);
	}
	return NULL;
}

/*
 * The policy needs the repository for itself, so that what it has counted is what there is; prune
 * does not, until the end.
 */
static struct hf_err *
prune(struct forget *f, struct hf_session *s)
{
	struct hf_err *e;

	f->prune.is_dry_run = f->o->is_dry_run;
	f->prune.ignored = f->ids;
	f->prune.n_ignored = f->n_ids;
	hf_say(f->cli->out, HF_SAY_NORMAL, "%zu snapshots %s", f->n_ids,
		f->o->is_dry_run ? "would be removed, running prune dry run"
				 : "have been removed, running prune");
	if (f->o->is_dry_run)
		return hf_prune_run(s, &f->prune);
	e = hf_session_relock(s, HF_SESSION_SHARED);
	return e != NULL
		       ? hf_err_in(e, "the snapshots have been removed, but nothing was pruned")
		       : hf_prune_run(s, &f->prune);
}

/* Snapshots that a dry run has chosen come last; returns how many there are before them. */
static size_t
split(struct forget *f, const struct hf_snapshots *all, const struct hf_snapshot **v)
{
	size_t n = 0, end = all->len;

	for (size_t i = 0; i < all->len; i++) {
		bool goes = hf_id_search(f->ids, f->n_ids, &all->v[i]->id) < f->n_ids;

		v[goes ? --end : n++] = all->v[i];
	}
	return n;
}

/* What only the snapshots that would go need: to people, as it takes a walk through all trees. */
static struct hf_err *
say_freed(struct forget *f, struct hf_session *s)
{
	static const struct hf_snapshot_filter any;
	hf_auto(hf_snapshots) all = {0};
	uint64_t blobs, bytes;

	if (f->cli->is_restic || f->n_ids == 0 || !hf_out_says(f->cli->out, HF_SAY_NORMAL))
		return NULL;
	HF_TRY(hf_snapshots_load(s->repo, &any, NULL, NULL, &all));
	HF_TRY(hf_session_load_index(s));
	hf_autofree const struct hf_snapshot **v = hf_alloc_(all.len + 1, sizeof *v);
	size_t n = split(f, &all, v);
	HF_TRY(hf_mark_unique(
		s->repo, s->index, v, n, v + n, all.len - n, &f->cli->stop, &blobs, &bytes));
	hf_say(f->cli->out, HF_SAY_NORMAL,
		"Only they need %llu blobs / %s, which `%s prune` frees",
		(unsigned long long)blobs, hf_format_bytes(bytes).s, f->cli->program);
	return NULL;
}

static struct hf_err *
forget(struct forget *f, const struct hf_args *args)
{
	bool is_dry = f->o->is_dry_run;
	hf_auto(hf_session) session = {0};
	hf_auto(hf_snapshots) list = {0};

	HF_TRY(hf_session_open(
		f->cli, is_dry ? HF_SESSION_SHARED : HF_SESSION_EXCLUSIVE, is_dry, &session));
	HF_TRY(hf_session_snapshots(&session, &f->o->filter, args, &list));
	f->ids = hf_alloc_(list.len + 1, sizeof *f->ids);
	if (args->len == 0)
		HF_TRY(apply_policy(f, &list));
	for (size_t i = 0; i < list.len && args->len > 0; i++)
		f->ids[f->n_ids++] = list.v[i]->id;
	HF_TRY(remove_snapshots(f, &session));
	if (f->cli->global.is_json && f->n_groups > 0)
		hf_out_json(f->cli->out, &f->json);
	if (f->n_failed > 0) {
		f->cli->warning = "failed to remove one or more snapshots";
		return NULL;
	}
	if (f->o->prunes && f->n_ids > 0)
		return prune(f, &session);
	if (!is_dry)
		return NULL;
	hf_autoptr(hf_err) e = say_freed(f, &session);
	if (e != NULL && hf_err_code(e) != HF_ECANCELED)
		hf_say_err(f->cli->out, "Warning: what would be freed is not known: %s",
			hf_err_text(e));
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	struct forget f = {.cli = cli,
		.o = opts,
		.now = hf_time_now(),
		.json = HF_BUF_SPOOL(SIZE_MAX / 2)};

	HF_TRY(read_policy(&f));
	HF_TRY(hf_prune_opts_read(cli, &f.o->prune, &f.prune));
	if (cli->global.no_lock && !f.o->is_dry_run)
		return hf_err(HF_EINVAL, "--no-lock is only applicable in combination with "
					 "--dry-run for forget command");
	struct hf_err *e = forget(&f, args);
	free(f.ids);
	hf_buf_clear(&f.json);
	return e;
}

const struct hf_command hf_cmd_forget = {
	.name = "forget",
	.usage = "[flags] [snapshotID ...]",
	.summary = "Remove snapshots from the repository",
	.text = "Removes the snapshots that are named, or those that a policy does not keep. "
		"The\n"
		"policy is applied to each group of snapshots by itself; a rule that has not\n"
		"enough snapshots to count keeps the oldest one too.\n"
		"\n"
		"Only the snapshots go, which is quick. The data that they alone needed goes\n"
		"with `prune`.",
	HF_COMMAND_OPTS(options, struct forget_options),
	.run = run,
};
