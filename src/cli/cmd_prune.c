/* SPDX-License-Identifier: BSD-2-Clause */
/* prune: removes what no snapshot needs. */
#include "cli/commands.h"
#include "cli/prune_run.h"

struct prune_options {
	struct hf_prune_opts prune;
	bool is_dry_run;
	char *recover;
};

#define T struct prune_options
static const struct hf_opt options[] = {
	HF_OPT_PRUNE(T, prune),
	{"dry-run", 'n', HF_OPT_FLAG(T, is_dry_run),
		.help = "do not change anything, just print what would be done"},
	{"unsafe-recover-no-free-space", 0, HF_OPT_STRING(T, recover), .arg = "repository-ID",
		.help = "UNSAFE, read the manual first: for a repository on a disk without any "
			"free space, after 'prune --max-repack-size 0' has failed"},
};
#undef T

static struct hf_err *
check_recovery(const struct hf_session *s, const char *given)
{
	const struct hf_id *id = &hf_repo_config(s->repo)->id;
	struct hf_hex hex = hf_id_hex(id);

	if (strcmp(given, hex.s) != 0)
		return hf_err(HF_EINVAL, "must pass id '%s' to --unsafe-recover-no-free-space",
			hex.s);
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct prune_options *o = opts;
	hf_auto(hf_session) session = {0};
	struct hf_prune_options po;
	enum hf_session_lock lock = HF_SESSION_SHARED;

	if (args->len > 0)
		return hf_err(HF_EINVAL,
			"the prune command expects no arguments, only options - "
			"please see `holdfast help prune` for usage and flags");
	HF_TRY(hf_prune_opts_read(cli, &o->prune, &po));
	po.is_dry_run = o->is_dry_run;
	if (cli->global.no_lock && !o->is_dry_run)
		return hf_err(HF_EINVAL, "--no-lock is only applicable in combination with "
					 "--dry-run for prune command");
	/* As in restic, it speaks to people even under --json. */
	hf_out_set_level(cli->out, hf_out_level(cli->out), false);
	po.is_recovery = hf_is_set(o->recover);
	if (po.is_recovery && !o->is_dry_run)
		lock = HF_SESSION_EXCLUSIVE;
	HF_TRY(hf_session_open(cli, lock, o->is_dry_run, &session));
	if (po.is_recovery)
		HF_TRY(check_recovery(&session, o->recover));
	return hf_prune_run(&session, &po);
}

const struct hf_command hf_cmd_prune = {
	.name = "prune",
	.usage = "[flags]",
	.summary = "Remove data that no snapshot needs",
	.text = "Removes the data that no snapshot needs, and packs anew what is left in "
		"packs\n"
		"of which too much is not needed. Backups may run meanwhile; only the end, "
		"when\n"
		"something is deleted, needs the repository for itself.",
	HF_COMMAND_OPTS(options, struct prune_options),
	.run = run,
};
