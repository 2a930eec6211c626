/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a lease, its gate, its thread, and its end. */
#include "repo/lease.h"

#include <assert.h>
#include <stdio.h>

#include "base/host.h"
#include "repo/lease_i.h"

enum { READ_TRIES = 1000 };

/* Seconds between two looks of who waits at the gate. */
#define GATE_LOOK 0.1

const struct hf_lease_pace hf_lease_pace = {
	.every = 120,
	.suspect = 240,
	.fence = 900,
	.stale = 1800,
	.give_up = 3600,
	.overlap = 2,
	.settle = 10,
	.conflict = 10,
	.unreadable = 5,
	.retry = 1,
	.retry_max = 30,
	.again = 1,
};

struct hf_lease_pace
hf_lease_pace_scaled(double scale)
{
	struct hf_lease_pace p = hf_lease_pace;
	double *fields[] = {&p.every, &p.suspect, &p.fence, &p.stale, &p.give_up, &p.overlap,
		&p.settle, &p.conflict, &p.unreadable, &p.retry, &p.retry_max, &p.again};

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		*fields[i] *= scale;
	return p;
}

const char *
hf_lease_state_text(enum hf_lease_state state)
{
	static const char *const texts[] = {"none", "held", "suspect", "fenced", "lost"};

	return texts[state];
}

const char *
hf_lease_event_text(enum hf_lease_event_kind kind)
{
	static const char *const texts[HF_LEASE_EVENTS] = {
		[HF_LEASE_EV_START] = "lock.acquire.start",
		[HF_LEASE_EV_CONFLICT] = "lock.acquire.conflict",
		[HF_LEASE_EV_WAIT] = "lock.acquire.wait",
		[HF_LEASE_EV_ACQUIRED] = "lock.acquire.held",
		[HF_LEASE_EV_REFRESHED] = "lock.refresh.ok",
		[HF_LEASE_EV_FAILED] = "lock.refresh.fail",
		[HF_LEASE_EV_SUSPECT] = "lock.suspect",
		[HF_LEASE_EV_FENCED] = "lock.fenced",
		[HF_LEASE_EV_RECOVERED] = "lock.recovered",
		[HF_LEASE_EV_LOST] = "lock.lost",
		[HF_LEASE_EV_REMOVED] = "lock.stale.removed",
		[HF_LEASE_EV_IGNORED] = "lock.invalid",
		[HF_LEASE_EV_RELEASED] = "lock.released",
	};

	return texts[kind];
}

/* ---- the page ---- */

struct numbers {
	uint32_t flags;
	int64_t base_boot, base_wall, fence, suspect;
};

/*
 * A writer that was killed half-way leaves the version odd for ever; then the numbers are taken
 * for those of a lease that has passed its fence.
 */
static struct numbers
read_page(const struct hf_lease_page *p)
{
	struct numbers n = {0};

	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before = atomic_load(&p->version);

		n.flags = atomic_load(&p->flags);
		n.base_boot = atomic_load(&p->base_boot);
		n.base_wall = atomic_load(&p->base_wall);
		n.fence = atomic_load(&p->fence);
		n.suspect = atomic_load(&p->suspect);
		if (before % 2 == 0 && atomic_load(&p->version) == before)
			return n;
	}
	n.fence = n.suspect = INT64_MIN;
	return n;
}

/* Rule (1): the clock that advanced more counts; one that was set back counts for nothing. */
static int64_t
elapsed(const struct numbers *n, const struct hf_clocks *c, bool *only_wall)
{
	int64_t boot = c->boot(c->arg) - n->base_boot, wall = c->wall(c->arg) - n->base_wall;

	*only_wall = wall > boot && boot < n->fence;
	return wall > boot ? wall : boot;
}

enum hf_lease_state
hf_lease_page_state(
	const struct hf_lease_page *page, const struct hf_clocks *clocks, bool *only_wall)
{
	struct numbers n = read_page(page);
	bool by_wall;
	int64_t t = elapsed(&n, clocks, &by_wall);

	if (only_wall != NULL)
		*only_wall = by_wall && t >= n.fence;
	if ((n.flags & LEASE_IS_LOST) != 0)
		return HF_LEASE_LOST;
	if ((n.flags & LEASE_IS_HELD) == 0)
		return HF_LEASE_NONE;
	if (t >= n.fence)
		return HF_LEASE_FENCED;
	return t >= n.suspect ? HF_LEASE_SUSPECT : HF_LEASE_HELD;
}

int64_t
hf_lease_page_left(const struct hf_lease_page *page, const struct hf_clocks *clocks)
{
	struct numbers n = read_page(page);
	bool by_wall;

	return n.fence - elapsed(&n, clocks, &by_wall);
}

bool
hf_lease_page_id(const struct hf_lease_page *page, struct hf_id *out)
{
	uint64_t words[4];

	static_assert(sizeof words == sizeof *out, "an id is four words");
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t version = atomic_load(&page->version);

		for (int w = 0; w < 4; w++)
			words[w] = atomic_load(&page->id[w]);
		if (version % 2 == 0 && atomic_load(&page->version) == version) {
			memcpy(out, words, sizeof words);
			return true;
		}
	}
	return false;
}

static void
page_begin(struct hf_lease_page *p)
{
	atomic_fetch_or(&p->version, 1); /* odd already, if a writer before us was killed */
}

static void
page_end(struct hf_lease_page *p)
{
	atomic_fetch_add(&p->version, 1);
}

struct own_file
lease_stand_on(struct hf_lease *l, struct own_file *file)
{
	struct own_file before = l->file;
	uint64_t words[4];

	l->file = *file;
	*file = (struct own_file){.fd = -1};
	pthread_mutex_lock(&l->lock);
	l->current = l->file.id;
	pthread_mutex_unlock(&l->lock);
	memcpy(words, &l->file.id, sizeof words);
	page_begin(l->page);
	for (int i = 0; i < 4; i++)
		atomic_store(&l->page->id[i], words[i]);
	page_end(l->page);
	return before;
}

void
lease_extend(struct hf_lease *l, int64_t boot, int64_t wall)
{
	struct hf_lease_page *p = l->page;

	page_begin(p);
	atomic_store(&p->base_boot, boot);
	atomic_store(&p->base_wall, wall);
	atomic_store(&p->fence, hf_ns(l->pace.fence));
	atomic_store(&p->suspect, hf_ns(l->pace.suspect));
	atomic_store(&p->seq, l->info.seq);
	atomic_fetch_or(&p->flags, LEASE_IS_HELD);
	page_end(p);
	atomic_store(&l->fenced_bytes, 0);
}

/* ---- telling ---- */

void
lease_tell(struct hf_lease *l, struct hf_lease_event ev)
{
	if (l->o.on_event == NULL)
		return;
	ev.holder = l->info.holder;
	ev.repo = hf_repo_config(l->repo)->id;
	ev.seq = l->info.seq;
	ev.boot = lease_boot(l);
	ev.wall = l->clocks->wall(l->clocks->arg);
	ev.fence_in_s = (double)hf_lease_page_left(l->page, l->clocks) / 1e9;
	if (ev.other == NULL && hf_id_is_zero(&ev.id))
		ev.id = l->file.id;
	l->o.on_event(l->o.arg, &ev);
}

void
lease_lose(struct hf_lease *l, const char *reason, const struct hf_lock_info *rival)
{
	uint32_t before;

	page_begin(l->page);
	before = atomic_fetch_or(&l->page->flags, LEASE_IS_LOST);
	page_end(l->page);
	hf_bell_ring(&l->bell);
	if ((before & LEASE_IS_LOST) == 0)
		lease_tell(
			l, (struct hf_lease_event){
				   .kind = HF_LEASE_EV_LOST, .reason = reason, .other = rival});
}

void
lease_pause(struct hf_lease *l, double seconds)
{
	int64_t end = lease_boot(l) + hf_ns(seconds);

	for (;;) {
		int64_t part =
			lease_boot(l) + HF_SECOND / 10; /* who wants to stop waits no longer */

		/*
		 * Silenced, for who waits at the gate rings all the time, and nobody could sleep
		 * here. What it rings for is kept elsewhere and looked at afterwards.
		 */
		hf_bell_reset(&l->bell);
		if (lease_boot(l) >= end || atomic_load(&l->ends) || hf_stop_is_set(l->stop))
			break;
		l->clocks->wait(l->clocks->arg, &l->bell, part < end ? part : end);
	}
}

/* ---- the gate ---- */

static struct hf_err *
lost(void)
{
	return hf_err(HF_ELOST,
		"the lock on the repository was lost: it was removed, or could not "
		"be refreshed in time");
}

/* Packs may go out behind the fence, until there are too many: nobody refers to them. */
static bool
is_harmless(struct hf_lease *l, const struct hf_change *change)
{
	uint64_t limit = l->o.fenced_bytes != 0 ? l->o.fenced_bytes : UINT64_C(1) << 30;

	if (change->is_del || change->name.kind != HF_PACK)
		return false;
	return atomic_fetch_add(&l->fenced_bytes, change->size) + change->size <= limit;
}

void
hf_lease_disown(struct hf_lease *lease, const struct hf_name *name)
{
	if (lease == NULL)
		return;
	pthread_mutex_lock(&lease->lock);
	lease->disowned = *name;
	pthread_mutex_unlock(&lease->lock);
}

static bool
is_disowned(struct hf_lease *l, const struct hf_change *change)
{
	pthread_mutex_lock(&l->lock);
	bool is = change->is_del && change->name.kind == l->disowned.kind &&
		  hf_id_eq(&change->name.id, &l->disowned.id);
	pthread_mutex_unlock(&l->lock);
	return is;
}

/* The change would be over before the fence. */
static bool
is_in_time(struct hf_lease *l, const struct hf_change *change)
{
	return hf_lease_page_left(l->page, l->clocks) >
	       hf_ns(change->within_s * l->judge.scale);
}

/* Invariant (3). Waits while FENCED: the lease may come back, and then no work is lost. */
static struct hf_err *
pass(struct hf_gate *gate, const struct hf_change *change)
{
	struct hf_lease *l = hf_container_of(gate, struct hf_lease, gate);
	struct hf_bell never;

	if (hf_lease_state(l) != HF_LEASE_LOST && is_in_time(l, change))
		return NULL;
	if (is_disowned(l, change))
		return NULL;
	if (hf_lease_state(l) != HF_LEASE_LOST && is_harmless(l, change))
		return NULL;
	hf_bell_init(&never);
	for (;;) {
		struct hf_err *e = hf_lease_check(l);

		if (e == NULL)
			e = hf_stop_check(l->o.stop);
		if (e != NULL || is_in_time(l, change)) {
			hf_bell_clear(&never);
			return e;
		}
		atomic_store(&l->is_asked, true);
		hf_bell_ring(&l->bell);
		l->clocks->wait(l->clocks->arg, &never, lease_boot(l) + hf_ns(GATE_LOOK));
	}
}

struct hf_gate *
hf_lease_gate(struct hf_lease *lease)
{
	return &lease->gate;
}

/* ---- the thread ---- */

/* Tells of what time alone has done. */
static void
report(struct hf_lease *l)
{
	enum hf_lease_state now = hf_lease_state(l);
	struct hf_lease_event ev = {0};

	if (now == l->reported || now == HF_LEASE_LOST)
		return;
	if (now == HF_LEASE_HELD)
		ev.kind = HF_LEASE_EV_RECOVERED;
	else
		ev.kind = now == HF_LEASE_FENCED ? HF_LEASE_EV_FENCED : HF_LEASE_EV_SUSPECT;
	l->reported = now;
	ev.seconds = l->pace.fence - (double)hf_lease_page_left(l->page, l->clocks) / 1e9;
	lease_tell(l, ev);
}

/* ± 10 %, so that many clients do not come all at once. */
static int64_t
period(struct hf_lease *l)
{
	double part = (double)(l->clocks->random(l->clocks->arg) % 2001) / 10000;

	return hf_ns(l->pace.every * (0.9 + part));
}

double
lease_again(const struct hf_lease *l, unsigned failures)
{
	return l->pace.again * (failures > 5 ? 30 : 1u << (failures - 1));
}

static int64_t
refresh_now(struct hf_lease *l, unsigned *failures)
{
	hf_autoptr(hf_err) e = lease_refresh(l);

	if (e == NULL) {
		*failures = 0;
		return lease_boot(l) + period(l);
	}
	if (hf_err_code(e) != HF_ELOST)
		lease_tell(
			l, (struct hf_lease_event){
				   .kind = HF_LEASE_EV_FAILED, .error = e, .n = ++*failures});
	return lease_boot(l) + hf_ns(lease_again(l, *failures != 0 ? *failures : 1));
}

/* Refreshes when it is time, and when somebody at the gate asks, until the lease is over. */
static void
run(struct hf_lease *l)
{
	int64_t next = lease_boot(l) + period(l);
	unsigned failures = 0;

	for (;;) {
		bool was_fenced = l->reported == HF_LEASE_FENCED;

		/* Before the look at what it rings for, or a ring in between is lost. */
		hf_bell_reset(&l->bell);
		if (atomic_load(&l->ends) || hf_lease_state(l) == HF_LEASE_LOST)
			break;
		report(l);
		if (-hf_lease_page_left(l->page, l->clocks) >= hf_ns(l->pace.give_up)) {
			lease_lose(l, "timeout", NULL);
			break;
		}
		/* Behind the fence by a sleep of this host, perhaps: at once, not in its turn. */
		bool is_new = l->reported == HF_LEASE_FENCED && !was_fenced;
		bool is_wanted = atomic_exchange(&l->is_asked, false) && failures == 0;
		if (is_new || is_wanted || lease_boot(l) >= next) {
			next = refresh_now(l, &failures);
			report(l);
			continue;
		}
		int64_t tick = lease_boot(l) + HF_SECOND;
		l->clocks->wait(l->clocks->arg, &l->bell, next < tick ? next : tick);
	}
}

static struct hf_err *
run_thread(void *arg)
{
	run(arg);
	return NULL;
}

/* ---- beginning and end ---- */

enum hf_lease_state
hf_lease_state(struct hf_lease *lease)
{
	return hf_lease_page_state(lease->page, lease->clocks, NULL);
}

struct hf_err *
hf_lease_check(struct hf_lease *lease)
{
	if (lease == NULL || hf_lease_state(lease) != HF_LEASE_LOST)
		return NULL;
	return lost();
}

const struct hf_lease_page *
hf_lease_page(const struct hf_lease *lease)
{
	return lease->page;
}

const char *
hf_lease_holder(const struct hf_lease *lease)
{
	return lease->info.holder;
}

struct hf_lease *
lease_new(struct hf_repo *repo, const struct hf_lease_options *o)
{
	struct hf_lease *l = hf_new(struct hf_lease);

	l->gate.pass = pass;
	l->disowned.kind = HF_LOCK;
	l->repo = repo;
	l->o = *o;
	l->stop = o->stop;
	l->pace = o->pace != NULL ? *o->pace : hf_lease_pace;
	l->clocks = o->clocks != NULL ? o->clocks : &hf_clocks_kernel;
	l->page = o->page != NULL ? o->page : &l->own_page;
	l->hostname = hf_host_name();
	hf_lock_info_self(&l->info, o->plain_host);
	l->info.seq = 1;
	l->judge = (struct hf_judge){
		.repo = repo,
		.watch = o->watch,
		.clocks = l->clocks,
		.self = l->info.proc,
		.hostname = l->hostname,
		.trusts_hosts = o->trusts_hosts,
		.scale = o->scale > 0 ? o->scale : 1,
	};
	l->file.fd = l->waiting.fd = -1;
	l->names = (struct hf_buf)HF_BUF_MAX(1 << 20);
	l->doubts = (struct hf_buf)HF_BUF_MAX(1 << 20);
	l->known = (struct hf_buf)HF_BUF_MAX(1 << 20);
	pthread_mutex_init(&l->lock, NULL);
	hf_bell_init(&l->bell);
	l->reported = HF_LEASE_HELD;
	l->group = hf_group_new(NULL, NULL); /* its thread returns no error */
	return l;
}

void
lease_free(struct hf_lease *l)
{
	if (l == NULL)
		return;
	hf_group_free(l->group);
	if (l->file.fd >= 0)
		close(l->file.fd);
	if (l->waiting.fd >= 0)
		close(l->waiting.fd);
	hf_lock_info_clear(&l->info);
	free(l->hostname);
	hf_buf_clear(&l->names);
	hf_buf_clear(&l->doubts);
	hf_buf_clear(&l->known);
	hf_bell_clear(&l->bell);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct hf_err *
lease_start(struct hf_lease *l)
{
	return hf_group_go(l->group, "lease", run_thread, l);
}

struct hf_err *
hf_lease_release(struct hf_lease *lease)
{
	struct hf_err *e;
	bool was_lost;

	if (lease == NULL)
		return NULL;
	atomic_store(&lease->ends, true);
	hf_bell_ring(&lease->bell);
	hf_err_free(hf_group_wait(lease->group));
	was_lost = hf_lease_state(lease) == HF_LEASE_LOST;
	atomic_store(&lease->ends, false); /* it ends pauses, and there may be one yet */
	hf_bell_reset(&lease->bell);
	e = lease_delete_all(lease);
	lease_tell(lease, (struct hf_lease_event){.kind = HF_LEASE_EV_RELEASED, .error = e});
	lease_free(lease);
	if (!was_lost)
		return hf_err_in(e, "deleting our lock");
	hf_err_free(e);
	return lost();
}
