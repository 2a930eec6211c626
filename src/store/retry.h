/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wrapper that repeats calls which failed for a reason that may pass: HF_EIO, and once, at once,
 * a get that came short (HF_ECORRUPT). Everything else fails again and is returned as it is.
 *
 * The pause is 1 s at first, doubled each time up to 60 s, each ± 50 % by chance so that many
 * clients do not come back in step, and at least what the other side asked for (hf_err_wait()).
 * That goes on for 15 minutes, and once at least, as in restic (restic-format 1.5), unless the other
 * side wants to be left alone for longer than that. Calls about locks
 * get 10 seconds: a lease has its own plan for a request that failed, counts on each to end within
 * 45 s, and would rather write a new stamp than the old one late (locking-design, T_try).
 *
 * What is repeated is as good as done once. A put writes the same bytes under the same name; where
 * a store cannot replace files atomically it is first looked whether the file is there after all,
 * for an append-only server would refuse it then. A del that finds nothing when repeated has
 * worked. Each repetition of a change asks the gate anew.
 */
#ifndef HF_STORE_RETRY_H
#define HF_STORE_RETRY_H

#include "base/stop.h"
#include "store/store.h"

#define HF_RETRY_LIMIT_S 900.0

/* Zero means what stands above. */
struct hf_retry {
	double pause_s; /* the first pause */
	double limit_s; /* after this no repetition begins */
	struct hf_stop
		*stop; /* ends pauses, with HF_ECANCELED, and no repetition begins; or NULL */
	/* Takes one line, in restic's words, per repetition; any thread. Or NULL. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

/* Wraps `inner`, which it takes over; `options` are copied. */
struct hf_store *hf_store_retry(struct hf_store *inner, const struct hf_retry *options);

#endif
