/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a lease tells, passed on: to people on standard error, as far as it concerns them, and with
 * --log-format=json or logfmt as one line per event, for programs (man holdfast-locks).
 */
#ifndef HF_CLI_LEASE_LOG_H
#define HF_CLI_LEASE_LOG_H

#include "cli/cli.h"
#include "repo/lease.h"

enum hf_log_format { HF_LOG_NONE, HF_LOG_JSON, HF_LOG_LOGFMT };

/* A hf_lease_event_fn; `cli` is a struct hf_cli. Any thread. */
void hf_lease_log(void *cli, const struct hf_lease_event *ev);

/* The line for programs, without its newline. */
void hf_lease_log_line(
	enum hf_log_format format, const struct hf_lease_event *ev, struct hf_buf *out);

/* What happens around a lease and is not its own doing: lock.child, lock.revalidate. */
struct hf_log_more {
	const char *holder, *what, *reason; /* NULL: left out */
	int64_t pid;                        /* 0: left out, as are 0 rounds */
	unsigned round;
};
void hf_lease_log_more(struct hf_cli *cli, const char *event, const struct hf_log_more *more);

#endif
