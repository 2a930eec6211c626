/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cleanup at end of scope, in four spellings.  A variable declared with one of them must be
 * initialized in the same line; hf_steal() takes the value out and disarms the cleanup.
 */
#ifndef HF_BASE_AUTO_H
#define HF_BASE_AUTO_H

#include <stdlib.h>
#include <unistd.h>

#define hf_autofree   __attribute__((cleanup(hf_auto_free_)))
#define hf_autofd     __attribute__((cleanup(hf_auto_close_), unused))
#define hf_auto(T)    __attribute__((cleanup(T##_clear))) struct T
#define hf_autoptr(T) __attribute__((cleanup(T##_freep_))) struct T *

/* Declares what hf_autoptr(T) needs; stands under the declaration of T_free(). */
#define HF_AUTOPTR(T)                                                                          \
	static inline void T##_freep_(struct T **p)                                            \
	{                                                                                      \
		T##_free(*p);                                                                  \
	}

#define hf_steal(p)                                                                            \
	__extension__({                                                                        \
		__typeof__(p) taken_ = (p);                                                    \
		(p) = NULL;                                                                    \
		taken_;                                                                        \
	})

/* The same for a descriptor. */
static inline int
hf_steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Zeroed memory for one T.  Small and of fixed size: without memory it ends the program. */
#define hf_new(T) ((T *)hf_alloc_(1, sizeof(T)))

static inline void *
hf_alloc_(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		abort();
	return p;
}

/* Room for `n` elements in a list that is bounded elsewhere. Ends the program without memory. */
static inline void *
hf_realloc_array(void *p, size_t n, size_t size)
{
	void *q = reallocarray(p, n, size);

	if (q == NULL && n > 0)
		abort();
	return q;
}

static inline void
hf_auto_free_(void *p)
{
	free(*(void **)p);
}

static inline void
hf_auto_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#endif
