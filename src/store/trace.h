/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wrapper that tells of every call in one line: when it began, what it was, which file, the range
 * or the result, how long it took and how it ended:
 *
 *	2026-03-01T12:00:00.5Z put data/3f/3f2a… 16781312 bytes 240.113 ms ok
 *	2026-03-01T12:00:00.5Z get index/9c01… from 0, all: 81220 bytes 3.020 ms ok
 *	2026-03-01T12:00:00.5Z list locks 2 files 1.200 ms ok
 *	2026-03-01T12:00:00.5Z del locks/77ab… 1.200 ms failed: no such file
 *
 * The names of files stand in full. Of their content nothing is told.
 */
#ifndef HF_STORE_TRACE_H
#define HF_STORE_TRACE_H

#include "store/store.h"

/* Takes a line, without newline; called from any thread. */
typedef void hf_trace_fn(void *arg, const char *line);

/* Wraps `inner`, which it takes over. */
struct hf_store *hf_store_trace(struct hf_store *inner, hf_trace_fn *fn, void *arg);

#endif
