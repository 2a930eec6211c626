/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Showing how far something is. A thread of its own reads counters that the work keeps, so that
 * the work never waits for a terminal.
 *
 * It reports ten times a second where status lines can be shown, or under --json; otherwise, and
 * with --quiet, only when SIGUSR1 asks. RESTIC_PROGRESS_FPS (0 < f ≤ 60) overrides all of these.
 */
#ifndef HF_CLI_PROGRESS_H
#define HF_CLI_PROGRESS_H

#include <stdatomic.h>

#include "cli/cli.h"

struct hf_progress;

/* One of those counters. */
static inline uint64_t
hf_count(const atomic_uint_fast64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Called on the progress thread. `seconds` have passed since the start. */
typedef void hf_progress_fn(void *arg, double seconds);

/* True when reports will come without being asked for: counting totals ahead is worth it. */
bool hf_progress_is_shown(const struct hf_cli *cli);

/* Starts the thread. One at a time in the program. */
struct hf_progress *hf_progress_start(struct hf_cli *cli, hf_progress_fn *report, void *arg);

/* Ends the thread and removes the status lines. NULL is fine. */
void hf_progress_stop(struct hf_progress *p);

/* Seconds since the start. */
double hf_progress_seconds(const struct hf_progress *p);

/* Shows lines (separated by newlines): as status, or printed to standard error. */
void hf_progress_show(struct hf_cli *cli, struct hf_str text);

/* One counter and its total, 0 while that is not known: "[0:05] 12.00%  3 / 25 snapshots". */
struct hf_bar {
	struct hf_cli *cli;
	const char *what; /* borrowed, as are the counters */
	const atomic_uint_fast64_t *value, *max;
	struct hf_progress *progress;
};

/* `bar` stays where it is until hf_bar_stop(), which prints the last state as a line. */
void hf_bar_start(struct hf_bar *bar, struct hf_cli *cli, const char *what,
	const atomic_uint_fast64_t *value, const atomic_uint_fast64_t *max);
void hf_bar_stop(struct hf_bar *bar); /* a bar that was never started is fine if zeroed */

/*
 * Bytes per second over the last two minutes; over a longer time when little happens, so that the
 * estimate does not jump on a slow line. Belongs to one thread.
 */
struct hf_rate {
	struct {
		double end_s;
		uint64_t bytes;
	} buckets[256]; /* a ring; each is one second wide */
	unsigned first, len;
	double start_s; /* of the oldest bucket */
	uint64_t total; /* in all buckets */
	uint64_t seen;  /* the counter at the last call */
};

/* The counter stands at `bytes` now. Times never go back. */
void hf_rate_add(struct hf_rate *r, double now_s, uint64_t bytes);
double hf_rate_get(const struct hf_rate *r, double now_s); /* 0: not known yet */

#endif
