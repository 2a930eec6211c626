/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands. */
#include "cli/cli.h"
#include "cli/commands.h"

static const struct hf_command *const commands[] = {
	&hf_cmd_backup,
	&hf_cmd_cache,
	&hf_cmd_cat,
	&hf_cmd_check,
	&hf_cmd_dump,
	&hf_cmd_export_tar,
	&hf_cmd_find,
	&hf_cmd_help,
	&hf_cmd_import_tar,
	&hf_cmd_init,
	&hf_cmd_list,
	&hf_cmd_lock_hold,
	&hf_cmd_locks,
	&hf_cmd_ls,
	&hf_cmd_restore,
	&hf_cmd_snapshots,
	&hf_cmd_unlock,
	&hf_cmd_version,
	&hf_cmd_with_lock,
	NULL,
};

int
main(int argc, char **argv)
{
	return hf_cli_main(argc, argv, commands);
}
