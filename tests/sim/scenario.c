/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/scenario.h"

#include "sim/cast.h"
#include "sim/seams.h"

static struct plan plans[MAX_ACTORS];

/* ---- words ---- */

static struct plan *
add(const char *name, struct host *h, void (*main)(struct actor *))
{
	struct plan *p = &plans[world.n_actors];

	*p = (struct plan){.rounds = 1};
	struct actor *a = world_actor(name, h, main, p);
	static const unsigned lates[] = {0, 2, 5, 15, 15, 15};
	a->late_s = lates[dice_below(6)];
	return p;
}

static const char *const letters[] = {"A", "B", "C", "D", "E", "F", "G", "H"};

static struct plan *
add_holder(struct host *h, bool is_exclusive)
{
	struct plan *p = add(letters[world.n_actors], h, holder_main);

	p->is_exclusive = is_exclusive;
	return p;
}

static struct actor *
last(void)
{
	return &world.actors[world.n_actors - 1];
}

static bool
one_in(int n)
{
	return dice_below(n) == 0;
}

/*
 * No two dice are thrown in one expression: compilers differ about which comes first, and a seed is
 * to be the same schedule everywhere. Most hosts have one actor; some share the
 * kernel, so that the dead are known.
 */
static struct host *
some_host(void)
{
	if (world.n_hosts > 0 && one_in(4))
		return &world.hosts[dice_below(world.n_hosts)];
	return world_host();
}

static void
set_apart(struct host *h, int64_t most)
{
	h->wall_zero += dice_in(-most, most);
	h->ppm = (double)dice_in(-200, 200);
	h->is_virtual = one_in(3);
}

static void
calm_weather(void)
{
	static const int64_t delays[] = {0, HF_SECOND / 100, HF_SECOND / 20};

	world.delay = delays[dice_below(3)];
	world.is_calm = true;
}

static void
rough_weather(void)
{
	static const int64_t delays[] = {
		0, HF_SECOND / 20, HF_SECOND / 2, 2 * HF_SECOND, 15 * HF_SECOND};

	world.delay = delays[dice_below(5)];
	world.fails = one_in(2) ? 0 : (unsigned)dice_below(80);
	world.loses = one_in(2) ? 0 : (unsigned)dice_below(60);
	world.lates = one_in(2) ? 0 : (unsigned)dice_below(60);
}

/* ---- disturbances ---- */

static void
do_suspend(struct event *ev)
{
	host_suspend(ev->host, ev->amount);
}

static void
do_pause(struct event *ev)
{
	host_pause(ev->host, ev->amount);
}

static void
do_step(struct event *ev)
{
	TRACE("wall clock of boot %.4s steps by %.0f s", ev->host->boot,
		(double)ev->amount / 1e9);
	ev->host->wall_zero += ev->amount;
}

static void
do_cut(struct event *ev)
{
	TRACE("host of boot %.4s is cut off for %.0f s", ev->host->boot,
		(double)ev->amount / 1e9);
	ev->host->cut_until = world.now + ev->amount;
}

static void
do_reboot(struct event *ev)
{
	host_reboot(ev->host);
}

static void
do_kill(struct event *ev)
{
	actor_kill(ev->actor);
}

static int64_t
some_time(void)
{
	static const int64_t times[] = {HF_SECOND, 10 * HF_SECOND, 2 * MINUTE, 14 * MINUTE,
		16 * MINUTE, 25 * MINUTE, 50 * MINUTE};

	return dice_below(times[dice_below(7)]) + 1;
}

/*
 * One thing happens to the host of `a` within the next `span`. Either its clocks are stepped or it
 * is a virtual machine that is paused: after both, nobody there could know how much time went by.
 */
static void
disturb(struct actor *a, int64_t span)
{
	bool is_virtual = a->host->is_virtual;
	int64_t at = world.now + dice_below(span), amount = some_time();
	void (*what)(struct event *) = do_cut;

	switch (dice_below(4)) {
	case 0:
		what = do_suspend;
		break;
	case 1:
		what = is_virtual ? do_pause : do_suspend;
		break;
	case 2:
		if (!is_virtual) {
			what = do_step;
			amount = one_in(2) ? amount : -amount;
		}
		break;
	default:
		break;
	}
	world_at(at, what, a)->amount = amount;
}

static void
disturb_some(struct actor *a, int64_t span, unsigned most)
{
	unsigned n = (unsigned)dice_below(most + 1);

	for (unsigned i = 0; i < n; i++)
		disturb(a, span);
	if (one_in(4)) {
		a->freezes_in = 1 + (unsigned)dice_below(60);
		a->freezes_for = some_time();
	}
}

/* ---- race ---- */

static void
set_race(void)
{
	unsigned n = 2 + (unsigned)dice_below(4);

	calm_weather();
	for (unsigned i = 0; i < n; i++) {
		bool is_exclusive = one_in(2), is_first = one_in(3);
		struct plan *p = add_holder(some_host(), is_exclusive);

		p->start = is_first ? 0 : dice_below(HF_SECOND / 5);
		p->role = one_in(3) ? "prune" : "backup";
		p->rounds = 3;
		p->hold = 20 * HF_SECOND;
		p->is_barrier = true;
		last()->late_s = 0;
	}
}

static void
check_race(void)
{
	for (unsigned i = 0; i < world.n_actors; i++)
		if (world.actors[i].n_held > 0)
			return;
	world_fail("I6: of %u who wanted the lock at the same time, nobody got it in 3 rounds",
		world.n_actors);
}

/* ---- queue ---- */

static void
set_queue(void)
{
	unsigned n = 2 + (unsigned)dice_below(3), waiters = one_in(4) ? 2 : 1;

	calm_weather();
	for (unsigned i = 0; i < waiters; i++) {
		struct plan *p = add_holder(world_host(), true);

		set_apart(world.actors[i].host, 2 * HF_SECOND);
		p->start = 20 * HF_SECOND + dice_below(20 * HF_SECOND);
		p->wait_s = (double)dice_in(400, 900);
		p->claims_early = one_in(3);
		p->hold = 10 * HF_SECOND;
	}
	for (unsigned i = 0; i < n; i++) {
		struct plan *p = add_holder(some_host(), false);

		set_apart(last()->host, 2 * HF_SECOND);
		p->start = dice_below(10 * HF_SECOND);
		p->hold = 50 * HF_SECOND;
		p->pause = HF_SECOND + dice_below(9 * HF_SECOND);
		p->until = &world.actors[waiters - 1];
	}
}

static void
check_queue(void)
{
	for (unsigned i = 0; i < world.n_actors; i++) {
		const struct plan *p = world.actors[i].plan;

		if (p->is_exclusive && world.actors[i].n_held == 0)
			world_fail("I6: %s has waited %.0f s for an exclusive lock in vain",
				world.actors[i].name, p->wait_s);
	}
}

/* ---- refresh, remover ---- */

static void
add_long_holders(unsigned n, int64_t hold)
{
	for (unsigned i = 0; i < n; i++) {
		bool is_exclusive = one_in(3);
		struct plan *p = add_holder(some_host(), is_exclusive);

		set_apart(last()->host, MINUTE);
		p->start = dice_below(2 * MINUTE);
		p->hold = hold;
		p->changes = 4;
		p->rounds = 1 + (unsigned)dice_below(2);
		p->tries = 3;
		p->pause = MINUTE;
		p->wait_s = one_in(2) ? 0 : (double)dice_below(120);
		p->claims_early = one_in(4);
	}
}

static void
set_refresh(void)
{
	rough_weather();
	add_long_holders(2 + (unsigned)dice_below(3), 7 * MINUTE);
}

static void
set_remover(void)
{
	struct plan *p;

	set_refresh();
	p = add("remover", world_host(), remover_main);
	p->start = 5 * MINUTE;
	p->removals = 1 + (unsigned)dice_below(4);
	p->pause = 2 * MINUTE;
}

/* ---- fence ---- */

static void
set_fence(void)
{
	unsigned rivals = 1 + (unsigned)dice_below(2);
	bool is_exclusive = one_in(2);
	struct plan *p = add_holder(world_host(), is_exclusive);

	rough_weather();
	set_apart(world.actors[0].host, 5 * MINUTE);
	p->hold = 40 * MINUTE;
	p->changes = 12;
	disturb_some(&world.actors[0], 20 * MINUTE, 3);
	for (unsigned i = 0; i < rivals; i++) {
		is_exclusive = i == 0 || one_in(2);
		p = add_holder(world_host(), is_exclusive);
		set_apart(last()->host, 5 * MINUTE);
		p->start = dice_below(10 * MINUTE);
		p->wait_s = 40 * 60;
		p->hold = 5 * MINUTE;
		p->changes = 4;
		if (one_in(3))
			disturb_some(last(), 30 * MINUTE, 1);
	}
}

/* ---- stale ---- */

static void
set_stale(void)
{
	unsigned waiters = 1 + (unsigned)dice_below(2);
	unsigned dead = 1 + (unsigned)dice_below(2);

	rough_weather();
	for (unsigned i = 0; i < dead; i++) {
		bool is_exclusive = dead == 1 && one_in(2);
		struct plan *p = add_holder(some_host(), is_exclusive);

		set_apart(last()->host, 5 * MINUTE);
		p->hold = 20 * MINUTE;
		p->changes = 3;
		if (one_in(3)) {
			last()->crashes_in = 1 + (unsigned)dice_below(60);
			continue;
		}
		static void (*const whats[])(struct event *) = {
			do_kill, do_kill, do_reboot, do_cut};
		int64_t amount = 10 * MINUTE + some_time();
		int64_t at = world.now + dice_below(10 * MINUTE);
		world_at(at, whats[dice_below(4)], last())->amount = amount;
	}
	for (unsigned i = 0; i < waiters; i++) {
		struct plan *p = add_holder(some_host(), i == 0);

		set_apart(last()->host, 5 * MINUTE);
		p->start = dice_below(5 * MINUTE);
		p->wait_s = 60 * 60;
		p->hold = MINUTE;
		p->changes = 2;
	}
}

/* ---- restic ---- */

static void
set_restic(void)
{
	unsigned n = 1 + (unsigned)dice_below(2);

	rough_weather();
	add_long_holders(1 + (unsigned)dice_below(2), 12 * MINUTE);
	if (one_in(3))
		disturb_some(&world.actors[0], 10 * MINUTE, 1);
	for (unsigned i = 0; i < n; i++) {
		struct plan *p = add("restic", some_host(), restic_main);

		set_apart(last()->host, 5 * MINUTE);
		p->is_exclusive = one_in(2);
		p->start = dice_below(3 * MINUTE);
		p->hold = 12 * MINUTE;
		p->rounds = 3;
		p->pause = MINUTE;
		if (one_in(4))
			last()->crashes_in = 1 + (unsigned)dice_below(60);
	}
	if (one_in(2)) {
		struct plan *p = add("unlock", world_host(), restic_main);

		set_apart(last()->host, 5 * MINUTE);
		p->unlocks = true;
		p->rounds = 8;
		p->pause = 8 * MINUTE;
	}
}

/* ---- lag ---- */

/* The time that a listing lags is less than the lease takes to settle. */
static void
set_lag(void)
{
	static const int64_t delays[] = {0, HF_SECOND / 20, HF_SECOND / 2};

	world.delay = delays[dice_below(3)];
	world.lists_at_once = false;
	world.lag = 1 + dice_below(hf_ns(hf_lease_pace.settle));
	add_long_holders(2 + (unsigned)dice_below(2), 7 * MINUTE);
}

static void
check_lag(void)
{
	for (unsigned i = 0; i < world.n_actors; i++)
		if (world.actors[i].n_lost > 0)
			world_fail("I6: %s has lost its lock, which nobody touched",
				world.actors[i].name);
}

/* ---- commit ---- */

static void
set_commit(void)
{
	static const char *const names[] = {"backup1", "backup2", "prune1", "prune2"};
	unsigned backups = 1 + (unsigned)dice_below(2);
	unsigned prunes = 1 + (unsigned)one_in(4);
	struct plan *p;

	rough_weather();
	if (world.delay > 2 * HF_SECOND)
		world.delay = 2 * HF_SECOND;
	world.zombies = one_in(2) ? 30 : 0;
	for (unsigned i = 0; i < backups + prunes; i++) {
		bool is_prune = i >= backups;

		p = add(names[i < backups ? i : 2 + i - backups], some_host(),
			is_prune ? prune_main : backup_main);
		p->role = is_prune ? "prune" : "backup";
		p->start = dice_below(20 * HF_SECOND);
		p->wait_s = 90 * 60;
		p->hold = one_in(2) ? 0 : 10 * HF_SECOND;
		p->rounds = is_prune ? 2 : 1;
		p->pause = 10 * HF_SECOND;
		if (one_in(6))
			last()->crashes_in = 1 + (unsigned)dice_below(150);
		if (one_in(6)) {
			last()->freezes_in = 1 + (unsigned)dice_below(150);
			last()->freezes_for = some_time();
		}
	}
	p = add("remover", world_host(), remover_main);
	p->start = 30 * HF_SECOND;
	p->removals = (unsigned)dice_below(5);
	p->pause = 20 * HF_SECOND;
	commit_begin();
}

/* ---- all at once ---- */

static void
set_chaos(void)
{
	struct plan *p;

	set_refresh();
	if (one_in(4)) {
		world.lists_at_once = false;
		world.lag = 1 + dice_below(hf_ns(hf_lease_pace.settle));
	}
	for (unsigned i = 0; i < world.n_actors; i++) {
		if (one_in(3))
			disturb_some(&world.actors[i], 10 * MINUTE, 2);
		if (one_in(5))
			world.actors[i].crashes_in = 1 + (unsigned)dice_below(150);
	}
	/* It waits for 200 ms before it looks again, whatever the store promises. */
	if (world.lists_at_once) {
		p = add("restic", some_host(), restic_main);
		p->is_exclusive = one_in(2);
		p->start = dice_below(3 * MINUTE);
		p->hold = 8 * MINUTE;
		p->pause = MINUTE;
	}
	p = add("remover", world_host(), remover_main);
	p->start = 5 * MINUTE;
	p->removals = (unsigned)dice_below(3);
	p->pause = 2 * MINUTE;
}

/* ---- the lists ---- */

const struct scenario scenarios[] = {
	{"race", "several want the lock at the same moment", set_race, check_race, false, 250},
	{"queue", "exclusive waits while shared come and go", set_queue, check_queue, false,
		40},
	{"refresh", "holders in bad weather", set_refresh, NULL, true, 150},
	{"remover", "somebody removes any lock at any time", set_remover, NULL, true, 190},
	{"fence", "sleep, pauses, stepped clocks, a network that is cut", set_fence, NULL, true,
		70},
	{"stale", "the dead, the cut off, and who waits for them", set_stale, NULL, true, 70},
	{"restic", "restic beside us, and its unlock", set_restic, NULL, true, 70},
	{"lag", "listings that do not show what is young", set_lag, check_lag, false, 50},
	{"commit", "backups and prunes, and somebody who removes locks", set_commit,
		commit_check, true, 80},
	{"chaos", "all of it at once", set_chaos, NULL, true, 30},
};
const unsigned n_scenarios = sizeof scenarios / sizeof scenarios[0];

const struct mutant mutants[] = {
	{MUT_BLIND_REFRESH, "blind-refresh", "remover", "I3", 2000},
	{MUT_HALF_REFRESH, "half-refresh", "remover", "I3", 20000},
	{MUT_ACKNOWLEDGED, "lease-from-the-answer", "fence", "I2", 2000},
	{MUT_OPEN_GATE, "open-gate", "fence", "I2", 2000},
	{MUT_NO_SECOND_LOOK, "no-second-look", "race", "I1", 2000},
	{MUT_NO_RELIST, "no-look-after-removal", "fence", "I1", 20000},
	{MUT_HASTY_PROOF, "hasty-proof", "fence", "I7", 2000},
	{MUT_ONE_CLOCK, "one-clock", "fence", "I7", 2000},
	{MUT_FORGETS, "forgets-files", "refresh", "I5", 2000},
	{MUT_NO_TICKETS, "no-tickets", "race", "I6", 2000},
	{MUT_NO_INTENT, "no-intent", "queue", "I6", 2000},
	{MUT_NO_VALIDATION, "no-validation", "commit", "I4", 2000},
	{MUT_EARLY_LOOK, "looks-before-commit", "commit", "I4", 20000},
	{MUT_TRUSTS_PACKS, "trusts-old-packs", "commit", "I4", 20000},
	{MUT_LATER_CHAIN, "confirms-by-later-lock", "commit", "I4", 20000},
	{MUT_RASH_PRUNE, "rash-prune", "commit", "I4", 20000},
};
const unsigned n_mutants = sizeof mutants / sizeof mutants[0];

/* ---- one run ---- */

/* Of somebody who waited, by a clock that was ahead: it is in nobody's way yet. */
static bool
is_harmless(const struct depot_file *f)
{
	hf_auto(hf_lock_info) info = {0};
	hf_autoptr(hf_err) e = hf_lock_load(world.actors[0].repo, &f->name.id, &info);

	return e == NULL && (info.wants_exclusive || info.is_claim);
}

/*
 * What lay around in the end, of the dead and of puts that came too late, is no obstacle: the next
 * who wants the lock gets it, and then nothing is left.
 */
static void
heal(void)
{
	if (depot_nth(HF_LOCK, 0) == NULL)
		return;
	struct depot_file *f;
	world.fails = world.loses = world.lates = 0;
	world.delay = 0;
	world.limit = world.now + 6 * 60 * MINUTE;
	struct plan *p = add("healer", world_host(), holder_main);

	p->is_exclusive = true;
	p->wait_s = 90 * 60;
	last()->late_s = 15;
	world_start();
	world_run();
	if (last()->n_held == 0)
		world_fail("I5: the locks that were left over keep others out");
	for (unsigned i = 0; (f = depot_nth(HF_LOCK, i)) != NULL; i++)
		if (!is_harmless(f))
			world_fail("I5: nobody removes lock %.6s", hf_id_hex(&f->name.id).s);
}

bool
scenario_run(const struct scenario *s, uint64_t seed)
{
	world.scenario = s->name;
	world_begin(seed);
	seams_begin();
	depot_begin();
	oracle_data_deleted = NULL;
	s->set();
	depot_promise();
	world_start();
	world_run();
	if (world.failure[0] == '\0' && s->check != NULL)
		s->check();
	oracle_data_deleted = NULL;
	if (world.failure[0] == '\0' && s->heals && world.mutation == MUT_NONE &&
		world.n_actors < MAX_ACTORS)
		heal();
	return world.failure[0] == '\0';
}
