/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clocks that a lease lives by, and waiting, behind a table of functions: the program has the
 * kernel's, tests have clocks that jump, stop and disagree as they are told.
 *
 * Three clocks, because each alone can lie (locking-design, D3 and D6):
 *
 *	boot   CLOCK_BOOTTIME: nobody can set it, and it counts the time that the host sleeps
 *	awake  CLOCK_MONOTONIC: the same without that time
 *	wall   CLOCK_REALTIME: people and NTP step it, but it is the one that also moves while a
 *	       virtual machine is paused or its image is carried elsewhere
 */
#ifndef HF_BASE_CLOCKS_H
#define HF_BASE_CLOCKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Something to wait for besides time. Rings until it is reset. */
struct hf_bell {
	pthread_mutex_t lock;
	pthread_cond_t rings;
	bool is_rung; /* under the lock */
};

void hf_bell_init(struct hf_bell *b);
void hf_bell_clear(struct hf_bell *b);
void hf_bell_ring(struct hf_bell *b);  /* any thread */
void hf_bell_reset(struct hf_bell *b); /* any thread */

/* All times are nanoseconds. */
struct hf_clocks {
	int64_t (*boot)(void *arg);
	int64_t (*awake)(void *arg);
	int64_t (*wall)(void *arg); /* since 1970 */
	/*
	 * Returns when the boot clock has reached `until` or `bell` rings, and may return
	 * earlier. The kernel's waits for at most one second at a time, because a sleeping host
	 * does not count its sleep here: whoever waits looks at the clocks again.
	 */
	void (*wait)(void *arg, struct hf_bell *bell, int64_t until);
	uint64_t (*random)(void *arg);
	void *arg;
};

/* The kernel's. */
extern const struct hf_clocks hf_clocks_kernel;

#define HF_SECOND INT64_C(1000000000)

static inline int64_t
hf_ns(double seconds)
{
	return (int64_t)(seconds * 1e9);
}

#endif
