/* SPDX-License-Identifier: BSD-2-Clause */
/* All commands; each is defined in its cmd_NAME.c. */
#ifndef HF_CLI_COMMANDS_H
#define HF_CLI_COMMANDS_H

#include "cli/cli.h"

extern const struct hf_command hf_cmd_backup;
extern const struct hf_command hf_cmd_cache;
extern const struct hf_command hf_cmd_cat;
extern const struct hf_command hf_cmd_check;
extern const struct hf_command hf_cmd_dump;
extern const struct hf_command hf_cmd_export_tar;
extern const struct hf_command hf_cmd_find;
extern const struct hf_command hf_cmd_help;
extern const struct hf_command hf_cmd_import_tar;
extern const struct hf_command hf_cmd_init;
extern const struct hf_command hf_cmd_list;
extern const struct hf_command hf_cmd_lock_hold;
extern const struct hf_command hf_cmd_locks;
extern const struct hf_command hf_cmd_ls;
extern const struct hf_command hf_cmd_restore;
extern const struct hf_command hf_cmd_snapshots;
extern const struct hf_command hf_cmd_unlock;
extern const struct hf_command hf_cmd_version;
extern const struct hf_command hf_cmd_with_lock;

#endif
