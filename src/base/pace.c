/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/pace.h"

#include "base/time.h"

void
hf_pace_init(struct hf_pace *p, double rate)
{
	pthread_mutex_init(&p->lock, NULL);
	p->rate = rate;
	p->due = 0;
}

void
hf_pace_clear(struct hf_pace *p)
{
	pthread_mutex_destroy(&p->lock);
}

double
hf_pace_take(struct hf_pace *p, size_t bytes)
{
	double now, wait;

	if (p == NULL)
		return 0;
	now = hf_clock();
	pthread_mutex_lock(&p->lock);
	if (p->due < now - 1)
		p->due = now - 1;
	p->due += (double)bytes / p->rate;
	wait = p->due - now;
	pthread_mutex_unlock(&p->lock);
	return wait > 0 ? wait : 0;
}

struct hf_err *
hf_pace_wait(struct hf_pace *p, size_t bytes, struct hf_stop *stop)
{
	double wait = hf_pace_take(p, bytes);

	return wait > 0 ? hf_stop_wait(stop, wait) : NULL;
}
