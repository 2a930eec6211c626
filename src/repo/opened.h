/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blobs that are being opened, two at a time, for whoever needs one after the other: their hashes
 * are computed side by side, which takes hardly longer than one (codec/sha256_lanes.h).
 *
 *	while there is a blob:
 *		o = hf_opened_next(pair)
 *		if o->is_waiting: hf_opened_end(o), and use o->plain
 *		hf_opened_begin(o, …)
 *	end both that are waiting
 *
 * One thread at a time. Nothing is allocated per blob.
 */
#ifndef HF_REPO_OPENED_H
#define HF_REPO_OPENED_H

#include "codec/sha256_lanes.h"
#include "repo/reader.h"

struct hf_opened {
	struct hf_id id;     /* the name that its hash must be */
	size_t tag;          /* the caller's, to know it again */
	bool is_waiting;     /* begun and not ended */
	struct hf_buf plain; /* verified after hf_opened_end() */

	/* opened.c only */
	struct hf_opened *other;
	struct hf_lane *lane;
	struct hf_bytes rest; /* of `plain`, not hashed yet; one of the two has none */
};

void hf_opened_init(struct hf_opened pair[static 2]);
void hf_opened_clear(struct hf_opened pair[static 2]);

/* The one of the two that has less left to hash: to be ended, and then begun with the next blob. */
struct hf_opened *hf_opened_next(struct hf_opened pair[static 2]);

/*
 * Begins with a blob whose stored bytes are at hand; `sealed` may be overwritten. HF_ECORRUPT: it
 * cannot be opened, and nothing was begun.
 */
struct hf_err *hf_opened_begin(struct hf_opened *o, struct hf_reader *r, const struct hf_id *id,
	size_t tag, uint8_t *sealed, uint32_t length, uint32_t raw_length) HF_MUST;

/* HF_ECORRUPT: it is not what its name says. */
struct hf_err *hf_opened_end(struct hf_opened *o) HF_MUST;

/* Hashes other bytes on a lane of the caller's, and this blob beside them as far as it goes. */
void hf_opened_beside(struct hf_opened *o, struct hf_lane *lane, struct hf_bytes bytes);

#endif
