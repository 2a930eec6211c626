/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One check that is under way: what its stages share. Nobody but check*.c includes this.
 *
 * The index is complete and does not change any more when the stages begin, so the number of a
 * blob's first copy stands for the blob.
 */
#ifndef HF_ENGINE_CHECK_RUN_H
#define HF_ENGINE_CHECK_RUN_H

#include <pthread.h>

#include "base/bits.h"
#include "engine/check.h"
#include "repo/reader.h"

/* A snapshot that is checked. */
struct hf_check_root {
	struct hf_id snapshot, tree;
};

struct hf_check_run {
	struct hf_repo *repo;
	const struct hf_check_options *options;
	const struct hf_check_events *events;
	struct hf_check_progress *progress;
	struct hf_stop *stop;  /* the caller's, may be NULL */
	struct hf_stop failed; /* one thread of a stage failed */
	struct hf_index *ix;
	unsigned n_threads;
	bool is_filtered; /* not all snapshots are meant */

	struct hf_check_root *roots;
	size_t n_roots;

	/* The index by packs: the blobs of pack p are numbers[first[p]] … below first[p + 1]. */
	uint32_t *first, *numbers;
	uint64_t *file_sizes; /* of each indexed pack, or HF_CHECK_NO_FILE */
	struct hf_bits bad;   /* blobs by number: this copy is damaged */
	atomic_bool has_bad;
	struct hf_bits used; /* packs by number that the chosen snapshots need, when filtered */

	uint32_t *chosen; /* packs to be read whole */
	size_t n_chosen;

	pthread_mutex_t report_lock; /* guards `result`; calls of events->found */
	struct hf_check_result result;
};

#define HF_CHECK_NO_FILE UINT64_MAX

/* The wish of the caller, or of a sibling, to end. */
struct hf_err *hf_check_go_on(struct hf_check_run *c) HF_MUST;

/* Tells the caller of a finding and counts it. */
void hf_check_report(struct hf_check_run *c, const struct hf_check_finding *f);
void hf_check_reportf(struct hf_check_run *c, enum hf_check_kind kind, const struct hf_id *id,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Runs fn(c) on all threads. */
struct hf_err *hf_check_threads(struct hf_check_run *c, const char *name,
	struct hf_err *(*fn)(void *run), void *arg) HF_MUST;

void hf_check_mark_bad(struct hf_check_run *c, uint32_t number);

/* What can be set afterwards: options, events, progress. */
void hf_check_run_init(struct hf_check_run *c, struct hf_repo *repo, struct hf_index *ix,
	unsigned threads, struct hf_stop *stop);
void hf_check_run_clear(struct hf_check_run *c); /* but not the index */

/* The stages, in this order; the first two are parts of the third. */
struct hf_err *hf_check_group(struct hf_check_run *c) HF_MUST; /* fills first, numbers */
struct hf_err *hf_check_sort(struct hf_check_run *c, uint32_t pack) HF_MUST; /* its numbers */
struct hf_err *hf_check_packs(struct hf_check_run *c) HF_MUST;
struct hf_err *hf_check_trees(struct hf_check_run *c) HF_MUST;
void hf_check_choose(struct hf_check_run *c); /* which packs are read */
struct hf_err *hf_check_data(struct hf_check_run *c) HF_MUST;

/* Names the files that need damaged blobs. */
struct hf_err *hf_check_touched(struct hf_check_run *c) HF_MUST;

/* Fills result.hurt_snapshots. */
struct hf_err *hf_check_hurt(struct hf_check_run *c) HF_MUST;

/* True when there are copies of a blob, and every one of them is damaged. */
bool hf_check_is_lost(struct hf_check_run *c, const struct hf_blob *blob);

void hf_check_ids_add(struct hf_check_ids *l, const struct hf_id *id);

#endif
