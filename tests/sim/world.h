/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated world: hosts with their clocks, actors that run on them as fibers, one store, and
 * one time that is true. Everything that happens is decided by the seed.
 *
 * A task sleeps until a moment of true time; whoever sleeps least runs next, and among equals the
 * dice decide. Code that runs on a fiber changes the order of events only where it sleeps: in
 * every call to the store (several times) and where it waits for a clock.
 */
#ifndef HF_TESTS_SIM_WORLD_H
#define HF_TESTS_SIM_WORLD_H

#include "base/group.h"
#include "repo/lease.h"
#include "sim/fiber.h"

enum {
	MAX_HOSTS = 8,
	MAX_ACTORS = 8,
	MAX_TASKS = 48,
	MAX_EVENTS = 256,
	MAX_CLAIMS = 2048,
	MAX_PUTS = 64,
};

#define MINUTE (60 * HF_SECOND)
#define NEVER  INT64_MAX

/* Errors that are built in on request, each of which some invariant must notice. */
enum mutation {
	MUT_NONE,
	MUT_BLIND_REFRESH,  /* as restic: a new file, whether or not the old one is there */
	MUT_HALF_REFRESH,   /* the old file is looked for before and after, the new one not */
	MUT_ACKNOWLEDGED,   /* the lease counts from the answer to the put */
	MUT_OPEN_GATE,      /* everything passes */
	MUT_NO_SECOND_LOOK, /* acquires without looking again */
	MUT_NO_RELIST,      /* who removes a dead lock does not look again */
	MUT_HASTY_PROOF,    /* a lock is dead when it has been seen for 5 minutes */
	MUT_ONE_CLOCK,      /* ... or is older than 5 minutes by our own wall clock */
	MUT_FORGETS,        /* a file that could not be deleted is forgotten */
	MUT_NO_TICKETS,     /* whoever sees another withdraws */
	MUT_NO_INTENT,      /* nobody holds back for who waits to be exclusive */
	MUT_NO_VALIDATION,  /* a backup is good when its snapshot is written */
	MUT_EARLY_LOOK,     /* a backup looks at its lock before it writes its snapshot */
	MUT_TRUSTS_PACKS,   /* a second round uses again what the first has uploaded */
	MUT_LATER_CHAIN,    /* packs are confirmed by a later lock than that of their upload */
	MUT_RASH_PRUNE,     /* packs are deleted without looking at the lock once more */
	MUTATIONS,
};

struct host {
	char boot[40]; /* changes when it starts anew */
	int64_t boot_zero, wall_zero;
	int64_t slept, paused; /* all suspends, all pauses of the virtual machine */
	double ppm;
	bool is_virtual;      /* it may be paused, and its wall clock is not stepped */
	int64_t frozen_until; /* true time */
	int64_t cut_until;    /* no call to the store gets through */
	struct hf_clocks clocks;
};

/* One file of a lock that was tried: who wrote it when, in true time, and what became of it. */
struct put {
	struct hf_id id;
	int64_t stamped, landed_at, tried_at, gone_at; /* tried: first, to delete it */
	int64_t wall;                                  /* what the stamp says */
	unsigned failures;                             /* deletions that got no answer */
	bool is_there, counts;
};

/* One attempt at a lease, and the lease that came of it; what the oracles know about it. */
struct claim {
	struct actor *actor;
	struct hf_lease *lease; /* NULL: not held */
	struct hf_lease_page page;
	bool is_exclusive, is_restic;
	bool is_held;      /* acquired, and not being given back */
	bool is_over;      /* given back, or not acquired */
	bool is_forced;    /* somebody has removed a live file of it */
	bool has_removed;  /* it has removed a lock of somebody dead */
	bool is_cut;       /* a deletion failed because its host was cut off */
	int64_t ends_at;   /* when it began to be given back; 0: not yet, or never held */
	int64_t stamped;   /* true time of the stamp that the lease counts from; 0: none */
	int64_t gap;       /* since when no file of it was there; 0: never */
	bool is_own_gap;   /* it has deleted the last one itself */
	struct hf_id file; /* restic's present one */
	int64_t answered;  /* restic's: when its last refresh was, by its wall clock */
	struct put puts[MAX_PUTS];
	unsigned n_puts;
};

struct actor {
	unsigned index;
	const char *name;
	struct host *host;
	struct hf_repo *repo; /* over its own handle of the store; kept from run to run */
	struct hf_watch *watch;
	struct hf_stop stop;
	struct claim *claim; /* whose gate its store has, or NULL */
	int64_t pid;
	bool is_dead;
	int64_t after_life;              /* added to the clocks that a dead actor reads */
	unsigned crashes_in, freezes_in; /* schedule points until then; 0: never */
	int64_t freezes_for;
	unsigned late_s; /* a waiting thread may wake up so much too late */
	void (*main)(struct actor *a);
	const void *plan;      /* for main */
	struct hf_id disowned; /* a snapshot of its own that it may delete at any time */
	/* What it has done, for the scenario. */
	unsigned n_held, n_failed, n_lost, n_rounds;
	bool is_started, is_done;
};

struct task {
	struct fiber *fiber; /* NULL: ended */
	struct actor *actor;
	struct claim *claim; /* on behalf of which it writes locks */
	int64_t wake;
	bool by_clock; /* it waits for a clock, which stands still when the host does */
	struct hf_bell *bell;
	unsigned idle; /* waits since it last did anything */
	const struct hf_group *group;
	struct hf_err *(*fn)(void *);
	void *arg;
};

struct event {
	int64_t at;
	void (*fn)(struct event *ev);
	struct actor *actor;
	struct host *host;
	int64_t amount;
	struct hf_name name; /* for the store */
	struct claim *claim;
	uint8_t *data;
	size_t len;
	int64_t latest;
	bool is_late;
};

struct world {
	uint64_t seed, dice, names; /* two streams of numbers */
	int64_t now, limit;
	uint64_t steps, max_steps;
	enum mutation mutation;
	bool traces;
	const char *scenario;
	char failure[512]; /* "": none */
	struct host hosts[MAX_HOSTS];
	unsigned n_hosts;
	struct actor actors[MAX_ACTORS];
	unsigned n_actors;
	struct task tasks[MAX_TASKS], *running;
	unsigned n_tasks;
	struct event events[MAX_EVENTS];
	unsigned n_events;
	struct claim *claims[MAX_CLAIMS];
	unsigned n_claims;
	/* The store's weather. */
	int64_t delay;                /* longest, of each part of a call */
	unsigned fails, loses, lates; /* of 1000 calls: no effect; no answer; too late */
	int64_t lag;                  /* a listing may miss what is younger */
	bool lists_at_once;           /* what the store promises */
	double within_s;              /* its deadline of a change */
	unsigned zombies;             /* of 1000 changes: the host stops after the gate */
	bool is_calm;                 /* no disturbance of clocks or store: for liveness */
	bool forces;                  /* somebody removes locks by force */
};

extern struct world world;

/* ---- dice ---- */

uint64_t dice(void);
int64_t dice_below(int64_t n);              /* 0 … n-1; 0 for n < 1 */
int64_t dice_in(int64_t low, int64_t high); /* both included */
bool dice_say(unsigned permille);

/* What the program under test takes for chance; apart, so that it does not depend on the dice. */
uint64_t world_random(void);

/* ---- telling ---- */

#define TRACE(...)                                                                             \
	do {                                                                                   \
		if (world.traces)                                                              \
			world_trace(__VA_ARGS__);                                              \
	} while (0)
void world_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An invariant does not hold; the first one counts, and ends the run. */
void world_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- making ---- */

/* Forgets all but the actors' repositories. */
void world_begin(uint64_t seed);
struct host *world_host(void); /* awake, its clocks right */
struct actor *world_actor(
	const char *name, struct host *h, void (*main)(struct actor *), const void *plan);

/* Until every task has ended, somebody has failed, or it takes too long. */
void world_run(void);

/* Starts the tasks of actors that were added since. */
void world_start(void);

/* One more fiber of an actor: fn() gets its task. */
struct task *world_task(struct actor *a, void (*fn)(void *task));

/* ---- time ---- */

/* On a fiber: sleeps for so many ns of true time. A dead actor does not sleep. */
void world_sleep(int64_t ns);
void world_until(int64_t true_time);

/* On a fiber: a schedule point, at which its actor may die or its host stop. */
void world_point(void);

struct event *world_at(int64_t when, void (*fn)(struct event *ev), struct actor *a);

/* The host's clocks, at a moment that is not earlier than now. */
int64_t host_boot(const struct host *h, int64_t when);
int64_t host_awake(const struct host *h, int64_t when);
int64_t host_wall(const struct host *h, int64_t when);

/* The actor's process is killed: what it has in flight may land, nothing else comes of it. */
void actor_kill(struct actor *a);

void host_suspend(struct host *h, int64_t ns);
void host_pause(struct host *h, int64_t ns); /* of a virtual machine; its wall clock is set */
void host_reboot(struct host *h);            /* kills its actors */

/* The actor whose code runs, or NULL. */
struct actor *world_self(void);

#endif
