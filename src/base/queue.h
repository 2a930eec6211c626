/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bounded queue of pointers between threads. Its bound is what limits the memory of a
 * pipeline; closing it is how a pipeline is stopped, from either end.
 */
#ifndef HF_BASE_QUEUE_H
#define HF_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

struct hf_queue;

/* A queue of at most `cap` pointers; `drop` frees those still inside when it is freed. */
struct hf_queue *hf_queue_new(size_t cap, void (*drop)(void *item));
void hf_queue_free(struct hf_queue *q);
HF_AUTOPTR(hf_queue)

/* Blocks while full.  True: the queue took `item`.  False: it is closed, the caller keeps it. */
bool hf_queue_push(struct hf_queue *q, void *item) __attribute__((warn_unused_result));
/* Blocks while empty.  NULL: closed and drained.  Else the caller owns the item. */
void *hf_queue_pop(struct hf_queue *q);
/* No more pushes; those waiting return at once.  May be called from any thread, twice too. */
void hf_queue_close(struct hf_queue *q);

#endif
