/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/utf8.h"

#include "base/utf8_table.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

/*
 * What a lead byte says: the length of the sequence, and the range of the second byte, which is
 * where overlong forms, surrogates and values beyond 10FFFF show.
 */
static size_t
lead(uint8_t c, uint8_t *lo, uint8_t *hi)
{
	*lo = 0x80;
	*hi = 0xbf;
	if (c < 0xc2)
		return 0;
	if (c < 0xe0)
		return 2;
	if (c < 0xf0) {
		if (c == 0xe0)
			*lo = 0xa0;
		else if (c == 0xed)
			*hi = 0x9f;
		return 3;
	}
	if (c == 0xf0)
		*lo = 0x90;
	else if (c == 0xf4)
		*hi = 0x8f;
	return c < 0xf5 ? 4 : 0;
}

size_t
hf_utf8_next(struct hf_str s, int32_t *cp)
{
	static const uint8_t mask[] = {0, 0, 0x1f, 0x0f, 0x07};
	const uint8_t *p = (const uint8_t *)s.p;
	uint8_t lo, hi;

	if (p[0] < 0x80) {
		*cp = p[0];
		return 1;
	}
	*cp = -1;
	size_t n = lead(p[0], &lo, &hi);
	if (n == 0 || n > s.len || p[1] < lo || p[1] > hi)
		return 1;
	int32_t v = (p[0] & mask[n]) << 6 | (p[1] & 0x3f);
	for (size_t i = 2; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 1;
		v = v << 6 | (p[i] & 0x3f);
	}
	*cp = v;
	return n;
}

bool
hf_utf8_is_valid(struct hf_str s)
{
	while (s.len > 0) {
		int32_t cp;
		size_t n = hf_utf8_next(s, &cp);

		if (cp < 0)
			return false;
		s.p += n;
		s.len -= n;
	}
	return true;
}

void
hf_utf8_add(struct hf_buf *out, int32_t cp)
{
	uint32_t v = (uint32_t)cp;
	uint8_t b[4];
	size_t n = v < 0x80 ? 1 : v < 0x800 ? 2 : v < 0x10000 ? 3 : 4;

	for (size_t i = n - 1; i > 0; i--) {
		b[i] = 0x80 | (v & 0x3f);
		v >>= 6;
	}
	b[0] = (uint8_t)(n == 1 ? v : (0xf00U >> n & 0xff) | v);
	hf_buf_add(out, b, n);
}

/* Whether the number of edges that are not above `v` is odd. */
static bool
is_in(uint32_t v, const uint32_t *edge, size_t n)
{
	size_t lo = 0;

	for (size_t hi = n; lo < hi;) {
		size_t mid = (lo + hi) / 2;

		if (edge[mid] <= v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo % 2 == 1;
}

bool
hf_utf8_is_print(int32_t cp)
{
	if (cp >= 0x20 && cp < 0x7f)
		return true;
	return cp > 0 && is_in((uint32_t)cp, print_edges, LEN(print_edges));
}

int32_t
hf_utf8_lower(int32_t cp)
{
	if (cp < 0x80)
		return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
	uint32_t v = (uint32_t)cp;
	size_t lo = 0, hi = LEN(lower_runs);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (lower_runs[mid].last < v)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == LEN(lower_runs) || v < lower_runs[lo].first ||
		(v - lower_runs[lo].first) % lower_runs[lo].step != 0)
		return cp;
	return cp + lower_runs[lo].delta;
}

static size_t
columns(int32_t cp)
{
	if (cp >= 0x20 && cp < 0x7f)
		return 1;
	if (cp < 0)
		return 1;
	uint32_t v = (uint32_t)cp;

	if (v < 0xa0 || is_in(v, zero_edges, LEN(zero_edges)))
		return 0;
	return is_in(v, wide_edges, LEN(wide_edges)) ? 2 : 1;
}

size_t
hf_utf8_width(struct hf_str s)
{
	size_t width = 0;

	while (s.len > 0) {
		int32_t cp = *s.p;
		size_t n = 1;

		/* As nearly all are: one byte, one column. */
		if (cp < 0x20 || cp >= 0x7f) {
			n = hf_utf8_next(s, &cp);
			width += columns(cp);
		} else {
			width++;
		}
		s.p += n;
		s.len -= n;
	}
	return width;
}
