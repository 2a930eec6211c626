/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done to a command when the lock that it runs under is in doubt:
 *
 *	RUNNING --(stop: FENCED)--> FROZEN --(HELD again)--> RUNNING
 *	   |                           |
 *	   '--(LOST; term: FENCED)-----+--> ENDING (TERM, CONT) --grace--> KILLED (again and again)
 *
 * The front process does this, and the keeper when the front cannot. All processes of the command
 * are meant, also those that left its process group. A process that is frozen writes nothing; one
 * that is ending may still write, which is why `stop` comes first.
 */
#ifndef HF_CLI_GUARD_H
#define HF_CLI_GUARD_H

#include "base/clocks.h"
#include "cli/descend.h"
#include "repo/lease.h"

enum hf_on_lost { HF_ON_LOST_STOP, HF_ON_LOST_TERM, HF_ON_LOST_IGNORE };

enum hf_guard_state {
	HF_GUARD_RUNNING,
	HF_GUARD_FROZEN,
	HF_GUARD_ENDING,
	HF_GUARD_KILLED,
};

/* What a step has changed, for messages. */
enum hf_guard_event {
	HF_GUARD_NOTHING,
	HF_GUARD_HAS_FROZEN,
	HF_GUARD_HAS_THAWED,
	HF_GUARD_HAS_TERMINATED, /* TERM was sent, because of the lock */
	HF_GUARD_HAS_KILLED,
	HF_GUARD_HAS_IGNORED, /* FENCED or LOST, and nothing is done about it */
};

struct hf_guard {
	enum hf_on_lost on_lost;
	double grace_s, stop_timeout_s;
	const struct hf_clocks *clocks;

	/* Whom it is about. */
	pid_t root, except; /* as in hf_relatives_find() */
	pid_t group;        /* of the command; 0: not started yet */
	uint64_t start;     /* of its leader; for `mark` */
	const char *mark;   /* not NULL: `root` is dead, hf_relatives_search() finds them */

	enum hf_guard_state state;
	bool is_lost;      /* the lock was lost at some time, or the command cut off for it */
	bool job_stopped;  /* the user stopped the command: thawing leaves it so */
	bool has_reported; /* ignore: said once */
	int64_t since;     /* of the state, boot clock */

	struct hf_relatives seen;
	struct hf_relatives frozen; /* stopped by us, beyond the group */
};

/* One step: looks at the state of the lease, acts, and repeats what has to be repeated. */
enum hf_guard_event hf_guard_step(struct hf_guard *g, enum hf_lease_state lease);

/* Stops all, again if some are awake. */
void hf_guard_freeze(struct hf_guard *g);
void hf_guard_thaw(struct hf_guard *g);

/* Begins to end all: TERM now, KILL after the grace. */
void hf_guard_end(struct hf_guard *g);

/* Sends `sig` to all of them. */
void hf_guard_signal(struct hf_guard *g, int sig);

/* Looks for them: how many are alive; they are in g->seen. */
size_t hf_guard_look(struct hf_guard *g);

#endif
