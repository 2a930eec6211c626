/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/quote.h"

#include "base/utf8.h"

/* The letter behind the backslash for bytes that have one, at the place of the byte. */
static const char letter[128] = {
	['\a'] = 'a',
	['\b'] = 'b',
	['\f'] = 'f',
	['\n'] = 'n',
	['\r'] = 'r',
	['\t'] = 't',
	['\v'] = 'v',
	['"'] = '"',
	['\\'] = '\\',
};

/* The length of what stands at the start of `s`: one code point, or a byte that is none (-1). */
static size_t
next(struct hf_str s, int32_t *cp)
{
	uint8_t c = (uint8_t)s.p[0];

	if (c >= 0x80)
		return hf_utf8_next(s, cp);
	*cp = c;
	return 1;
}

static bool
is_plain(int32_t cp)
{
	return cp != '"' && cp != '\\' && hf_utf8_is_print(cp);
}

bool
hf_quote_is_plain(struct hf_str name)
{
	while (name.len > 0) {
		int32_t cp;
		size_t n = next(name, &cp);

		if (!is_plain(cp))
			return false;
		name.p += n;
		name.len -= n;
	}
	return true;
}

static void
add_hex(struct hf_buf *out, char kind, uint32_t v, unsigned digits)
{
	hf_buf_add_char(out, '\\');
	hf_buf_add_char(out, kind);
	while (digits-- > 0)
		hf_buf_add_char(out, "0123456789abcdef"[v >> 4 * digits & 15]);
}

static void
add_escape(struct hf_buf *out, uint8_t first, int32_t cp)
{
	if (cp < 0) {
		add_hex(out, 'x', first, 2);
	} else if (cp >= 0x80) {
		add_hex(out, cp > 0xffff ? 'U' : 'u', (uint32_t)cp, cp > 0xffff ? 8 : 4);
	} else if (letter[cp] == 0) {
		add_hex(out, 'x', (uint32_t)cp, 2);
	} else {
		hf_buf_add_char(out, '\\');
		hf_buf_add_char(out, letter[cp]);
	}
}

void
hf_quote(struct hf_buf *out, struct hf_str name)
{
	const char *run = name.p;

	while (name.len > 0) {
		int32_t cp;
		size_t n = next(name, &cp);

		if (!is_plain(cp)) {
			hf_buf_add(out, run, (size_t)(name.p - run));
			add_escape(out, (uint8_t)name.p[0], cp);
			run = name.p + n;
		}
		name.p += n;
		name.len -= n;
	}
	hf_buf_add(out, run, (size_t)(name.p - run));
}

static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Takes exactly `digits` digits of that base. */
static bool
take_number(struct hf_str *s, size_t digits, uint32_t base, uint32_t *v)
{
	if (s->len < digits)
		return false;
	*v = 0;
	for (size_t i = 0; i < digits; i++) {
		uint32_t d = (uint32_t)digit_value(s->p[i]);

		if (d >= base)
			return false;
		*v = *v * base + d;
	}
	s->p += digits;
	s->len -= digits;
	return true;
}

static bool
unquote_byte(struct hf_buf *out, struct hf_str *s, size_t digits, uint32_t base)
{
	uint32_t v;

	if (!take_number(s, digits, base, &v) || v > 0xff)
		return false;
	hf_buf_add_char(out, (char)v);
	return true;
}

static bool
unquote_code_point(struct hf_buf *out, struct hf_str *s, size_t digits)
{
	uint32_t v;

	if (!take_number(s, digits, 16, &v) || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return false;
	hf_utf8_add(out, (int32_t)v);
	return true;
}

/* What follows a backslash. */
static bool
unquote_escape(struct hf_buf *out, struct hf_str *s)
{
	if (s->len == 0)
		return false;
	char c = s->p[0];

	if (c >= '0' && c <= '7')
		return unquote_byte(out, s, 3, 8);
	s->p++;
	s->len--;
	if (c == 'x')
		return unquote_byte(out, s, 2, 16);
	if (c == 'u')
		return unquote_code_point(out, s, 4);
	if (c == 'U')
		return unquote_code_point(out, s, 8);
	for (size_t i = 0; i < sizeof letter; i++) {
		if (letter[i] == c && c != 0) {
			hf_buf_add_char(out, (char)i);
			return true;
		}
	}
	return false;
}

bool
hf_unquote(struct hf_buf *out, struct hf_str s)
{
	while (s.len > 0) {
		size_t run = 0;
		int32_t cp = 0;

		while (run < s.len && (uint8_t)s.p[run] < 0x80 && s.p[run] != '\\' &&
			s.p[run] != '"' && s.p[run] != '\n')
			run++;
		hf_buf_add(out, s.p, run);
		s.p += run;
		s.len -= run;
		if (s.len == 0)
			break;
		if (s.p[0] == '"' || s.p[0] == '\n')
			return false;
		if (s.p[0] == '\\') {
			s.p++;
			s.len--;
			if (!unquote_escape(out, &s))
				return false;
			continue;
		}
		size_t n = hf_utf8_next(s, &cp);

		/* Go reads text here, and a byte that is none becomes U+FFFD. */
		hf_utf8_add(out, cp < 0 ? 0xfffd : cp);
		s.p += n;
		s.len -= n;
	}
	return true;
}
