/* SPDX-License-Identifier: BSD-2-Clause */
/* Formats; see the header for what they look like. */
#include "cli/format.h"

#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "codec/quote.h"

struct hf_text
hf_format_bytes(uint64_t n)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	struct hf_text t;
	unsigned i = 3;

	if (n < 1024) {
		snprintf(t.s, sizeof t.s, "%u B", (unsigned)n);
		return t;
	}
	while (n < UINT64_C(1) << (10 * (i + 1)))
		i--;
	snprintf(t.s, sizeof t.s, "%.3f %s",
		(double)n / (double)(UINT64_C(1) << (10 * (i + 1))), units[i]);
	return t;
}

struct hf_text
hf_format_percent(uint64_t n, uint64_t of)
{
	struct hf_text t = {""};
	double v;

	if (of == 0)
		return t;
	v = 100.0 * (double)n / (double)of;
	snprintf(t.s, sizeof t.s, "%3.2f%%", v > 100 ? 100 : v);
	return t;
}

struct hf_text
hf_format_seconds(uint64_t s)
{
	struct hf_text t;
	unsigned m = (unsigned)(s / 60 % 60);

	if (s >= 3600)
		snprintf(t.s, sizeof t.s, "%llu:%02u:%02u", (unsigned long long)(s / 3600), m,
			(unsigned)(s % 60));
	else
		snprintf(t.s, sizeof t.s, "%u:%02u", m, (unsigned)(s % 60));
	return t;
}

/* A decimal fraction without the zeros at its end. */
static void
add_fraction(char *out, size_t size, double v, const char *unit)
{
	char digits[40];
	size_t len;

	snprintf(digits, sizeof digits, "%.9f", v);
	len = strlen(digits);
	while (len > 0 && digits[len - 1] == '0')
		len--;
	if (len > 0 && digits[len - 1] == '.')
		len--;
	snprintf(out, size, "%.*s%s", (int)len, digits, unit);
}

struct hf_text
hf_format_duration(double s)
{
	struct hf_text t;
	char seconds[24];
	uint64_t minutes;

	if (s <= 0)
		return (struct hf_text){"0s"};
	if (s < 1e-3)
		add_fraction(t.s, sizeof t.s, s * 1e6, "\xc2\xb5s");
	else if (s < 1)
		add_fraction(t.s, sizeof t.s, s * 1e3, "ms");
	else if (s < 60)
		add_fraction(t.s, sizeof t.s, s, "s");
	if (s < 60)
		return t;
	minutes = (uint64_t)(s / 60);
	add_fraction(seconds, sizeof seconds, s - (double)minutes * 60, "s");
	if (minutes >= 60)
		snprintf(t.s, sizeof t.s, "%lluh%um%s", (unsigned long long)(minutes / 60),
			(unsigned)(minutes % 60), seconds);
	else
		snprintf(t.s, sizeof t.s, "%um%s", (unsigned)minutes, seconds);
	return t;
}

struct hf_text
hf_format_time(const struct hf_time *t)
{
	struct hf_text text = {"0001-01-01 00:00:00"};
	time_t sec = (time_t)t->sec;
	struct tm tm;

	if (localtime_r(&sec, &tm) != NULL)
		snprintf(text.s, sizeof text.s, "%04lld-%02d-%02d %02d:%02d:%02d",
			(long long)tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			tm.tm_min, tm.tm_sec);
	return text;
}

const char *
hf_format_zone(void)
{
	const char *tz = getenv("TZ");

	if (tz == NULL)
		return "local time";
	if (*tz == ':')
		tz++;
	return *tz == '\0' ? "UTC" : *tz == '/' ? "local time" : tz;
}

void
hf_format_name(struct hf_buf *out, struct hf_str name)
{
	for (size_t i = 0; i < name.len;) {
		int32_t cp;

		i += hf_utf8_next((struct hf_str){name.p + i, name.len - i}, &cp);
		if (cp < 0 || cp == 0xFFFD || !hf_utf8_is_print(cp)) {
			hf_buf_add_char(out, '"');
			hf_quote(out, name);
			hf_buf_add_char(out, '"');
			return;
		}
	}
	hf_buf_add(out, name.p, name.len);
}

char *
hf_shown_name(struct hf_str name)
{
	hf_auto(hf_buf) out = HF_BUF_MAX(1 << 20);

	hf_format_name(&out, name);
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(&out)));
}

void
hf_format_safe(struct hf_buf *out, struct hf_str text)
{
	for (size_t i = 0; i < text.len;) {
		struct hf_str rest = {text.p + i, text.len - i};
		int32_t cp;
		size_t n = hf_utf8_next(rest, &cp);
		bool is_control = cp < 0 || (cp < 0x20 && cp != '\n' && cp != '\t') ||
				  (cp >= 0x7F && cp < 0xA0);

		for (size_t k = 0; is_control && k < n; k++)
			hf_buf_addf(out, "\\x%02x", (uint8_t)rest.p[k]);
		if (!is_control)
			hf_buf_add(out, rest.p, n);
		i += n;
	}
}

size_t
hf_format_fit(struct hf_str s, size_t columns)
{
	size_t used = 0, i = 0;

	while (i < s.len) {
		int32_t cp;
		size_t n = hf_utf8_next((struct hf_str){s.p + i, s.len - i}, &cp);
		size_t w = hf_utf8_width((struct hf_str){s.p + i, n});

		if (used + w > columns)
			break;
		used += w;
		i += n;
	}
	return i;
}
