/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader: objects, arrays, strings, and what is skipped. Other values are in json_value.c, the
 * writer is in jout.c.
 */
#include "codec/json.h"

#include <endian.h>

#include "base/utf8.h"
#include "codec/json_priv.h"

enum {
	MAX_DEPTH = 250,
	REPLACEMENT = 0xfffd,
};

const char hf_json_too_early_[] = "the text ends too early";

void
hf_json_init(struct hf_json *j, struct hf_bytes in, struct hf_buf *scratch)
{
	const uint8_t *p = in.len > 0 ? in.p : (const uint8_t *)""; /* no NULL to add to */

	*j = (struct hf_json){
		.start = p, .p = p, .end = p + in.len, .low = p + in.len, .scratch = scratch};
}

/* What has not been read moves to the front; behind it comes what follows. */
static void
refill(struct hf_json *j)
{
	uint8_t *room = j->room;
	size_t n = (size_t)(j->end - j->p), got = 1;

	j->before += (size_t)(j->p - j->start);
	memmove(room, j->p, n);
	for (; n < HF_JSON_PIECES && got > 0; n += got)
		got = j->more(j->arg, room + n, HF_JSON_PIECES - n);
	if (got == 0)
		j->more = NULL;
	j->p = room;
	j->end = room + n;
	j->low = got > 0 ? j->end - HF_JSON_PIECE : j->end;
}

void
hf_json_init_pieces(struct hf_json *j, uint8_t *room, hf_json_more_fn *more, void *arg,
	struct hf_buf *scratch)
{
	*j = (struct hf_json){.start = room,
		.p = room,
		.end = room,
		.more = more,
		.arg = arg,
		.room = room,
		.scratch = scratch};
	refill(j);
}

/* Nothing is left to read after an error, so that every function finds it without asking. */
void
hf_json_fail(struct hf_json *j, const char *text)
{
	if (j->error == NULL) {
		j->error = text;
		j->error_off = j->before + (size_t)(j->p - j->start);
	}
	j->p = j->low = j->end;
	j->more = NULL;
	j->is_null = false;
}

struct hf_err *
hf_json_err(const struct hf_json *j)
{
	if (j->error == NULL)
		return NULL;
	return hf_err(HF_ECORRUPT, "JSON, byte %zu: %s", j->error_off, j->error);
}

struct hf_err *
hf_json_end(struct hf_json *j)
{
	skip_space(j);
	while (j->p == j->end && j->more != NULL) {
		refill(j);
		skip_space(j);
	}
	if (j->p < j->end)
		hf_json_fail(j, "something follows where the text should end");
	else if (j->depth > 0 || j->before + (size_t)(j->end - j->start) == 0)
		hf_json_fail(j, hf_json_too_early_);
	return hf_json_err(j);
}

enum hf_json_kind
hf_json_peek(struct hf_json *j)
{
	skip_space(j);
	if (j->p == j->end)
		return HF_JSON_ERROR;
	switch (*j->p) {
	case '{':
		return HF_JSON_OBJECT;
	case '[':
		return HF_JSON_ARRAY;
	case '"':
		return HF_JSON_STRING;
	case 't':
	case 'f':
		return HF_JSON_BOOL;
	case 'n':
		return HF_JSON_NULL;
	case '-':
		return HF_JSON_NUMBER;
	default:
		return *j->p >= '0' && *j->p <= '9' ? HF_JSON_NUMBER : HF_JSON_ERROR;
	}
}

bool
hf_json_null(struct hf_json *j)
{
	skip_space(j);
	return take_word(j, "null", 4);
}

/* ---- Strings ---- */

/*
 * The first byte from `p` on that is a quote, a backslash, below 0x20 or above 0x7f, looking at
 * eight bytes at a time. A subtraction can carry into the next byte only from one that is found
 * itself, so the lowest bit found is always right.
 */
static inline const uint8_t *
end_of_plain(const uint8_t *p, const uint8_t *end)
{
	const uint64_t ones = 0x0101010101010101;

	for (; end - p >= 8; p += 8) {
		uint64_t v;

		memcpy(&v, p, sizeof v);
		v = le64toh(v);
		uint64_t quote = (v ^ ones * '"') - ones;
		uint64_t backslash = (v ^ ones * '\\') - ones;
		uint64_t found = (quote | backslash | (v - ones * 0x20) | v) & ones * 0x80;

		if (found != 0)
			return p + __builtin_ctzll(found) / 8;
	}
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

static int32_t
hex4(const uint8_t *p, const uint8_t *end)
{
	int32_t v = 0;

	if (end - p < 4)
		return -1;
	for (size_t i = 0; i < 4; i++) {
		uint8_t c = p[i] | 0x20;

		if (p[i] >= '0' && p[i] <= '9')
			v = v << 4 | (p[i] - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (c - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static bool
is_surrogate(int32_t v, int32_t first)
{
	return v >= first && v < first + 0x400;
}

/*
 * Reads the escape that begins with the backslash at *p and moves *p behind it. A surrogate
 * without its other half is U+FFFD. Returns -1 if it is no escape.
 */
static int32_t
escape(const uint8_t **p, const uint8_t *end)
{
	static const uint8_t simple[128] = {['"'] = '"',
		['\\'] = '\\',
		['/'] = '/',
		['b'] = '\b',
		['f'] = '\f',
		['n'] = '\n',
		['r'] = '\r',
		['t'] = '\t'};
	const uint8_t *q = *p + 1;

	if (q == end)
		return -1;
	if (*q != 'u') {
		*p = q + 1;
		return *q < 128 && simple[*q] != 0 ? simple[*q] : -1;
	}
	int32_t v = hex4(q + 1, end);
	if (v < 0)
		return -1;
	*p = q += 5;
	if (!is_surrogate(v, 0xd800))
		return is_surrogate(v, 0xdc00) ? REPLACEMENT : v;
	int32_t low = end - q >= 6 && q[0] == '\\' && q[1] == 'u' ? hex4(q + 2, end) : -1;
	if (!is_surrogate(low, 0xdc00))
		return REPLACEMENT;
	*p = q + 6;
	return 0x10000 + ((v - 0xd800) << 10 | (low - 0xdc00));
}

/*
 * Slices of earlier strings point into the scratch buffer, so it must not move while the document
 * is read: the first string to be decoded gets it all that the rest of the document may need,
 * which is three times the input (U+FFFD for every byte) or what is left of its maximum.
 */
static bool
prepare_scratch(struct hf_json *j)
{
	size_t left = (size_t)(j->end - j->p);
	size_t most = j->scratch->max - j->scratch->len;
	size_t need = left > most / 3 ? most : 3 * left;

	if (!j->is_prepared)
		hf_err_free(hf_buf_reserve(j->scratch, need));
	j->is_prepared = true;
	return !j->scratch->is_full;
}

/* Never lets the buffer grow; see above. */
static bool
append(struct hf_buf *b, const void *p, size_t n)
{
	if (n > b->cap - b->len)
		return false;
	hf_buf_add(b, p, n);
	return true;
}

/* The string whose first byte is `from`, the way the plain one below cannot give it. */
static bool
decode(struct hf_json *j, const uint8_t *from, struct hf_str *out)
{
	const uint8_t *p = from, *run = from;
	struct hf_buf *b = j->scratch;
	bool fits = prepare_scratch(j);
	size_t start = b->len;

	for (;;) {
		int32_t cp;

		p = end_of_plain(p, j->end);
		if (p == j->end || *p < 0x20) {
			fail_at(j, p, "a control character in a string");
			return false;
		}
		const uint8_t *at = p;
		if (*p >= 0x80) {
			p += hf_utf8_next(
				(struct hf_str){(const char *)p, (size_t)(j->end - p)}, &cp);
			if (cp >= 0)
				continue;
			cp = REPLACEMENT;
		} else if (*p == '\\') {
			cp = escape(&p, j->end);
			if (cp < 0) {
				fail_at(j, at, "an unknown escape in a string");
				return false;
			}
		}
		fits = fits && append(b, run, (size_t)(at - run));
		if (*at == '"')
			break;
		uint8_t utf8[4];
		struct hf_buf one = {.p = utf8, .cap = sizeof utf8, .max = sizeof utf8};

		hf_utf8_add(&one, cp);
		fits = fits && append(b, utf8, one.len);
		run = p;
	}
	if (!fits) {
		fail_at(j, from, "a string is too long");
		return false;
	}
	j->p = p + 1;
	*out = (struct hf_str){(const char *)b->p + start, b->len - start};
	return true;
}

/* The string behind the quote where the reader stands. */
static inline bool
string(struct hf_json *j, struct hf_str *out)
{
	const uint8_t *from = j->p + 1, *p = from;

	for (;;) {
		int32_t cp;

		p = end_of_plain(p, j->end);
		if (p < j->end && *p == '"')
			break;
		if (p == j->end || *p < 0x80)
			return decode(j, from, out);
		p += hf_utf8_next((struct hf_str){(const char *)p, (size_t)(j->end - p)}, &cp);
		if (cp < 0)
			return decode(j, from, out);
	}
	*out = (struct hf_str){(const char *)from, (size_t)(p - from)};
	j->p = p + 1;
	return true;
}

/* The same without the content. */
static bool
skip_string(struct hf_json *j)
{
	const uint8_t *p = j->p + 1;

	for (;;) {
		p = end_of_plain(p, j->end);
		if (p == j->end || *p < 0x20) {
			fail_at(j, p, "a control character in a string");
			return false;
		}
		const uint8_t *at = p;
		if (*p >= 0x80) {
			p++;
		} else if (*p == '"') {
			j->p = p + 1;
			return true;
		} else if (escape(&p, j->end) < 0) {
			fail_at(j, at, "an unknown escape in a string");
			return false;
		}
	}
}

struct hf_str
hf_json_str(struct hf_json *j)
{
	struct hf_str s = {"", 0};

	skip_space(j);
	if (j->p == j->end || *j->p != '"') {
		if (!take_word(j, "null", 4))
			fail_at(j, j->p, "a string should stand here");
		return s;
	}
	j->is_first = false;
	string(j, &s);
	return s;
}

/* ---- Objects and arrays ---- */

static void
enter(struct hf_json *j, uint8_t open, const char *text)
{
	skip_space(j);
	if (take(j, open)) {
		if (++j->depth > MAX_DEPTH)
			hf_json_fail(j, "nested too deeply");
		j->is_first = true;
	} else if (take_word(j, "null", 4)) {
		j->is_null = true;
	} else {
		fail_at(j, j->p, text);
	}
}

void
hf_json_object(struct hf_json *j)
{
	enter(j, '{', "an object should stand here");
}

void
hf_json_array(struct hf_json *j)
{
	enter(j, '[', "an array should stand here");
}

/* Stands before the next member, or behind the end of the object or array. */
static inline bool
next(struct hf_json *j, uint8_t close)
{
	if (j->is_null) {
		j->is_null = false;
		return false;
	}
	if (__builtin_expect(j->p > j->low, 0))
		refill(j);
	skip_space(j);
	if (j->depth > 0 && take(j, close)) {
		j->depth--;
		j->is_first = false;
		return false;
	}
	if (!j->is_first) {
		if (!take(j, ',')) {
			fail_at(j, j->p, "a comma or the end should stand here");
			return false;
		}
		skip_space(j);
	}
	j->is_first = false;
	if (j->p < j->end && *j->p != close && *j->p != ',')
		return true;
	fail_at(j, j->p, "a comma too many");
	return false;
}

/* In an object: stands at the quote of the next name. */
static inline bool
next_name(struct hf_json *j)
{
	if (!next(j, '}'))
		return false;
	if (*j->p == '"')
		return true;
	hf_json_fail(j, "the name of a field should stand here");
	return false;
}

static inline bool
colon(struct hf_json *j)
{
	skip_space(j);
	if (take(j, ':'))
		return true;
	fail_at(j, j->p, "a colon should stand here");
	return false;
}

bool
hf_json_key(struct hf_json *j, struct hf_str *key)
{
	return next_name(j) && string(j, key) && colon(j);
}

bool
hf_json_item(struct hf_json *j)
{
	return next(j, ']');
}

bool
hf_json_key_folds_(struct hf_str key, const char *name)
{
	for (size_t i = 0; i < key.len; i++) {
		char a = key.p[i], b = name[i];

		if (a >= 'A' && a <= 'Z')
			a += 'a' - 'A';
		if (b >= 'A' && b <= 'Z')
			b += 'a' - 'A';
		if (a != b)
			return false;
	}
	return true;
}

/* ---- Skipping ---- */

static void
skip_value(struct hf_json *j)
{
	switch (hf_json_peek(j)) {
	case HF_JSON_OBJECT:
		for (hf_json_object(j); next_name(j);)
			if (skip_string(j) && colon(j))
				skip_value(j);
		break;
	case HF_JSON_ARRAY:
		for (hf_json_array(j); next(j, ']');)
			skip_value(j);
		break;
	case HF_JSON_STRING:
		skip_string(j);
		break;
	case HF_JSON_NUMBER: {
		const uint8_t *p = hf_json_number_end_(j, j->p);

		if (p != NULL)
			j->p = p;
		break;
	}
	case HF_JSON_NULL:
		if (!hf_json_null(j))
			hf_json_fail(j, "an unknown word");
		break;
	case HF_JSON_BOOL:
		hf_json_bool(j);
		break;
	case HF_JSON_ERROR:
		fail_at(j, j->p, "a value should stand here");
		break;
	}
	j->is_first = false;
}

struct hf_bytes
hf_json_skip(struct hf_json *j)
{
	skip_space(j);
	const uint8_t *from = j->p;
	size_t before = j->before;

	skip_value(j);
	if (j->error != NULL || j->before != before)
		return (struct hf_bytes){NULL, 0};
	return (struct hf_bytes){from, (size_t)(j->p - from)};
}
