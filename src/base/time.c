/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/time.h"

#include <string.h>

enum {
	DAY_S = 86400,
	/*
	 * The offset is kept for blocks of 2^17 seconds, a day and a half, and only for blocks
	 * that begin and end with the same one. A block would have to hold two changes for that
	 * to be wrong; the closest that any zone of the tz database has are four days apart.
	 */
	BLOCK_SHIFT = 17,
	CACHE_LEN = 128, /* blocks, half a year */
};

struct block {
	int64_t n;
	int32_t zone_s;
	bool is_set;
};

static int32_t
zone_of(int64_t sec)
{
	time_t t = (time_t)sec;
	struct tm tm;

	/* Go cannot read an offset of a day or more; only a made-up TZ has one. */
	if (t != sec || localtime_r(&t, &tm) == NULL || labs(tm.tm_gmtoff) >= DAY_S)
		return 0;
	return (int32_t)tm.tm_gmtoff;
}

/* A file has three times that are rarely close together, hence a table and not one block. */
static int32_t
zone_cached(int64_t sec)
{
	static _Thread_local struct block cache[CACHE_LEN];
	int64_t n = sec >> BLOCK_SHIFT;
	struct block *b = &cache[(uint64_t)n % CACHE_LEN];

	if (b->is_set && b->n == n)
		return b->zone_s;
	int64_t first = n * (1 << BLOCK_SHIFT);
	int32_t zone_s = zone_of(first);

	if (zone_of(first + (1 << BLOCK_SHIFT) - 1) != zone_s)
		return zone_of(sec);
	*b = (struct block){n, zone_s, true};
	return zone_s;
}

struct hf_time
hf_time_local(struct timespec ts)
{
	return (struct hf_time){
		ts.tv_sec, (uint32_t)ts.tv_nsec, zone_cached((int64_t)ts.tv_sec)};
}

struct hf_time
hf_time_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return hf_time_local(ts);
}

double
hf_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool
is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/*
 * Days are counted in years that begin in March, so that the leap day comes last, and in eras of
 * 400 years, which are all of the same length. Day 0 of era 0 is 0000-03-01; 719,468 days later
 * is 1970-01-01.
 */
enum { ERA_DAYS = 146097, EPOCH_DAYS = 719468 };

static int64_t
days_of_date(int64_t year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t in_era = y - era * 400;
	int64_t in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return era * ERA_DAYS + in_era * 365 + in_era / 4 - in_era / 100 + in_year - EPOCH_DAYS;
}

static void
date_of_days(int64_t days, int64_t *year, int *month, int *day)
{
	days += EPOCH_DAYS;
	int64_t era = (days >= 0 ? days : days - (ERA_DAYS - 1)) / ERA_DAYS;
	int64_t d = days - era * ERA_DAYS;
	int64_t y = (d - d / 1460 + d / 36524 - d / (ERA_DAYS - 1)) / 365;

	d -= y * 365 + y / 4 - y / 100;
	int64_t m = (5 * d + 2) / 153;

	*day = (int)(d - (153 * m + 2) / 5 + 1);
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*year = y + era * 400 + (*month <= 2);
}

static char *
put2(char *p, int v)
{
	*p++ = (char)('0' + v / 10);
	*p++ = (char)('0' + v % 10);
	return p;
}

static char *
put_fraction(char *p, uint32_t nsec)
{
	if (nsec == 0)
		return p;
	size_t n = 9;

	for (; nsec % 10 == 0; nsec /= 10)
		n--;
	*p++ = '.';
	for (size_t i = n; i-- > 0; nsec /= 10)
		p[i] = (char)('0' + nsec % 10);
	return p + n;
}

static char *
put_zone(char *p, int32_t zone_s)
{
	if (zone_s == 0) {
		*p++ = 'Z';
		return p;
	}
	int minutes = zone_s / 60;

	*p++ = minutes < 0 ? '-' : '+';
	if (minutes < 0)
		minutes = -minutes;
	p = put2(p, minutes / 60);
	*p++ = ':';
	return put2(p, minutes % 60);
}

void
hf_time_add(struct hf_buf *out, const struct hf_time *t)
{
	char text[40], *p = text;
	int32_t zone_s = t->zone_s <= -DAY_S || t->zone_s >= DAY_S ? 0 : t->zone_s;
	int64_t days = t->sec / DAY_S;
	int64_t clock_s = t->sec % DAY_S + zone_s;
	int64_t year;
	int month, day;

	for (; clock_s < 0; clock_s += DAY_S)
		days--;
	for (; clock_s >= DAY_S; clock_s -= DAY_S)
		days++;
	date_of_days(days, &year, &month, &day);
	year = year < 0 ? 0 : year > 9999 ? 9999 : year;
	if (month == 2 && day == 29 && !is_leap(year)) {
		month = 3;
		day = 1;
	}
	p = put2(put2(p, (int)year / 100), (int)year % 100);
	*p++ = '-';
	p = put2(p, month);
	*p++ = '-';
	p = put2(p, day);
	*p++ = 'T';
	p = put2(p, (int)clock_s / 3600);
	*p++ = ':';
	p = put2(p, (int)clock_s / 60 % 60);
	*p++ = ':';
	p = put2(p, (int)clock_s % 60);
	p = put_zone(put_fraction(p, t->nsec), zone_s);
	hf_buf_add(out, text, (size_t)(p - text));
}

/* What is still to be read; every step takes its part or says no. */
static bool
take(struct hf_str *s, char c)
{
	if (s->len == 0 || s->p[0] != c)
		return false;
	s->p++;
	s->len--;
	return true;
}

static bool
is_digit(struct hf_str s, size_t i)
{
	return i < s.len && s.p[i] >= '0' && s.p[i] <= '9';
}

static bool
take_number(struct hf_str *s, size_t digits, int max, int *out)
{
	int v = 0;

	for (size_t i = 0; i < digits; i++) {
		if (!is_digit(*s, i))
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	s->p += digits;
	s->len -= digits;
	*out = v;
	return v <= max;
}

/* A point that no digit follows is not a fraction; then the zone will not be found there. */
static uint32_t
take_fraction(struct hf_str *s)
{
	uint32_t v = 0, unit = 100000000;
	size_t i = 1;

	if (s->len == 0 || (s->p[0] != '.' && s->p[0] != ',') || !is_digit(*s, 1))
		return 0;
	for (; is_digit(*s, i); i++) {
		v += (uint32_t)(s->p[i] - '0') * unit;
		unit /= 10;
	}
	s->p += i;
	s->len -= i;
	return v;
}

static bool
take_zone(struct hf_str *s, int32_t *zone_s)
{
	int hours, minutes, sign = 1;

	*zone_s = 0;
	if (take(s, 'Z'))
		return true;
	if (take(s, '-'))
		sign = -1;
	else if (!take(s, '+'))
		return false;
	/* Go takes 24 hours and 60 minutes, because there are programs that write them. */
	if (!take_number(s, 2, 24, &hours) || !take(s, ':') || !take_number(s, 2, 60, &minutes))
		return false;
	*zone_s = sign * (hours * 3600 + minutes * 60);
	return true;
}

bool
hf_time_parse(struct hf_str s, struct hf_time *out)
{
	static const uint8_t month_days[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day, hour, minute, second;
	struct hf_time t;

	if (!take_number(&s, 4, 9999, &year) || !take(&s, '-') ||
		!take_number(&s, 2, 12, &month) || !take(&s, '-') ||
		!take_number(&s, 2, 31, &day) || !take(&s, 'T'))
		return false;
	/* Go takes one digit for the hour; not for the rest. */
	if (!take_number(&s, is_digit(s, 1) ? 2 : 1, 23, &hour) || !take(&s, ':') ||
		!take_number(&s, 2, 59, &minute) || !take(&s, ':') ||
		!take_number(&s, 2, 59, &second))
		return false;
	t.nsec = take_fraction(&s);
	if (!take_zone(&s, &t.zone_s) || s.len != 0)
		return false;
	if (month == 0 || day == 0 || day > month_days[month] ||
		(month == 2 && day == 29 && !is_leap(year)))
		return false;
	t.sec = days_of_date(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second -
		t.zone_s;
	*out = t;
	return true;
}

bool
hf_time_parse_http(struct hf_str s, struct hf_time *out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char form[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	hf_auto(hf_buf) text = HF_BUF_MAX(64);

	if (s.len != sizeof form - 1 || memcmp(s.p + 25, " GMT", 4) != 0 || s.p[3] != ',')
		return false;
	for (int month = 0; month < 12; month++)
		if (memcmp(s.p + 8, months + 3 * month, 3) == 0)
			hf_buf_addf(&text, "%.4s-%02d-%.2sT%.8sZ", s.p + 12, month + 1, s.p + 5,
				s.p + 17);
	return hf_time_parse(hf_bytes_str(hf_buf_bytes(&text)), out);
}

/* Appends `v` units, of which each has 10^digits parts, without trailing zeros. */
static void
add_fraction(struct hf_buf *out, uint64_t v, unsigned digits)
{
	uint64_t unit = 1;

	for (unsigned i = 0; i < digits; i++)
		unit *= 10;
	hf_buf_addf(out, "%llu", (unsigned long long)(v / unit));
	v %= unit;
	if (v == 0)
		return;
	for (; v % 10 == 0; v /= 10)
		digits--;
	hf_buf_addf(out, ".%0*llu", (int)digits, (unsigned long long)v);
}

void
hf_duration_add(struct hf_buf *out, int64_t ns)
{
	const uint64_t second = 1000000000, hour = 3600 * second, minute = 60 * second;
	uint64_t v = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

	if (v == 0) {
		hf_buf_add_str(out, "0s");
		return;
	}
	if (ns < 0)
		hf_buf_add_char(out, '-');
	if (v < second) {
		unsigned digits = v < 1000 ? 0 : v < 1000000 ? 3 : 6;

		add_fraction(out, v, digits);
		hf_buf_add_str(out, digits == 0 ? "ns" : digits == 3 ? "\u00b5s" : "ms");
		return;
	}
	if (v >= hour)
		hf_buf_addf(out, "%lluh", (unsigned long long)(v / hour));
	if (v >= minute)
		hf_buf_addf(out, "%llum", (unsigned long long)(v % hour / minute));
	add_fraction(out, v % minute, 9);
	hf_buf_add_char(out, 's');
}

/* Digits with at most one dot; at least one digit. */
static bool
parse_decimal(const char **s, double *out)
{
	const char *p = *s;
	double v = 0, unit = 1;
	bool has_digit = false, in_fraction = false;

	for (; (*p >= '0' && *p <= '9') || (*p == '.' && !in_fraction); p++) {
		if (*p == '.') {
			in_fraction = true;
			continue;
		}
		has_digit = true;
		v = v * 10 + (*p - '0');
		if (in_fraction)
			unit *= 10;
	}
	*s = p;
	*out = v / unit;
	return has_digit;
}

bool
hf_duration_parse(const char *s, double *out)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"\xc2\xb5s", 1e-6}, {"\xce\xbcs", 1e-6},
		{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
	bool is_negative = *s == '-';
	double total = 0;

	if (*s == '-' || *s == '+')
		s++;
	if (strcmp(s, "0") == 0) {
		*out = 0;
		return true;
	}
	if (*s == '\0')
		return false;
	while (*s != '\0') {
		double v;
		size_t len = 0, i;

		if (!parse_decimal(&s, &v))
			return false;
		while (s[len] != '\0' && s[len] != '.' && (s[len] < '0' || s[len] > '9'))
			len++;
		for (i = 0; i < sizeof units / sizeof units[0]; i++)
			if (strlen(units[i].name) == len && memcmp(units[i].name, s, len) == 0)
				break;
		if (i == sizeof units / sizeof units[0])
			return false;
		total += v * units[i].seconds;
		s += len;
	}
	if (total > 9.2e9) /* what Go's 64 bits of nanoseconds hold */
		return false;
	*out = is_negative ? -total : total;
	return true;
}
