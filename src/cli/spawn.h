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

/*
 * The same with standard input from `in_fd` and standard output to `out_fd`, both of which stay the
 * caller's; one of them is -1, and *fd becomes the other end of a pipe in its place.
 */
struct hf_err *hf_spawn_filter(struct hf_cli *cli, const char *const *words, int in_fd,
	int out_fd, pid_t *pid, int *fd) HF_MUST;

/* Waits for its end. HF_EFATAL: it ended with another status than 0, or by a signal. */
struct hf_err *hf_spawn_wait(pid_t pid, const char *name) HF_MUST;

#endif
