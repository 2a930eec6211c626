/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/opened.h"

#include <assert.h>
#include <pthread.h>

#include "base/host.h"

enum {
	/*
	 * Of so many bytes two are enough. With more, what waits falls out of the cache of the
	 * processor, and reading it again for the hash and for writing costs what is gained.
	 */
	MOST_BYTES = 1 << 20,
	SMALL = 128 << 10, /* larger buffers are only for blobs that are larger */
	/*
	 * Bytes of buffers that are kept for the next blobs: of three of the largest. What is given
	 * back here is soon wanted again, and a new page costs what hashing 4 KiB costs.
	 */
	MOST_IDLE = 24 << 20,
};

struct hf_opened_set {
	struct hf_many *many;
	unsigned n;   /* that wait */
	size_t bytes; /* of them */
	unsigned n_spares;
	struct hf_opened *spares[HF_MANY_MAX];
	struct hf_opened all[HF_MANY_MAX];
};

struct hf_opened_set *
hf_opened_new(void)
{
	struct hf_opened_set *s = hf_new(struct hf_opened_set);

	s->many = hf_many_new();
	for (unsigned i = 0; i < HF_MANY_MAX; i++) {
		s->all[i].plain = (struct hf_buf)HF_BUF_SPOOL(UINT32_MAX);
		s->spares[s->n_spares++] = &s->all[i];
	}
	return s;
}

void
hf_opened_free(struct hf_opened_set *s)
{
	if (s == NULL)
		return;
	hf_many_free(s->many);
	for (unsigned i = 0; i < HF_MANY_MAX; i++)
		hf_buf_clear(&s->all[i].plain);
	free(s);
}

struct hf_opened_sets {
	pthread_mutex_t lock;
	pthread_cond_t given;
	unsigned n, n_idle;
	struct hf_opened_set **idle; /* the first n_idle of n */
};

struct hf_opened_sets *
hf_opened_sets_new(unsigned n_threads)
{
	struct hf_opened_sets *sets = hf_new(struct hf_opened_sets);
	unsigned enough = hf_cpus() + 1;

	pthread_mutex_init(&sets->lock, NULL);
	pthread_cond_init(&sets->given, NULL);
	sets->n = sets->n_idle = n_threads < enough ? n_threads : enough;
	sets->idle = hf_alloc_(sets->n, sizeof(struct hf_opened_set *));
	for (unsigned i = 0; i < sets->n; i++)
		sets->idle[i] = hf_opened_new();
	return sets;
}

void
hf_opened_sets_free(struct hf_opened_sets *sets)
{
	if (sets == NULL)
		return;
	assert(sets->n_idle == sets->n);
	for (unsigned i = 0; i < sets->n; i++)
		hf_opened_free(sets->idle[i]);
	free(sets->idle);
	pthread_cond_destroy(&sets->given);
	pthread_mutex_destroy(&sets->lock);
	free(sets);
}

struct hf_opened_set *
hf_opened_take(struct hf_opened_sets *sets)
{
	pthread_mutex_lock(&sets->lock);
	while (sets->n_idle == 0)
		pthread_cond_wait(&sets->given, &sets->lock);
	struct hf_opened_set *s = sets->idle[--sets->n_idle];
	pthread_mutex_unlock(&sets->lock);
	return s;
}

void
hf_opened_give(struct hf_opened_sets *sets, struct hf_opened_set *s)
{
	assert(s->n == 0);
	pthread_mutex_lock(&sets->lock);
	sets->idle[sets->n_idle++] = s;
	pthread_cond_signal(&sets->given);
	pthread_mutex_unlock(&sets->lock);
}

struct hf_many *
hf_opened_many(struct hf_opened_set *s)
{
	return s->many;
}

bool
hf_opened_is_full(const struct hf_opened_set *s)
{
	return hf_many_is_full(s->many) || (s->n >= 2 && s->bytes >= MOST_BYTES);
}

/*
 * Which of the spare entries gets a blob: the large ones share the few large buffers. Else all
 * buffers would in time become as large as the largest blob.
 */
static struct hf_opened **
choose(struct hf_opened_set *s, size_t size)
{
	struct hf_opened **best = &s->spares[0];
	size_t idle = 0;

	for (unsigned i = 1; i < s->n_spares; i++) {
		struct hf_opened **o = &s->spares[i];

		if (size > SMALL ? (*o)->plain.cap > (*best)->plain.cap
				 : (*o)->plain.cap < (*best)->plain.cap)
			best = o;
	}
	if (size <= SMALL && (*best)->plain.cap > SMALL)
		hf_buf_clear(&(*best)->plain);
	for (unsigned i = 0; i < s->n_spares; i++)
		idle += s->spares[i] != *best ? s->spares[i]->plain.cap : 0;
	for (unsigned i = 0; i < s->n_spares && idle > MOST_IDLE; i++)
		if (s->spares[i] != *best)
			hf_buf_clear(&s->spares[i]->plain);
	return best;
}

struct hf_err *
hf_opened_begin(struct hf_opened_set *s, struct hf_reader *r, const struct hf_id *id,
	size_t tag, uint8_t *sealed, uint32_t length, uint32_t raw_length)
{
	struct hf_opened **place = choose(s, raw_length != 0 ? raw_length : length);
	struct hf_opened *o = *place;

	hf_buf_reset(&o->plain);
	HF_TRY(hf_reader_unseal(r, sealed, length, raw_length, &o->plain));
	o->id = *id;
	o->tag = tag;
	hf_many_add(s->many, hf_buf_bytes(&o->plain), o);
	*place = s->spares[--s->n_spares];
	s->n++;
	s->bytes += o->plain.len;
	return NULL;
}

struct hf_err *
hf_opened_end(struct hf_opened_set *s, const struct hf_opened **o)
{
	struct hf_id got;
	void *tag;

	*o = NULL;
	if (!hf_many_end(s->many, &got, &tag))
		return NULL;
	struct hf_opened *done = tag;

	s->spares[s->n_spares++] = done;
	s->n--;
	s->bytes -= done->plain.len;
	*o = done;
	if (hf_id_eq(&got, &done->id))
		return NULL;
	return hf_err(HF_ECORRUPT, "the content's hash is %s", hf_id_hex(&got).s);
}
