/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/bits.h"

#include <stdlib.h>

#include "base/auto.h"

void
hf_bits_init(struct hf_bits *b, size_t n)
{
	b->n = n;
	b->v = hf_alloc_(n / 64 + 1, sizeof *b->v);
}

void
hf_bits_clear(struct hf_bits *b)
{
	free(b->v);
	*b = (struct hf_bits){0};
}
