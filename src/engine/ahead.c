/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of items between three parties: the producer fills at `tail`, workers take blobs at
 * `next`, the caller empties at `head`. An item belongs to its party while it is in that state,
 * so that bytes are moved without the lock.
 */
#include "engine/ahead.h"

#include <pthread.h>

#include "base/group.h"
#include "engine/warm.h"
#include "repo/reader.h"

enum {
	N_ITEMS = 1024,
	AHEAD_BYTES = 48 << 20, /* of blobs that wait for the sink */
	RUN_MAX = 8 << 20,      /* read at once */
	RUN_GAP = 64 << 10,
	/* The same of a store to which each request is a way, and what is worth one. */
	RUN_FAR_GAP = 256 << 10,
	FEW = 128,
	LITTLE = 1 << 20,
	KEEP_BYTES = 16 << 10, /* of memory that an empty item keeps */
	MAX_WORKERS = 32,
};

enum state { EMPTY, BLOB, TAKEN, READY };

struct item {
	enum state state;
	struct hf_buf bytes;
	struct hf_err *error; /* instead of bytes */
	struct hf_id id;
	struct hf_location at;
};

struct hf_ahead {
	struct hf_repo *repo;
	struct hf_index *ix;
	struct hf_stop *stop;
	struct hf_err *(*produce)(void *arg, struct hf_ahead *a);
	void *arg;
	bool is_far;            /* a request is a way to another computer */
	struct hf_bits *survey; /* nothing is read but noted here: the packs; or NULL */

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	struct item items[N_ITEMS]; /* by number modulo N_ITEMS */
	uint64_t head, next, tail;
	uint64_t waiting; /* bytes of blobs between head and tail */
	uint64_t untaken; /* of those, of what no worker has taken */
	size_t n_untaken;
	unsigned n_busy; /* workers that have taken something */
	bool is_ended;   /* by the producer, for good or not */
	bool is_closed;  /* by the caller: nothing more is wanted */
};

static struct item *
item_at(struct hf_ahead *a, uint64_t number)
{
	return &a->items[number % N_ITEMS];
}

/* ---- the producer ---- */

/* Waits for a place; NULL when nobody reads any more. Returns with the lock held. */
static struct item *
lock_place(struct hf_ahead *a, uint64_t size)
{
	pthread_mutex_lock(&a->lock);
	while (!a->is_closed && (a->tail - a->head == N_ITEMS ||
					(a->waiting > 0 && a->waiting + size > AHEAD_BYTES)))
		pthread_cond_wait(&a->changed, &a->lock);
	return a->is_closed ? NULL : item_at(a, a->tail);
}

static struct hf_err *
add(struct hf_ahead *a, struct item *i, enum state state, uint64_t size)
{
	if (i != NULL) {
		i->state = state;
		a->waiting += size;
		if (state == BLOB) {
			a->untaken += size;
			a->n_untaken++;
		}
		a->tail++;
		pthread_cond_broadcast(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
	return i != NULL ? NULL : hf_err(HF_ECANCELED, "reading has stopped");
}

struct hf_err *
hf_ahead_text(struct hf_ahead *a, struct hf_bytes text)
{
	if (a->survey != NULL)
		return NULL;
	struct item *i = lock_place(a, 0);

	if (i != NULL)
		hf_buf_add(&i->bytes, text.p, text.len);
	return add(a, i, READY, 0);
}

struct hf_err *
hf_ahead_blob(struct hf_ahead *a, const struct hf_id *id)
{
	struct hf_blob blob = {*id, HF_DATA};
	struct hf_location at;

	if (!hf_index_find(a->ix, &blob, 0, &at))
		return hf_err(
			HF_ENOTFOUND, "data blob %s is not in the index", hf_id_hex(id).s);
	if (a->survey != NULL) {
		hf_bits_add(a->survey, at.pack_number);
		return NULL;
	}
	uint64_t size = hf_location_size(&at);
	struct item *i = lock_place(a, size);

	if (i != NULL) {
		i->id = *id;
		i->at = at;
	}
	return add(a, i, BLOB, size);
}

static struct hf_err *
producer(void *arg)
{
	struct hf_ahead *a = arg;
	struct hf_err *e = a->produce(a->arg, a);

	pthread_mutex_lock(&a->lock);
	a->is_ended = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	return e;
}

/* ---- the workers ---- */

struct worker {
	struct hf_ahead *a;
	struct hf_reader *reader;
	struct hf_buf raw;
	struct item *run[N_ITEMS];
	size_t n_run;
};

/*
 * Where a request is a way to another computer and back, the first few blobs that come along are not
 * worth one while others are under way: what comes meanwhile may lie beside them.
 */
static bool
is_worth_a_request(const struct hf_ahead *a)
{
	return !a->is_far || a->n_busy == 0 || a->is_ended || a->n_untaken >= FEW ||
	       a->untaken >= LITTLE;
}

/* False: no blob is left, and none will come. */
static bool
wait_for_blobs(struct hf_ahead *a)
{
	while (!a->is_closed) {
		while (a->next < a->tail && item_at(a, a->next)->state != BLOB)
			a->next++;
		if (a->next < a->tail ? is_worth_a_request(a) : a->is_ended)
			break;
		pthread_cond_wait(&a->changed, &a->lock);
	}
	return !a->is_closed && a->next < a->tail;
}

static bool
is_beside(const struct item *i, const struct item *last, uint64_t start, uint64_t gap)
{
	uint64_t end = (uint64_t)last->at.offset + last->at.length;

	if (i->at.number == last->at.number) /* the same blob again costs nothing */
		return true;
	return i->at.offset >= end && i->at.offset - end <= gap &&
	       (uint64_t)i->at.offset + i->at.length - start <= RUN_MAX;
}

/* The first blob and those right behind it that lie behind it in its pack as well. */
static void
find_neighbours(struct worker *w)
{
	struct hf_ahead *a = w->a;

	for (uint64_t k = a->next; k < a->tail; k++) {
		struct item *i = item_at(a, k);

		if (i->state == READY)
			continue;
		if (i->state != BLOB ||
			(w->n_run > 0 && (i->at.pack_number != w->run[0]->at.pack_number ||
						 !is_beside(i, w->run[w->n_run - 1],
							 w->run[0]->at.offset, RUN_GAP))))
			break;
		w->run[w->n_run++] = i;
	}
}

static int
by_offset(const void *a, const void *b)
{
	const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;

	return (x->at.offset > y->at.offset) - (x->at.offset < y->at.offset);
}

/* The first blob and all that wait and lie around it in its pack, whatever comes between. */
static void
find_relatives(struct worker *w)
{
	struct hf_ahead *a = w->a;
	struct item *first = item_at(a, a->next);
	size_t n = 0, from = 0, i = 0;

	for (uint64_t k = a->next; k < a->tail; k++)
		if (item_at(a, k)->state == BLOB &&
			item_at(a, k)->at.pack_number == first->at.pack_number)
			w->run[n++] = item_at(a, k);
	qsort(w->run, n, sizeof w->run[0], by_offset);
	/* Ranges one behind the other, until the first blob has been in one. */
	for (bool has_first = false; i < n; i++) {
		if (i > from && !is_beside(w->run[i], w->run[i - 1], w->run[from]->at.offset,
					RUN_FAR_GAP)) {
			if (has_first)
				break;
			from = i;
		}
		has_first = has_first || w->run[i] == first;
	}
	w->n_run = i - from;
	memmove(w->run, w->run + from, w->n_run * sizeof w->run[0]);
}

/* Takes the next blob and those that are read with it, in the order of the pack. False: no more. */
static bool
take_run(struct worker *w)
{
	struct hf_ahead *a = w->a;

	w->n_run = 0;
	pthread_mutex_lock(&a->lock);
	if (wait_for_blobs(a)) {
		if (a->is_far)
			find_relatives(w);
		else
			find_neighbours(w);
		a->n_busy++;
	}
	for (size_t i = 0; i < w->n_run; i++) {
		w->run[i]->state = TAKEN;
		a->n_untaken--;
		a->untaken -= hf_location_size(&w->run[i]->at);
	}
	pthread_mutex_unlock(&a->lock);
	return w->n_run > 0;
}

static void
give_back(struct hf_ahead *a, struct item *i)
{
	pthread_mutex_lock(&a->lock);
	i->state = READY;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static struct hf_err *
open_item(struct worker *w, struct item *i, uint8_t *sealed)
{
	struct hf_blob blob = {i->id, HF_DATA};

	if (sealed != NULL) {
		struct hf_err *e = hf_reader_open(
			w->reader, &blob, sealed, i->at.length, i->at.raw_length, &i->bytes);

		if (e == NULL)
			return NULL;
		hf_err_free(e); /* there may be another copy */
		i->bytes.len = 0;
	}
	return hf_reader_blob(w->reader, &blob, &i->bytes);
}

/* Opens the blobs of a run; one that equals its neighbour is copied before that is given away. */
static void
open_run(struct worker *w, uint8_t *raw)
{
	uint32_t start = w->run[0]->at.offset; /* what is given back is gone */
	struct item *before = NULL;

	for (size_t k = 0; k < w->n_run; k++) {
		struct item *i = w->run[k];

		if (before != NULL && before->at.number == i->at.number &&
			before->error == NULL)
			hf_buf_add(&i->bytes, before->bytes.p, before->bytes.len);
		else
			i->error = open_item(
				w, i, raw != NULL ? raw + (i->at.offset - start) : NULL);
		if (before != NULL)
			give_back(w->a, before);
		before = i;
	}
	give_back(w->a, before);
}

static void
end_run(struct hf_ahead *a)
{
	pthread_mutex_lock(&a->lock);
	a->n_busy--;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static struct hf_err *
work(void *arg)
{
	struct worker *w = arg;
	struct hf_store *store = hf_repo_store(w->a->repo);

	while (take_run(w)) {
		const struct hf_location *first = &w->run[0]->at;
		const struct hf_location *last = &w->run[w->n_run - 1]->at;
		struct hf_name name = {HF_PACK, first->pack};

		hf_buf_reset(&w->raw);
		struct hf_err *e = hf_store_get(store, &name, first->offset,
			last->offset + (size_t)last->length - first->offset, &w->raw);
		open_run(w, e == NULL ? w->raw.p : NULL);
		hf_err_free(e); /* then each blob has been tried alone */
		end_run(w->a);
	}
	return NULL;
}

/* ---- the caller ---- */

/* Waits for the item at the head; NULL: the stream is over. */
static struct item *
next_ready(struct hf_ahead *a)
{
	struct item *i = NULL;

	pthread_mutex_lock(&a->lock);
	for (;;) {
		if (a->head < a->tail && item_at(a, a->head)->state == READY) {
			i = item_at(a, a->head);
			break;
		}
		if (a->head == a->tail && a->is_ended)
			break;
		pthread_cond_wait(&a->changed, &a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return i;
}

static void
release(struct hf_ahead *a, struct item *i)
{
	if (i->bytes.cap > KEEP_BYTES)
		hf_buf_clear(&i->bytes);
	else
		hf_buf_reset(&i->bytes);
	uint64_t size = i->at.length != 0 ? hf_location_size(&i->at) : 0;

	pthread_mutex_lock(&a->lock);
	i->state = EMPTY;
	i->at = (struct hf_location){0};
	a->waiting -= size;
	a->head++;
	/* What the workers have not looked at before it is gone are texts. */
	if (a->next < a->head)
		a->next = a->head;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static struct hf_err *
drain(struct hf_ahead *a, hf_sink_fn *sink, void *sink_arg)
{
	struct item *i;

	while ((i = next_ready(a)) != NULL) {
		HF_TRY(hf_stop_check(a->stop));
		if (i->error != NULL)
			return hf_steal(i->error);
		HF_TRY(hf_buf_ok(&i->bytes));
		HF_TRY(sink(sink_arg, hf_buf_bytes(&i->bytes)));
		release(a, i);
	}
	return NULL;
}

static void
close_ring(void *arg)
{
	struct hf_ahead *a = arg;

	pthread_mutex_lock(&a->lock);
	a->is_closed = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static void
ahead_free(struct hf_ahead *a)
{
	for (size_t i = 0; i < N_ITEMS; i++) {
		hf_buf_clear(&a->items[i].bytes);
		hf_err_free(a->items[i].error);
	}
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->changed);
	free(a);
}

/* The bytes before the place where the producer failed are still given to the sink. */
static void
ignore_failure(void *arg)
{
	(void)arg;
}

/* Starts everybody, moves the bytes, and ends everybody. The threads' error is in `group`. */
static struct hf_err *
run(struct hf_ahead *a, struct hf_group *group, struct worker *workers, unsigned n,
	hf_sink_fn *sink, void *sink_arg)
{
	struct hf_err *e = NULL;

	for (unsigned i = 0; i < n && e == NULL; i++) {
		workers[i].a = a;
		workers[i].reader = hf_reader_new(a->repo, a->ix);
		workers[i].raw = (struct hf_buf)HF_BUF_SPOOL(UINT32_MAX);
		e = hf_group_go(group, "ahead", work, &workers[i]);
	}
	if (e == NULL)
		e = hf_group_go(group, "producer", producer, a);
	if (e == NULL)
		e = drain(a, sink, sink_arg);
	close_ring(a);
	struct hf_err *e2 = hf_group_wait(group);

	/* A producer that was told to stop is not the cause. */
	if (e == NULL)
		return e2;
	hf_err_free(e2);
	return e;
}

/* What fails now will fail again, at its place in the stream. */
static struct hf_err *
warm(struct hf_ahead *a)
{
	hf_auto(hf_bits) packs = {0};

	if (!hf_warm_is_wanted(a->repo))
		return NULL;
	hf_bits_init(&packs, hf_index_packs(a->ix));
	a->survey = &packs;
	hf_err_free(a->produce(a->arg, a));
	a->survey = NULL;
	HF_TRY(hf_stop_check(a->stop));
	return hf_warm_packs(a->repo, a->ix, &packs, a->stop);
}

struct hf_err *
hf_ahead_run(struct hf_repo *repo, struct hf_index *ix,
	struct hf_err *(*produce)(void *arg, struct hf_ahead *a), void *arg, hf_sink_fn *sink,
	void *sink_arg, struct hf_stop *stop)
{
	struct hf_ahead *a = hf_new(struct hf_ahead);
	unsigned n = hf_store_workers(hf_repo_store(repo), MAX_WORKERS);
	struct worker *workers = hf_alloc_(n, sizeof *workers);
	struct hf_group *group = hf_group_new(ignore_failure, NULL);

	a->repo = repo;
	a->is_far = !hf_store_is_near(hf_repo_store(repo));
	a->ix = ix;
	a->stop = stop;
	a->produce = produce;
	a->arg = arg;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	for (size_t i = 0; i < N_ITEMS; i++)
		a->items[i].bytes = (struct hf_buf)HF_BUF_SPOOL(UINT32_MAX);
	struct hf_err *e = warm(a);
	if (e == NULL)
		e = run(a, group, workers, n, sink, sink_arg);

	hf_group_free(group);
	for (unsigned i = 0; i < n; i++) {
		hf_reader_free(workers[i].reader);
		hf_buf_clear(&workers[i].raw);
	}
	free(workers);
	ahead_free(a);
	return e;
}
