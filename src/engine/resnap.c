/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/resnap.h"

#include <time.h>

#include "engine/check.h"
#include "store/early.h"

enum { VALIDATE_TRIES = 5 }; /* of a store that does not answer */

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

static struct hf_err *
delete_old(struct hf_repo *repo, const struct hf_name *old)
{
	return hf_err_ignore(hf_store_del(hf_repo_store(repo), old), HF_ENOTFOUND);
}

struct hf_err *
hf_resnap(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix,
	struct hf_snapshot *s, bool deletes_old)
{
	struct hf_name old = {HF_SNAPSHOT, s->id};

	HF_TRY(hf_snapshot_save(repo, s));
	HF_TRY(hf_validate(repo, lease, ix));
	return deletes_old ? delete_old(repo, &old) : NULL;
}

struct hf_err *
hf_resnap_proven(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix,
	struct hf_snapshot *s, size_t first_fresh, struct hf_stop *stop)
{
	struct hf_name old = {HF_SNAPSHOT, s->id};

	HF_TRY(hf_snapshot_save(repo, s));
	HF_TRY(hf_err_in(hf_check_snapshot(repo, ix, s, first_fresh, stop),
		"the new snapshot %.8s does not pass the check, so that the old one stays",
		hf_id_hex(&s->id).s));
	HF_TRY(hf_validate(repo, lease, ix));
	return delete_old(repo, &old);
}
