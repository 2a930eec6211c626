/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front: the process that the shell knows. It has one thread, starts the keeper, waits for the
 * lock, runs the command and looks after both until all is over. Once the command runs it does not
 * touch the repository, and nothing that it does can hang.
 */
#ifndef HF_CLI_FRONT_H
#define HF_CLI_FRONT_H

#include "cli/job.h"
#include "cli/keeper.h"

enum hf_descendants { HF_DESCENDANTS_WAIT, HF_DESCENDANTS_WARN, HF_DESCENDANTS_KILL };

struct hf_front_options {
	char *const *argv; /* the command; ends with NULL */
	enum hf_descendants descendants;
	int lease_fd; /* what the command gets to look at the lease; -1: nothing */
	/* Of hf_job_take_signals(). */
	const struct hf_job_signals *signals;
	const sigset_t *taken;
};

/*
 * Runs the command under the lock that `job` describes. Sets cli->exit_code or cli->exit_signal as
 * the command ended; the error is for what is our own: HF_ELOCKED, HF_EAUTH, HF_ENOREPO ...: it was
 * never started; HF_ELOST: it ran without a lock for some time, or was ended to prevent that.
 */
struct hf_err *hf_front_run(
	struct hf_keeper_job *job, const struct hf_front_options *options) HF_MUST;

/*
 * Only looks whether there is a repository, for who must ask for a password before anything else.
 */
struct hf_err *hf_front_look(
	struct hf_keeper_job *job, const struct hf_front_options *options) HF_MUST;

#endif
