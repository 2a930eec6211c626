/* SPDX-License-Identifier: BSD-2-Clause */
/* What every target has: its one function, and the end when something does not hold. */
#ifndef HF_FUZZ_FUZZ_H
#define HF_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void
must(bool cond, const char *what)
{
	if (!cond) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

#endif
