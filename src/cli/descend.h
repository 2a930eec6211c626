/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes that came out of a command: its children, theirs, and those whose parents ended
 * and who were handed to the process that waits for them (PR_SET_CHILD_SUBREAPER). A process group
 * is not enough to find them, for a daemon leaves it.
 *
 * What is found is a picture that ages while it is taken; who wants all of them stopped looks again
 * until there is nothing new. Processes are addressed by number and start time, so that a number
 * that was given to somebody else meanwhile does no harm.
 */
#ifndef HF_CLI_DESCEND_H
#define HF_CLI_DESCEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_relative {
	pid_t pid, group;
	uint64_t start; /* field 22 of /proc/PID/stat */
	bool is_awake;  /* a thread of it is not stopped */
	bool is_zombie; /* ended, and nobody has looked yet */
};

enum { HF_RELATIVES_MAX = 32768 };

/* Large: static, or mapped. What does not fit is left out. */
struct hf_relatives {
	size_t len;
	struct hf_relative v[HF_RELATIVES_MAX];
};

/* All processes below `root`, without it, and without `except` and what is below that (0: none). */
void hf_relatives_find(pid_t root, pid_t except, struct hf_relatives *out);

/*
 * The same when the process that waited for them is dead, and orphans are handed to somebody else:
 * all below `child` with it, all in its group, and all that have `mark` ("NAME=value") in their
 * environment. `start` is its start time: a process of that number which began at another time,
 * and its group, are not meant; 0: not known.
 */
void hf_relatives_search(
	pid_t child, uint64_t start, const char *mark, struct hf_relatives *out);

/* When a process began; 0: there is none. */
uint64_t hf_relative_start(pid_t pid);

/* How many of them have not ended. */
size_t hf_relatives_alive(const struct hf_relatives *r);

/* Sends `sig` to this very process. False: it is gone, or it must not be signalled. */
bool hf_relative_signal(const struct hf_relative *r, int sig);

#endif
