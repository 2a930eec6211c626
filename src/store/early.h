/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wrapper for stores that are far away: calls that are known to come are made before somebody
 * waits for their answers, so that several round trips take the time of one.
 *
 * hf_store_early() begins them, each on a thread of its own. The same call, when it comes, gets the
 * answer, once; it waits if there is none yet. An answer that was there for more than five seconds
 * before anybody wanted it is dropped, and the call is made as if nothing had been begun. What
 * nobody asks for in the end costs a request, so who begins a call should be sure.
 *
 * What is begun is only read, never changed. The answer may be as old as the beginning: who relies on
 * an order of looks (a lease, who lists snapshots before the index) begins nothing before it may
 * look. It stands inside the repetitions: a call that failed early has failed once.
 */
#ifndef HF_STORE_EARLY_H
#define HF_STORE_EARLY_H

#include "store/store.h"

/* Wraps `inner`, which it takes over. */
struct hf_store *hf_store_wrap_early(struct hf_store *inner);

struct hf_early {
	bool is_list; /* of name.kind; else all of the file `name` is read */
	struct hf_name name;
	size_t max;     /* bytes of the file; more is an error */
	double fresh_s; /* how long the answer may wait to be asked for; 0: 5 s */
};

/*
 * Begins `n` calls, each when the one before it has its answer. One that has been begun and not been
 * asked for is not begun again, but what follows it waits for it. Does nothing where a call costs
 * no round trip. Never fails: then they are not early.
 */
void hf_store_early(struct hf_store *s, const struct hf_early *calls, size_t n);

/* Forgets what has been begun and not been asked for: something has changed since. */
void hf_store_early_forget(struct hf_store *s);

/* A listing of that kind. */
static inline struct hf_early
hf_early_list(enum hf_kind kind)
{
	return (struct hf_early){.is_list = true, .name = {.kind = kind}};
}

#endif
