/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HF_BASE_GROUP_H
#define HF_BASE_GROUP_H

#include "base/err.h"

struct hf_group;

/* A set of threads that succeed or fail as one.  `stop(arg)` runs once, on the first failure. */
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
