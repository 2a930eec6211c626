/* SPDX-License-Identifier: BSD-2-Clause */
/* What `backup` says while it works and when it is done, as text or as JSON. */
#ifndef HF_CLI_BACKUP_REPORT_H
#define HF_CLI_BACKUP_REPORT_H

#include "cli/backup_list.h"
#include "cli/progress.h"
#include "engine/backup.h"

struct hf_backup_report;

/* `progress` and `list` outlive it; the latter may be NULL. */
struct hf_backup_report *hf_backup_report_new(struct hf_cli *cli,
	const struct hf_backup_progress *progress, struct hf_backup_list *list);
void hf_backup_report_free(struct hf_backup_report *r);
HF_AUTOPTR(hf_backup_report)

/* The callbacks for the engine. */
struct hf_backup_events hf_backup_report_events(struct hf_backup_report *r);

void hf_backup_report_start(struct hf_backup_report *r);
void hf_backup_report_stop(struct hf_backup_report *r); /* may be called twice */

/* True when something could not be read. */
bool hf_backup_report_has_errors(const struct hf_backup_report *r);

/* The last words. */
void hf_backup_report_finish(
	struct hf_backup_report *r, const struct hf_backup_result *result, bool is_dry_run);

#endif
