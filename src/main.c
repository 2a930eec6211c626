/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands. */
#include "cli/cli.h"
#include "cli/commands.h"

static const struct hf_command *const commands[] = {
	&hf_cmd_backup,
	&hf_cmd_break_lock,
	&hf_cmd_cache,
	&hf_cmd_cat,
	&hf_cmd_check,
	&hf_cmd_complete,
	&hf_cmd_copy,
	&hf_cmd_diff,
	&hf_cmd_dump,
	&hf_cmd_export_tar,
	&hf_cmd_features,
	&hf_cmd_find,
	&hf_cmd_forget,
	&hf_cmd_generate,
	&hf_cmd_help,
	&hf_cmd_import_tar,
	&hf_cmd_init,
	&hf_cmd_key,
	&hf_cmd_key_add,
	&hf_cmd_key_list,
	&hf_cmd_key_passwd,
	&hf_cmd_key_remove,
	&hf_cmd_list,
	&hf_cmd_lock_hold,
	&hf_cmd_locks,
	&hf_cmd_ls,
	&hf_cmd_migrate,
	&hf_cmd_options,
	&hf_cmd_prune,
	&hf_cmd_rebuild_index,
	&hf_cmd_recover,
	&hf_cmd_repair_index,
	&hf_cmd_repair_packs,
	&hf_cmd_repair_snapshots,
	&hf_cmd_restore,
	&hf_cmd_rewrite,
	&hf_cmd_self_update,
	&hf_cmd_snapshots,
	&hf_cmd_stats,
	&hf_cmd_tag,
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
