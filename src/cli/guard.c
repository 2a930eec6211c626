/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/guard.h"

#include <signal.h>
#include <time.h>

/* How often, and how far apart, it is looked whether all stand still. Then the next step goes on. */
enum { FREEZE_ROUNDS = 100, LATER_ROUNDS = 5 };
static const struct timespec freeze_pause = {0, 1000000};

static double
seconds_in_state(const struct hf_guard *g)
{
	return (double)(g->clocks->boot(g->clocks->arg) - g->since) / 1e9;
}

static void
enter(struct hf_guard *g, enum hf_guard_state state)
{
	g->state = state;
	g->since = g->clocks->boot(g->clocks->arg);
}

size_t
hf_guard_look(struct hf_guard *g)
{
	if (g->mark != NULL)
		hf_relatives_search(g->group, g->start, g->mark, &g->seen);
	else
		hf_relatives_find(g->root, g->except, &g->seen);
	return hf_relatives_alive(&g->seen);
}

static void
remember(struct hf_guard *g, const struct hf_relative *r)
{
	for (size_t i = 0; i < g->frozen.len; i++)
		if (g->frozen.v[i].pid == r->pid && g->frozen.v[i].start == r->start)
			return;
	if (g->frozen.len < HF_RELATIVES_MAX)
		g->frozen.v[g->frozen.len++] = *r;
}

void
hf_guard_freeze(struct hf_guard *g)
{
	int rounds = g->state == HF_GUARD_FROZEN ? LATER_ROUNDS : FREEZE_ROUNDS;

	if (g->group <= 0)
		return;
	if (g->state != HF_GUARD_FROZEN)
		g->frozen.len = 0;
	if (g->mark == NULL)
		kill(-g->group, SIGSTOP); /* most of them, at one stroke */
	/* One in a sleep that nothing interrupts does not stop; it does nothing either. */
	for (int round = 0; round < rounds; round++) {
		bool are_awake = false;

		if (round > 0)
			nanosleep(&freeze_pause, NULL);
		hf_guard_look(g);
		for (size_t i = 0; i < g->seen.len; i++) {
			const struct hf_relative *r = &g->seen.v[i];

			if (!r->is_awake)
				continue;
			/* What was stopped before stays stopped afterwards. */
			if (r->group != g->group)
				remember(g, r);
			are_awake |= hf_relative_signal(r, SIGSTOP);
		}
		if (!are_awake)
			break;
	}
	if (g->state == HF_GUARD_RUNNING)
		enter(g, HF_GUARD_FROZEN);
}

void
hf_guard_thaw(struct hf_guard *g)
{
	if (g->state != HF_GUARD_FROZEN)
		return;
	for (size_t i = 0; i < g->frozen.len; i++)
		hf_relative_signal(&g->frozen.v[i], SIGCONT);
	if (!g->job_stopped)
		kill(-g->group, SIGCONT);
	g->frozen.len = 0;
	enter(g, HF_GUARD_RUNNING);
}

void
hf_guard_signal(struct hf_guard *g, int sig)
{
	/* Below a dead front the group may be gone, and its number somebody else's. */
	if (g->group > 0 && g->mark == NULL)
		kill(-g->group, sig);
	hf_guard_look(g);
	for (size_t i = 0; i < g->seen.len; i++)
		if (!g->seen.v[i].is_zombie &&
			(g->mark != NULL || g->seen.v[i].group != g->group))
			hf_relative_signal(&g->seen.v[i], sig);
}

void
hf_guard_end(struct hf_guard *g)
{
	if (g->state == HF_GUARD_ENDING || g->state == HF_GUARD_KILLED)
		return;
	enter(g, HF_GUARD_ENDING);
	hf_guard_signal(g, SIGTERM);
	hf_guard_signal(g, SIGCONT);
}

static enum hf_guard_event
cut_off(struct hf_guard *g)
{
	g->is_lost = true;
	hf_guard_end(g);
	return HF_GUARD_HAS_TERMINATED;
}

static enum hf_guard_event
step_frozen(struct hf_guard *g, enum hf_lease_state lease)
{
	if (lease == HF_LEASE_LOST || seconds_in_state(g) > g->stop_timeout_s)
		return cut_off(g);
	if (lease == HF_LEASE_FENCED || lease == HF_LEASE_NONE) {
		hf_guard_freeze(g); /* somebody may have continued one of them */
		return HF_GUARD_NOTHING;
	}
	hf_guard_thaw(g);
	return HF_GUARD_HAS_THAWED;
}

static enum hf_guard_event
step_running(struct hf_guard *g, enum hf_lease_state lease)
{
	if (lease != HF_LEASE_FENCED && lease != HF_LEASE_LOST) {
		g->has_reported = false;
		return HF_GUARD_NOTHING;
	}
	if (g->on_lost == HF_ON_LOST_IGNORE) {
		bool is_new = !g->has_reported || (lease == HF_LEASE_LOST && !g->is_lost);

		g->is_lost |= lease == HF_LEASE_LOST;
		g->has_reported = true;
		return is_new ? HF_GUARD_HAS_IGNORED : HF_GUARD_NOTHING;
	}
	if (g->on_lost == HF_ON_LOST_TERM || lease == HF_LEASE_LOST)
		return cut_off(g);
	hf_guard_freeze(g);
	return HF_GUARD_HAS_FROZEN;
}

enum hf_guard_event
hf_guard_step(struct hf_guard *g, enum hf_lease_state lease)
{
	if (lease == HF_LEASE_LOST)
		g->is_lost |= g->state != HF_GUARD_RUNNING;
	switch (g->state) {
	case HF_GUARD_RUNNING:
		return step_running(g, lease);
	case HF_GUARD_FROZEN:
		return step_frozen(g, lease);
	case HF_GUARD_ENDING:
		if (seconds_in_state(g) < g->grace_s)
			return HF_GUARD_NOTHING;
		enter(g, HF_GUARD_KILLED);
		hf_guard_signal(g, SIGKILL);
		return HF_GUARD_HAS_KILLED;
	case HF_GUARD_KILLED:
		hf_guard_signal(g, SIGKILL); /* those that were born meanwhile */
		return HF_GUARD_NOTHING;
	}
	return HF_GUARD_NOTHING;
}
