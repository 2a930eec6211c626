/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees that are there and that nothing refers to, neither a tree nor a snapshot: the roots of
 * snapshots that are gone. All of them become folders of one new snapshot.
 *
 *	new --> read --> known, known, ... --> roots --> save
 *
 * Memory: the index, and two bits per blob.
 */
#ifndef HF_ENGINE_RECOVER_H
#define HF_ENGINE_RECOVER_H

#include "repo/saver.h"
#include "repo/snapshot.h"

struct hf_recover;

struct hf_recover_options {
	struct hf_repo *repo;
	struct hf_index *ix; /* loaded; the lock is exclusive, so that it is all there is */
	struct hf_lease *lease;
	struct hf_stop *stop; /* or NULL */
	/* A tree that cannot be read, or not to its end; it does not count as a root. Any thread, one
	 * call at a time. */
	void (*bad_tree)(void *arg, const struct hf_id *tree, const struct hf_err *e);
	void *arg;
};

/* All is borrowed and outlives it. */
struct hf_recover *hf_recover_new(const struct hf_recover_options *options);
void hf_recover_free(struct hf_recover *r);
HF_AUTOPTR(hf_recover)

/* How many trees there are, and the reading of them all; *done counts those that were read. */
uint64_t hf_recover_trees(const struct hf_recover *r);
struct hf_err *hf_recover_read(struct hf_recover *r, atomic_uint_fast64_t *done) HF_MUST;

/* A snapshot has this tree. */
void hf_recover_known(struct hf_recover *r, const struct hf_id *tree);

/* The trees that nothing refers to, sorted; the caller frees *out. */
void hf_recover_roots(struct hf_recover *r, struct hf_id **out, size_t *n);

/*
 * Saves a tree with a folder for each of the roots, named by the first eight digits of its id, and
 * then `s` with that tree, of which the caller has filled in the rest.
 */
struct hf_err *hf_recover_save(struct hf_recover *r, const struct hf_id *roots, size_t n,
	struct hf_snapshot *s) HF_MUST;

#endif
