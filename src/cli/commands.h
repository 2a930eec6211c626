/* SPDX-License-Identifier: BSD-2-Clause */
/* All commands; each is defined in its cmd_NAME.c. */
#ifndef HF_CLI_COMMANDS_H
#define HF_CLI_COMMANDS_H

#include "cli/cli.h"

extern const struct hf_command hf_cmd_backup;
extern const struct hf_command hf_cmd_break_lock;
extern const struct hf_command hf_cmd_cache;
extern const struct hf_command hf_cmd_cat;
extern const struct hf_command hf_cmd_check;
extern const struct hf_command hf_cmd_complete;
extern const struct hf_command hf_cmd_copy;
extern const struct hf_command hf_cmd_diff;
extern const struct hf_command hf_cmd_dump;
extern const struct hf_command hf_cmd_export_tar;
extern const struct hf_command hf_cmd_features;
extern const struct hf_command hf_cmd_find;
extern const struct hf_command hf_cmd_forget;
extern const struct hf_command hf_cmd_generate;
extern const struct hf_command hf_cmd_help;
extern const struct hf_command hf_cmd_import_tar;
extern const struct hf_command hf_cmd_init;
extern const struct hf_command hf_cmd_key;
extern const struct hf_command hf_cmd_key_add;
extern const struct hf_command hf_cmd_key_list;
extern const struct hf_command hf_cmd_key_passwd;
extern const struct hf_command hf_cmd_key_remove;
extern const struct hf_command hf_cmd_list;
extern const struct hf_command hf_cmd_lock_hold;
extern const struct hf_command hf_cmd_locks;
extern const struct hf_command hf_cmd_ls;
extern const struct hf_command hf_cmd_migrate;
extern const struct hf_command hf_cmd_options;
extern const struct hf_command hf_cmd_prune;
extern const struct hf_command hf_cmd_rebuild_index;
extern const struct hf_command hf_cmd_recover;
extern const struct hf_command hf_cmd_repair_index;
extern const struct hf_command hf_cmd_repair_packs;
extern const struct hf_command hf_cmd_repair_snapshots;
extern const struct hf_command hf_cmd_restore;
extern const struct hf_command hf_cmd_rewrite;
extern const struct hf_command hf_cmd_self_update;
extern const struct hf_command hf_cmd_snapshots;
extern const struct hf_command hf_cmd_stats;
extern const struct hf_command hf_cmd_tag;
extern const struct hf_command hf_cmd_unlock;
extern const struct hf_command hf_cmd_version;
extern const struct hf_command hf_cmd_with_lock;

#endif
