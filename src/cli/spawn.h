/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes: run without a shell, with default signals and nothing of ours open in them. */
#ifndef HF_CLI_SPAWN_H
#define HF_CLI_SPAWN_H

#include <sys/types.h>

#include "cli/cli.h"

/*
 * Starts words[0] with these words (the array ends with NULL), standard input empty. Standard
 * output goes into a pipe of which *out_fd is the other end, the caller's to close.
 */
struct hf_err *hf_spawn(
	struct hf_cli *cli, const char *const *words, pid_t *pid, int *out_fd) HF_MUST;

/* Waits for its end. HF_EFATAL: it ended with another status than 0, or by a signal. */
struct hf_err *hf_spawn_wait(pid_t pid, const char *name) HF_MUST;

#endif
