/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where bytes go as they come, for who need not have all of them at once. The functions are called
 * on the thread that waits for the bytes, and may take their time: nothing more comes meanwhile.
 */
#ifndef HF_BASE_SINK_H
#define HF_BASE_SINK_H

#include <stddef.h>

#include "base/buf.h"

/* The T whose member `p` points to: how an implementation finds its own data. */
#define hf_container_of(p, T, member) ((T *)(void *)((char *)(p)-offsetof(T, member)))

struct hf_sink {
	/* What comes next is the first byte. Any number of times: a try that failed is repeated. */
	void (*begin)(struct hf_sink *s);
	/* The next bytes, which are gone afterwards. An error ends it all and is passed on. */
	struct hf_err *(*take)(struct hf_sink *s, struct hf_bytes bytes);
};

#endif
