/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/stop.h"

#include "base/time.h"

struct hf_err *
hf_stop_wait(struct hf_stop *s, double seconds)
{
	const double step = 0.02;
	double end = hf_clock() + seconds, left;

	while ((left = end - hf_clock()) > 0) {
		HF_TRY(hf_stop_check(s));
		left = left < step ? left : step;
		nanosleep(&(struct timespec){.tv_nsec = (long)(left * 1e9)}, NULL);
	}
	return hf_stop_check(s);
}
