/* SPDX-License-Identifier: BSD-2-Clause */
/* The same work on many things that have numbers, several at once. */
#ifndef HF_BASE_EACH_H
#define HF_BASE_EACH_H

#include "base/stop.h"

struct hf_each {
	size_t n;         /* things, with the numbers 0 … n - 1 */
	unsigned threads; /* at most; there are never more than things */
	const char *name; /* of the threads */
	struct hf_stop *stop;
	struct hf_err *(*one)(void *arg, size_t i); /* on any of them */
	void *arg;
};

/*
 * Calls one(arg, i) for each of them, beginning in the order of the numbers. The first error ends it:
 * what is under way is waited for, and nothing new begins. HF_ECANCELED: `stop` was set.
 */
struct hf_err *hf_each(const struct hf_each *how) HF_MUST;

#endif
