/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A changed snapshot in the place of the one that it was made from. Snapshots are named by their
 * content, so that changing one means to write another and to delete the first, in this order:
 * whatever happens in between, there is one of the two.
 */
#ifndef HF_ENGINE_RESNAP_H
#define HF_ENGINE_RESNAP_H

#include "repo/index.h"
#include "repo/lease.h"
#include "repo/snapshot.h"

/*
 * Snapshots that were saved under a lock that was lost then: nobody shall rely on them. They go when
 * their successors are there, or when there will be none. Zeroed it is valid and empty.
 */
struct hf_suspects {
	struct hf_id *v; /* owned */
	size_t n;
};

void hf_suspects_clear(struct hf_suspects *s);
void hf_suspects_add(struct hf_suspects *s, const struct hf_id *id);
bool hf_suspects_has(const struct hf_suspects *s, const struct hf_id *id);

/* Deletes them, as far as that can be done: `check` passes over a snapshot that lacks something. */
void hf_suspects_delete(
	const struct hf_suspects *s, struct hf_repo *repo, struct hf_lease *lease);

/*
 * Saves `s`, whose id is that of the snapshot that it was loaded from and afterwards that of the
 * new one. With `deletes_old` the one that it was loaded from goes, once the new one is durable and
 * has been validated.
 *
 * Validated: our lock was there all the time, and with it every index file that `ix` stands on, so
 * that nobody has deleted what the new snapshot needs; `ix` is NULL when it needs what the old one
 * needs. HF_ELOST: not so. Then the new one is gone again, and the id is what
 * it was.
 */
struct hf_err *hf_resnap(struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix,
	struct hf_snapshot *s, bool deletes_old) HF_MUST;

/*
 * The same for a repair: the old one goes only after the new one, with all its trees, has been read
 * back from the store and passes the check (check.h). Packs of `ix` from number `first_fresh` on were
 * written for it.
 */
struct hf_err *hf_resnap_proven(struct hf_repo *repo, struct hf_lease *lease,
	struct hf_index *ix, struct hf_snapshot *s, size_t first_fresh,
	struct hf_stop *stop) HF_MUST;

/*
 * The validation alone (docs/locking-design.md, D4), for who has saved something that stands on
 * index files; for them it waits where listings lag. A store that does not answer is asked again. `lease` and `ix` may be NULL.
 */
struct hf_err *hf_validate(
	struct hf_repo *repo, struct hf_lease *lease, struct hf_index *ix) HF_MUST;

#endif
