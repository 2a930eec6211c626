/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Getting a lease. Every try is: look for others, write our file, look again. Of two who come at
 * the same time each has written before it looks again, so that at least one sees the other; which
 * of the two goes on is decided by their tickets, so that it is never neither. restic has no
 * tickets, and we give way to it.
 *
 * Who waits for an exclusive lock while shared ones come and go shows, after half of its time, a
 * shared lock with the intent to become exclusive: those of us who come later hold back.
 */
#include <stdio.h>

#include "repo/lease_i.h"

enum {
	READ_TRIES = 4,     /* for locks that cannot be read */
	MOVED_TRIES = 20,   /* for locks that vanish while they are read */
	CLEAN_TRIES = 1000, /* for locks of the dead: one goes at each */
};

/* ---- words ---- */

/* Wrappers read these lines, of which restic's `main` adds the fourth; the fifth is ours. */
static struct hf_err *
locked_by(const struct hf_id *id, const struct hf_lock_info *other, const struct hf_verdict *v)
{
	hf_auto(hf_buf) since = HF_BUF_MAX(64);
	hf_auto(hf_buf) age = HF_BUF_MAX(64);
	hf_auto(hf_buf) more = HF_BUF_MAX(4096);
	struct hf_time now = hf_time_now();
	hf_autofree char *verdict = hf_verdict_text(v);

	hf_time_add(&since, &other->time);
	hf_duration_add(
		&age, (now.sec - other->time.sec) * 1000000000 + now.nsec - other->time.nsec);
	HF_TRY(hf_buf_ok(&since));
	since.p[10] = ' '; /* "2006-01-02T15:04:05…" */
	if (other->is_ours)
		hf_buf_addf(&more, "%s%s%s%s, ", other->role,
			other->wants_exclusive || other->is_claim ? ", waiting" : "",
			other->note[0] != '\0' ? ", " : "", other->note);
	hf_buf_add_str(&more, verdict);
	hf_buf_add(&more, "", 1);
	return hf_err(HF_ELOCKED,
		"repository is already locked %sby PID %lld on %s by %s (UID %u, GID %u)\n"
		"lock was created at %.19s (%.*s ago)\nstorage ID %.8s\n"
		"the `unlock` command can be used to remove stale locks\nits holder: %s",
		other->is_exclusive ? "exclusively " : "", (long long)other->pid,
		other->hostname, other->username, other->uid, other->gid, (const char *)since.p,
		(int)age.len, (const char *)age.p, hf_id_hex(id).s, (const char *)more.p);
}

/* The last word on locks that could not be read. Takes `e`. */
static struct hf_err *
unreadable_locks(struct hf_err *e)
{
	hf_autoptr(hf_err) cause = e;

	if (hf_err_code(cause) != HF_ECORRUPT)
		return hf_steal(cause);
	return hf_err(HF_ECORRUPT,
		"invalid lock file: %s\n\nthe `unlock --remove-all` command can be used to "
		"remove invalid locks. Make sure that no other process is accessing the "
		"repository when running the command",
		hf_err_text(cause));
}

/* ---- the others ---- */

/* Looks until everything is read. */
static struct hf_err *
look(struct hf_lease *l, const struct hf_id *own, struct sight *s)
{
	double pause = l->pace.unreadable;
	int reads = 0, moves = 0;

	for (;;) {
		struct hf_err *e = lease_look(l, own, NULL, hf_lock_excludes, false, s);

		if (e == NULL && (s->has_rival || !s->moved))
			return NULL;
		if (e == NULL) {
			if (++moves == MOVED_TRIES)
				return hf_err(HF_EIO, "the locks do not keep still");
			lease_pause(l, 0.2 * l->pace.retry);
		} else if (++reads == READ_TRIES) {
			return unreadable_locks(e);
		} else {
			hf_err_free(e);
			lease_pause(l, pause);
			pause *= 2;
		}
		HF_TRY(hf_stop_check(l->stop));
	}
}

/*
 * Removes the rival if it is dead by the verdict. *gone: it is, look again. Who may not delete it
 * has to respect it.
 */
static struct hf_err *
clear_dead(struct hf_lease *l, const struct sight *s, struct hf_verdict *verdict, bool *gone)
{
	struct hf_lock_entry entry = {.id = s->rival_id, .info = s->rival};

	*gone = false;
	*verdict = entry.verdict = hf_judge_lock(&l->judge, &entry.id, &entry.info);
	if (entry.verdict.proof == HF_PROOF_NONE)
		return NULL;
	struct hf_err *e = hf_lock_remove(&l->judge, &entry, gone);
	if (*gone)
		lease_tell(l, (struct hf_lease_event){.kind = HF_LEASE_EV_REMOVED,
				      .id = entry.id,
				      .other = &entry.info,
				      .verdict = &entry.verdict});
	hf_err_free(e);
	return NULL;
}

/* Nobody excludes us, or HF_ELOCKED. `own` is our file, if there is one: then it must be there. */
static struct hf_err *
look_for_others(struct hf_lease *l, const struct hf_id *own, struct sight *s)
{
	struct hf_verdict verdict = {0}; /* what is told is what was acted upon */
	bool gone = true;

	for (int i = 0; i < CLEAN_TRIES && gone; i++) {
		HF_TRY(look(l, own, s));
		if (!s->has_rival)
			return NULL;
		HF_TRY(clear_dead(l, s, &verdict, &gone));
	}
	lease_tell(l,
		(struct hf_lease_event){
			.kind = HF_LEASE_EV_CONFLICT, .id = s->rival_id, .other = &s->rival});
	return locked_by(&s->rival_id, &s->rival, &verdict);
}

/* ---- one try ---- */

/*
 * Our file must be seen by ourselves, or others will not see it either. Stores that lag get a
 * minute; after that a shared lock is taken on trust, since a backup looks again at its end.
 */
static struct hf_err *
see_own(struct hf_lease *l, struct sight *s)
{
	double waited = 0, limit = l->o.only_reads ? 0 : 6 * l->pace.settle;

	while (!s->has_first && waited < limit) {
		lease_pause(l, limit / 20);
		HF_TRY(hf_stop_check(l->stop));
		waited += limit / 20;
		HF_TRY(look_for_others(l, &l->file.id, s));
	}
	if (s->has_first || !l->info.is_exclusive)
		return NULL;
	return hf_err(HF_EIO, "the lock that was just written does not appear in the list of "
			      "locks: this store cannot be locked exclusively");
}

/* The second look: after our file is there. */
static struct hf_err *
look_again(struct hf_lease *l, struct sight *s)
{
	/*
	 * Where listings show what is there, waiting adds nothing. A folder is read entry by
	 * entry, though, and a holder that replaces its file just then might slip through one
	 * reading; so who wants to be alone reads it twice (model/list.pml).
	 */
	if (!lease_sees_at_once(l) && !l->o.only_reads)
		lease_pause(l, l->pace.settle);
	HF_TRY(hf_stop_check(l->stop));
	HF_TRY(look_for_others(l, &l->file.id, s));
	if (l->info.is_exclusive)
		HF_TRY(look_for_others(l, &l->file.id, s));
	return see_own(l, s);
}

/*
 * The same, and a rival who came later has the time to see us and go. Who has the older ticket
 * stays, so that of any number of us one always gets through. But not for long: by its clock, a
 * rival with a younger ticket may have come first and hold the lock, and it takes us for an enemy
 * if we stay (lease_refresh.c, look()).
 */
static struct hf_err *
outlast(struct hf_lease *l)
{
	hf_auto(sight) s = {0};
	double patience = l->pace.overlap, pause = patience / 64;
	int64_t end = lease_boot(l) + hf_ns(lease_conflict(l) / 2);

	for (;;) {
		struct hf_err *e = look_again(l, &s);

		if (e == NULL || hf_err_code(e) != HF_ELOCKED)
			return e;
		if (patience <= 0 || !hf_lock_yields(&l->info, &s.rival))
			return e;
		if (lease_boot(l) >= end)
			return e;
		hf_err_free(e);
		lease_pause(l, pause);
		HF_TRY(hf_stop_check(l->stop));
		patience -= pause;
		pause *= 2;
	}
}

static struct hf_err *
try_once(struct hf_lease *l)
{
	hf_auto(sight) s = {0};
	struct own_file file;
	int64_t boot, wall;

	HF_TRY(look_for_others(l, NULL, &s));
	boot = lease_boot(l);
	wall = l->clocks->wall(l->clocks->arg);
	struct hf_err *e = lease_write(l, &file);
	if (e == NULL) {
		lease_stand_on(l, &file);
		if (l->o.on_written != NULL && !l->info.is_exclusive)
			l->o.on_written(l->o.written_arg);
		e = outlast(l);
	}
	if (e != NULL) {
		hf_err_free(lease_delete(l, &l->file));
		return e;
	}
	lease_extend(l, boot, wall);
	atomic_store(&l->verified, lease_boot(l));
	return NULL;
}

/* ---- waiting ---- */

/* The file that says that we wait: an intent, or a claim that shuts the door at once. */
static void
show_waiting(struct hf_lease *l)
{
	struct own_file old = l->waiting;

	if (!hf_id_is_zero(&old.id) && lease_boot(l) - l->waiting_since < hf_ns(l->pace.every))
		return;
	l->info.is_exclusive = l->o.claims_early;
	l->info.is_claim = l->o.claims_early;
	l->info.wants_exclusive = !l->o.claims_early;
	hf_err_free(lease_write(l, &l->waiting)); /* then nobody sees that we wait */
	l->info.is_exclusive = true;
	l->info.is_claim = l->info.wants_exclusive = false;
	l->waiting_since = lease_boot(l);
	hf_err_free(lease_delete(l, &old));
}

static void
hide_waiting(struct hf_lease *l)
{
	hf_err_free(lease_delete(l, &l->waiting));
}

/* Not all at the same moment: ± 20 %. */
static double
jitter(struct hf_lease *l, double seconds)
{
	return seconds * (0.8 + (double)(l->clocks->random(l->clocks->arg) % 401) / 1000);
}

static double
seconds_since(const struct hf_lease *l, int64_t boot)
{
	return (double)(lease_boot(l) - boot) / 1e9;
}

static struct hf_err *
wait_and_try(struct hf_lease *l, struct hf_err *e)
{
	int64_t begin = lease_boot(l);
	double pause = l->pace.retry, left;

	lease_tell(l, (struct hf_lease_event){
			      .kind = HF_LEASE_EV_WAIT, .seconds = l->o.wait_s, .error = e});
	while (e != NULL && hf_err_code(e) == HF_ELOCKED &&
		(left = l->o.wait_s - seconds_since(l, begin)) > 0) {
		bool is_half = left < l->o.wait_s / 2;
		double p = jitter(l, pause);

		hf_err_free(e);
		if (l->info.is_exclusive && (is_half || l->o.claims_early))
			show_waiting(l);
		lease_pause(l, p < left ? p : left);
		HF_TRY(hf_stop_check(l->stop));
		e = try_once(l);
		pause = 2 * pause < l->pace.retry_max ? 2 * pause : l->pace.retry_max;
	}
	return e;
}

/* Who came first: by the wall clocks of the hosts, and by chance among equals. */
static void
draw_ticket(struct hf_lease *l)
{
	uint64_t wall = (uint64_t)l->clocks->wall(l->clocks->arg);
	uint32_t chance = (uint32_t)l->clocks->random(l->clocks->arg);

	snprintf(l->info.ticket, sizeof l->info.ticket, "%016llx%08x", (unsigned long long)wall,
		chance);
}

/* ---- going on where a dead process of ours stopped ---- */

static struct hf_err *
adopt(struct hf_lease *l)
{
	struct own_file file = {l->o.adopt_id, -1};

	snprintf(l->info.holder, sizeof l->info.holder, "%s", l->o.adopt_holder);
	l->info.seq = atomic_load(&l->page->seq);
	HF_TRY(lease_own(l, &file.id));
	lease_stand_on(l, &file);
	atomic_store(&l->verified, INT64_MIN / 2);
	for (unsigned failures = 1;; failures++) {
		struct hf_err *e = lease_refresh(l);

		if (e == NULL || hf_err_code(e) == HF_ELOST)
			return e;
		lease_tell(l, (struct hf_lease_event){
				      .kind = HF_LEASE_EV_FAILED, .error = e, .n = failures});
		hf_err_free(e);
		if (-hf_lease_page_left(l->page, l->clocks) >= hf_ns(l->pace.give_up)) {
			lease_lose(l, "timeout", NULL);
			return hf_lease_check(l);
		}
		lease_pause(l, lease_again(l, failures));
		HF_TRY(hf_stop_check(l->stop));
	}
}

static struct hf_err *
get(struct hf_lease *l)
{
	struct hf_err *e;

	if (l->o.adopt_holder != NULL)
		return adopt(l);
	draw_ticket(l);
	lease_tell(l, (struct hf_lease_event){.kind = HF_LEASE_EV_START});
	e = try_once(l);
	if (e != NULL && hf_err_code(e) == HF_ELOCKED && l->o.wait_s > 0)
		e = wait_and_try(l, e);
	hide_waiting(l);
	return e;
}

struct hf_err *
hf_lease_acquire(
	struct hf_repo *repo, const struct hf_lease_options *options, struct hf_lease **out)
{
	struct hf_lease *l = lease_new(repo, options);
	struct hf_err *e;

	*out = NULL;
	l->info.is_exclusive = options->mode == HF_LOCK_EXCLUSIVE;
	l->info.ttl_s = l->pace.stale;
	l->info.fence_s = l->pace.fence;
	l->info.every_s = l->pace.every;
	hf_lock_info_label(&l->info, options->role, options->note);
	e = get(l);
	if (e == NULL) {
		l->stop = NULL;
		lease_tell(l, (struct hf_lease_event){.kind = HF_LEASE_EV_ACQUIRED});
		e = lease_start(l);
	}
	if (e != NULL) {
		l->stop = NULL;
		hf_err_free(lease_delete_all(l));
		lease_free(l);
		if (hf_err_code(e) == HF_ECANCELED || hf_err_code(e) == HF_ELOST)
			return e;
		return hf_err_in(e, "unable to create lock in backend");
	}
	*out = l;
	return NULL;
}
