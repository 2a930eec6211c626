/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that work on one thing, and fail as one: the first error wins, stops the others by
 * way of a function of the caller's (which closes their queues), and is what wait() returns.
 */
#ifndef HF_BASE_GROUP_H
#define HF_BASE_GROUP_H

#include "base/err.h"

struct hf_group;

/* `stop(arg)` runs once, on the first failure, on the thread that failed; NULL does nothing. */
struct hf_group *hf_group_new(void (*stop)(void *arg), void *arg);
/* Joins all threads, drops an error nobody asked for. */
void hf_group_free(struct hf_group *g);
HF_AUTOPTR(hf_group)

/* Runs fn(arg) on a new thread named `name` (15 bytes at most). */
struct hf_err *hf_group_go(struct hf_group *g, const char *name,
	struct hf_err *(*fn)(void *arg), void *arg) HF_MUST;
/* Joins all threads; the first error of any, NULL when all returned NULL. */
struct hf_err *hf_group_wait(struct hf_group *g) HF_MUST;

#endif
