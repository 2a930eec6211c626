/* SPDX-License-Identifier: BSD-2-Clause */
/* The writer of codec/json.h, and the indenter. */
#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "codec/json.h"

static inline void
before(struct hf_jout *o)
{
	if (o->needs_comma)
		hf_buf_add_char(o->buf, ',');
	o->needs_comma = true;
}

static void
put(struct hf_jout *o, const void *p, size_t n)
{
	before(o);
	hf_buf_add(o->buf, p, n);
}

void
hf_jout_object(struct hf_jout *o)
{
	put(o, "{", 1);
	o->needs_comma = false;
}

void
hf_jout_object_end(struct hf_jout *o)
{
	hf_buf_add_char(o->buf, '}');
	o->needs_comma = true;
}

void
hf_jout_array(struct hf_jout *o)
{
	put(o, "[", 1);
	o->needs_comma = false;
}

void
hf_jout_array_end(struct hf_jout *o)
{
	hf_buf_add_char(o->buf, ']');
	o->needs_comma = true;
}

void
hf_jout_key(struct hf_jout *o, const char *name)
{
	before(o);
	hf_buf_add_char(o->buf, '"');
	hf_buf_add_str(o->buf, name);
	hf_buf_add(o->buf, "\":", 2);
	o->needs_comma = false;
}

/* ---- Strings ---- */

/* Whether the byte needs a look: escaped by Go, or the beginning of something that may be. */
static inline bool
is_special(uint8_t c)
{
	return c < 0x20 || c >= 0x80 || c == '"' || c == '\\' || c == '<' || c == '>' ||
	       c == '&';
}

static void
add_u_escape(struct hf_buf *b, uint32_t v)
{
	static const char digit[] = "0123456789abcdef";
	char s[] = {'\\', 'u', digit[v >> 12], digit[v >> 8 & 15], digit[v >> 4 & 15],
		digit[v & 15]};

	hf_buf_add(b, s, sizeof s);
}

static void
add_ascii_escape(struct hf_buf *b, uint8_t c)
{
	static const char letter[128] = {['"'] = '"',
		['\\'] = '\\',
		['\b'] = 'b',
		['\f'] = 'f',
		['\n'] = 'n',
		['\r'] = 'r',
		['\t'] = 't'};

	if (letter[c] == 0) {
		add_u_escape(b, c);
		return;
	}
	hf_buf_add_char(b, '\\');
	hf_buf_add_char(b, letter[c]);
}

void
hf_jout_str(struct hf_jout *o, struct hf_str s)
{
	size_t run = 0, i = 0;

	put(o, "\"", 1);
	while (i < s.len) {
		uint8_t c = (uint8_t)s.p[i];
		int32_t cp = c;
		size_t n = 1;

		if (!is_special(c)) {
			i++;
			continue;
		}
		if (c >= 0x80) {
			n = hf_utf8_next((struct hf_str){s.p + i, s.len - i}, &cp);
			if (cp >= 0 && cp != 0x2028 && cp != 0x2029) {
				i += n;
				continue;
			}
		}
		hf_buf_add(o->buf, s.p + run, i - run);
		if (c < 0x80)
			add_ascii_escape(o->buf, c);
		else
			add_u_escape(o->buf, cp < 0 ? 0xfffd : (uint32_t)cp);
		run = i += n;
	}
	if (i > run)
		hf_buf_add(o->buf, s.p + run, i - run);
	hf_buf_add_char(o->buf, '"');
}

/* ---- Numbers ---- */

static void
put_integer(struct hf_jout *o, uint64_t v, bool is_negative)
{
	char text[24], *p = text + sizeof text;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	if (is_negative)
		*--p = '-';
	put(o, p, (size_t)(text + sizeof text - p));
}

void
hf_jout_u64(struct hf_jout *o, uint64_t v)
{
	put_integer(o, v, false);
}

void
hf_jout_i64(struct hf_jout *o, int64_t v)
{
	put_integer(o, v < 0 ? -(uint64_t)v : (uint64_t)v, v < 0);
}

/* v = 0.digits * 10^point. */
struct decimal {
	char digits[20];
	int n, point;
};

/* What strtod() makes of the digits in `text`, which is in the form d.ddde±xx. */
static bool
is_exact(const char *text, double v)
{
	return strtod(text, NULL) == v;
}

/* Adds one unit in the last place to d.ddd, in front of the `e`; false if it would carry over. */
static bool
next_up(char *text)
{
	char *p = strchr(text, 'e');

	while (--p >= text) {
		if (*p == '.')
			continue;
		if (*p < '9') {
			++*p;
			return true;
		}
		*p = '0';
	}
	return false;
}

/*
 * The fewest digits that read back as `v`, and of these the closest to it. printf() gives the
 * closest decimal of a given length. That suffices but for powers of two, below which doubles lie
 * twice as dense as above: there the closest can miss and the one above it read back.
 */
static struct decimal
shortest(double v)
{
	char text[32];
	int exponent;
	bool is_power = frexp(v, &exponent) == 0.5;

	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof text, "%.*e", precision, v);
		if (is_exact(text, v))
			break;
		if (is_power && next_up(text) && is_exact(text, v))
			break;
	}
	struct decimal d = {.n = 0, .point = 0};
	const char *p = text;

	for (; *p != 'e'; p++)
		if (*p != '.')
			d.digits[d.n++] = *p;
	for (const char *q = p + 2; *q != 0; q++)
		d.point = d.point * 10 + (*q - '0');
	d.point = (p[1] == '-' ? -d.point : d.point) + 1;
	return d;
}

static void
add_exponent_form(struct hf_buf *b, const struct decimal *d)
{
	hf_buf_add_char(b, d->digits[0]);
	if (d->n > 1) {
		hf_buf_add_char(b, '.');
		hf_buf_add(b, d->digits + 1, (size_t)d->n - 1);
	}
	hf_buf_addf(b, "e%+d", d->point - 1);
}

static void
add_plain_form(struct hf_buf *b, const struct decimal *d)
{
	if (d->point <= 0)
		hf_buf_add_str(b, "0.");
	for (int i = d->point; i < 0; i++)
		hf_buf_add_char(b, '0');
	for (int i = 0; i < d->n; i++) {
		if (i == d->point && i > 0)
			hf_buf_add_char(b, '.');
		hf_buf_add_char(b, d->digits[i]);
	}
	for (int i = d->n; i < d->point; i++)
		hf_buf_add_char(b, '0');
}

void
hf_jout_double(struct hf_jout *o, double v)
{
	double size = fabs(v);

	if (!isfinite(v)) {
		hf_jout_null(o);
		return;
	}
	before(o);
	if (signbit(v))
		hf_buf_add_char(o->buf, '-');
	if (size == 0) {
		hf_buf_add_char(o->buf, '0');
		return;
	}
	struct decimal d = shortest(size);

	if (size < 1e-6 || size >= 1e21)
		add_exponent_form(o->buf, &d);
	else
		add_plain_form(o->buf, &d);
}

/* ---- The rest ---- */

void
hf_jout_bool(struct hf_jout *o, bool v)
{
	put(o, v ? "true" : "false", v ? 4 : 5);
}

void
hf_jout_null(struct hf_jout *o)
{
	put(o, "null", 4);
}

void
hf_jout_id(struct hf_jout *o, const struct hf_id *id)
{
	struct hf_hex hex = hf_id_hex(id);
	char text[HF_ID_HEX + 2];

	text[0] = text[HF_ID_HEX + 1] = '"';
	memcpy(text + 1, hex.s, HF_ID_HEX);
	put(o, text, sizeof text);
}

void
hf_jout_time(struct hf_jout *o, const struct hf_time *t)
{
	put(o, "\"", 1);
	hf_time_add(o->buf, t);
	hf_buf_add_char(o->buf, '"');
}

void
hf_jout_base64(struct hf_jout *o, struct hf_bytes b)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";

	put(o, "\"", 1);
	for (size_t i = 0; i < b.len; i += 3) {
		size_t n = b.len - i;
		uint32_t v = (uint32_t)b.p[i] << 16;

		v |= n > 1 ? (uint32_t)b.p[i + 1] << 8 : 0;
		v |= n > 2 ? (uint32_t)b.p[i + 2] : 0;
		char four[] = {digit[v >> 18], digit[v >> 12 & 63],
			n > 1 ? digit[v >> 6 & 63] : '=', n > 2 ? digit[v & 63] : '='};

		hf_buf_add(o->buf, four, sizeof four);
	}
	hf_buf_add_char(o->buf, '"');
}

void
hf_jout_raw(struct hf_jout *o, struct hf_bytes json)
{
	put(o, json.p, json.len);
}

/* ---- Indentation ---- */

static void
new_line(struct hf_buf *out, unsigned depth)
{
	hf_buf_add_char(out, '\n');
	for (unsigned i = 0; i < depth; i++)
		hf_buf_add(out, "  ", 2);
}

/* The byte behind the string that begins at `p`. The text is known to be valid. */
static const uint8_t *
end_of_string(const uint8_t *p)
{
	for (p++; *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p + 1;
}

/* One token outside of strings. */
static void
indent_byte(struct hf_buf *out, uint8_t c, bool is_empty, unsigned *depth)
{
	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return;
	case '}':
	case ']':
		--*depth;
		if (!is_empty)
			new_line(out, *depth);
		break;
	}
	hf_buf_add_char(out, (char)c);
	if (c == '{' || c == '[')
		++*depth;
	else if (c == ',')
		new_line(out, *depth);
	else if (c == ':')
		hf_buf_add_char(out, ' ');
}

struct hf_err *
hf_json_indent(struct hf_bytes json, struct hf_buf *out)
{
	struct hf_json j;
	struct hf_buf none = {.max = 0};
	unsigned depth = 0;
	uint8_t last = 0; /* the last byte that is not white space */

	hf_json_init(&j, json, &none);
	hf_json_skip(&j);
	HF_TRY(hf_json_end(&j));
	for (const uint8_t *p = json.p, *end = json.p + json.len; p < end;) {
		bool is_space = *p <= ' ';
		bool is_empty = last == '{' || last == '[';

		if (is_empty && !is_space && *p != '}' && *p != ']')
			new_line(out, depth);
		last = is_space ? last : *p;
		if (*p == '"') {
			const uint8_t *q = end_of_string(p);

			hf_buf_add(out, p, (size_t)(q - p));
			p = q;
		} else {
			indent_byte(out, *p++, is_empty, &depth);
		}
	}
	return hf_buf_ok(out);
}

void
hf_jout_field_str(struct hf_jout *o, const char *name, const char *s)
{
	hf_jout_key(o, name);
	hf_jout_str(o, hf_str(s));
}

void
hf_jout_field_u64(struct hf_jout *o, const char *name, uint64_t v)
{
	hf_jout_key(o, name);
	hf_jout_u64(o, v);
}

void
hf_jout_field_double(struct hf_jout *o, const char *name, double v)
{
	hf_jout_key(o, name);
	hf_jout_double(o, v);
}
