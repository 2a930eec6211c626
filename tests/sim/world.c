/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>

struct world world;

/* ---- dice ---- */

static uint64_t
next_number(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t
dice(void)
{
	return next_number(&world.dice);
}

int64_t
dice_below(int64_t n)
{
	return n < 1 ? 0 : (int64_t)(dice() % (uint64_t)n);
}

int64_t
dice_in(int64_t low, int64_t high)
{
	return low + dice_below(high - low + 1);
}

bool
dice_say(unsigned permille)
{
	return permille > 0 && dice() % 1000 < permille;
}

/* ---- telling ---- */

struct actor *
world_self(void)
{
	return world.running != NULL ? world.running->actor : NULL;
}

__attribute__((format(printf, 1, 0))) static void
print_line(const char *fmt, va_list args)
{
	const struct actor *a = world_self();

	printf("# %10.3f %-8s ", (double)world.now / 1e9, a != NULL ? a->name : "-");
	vprintf(fmt, args);
	putchar('\n');
}

void
world_trace(const char *fmt, ...)
{
	va_list args;

	if (world_self() != NULL && world_self()->is_dead)
		return;
	va_start(args, fmt);
	print_line(fmt, args);
	va_end(args);
}

void
world_fail(const char *fmt, ...)
{
	va_list args;

	if (world.failure[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(world.failure, sizeof world.failure, fmt, args);
	va_end(args);
	TRACE("FAILURE: %s", world.failure);
}

/* ---- clocks ---- */

static int64_t
drifted(const struct host *h, int64_t ns)
{
	return ns + (int64_t)((double)ns * h->ppm / 1e6);
}

int64_t
host_boot(const struct host *h, int64_t when)
{
	return h->boot_zero + drifted(h, when - h->paused);
}

int64_t
host_awake(const struct host *h, int64_t when)
{
	return h->boot_zero + drifted(h, when - h->paused - h->slept);
}

int64_t
host_wall(const struct host *h, int64_t when)
{
	return h->wall_zero + drifted(h, when);
}

static int64_t
life_after(void)
{
	const struct actor *a = world_self();

	return a != NULL && a->is_dead ? a->after_life : 0;
}

static int64_t
clock_boot(void *arg)
{
	return host_boot(arg, world.now) + life_after();
}

static int64_t
clock_awake(void *arg)
{
	return host_awake(arg, world.now) + life_after();
}

static int64_t
clock_wall(void *arg)
{
	return host_wall(arg, world.now) + life_after();
}

/*
 * A program that waits for a second at a time, over and over, would be most of what happens. Who
 * has waited some times in a row wakes up later and later, as on a host that has much to do.
 */
static int64_t
lateness(struct task *t)
{
	int64_t most = (int64_t)t->actor->late_s * HF_SECOND;
	int64_t now;

	if (most == 0 || t->idle++ < 3)
		return 0;
	now = HF_SECOND / 10 << (t->idle < 12 ? t->idle - 3 : 9);
	return dice_below(now < most ? now : most);
}

static void
clock_wait(void *arg, struct hf_bell *bell, int64_t until)
{
	struct task *t = world.running;
	int64_t left = until - clock_boot(arg);

	if (left <= 0)
		return;
	if (t->actor->is_dead) {
		t->actor->after_life += left;
		return;
	}
	if (bell->is_rung)
		left = 0;
	t->wake = world.now + left + lateness(t);
	t->by_clock = true;
	t->bell = bell;
	fiber_leave();
	t->by_clock = false;
	t->bell = NULL;
}

uint64_t
world_random(void)
{
	return next_number(&world.names);
}

static uint64_t
clock_random(void *arg)
{
	(void)arg;
	return world_random();
}

/* ---- making ---- */

void
world_begin(uint64_t seed)
{
	struct world next = {
		.seed = seed,
		.scenario = world.scenario,
		.mutation = world.mutation,
		.traces = world.traces,
	};

	for (unsigned i = 0; i < MAX_ACTORS; i++) {
		next.actors[i].repo = world.actors[i].repo;
		hf_watch_free(world.actors[i].watch);
	}
	for (unsigned i = 0; i < world.n_claims; i++)
		free(world.claims[i]);
	for (unsigned i = 0; i < world.n_events; i++)
		free(world.events[i].data);
	world = next;
	world.dice = seed * UINT64_C(0xd1342543de82ef95) + 1;
	for (const char *p = world.scenario; *p != '\0'; p++)
		world.dice = world.dice * 257 + (unsigned char)*p;
	world.names = ~world.dice;
	world.now = HF_SECOND;
	world.limit = 6 * 60 * MINUTE;
	world.max_steps = 1000000;
	world.lists_at_once = true;
	world.within_s = 30;
}

static void
name_boot(struct host *h)
{
	snprintf(h->boot, sizeof h->boot, "%016llx",
		(unsigned long long)next_number(&world.names));
}

struct host *
world_host(void)
{
	struct host *h = &world.hosts[world.n_hosts++];

	*h = (struct host){
		.boot_zero = dice_below(100 * 60 * MINUTE),
		.wall_zero = INT64_C(1790000000) * HF_SECOND,
		.clocks = {clock_boot, clock_awake, clock_wall, clock_wait, clock_random, h},
	};
	name_boot(h);
	return h;
}

struct actor *
world_actor(const char *name, struct host *h, void (*main)(struct actor *), const void *plan)
{
	struct actor *a = &world.actors[world.n_actors];

	*a = (struct actor){
		.index = world.n_actors,
		.name = name,
		.host = h,
		.repo = a->repo,
		.pid = 1 + world.n_actors,
		.main = main,
		.plan = plan,
		.late_s = 5,
	};
	world.n_actors++;
	a->watch = hf_watch_new(NULL, &hf_repo_config(a->repo)->id, &h->clocks);
	return a;
}

struct task *
world_task(struct actor *a, void (*fn)(void *))
{
	struct task *t = NULL;

	for (unsigned i = 0; i < world.n_tasks && t == NULL; i++)
		if (world.tasks[i].fiber == NULL)
			t = &world.tasks[i];
	if (t == NULL) {
		if (world.n_tasks == MAX_TASKS)
			abort();
		t = &world.tasks[world.n_tasks++];
	}
	*t = (struct task){.actor = a, .wake = world.now};
	t->fiber = fiber_new(fn, t);
	return t;
}

static void
run_main(void *arg)
{
	struct task *t = arg;

	t->actor->main(t->actor);
	t->actor->is_done = true;
}

void
world_start(void)
{
	for (unsigned i = 0; i < world.n_actors; i++) {
		struct actor *a = &world.actors[i];

		if (a->is_started)
			continue;
		a->is_started = true;
		world_task(a, run_main);
	}
}

/* ---- time ---- */

struct event *
world_at(int64_t when, void (*fn)(struct event *ev), struct actor *a)
{
	struct event *ev = &world.events[world.n_events];

	if (world.n_events == MAX_EVENTS)
		abort();
	world.n_events++;
	*ev = (struct event){
		.at = when, .fn = fn, .actor = a, .host = a != NULL ? a->host : NULL};
	return ev;
}

void
world_until(int64_t true_time)
{
	struct task *t = world.running;

	if (t->actor->is_dead)
		return;
	t->wake = true_time;
	t->idle = 0;
	fiber_leave();
}

void
world_sleep(int64_t ns)
{
	world_until(world.now + ns);
}

static void
die(struct event *ev)
{
	TRACE("%s is killed", ev->actor->name);
	actor_kill(ev->actor);
}

static void
freeze(struct event *ev)
{
	if (ev->host->is_virtual && dice_say(500))
		host_pause(ev->host, ev->amount);
	else
		host_suspend(ev->host, ev->amount);
}

void
world_point(void)
{
	struct actor *a = world_self();

	if (a->is_dead)
		return;
	if (a->crashes_in > 0 && --a->crashes_in == 0) {
		world_at(world.now, die, a);
		world_until(NEVER);
	} else if (a->freezes_in > 0 && --a->freezes_in == 0) {
		world_at(world.now, freeze, a)->amount = a->freezes_for;
		world_until(world.now + 1);
	}
}

/* ---- fates ---- */

static void
enter(struct task *t)
{
	world.running = t;
	if (fiber_enter(t->fiber))
		t->fiber = NULL;
	world.running = NULL;
}

void
actor_kill(struct actor *a)
{
	bool any = true;

	if (a->is_dead)
		return;
	a->is_dead = true;
	hf_stop_set(&a->stop);
	/* They run to their ends without any effect, so that all memory is given back. */
	while (any) {
		any = false;
		for (unsigned i = 0; i < world.n_tasks; i++) {
			struct task *t = &world.tasks[i];

			if (t->fiber == NULL || t->actor != a)
				continue;
			enter(t);
			any = true;
		}
	}
}

static void
freeze_until(struct host *h, int64_t until, int64_t ns)
{
	h->frozen_until = until;
	for (unsigned i = 0; i < world.n_tasks; i++) {
		struct task *t = &world.tasks[i];

		if (t->fiber != NULL && t->actor->host == h && t->by_clock && t->wake != NEVER)
			t->wake += ns;
	}
}

void
host_suspend(struct host *h, int64_t ns)
{
	if (h->frozen_until > world.now)
		return;
	TRACE("host of boot %.4s is suspended for %.0f s", h->boot, (double)ns / 1e9);
	h->slept += ns;
	freeze_until(h, world.now + ns, ns);
}

void
host_pause(struct host *h, int64_t ns)
{
	if (h->frozen_until > world.now)
		return;
	TRACE("virtual host of boot %.4s is paused for %.0f s", h->boot, (double)ns / 1e9);
	h->paused += ns;
	freeze_until(h, world.now + ns, ns);
}

void
host_reboot(struct host *h)
{
	TRACE("host of boot %.4s starts anew", h->boot);
	for (unsigned i = 0; i < world.n_actors; i++)
		if (world.actors[i].host == h)
			actor_kill(&world.actors[i]);
	name_boot(h);
}

/* ---- the scheduler ---- */

/* A thread wakes its neighbour by ringing a bell, which makes no noise here. */
static void
hear_bells(const struct actor *a)
{
	for (unsigned i = 0; i < world.n_tasks; i++) {
		struct task *t = &world.tasks[i];

		if (t->fiber != NULL && t->actor == a && t->bell != NULL && t->bell->is_rung &&
			t->wake > world.now)
			t->wake = world.now;
	}
}

struct choice {
	int64_t at;
	unsigned n; /* how many at that moment */
	int index;  /* of the task, or of the event behind them */
};

static void
consider(struct choice *c, int64_t at, int index)
{
	if (at > c->at)
		return;
	c->n = at < c->at ? 1 : c->n + 1;
	c->at = at;
	if (c->n == 1 || dice_below(c->n) == 0)
		c->index = index;
}

static struct choice
choose(void)
{
	struct choice c = {NEVER - 1, 0, -1};

	for (unsigned i = 0; i < world.n_tasks; i++) {
		const struct task *t = &world.tasks[i];
		int64_t at = t->wake, thaw;

		if (t->fiber == NULL)
			continue;
		thaw = t->actor->host->frozen_until;
		if (at < thaw)
			at = thaw;
		consider(&c, at > world.now ? at : world.now, (int)i);
	}
	for (unsigned i = 0; i < world.n_events; i++)
		consider(&c, world.events[i].at, (int)(MAX_TASKS + i));
	return c;
}

static bool
is_anybody_left(void)
{
	for (unsigned i = 0; i < world.n_tasks; i++)
		if (world.tasks[i].fiber != NULL)
			return true;
	return false;
}

static void
happen(int index)
{
	struct event ev = world.events[index];

	world.events[index] = world.events[--world.n_events];
	ev.fn(&ev);
	free(ev.data);
}

void
world_run(void)
{
	while (world.failure[0] == '\0' && is_anybody_left()) {
		struct choice c = choose();

		if (c.index < 0) {
			world_fail("I7: everybody waits, and nothing will happen");
			break;
		}
		world.now = c.at > world.now ? c.at : world.now;
		if (world.now > world.limit || ++world.steps > world.max_steps) {
			world_fail("I7: no end after %.0f minutes and %llu steps",
				(double)world.now / (double)MINUTE,
				(unsigned long long)world.steps);
			break;
		}
		if (c.index >= MAX_TASKS) {
			happen(c.index - MAX_TASKS);
			continue;
		}
		struct actor *a = world.tasks[c.index].actor;
		enter(&world.tasks[c.index]);
		hear_bells(a);
	}
	if (world.failure[0] != '\0')
		for (unsigned i = 0; i < world.n_actors; i++)
			actor_kill(&world.actors[i]);
}
