/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of `backup --list`: a line with a letter and a path for every item, on standard error.
 * The letters are Borg's.
 */
#ifndef HF_CLI_BACKUP_LIST_H
#define HF_CLI_BACKUP_LIST_H

#include "cli/cli.h"
#include "engine/backup.h"

/* What there is to know of the letters; for help. */
#define HF_BACKUP_STATUS "AMUCEdbcfshix"

/* HF_EINVAL: `filter`, if not NULL, has a letter that no item ever gets, or there is no list. */
struct hf_err *hf_backup_list_check(bool is_list, const char *filter) HF_MUST;

struct hf_backup_list;

/* Items whose letter is in `filter`, which must stay valid; all of them for NULL. */
struct hf_backup_list *hf_backup_list_new(struct hf_out *out, const char *filter);
void hf_backup_list_free(struct hf_backup_list *l);
HF_AUTOPTR(hf_backup_list)

/* Any thread. A NULL list lists nothing. */
void hf_backup_list_item(
	struct hf_backup_list *l, const char *path, const struct hf_backup_item *item);
void hf_backup_list_path(struct hf_backup_list *l, char status, const char *path);

#endif
