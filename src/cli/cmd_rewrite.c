/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite: snapshots without some of their files, or with other metadata. */
#include "cli/commands.h"
#include "cli/patterns.h"
#include "cli/reshape.h"
#include "cli/snaplist.h"
#include "cli/words.h"
#include "codec/quote.h"

struct rewrite_options {
	struct hf_filter_opts filter;
	struct hf_pattern_opts exclude, include;
	bool forgets, is_dry_run, makes_summary;
	char *host, *time;
};

#define T struct rewrite_options
static const struct hf_opt options[] = {
	{"forget", 0, HF_OPT_FLAG(T, forgets),
		.help = "remove original snapshots after creating new ones"},
	{"dry-run", 'n', HF_OPT_FLAG(T, is_dry_run),
		.help = "write nothing, only show what would be done"},
	{"new-host", 0, HF_OPT_STRING(T, host), .arg = "hostname",
		.help = "replace the host name"},
	{"new-time", 0, HF_OPT_STRING(T, time), .arg = "time",
		.help = "replace the time of the backup, such as '2012-11-01 22:08:41'"},
	{"snapshot-summary", 's', HF_OPT_FLAG(T, makes_summary),
		.help = "count files and bytes where the snapshot does not say how many they "
			"are"},
	HF_OPT_FILTERS(T, filter, 'H'),
	HF_OPT_EXCLUDES(T, exclude),
	HF_OPT_INCLUDES(T, include),
};
#undef T

struct rewrite {
	struct hf_cli *cli;
	const struct rewrite_options *o;
	struct hf_patterns exclude, include;
	struct hf_time time;
	struct hf_session session;
	struct hf_snapshots list;
};

static void
rewrite_clear(struct rewrite *r)
{
	hf_snapshots_clear(&r->list);
	hf_session_clear(&r->session);
	hf_patterns_clear(&r->exclude);
	hf_patterns_clear(&r->include);
}

/* ---- the rules ---- */

static void
say_path(struct rewrite *r, const char *what, const char *path)
{
	hf_auto(hf_buf) quoted = HF_BUF_MAX(64 << 20);

	if (!hf_out_says(r->cli->out, HF_SAY_DEBUG))
		return;
	hf_quote(&quoted, hf_str(path));
	hf_say(r->cli->out, HF_SAY_DEBUG, "%s \"%.*s\"", what, (int)quoted.len,
		(const char *)quoted.p);
}

static bool
is_left(void *arg, const char *path, struct hf_node *n)
{
	struct rewrite *r = arg;
	bool is_chosen, child_may_be;

	if (hf_patterns_are_empty(&r->include)) {
		is_chosen = !hf_patterns_match(&r->exclude, path);
		if (!is_chosen)
			say_path(r, "excluding", path);
		return is_chosen;
	}
	is_chosen = hf_patterns_match_child(&r->include, path, &child_may_be);
	if (n->type == HF_NODE_DIR)
		return is_chosen || child_may_be;
	if (is_chosen)
		say_path(r, "including", path);
	return is_chosen;
}

/* Folders that only lead to what is chosen go when there is nothing in them. */
static bool
keeps_empty(void *arg, const char *path)
{
	struct rewrite *r = arg;
	bool child_may_be;

	if (hf_patterns_are_empty(&r->include))
		return true;
	bool is_chosen = hf_patterns_match_child(&r->include, path, &child_may_be);
	if (is_chosen)
		say_path(r, "including directory", path);
	return is_chosen;
}

/* ---- the command ---- */

static bool
are_given(const struct hf_pattern_opts *p)
{
	return p->given.len + p->folded.len + p->files.len + p->folded_files.len > 0;
}

static struct hf_err *
check_options(struct rewrite *r)
{
	const struct rewrite_options *o = r->o;
	bool has_metadata = hf_is_set(o->host) || hf_is_set(o->time);

	if (!o->makes_summary && !has_metadata && !are_given(&o->exclude) &&
		!are_given(&o->include))
		return hf_err(HF_EINVAL, "Nothing to do: no excludes/includes provided and no "
					 "new metadata provided");
	if (are_given(&o->exclude) && are_given(&o->include))
		return hf_err(HF_EINVAL, "exclude and include patterns are mutually exclusive");
	HF_TRY(hf_patterns_compile(&o->exclude, "exclude", &r->exclude));
	HF_TRY(hf_patterns_compile(&o->include, "include", &r->include));
	if (hf_is_set(o->time))
		HF_TRY(hf_time_option(o->time, &r->time));
	return NULL;
}

/* True when the trees have to be looked at. */
static bool
needs_trees(const struct rewrite *r)
{
	return r->o->makes_summary || !hf_patterns_are_empty(&r->exclude) ||
	       !hf_patterns_are_empty(&r->include);
}

static struct hf_err *
rewrite_one(void *arg, struct hf_reshape *reshape, struct hf_snapshot *s)
{
	struct rewrite *r = arg;
	struct hf_id tree = s->tree;
	struct hf_retree_sum sum;

	hf_snapshot_say(r->cli->out, HF_SAY_NORMAL, s);
	if (!s->has_tree)
		return hf_err(HF_ECORRUPT, "snapshot %.8s has nil tree", hf_id_hex(&s->id).s);
	if (!needs_trees(r))
		return hf_reshape(reshape, s, &tree, NULL);
	HF_TRY(hf_retree(reshape->retree, &s->tree, &tree, &sum));
	return hf_reshape(reshape, s, &tree, &sum);
}

static struct hf_err *
rewrite_all(struct rewrite *r, struct hf_reshape *reshape)
{
	const struct hf_retree_rules rules = {
		.arg = r,
		.node = is_left,
		.keeps_empty = keeps_empty,
		.is_by_path = true,
		.is_forgetful = hf_out_says(r->cli->out, HF_SAY_DEBUG),
	};

	return hf_reshape_all(reshape, &rules, &r->list, rewrite_one, r);
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct rewrite_options *o = opts;
	__attribute__((cleanup(rewrite_clear))) struct rewrite r = {.cli = cli, .o = o};
	struct hf_reshape reshape = {
		.cli = cli,
		.session = &r.session,
		.is_dry_run = o->is_dry_run,
		.forgets = o->forgets,
		.tag = "rewrite",
		.new_host = hf_is_set(o->host) ? o->host : NULL,
		.new_time = hf_is_set(o->time) ? &r.time : NULL,
	};

	hf_out_speak(cli->out);
	HF_TRY(check_options(&r));
	reshape.keeps_when_nothing = !hf_patterns_are_empty(&r.include);
	if (o->forgets)
		hf_say(cli->out, HF_SAY_NORMAL, "create exclusive lock for repository");
	HF_TRY(hf_reshape_open(&reshape, o->forgets, &o->filter, args, &r.list));
	HF_TRY(rewrite_all(&r, &reshape));
	return hf_session_unread(&r.session);
}

const struct hf_command hf_cmd_rewrite = {
	.name = "rewrite",
	.usage = "[flags] [snapshotID ...]",
	.summary = "Rewrite snapshots to exclude unwanted files",
	.text = "Makes new snapshots out of those that are named, or of all that the filters\n"
		"let through: without the files that --exclude leaves out, or only with those\n"
		"that --include takes, or with another host or time. The old ones stay, "
		"unless\n"
		"--forget is given, and the new ones get the tag \"rewrite\". The data of what "
		"is\n"
		"left out goes with `prune`, when no snapshot needs it any more.",
	HF_COMMAND_OPTS(options, struct rewrite_options),
	.run = run,
};
