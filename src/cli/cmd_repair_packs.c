/* SPDX-License-Identifier: BSD-2-Clause */
/* repair packs: what is good of damaged packs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "engine/salvage.h"

struct repair_packs_options {
	bool is_dry_run;
};

static const struct hf_opt options[] = {
	{"dry-run", 'n', .is_ours = true, HF_OPT_FLAG(struct repair_packs_options, is_dry_run),
		.help = "write nothing, only show what could be saved"},
};

struct repair {
	struct hf_cli *cli;
	struct hf_session session;
	struct hf_id *ids; /* sorted, each once */
	size_t n;
	struct hf_phases phases;
	struct hf_bar bar;
};

static void
repair_clear(struct repair *r)
{
	hf_session_clear(&r->session);
	free(r->ids);
}

static struct hf_err *
parse_ids(struct repair *r, const struct hf_args *args)
{
	size_t n = 0;

	r->ids = hf_alloc_(args->len + 1, sizeof *r->ids);
	for (size_t i = 0; i < args->len; i++)
		if (!hf_id_parse(hf_str(args->v[i]), &r->ids[i]))
			return hf_err(HF_EINVAL,
				"invalid ID \"%s\": the 64 digits of a pack's name are needed",
				args->v[i]);
	if (args->len == 0)
		return hf_err(HF_EINVAL, "no ids specified");
	hf_id_sort(r->ids, args->len);
	for (size_t i = 0; i < args->len; i++)
		if (i == 0 || !hf_id_eq(&r->ids[n - 1], &r->ids[i]))
			r->ids[n++] = r->ids[i];
	r->n = n;
	return NULL;
}

/* ---- copies ---- */

/* What is there of the pack, in the present folder. A file that is there is not written over. */
static struct hf_err *
keep_copy(struct repair *r, const struct hf_id *id)
{
	hf_auto(hf_buf) file = HF_BUF_SPOOL((size_t)2 * UINT32_MAX);
	char name[HF_ID_HEX + 8];

	HF_TRY(hf_salvage_load(r->session.repo, id, &file));
	snprintf(name, sizeof name, "pack-%s", hf_id_hex(id).s);
	hf_autofd int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return hf_err(HF_EEXISTS,
			"open %s: file exists\nIt may be the copy of an earlier run: move it "
			"away, or change to another folder.",
			name);
	if (fd < 0)
		return hf_err_errno(errno, "open %s", name);
	HF_TRY(hf_err_in(hf_write_full(fd, file.p, file.len), "%s", name));
	if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
		return hf_err_errno(errno, "%s", name);
	return NULL;
}

static struct hf_err *
keep_copies(struct repair *r)
{
	hf_say(r->cli->out, HF_SAY_NORMAL,
		"saving backup copies of pack files to current folder");
	for (size_t i = 0; i < r->n; i++) {
		HF_TRY(hf_stop_check(&r->cli->stop));
		HF_TRY(keep_copy(r, &r->ids[i]));
	}
	return NULL;
}

/* ---- what the engine tells ---- */

/* What is said when a phase begins, and what is counted in it. */
static void
begin(void *arg, unsigned phase)
{
	static const struct {
		const char *text, *what;
	} words[HF_SALVAGE_PHASES] = {
		[HF_SALVAGE_READ] = {"salvaging intact data from specified pack files",
			"pack files"},
		[HF_SALVAGE_INDEX] = {"rebuilding index", "indexes processed"},
		[HF_SALVAGE_DELETE_INDEX] = {NULL, "old indexes deleted"},
		[HF_SALVAGE_DELETE_PACKS] = {"removing salvaged pack files", "files deleted"},
	};
	struct repair *r = arg;

	hf_bar_stop(&r->bar);
	if (words[phase].text != NULL)
		hf_say(r->cli->out, HF_SAY_NORMAL, "%s", words[phase].text);
	if (words[phase].what != NULL)
		hf_bar_start(&r->bar, r->cli, words[phase].what, &r->phases.done[phase],
			&r->phases.total[phase]);
}

static void
say(void *arg, const char *text)
{
	struct repair *r = arg;

	hf_say_err(r->cli->out, "%s", text);
}

static void
removed(void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e)
{
	struct repair *r = arg;

	if (e == NULL)
		hf_say(r->cli->out, HF_SAY_DEBUG, "removed %s %s", hf_kind_text(kind),
			hf_id_hex(id).s);
	else
		hf_say_err(r->cli->out, "failed to delete %s file %s: %s", hf_kind_text(kind),
			hf_id_hex(id).s, hf_err_text(e));
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	__attribute__((cleanup(repair_clear))) struct repair r = {.cli = cli};
	const struct hf_salvage_events events = {&r, say, removed};
	const struct repair_packs_options *o = opts;

	r.phases.begins = begin;
	r.phases.arg = &r;
	HF_TRY(parse_ids(&r, args));
	hf_out_speak(cli->out);
	HF_TRY(hf_session_open_with(cli,
		o->is_dry_run ? HF_SESSION_UNLOCKED : HF_SESSION_EXCLUSIVE, false,
		HF_CACHE_NONE, &r.session));
	HF_TRY(hf_session_load_index(&r.session));
	if (!o->is_dry_run)
		HF_TRY(keep_copies(&r));
	struct hf_err *e = hf_salvage(r.session.repo, r.session.index, r.session.lease, r.ids,
		r.n, o->is_dry_run, &events, &r.phases, &cli->stop);
	hf_bar_stop(&r.bar);
	HF_TRY(e);
	if (o->is_dry_run)
		return NULL;
	hf_say_err(cli->out,
		"\nUse `%s repair snapshots --forget` to remove the corrupted data blobs from "
		"all snapshots",
		cli->program);
	return NULL;
}

const struct hf_command hf_cmd_repair_packs = {
	.name = "repair packs",
	.usage = "[packIDs...] [flags]",
	.summary = "Salvage damaged pack files",
	.text = "Saves what is good of the packs that are named into new ones, takes the old\n"
		"ones out of the index and deletes them. A copy of each, as damaged as it is,\n"
		"is kept in the present folder. Which packs are damaged says\n"
		"`check --read-data`.",
	HF_COMMAND_OPTS(options, struct repair_packs_options),
	.run = run,
};
