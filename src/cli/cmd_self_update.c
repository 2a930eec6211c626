/* SPDX-License-Identifier: BSD-2-Clause */
/* self-update: scripts for restic call it; this program is not what replaces programs. */
#include "cli/commands.h"

struct update_options {
	char *output;
};

static const struct hf_opt options[] = {
	{"output", 0, HF_OPT_STRING(struct update_options, output), .arg = "file",
		.help = "where restic would put the new program"},
};

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	(void)cli;
	(void)opts;
	(void)args;
	return hf_err(HF_EINVAL,
		"holdfast does not update itself\nthe packages of the system do, or "
		"who has built it from source");
}

const struct hf_command hf_cmd_self_update = {
	.name = "self-update",
	.usage = "[flags]",
	.summary = "Say who updates the program",
	.text = "Says that packages update the program, and ends with exit code 1. It is there "
		"for\n"
		"scripts that call it.",
	HF_COMMAND_OPTS(options, struct update_options),
	.run = run,
};
