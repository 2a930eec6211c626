/* SPDX-License-Identifier: BSD-2-Clause */
/* The locks of everybody: for who looks at them, and for who removes them. */
#include "repo/lease.h"

static void
entry_clear(struct hf_lock_entry *e)
{
	hf_lock_info_clear(&e->info);
	hf_err_free(e->error);
	*e = (struct hf_lock_entry){0};
}

void
hf_lock_list_clear(struct hf_lock_list *list)
{
	for (size_t i = 0; i < list->len; i++)
		entry_clear(&list->v[i]);
	free(list->v);
	*list = (struct hf_lock_list){0};
}

/* Oldest first; what cannot be read comes last. */
static int
compare(const void *a, const void *b)
{
	const struct hf_lock_entry *x = a, *y = b;

	if ((x->error != NULL) != (y->error != NULL))
		return x->error != NULL ? 1 : -1;
	int c = hf_time_cmp(&x->info.time, &y->info.time);
	return c != 0 ? c : hf_id_cmp(&x->id, &y->id);
}

struct hf_err *
hf_lock_list(const struct hf_judge *judge, struct hf_lock_list *out)
{
	hf_auto(hf_lock_list) list = {0};
	hf_autofree struct hf_id *ids = NULL;
	hf_autofree uint64_t *sizes = NULL;
	size_t n;

	HF_TRY(hf_repo_list(judge->repo, HF_LOCK, &ids, &sizes, &n));
	hf_watch_saw(judge->watch, ids, n);
	list.v = hf_alloc_(n + 1, sizeof *list.v);
	for (size_t i = 0; i < n; i++) {
		struct hf_lock_entry e = {.id = ids[i], .size = sizes[i]};

		/* An interrupted upload; to restic as well there is nothing. */
		if (sizes[i] == 0)
			continue;
		e.error = hf_lock_load(judge->repo, &e.id, &e.info);
		if (e.error != NULL && hf_err_code(e.error) == HF_ENOTFOUND) {
			entry_clear(&e);
			continue;
		}
		if (e.error != NULL && hf_err_code(e.error) != HF_ECORRUPT)
			return hf_steal(e.error);
		e.verdict = hf_judge_lock(judge, &e.id, e.error == NULL ? &e.info : NULL);
		list.v[list.len++] = e;
	}
	qsort(list.v, list.len, sizeof *list.v, compare);
	*out = list;
	list = (struct hf_lock_list){0};
	return NULL;
}

/*
 * Whether the holder has a file that is newer than `entry`: then it was alive after the proof, or
 * the file is one that it could not delete. Unless there is a proof for the newer one as well: who
 * dies in the middle of a refresh leaves two.
 */
static struct hf_err *
has_newer(const struct hf_judge *judge, const struct hf_lock_entry *entry,
	const struct hf_id *ids, size_t n, bool *out)
{
	*out = false;
	for (size_t i = 0; i < n && !*out && entry->info.is_ours; i++) {
		hf_auto(hf_lock_info) info = {0};

		if (hf_id_eq(&ids[i], &entry->id))
			continue;
		hf_autoptr(hf_err) e = hf_lock_load(judge->repo, &ids[i], &info);
		if (e != NULL && hf_err_code(e) != HF_ENOTFOUND &&
			hf_err_code(e) != HF_ECORRUPT)
			return hf_steal(e);
		*out = e == NULL && info.is_ours && info.seq > entry->info.seq &&
		       strcmp(info.holder, entry->info.holder) == 0 &&
		       hf_judge_lock(judge, &ids[i], &info).proof == HF_PROOF_NONE;
	}
	return NULL;
}

struct hf_err *
hf_lock_remove(const struct hf_judge *judge, const struct hf_lock_entry *entry, bool *done)
{
	hf_autofree struct hf_id *ids = NULL;
	struct hf_name name = {HF_LOCK, entry->id};
	bool newer;
	size_t n;

	*done = false;
	HF_TRY(hf_repo_list(judge->repo, HF_LOCK, &ids, NULL, &n));
	if (hf_id_find(ids, n, &entry->id) == n) {
		*done = true;
		return NULL;
	}
	HF_TRY(has_newer(judge, entry, ids, n, &newer));
	if (newer)
		return NULL;
	/* By exactly this name, which never comes back; somebody else may have been faster. */
	HF_TRY(hf_err_ignore(hf_store_del(hf_repo_store(judge->repo), &name), HF_ENOTFOUND));
	*done = true;
	return NULL;
}
