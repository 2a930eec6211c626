/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A command as a job, the way a shell runs one: in a process group of its own, which has the
 * terminal while it is in the foreground, stops and goes on with us, and sees signals, mask,
 * descriptors and environment as if nobody stood between it and who started us.
 *
 * The terminal. Our own group is what the shell knows. If it has the terminal and nobody else is in
 * it but shells that wait for us, the command's group gets it. If there are others (a pipeline, one
 * of them perhaps a pager), the command gets it only when it asks, by touching it and being stopped
 * for that; until then the terminal's signals reach us, and are forwarded.
 */
#ifndef HF_CLI_JOB_H
#define HF_CLI_JOB_H

#include <signal.h>
#include <stdatomic.h>

#include "base/err.h"

/* Signals and their handling as they were before we changed any of it. */
struct hf_job_signals {
	sigset_t mask;
	struct sigaction child, pipe, fsize;
};

/*
 * Blocks what the front wants to read from a signalfd (`taken`), and ignores SIGPIPE and SIGXFSZ.
 */
void hf_job_take_signals(struct hf_job_signals *before, sigset_t *taken);
void hf_job_restore_signals(const struct hf_job_signals *before);

struct hf_job {
	const struct hf_job_signals *signals;
	int tty;         /* /dev/tty, or -1 */
	pid_t pid;       /* of the command, and of its group; 0: not started */
	bool is_lazy;    /* we are not alone: it gets the terminal when it asks */
	bool gets_tty;   /* as soon as we have it */
	bool is_stopped; /* by the user or by reading the terminal from the background */
};

/* Opens the terminal. */
void hf_job_init(struct hf_job *job, const struct hf_job_signals *signals);
void hf_job_clear(struct hf_job *job);

/*
 * Starts argv[0], which gets the descriptor `keep` besides the standard ones (-1: none), and
 * returns when it runs. The new process puts its number into *pid before anything else, in memory
 * that others see who have to know about it even if this process is killed now. *code is the exit code for who cannot: 127 there is no such program, 126 it
 * cannot be run, 125 our own fault.
 */
struct hf_err *hf_job_start(
	struct hf_job *job, char *const *argv, int keep, atomic_int *pid, int *code) HF_MUST;

/*
 * The command has stopped by signal `sig`: takes the terminal back, and stops our own group as a
 * shell expects it. True: it shall go on now, because we were continued, or because it has got the
 * terminal, or because nobody is there who could continue us. False: it stays stopped.
 */
bool hf_job_stopped(struct hf_job *job, int sig);

/* Stops our own group as if the terminal had. True: we were stopped, and are continued. */
bool hf_job_stop_us(void);

/* We were continued: the command's group gets the terminal if we have it now. */
void hf_job_give_tty(struct hf_job *job);

/* The terminal is ours again. False: the command did not have it. */
bool hf_job_take_tty(struct hf_job *job);

/* True when the terminal is not just out of sight but hung up. */
bool hf_job_is_hung_up(const struct hf_job *job);

/* Ends this process by `sig`, without a core file, so that the shell sees what happened. */
_Noreturn void hf_job_die(int sig);

#endif
