/* SPDX-License-Identifier: BSD-2-Clause */
/* repair index: a new index from what there is. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/repair.h"
#include "engine/repair_index.h"

#define T struct hf_repair_index_options
static const struct hf_opt options[] = {
	{"dry-run", 'n', .is_ours = true, HF_OPT_FLAG(T, is_dry_run),
		.help = "write nothing, only show what is wrong with the index"},
	{"read-all-packs", 0, HF_OPT_FLAG(T, reads_all),
		.help = "read the headers of all packs, and do not use the old index"},
};
#undef T

struct repair {
	struct hf_cli *cli;
	struct hf_phases phases;
	struct hf_bar bar;
};

/* What is said when a phase begins, and what is counted in it. */
static const char *
say_phase(struct hf_out *out, enum hf_repair_phase phase)
{
	switch (phase) {
	case HF_REPAIR_LOAD:
		hf_say(out, HF_SAY_NORMAL, "loading indexes...");
		return NULL;
	case HF_REPAIR_COMPARE:
		hf_say(out, HF_SAY_NORMAL, "getting pack files to read...");
		return NULL;
	case HF_REPAIR_READ:
		hf_say(out, HF_SAY_NORMAL, "reading pack files");
		return "packs";
	case HF_REPAIR_HAS_READ:
		return NULL;
	case HF_REPAIR_INDEX:
		hf_say(out, HF_SAY_NORMAL, "rebuilding index");
		return "indexes processed";
	case HF_REPAIR_CHECK: /* restic has no such phase, and says nothing */
		return NULL;
	case HF_REPAIR_DELETE:
		return "old indexes deleted";
	case HF_REPAIR_DONE: /* what is said then is the command's */
		return NULL;
	}
	return NULL;
}

static void
begin(void *arg, unsigned phase)
{
	struct repair *r = arg;

	hf_bar_stop(&r->bar);
	const char *what = say_phase(r->cli->out, phase);
	if (what != NULL)
		hf_bar_start(
			&r->bar, r->cli, what, &r->phases.done[phase], &r->phases.total[phase]);
}

static void
say(void *arg, bool is_detail, const char *text)
{
	struct repair *r = arg;

	if (is_detail)
		hf_say(r->cli->out, HF_SAY_VERBOSE, "%s", text);
	else
		hf_say_err(r->cli->out, "%s", text);
}

static void
removed(void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e)
{
	struct repair *r = arg;

	(void)kind;
	if (e == NULL)
		hf_say(r->cli->out, HF_SAY_DEBUG, "removed index %s", hf_id_hex(id).s);
	else
		hf_say(r->cli->out, HF_SAY_DEBUG, "failed to remove index %s: %s",
			hf_id_hex(id).s, hf_err_text(e));
}

struct hf_err *
hf_repair_index_session(struct hf_session *s, const struct hf_repair_index_options *how)
{
	struct repair r = {.cli = s->cli, .phases = {.begins = begin, .arg = &r}};
	struct hf_repair_events events = {&r, say, removed};
	struct hf_err *e =
		hf_repair_index(s->repo, s->lease, how, &events, &r.phases, &s->cli->stop);

	hf_bar_stop(&r.bar);
	return e;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct hf_repair_index_options *o = opts;
	hf_auto(hf_session) session = {0};

	if (args->len > 0)
		return hf_err(HF_EINVAL, "the repair index command expects no arguments, only "
					 "options - please see "
					 "`holdfast help repair index` for usage and flags");
	hf_out_speak(cli->out);
	HF_TRY(hf_session_open_with(cli,
		o->is_dry_run ? HF_SESSION_UNLOCKED : HF_SESSION_EXCLUSIVE, false,
		HF_CACHE_NONE, &session));
	HF_TRY(hf_repair_index_session(&session, o));
	hf_say(cli->out, HF_SAY_NORMAL, "%s",
		o->is_dry_run ? "done: nothing was changed" : "done");
	return NULL;
}

static struct hf_err *
run_old_name(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_say_err(cli->out,
		"Command \"rebuild-index\" is deprecated, Use \"repair index\" instead");
	return run(cli, opts, args);
}

#define TEXT                                                                                   \
	"Makes a new index: index files that cannot be read and packs that are not there "     \
	"are\n"                                                                                \
	"left out, and packs that the index does not list are read. No data is removed."

const struct hf_command hf_cmd_repair_index = {
	.name = "repair index",
	.usage = "[flags]",
	.summary = "Build a new index",
	.text = TEXT,
	HF_COMMAND_OPTS(options, struct hf_repair_index_options),
	.run = run,
};

const struct hf_command hf_cmd_rebuild_index = {
	.name = "rebuild-index",
	.usage = "[flags]",
	.summary = "Build a new index",
	.text = TEXT,
	.is_hidden = true,
	HF_COMMAND_OPTS(options, struct hf_repair_index_options),
	.run = run_old_name,
};
