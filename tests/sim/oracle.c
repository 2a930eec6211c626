/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/oracle.h"

#include "sim/cast.h"

/* A clock that runs late by 200 millionths loses so much until the fence. */
#define SLACK HF_SECOND

/* restic stops itself when it has not refreshed for so long. */
#define RESTIC_STOPS (HF_SECOND * 1350)

/* Hosts that are further apart are not promised anything. */
#define SKEW (10 * MINUTE)

void (*oracle_data_deleted)(const struct hf_name *name);

static struct put *
find_put(struct claim *c, const struct hf_id *id)
{
	for (unsigned i = c->n_puts; i-- > 0;)
		if (hf_id_eq(&c->puts[i].id, id))
			return &c->puts[i];
	return NULL;
}

/* The file that a lease says that it stands on. */
static struct put *
current(struct claim *c)
{
	struct hf_id id;
	uint64_t words[4];

	for (int i = 0; i < 4; i++)
		words[i] = atomic_load(&c->page.id[i]);
	memcpy(&id, words, sizeof id);
	return find_put(c, &id);
}

static enum hf_lease_state
state_at(const struct claim *c, int64_t when)
{
	int64_t now = world.now;

	world.now = when;
	enum hf_lease_state s = hf_lease_page_state(&c->page, &c->actor->host->clocks, NULL);
	world.now = now;
	return s;
}

/* Whether its holder acts, or would, as soon as its host goes on. */
static bool
can_act(const struct claim *c)
{
	const struct host *h = c->actor->host;
	int64_t when = h->frozen_until > world.now ? h->frozen_until : world.now;

	if (!c->is_held || c->actor->is_dead)
		return false;
	if (c->is_restic)
		return host_wall(h, when) - c->answered < RESTIC_STOPS;
	enum hf_lease_state s = state_at(c, when);
	return s == HF_LEASE_HELD || s == HF_LEASE_SUSPECT;
}

/* ---- I1 ---- */

void
oracle_holders(void)
{
	struct claim *first = NULL;

	for (unsigned i = 0; i < world.n_claims; i++) {
		struct claim *c = world.claims[i];

		if (c->is_forced || !can_act(c))
			continue;
		if (first != NULL && (first->is_exclusive || c->is_exclusive)) {
			world_fail("I1: %s (%s) and %s (%s) hold the lock", first->actor->name,
				first->is_exclusive ? "exclusive" : "shared", c->actor->name,
				c->is_exclusive ? "exclusive" : "shared");
			return;
		}
		if (first == NULL || c->is_exclusive)
			first = c;
	}
}

/* ---- I2 ---- */

static int64_t
true_fence(const struct claim *c)
{
	return c->stamped + hf_ns(hf_lease_pace.fence) + SLACK;
}

int64_t
oracle_sent(struct actor *a, const struct hf_name *name, bool is_del)
{
	struct claim *c = a->claim;

	TRACE("sends %s %s", is_del ? "the deletion of" : "the new", hf_kind_text(name->kind));
	if (c == NULL)
		return NEVER;
	if (name->kind == HF_PACK && !is_del) {
		if (state_at(c, world.now) == HF_LEASE_LOST)
			world_fail("I2: %s sends a pack after it has lost its lock", a->name);
		return NEVER;
	}
	if (is_del && name->kind == HF_SNAPSHOT && hf_id_eq(&name->id, &a->disowned))
		return NEVER;
	if (world.now > true_fence(c))
		world_fail("I2: %s changes something %.1f s behind its fence", a->name,
			(double)(world.now - true_fence(c)) / 1e9);
	return true_fence(c);
}

/* ---- I3, and the life of lock files ---- */

void
oracle_stamped(struct claim *c, const struct hf_id *id)
{
	if (c == NULL)
		return;
	if (c->n_puts == MAX_PUTS) {
		memmove(&c->puts[0], &c->puts[1], sizeof c->puts - sizeof c->puts[0]);
		c->n_puts--;
	}
	c->puts[c->n_puts++] = (struct put){.id = *id,
		.stamped = world.now,
		.counts = c->stamped != 0,
		.wall = host_wall(c->actor->host, world.now)};
}

void
oracle_landed(const struct hf_name *name, struct claim *c, int64_t latest)
{
	if (name->kind == HF_LOCK && c != NULL) {
		struct put *p = find_put(c, &name->id);

		if (p != NULL) {
			p->is_there = true;
			p->landed_at = world.now;
		}
	}
	if (world.now > latest)
		world_fail("I2: a change of %s took effect behind its fence",
			c != NULL ? c->actor->name : "somebody");
	oracle_holders();
}

/* The chain of files is broken when none is there that has been since the lease began. */
static bool
look_for_gap(struct claim *c)
{
	if (!c->is_held || c->is_restic || c->stamped == 0 || c->gap != 0)
		return false;
	for (unsigned i = 0; i < c->n_puts; i++)
		if (c->puts[i].is_there && c->puts[i].counts)
			return false;
	c->gap = world.now;
	TRACE("%s has no lock file any more", c->actor->name);
	return true;
}

/* restic goes by its own wall clock alone; when it is wrong, that is as good as force. */
static bool
is_misled(const struct actor *by, const struct put *p)
{
	int64_t skew = host_wall(by->host, p->stamped) - p->wall;

	return by->main == restic_main && (skew < 0 ? -skew : skew) > SKEW;
}

static void
removed_by_another(struct claim *c, const struct put *p, struct actor *by)
{
	bool is_current = c->is_restic ? hf_id_eq(&p->id, &c->file) : p == current(c);

	if (by == NULL || is_misled(by, p))
		c->is_forced = true;
	else if (is_current && can_act(c))
		world_fail("I7: %s takes the lock of %s for stale, who can still act", by->name,
			c->actor->name);
}

void
oracle_deleted(const struct hf_name *name, struct claim *c, struct actor *by)
{
	if (name->kind != HF_LOCK) {
		if (oracle_data_deleted != NULL)
			oracle_data_deleted(name);
		return;
	}
	struct put *p = c != NULL ? find_put(c, &name->id) : NULL;
	if (p == NULL)
		return;
	if (by != c->actor)
		removed_by_another(c, p, by);
	p->is_there = false;
	p->gone_at = world.now;
	if (look_for_gap(c))
		c->is_own_gap = by == c->actor;
}

void
oracle_extended(struct claim *c)
{
	struct put *p = current(c);

	if (c->actor->is_dead || p == NULL)
		return;
	if (c->stamped == 0) {
		for (unsigned i = 0; i < c->n_puts; i++)
			c->puts[i].counts = &c->puts[i] == p;
		c->is_held = true;
		if (!p->is_there)
			c->gap = p->gone_at != 0 ? p->gone_at : world.now;
	}
	c->stamped = p->stamped;
	/* What it has seen last may have been before somebody else made the gap; not its own. */
	if (c->gap != 0 && (c->stamped > c->gap || c->is_own_gap))
		world_fail("I3: %s has extended a lease that was broken %.1f s ago",
			c->actor->name, (double)(world.now - c->gap) / 1e9);
	oracle_holders();
}

/* ---- I5 ---- */

struct put *
oracle_tries(struct actor *a, const struct hf_id *id)
{
	for (unsigned i = world.n_claims; i-- > 0;) {
		struct claim *c = world.claims[i];
		struct put *p = c->actor == a ? find_put(c, id) : NULL;

		if (p == NULL)
			continue;
		if (p->tried_at == 0)
			p->tried_at = world.now;
		return p;
	}
	return NULL;
}

/* It came when its owner was at the end already, and nobody tries to delete it for ever. */
static bool
came_too_late(const struct claim *c, const struct put *p)
{
	if (p == NULL)
		return false;
	if (c->ends_at != 0)
		return p->landed_at >= c->ends_at;
	for (unsigned i = 0; i < c->n_puts; i++)
		if (c->puts[i].stamped > p->tried_at)
			return false;
	return p->tried_at != 0 && p->landed_at >= p->tried_at;
}

void
oracle_over(struct claim *c)
{
	struct depot_file *f;

	c->is_over = true;
	c->is_held = false;
	if (c->actor->is_dead || c->is_cut)
		return;
	for (unsigned i = 0; (f = depot_nth(HF_LOCK, i)) != NULL; i++)
		if (f->claim == c && !came_too_late(c, find_put(c, &f->name.id)))
			world_fail("I5: %s has left a lock file, %.6s", c->actor->name,
				hf_id_hex(&f->name.id).s);
}
