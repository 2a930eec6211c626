/* SPDX-License-Identifier: BSD-2-Clause */
/* Which packs are read whole when not all of them are to be. */
#include <ctype.h>
#include <errno.h>
#include <sys/random.h>

#include "engine/check_run.h"

enum { MAX_PARTS = 256 }; /* of packs, told apart by the first byte of their names */

static struct hf_err *
invalid(void)
{
	return hf_err(HF_EINVAL,
		"check flag --read-data-subset has invalid value, please see documentation");
}

/* Digits only; *end is behind them. False: there are none, or too many. */
static bool
digits(const char *s, const char **end, uint64_t *out)
{
	uint64_t v = 0;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	*end = p;
	*out = v;
	return p > s;
}

static struct hf_err *
parse_part(const char *text, struct hf_check_subset *out)
{
	uint64_t n, t;
	const char *p;

	if (!digits(text, &p, &n) || *p != '/' || !digits(p + 1, &p, &t) || *p != '\0')
		return invalid();
	if (n == 0 || t == 0 || n > t)
		return hf_err(HF_EINVAL, "check flag --read-data-subset=n/t values must be "
					 "positive integers, and "
					 "n <= t, e.g. --read-data-subset=1/2");
	if (t > MAX_PARTS)
		return hf_err(HF_EINVAL,
			"check flag --read-data-subset=n/t t must be at most %d", MAX_PARTS);
	*out = (struct hf_check_subset){
		.kind = HF_SUBSET_PART, .n = (unsigned)n, .t = (unsigned)t};
	return NULL;
}

static struct hf_err *
parse_percent(const char *text, struct hf_check_subset *out)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || strcmp(end, "%") != 0)
		return invalid();
	if (!(v > 0 && v <= 100))
		return hf_err(HF_EINVAL,
			"check flag --read-data-subset=x%% x must be above 0.0%% "
			"and at most 100.0%%");
	*out = (struct hf_check_subset){.kind = HF_SUBSET_PERCENT, .percent = v};
	return NULL;
}

static struct hf_err *
parse_bytes(const char *text, struct hf_check_subset *out)
{
	static const char suffixes[] = "bkmgt";
	const char *p;
	uint64_t v;

	if (!digits(text, &p, &v))
		return invalid();
	const char *s = *p != '\0' ? strchr(suffixes, tolower((unsigned char)*p)) : suffixes;
	if (s == NULL || (*p != '\0' && p[1] != '\0'))
		return invalid();
	for (; s > suffixes; s--)
		if (__builtin_mul_overflow(v, 1024, &v))
			return invalid();
	if (v == 0)
		return hf_err(HF_EINVAL, "check flag --read-data-subset=n n must be above 0");
	*out = (struct hf_check_subset){.kind = HF_SUBSET_BYTES, .bytes = v};
	return NULL;
}

struct hf_err *
hf_check_subset_parse(const char *text, struct hf_check_subset *out)
{
	size_t len = strlen(text);

	if (strchr(text, '/') != NULL)
		return parse_part(text, out);
	if (len > 0 && text[len - 1] == '%')
		return parse_percent(text, out);
	return parse_bytes(text, out);
}

/* A number below `n`, all alike. */
static size_t
random_below(size_t n)
{
	uint64_t v, limit = UINT64_MAX - UINT64_MAX % n;

	do {
		while (getrandom(&v, sizeof v, 0) != sizeof v)
			if (errno != EINTR)
				abort();
	} while (v >= limit);
	return (size_t)(v % n);
}

/* Keeps that share of the chosen packs, but at least one. */
static void
keep_random(struct hf_check_run *c, double percent)
{
	size_t keep = (size_t)((double)c->n_chosen * percent / 100);

	if (keep == 0)
		keep = 1;
	if (keep >= c->n_chosen)
		return;
	for (size_t i = 0; i < keep; i++) {
		size_t k = i + random_below(c->n_chosen - i);
		uint32_t p = c->chosen[i];

		c->chosen[i] = c->chosen[k];
		c->chosen[k] = p;
	}
	c->n_chosen = keep;
}

static uint64_t
chosen_bytes(const struct hf_check_run *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->n_chosen; i++)
		sum += c->file_sizes[c->chosen[i]];
	return sum;
}

static bool
is_in_part(struct hf_check_run *c, uint32_t pack)
{
	const struct hf_check_subset *s = &c->options->data;
	struct hf_id id;

	return hf_index_pack(c->ix, pack, &id) && id.b[0] % s->t == s->n - 1;
}

void
hf_check_choose(struct hf_check_run *c)
{
	const struct hf_check_subset *s = &c->options->data;
	size_t n_packs = hf_index_packs(c->ix), known = 0;

	c->chosen = hf_alloc_(n_packs + 1, sizeof *c->chosen);
	for (uint32_t p = 0; p < n_packs; p++) {
		/* Of those that do not exist has been told already. */
		if (c->file_sizes[p] == HF_CHECK_NO_FILE ||
			(c->is_filtered && !hf_bits_has(&c->used, p)))
			continue;
		known++;
		if (s->kind != HF_SUBSET_PART || is_in_part(c, p))
			c->chosen[c->n_chosen++] = p;
	}
	if (s->kind == HF_SUBSET_PERCENT)
		keep_random(c, s->percent);
	uint64_t bytes = chosen_bytes(c);
	if (s->kind == HF_SUBSET_BYTES && s->bytes < bytes) {
		keep_random(c, 100 * (double)s->bytes / (double)bytes);
		bytes = chosen_bytes(c);
	}
	atomic_store(&c->progress->packs_known, known);
	atomic_store(&c->progress->packs_total, c->n_chosen);
	atomic_store(&c->progress->bytes_total, bytes);
}
