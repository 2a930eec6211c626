/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blobs that are opened, for whoever needs one after the other: their hashes are computed side by
 * side, which takes less time than one after the other (codec/sha256_many.h). So a blob that was
 * opened waits until it is verified: large ones in pairs, of small ones up to sixteen.
 *
 *	while there is a blob:
 *		while hf_opened_is_full(s): e = hf_opened_end(s, &o), and use o->plain
 *		hf_opened_begin(s, …)
 *	e = hf_opened_end(s, &o), until o is NULL
 *
 * One thread at a time. Nothing is allocated per blob.
 */
#ifndef HF_REPO_OPENED_H
#define HF_REPO_OPENED_H

#include "codec/sha256_many.h"
#include "repo/reader.h"

struct hf_opened_set;
struct hf_opened_set *hf_opened_new(void);
void hf_opened_free(struct hf_opened_set *s);

/*
 * Sets for threads of which more read than compute. A set is as large as a few of the largest blobs,
 * so that only those who have something to open hold one: as many threads as there are processors,
 * and one more, since writing may wait, too. All functions may be called by any thread.
 */
struct hf_opened_sets;
struct hf_opened_sets *hf_opened_sets_new(unsigned n_threads); /* that is more than enough */
void hf_opened_sets_free(
	struct hf_opened_sets *sets); /* all have been given back; NULL is fine */

/* Waits for one that nobody holds. It is empty, and has to be when it is given back. */
struct hf_opened_set *hf_opened_take(struct hf_opened_sets *sets);
void hf_opened_give(struct hf_opened_sets *sets, struct hf_opened_set *s);

/* Its hashes, for a long string beside those of the blobs. */
struct hf_many *hf_opened_many(struct hf_opened_set *s);

/* Then one has to be ended before the next one is begun. */
bool hf_opened_is_full(const struct hf_opened_set *s);

/*
 * Begins with a blob whose stored bytes are at hand; `sealed` may be overwritten. `tag` is the
 * caller's, to know it again. HF_ECORRUPT: it cannot be opened, and nothing was begun.
 */
struct hf_err *hf_opened_begin(struct hf_opened_set *s, struct hf_reader *r,
	const struct hf_id *id, size_t tag, uint8_t *sealed, uint32_t length,
	uint32_t raw_length) HF_MUST;

/* One that has been ended. */
struct hf_opened {
	struct hf_id id; /* its name */
	size_t tag;
	struct hf_buf plain;
};

/*
 * Ends one of those that were begun, in no certain order; *o is good until the next call with the
 * set. NULL in *o: none is left. HF_ECORRUPT: *o is not what its name says.
 */
struct hf_err *hf_opened_end(struct hf_opened_set *s, const struct hf_opened **o) HF_MUST;

#endif
