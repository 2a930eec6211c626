/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this process has added to a repository and nobody vouches for yet.
 *
 * A pack is *confirmed* when an index file names it and our own lock was seen in the store after
 * that file was there: whoever prunes later sees that the pack is in use. Until then a pruner who
 * believes us gone may have condemned it, and go on to delete it even much later. After a loss of
 * the lock such packs are therefore never used again, also if they are still there
 * (docs/locking-design.md, D4; model/commit.pml).
 *
 * Any thread.
 */
#ifndef HF_REPO_TRAIL_H
#define HF_REPO_TRAIL_H

#include "repo/index.h"

struct hf_trail;

struct hf_trail *hf_trail_new(void);
void hf_trail_free(struct hf_trail *t); /* NULL is fine */
HF_AUTOPTR(hf_trail)

/* All of these do nothing, and say no, for a NULL trail. */

/* The pack is in the store. */
void hf_trail_pack(struct hf_trail *t, const struct hf_id *pack);

/* So is the index file that names these packs. `looks` is what hf_lease_looks() said after that. */
void hf_trail_file(struct hf_trail *t, const struct hf_id *file,
	const struct hf_index_pack *packs, size_t n, uint64_t looks);

/*
 * `seen` is what hf_lease_seen() says, of the lease under which the files were written: those whose
 * `looks` are fewer are confirmed, with their packs.
 */
void hf_trail_confirm(struct hf_trail *t, uint64_t seen);

/*
 * The same for the last time, when that lease is lost: what is left is never confirmed, since the
 * looks of another one have numbers of their own and prove nothing about the time before it.
 */
void hf_trail_lost(struct hf_trail *t, uint64_t seen);

bool hf_trail_distrusts(struct hf_trail *t, const struct hf_id *pack);

/*
 * After a loss, under a new lock: index files of ours that name packs which are gone are replaced
 * by others without these. Files that were pruned meanwhile are no longer there, which is fine.
 */
struct hf_err *hf_trail_repair(struct hf_trail *t, struct hf_repo *repo) HF_MUST;

#endif
