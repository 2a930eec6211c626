/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/resnap.h"

#include <time.h>

#include "engine/check.h"
#include "store/early.h"

enum { VALIDATE_TRIES = 5 }; /* of a store that does not answer */

void
hf_suspects_clear(struct hf_suspects *s)
{
	free(s->v);
	*s = (struct hf_suspects){0};
}

void
hf_suspects_add(struct hf_suspects *s, const struct hf_id *id)
{
	s->v = hf_realloc_array(s->v, s->n + 1, sizeof *s->v);
	s->v[s->n++] = *id;
}

bool
hf_suspects_has(const struct hf_suspects *s, const struct hf_id *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (hf_id_eq(&s->v[i], id))
			return true;
	return false;
}

void
hf_suspects_delete(const struct hf_suspects *s, struct hf_repo *repo, struct hf_lease *lease)
{
	for (size_t i = 0; i < s->n; i++) {
		struct hf_name name = {HF_SNAPSHOT, s->v[i]};

		hf_lease_disown(lease, &name);
		hf_err_free(hf_store_del(hf_repo_store(repo), &name));
	}
}

/*
 * Nothing that the snapshot stands on has left the index. Where nothing was loaded, there is nothing
 * to look for: our own files go only with our lock (model/commit.pml, OWN).
 */
static struct hf_err *
validate_index(struct hf_repo *repo, struct hf_index *ix)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n, lost;

	if (!hf_index_has_loaded(ix))
		return NULL;
	HF_TRY(hf_repo_list(repo, HF_INDEX, &ids, NULL, &n));
	lost = hf_index_lost(ix, ids, n);
	if (lost > 0)
		return hf_err(HF_ELOST, "%zu index files were removed meanwhile", lost);
	return NULL;
}

/*
 * Both listings at the same time: which one is answered first does not matter (model/commit.pml).
 * Where a listing proves nothing about the time before, the second waits as the first does.
 */
static struct hf_err *
validate_once(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix)
{
	struct hf_store *store = hf_repo_store(repo);
	struct hf_early list = hf_early_list(HF_INDEX);

	if (ix == NULL)
		return hf_lease_verify(lease);
	if (hf_index_has_loaded(ix) && hf_store_promises(store, HF_LISTS_AT_ONCE))
		hf_store_early(store, &list, 1);
	struct hf_err *e = hf_lease_validate(lease);
	if (e == NULL)
		return validate_index(repo, ix);
	hf_store_early_forget(store); /* who loads the index next does it under another lock */
	return e;
}

struct hf_err *
hf_validate(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix)
{
	struct hf_err *e = NULL;

	for (int i = 0; i < VALIDATE_TRIES && lease != NULL; i++) {
		hf_err_free(e);
		e = validate_once(repo, lease, ix);
		if (e == NULL || hf_err_code(e) != HF_EIO)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 100000000L << i}, NULL);
	}
	return hf_err_in(e, "validating the snapshot");
}

/* What cannot be validated goes, since there is what it was made from. Takes and returns `e`. */
static struct hf_err *
withdraw(struct hf_repo *repo, struct hf_lease *lease, struct hf_snapshot *s,
	const struct hf_id *old, struct hf_err *e)
{
	hf_auto(hf_suspects) suspects = {0};

	if (e == NULL)
		return NULL;
	/* It may be there also when the answer was lost. */
	if (hf_err_code(e) == HF_ELOST && !hf_id_eq(&s->id, old)) {
		hf_suspects_add(&suspects, &s->id);
		hf_suspects_delete(&suspects, repo, lease);
	}
	s->id = *old;
	return e;
}

/* What a repair wants to know of the new snapshot before the old one goes. */
struct proof {
	size_t first_fresh;
	struct hf_stop *stop;
};

static struct hf_err *
prove(struct hf_repo *repo, struct hf_index *ix, const struct hf_snapshot *s,
	const struct proof *proof)
{
	if (proof == NULL)
		return NULL;
	return hf_err_in(hf_check_snapshot(repo, ix, s, proof->first_fresh, proof->stop),
		"the new snapshot %.8s does not pass the check, so that the old one stays",
		hf_id_hex(&s->id).s);
}

static struct hf_err *
succeed(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix,
	struct hf_snapshot *s, bool deletes_old, const struct proof *proof)
{
	const struct hf_name old = {HF_SNAPSHOT, s->id};
	struct hf_err *e = hf_snapshot_save(repo, s);

	if (e == NULL)
		e = prove(repo, ix, s, proof);
	if (e == NULL)
		e = hf_validate(repo, lease, ix);
	HF_TRY(withdraw(repo, lease, s, &old.id, e));
	if (!deletes_old)
		return NULL;
	return hf_err_ignore(hf_store_del(hf_repo_store(repo), &old), HF_ENOTFOUND);
}

struct hf_err *
hf_resnap(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix,
	struct hf_snapshot *s, bool deletes_old)
{
	return succeed(repo, lease, ix, s, deletes_old, NULL);
}

struct hf_err *
hf_resnap_proven(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix,
	struct hf_snapshot *s, size_t first_fresh, struct hf_stop *stop)
{
	return succeed(repo, lease, ix, s, true, &(struct proof){first_fresh, stop});
}
