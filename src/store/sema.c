/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/sema.h"

#include <pthread.h>

#include "store/call.h"

struct sema {
	struct hf_around around;
	pthread_mutex_t lock; /* guards what follows; never held during a call */
	pthread_cond_t is_free;
	unsigned n_free;
};

static struct sema *
sema_of(struct hf_around *a)
{
	return hf_container_of(a, struct sema, around);
}

static void
enter(struct sema *m)
{
	pthread_mutex_lock(&m->lock);
	while (m->n_free == 0)
		pthread_cond_wait(&m->is_free, &m->lock);
	m->n_free--;
	pthread_mutex_unlock(&m->lock);
}

static void
leave(struct sema *m)
{
	pthread_mutex_lock(&m->lock);
	m->n_free++;
	pthread_cond_signal(&m->is_free);
	pthread_mutex_unlock(&m->lock);
}

static struct hf_err *
sema_around(struct hf_around *a, struct hf_call *c)
{
	struct hf_err *e;

	if (hf_call_is_lock(c))
		return hf_call_run(c, a->inner);
	enter(sema_of(a));
	e = hf_call_pass(c, a->inner);
	if (e == NULL)
		e = hf_call_run(c, a->inner);
	leave(sema_of(a));
	return e;
}

static void
sema_free(struct hf_around *a)
{
	struct sema *m = sema_of(a);

	pthread_cond_destroy(&m->is_free);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

struct hf_store *
hf_store_sema(struct hf_store *inner)
{
	struct sema *m = hf_new(struct sema);

	hf_around_init(&m->around, inner);
	m->around.around = sema_around;
	m->around.free = sema_free;
	/* Or a function that is told of a file, and reads it, would wait for itself. */
	m->around.keeps_lists = true;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->is_free, NULL);
	m->n_free = hf_store_connections(inner);
	return &m->around.store;
}
