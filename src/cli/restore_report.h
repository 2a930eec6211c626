/* SPDX-License-Identifier: BSD-2-Clause */
/* What `restore` says while it works and when it is done, as text or as JSON. */
#ifndef HF_CLI_RESTORE_REPORT_H
#define HF_CLI_RESTORE_REPORT_H

#include "cli/progress.h"
#include "engine/restore.h"

struct hf_restore_report {
	struct hf_cli *cli;
	const struct hf_restore_progress *figures; /* borrowed */
	struct hf_progress *progress;
};

/* The callbacks for the engine; `r` outlives them. */
struct hf_restore_events hf_restore_report_events(struct hf_restore_report *r);

/* Starts showing `figures`. */
void hf_restore_report_start(
	struct hf_restore_report *r, const struct hf_restore_progress *figures);

/* Stops, and prints the summary unless the restore was broken off. */
void hf_restore_report_stop(struct hf_restore_report *r, bool has_finished);

#endif
