/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of numbers below a limit: one bit each. Any number of threads may add and ask at once. */
#ifndef HF_BASE_BITS_H
#define HF_BASE_BITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

/* A zeroed one is empty, and takes nothing. */
struct hf_bits {
	atomic_uint_fast64_t *v;
	size_t n;
};

static inline void
hf_bits_init(struct hf_bits *b, size_t n)
{
	b->n = n;
	b->v = (atomic_uint_fast64_t *)hf_alloc_(n / 64 + 1, sizeof *b->v);
}

static inline void
hf_bits_clear(struct hf_bits *b)
{
	free(b->v);
	*b = (struct hf_bits){0};
}

static inline bool
hf_bits_has(const struct hf_bits *b, size_t i)
{
	return atomic_load_explicit(&b->v[i / 64], memory_order_relaxed) >> i % 64 & 1;
}

/* True: it was not in the set before. */
static inline bool
hf_bits_add(struct hf_bits *b, size_t i)
{
	uint64_t bit = UINT64_C(1) << i % 64;

	if (hf_bits_has(b, i))
		return false;
	return (atomic_fetch_or_explicit(&b->v[i / 64], bit, memory_order_relaxed) & bit) == 0;
}

#endif
