/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a system call of another process is about: its name, and the files that it names by a path
 * or a descriptor. Made for stopat, which holds the process at the call while it asks.
 */
#ifndef HF_CACHE_CALLS_H
#define HF_CACHE_CALLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call {
	const char *name;        /* "openat" */
	bool may_be_interrupted; /* can return EINTR, by its manual */
	bool must_run;           /* has its effect even when it fails: close */
	/*
	 * Absolute paths, on the heap; NULL: none. Of two the second is where something is made
	 * (rename, link). A name without its file is as the kernel shows it, without " (deleted)".
	 */
	char *paths[2];
};

/*
 * Describes call number `nr` with its arguments, which thread `tid` is about to make. False when it
 * concerns no file that has a path (a pipe, a socket), or none of the calls known here. Paths are
 * made absolute by text: no symbolic link in them is followed.
 */
bool call_describe(pid_t tid, uint64_t nr, const uint64_t args[6], struct call *out);

void call_clear(struct call *c);

/* Whether a call of that name is known, on any architecture. */
bool call_is_known(const char *name, size_t len);

#endif
