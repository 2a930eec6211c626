/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream is a run of whole blocks where the string lies, and then a run of one or two blocks with
 * its last bytes and the padding, in a buffer of its own. Between two changes of runs all streams
 * go on by as many blocks as the shortest run has.
 */
#include "codec/sha256_many.h"

#include <endian.h>
#include <pthread.h>

#include "base/time.h"
#include "codec/sha256.h"
#include "codec/sha256_x16.h"
#include "codec/sha256_x86.h"

enum {
	BLOCK = 64,
	LONG = HF_MANY_MAX, /* where the long one is */
	PROBE_BLOCKS = 16,
	PROBES = 8, /* the first ones wake the vector units */
};

struct stream {
	const uint8_t *p; /* of the run */
	size_t blocks;    /* left in the run; 0: done */
	unsigned n_tail;  /* of the run to come; 0: this is the last one */
	uint8_t tail[2 * BLOCK];
	struct hf_bytes all;
	void *tag;
};

struct hf_many {
	enum hf_many_way way;
	unsigned width, least;
	unsigned busy; /* a bit for each stream in flight */
	struct stream v[HF_MANY_MAX + 1];
	hf_sha256_x16_state states; /* but of the long one: */
	uint32_t long_state[8];
	struct hf_sha256 *slow; /* for the long one, without instructions for SHA; else NULL */
	size_t slow_done;       /* bytes of it */
};

/* ---- which way ---- */

/* Written once. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum hf_many_way fastest;
static unsigned least; /* so many streams are worth a step for sixteen; fewer go in pairs */

/* The best of several times that sixteen streams of a KiB take: this way, and the other one. */
static void
probe(double *sixteen, double *other)
{
	static const uint8_t text[PROBE_BLOCKS * BLOCK];
	const uint8_t *p[HF_SHA256_LANES];
	hf_sha256_x16_state states = {0};
	bool has_pairs = hf_sha256_x86_works();
	uint32_t a[8] = {0}, b[8] = {0};
	struct hf_id id = {0};

	for (size_t i = 0; i < HF_SHA256_LANES; i++)
		p[i] = text;
	*sixteen = *other = 1;
	for (int k = 0; k < PROBES; k++) {
		double from = hf_clock();

		hf_sha256_x16(states, p, PROBE_BLOCKS);
		double mid = hf_clock();
		for (int i = 0; i < HF_SHA256_LANES; i += 2)
			if (has_pairs)
				hf_sha256_x86_two(a, text, b, text, PROBE_BLOCKS);
			else
				for (int n = 0; n < 2; n++)
					id = hf_sha256((struct hf_bytes){text, sizeof text});
		double to = hf_clock();
		__asm__ volatile("" ::"m"(id));
		*sixteen = mid - from < *sixteen ? mid - from : *sixteen;
		*other = to - mid < *other ? to - mid : *other;
	}
}

static void
choose(void)
{
	double sixteen, other;

	fastest = hf_sha256_x86_works() ? HF_MANY_PAIRS : HF_MANY_SINGLE;
	least = HF_MANY_MAX;
	if (!hf_sha256_x16_works())
		return;
	probe(&sixteen, &other);
	/* By a margin, so that a measurement that was disturbed seldom chooses the slower one. */
	if (sixteen < 0.8 * other) {
		least = (unsigned)(HF_MANY_MAX * sixteen / other) + 1;
		fastest = HF_MANY_SIXTEEN;
	}
}

static bool
can(enum hf_many_way way)
{
	return way == HF_MANY_SIXTEEN ? hf_sha256_x16_works()
	       : way == HF_MANY_PAIRS ? hf_sha256_x86_works()
				      : true;
}

struct hf_many *
hf_many_new_of(enum hf_many_way way)
{
	pthread_once(&once, choose);
	if (way == HF_MANY_FASTEST)
		way = fastest;
	if (!can(way))
		return NULL;
	struct hf_many *m = hf_new(struct hf_many);
	bool has_pairs = hf_sha256_x86_works();

	m->way = way;
	m->width = way == HF_MANY_SIXTEEN ? HF_MANY_MAX : way == HF_MANY_PAIRS ? 2 : 1;
	/* A hash that was begun in a state of ours cannot be given to libcrypto. */
	m->least = has_pairs ? least : 1;
	if (way == HF_MANY_SINGLE || !has_pairs)
		m->slow = hf_sha256_new();
	return m;
}

struct hf_many *
hf_many_new(void)
{
	return hf_many_new_of(HF_MANY_FASTEST);
}

void
hf_many_free(struct hf_many *m)
{
	if (m == NULL)
		return;
	hf_sha256_free(m->slow);
	free(m);
}

unsigned
hf_many_width(const struct hf_many *m)
{
	return m->width;
}

bool
hf_many_is_full(const struct hf_many *m)
{
	return m->busy == (1U << m->width) - 1;
}

/* ---- streams ---- */

static uint32_t *
word(struct hf_many *m, unsigned i, unsigned w)
{
	return i == LONG ? &m->long_state[w] : &m->states[w][i];
}

static void
begin(struct hf_many *m, unsigned i, struct hf_bytes bytes)
{
	/* The initial value of FIPS 180-4. */
	static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	struct stream *s = &m->v[i];
	size_t rest = bytes.len % BLOCK;
	uint64_t bits = htobe64((uint64_t)bytes.len * 8);

	for (unsigned w = 0; w < 8; w++)
		*word(m, i, w) = first[w];
	s->all = bytes;
	s->p = bytes.p;
	s->blocks = bytes.len / BLOCK;
	s->n_tail = rest + 1 + sizeof bits > BLOCK ? 2 : 1;
	memset(s->tail, 0, sizeof s->tail);
	if (rest > 0)
		memcpy(s->tail, bytes.p + bytes.len - rest, rest);
	s->tail[rest] = 0x80;
	memcpy(s->tail + s->n_tail * BLOCK - sizeof bits, &bits, sizeof bits);
}

/* A run is over: the next one, if there is one. */
static void
go_on(struct stream *s)
{
	if (s->blocks > 0 || s->n_tail == 0)
		return;
	s->p = s->tail;
	s->blocks = s->n_tail;
	s->n_tail = 0;
}

static void
advance(struct stream *s, size_t blocks)
{
	s->p += blocks * BLOCK;
	s->blocks -= blocks;
	go_on(s);
}

static struct hf_id
hash_of(struct hf_many *m, unsigned i)
{
	struct hf_id id;

	for (unsigned w = 0; w < 8; w++) {
		uint32_t v = htobe32(*word(m, i, w));

		memcpy(id.b + sizeof v * w, &v, sizeof v);
	}
	return id;
}

/* Which of A to H stand where hf_sha256_x86() wants them. */
static const uint8_t order[8] = {5, 4, 1, 0, 7, 6, 3, 2};

static void
get_state(struct hf_many *m, unsigned i, uint32_t state[static 8])
{
	for (unsigned w = 0; w < 8; w++)
		state[w] = *word(m, i, order[w]);
}

static void
set_state(struct hf_many *m, unsigned i, const uint32_t state[static 8])
{
	for (unsigned w = 0; w < 8; w++)
		*word(m, i, order[w]) = state[w];
}

/* ---- steps ---- */

static void
step_one(struct hf_many *m, unsigned i, size_t blocks)
{
	uint32_t state[8];

	get_state(m, i, state);
	hf_sha256_x86(state, m->v[i].p, blocks);
	set_state(m, i, state);
	advance(&m->v[i], blocks);
}

static void
step_two(struct hf_many *m, unsigned i, unsigned k, size_t blocks)
{
	uint32_t a[8], b[8];

	get_state(m, i, a);
	get_state(m, k, b);
	hf_sha256_x86_two(a, m->v[i].p, b, m->v[k].p, blocks);
	set_state(m, i, a);
	set_state(m, k, b);
	advance(&m->v[i], blocks);
	advance(&m->v[k], blocks);
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The one of those in `set` that has the least left. */
static unsigned
nearest(const struct hf_many *m, unsigned set)
{
	unsigned best = HF_MANY_MAX;
	size_t best_left = SIZE_MAX;

	for (; set != 0; set &= set - 1) {
		unsigned i = (unsigned)__builtin_ctz(set);
		size_t left = m->v[i].blocks + m->v[i].n_tail;

		if (left < best_left) {
			best = i;
			best_left = left;
		}
	}
	return best;
}

/* `i` has the least left. */
static void
step_few(struct hf_many *m, unsigned i)
{
	unsigned others = m->busy & ~(1U << i);

	if (others == 0) {
		step_one(m, i, m->v[i].blocks);
		return;
	}
	unsigned k = nearest(m, others);

	step_two(m, i, k, smaller(m->v[i].blocks, m->v[k].blocks));
}

static void
step_sixteen(struct hf_many *m)
{
	const uint8_t *p[HF_SHA256_LANES];
	const uint8_t *any = NULL;
	size_t blocks = SIZE_MAX;

	for (unsigned set = m->busy; set != 0; set &= set - 1) {
		const struct stream *s = &m->v[__builtin_ctz(set)];

		if (s->blocks < blocks) {
			blocks = s->blocks;
			any = s->p;
		}
	}
	for (unsigned i = 0; i < HF_SHA256_LANES; i++)
		p[i] = (m->busy & 1U << i) != 0 ? m->v[i].p : any;
	hf_sha256_x16(m->states, p, blocks);
	for (unsigned set = m->busy; set != 0; set &= set - 1)
		advance(&m->v[__builtin_ctz(set)], blocks);
}

/* Too few for a step for sixteen. */
static bool
is_few(const struct hf_many *m)
{
	return m->way != HF_MANY_SIXTEEN || (unsigned)__builtin_popcount(m->busy) < m->least;
}

/* ---- those in flight ---- */

void
hf_many_add(struct hf_many *m, struct hf_bytes bytes, void *tag)
{
	unsigned i = (unsigned)__builtin_ctz(~m->busy);

	begin(m, i, bytes);
	go_on(&m->v[i]);
	m->v[i].tag = tag;
	m->busy |= 1U << i;
}

bool
hf_many_end(struct hf_many *m, struct hf_id *id, void **tag)
{
	if (m->busy == 0)
		return false;
	unsigned i = nearest(m, m->busy);

	if (m->way == HF_MANY_SINGLE) {
		*id = hf_sha256(m->v[i].all);
	} else {
		while (m->v[i].blocks > 0)
			if (is_few(m))
				step_few(m, i);
			else
				step_sixteen(m);
		*id = hash_of(m, i);
	}
	*tag = m->v[i].tag;
	m->busy &= ~(1U << i);
	return true;
}

/* ---- the long one ---- */

void
hf_many_long(struct hf_many *m, struct hf_bytes bytes)
{
	begin(m, LONG, bytes);
	m->slow_done = 0;
}

/* Beside another one, as far as that goes, or alone when the others are better off with sixteen. */
static void
step_long(struct hf_many *m, size_t blocks)
{
	unsigned others = is_few(m) ? m->busy : 0;

	for (unsigned set = others; set != 0; set &= set - 1)
		if (m->v[__builtin_ctz(set)].blocks == 0)
			others &= ~(set & -set);
	if (others == 0) {
		step_one(m, LONG, blocks);
		return;
	}
	unsigned i = nearest(m, others);

	step_two(m, LONG, i, smaller(blocks, m->v[i].blocks));
}

static void
slow_to(struct hf_many *m, size_t end)
{
	const struct hf_bytes *all = &m->v[LONG].all;

	if (end <= m->slow_done)
		return;
	hf_sha256_add(m->slow, (struct hf_bytes){all->p + m->slow_done, end - m->slow_done});
	m->slow_done = end;
}

void
hf_many_long_to(struct hf_many *m, uint64_t end)
{
	struct stream *s = &m->v[LONG];
	size_t to = end < s->all.len ? (size_t)end : s->all.len;

	if (m->slow != NULL) {
		slow_to(m, to);
		return;
	}
	/* A block that is whole; what comes behind the last one is in the tail already. */
	size_t n_kept =
		s->all.len / BLOCK - smaller((to + BLOCK - 1) / BLOCK, s->all.len / BLOCK);

	while (s->n_tail > 0 && s->blocks > n_kept)
		step_long(m, s->blocks - n_kept);
}

struct hf_id
hf_many_long_end(struct hf_many *m)
{
	struct stream *s = &m->v[LONG];

	if (m->slow != NULL) {
		slow_to(m, s->all.len);
		return hf_sha256_end(m->slow);
	}
	go_on(s);
	while (s->blocks > 0)
		step_long(m, s->blocks);
	return hash_of(m, LONG);
}
