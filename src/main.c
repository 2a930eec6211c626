/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands. */
#include "cli/cli.h"
#include "cli/commands.h"

static const struct hf_command *const commands[] = {
	&hf_cmd_help,
	&hf_cmd_init,
	&hf_cmd_version,
	NULL,
};

int
main(int argc, char **argv)
{
	return hf_cli_main(argc, argv, commands);
}
