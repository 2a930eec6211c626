/* SPDX-License-Identifier: BSD-2-Clause */
/* help. With --scdoc it prints a command's part of the manual, for the build. */
#include "cli/commands.h"

struct help_options {
	bool is_scdoc;
};

static const struct hf_opt options[] = {
	{"scdoc", 0, HF_OPT_FLAG(struct help_options, is_scdoc), .is_hidden = true,
		.help = "print the options in scdoc"},
};

static void
print_scdoc(struct hf_cli *cli, const struct hf_command *command)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	if (command == NULL) {
		hf_opt_scdoc(&cli->global_opts, &text);
	} else {
		struct hf_opts own = {command->opts, command->n_opts, NULL, NULL};

		hf_opt_scdoc(&own, &text);
	}
	hf_out_write(cli->out, hf_buf_bytes(&text));
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct help_options *o = opts;
	const struct hf_command *command = NULL;
	size_t n_words;

	if (args->len > 0) {
		command = hf_cli_find(cli->commands, args, &n_words);
		if (command == NULL)
			return hf_err(HF_EINVAL, "there is no command \"%s\"", args->v[0]);
	}
	if (o->is_scdoc)
		print_scdoc(cli, command);
	else
		hf_cli_help(cli, command);
	return NULL;
}

const struct hf_command hf_cmd_help = {
	.name = "help",
	.usage = "[command]",
	.summary = "Explain a command",
	.text = "Explains a command and its flags.",
	HF_COMMAND_OPTS(options, struct help_options),
	.run = run,
};
