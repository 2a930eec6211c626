/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the front share: front.c, and front_job.c, which deals with the command. */
#ifndef HF_CLI_FRONT_I_H
#define HF_CLI_FRONT_I_H

#include <signal.h>
#include <sys/signalfd.h>

#include "cli/front.h"

struct front {
	struct hf_cli *cli;
	struct hf_keeper_job *job_of_keeper;
	const struct hf_front_options *o;
	struct hf_keep *keep;
	double scale;
	int signals, tick, fence; /* descriptors */

	struct hf_keeper keeper;
	bool keeper_is_dead; /* for good */
	unsigned keepers;    /* started so far */
	bool adopting;       /* the second one is not ready yet */

	struct hf_job job;
	struct hf_guard guard; /* large */
	bool has_ended;        /* the command: `status` */
	siginfo_t status;
	int64_t ended_at, first_stop, wall_only_since;
	bool had_tty;        /* when it ended */
	bool has_told;       /* about descendants */
	bool ended_in_doubt; /* the lock could not be vouched for when it ended */
	int interrupted;     /* the signal that ended the waiting for the lock; 0: none */
	unsigned requests;   /* to end, while there is no command */
};

int64_t front_now(void);          /* boot clock */
double front_since(int64_t then); /* seconds */

/* A line lock.child in the log for programs. */
void front_log_child(struct front *f, const char *what);

/*
 * Says something on standard error, unless that would wait: a reader who is gone to sleep must not
 * keep us from looking after the lock.
 */
void front_say(struct front *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void front_say_verbose(struct front *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

enum hf_lease_state front_lease_state(struct front *f);

/* Does to the command what the state of the lease demands now. */
void front_step_guard(struct front *f);

/* Looks after the command: whether it has ended, stopped, or left zombies to us. */
void front_look_after(struct front *f);

/* Signals that have come. */
void front_read_signals(struct front *f);

/* True when nothing is left of the command, or nobody waits for what is. */
bool front_is_over(struct front *f);

#endif
