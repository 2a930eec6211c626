/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/early.h"

#include <pthread.h>

#include "base/time.h"
#include "store/call.h"

enum { MAX_WISHES = 16 };

#define FRESH_S 5.0

/* A call that was begun. Those without an answer stay in the list: their threads use them. */
struct wish {
	struct wish *next;
	struct early *early;
	pthread_t thread; /* joined by who takes the wish out of the list */
	struct hf_early what;
	unsigned number, after; /* waits for that one, if it is in the list; 0: for none */
	bool is_done, is_forgotten;
	double done_at;      /* hf_clock() */
	struct hf_buf bytes; /* of the file, or entries of the listing */
	struct hf_err *error;
};

struct early {
	struct hf_around around;

	pthread_mutex_t lock; /* guards what follows; never held during a call */
	pthread_cond_t changed;
	struct wish *first;
	unsigned count, n;
	bool ends;
};

static void
wish_free(struct wish *w)
{
	if (w == NULL)
		return;
	hf_buf_clear(&w->bytes);
	hf_err_free(w->error);
	free(w);
}
HF_AUTOPTR(wish)

/* ---- beginning ---- */

static bool
is_same(const struct hf_early *a, bool is_list, const struct hf_name *name)
{
	return a->is_list == is_list && a->name.kind == name->kind &&
	       (is_list || hf_id_eq(&a->name.id, &name->id));
}

/* Under the lock. */
static struct wish *
find(struct early *m, bool is_list, const struct hf_name *name)
{
	struct wish *w = m->first;

	while (w != NULL && (w->is_forgotten || !is_same(&w->what, is_list, name)))
		w = w->next;
	return w;
}

/* Under the lock. */
static bool
is_under_way(const struct early *m, unsigned number)
{
	for (const struct wish *w = m->first; w != NULL; w = w->next)
		if (w->number == number)
			return !w->is_done;
	return false;
}

static struct hf_err *
make_call(struct wish *w)
{
	struct hf_call c = {.op = w->what.is_list ? HF_OP_LIST : HF_OP_GET,
		.name = w->what.name,
		.len = SIZE_MAX,
		.out = &w->bytes,
		.kept = &w->bytes};

	return hf_call_run(&c, w->early->around.inner);
}

static void *
run(void *arg)
{
	struct wish *w = arg;
	struct early *m = w->early;

	pthread_mutex_lock(&m->lock);
	while (!m->ends && is_under_way(m, w->after))
		pthread_cond_wait(&m->changed, &m->lock);
	bool ends = m->ends;
	pthread_mutex_unlock(&m->lock);
	struct hf_err *e = ends ? hf_err(HF_ECANCELED, "interrupted") : make_call(w);
	pthread_mutex_lock(&m->lock);
	w->error = e;
	w->is_done = true;
	w->done_at = hf_clock();
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* Begins one call; returns its number, 0 if it was not begun. */
static unsigned
begin(struct early *m, const struct hf_early *what, unsigned after)
{
	unsigned number = 0;

	pthread_mutex_lock(&m->lock);
	struct wish *w = find(m, what->is_list, &what->name);
	if (w != NULL) {
		number = w->number;
	} else if (m->n < MAX_WISHES) {
		w = hf_new(struct wish);
		*w = (struct wish){.next = m->first,
			.early = m,
			.what = *what,
			.number = m->count + 1,
			.after = after,
			.bytes = {.max = what->max, .spill = HF_BUF_SPILL}};
		if (what->is_list)
			w->bytes.max = HF_CALL_MAX_LIST;
		if (pthread_create(&w->thread, NULL, run, w) == 0) {
			m->first = w;
			m->n++;
			number = ++m->count;
		} else {
			wish_free(w);
		}
	}
	pthread_mutex_unlock(&m->lock);
	return number;
}

void
hf_store_early(struct hf_store *s, const struct hf_early *calls, size_t n)
{
	unsigned number = 0;

	while (s != NULL && s->early == NULL)
		s = s->inner;
	for (size_t i = 0; s != NULL && i < n; i++) {
		number = begin(s->early, &calls[i], number);
		if (number == 0)
			return;
	}
}

void
hf_store_early_forget(struct hf_store *s)
{
	while (s != NULL && s->early == NULL)
		s = s->inner;
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->early->lock);
	for (struct wish *w = s->early->first; w != NULL; w = w->next)
		w->is_forgotten = true;
	pthread_mutex_unlock(&s->early->lock);
}

/* ---- answering ---- */

/* Under the lock. Out of the list; NULL: another thread was faster. */
static struct wish *
cut_out(struct early *m, unsigned number)
{
	for (struct wish **at = &m->first; *at != NULL; at = &(*at)->next) {
		struct wish *w = *at;

		if (w->number != number)
			continue;
		*at = w->next;
		m->n--;
		return w;
	}
	return NULL;
}

/* The wish that `c` fulfils, when it has its answer; NULL: there is none. */
static struct wish *
take(struct early *m, const struct hf_call *c)
{
	bool is_list = c->op == HF_OP_LIST;
	double now = hf_clock();

	if (!is_list &&
		(c->op != HF_OP_GET || c->sink != NULL || c->off != 0 || c->len != SIZE_MAX))
		return NULL;
	pthread_mutex_lock(&m->lock);
	struct wish *w = find(m, is_list, &c->name);
	unsigned number = w != NULL ? w->number : 0;

	while (w != NULL && is_under_way(m, number))
		pthread_cond_wait(&m->changed, &m->lock);
	w = w != NULL ? cut_out(m, number) : NULL;
	pthread_mutex_unlock(&m->lock);
	if (w == NULL)
		return NULL;
	pthread_join(w->thread, NULL);
	if (now - w->done_at < (w->what.fresh_s > 0 ? w->what.fresh_s : FRESH_S))
		return w;
	wish_free(w);
	return NULL;
}

static struct hf_err *
early_around(struct hf_around *a, struct hf_call *c)
{
	struct early *m = hf_container_of(a, struct early, around);
	hf_autoptr(wish) w = take(m, c);

	if (w == NULL)
		return hf_call_run(c, a->inner);
	if (w->error != NULL)
		return hf_steal(w->error);
	if (c->op == HF_OP_LIST)
		return hf_call_tell(&w->bytes, c->name.kind, c->fn, c->arg);
	if (w->bytes.len > c->out->max - c->out->len)
		return hf_err(HF_EFATAL, "the file is too large");
	hf_buf_add(c->out, w->bytes.p, w->bytes.len);
	return hf_buf_ok(c->out);
}

/* ---- beginning and end ---- */

/* Before the store inside goes: its calls are over then. */
static void
early_quit(struct hf_around *a)
{
	struct early *m = hf_container_of(a, struct early, around);

	pthread_mutex_lock(&m->lock);
	m->ends = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	for (struct wish *w = m->first; w != NULL; w = w->next)
		pthread_join(w->thread, NULL);
}

static void
early_free(struct hf_around *a)
{
	struct early *m = hf_container_of(a, struct early, around);

	for (struct wish *w = m->first, *next; w != NULL; w = next) {
		next = w->next;
		wish_free(w);
	}
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

struct hf_store *
hf_store_wrap_early(struct hf_store *inner)
{
	struct early *m = hf_new(struct early);

	hf_around_init(&m->around, inner);
	m->around.around = early_around;
	m->around.quit = early_quit;
	m->around.free = early_free;
	m->around.store.early = m;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	return &m->around.store;
}
