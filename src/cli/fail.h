/* SPDX-License-Identifier: BSD-2-Clause */
/* From an error to what the user reads and to the exit code; the one place that knows both. */
#ifndef HF_CLI_FAIL_H
#define HF_CLI_FAIL_H

#include "cli/cli.h"

enum {
	HF_EXIT_OK = 0,
	HF_EXIT_ERROR = 1,
	HF_EXIT_PARTIAL = 3, /* a backup that could not read something, for example */
	HF_EXIT_NO_REPOSITORY = 10,
	HF_EXIT_LOCKED = 11,
	HF_EXIT_PASSWORD = 12,
	HF_EXIT_LOST = 13, /* the lock was lost while something was done under it */
	/* Of commands that run another one, as `env` and `timeout` have them. */
	HF_EXIT_INTERNAL = 125, /* our own fault */
	HF_EXIT_NO_EXEC = 126,  /* it cannot be run */
	HF_EXIT_NO_PROGRAM = 127,
	HF_EXIT_INTERRUPTED = 130,
	HF_EXIT_PIPE = 141, /* the reader of standard output went away */
};

int hf_fail_code(enum hf_code code);

/*
 * Reports how the command ended, on standard error, and returns the exit code. Takes `e`, which is
 * NULL after success. A command's own word on the code, cli->exit_code, goes before.
 */
int hf_fail_report(struct hf_cli *cli, struct hf_err *e);

#endif
