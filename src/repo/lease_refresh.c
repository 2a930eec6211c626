/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A refresh, from one file to the next, and looking in between. The lease is extended when the last
 * listing is as it should be, and counts from before the new file's stamp.
 *
 *	list: the old file is there, nobody threatens us
 *	put the new file
 *	list: both are there
 *	wait, so that whoever is reading the folder meanwhile sees one of the two
 *	delete the old file
 *	list: the new file is there, nobody threatens us
 *
 * Looking for the old one only would not do: who believes us dead and removes what he sees may
 * catch the new one between the second and the third step (model/refresh.pml).
 */
#include "repo/lease_i.h"

static struct hf_err *
is_lost(struct hf_lease *l, const char *reason, const struct hf_lock_info *rival)
{
	lease_lose(l, reason, rival);
	return hf_lease_check(l);
}

double
lease_conflict(const struct hf_lease *l)
{
	return l->pace.conflict + (lease_sees_at_once(l) ? 0 : 4 * l->pace.settle);
}

/*
 * Looks until nobody threatens us. A rival that has just come will go again, since our file was
 * there before: he sees it. One that stays has not seen it, or does not care.
 */
static struct hf_err *
look(struct hf_lease *l, const struct hf_id *first, const struct hf_id *second, struct sight *s)
{
	int64_t end = lease_boot(l) + hf_ns(lease_conflict(l));

	for (;;) {
		HF_TRY(lease_look(l, first, second, hf_lock_threatens, true, s));
		bool missing =
			(first != NULL && !s->has_first) || (second != NULL && !s->has_second);
		if (missing || (!s->has_rival && !s->moved))
			return NULL;
		if (lease_boot(l) >= end)
			return s->has_rival ? is_lost(l, "conflict", &s->rival) : NULL;
		lease_pause(l, l->pace.conflict / 20);
		if (atomic_load(&l->ends))
			return hf_err(HF_ECANCELED, "the lock is being given back");
	}
}

/*
 * The same for a file that has just been written: where listings lag, it gets the time that it may
 * need to be seen. `second` is that file, or `first` if there is no second.
 */
static struct hf_err *
look_for_new(struct hf_lease *l, const struct hf_id *first, const struct hf_id *second,
	struct sight *s)
{
	double limit = lease_sees_at_once(l) ? 0 : 6 * l->pace.settle, waited = 0;

	for (;;) {
		HF_TRY(look(l, first, second, s));
		bool is_over = second != NULL ? !s->has_first || s->has_second : s->has_first;
		if (is_over || waited >= limit)
			return NULL;
		lease_pause(l, limit / 20);
		waited += limit / 20;
		if (atomic_load(&l->ends))
			return hf_err(HF_ECANCELED, "the lock is being given back");
	}
}

/* So long that whoever looks meanwhile sees one of the two files. */
static double
overlap(const struct hf_lease *l)
{
	return lease_sees_at_once(l) || l->pace.overlap > l->pace.settle ? l->pace.overlap
									 : l->pace.settle;
}

/*
 * From the new file's birth on. When both have been seen at the same time, the lease stands on the
 * new one: whatever happens to the old one now, there was no moment without either.
 */
static struct hf_err *
replace(struct hf_lease *l, struct own_file *file)
{
	hf_auto(sight) s = {0};

	HF_TRY(look_for_new(l, &l->file.id, &file->id, &s));
	if (!s.has_first)
		return is_lost(l, "missing", NULL);
	if (!s.has_second)
		return is_lost(l, "new-missing", NULL);
	struct own_file old = lease_stand_on(l, file);
	lease_pause(l, overlap(l));
	/* One that cannot be deleted now is a ghost, to be deleted later. */
	hf_err_free(lease_delete(l, &old));
	if (atomic_load(&l->ends))
		return hf_err(HF_ECANCELED, "the lock is being given back");
	HF_TRY(look_for_new(l, &l->file.id, NULL, &s));
	return s.has_first ? NULL : is_lost(l, "new-missing", NULL);
}

/* When the last listing was as it should be, `seconds` ago at most. */
static bool
looked_within(struct hf_lease *l, double seconds)
{
	enum hf_lease_state state = hf_lease_state(l);

	return lease_boot(l) - atomic_load(&l->verified) < hf_ns(seconds) &&
	       state != HF_LEASE_FENCED && state != HF_LEASE_LOST;
}

/* Then the first listing of the next refresh tells nothing new. */
bool
hf_lease_looked_lately(struct hf_lease *l)
{
	return looked_within(l, l->pace.every * 1.5);
}

bool
hf_lease_looked_just_now(struct hf_lease *l)
{
	return looked_within(l, l->pace.every / 12);
}

uint64_t
hf_lease_looks(struct hf_lease *l)
{
	return l != NULL ? atomic_load(&l->looks) : 0;
}

uint64_t
hf_lease_seen(struct hf_lease *l)
{
	return l != NULL ? atomic_load(&l->seen) : 0;
}

/* Its number. */
static uint64_t
begin_look(struct hf_lease *l)
{
	return atomic_fetch_add(&l->looks, 1) + 1;
}

/* The look of this number has found our lock. */
static void
has_seen(struct hf_lease *l, uint64_t number)
{
	uint64_t seen = atomic_load(&l->seen);

	while (seen < number && !atomic_compare_exchange_weak(&l->seen, &seen, number))
		;
}

static struct hf_err *
verify(struct hf_lease *l)
{
	hf_auto(sight) s = {0};

	for (;;) {
		HF_TRY(hf_lease_check(l));
		pthread_mutex_lock(&l->lock);
		struct hf_id id = l->current;
		pthread_mutex_unlock(&l->lock);
		HF_TRY(look(l, &id, NULL, &s));
		if (s.has_first)
			return hf_lease_check(l);
		/* The thread may have put another in its place since. */
		pthread_mutex_lock(&l->lock);
		bool is_same = hf_id_eq(&id, &l->current);
		pthread_mutex_unlock(&l->lock);
		if (is_same)
			return is_lost(l, "missing", NULL);
	}
}

struct hf_err *
hf_lease_verify(struct hf_lease *l)
{
	uint64_t number = begin_look(l);

	HF_TRY(verify(l));
	has_seen(l, number);
	return NULL;
}

/* Waits without the bell, for which the lease's own thread listens. */
static struct hf_err *
wait_for_listings(struct hf_lease *l)
{
	int64_t end = lease_boot(l) + hf_ns(l->pace.settle);
	struct hf_err *e = NULL;
	struct hf_bell never;

	hf_bell_init(&never);
	while (e == NULL && !lease_sees_at_once(l) && lease_boot(l) < end) {
		int64_t part = lease_boot(l) + HF_SECOND / 10;

		l->clocks->wait(l->clocks->arg, &never, part < end ? part : end);
		e = hf_stop_check(l->o.stop);
	}
	hf_bell_clear(&never);
	return e;
}

struct hf_err *
hf_lease_validate(struct hf_lease *l)
{
	HF_TRY(wait_for_listings(l));
	return hf_lease_verify(l);
}

struct hf_err *
lease_refresh(struct hf_lease *l)
{
	hf_auto(sight) s = {0};
	struct own_file file = {.fd = -1};
	int64_t begin = lease_boot(l), boot, wall;
	uint64_t number = begin_look(l);

	if (!hf_lease_looked_lately(l)) {
		HF_TRY(look(l, &l->file.id, NULL, &s));
		if (!s.has_first)
			return is_lost(l, "missing", NULL);
	}
	boot = lease_boot(l);
	wall = l->clocks->wall(l->clocks->arg);
	l->info.seq++;
	l->info.prev = l->file.id;
	struct hf_err *e = lease_write(l, &file);
	if (e == NULL)
		e = replace(l, &file);
	if (e != NULL) {
		hf_err_free(lease_delete(l, &file)); /* unless the lease stands on it */
		return e;
	}
	lease_extend(l, boot, wall);
	atomic_store(&l->verified, lease_boot(l));
	has_seen(l, number);
	lease_delete_ghosts(l);
	lease_tell(l, (struct hf_lease_event){.kind = HF_LEASE_EV_REFRESHED,
			      .seconds = (double)(lease_boot(l) - begin) / 1e9});
	return NULL;
}
