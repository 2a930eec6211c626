/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fiber is born with makecontext() and afterwards changed to and from with siglongjmp(), which
 * unlike swapcontext() makes no system call. That jumps between stacks, which the fortified
 * version forbids, and which the sanitizers want to be told of.
 */
#undef _FORTIFY_SOURCE
#include "sim/fiber.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define HAS_ASAN 1
#include <sanitizer/common_interface_defs.h>
#else
#define HAS_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#include <sanitizer/tsan_interface.h>
#else
#define HAS_TSAN 0
#endif

enum { STACK_SIZE = 256 << 10 };

struct fiber {
	sigjmp_buf place; /* where it was left */
	void (*fn)(void *);
	void *arg;
	char *stack;
	bool has_begun, has_ended;
	struct fiber *next; /* in the pool */
#if HAS_ASAN
	void *fake_stack;
#endif
#if HAS_TSAN
	void *tsan;
#endif
};

static struct fiber *pool, *running;
static sigjmp_buf home;
#if HAS_ASAN
static void *home_fake_stack;
static const void *home_bottom;
static size_t home_size;
#endif
#if HAS_TSAN
static void *home_tsan;
#endif

/* Before a jump into `f`, or home if that is NULL; and on arrival. */
static void
tell_departure(struct fiber *from, struct fiber *to)
{
	(void)from;
	(void)to;
#if HAS_ASAN
	__sanitizer_start_switch_fiber(from != NULL ? &from->fake_stack : &home_fake_stack,
		to != NULL ? to->stack : home_bottom, to != NULL ? STACK_SIZE : home_size);
#endif
#if HAS_TSAN
	if (from == NULL)
		home_tsan = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(to != NULL ? to->tsan : home_tsan, 0);
#endif
}

static void
tell_arrival(struct fiber *at)
{
	(void)at;
#if HAS_ASAN
	if (at != NULL)
		__sanitizer_finish_switch_fiber(at->fake_stack, &home_bottom, &home_size);
	else
		__sanitizer_finish_switch_fiber(home_fake_stack, NULL, NULL);
#endif
}

/* Its first frame, which is never left: the stack serves one fiber after the other. */
static void
live(void)
{
	tell_arrival(running);
	for (;;) {
		running->fn(running->arg);
		running->has_ended = true;
		fiber_leave();
	}
}

struct fiber *
fiber_new(void (*fn)(void *arg), void *arg)
{
	struct fiber *f = pool;

	if (f != NULL) {
		pool = f->next;
	} else {
		f = calloc(1, sizeof *f);
		if (f == NULL)
			abort();
		f->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		if (f->stack == MAP_FAILED)
			abort();
#if HAS_TSAN
		f->tsan = __tsan_create_fiber(0);
#endif
	}
	f->fn = fn;
	f->arg = arg;
	f->has_ended = false;
	return f;
}

/* Never returns here; what AddressSanitizer knows of this frame would be in the way of others. */
static void
begin(struct fiber *f)
{
	static ucontext_t context;

	f->has_begun = true;
	if (getcontext(&context) != 0)
		abort();
	context.uc_stack.ss_sp = f->stack;
	context.uc_stack.ss_size = STACK_SIZE;
	context.uc_link = NULL;
	makecontext(&context, live, 0);
	tell_departure(NULL, f);
	setcontext(&context);
	abort();
}

static void
jump_in(struct fiber *f)
{
	running = f;
	if (sigsetjmp(home, 0) != 0)
		return;
	if (!f->has_begun)
		begin(f);
	tell_departure(NULL, f);
	siglongjmp(f->place, 1);
}

bool
fiber_enter(struct fiber *f)
{
	jump_in(f);
	tell_arrival(NULL);
	f = running;
	running = NULL;
	if (!f->has_ended)
		return false;
	f->next = pool;
	pool = f;
	return true;
}

void
fiber_leave(void)
{
	if (sigsetjmp(running->place, 0) == 0) {
		tell_departure(running, NULL);
		siglongjmp(home, 1);
	}
	tell_arrival(running);
}

void
fiber_cleanup(void)
{
	while (pool != NULL) {
		struct fiber *f = pool;

		pool = f->next;
#if HAS_TSAN
		__tsan_destroy_fiber(f->tsan);
#endif
		munmap(f->stack, STACK_SIZE);
		free(f);
	}
}
