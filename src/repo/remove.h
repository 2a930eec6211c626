/* SPDX-License-Identifier: BSD-2-Clause */
/* Deleting many files of a repository, as many at once as there are connections. */
#ifndef HF_REPO_REMOVE_H
#define HF_REPO_REMOVE_H

#include <stdatomic.h>

#include "base/stop.h"
#include "repo/repo.h"

struct hf_removal {
	enum hf_kind kind;
	bool goes_on; /* a file that cannot be deleted does not end it */
	struct hf_stop *stop;
	atomic_uint_fast64_t *done; /* counts deleted files; or NULL */
	/* Told of every file; `e`, borrowed, is NULL if it is gone. One call at a time; or NULL. */
	void (*told)(
		void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e);
	void *arg;
};

/*
 * Deletes the `n` files `ids`. One that is not there is gone. Ends at the first error, or, if it
 * goes on, only when it must: HF_ELOST (the lock), HF_ECANCELED (`stop`).
 */
struct hf_err *hf_repo_remove(struct hf_repo *repo, const struct hf_removal *how,
	const struct hf_id *ids, size_t n) HF_MUST;

#endif
