/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/seams.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/host.h"
#include "codec/aead.h"
#include "repo/lease_i.h"
#include "sim/oracle.h"

/* Declares both names of a function that is led here. */
#define SEAM(type, name, ...)                                                                  \
	type __real_##name(__VA_ARGS__);                                                       \
	type __wrap_##name(__VA_ARGS__)

SEAM(ssize_t, getrandom, void *, size_t, unsigned);
SEAM(pid_t, getpid, void);
SEAM(long, sysconf, int);
SEAM(char *, hf_host_name, void);
SEAM(char *, hf_user_name, uid_t);
SEAM(struct hf_time, hf_time_now, void);
SEAM(struct hf_proc, hf_proc_self, void);
SEAM(enum hf_life, hf_proc_life, const struct hf_proc *, const struct hf_proc *);
SEAM(struct hf_err *, hf_group_go, struct hf_group *, const char *, struct hf_err *(*)(void *),
	void *);
SEAM(struct hf_err *, hf_group_wait, struct hf_group *);
SEAM(struct hf_aead *, hf_aead_new, const struct hf_key *);
SEAM(void, hf_aead_free, struct hf_aead *);
SEAM(void, lease_extend, struct hf_lease *, int64_t, int64_t);
SEAM(struct hf_err *, lease_refresh, struct hf_lease *);
SEAM(struct hf_err *, lease_delete, struct hf_lease *, struct own_file *);
SEAM(struct hf_err *, lease_look, struct hf_lease *, const struct hf_id *, const struct hf_id *,
	bool (*)(const struct hf_lock_info *, const struct hf_lock_info *), bool,
	struct sight *);
SEAM(bool, hf_lock_excludes, const struct hf_lock_info *, const struct hf_lock_info *);
SEAM(bool, hf_lock_yields, const struct hf_lock_info *, const struct hf_lock_info *);
SEAM(struct hf_verdict, hf_judge_lock, const struct hf_judge *, const struct hf_id *,
	const struct hf_lock_info *);
SEAM(struct hf_err *, hf_lock_remove, const struct hf_judge *, const struct hf_lock_entry *,
	bool *);

/* ---- who, when, and by chance ---- */

ssize_t
__wrap_getrandom(void *p, size_t len, unsigned flags)
{
	uint8_t *out = p;

	if (world.scenario == NULL)
		return __real_getrandom(p, len, flags);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t n = world_random();

		memcpy(out + i, &n, len - i < 8 ? len - i : 8);
	}
	return (ssize_t)len;
}

pid_t
__wrap_getpid(void)
{
	return world.running != NULL ? (pid_t)world.running->actor->pid : __real_getpid();
}

/* Processors, for who wants to know how many threads make sense. */
long
__wrap_sysconf(int name)
{
	return world.running != NULL ? 2 : __real_sysconf(name);
}

char *
__wrap_hf_host_name(void)
{
	char name[16];

	snprintf(name, sizeof name, "host%d",
		world.running != NULL ? (int)(world.running->actor->host - world.hosts) : 99);
	return hf_str_dup(hf_str(name));
}

char *
__wrap_hf_user_name(uid_t uid)
{
	(void)uid;
	return hf_str_dup(hf_str("sim"));
}

struct hf_time
__wrap_hf_time_now(void)
{
	if (world.running == NULL)
		return __real_hf_time_now();
	int64_t wall = host_wall(world.running->actor->host, world.now);
	return hf_time_local(
		(struct timespec){(time_t)(wall / HF_SECOND), (long)(wall % HF_SECOND)});
}

struct hf_proc
__wrap_hf_proc_self(void)
{
	const struct actor *a = world_self();
	struct hf_proc p = {.start = 1, .pidns = 1, .timens = 1};

	if (a == NULL)
		return p; /* the watch of an actor is made before it runs; only a file would need it */
	p.pid = a->pid;
	snprintf(p.boot, sizeof p.boot, "%s", a->host->boot);
	return p;
}

/* One kernel knows its own processes, and no others. */
enum hf_life
__wrap_hf_proc_life(const struct hf_proc *p, const struct hf_proc *self)
{
	if (p->boot[0] == '\0' || strcmp(p->boot, self->boot) != 0)
		return HF_LIFE_UNKNOWN;
	for (unsigned i = 0; i < world.n_actors; i++)
		if (world.actors[i].pid == p->pid)
			return world.actors[i].is_dead || world.actors[i].is_done
				       ? HF_LIFE_DEAD
				       : HF_LIFE_ALIVE;
	return HF_LIFE_DEAD;
}

/* ---- threads ---- */

/* The first error of each group, until somebody waits for it. */
static struct {
	const struct hf_group *group;
	struct hf_err *e;
} errors[MAX_TASKS];

static void
run_thread(void *arg)
{
	struct task *t = arg;
	struct hf_err *e = t->fn(t->arg);

	for (unsigned i = 0; i < MAX_TASKS && e != NULL; i++) {
		if (errors[i].group == t->group)
			break;
		if (errors[i].group != NULL)
			continue;
		errors[i].group = t->group;
		errors[i].e = hf_steal(e);
	}
	hf_err_free(e);
}

static struct hf_err *
error_of(const struct hf_group *g)
{
	for (unsigned i = 0; i < MAX_TASKS; i++)
		if (errors[i].group == g) {
			errors[i].group = NULL;
			return hf_steal(errors[i].e);
		}
	return NULL;
}

struct hf_err *
__wrap_hf_group_go(
	struct hf_group *g, const char *name, struct hf_err *(*fn)(void *), void *arg)
{
	if (world.running == NULL)
		return __real_hf_group_go(g, name, fn, arg);
	struct task *t = world_task(world.running->actor, run_thread);

	t->claim = world.running->claim;
	t->group = g;
	t->fn = fn;
	t->arg = arg;
	return NULL;
}

static bool
has_threads(const struct hf_group *g)
{
	for (unsigned i = 0; i < world.n_tasks; i++)
		if (world.tasks[i].fiber != NULL && world.tasks[i].group == g)
			return true;
	return false;
}

struct hf_err *
__wrap_hf_group_wait(struct hf_group *g)
{
	while (world.running != NULL && has_threads(g)) {
		if (world.running->actor->is_dead)
			fiber_leave(); /* to its neighbours, who come to an end as well */
		else
			world_sleep(HF_SECOND / 100);
	}
	if (world.running != NULL)
		return error_of(g);
	return __real_hf_group_wait(g);
}

/* ---- one cipher for all: fetching it takes longer than using it ---- */

static struct hf_aead *aead;

struct hf_aead *
__wrap_hf_aead_new(const struct hf_key *key)
{
	if (world.running == NULL)
		return __real_hf_aead_new(key);
	if (aead == NULL)
		aead = __real_hf_aead_new(key);
	return aead;
}

void
__wrap_hf_aead_free(struct hf_aead *a)
{
	if (a != aead)
		__real_hf_aead_free(a);
}

/* Its pool of random numbers must not depend on the runs before. */
void
seams_begin(void)
{
	__real_hf_aead_free(aead);
	aead = NULL;
}

/* ---- the lease, and what can be wrong with it ---- */

static struct claim *
claim_of(struct hf_lease *l)
{
	return hf_container_of(l->page, struct claim, page);
}

static bool
is_mutated(enum mutation m)
{
	return world.mutation == m;
}

void
__wrap_lease_extend(struct hf_lease *l, int64_t boot, int64_t wall)
{
	if (is_mutated(MUT_ACKNOWLEDGED)) {
		boot = lease_boot(l);
		wall = l->clocks->wall(l->clocks->arg);
	}
	__real_lease_extend(l, boot, wall);
	oracle_extended(claim_of(l));
}

static struct hf_err *
lost_if_missing(struct hf_lease *l)
{
	hf_auto(sight) s = {0};

	HF_TRY(lease_look(l, &l->file.id, NULL, hf_lock_threatens, true, &s));
	if (!s.has_first)
		lease_lose(l, "missing", NULL);
	return hf_lease_check(l);
}

/* restic's two ways of refreshing. */
static struct hf_err *
careless_refresh(struct hf_lease *l, bool looks)
{
	int64_t boot = lease_boot(l), wall = l->clocks->wall(l->clocks->arg);
	struct own_file file, old;

	if (looks)
		HF_TRY(lost_if_missing(l));
	HF_TRY(lease_write(l, &file));
	if (looks)
		HF_TRY(lost_if_missing(l));
	old = lease_stand_on(l, &file);
	hf_err_free(lease_delete(l, &old));
	lease_extend(l, boot, wall);
	return NULL;
}

struct hf_err *
__wrap_lease_refresh(struct hf_lease *l)
{
	if (is_mutated(MUT_BLIND_REFRESH) || is_mutated(MUT_HALF_REFRESH))
		return careless_refresh(l, is_mutated(MUT_HALF_REFRESH));
	return __real_lease_refresh(l);
}

struct hf_err *
__wrap_lease_delete(struct hf_lease *l, struct own_file *file)
{
	struct hf_id id = file->id;
	struct hf_err *e = __real_lease_delete(l, file);

	if (e == NULL || !is_mutated(MUT_FORGETS))
		return e;
	struct hf_id *v = (void *)l->names.p;
	for (size_t i = 0; i < l->names.len / sizeof *v; i++)
		if (hf_id_eq(&v[i], &id))
			v[i] = (struct hf_id){{1}};
	return e;
}

struct hf_err *
__wrap_lease_look(struct hf_lease *l, const struct hf_id *first, const struct hf_id *second,
	bool (*is_rival)(const struct hf_lock_info *, const struct hf_lock_info *),
	bool skips_bad, struct sight *out)
{
	bool acquires = is_rival == hf_lock_excludes;
	bool skips = (is_mutated(MUT_NO_SECOND_LOOK) && acquires && first != NULL) ||
		     (is_mutated(MUT_NO_RELIST) && acquires && claim_of(l)->has_removed);

	if (!skips)
		return __real_lease_look(l, first, second, is_rival, skips_bad, out);
	sight_clear(out);
	out->has_first = true;
	return NULL;
}

bool
__wrap_hf_lock_excludes(const struct hf_lock_info *wish, const struct hf_lock_info *other)
{
	if (is_mutated(MUT_NO_INTENT) && other->wants_exclusive)
		return false;
	return __real_hf_lock_excludes(wish, other);
}

bool
__wrap_hf_lock_yields(const struct hf_lock_info *wish, const struct hf_lock_info *other)
{
	return !is_mutated(MUT_NO_TICKETS) && __real_hf_lock_yields(wish, other);
}

struct hf_verdict
__wrap_hf_judge_lock(
	const struct hf_judge *j, const struct hf_id *id, const struct hf_lock_info *info)
{
	struct hf_verdict v = __real_hf_judge_lock(j, id, info);
	int64_t wall = j->clocks->wall(j->clocks->arg) / HF_SECOND;

	if (v.is_alive || v.proof != HF_PROOF_NONE)
		return v;
	if (is_mutated(MUT_HASTY_PROOF) && v.watched_s > 300)
		v.proof = HF_PROOF_WATCHED;
	if (is_mutated(MUT_ONE_CLOCK) && info != NULL && wall - info->time.sec > 300)
		v.proof = HF_PROOF_CLOCKS;
	return v;
}

struct hf_err *
__wrap_hf_lock_remove(
	const struct hf_judge *judge, const struct hf_lock_entry *entry, bool *done)
{
	if (world.running != NULL && world.running->claim != NULL)
		world.running->claim->has_removed = true;
	return __real_hf_lock_remove(judge, entry, done);
}
