/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream of bytes made of texts and blobs, in order: a producer says what comes, several threads
 * read the blobs ahead, a sink receives the bytes. Neighbours in a pack are read together. What is
 * read and not yet taken is bounded, except that a single blob of any length may pass.
 */
#ifndef HF_ENGINE_AHEAD_H
#define HF_ENGINE_AHEAD_H

#include "base/stop.h"
#include "repo/index.h"

struct hf_ahead;

/* The next bytes of the stream, copied. HF_ECANCELED: nobody reads any more. */
struct hf_err *hf_ahead_text(struct hf_ahead *a, struct hf_bytes text) HF_MUST;

/* The next bytes are those of a data blob. HF_ENOTFOUND: no index lists it. HF_ECANCELED as above. */
struct hf_err *hf_ahead_blob(struct hf_ahead *a, const struct hf_id *id) HF_MUST;

typedef struct hf_err *hf_sink_fn(void *arg, struct hf_bytes data);

/*
 * Runs produce(arg, a) on a thread of its own and gives the bytes to the sink on this thread, in
 * order. Where packs may have to be ordered out of an archive (engine/warm.h), produce() is run once
 * more before that, on this thread, to learn which, and begins anew each time. Returns the first error of the producer, of a blob or of the sink; everything before it
 * has reached the sink when the error was the producer's or a blob's.
 */
struct hf_err *hf_ahead_run(struct hf_repo *repo, struct hf_index *ix,
	struct hf_err *(*produce)(void *arg, struct hf_ahead *a), void *arg, hf_sink_fn *sink,
	void *sink_arg, struct hf_stop *stop) HF_MUST;

#endif
