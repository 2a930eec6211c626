/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding the processes of a command, stopping, continuing and ending them. */
#include "cli/guard.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "harness/test.h"

/* What the children of a test show: counters that grow for as long as they run. */
enum { LEADER, MEMBER, STRAY, ORPHAN, N_PROCESSES };
static volatile uint64_t *counts;
static volatile pid_t *pids;

static void
pause_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static _Noreturn void
count(int who, bool ignores_term)
{
	if (ignores_term)
		signal(SIGTERM, SIG_IGN);
	pids[who] = getpid();
	for (;;) {
		counts[who]++;
		pause_ms(1);
	}
}

/* A leader, one in its group, one in a session of its own, and one whose parent is gone. */
static pid_t
start_family(bool ignores_term)
{
	void *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t leader;

	REQUIRE(page != MAP_FAILED);
	counts = page;
	pids = (pid_t *)((char *)page + 2048);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	leader = fork();
	if (leader == 0) {
		setpgid(0, 0);
		if (fork() == 0)
			count(MEMBER, ignores_term);
		if (fork() == 0) {
			setsid();
			count(STRAY, ignores_term);
		}
		if (fork() == 0) {
			if (fork() == 0) {
				setsid();
				count(ORPHAN, ignores_term);
			}
			_exit(0);
		}
		count(LEADER, ignores_term);
	}
	setpgid(leader, leader);
	for (int i = 0; i < N_PROCESSES; i++)
		while (counts[i] == 0)
			pause_ms(1);
	return leader;
}

static void
check_runs(bool runs)
{
	for (int i = 0; i < N_PROCESSES; i++) {
		uint64_t before = counts[i];

		for (int ms = 0; ms < (runs ? 10000 : 20) && counts[i] == before; ms++)
			pause_ms(1);
		CHECK_EQ(counts[i] != before, runs);
	}
}

static struct hf_guard *
guard_new(enum hf_on_lost on_lost, pid_t group, double grace_s)
{
	struct hf_guard *g = hf_new(struct hf_guard);

	g->on_lost = on_lost;
	g->grace_s = grace_s;
	g->stop_timeout_s = 3600;
	g->clocks = &hf_clocks_kernel;
	g->root = getpid();
	g->group = group;
	return g;
}

/* All have ended, or will. */
static void
reap_all(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
}

static void
kill_all(struct hf_guard *g)
{
	do {
		hf_guard_signal(g, SIGKILL);
		pause_ms(1);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
	} while (hf_guard_look(g) > 0);
	reap_all();
}

TEST(finds_all_that_came_out_of_a_process)
{
	pid_t leader = start_family(false);
	struct hf_guard *g = guard_new(HF_ON_LOST_STOP, leader, 0);
	size_t n = 0;

	/* The parent of the orphan may not be gone yet. */
	while ((n = hf_guard_look(g)) > N_PROCESSES)
		pause_ms(1);
	CHECK_EQ(n, N_PROCESSES);
	for (int i = 0; i < N_PROCESSES; i++) {
		bool found = false;

		for (size_t j = 0; j < g->seen.len; j++)
			found |= g->seen.v[j].pid == pids[i];
		CHECK(found);
	}
	g->except = leader;
	CHECK_EQ(hf_guard_look(g), 1); /* the orphan is not below it any more */
	hf_relatives_search(leader, 0, "HOLDFAST_HOLDER=nobody", &g->seen);
	CHECK_EQ(hf_relatives_alive(&g->seen), 3);
	hf_relatives_search(
		leader, hf_relative_start(leader), "HOLDFAST_HOLDER=nobody", &g->seen);
	CHECK_EQ(hf_relatives_alive(&g->seen), 3);
	hf_relatives_search(
		leader, hf_relative_start(leader) + 1, "HOLDFAST_HOLDER=nobody", &g->seen);
	CHECK_EQ(hf_relatives_alive(&g->seen), 0);
	g->except = 0;
	kill_all(g);
	CHECK_EQ(hf_guard_look(g), 0);
	free(g);
}

TEST(stops_and_continues_all)
{
	pid_t leader = start_family(false);
	struct hf_guard *g = guard_new(HF_ON_LOST_STOP, leader, 0);

	check_runs(true);
	CHECK_EQ(hf_guard_step(g, HF_LEASE_SUSPECT), HF_GUARD_NOTHING);
	CHECK_EQ(hf_guard_step(g, HF_LEASE_FENCED), HF_GUARD_HAS_FROZEN);
	check_runs(false);
	kill(pids[STRAY], SIGCONT);
	CHECK_EQ(hf_guard_step(g, HF_LEASE_FENCED), HF_GUARD_NOTHING);
	check_runs(false);
	CHECK_EQ(hf_guard_step(g, HF_LEASE_HELD), HF_GUARD_HAS_THAWED);
	check_runs(true);
	CHECK(!g->is_lost);
	kill_all(g);
	free(g);
}

TEST(leaves_stopped_what_the_user_had_stopped)
{
	pid_t leader = start_family(false);
	struct hf_guard *g = guard_new(HF_ON_LOST_STOP, leader, 0);
	uint64_t member, stray;

	kill(-leader, SIGSTOP);
	kill(pids[STRAY], SIGSTOP);
	pause_ms(20);
	g->job_stopped = true;
	hf_guard_step(g, HF_LEASE_FENCED);
	hf_guard_step(g, HF_LEASE_HELD);
	member = counts[MEMBER];
	stray = counts[STRAY];
	uint64_t orphan = counts[ORPHAN];
	while (counts[ORPHAN] == orphan)
		pause_ms(1);
	CHECK_EQ(counts[MEMBER], member);
	CHECK_EQ(counts[STRAY], stray);
	kill_all(g);
	free(g);
}

TEST(ends_them_with_a_grace)
{
	pid_t leader = start_family(true);
	struct hf_guard *g = guard_new(HF_ON_LOST_STOP, leader, 0.1);

	CHECK_EQ(hf_guard_step(g, HF_LEASE_LOST), HF_GUARD_HAS_TERMINATED);
	CHECK(g->is_lost);
	check_runs(true); /* TERM is ignored */
	while (hf_guard_step(g, HF_LEASE_LOST) != HF_GUARD_HAS_KILLED)
		pause_ms(5);
	while (hf_guard_look(g) > 0) {
		CHECK_EQ(hf_guard_step(g, HF_LEASE_LOST), HF_GUARD_NOTHING);
		pause_ms(5);
	}
	reap_all();
	free(g);
}

/* To hear a TERM they would have to run, and write, without a lock. */
TEST(who_is_frozen_never_runs_again_without_a_lock)
{
	pid_t leader = start_family(false);
	struct hf_guard *g = guard_new(HF_ON_LOST_STOP, leader, 60);
	uint64_t before[N_PROCESSES];

	hf_guard_step(g, HF_LEASE_FENCED);
	for (int i = 0; i < N_PROCESSES; i++)
		before[i] = counts[i];
	CHECK_EQ(hf_guard_step(g, HF_LEASE_LOST), HF_GUARD_HAS_CUT_OFF);
	while (hf_guard_look(g) > 0) {
		hf_guard_step(g, HF_LEASE_LOST);
		pause_ms(5);
	}
	for (int i = 0; i < N_PROCESSES; i++)
		CHECK_EQ(counts[i], before[i]);
	CHECK(g->is_lost);
	reap_all();
	free(g);
}

/* The host slept for long: the grace is over before it begins. */
TEST(the_grace_counts_from_the_fence)
{
	pid_t leader = start_family(true);
	struct hf_guard *g = guard_new(HF_ON_LOST_TERM, leader, 60);
	struct hf_lease_page page = {0};

	g->lease = &page;
	atomic_store(&page.base_boot, g->clocks->boot(g->clocks->arg) - 120 * HF_SECOND);
	atomic_store(&page.base_wall, g->clocks->wall(g->clocks->arg) - 120 * HF_SECOND);
	atomic_store(&page.fence, 30 * HF_SECOND);
	CHECK_EQ(hf_guard_step(g, HF_LEASE_FENCED), HF_GUARD_HAS_CUT_OFF);
	while (hf_guard_look(g) > 0) {
		hf_guard_step(g, HF_LEASE_FENCED);
		pause_ms(5);
	}
	reap_all();
	free(g);
}

TEST(does_what_it_is_told_about_a_loss)
{
	pid_t leader = start_family(false);
	struct hf_guard *g = guard_new(HF_ON_LOST_IGNORE, leader, 0.1);

	CHECK_EQ(hf_guard_step(g, HF_LEASE_FENCED), HF_GUARD_HAS_IGNORED);
	CHECK_EQ(hf_guard_step(g, HF_LEASE_FENCED), HF_GUARD_NOTHING);
	CHECK(!g->is_lost);
	CHECK_EQ(hf_guard_step(g, HF_LEASE_LOST), HF_GUARD_HAS_IGNORED);
	CHECK(g->is_lost);
	check_runs(true);
	g->is_lost = false;
	g->on_lost = HF_ON_LOST_TERM;
	CHECK_EQ(hf_guard_step(g, HF_LEASE_FENCED), HF_GUARD_HAS_TERMINATED);
	while (hf_guard_look(g) > 0) {
		hf_guard_step(g, HF_LEASE_LOST);
		pause_ms(5);
	}
	reap_all();
	free(g);
}

TEST(a_number_that_was_given_away_is_not_signalled)
{
	pid_t leader = start_family(false);
	struct hf_guard *g = guard_new(HF_ON_LOST_STOP, leader, 0);

	hf_guard_look(g);
	for (size_t i = 0; i < g->seen.len; i++) {
		struct hf_relative other = g->seen.v[i];

		other.start++;
		CHECK(!hf_relative_signal(&other, SIGKILL));
	}
	check_runs(true);
	kill_all(g);
	free(g);
}
