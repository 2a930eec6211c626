/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of numbers below a limit, one bit for each. Adding and asking are atomic. */
#ifndef HF_BASE_BITS_H
#define HF_BASE_BITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_bits {
	atomic_uint_fast64_t *v;
	size_t n;
};

/* Empty, for numbers in 0 … n - 1. */
void hf_bits_init(struct hf_bits *b, size_t n);
void hf_bits_clear(struct hf_bits *b); /* a zeroed one is fine */

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
