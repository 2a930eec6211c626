/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copying snapshots from one repository to another: every blob that the other one lacks is read,
 * proven, sealed with the other key and saved. Trees and data stay what they are, byte for byte, so
 * that blobs keep their names; what is compressed stays so, unless the user asked for something
 * else than the default.
 *
 *	 find --> blobs --> find --> blobs --> ... --> commit --> save, save, ... --> validate
 *
 * What lies between two commits is a batch. A snapshot is saved only after the commit of its batch:
 * then all that it needs is durable and in the index (saver.h (3)). Bounded: a window of each pack
 * per thread, four numbers per blob of one snapshot, one bit per blob of the source.
 *
 * One thread calls these functions.
 */
#ifndef HF_ENGINE_COPY_H
#define HF_ENGINE_COPY_H

#include "repo/saver.h"
#include "repo/snapshot.h"

struct hf_copy;

struct hf_copy_options {
	struct hf_repo *from, *to;
	struct hf_index *from_ix, *to_ix; /* loaded */
	struct hf_lease *lease;           /* of `to` */
	struct hf_trail *trail;           /* of `to` */
	struct hf_stop *stop;             /* or NULL */
};

/* All is borrowed and outlives it. */
struct hf_copy *hf_copy_new(const struct hf_copy_options *options);
void hf_copy_free(struct hf_copy *c); /* what has not been committed is lost */
HF_AUTOPTR(hf_copy)

/*
 * Where packs of the source may be in an archive (engine/warm.h): all that these snapshots need are
 * ordered at once, and waited for, before the first is copied. What is wrong with a snapshot is left to
 * hf_copy_find().
 */
struct hf_err *hf_copy_order(const struct hf_copy_options *options,
	struct hf_snapshot *const *snapshots, size_t n) HF_MUST;

struct hf_copy_found {
	uint64_t blobs;
	uint64_t bytes; /* as stored in the source */
	uint64_t packs; /* of the source that have any of them */
};

/*
 * Looks for the blobs of a snapshot that are neither in the target nor were found before. HF_ENOTFOUND,
 * HF_ECORRUPT: the source lacks something; the text names it.
 */
struct hf_err *hf_copy_find(
	struct hf_copy *c, const struct hf_snapshot *s, struct hf_copy_found *out) HF_MUST;

/* Counters that anybody may read meanwhile. */
struct hf_copy_progress {
	atomic_uint_fast64_t packs, packs_done;
};

/* Copies what was found last. */
struct hf_err *hf_copy_blobs(struct hf_copy *c, struct hf_copy_progress *progress) HF_MUST;

/* Makes all of the batch durable and writes its index. */
struct hf_err *hf_copy_commit(struct hf_copy *c) HF_MUST;

/*
 * Saves the snapshot in the target, without its parent, with the id of the first one that it is a
 * copy of in `original`. Its own id is then that in the target.
 */
struct hf_err *hf_copy_save(struct hf_copy *c, struct hf_snapshot *s) HF_MUST;

/*
 * Whether `b` is a copy of `a`, or both of a third, that nobody has changed: all but parent,
 * original and what the program says about itself agrees (restic-format 6.4).
 */
bool hf_copy_is_same(const struct hf_snapshot *a, const struct hf_snapshot *b);

#endif
