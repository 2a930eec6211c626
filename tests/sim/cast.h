/* SPDX-License-Identifier: BSD-2-Clause */
/* Who acts in the simulated world. */
#ifndef HF_TESTS_SIM_CAST_H
#define HF_TESTS_SIM_CAST_H

#include "sim/depot.h"
#include "sim/oracle.h"

/* What an actor intends; each actor has its own. */
struct plan {
	bool is_exclusive;
	const char *role;
	int64_t start; /* true time until it begins */
	double wait_s; /* for the lock */
	bool claims_early;
	unsigned rounds;  /* of acquiring, working and giving back; 0: until `until` ends */
	unsigned tries;   /* to acquire, in each; 0: once */
	int64_t hold;     /* longest time that it works */
	unsigned changes; /* that it makes meanwhile, at most */
	int64_t pause;    /* longest time between rounds */
	const struct actor *until; /* goes on until that one has ended */
	bool is_barrier;           /* all begin a round together */
	unsigned removals;         /* of the remover */
	bool unlocks;              /* a restic that only removes stale locks */
};

/* ---- holding a lock ---- */

/* A lease for `a`, with the gate of its store. *out also on failure: what became of the try. */
struct hf_err *claim_take(
	struct actor *a, bool is_exclusive, const struct plan *p, struct claim **out) HF_MUST;
struct hf_err *claim_give_back(struct claim *c) HF_MUST;

/* How often each kind of event was told, in all runs. */
extern uint64_t claim_events[HF_LEASE_EVENTS];

struct claim *claim_new(struct actor *a, bool is_exclusive);

/* ---- mains ---- */

void holder_main(struct actor *a);  /* takes the lock, changes something now and then */
void restic_main(struct actor *a);  /* the same as restic does it; or its `unlock` */
void remover_main(struct actor *a); /* removes any lock at any time */
void backup_main(struct actor *a);
void prune_main(struct actor *a);

/* Before a run with backups: old packs that no snapshot needs, in an index. */
void commit_begin(void);
/* After it: what was reported good can be read. */
void commit_check(void);
extern unsigned commits_good; /* backups that were reported good, in this run */

#endif
