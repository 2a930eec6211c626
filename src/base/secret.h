/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that nobody else may see: passwords and keys. Wiped when they go out of scope, never
 * copied into an error text, and without a printed form.
 */
#ifndef HF_BASE_SECRET_H
#define HF_BASE_SECRET_H

#include <string.h>

#include "base/auto.h"
#include "base/buf.h"

struct hf_secret {
	uint8_t *p; /* owned */
	size_t len;
};

static inline void
hf_secret_clear(struct hf_secret *s)
{
	if (s->p != NULL)
		explicit_bzero(s->p, s->len);
	free(s->p);
	*s = (struct hf_secret){0};
}

/* A wiped-on-clear copy of `b`, with a byte of zero behind it; what was in *s is wiped first. */
static inline void
hf_secret_set(struct hf_secret *s, struct hf_bytes b)
{
	hf_secret_clear(s);
	s->p = hf_alloc_(b.len + 1, 1);
	if (b.len > 0)
		memcpy(s->p, b.p, b.len);
	s->len = b.len;
}

#endif
