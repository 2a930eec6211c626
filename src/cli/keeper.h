/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keeper: a process beside the command that holds its lock. It opens the repository, takes the
 * lease, refreshes it and gives it back; it does nothing else, is in a session of its own so that
 * neither Ctrl-C nor Ctrl-Z reaches it, and never lets lock I/O keep it from looking after the rest.
 *
 * The front (cli/front.h) is the process that the shell knows; it runs the command and never touches
 * the repository. Each sees at once when the other dies: by a pidfd, and by the end of the socket
 * between them. What both need to know stands in a page of shared memory, so that either can
 * decide while the other hangs or is stopped:
 *
 *	front dies            the keeper ends the command, waits until it is gone, gives the lock back
 *	front does not react  the keeper does to the command what the front should (cli/guard.h)
 *	keeper dies           the front freezes the command and starts another, which continues the
 *	                      same lease
 *	keeper hangs          the lease runs out on the page, and the front acts
 */
#ifndef HF_CLI_KEEPER_H
#define HF_CLI_KEEPER_H

#include "cli/guard.h"
#include "cli/lease_opts.h"
#include "cli/place.h"

enum hf_keep_phase {
	HF_KEEP_OPENING, /* the repository */
	HF_KEEP_WAITING, /* for the lock */
	HF_KEEP_HELD,
	HF_KEEP_RELEASING,
	HF_KEEP_DONE, /* end_code and end_text say how */
};

enum { HF_KEEP_TEXT = 4096 };

/* The shared page. Zeroed memory is valid. */
struct hf_keep {
	struct hf_lease_page lease; /* first: HOLDFAST_LEASE_FD shows it to the command */

	atomic_int_least64_t front_beat, keeper_beat; /* boot clock, ns; about once per tick */
	atomic_uint phase;         /* enum hf_keep_phase; written by the keeper */
	atomic_bool wants_release; /* written by the front */
	atomic_int child;          /* the command and its group; 0: none yet */
	atomic_bool job_stopped;   /* by the user */
	atomic_bool is_lost;       /* by the keeper: it has cut the command off */

	/* By the keeper, before it is HF_KEEP_HELD. */
	char holder[HF_HOLDER_HEX + 1];
	struct hf_id first_id;
	/* Before HF_KEEP_DONE. */
	enum hf_code end_code; /* 0: all is well */
	char end_text[HF_KEEP_TEXT];
	char lost_reason[32]; /* "" or why */
};

/* What is to be kept, and for whom. All of it is borrowed. */
struct hf_keeper_job {
	struct hf_cli *cli;
	const struct hf_place *place;
	const char *location;
	struct hf_secret *password; /* NULL: only look whether there is a repository */
	enum hf_lock_mode mode;
	const char *note;
	enum hf_on_lost on_lost;
	double grace_s, stop_timeout_s;
	double scale;
	struct hf_keep *keep;
	int front_fd; /* pidfd of the front, the calling process */
};

struct hf_keeper {
	pid_t pid;
	int fd;   /* pidfd: readable when it is dead; -1 */
	int sock; /* messages come, a byte wakes it up; -1 */
};

/*
 * Starts a keeper, from a process without threads. With `adopts` it continues the lease of the one
 * that died, whose numbers are still in the page.
 */
struct hf_err *hf_keeper_start(
	const struct hf_keeper_job *job, bool adopts, struct hf_keeper *out) HF_MUST;
void hf_keeper_clear(struct hf_keeper *k);

/* Asks it to give up or give back the lock, and end. */
void hf_keeper_release(struct hf_keeper *k, struct hf_keep *keep);

/* Takes one message and says it as the command line wants. False: there is none. */
bool hf_keeper_hear(struct hf_keeper *k, struct hf_cli *cli);

/* The error that it ended with, or NULL. HF_EIO: it was killed, or it is not waited for any more. */
struct hf_err *hf_keeper_result(const struct hf_keep *keep) HF_MUST;

/* Seconds between two looks at everything. */
double hf_keep_tick(double scale);

#endif
