/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated store. Its core is linearizable: a put or a deletion happens at one moment. What
 * an actor sees of it is as bad as the world's weather: every call takes a while before and after
 * that moment, answers get lost, puts land after their caller has given up, listings are read
 * entry by entry, and may lag.
 */
#ifndef HF_TESTS_SIM_DEPOT_H
#define HF_TESTS_SIM_DEPOT_H

#include "sim/world.h"

/* A handle for the actor of that index. Freed by its repository. */
struct hf_store *depot_handle(unsigned actor);

/* Forgets all files but key and config. */
void depot_begin(void);

/* What the handles promise is what the world says, from now on; no gates. */
void depot_promise(void);
void depot_free(void);

/* What is there, looked at from outside, without any sleep. */
struct depot_file {
	struct hf_name name;
	uint8_t *data;
	size_t len;
	int64_t born;
	struct claim *claim; /* of a lock */
};
struct depot_file *depot_find(const struct hf_name *name);
struct depot_file *depot_nth(enum hf_kind kind, unsigned n); /* NULL: there are not so many */

/* Deletes a file at once. By whom: NULL is by force. */
void depot_remove(struct depot_file *f, struct actor *by);

#endif
