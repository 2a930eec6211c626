/* SPDX-License-Identifier: BSD-2-Clause */
/* One of us: takes a lease, changes something under it, gives it back. */
#include "sim/cast.h"

uint64_t claim_events[HF_LEASE_EVENTS];

static void
on_event(void *arg, const struct hf_lease_event *ev)
{
	struct claim *c = arg;

	TRACE("  %s %.6s%s%s", hf_lease_event_text(ev->kind), hf_id_hex(&ev->id).s,
		ev->reason != NULL ? " " : "", ev->reason != NULL ? ev->reason : "");
	claim_events[ev->kind] += !c->actor->is_dead;
	if (ev->kind == HF_LEASE_EV_LOST)
		c->actor->n_lost++;
}

struct claim *
claim_new(struct actor *a, bool is_exclusive)
{
	struct claim *c = hf_new(struct claim);

	if (world.n_claims == MAX_CLAIMS)
		abort();
	world.claims[world.n_claims++] = c;
	c->actor = a;
	c->is_exclusive = is_exclusive;
	world.running->claim = c;
	return c;
}

static struct hf_gate open_gate;

static struct hf_err *
pass_all(struct hf_gate *gate, const struct hf_change *change)
{
	(void)gate;
	(void)change;
	return NULL;
}

struct hf_err *
claim_take(struct actor *a, bool is_exclusive, const struct plan *p, struct claim **out)
{
	struct claim *c = *out = claim_new(a, is_exclusive);
	struct hf_lease_options o = {
		.mode = is_exclusive ? HF_LOCK_EXCLUSIVE : HF_LOCK_SHARED,
		.role = p->role != NULL ? p->role : "test",
		.wait_s = p->wait_s,
		.claims_early = p->claims_early,
		.clocks = &a->host->clocks,
		.page = &c->page,
		.watch = a->watch,
		.stop = &a->stop,
		.on_event = on_event,
		.arg = c,
	};

	/* A process of its own, but for a backup that begins again. */
	if (a->claim == NULL)
		a->pid = 1000 + (int64_t)world.n_claims;
	struct hf_err *e = hf_lease_acquire(a->repo, &o, &c->lease);

	if (e != NULL) {
		a->n_failed++;
		TRACE("no lock: %.60s", hf_err_text(e));
		oracle_over(c);
		return e;
	}
	a->n_held++;
	a->claim = c;
	open_gate.pass = pass_all;
	hf_store_set_gate(hf_repo_store(a->repo),
		world.mutation == MUT_OPEN_GATE ? &open_gate : hf_lease_gate(c->lease));
	return NULL;
}

struct hf_err *
claim_give_back(struct claim *c)
{
	struct actor *a = c->actor;

	if (a->claim == c) {
		a->claim = NULL;
		hf_store_set_gate(hf_repo_store(a->repo), NULL);
	}
	c->is_held = false;
	c->ends_at = world.now;
	TRACE("gives back");
	struct hf_err *e = hf_lease_release(c->lease);
	c->lease = NULL;
	oracle_over(c);
	return e;
}

/* Any change; most of those that must not be made behind the fence. */
static struct hf_err *
change_something(struct actor *a)
{
	static const enum hf_kind kinds[] = {HF_PACK, HF_INDEX, HF_SNAPSHOT};
	struct hf_store *store = hf_repo_store(a->repo);
	struct hf_name name = {kinds[dice_below(3)], {{0}}};
	struct depot_file *f;

	if (dice_say(250) && (f = depot_nth(name.kind, 0)) != NULL) {
		name = f->name;
		return hf_store_del(store, &name);
	}
	for (unsigned i = 0; i < sizeof name.id; i++)
		name.id.b[i] = (uint8_t)dice();
	return hf_store_put(store, &name, hf_str_bytes(hf_str("x")));
}

static void
work(struct claim *c, const struct plan *p)
{
	int64_t end = world.now + dice_below(p->hold + 1);
	unsigned n = p->changes > 0 ? (unsigned)dice_below(p->changes + 1) : 0;

	for (unsigned i = 0; i <= n && !c->actor->is_dead; i++) {
		int64_t left = end - world.now;
		struct hf_err *e;

		world_sleep(i == n ? left : dice_below(2 * left / (int64_t)(n - i + 1) + 1));
		if (i == n)
			break;
		e = dice_say(200) ? hf_lease_verify(c->lease) : change_something(c->actor);
		bool is_lost = e != NULL && hf_err_code(e) == HF_ELOST;
		hf_err_free(e);
		if (is_lost)
			break;
	}
}

/* How many have ended each round; one line of actors that start together. */
static void
wait_for_all(struct actor *a, unsigned round)
{
	bool is_late = true;

	a->n_rounds = round;
	while (is_late && !a->is_dead) {
		is_late = false;
		for (unsigned i = 0; i < world.n_actors; i++) {
			const struct actor *b = &world.actors[i];

			is_late |= !b->is_done && !b->is_dead && b->n_rounds < round;
		}
		if (is_late)
			world_sleep(HF_SECOND / 4);
	}
	world_until((world.now / HF_SECOND + 1) * HF_SECOND);
}

static bool
has_another_round(struct actor *a, const struct plan *p, unsigned round)
{
	if (a->is_dead)
		return false;
	if (p->until != NULL)
		return !p->until->is_done && !p->until->is_dead;
	return round < p->rounds;
}

void
holder_main(struct actor *a)
{
	const struct plan *p = a->plan;

	world_sleep(p->start);
	for (unsigned round = 0; has_another_round(a, p, round); round++) {
		struct claim *c;
		struct hf_err *e = claim_take(a, p->is_exclusive, p, &c);

		for (unsigned i = 1; e != NULL && i < p->tries && !a->is_dead; i++) {
			hf_err_free(e);
			world_sleep(dice_below(p->pause + 1));
			e = claim_take(a, p->is_exclusive, p, &c);
		}
		if (e == NULL) {
			work(c, p);
			e = claim_give_back(c);
		}
		hf_err_free(e);
		if (p->is_barrier)
			wait_for_all(a, round + 1);
		world_sleep(dice_below(p->pause + 1));
	}
}
