/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader's values that are not strings: numbers, and what strings stand for. */
#include "codec/json.h"

#include <math.h>

#include "codec/json_priv.h"

enum { MAX_DOUBLE = 511 }; /* characters of a floating-point number */

/* ---- Numbers ---- */

static inline bool
is_digit(const struct hf_json *j, const uint8_t *p)
{
	return p < j->end && *p >= '0' && *p <= '9';
}

static const uint8_t *
skip_digits(const struct hf_json *j, const uint8_t *p)
{
	while (is_digit(j, p))
		p++;
	return p;
}

const uint8_t *
hf_json_number_end_(struct hf_json *j, const uint8_t *p)
{
	if (p < j->end && *p == '-')
		p++;
	bool is_right = is_digit(j, p);

	p = is_right && *p == '0' ? p + 1 : skip_digits(j, p);
	if (is_right && p < j->end && *p == '.') {
		is_right = is_digit(j, ++p);
		p = skip_digits(j, p);
	}
	if (is_right && p < j->end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < j->end && (*p == '+' || *p == '-'))
			p++;
		is_right = is_digit(j, p);
		p = skip_digits(j, p);
	}
	if (is_right && !is_digit(j, p))
		return p;
	fail_at(j, p, "a number should stand here, as JSON writes it");
	return NULL;
}

/* The digits of an integer, whose sign has been read. */
static uint64_t
digits(struct hf_json *j, uint64_t max)
{
	const uint8_t *p = j->p;
	uint64_t v = 0;

	if (!is_digit(j, p) || (*p == '0' && is_digit(j, p + 1))) {
		fail_at(j, p, "an integer should stand here");
		return 0;
	}
	for (; is_digit(j, p); p++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v)) {
			hf_json_fail(j, "a number is too large");
			return 0;
		}
	}
	if (p < j->end && (*p == '.' || *p == 'e' || *p == 'E')) {
		hf_json_fail(j, "a fraction where an integer should stand");
		return 0;
	}
	if (v > max) {
		hf_json_fail(j, "a number is too large");
		return 0;
	}
	j->p = p;
	j->is_first = false;
	return v;
}

uint64_t
hf_json_u64(struct hf_json *j, uint64_t max)
{
	skip_space(j);
	if (take_word(j, "null", 4))
		return 0;
	return digits(j, max);
}

int64_t
hf_json_i64(struct hf_json *j)
{
	skip_space(j);
	if (take_word(j, "null", 4))
		return 0;
	if (!take(j, '-'))
		return (int64_t)digits(j, INT64_MAX);
	return (int64_t)-digits(j, (uint64_t)INT64_MAX + 1);
}

double
hf_json_double(struct hf_json *j)
{
	char text[MAX_DOUBLE + 1];

	skip_space(j);
	if (take_word(j, "null", 4))
		return 0;
	const uint8_t *p = hf_json_number_end_(j, j->p);
	if (p == NULL)
		return 0;
	size_t n = (size_t)(p - j->p);

	if (n > MAX_DOUBLE) {
		hf_json_fail(j, "a number is too long");
		return 0;
	}
	memcpy(text, j->p, n);
	text[n] = 0;
	double v = strtod(text, NULL);
	if (!isfinite(v)) {
		hf_json_fail(j, "a number is too large");
		return 0;
	}
	j->p = p;
	j->is_first = false;
	return v;
}

/* ---- Everything else ---- */

bool
hf_json_bool(struct hf_json *j)
{
	skip_space(j);
	if (take_word(j, "true", 4))
		return true;
	if (!take_word(j, "false", 5) && !take_word(j, "null", 4))
		fail_at(j, j->p, "true or false should stand here");
	return false;
}

struct hf_id
hf_json_id(struct hf_json *j)
{
	struct hf_id id = {{0}};

	skip_space(j);
	const uint8_t *p = j->p;
	if (j->end - p >= HF_ID_HEX + 2 && p[0] == '"' && p[HF_ID_HEX + 1] == '"' &&
		hf_id_parse((struct hf_str){(const char *)p + 1, HF_ID_HEX}, &id)) {
		j->p += HF_ID_HEX + 2;
		j->is_first = false;
	} else if (!hf_id_parse(hf_json_str(j), &id)) {
		fail_at(j, p, "an id should stand here, 64 hex digits");
	}
	return id;
}

struct hf_time
hf_json_time(struct hf_json *j)
{
	struct hf_time t = HF_TIME_ZERO;

	if (hf_json_null(j))
		return t;
	const uint8_t *p = j->p;
	if (!hf_time_parse(hf_json_str(j), &t))
		fail_at(j, p, "a time should stand here, as RFC 3339 writes it");
	return t;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Line breaks count for nothing, even after the padding; unused bits may be set. As Go. */
static bool
base64_decode(struct hf_str s, struct hf_buf *out)
{
	uint32_t group = 0;
	unsigned n = 0, padding = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c == '\n' || c == '\r')
			continue;
		int v = c == '=' ? 0 : base64_value(c);

		if (c == '=' ? n < 2 : padding > 0)
			return false;
		if (v < 0 || padding == 3)
			return false;
		padding += c == '=';
		group = group << 6 | (uint32_t)v;
		if (++n < 4)
			continue;
		uint8_t b[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};

		hf_buf_add(out, b, 3 - padding);
		if (padding > 0)
			padding = 3; /* that was the last group */
		n = 0;
		group = 0;
	}
	return n == 0;
}

void
hf_json_base64(struct hf_json *j, struct hf_buf *out)
{
	skip_space(j);
	const uint8_t *p = j->p;

	if (!base64_decode(hf_json_str(j), out))
		fail_at(j, p, "base64 should stand here");
	else if (out->is_full)
		fail_at(j, p, "base64 is too long");
}
