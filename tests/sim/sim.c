/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A simulator of leases: the program's own code for locks (repo/lease.h), run by actors on hosts
 * whose clocks jump, stop and disagree, over a store that loses answers and shows old listings,
 * in any order of events that the dice can think of. The same seed is the same run.
 *
 *	sim                          all scenarios, then all mutants; prints TAP
 *	sim --schedules 1000000      so many schedules in all; the default takes half a minute
 *	sim --scenario fence         only this one, and no mutants
 *	sim --seed 7 --scenario fence --schedules 1 --trace      what happens in one schedule
 *	sim --mutation blind-refresh --scenario remover ...      with an error built in
 *	sim --list                   names
 *
 * oracle.h has the invariants. That each of them can fail is shown by the mutants: errors that are
 * built in on purpose, and have to be noticed.
 *
 * What it does not show:
 *  - Two threads of one actor take turns at calls to the store and at waits, nowhere else: data
 *    races are for ThreadSanitizer and tests/unit/test_lease.c.
 *  - A host that stops between its last look at the gate and the leaving of the request sends it
 *    after the fence. No gate can help there; only the scenario `commit` plays it ("zombies"),
 *    where I4 has to hold and I2 is not asked.
 *  - A virtual machine that is paused and whose wall clock does not move on, or is set back
 *    afterwards, does not know how much time has passed. Nobody there could.
 *  - Hosts are at most 10 minutes apart, and a listing lags for less than hf_lease_pace.settle:
 *    beyond that nothing is promised.
 *  - Turns in the queue go by wall clocks: who waits can be overtaken for as long as they are
 *    apart. `queue` has hosts that are within 4 seconds.
 *  - Kernel marks (P1) are not played, and adopting a lease of another process is not.
 *  - Backup and prune are what they write, in the order in which they write it: commit.c. Two
 *    backups do not store the same new blob there. If they did: when the lock of one is removed by
 *    force and a prune deletes its packs just before it writes the index that names them, the other
 *    can find its blobs in that index before it is repaired, and report a backup without them.
 *  - A lock file that lands after its lease is over is taken for that of a living process as long
 *    as its process lives; one that waits for a lock waits for its own file. Here every lease is
 *    that of a new process, but for a backup that begins again.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "sim/cast.h"
#include "sim/scenario.h"
#include "sim/seams.h"
#include "unit/handmade.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
/*
 * All is one thread, where ThreadSanitizer has nothing to find but takes fifty times as long: it
 * sees a few schedules, so that it is known that the fibers work there too.
 */
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { SCHEDULES = 300, HAS_MUTANTS = false };
#elif defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { SCHEDULES = 1500, HAS_MUTANTS = true };
#else
enum { SCHEDULES = 55000, HAS_MUTANTS = true };
#endif

struct arguments {
	uint64_t seed, schedules; /* 0: not said */
	const char *scenario, *mutation;
	bool traces;
};

static unsigned n_tests, n_failed;
static uint64_t n_schedules, n_steps;

static void
result(bool is_ok, const char *name)
{
	n_tests++;
	n_failed += !is_ok;
	printf("%sok %u - %s\n", is_ok ? "" : "not ", n_tests, name);
	fflush(stdout);
}

static double
cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The seed of the first schedule that fails, or 0. */
static uint64_t
play(const struct scenario *s, uint64_t seed, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		bool is_ok = scenario_run(s, seed + i);

		n_schedules++;
		n_steps += world.steps;
		if (!is_ok)
			return seed + i;
	}
	return 0;
}

static void
play_scenario(const struct scenario *s, const struct arguments *a)
{
	uint64_t all = a->schedules > 0 ? a->schedules : SCHEDULES;
	uint64_t n = a->schedules > 0 && a->scenario != NULL ? all : all * s->share / 1000;
	uint64_t schedules = n_schedules, steps = n_steps;
	double begin = cpu_seconds();
	uint64_t bad = play(s, a->seed, n);
	double took = cpu_seconds() - begin;

	schedules = n_schedules - schedules;
	printf("# %s: %llu schedules, %llu steps, %.1f s of processor time, %.0f µs each\n",
		s->name, (unsigned long long)schedules, (unsigned long long)(n_steps - steps),
		took, 1e6 * took / (double)(schedules > 0 ? schedules : 1));
	if (bad != 0)
		printf("# %s\n# to see it: sim --scenario %s --seed %llu --schedules 1 "
		       "--trace\n",
			world.failure, s->name, (unsigned long long)bad);
	result(bad == 0, s->name);
}

static const struct scenario *
find_scenario(const char *name)
{
	for (unsigned i = 0; i < n_scenarios; i++)
		if (strcmp(scenarios[i].name, name) == 0)
			return &scenarios[i];
	return NULL;
}

/* Noticed, and by the invariant that is there for it. */
static void
play_mutant(const struct mutant *m, const struct arguments *a)
{
	uint64_t before = n_schedules;

	world.mutation = m->mutation;
	uint64_t bad = play(find_scenario(m->scenario), a->seed, m->within);
	world.mutation = MUT_NONE;
	if (bad == 0)
		printf("# %s: not noticed\n", m->name);
	else
		printf("# %s in %s, after %llu schedules: %s\n", m->name, m->scenario,
			(unsigned long long)(n_schedules - before), world.failure);
	result(bad != 0 && strncmp(world.failure, m->invariant, 2) == 0, m->name);
	n_schedules = before;
}

static void
must(struct hf_err *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "sim: %s\n", hf_err_text(e));
	exit(1);
}

/*
 * One repository, with a key that costs next to nothing to open, and without compression; a handle
 * for each actor, since a gate belongs to a handle. They serve all schedules.
 */
static void
open_repositories(void)
{
	static const char config[] = "{\"version\":1,\"id\":\"0123456789abcdef0123456789abcdef"
				     "0123456789abcdef0123456789abcdef\","
				     "\"chunker_polynomial\":\"3da3358b4dc173\"}";
	struct hf_repo_options o = {.no_extra_verify = true};
	hf_auto(hf_secret) password = {0};
	uint8_t sealed[sizeof config - 1 + HF_SEAL_OVERHEAD];
	struct hf_key key = made_key();
	hf_autoptr(hf_aead) aead = hf_aead_new(&key);
	struct hf_bytes file = hf_str_bytes(hf_str(made_key_file));
	struct hf_store *stores[MAX_ACTORS];

	for (unsigned i = 0; i < MAX_ACTORS; i++)
		stores[i] = depot_handle(i);
	must(hf_store_put(stores[0], &(struct hf_name){HF_KEY, hf_sha256(file)}, file));
	hf_aead_seal(aead, hf_str_bytes(hf_str(config)), sealed);
	must(hf_store_put(stores[0], &(struct hf_name){.kind = HF_CONFIG},
		(struct hf_bytes){sealed, sizeof sealed}));
	hf_secret_set(&password, hf_str_bytes(hf_str("geheim")));
	for (unsigned i = 0; i < MAX_ACTORS; i++)
		must(hf_repo_open(stores[i], &password, &o, &world.actors[i].repo));
}

static void
close_all(void)
{
	struct hf_repo *repos[MAX_ACTORS];

	for (unsigned i = 0; i < MAX_ACTORS; i++)
		repos[i] = world.actors[i].repo;
	world.scenario = "end";
	world_begin(0);
	seams_begin();
	depot_free();
	for (unsigned i = 0; i < MAX_ACTORS; i++)
		hf_repo_free(repos[i]);
	fiber_cleanup();
}

static void
list_names(void)
{
	for (unsigned i = 0; i < n_scenarios; i++)
		printf("%-10s %s\n", scenarios[i].name, scenarios[i].about);
	for (unsigned i = 0; i < n_mutants; i++)
		printf("--mutation %s --scenario %s\n", mutants[i].name, mutants[i].scenario);
}

static uint64_t
number(const char *text)
{
	char *end;
	unsigned long long n = text != NULL ? strtoull(text, &end, 10) : 0;

	if (text == NULL || *end != '\0' || end == text) {
		fprintf(stderr, "sim: not a number: %s\n", text != NULL ? text : "nothing");
		exit(2);
	}
	return n;
}

/* That things did happen. */
static void
print_events(void)
{
	printf("# events:");
	for (int i = 0; i < HF_LEASE_EVENTS; i++)
		printf(" %s %llu", hf_lease_event_text(i), (unsigned long long)claim_events[i]);
	putchar('\n');
}

static struct arguments
read_arguments(char **argv)
{
	struct arguments a = {.seed = 1};

	while (*++argv != NULL) {
		if (strcmp(*argv, "--list") == 0) {
			list_names();
			exit(0);
		} else if (strcmp(*argv, "--trace") == 0) {
			a.traces = true;
		} else if (strcmp(*argv, "--seed") == 0) {
			a.seed = number(*++argv);
		} else if (strcmp(*argv, "--schedules") == 0) {
			a.schedules = number(*++argv);
		} else if (strcmp(*argv, "--scenario") == 0 && argv[1] != NULL) {
			a.scenario = *++argv;
		} else if (strcmp(*argv, "--mutation") == 0 && argv[1] != NULL) {
			a.mutation = *++argv;
		} else {
			fprintf(stderr, "sim: what is %s?\n", *argv);
			exit(2);
		}
	}
	return a;
}

int
main(int argc, char **argv)
{
	struct arguments a = read_arguments(argv);
	double begin = cpu_seconds();

	(void)argc;
	mallopt(M_TRIM_THRESHOLD, 1 << 30); /* memory goes from schedule to schedule */
	mallopt(M_MMAP_THRESHOLD, 1 << 20); /* but an index is large, empty, and zeroed */
	setenv("TZ", "UTC0", 1);
	open_repositories();
	world.traces = a.traces;
	for (unsigned i = 0; i < n_mutants; i++)
		if (a.mutation != NULL && strcmp(mutants[i].name, a.mutation) == 0)
			world.mutation = mutants[i].mutation;
	for (unsigned i = 0; i < n_scenarios; i++)
		if (a.scenario == NULL || strcmp(scenarios[i].name, a.scenario) == 0)
			play_scenario(&scenarios[i], &a);
	for (unsigned i = 0; i < n_mutants && HAS_MUTANTS && a.scenario == NULL; i++)
		play_mutant(&mutants[i], &a);
	close_all();
	print_events();
	printf("# %llu schedules, %llu steps, %.1f s of processor time\n1..%u\n",
		(unsigned long long)n_schedules, (unsigned long long)n_steps,
		cpu_seconds() - begin, n_tests);
	return n_failed != 0;
}
