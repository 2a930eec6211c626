/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/text.h"

#include <string.h>

#include "base/utf8.h"

static void
decode_utf16(struct hf_bytes in, bool is_big, struct hf_buf *out)
{
	size_t i = 0;

	while (i < in.len) {
		int32_t cp = 0xFFFD, low;

		if (in.len - i == 1) {
			hf_utf8_add(out, cp);
			return;
		}
		cp = is_big ? in.p[i] << 8 | in.p[i + 1] : in.p[i + 1] << 8 | in.p[i];
		i += 2;
		if (cp >= 0xD800 && cp < 0xE000) {
			low = in.len - i < 2 ? 0
			      : is_big       ? in.p[i] << 8 | in.p[i + 1]
					     : in.p[i + 1] << 8 | in.p[i];
			if (cp < 0xDC00 && low >= 0xDC00 && low < 0xE000) {
				cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
				i += 2;
			} else {
				cp = 0xFFFD;
			}
		}
		hf_utf8_add(out, cp);
	}
}

void
hf_text_decode(struct hf_bytes in, struct hf_buf *out)
{
	if (in.len >= 3 && memcmp(in.p, "\xEF\xBB\xBF", 3) == 0)
		hf_buf_add(out, in.p + 3, in.len - 3);
	else if (in.len >= 2 && memcmp(in.p, "\xFE\xFF", 2) == 0)
		decode_utf16((struct hf_bytes){in.p + 2, in.len - 2}, true, out);
	else if (in.len >= 2 && memcmp(in.p, "\xFF\xFE", 2) == 0)
		decode_utf16((struct hf_bytes){in.p + 2, in.len - 2}, false, out);
	else
		hf_buf_add(out, in.p, in.len);
}

static bool
is_space(int32_t cp)
{
	return cp == ' ' || (cp >= '\t' && cp <= '\r') || cp == 0x85 || cp == 0xA0 ||
	       cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 ||
	       cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

struct hf_str
hf_text_trim(struct hf_str s)
{
	int32_t cp;
	size_t n;

	while (s.len > 0) {
		n = hf_utf8_next(s, &cp);
		if (!is_space(cp))
			break;
		s.p += n;
		s.len -= n;
	}
	while (s.len > 0) {
		n = 1;
		while (n < s.len && n < 4 && ((uint8_t)s.p[s.len - n] & 0xC0) == 0x80)
			n++;
		if (hf_utf8_next((struct hf_str){s.p + s.len - n, n}, &cp) != n ||
			!is_space(cp))
			break;
		s.len -= n;
	}
	return s;
}

bool
hf_text_line(struct hf_str *rest, struct hf_str *line)
{
	const char *end;

	if (rest->len == 0)
		return false;
	end = memchr(rest->p, '\n', rest->len);
	line->p = rest->p;
	line->len = end != NULL ? (size_t)(end - rest->p) : rest->len;
	rest->p += line->len + (end != NULL);
	rest->len -= line->len + (end != NULL);
	if (line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	return true;
}

bool
hf_text_bool(const char *s, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < 6; i++) {
		if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
			*out = strcmp(s, yes[i]) == 0;
			return true;
		}
	}
	return false;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *
hf_text_unescape(struct hf_str s)
{
	hf_autofree char *copy = hf_str_dup(s);
	char *to = copy;

	for (const char *from = copy; *from != '\0'; to++) {
		if (*from != '%') {
			*to = *from++;
			continue;
		}
		int high = hex_digit(from[1]), low = high >= 0 ? hex_digit(from[2]) : -1;
		if (low < 0 || (high == 0 && low == 0))
			return NULL;
		*to = (char)(high << 4 | low);
		from += 3;
	}
	*to = '\0';
	return hf_steal(copy);
}
