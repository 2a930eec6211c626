/* SPDX-License-Identifier: BSD-2-Clause */
/* What is played: who is there, what the weather is, and what has to be true in the end. */
#ifndef HF_TESTS_SIM_SCENARIO_H
#define HF_TESTS_SIM_SCENARIO_H

#include "sim/world.h"

struct scenario {
	const char *name, *about;
	void (*set)(void);   /* makes hosts, actors, weather */
	void (*check)(void); /* afterwards; or NULL */
	bool heals;          /* what is left over is cleaned away by the next */
	unsigned share;      /* of 1000 schedules */
};

extern const struct scenario scenarios[];
extern const unsigned n_scenarios;

/* An error that is built in, a scenario that meets it, and the invariant that notices. */
struct mutant {
	enum mutation mutation;
	const char *name, *scenario, *invariant;
	unsigned within; /* schedules */
};
extern const struct mutant mutants[];
extern const unsigned n_mutants;

/* One schedule. False: an invariant does not hold, world.failure says which. */
bool scenario_run(const struct scenario *s, uint64_t seed);

#endif
