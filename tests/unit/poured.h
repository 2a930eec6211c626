/* SPDX-License-Identifier: BSD-2-Clause */
/* A sink that keeps what was poured since the last beginning. */
#ifndef HF_TESTS_UNIT_POURED_H
#define HF_TESTS_UNIT_POURED_H

#include "base/sink.h"
#include "harness/test.h"

struct poured {
	struct hf_sink sink;
	struct hf_buf bytes; /* when it is full, HF_EFATAL */
	size_t most;         /* more bytes than so many are refused with HF_ECANCELED */
	unsigned n_begun;
};

static inline void
poured_begin(struct hf_sink *sink)
{
	struct poured *p = hf_container_of(sink, struct poured, sink);

	hf_buf_reset(&p->bytes);
	p->n_begun++;
}

static inline struct hf_err *
poured_take(struct hf_sink *sink, struct hf_bytes bytes)
{
	struct poured *p = hf_container_of(sink, struct poured, sink);

	CHECK(p->n_begun > 0);
	if (p->bytes.len + bytes.len > p->most)
		return hf_err(HF_ECANCELED, "no more of this");
	hf_buf_add(&p->bytes, bytes.p, bytes.len);
	return hf_buf_ok(&p->bytes);
}

/* One with room for `max` bytes. */
static inline struct poured
poured_new(size_t max)
{
	return (struct poured){.sink = {poured_begin, poured_take},
		.bytes = HF_BUF_MAX(max),
		.most = SIZE_MAX};
}

static inline void
poured_clear(struct poured *p)
{
	hf_buf_clear(&p->bytes);
}

#endif
