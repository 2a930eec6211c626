/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A limit of bytes per second that any number of threads keep together: a bucket that fills at
 * that rate and holds one second's worth. Whoever takes more than is in it owes the rest, and
 * waits until it is paid, so that a large piece is not sent in many small ones for the limit's
 * sake, and who comes later waits behind it.
 *
 * A transfer that can take its time calls hf_pace_wait() with each piece, before it is sent or
 * after it has come (TCP then slows the other side down). One that may not block, such as a
 * transfer that libcurl runs beside others, calls hf_pace_take() and goes on after that time.
 */
#ifndef HF_BASE_PACE_H
#define HF_BASE_PACE_H

#include <pthread.h>

#include "base/stop.h"

struct hf_pace {
	pthread_mutex_t lock;
	double rate; /* bytes per second */
	double due;  /* on hf_clock(): when all that was taken has been paid for */
};

/* `rate`: bytes per second, more than 0. */
void hf_pace_init(struct hf_pace *p, double rate);
void hf_pace_clear(struct hf_pace *p);

/* Takes `bytes`; returns the seconds to wait from now on, 0 if none. NULL is no limit. */
double hf_pace_take(struct hf_pace *p, size_t bytes);

/* Takes and waits. HF_ECANCELED: `stop`, which may be NULL, has cut the wait short. */
struct hf_err *hf_pace_wait(struct hf_pace *p, size_t bytes, struct hf_stop *stop) HF_MUST;

#endif
