/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fibers: functions that can be left in the middle and entered again, all on one thread. What is
 * inside of them runs only when somebody enters it, so that whoever enters decides about the order
 * of everything.
 */
#ifndef HF_TESTS_SIM_FIBER_H
#define HF_TESTS_SIM_FIBER_H

#include <stdbool.h>

struct fiber;

/* A fiber that will run fn(arg); it has not begun. Its stack is used again after it has ended. */
struct fiber *fiber_new(void (*fn)(void *arg), void *arg);

/* Runs it until it leaves or ends. Not from inside of a fiber. True: it has ended, and is gone. */
bool fiber_enter(struct fiber *f);

/* From inside: back to who entered. Returns when it is entered again. */
void fiber_leave(void);

/* Frees the stacks of all that have ended. */
void fiber_cleanup(void);

#endif
