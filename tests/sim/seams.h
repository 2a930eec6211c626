/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the code under test meets the world: who am I, what time is it, a random number, a new
 * thread. The linker leads these calls here (--wrap), so that the code itself is the program's
 * own. The errors of enum mutation are built in the same way.
 */
#ifndef HF_TESTS_SIM_SEAMS_H
#define HF_TESTS_SIM_SEAMS_H

/* Before each run: what was kept from the one before is forgotten. */
void seams_begin(void);

#endif
