/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/clocks.h"

#include <time.h>

#include "base/io.h"

void
hf_bell_init(struct hf_bell *b)
{
	pthread_condattr_t attr;

	b->is_rung = false;
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->rings, &attr);
	pthread_condattr_destroy(&attr);
}

void
hf_bell_clear(struct hf_bell *b)
{
	pthread_cond_destroy(&b->rings);
	pthread_mutex_destroy(&b->lock);
}

void
hf_bell_ring(struct hf_bell *b)
{
	pthread_mutex_lock(&b->lock);
	b->is_rung = true;
	pthread_cond_broadcast(&b->rings);
	pthread_mutex_unlock(&b->lock);
}

void
hf_bell_reset(struct hf_bell *b)
{
	pthread_mutex_lock(&b->lock);
	b->is_rung = false;
	pthread_mutex_unlock(&b->lock);
}

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * HF_SECOND + ts.tv_nsec;
}

static int64_t
kernel_boot(void *arg)
{
	(void)arg;
	return read_clock(CLOCK_BOOTTIME);
}

static int64_t
kernel_awake(void *arg)
{
	(void)arg;
	return read_clock(CLOCK_MONOTONIC);
}

static int64_t
kernel_wall(void *arg)
{
	(void)arg;
	return read_clock(CLOCK_REALTIME);
}

static void
kernel_wait(void *arg, struct hf_bell *bell, int64_t until)
{
	int64_t left = until - kernel_boot(arg), end;
	struct timespec ts;

	if (left <= 0)
		return;
	end = kernel_awake(arg) + (left < HF_SECOND ? left : HF_SECOND);
	ts = (struct timespec){(time_t)(end / HF_SECOND), (long)(end % HF_SECOND)};
	pthread_mutex_lock(&bell->lock);
	while (!bell->is_rung && pthread_cond_timedwait(&bell->rings, &bell->lock, &ts) == 0)
		continue;
	pthread_mutex_unlock(&bell->lock);
}

static uint64_t
kernel_random(void *arg)
{
	uint64_t n;

	(void)arg;
	hf_random(&n, sizeof n);
	return n;
}

const struct hf_clocks hf_clocks_kernel = {
	.boot = kernel_boot,
	.awake = kernel_awake,
	.wall = kernel_wall,
	.wait = kernel_wait,
	.random = kernel_random,
};
