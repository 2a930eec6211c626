/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/queue.h"

#include <pthread.h>

struct hf_queue {
	pthread_mutex_t lock;
	pthread_cond_t room, data;
	void (*drop)(void *);
	size_t cap, head, len;
	bool closed;
	void *ring[];
};

struct hf_queue *
hf_queue_new(size_t cap, void (*drop)(void *))
{
	struct hf_queue *q = calloc(1, sizeof *q + cap * sizeof q->ring[0]);

	if (q == NULL)
		abort();
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->room, NULL);
	pthread_cond_init(&q->data, NULL);
	q->cap = cap;
	q->drop = drop;
	return q;
}

void
hf_queue_free(struct hf_queue *q)
{
	if (q == NULL)
		return;
	for (; q->len > 0; q->len--, q->head = (q->head + 1) % q->cap)
		q->drop(q->ring[q->head]);
	pthread_cond_destroy(&q->data);
	pthread_cond_destroy(&q->room);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

bool
hf_queue_push(struct hf_queue *q, void *item)
{
	pthread_mutex_lock(&q->lock);
	while (q->len == q->cap && !q->closed)
		pthread_cond_wait(&q->room, &q->lock);
	bool took = !q->closed;
	if (took) {
		q->ring[(q->head + q->len++) % q->cap] = item;
		pthread_cond_signal(&q->data);
	}
	pthread_mutex_unlock(&q->lock);
	return took;
}

void *
hf_queue_pop(struct hf_queue *q)
{
	void *item = NULL;

	pthread_mutex_lock(&q->lock);
	while (q->len == 0 && !q->closed)
		pthread_cond_wait(&q->data, &q->lock);
	if (q->len > 0) {
		item = q->ring[q->head];
		q->head = (q->head + 1) % q->cap;
		q->len--;
		pthread_cond_signal(&q->room);
	}
	pthread_mutex_unlock(&q->lock);
	return item;
}

void
hf_queue_close(struct hf_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->room);
	pthread_cond_broadcast(&q->data);
	pthread_mutex_unlock(&q->lock);
}
