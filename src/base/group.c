/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/group.h"

#include <pthread.h>

enum { MAX_THREADS = 256 };

struct member {
	struct hf_group *g;
	struct hf_err *(*fn)(void *);
	void *arg;
	pthread_t id;
};

struct hf_group {
	pthread_mutex_t lock;
	void (*stop)(void *);
	void *arg;
	struct hf_err *first;
	unsigned n;
	struct member m[MAX_THREADS];
};

struct hf_group *
hf_group_new(void (*stop)(void *), void *arg)
{
	struct hf_group *g = calloc(1, sizeof *g);

	if (g == NULL)
		abort();
	pthread_mutex_init(&g->lock, NULL);
	g->stop = stop;
	g->arg = arg;
	return g;
}

static void *
run(void *arg)
{
	struct member *m = arg;
	struct hf_group *g = m->g;
	struct hf_err *e = m->fn(m->arg);

	if (e == NULL)
		return NULL;
	pthread_mutex_lock(&g->lock);
	bool is_first = g->first == NULL;
	if (is_first)
		g->first = e;
	pthread_mutex_unlock(&g->lock);
	if (!is_first)
		hf_err_free(e);
	else if (g->stop != NULL)
		g->stop(g->arg);
	return NULL;
}

struct hf_err *
hf_group_go(struct hf_group *g, const char *name, struct hf_err *(*fn)(void *), void *arg)
{
	if (g->n == MAX_THREADS)
		return hf_err(HF_EFATAL, "more than %d threads in a group", MAX_THREADS);
	struct member *m = &g->m[g->n];

	*m = (struct member){.g = g, .fn = fn, .arg = arg};
	int en = pthread_create(&m->id, NULL, run, m);

	if (en != 0)
		return hf_err_errno(en, "starting thread %s", name);
	pthread_setname_np(m->id, name);
	g->n++;
	return NULL;
}

struct hf_err *
hf_group_wait(struct hf_group *g)
{
	while (g->n > 0)
		pthread_join(g->m[--g->n].id, NULL);
	return hf_steal(g->first);
}

void
hf_group_free(struct hf_group *g)
{
	if (g == NULL)
		return;
	hf_err_free(hf_group_wait(g));
	pthread_mutex_destroy(&g->lock);
	free(g);
}
