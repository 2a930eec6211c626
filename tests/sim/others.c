/* SPDX-License-Identifier: BSD-2-Clause */
/* Those who do not keep our rules: restic, which has its own, and somebody who keeps none. */
#include "sim/cast.h"

#include <stdio.h>

/* restic's numbers. */
#define REFRESH  (5 * MINUTE)
#define STOPS    (HF_SECOND * 1350)
#define STALE    (30 * MINUTE)
#define LOOKS_IN (HF_SECOND / 5)

static struct hf_err *
write_lock(struct actor *a, struct claim *c, struct hf_id *out)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	hf_auto(hf_lock_info) info = {0};

	hf_lock_info_self(&info, true);
	info.is_ours = false;
	info.is_exclusive = c->is_exclusive;
	hf_lock_write(&json, &info);
	return hf_repo_save(a->repo, HF_LOCK, hf_buf_bytes(&json), out);
}

static struct hf_err *
delete_lock(struct actor *a, const struct hf_id *id)
{
	struct hf_name name = {HF_LOCK, *id};
	struct hf_err *e = NULL;

	/* Its backends try again for some minutes. */
	for (int i = 0; i < 5; i++) {
		hf_err_free(e);
		e = hf_err_ignore(hf_store_del(hf_repo_store(a->repo), &name), HF_ENOTFOUND);
		if (e == NULL || hf_err_code(e) != HF_EIO)
			break;
		world_sleep(HF_SECOND);
	}
	return e;
}

/* Lists and reads all; a lock that cannot be read is an error, one that is gone is not. */
static struct hf_err *
check_others(struct actor *a, const struct claim *c, const struct hf_id *own)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	HF_TRY(hf_repo_list(a->repo, HF_LOCK, &ids, NULL, &n));
	for (size_t i = 0; i < n; i++) {
		hf_auto(hf_lock_info) info = {0};

		if (own != NULL && hf_id_eq(&ids[i], own))
			continue;
		hf_autoptr(hf_err) e = hf_lock_load(a->repo, &ids[i], &info);
		if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
			continue;
		if (e != NULL)
			return hf_steal(e);
		if (info.is_exclusive || c->is_exclusive)
			return hf_err(HF_ELOCKED, "locked");
	}
	return NULL;
}

static struct hf_err *
acquire(struct actor *a, struct claim *c, struct hf_id *id)
{
	HF_TRY(check_others(a, c, NULL));
	int64_t wall = host_wall(a->host, world.now);
	HF_TRY(write_lock(a, c, id));
	world_sleep(LOOKS_IN);
	struct hf_err *e = check_others(a, c, id);
	if (e != NULL) {
		hf_err_free(delete_lock(a, id));
		return e;
	}
	/* It counts from here; to be fair to others, so does the oracle. */
	c->file = *id;
	c->answered = wall;
	c->is_held = true;
	oracle_holders();
	return NULL;
}

/* A new file for the old one, whether that is there or not. */
static struct hf_err *
refresh(struct actor *a, struct claim *c, struct hf_id *id)
{
	struct hf_id next;
	int64_t wall = host_wall(a->host, world.now);

	HF_TRY(write_lock(a, c, &next));
	c->answered = wall;
	c->file = next;
	struct hf_err *e = delete_lock(a, id);
	*id = next;
	return e;
}

static void
hold(struct actor *a, struct claim *c, struct hf_id *id, int64_t ns)
{
	int64_t end = world.now + ns, last = host_awake(a->host, world.now);

	while (world.now < end && !a->is_dead) {
		int64_t left = end - world.now;

		world_sleep(left < 30 * HF_SECOND ? left : 30 * HF_SECOND);
		if (host_wall(a->host, world.now) - c->answered >= STOPS)
			break;
		if (host_awake(a->host, world.now) - last < REFRESH)
			continue;
		last = host_awake(a->host, world.now);
		TRACE("refreshes");
		hf_err_free(refresh(a, c, id));
	}
}

/* `unlock`: what is old by its own clock. */
static struct hf_err *
unlock(struct actor *a)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	HF_TRY(hf_repo_list(a->repo, HF_LOCK, &ids, NULL, &n));
	for (size_t i = 0; i < n; i++) {
		hf_auto(hf_lock_info) info = {0};
		hf_autoptr(hf_err) e = hf_lock_load(a->repo, &ids[i], &info);
		int64_t now = host_wall(a->host, world.now) / HF_SECOND;

		if (e == NULL && (now - info.time.sec) * HF_SECOND > STALE) {
			TRACE("unlocks %.6s", hf_id_hex(&ids[i]).s);
			hf_err_free(delete_lock(a, &ids[i]));
		}
	}
	return NULL;
}

void
restic_main(struct actor *a)
{
	const struct plan *p = a->plan;

	world_sleep(p->start);
	for (unsigned round = 0; round < p->rounds && !a->is_dead; round++) {
		struct claim *c;
		struct hf_id id;

		if (p->unlocks) {
			hf_err_free(unlock(a));
		} else {
			c = claim_new(a, p->is_exclusive);
			c->is_restic = true;
			struct hf_err *e = acquire(a, c, &id);
			if (e == NULL) {
				a->n_held++;
				TRACE("holds the lock");
				hold(a, c, &id, dice_below(p->hold + 1));
				TRACE("gives back");
				c->is_held = false;
				e = delete_lock(a, &id);
			}
			hf_err_free(e);
			c->is_held = false;
			c->is_over = true;
		}
		world_sleep(dice_below(p->pause + 1));
	}
}

void
remover_main(struct actor *a)
{
	const struct plan *p = a->plan;

	world_sleep(dice_below(p->start + 1));
	for (unsigned i = 0; i < p->removals; i++) {
		struct depot_file *f = NULL;
		unsigned n = 0;

		for (int k = 0; k < 50 && f == NULL; k++) {
			n = 0;
			while (depot_nth(HF_LOCK, n) != NULL)
				n++;
			if (n > 0)
				f = depot_nth(HF_LOCK, (unsigned)dice_below(n));
			else
				world_sleep(dice_below(2 * HF_SECOND));
		}
		if (f == NULL)
			return;
		TRACE("removes lock %.6s of %s", hf_id_hex(&f->name.id).s,
			f->claim->actor->name);
		depot_remove(f, NULL);
		world_sleep(dice_below(p->pause + 1));
	}
}
