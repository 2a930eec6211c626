/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wish to stop, set by the signal thread and looked at between two steps of any work. What
 * is in flight ends by itself; nothing new begins.
 */
#ifndef HF_BASE_STOP_H
#define HF_BASE_STOP_H

#include <stdatomic.h>

#include "base/err.h"

struct hf_stop {
	atomic_bool is_set;
};

static inline void
hf_stop_set(struct hf_stop *s)
{
	atomic_store_explicit(&s->is_set, true, memory_order_relaxed);
}

static inline bool
hf_stop_is_set(struct hf_stop *s)
{
	return s != NULL && atomic_load_explicit(&s->is_set, memory_order_relaxed);
}

/* NULL while work may go on; HF_ECANCELED afterwards. A NULL `s` never stops. */
HF_MUST static inline struct hf_err *
hf_stop_check(struct hf_stop *s)
{
	if (hf_stop_is_set(s))
		return hf_err(HF_ECANCELED, "interrupted");
	return NULL;
}

/* Sleeps for so long, or until the wish comes up. HF_ECANCELED: it did. A NULL `s` never stops. */
struct hf_err *hf_stop_wait(struct hf_stop *s, double seconds) HF_MUST;

#endif
