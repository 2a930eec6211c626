/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHA-256 of two streams at once. The instructions for it wait for each other within one stream;
 * two streams side by side keep the processor busy and take hardly longer than one (measured: 1.8
 * times the bytes per second). For whoever has two things to hash, as a check has: a pack, and
 * the blobs in it.
 */
#ifndef HF_CODEC_SHA256_LANES_H
#define HF_CODEC_SHA256_LANES_H

#include "base/id.h"

/* One stream. Belongs to one thread at a time. */
struct hf_lane;
struct hf_lane *hf_lane_new(void);
void hf_lane_free(struct hf_lane *l);
HF_AUTOPTR(hf_lane)

/*
 * Goes on with `a` by the bytes of `in_a` and with `b`, which is another stream, by those of
 * `in_b`. Either may be empty. Best when they are long and of similar length.
 */
void hf_lanes_add(
	struct hf_lane *a, struct hf_bytes in_a, struct hf_lane *b, struct hf_bytes in_b);

/* The hash of all that was added; ready for another one afterwards. */
struct hf_id hf_lane_end(struct hf_lane *l);

#endif
