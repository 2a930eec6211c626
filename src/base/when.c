/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/when.h"

#include <strings.h>

/* What has been read so far, and what is still to be read. */
struct when {
	struct hf_str s;
	int year, month, day, hour, minute, second;
	uint32_t nsec;
	bool has_offset, is_utc;
	int offset_s;
	struct hf_str zone; /* its name; empty: none */
};

static void
skip(struct when *w, size_t n)
{
	w->s.p += n;
	w->s.len -= n;
}

static bool
is_digit(const struct when *w, size_t i)
{
	return i < w->s.len && w->s.p[i] >= '0' && w->s.p[i] <= '9';
}

/* From `least` to `most` digits. */
static bool
take_number(struct when *w, size_t least, size_t most, int *out)
{
	size_t n = 0;

	*out = 0;
	for (; n < most && is_digit(w, n); n++)
		*out = 10 * *out + (w->s.p[n] - '0');
	skip(w, n);
	return n >= least;
}

/* One of the names of three letters that `names` strings together; its number, counted from 1. */
static bool
take_name(struct when *w, const char *names, int *out)
{
	for (int i = 0; w->s.len >= 3 && names[3 * i] != '\0'; i++) {
		if (strncasecmp(w->s.p, names + (size_t)3 * i, 3) == 0) {
			skip(w, 3);
			*out = i + 1;
			return true;
		}
	}
	return false;
}

/* A point or comma that a digit follows; only nine digits count. */
static void
take_fraction(struct when *w)
{
	uint32_t unit = 100000000;
	size_t n = 1;

	if (w->s.len == 0 || (w->s.p[0] != '.' && w->s.p[0] != ',') || !is_digit(w, 1))
		return;
	for (; is_digit(w, n); n++) {
		w->nsec += (uint32_t)(w->s.p[n] - '0') * unit;
		unit /= 10;
	}
	skip(w, n);
}

/* "+0200"; 24 hours and 60 minutes are let through. */
static bool
take_offset(struct when *w)
{
	int sign, hours, minutes;

	if (w->s.len == 0 || (w->s.p[0] != '+' && w->s.p[0] != '-'))
		return false;
	sign = w->s.p[0] == '-' ? -1 : 1;
	skip(w, 1);
	if (!take_number(w, 2, 2, &hours) || !take_number(w, 2, 2, &minutes))
		return false;
	w->has_offset = true;
	w->offset_s = sign * (hours * 60 + minutes) * 60;
	return hours <= 24 && minutes <= 60;
}

static bool
begins(struct hf_str s, const char *with)
{
	size_t n = strlen(with);

	return s.len >= n && memcmp(s.p, with, n) == 0;
}

/* The length of "+3", "-11" at the beginning of `s`; 0: there is none, or more than 23 hours. */
static size_t
signed_hours(struct hf_str s)
{
	size_t n = 1;
	int hours = 0;

	if (s.len < 2 || (s.p[0] != '+' && s.p[0] != '-'))
		return 0;
	for (; n < s.len && s.p[n] >= '0' && s.p[n] <= '9'; n++)
		hours = hours > 23 ? hours : 10 * hours + (s.p[n] - '0');
	return hours > 23 || n == 1 ? 0 : n;
}

/*
 * The length of what looks like the name of a zone: three capital letters, four or five that end
 * in T, and what there is besides. 0: nothing does.
 */
static size_t
zone_length(struct hf_str s)
{
	size_t n = 0;

	if (begins(s, "ChST") || begins(s, "MeST"))
		return 4;
	if (begins(s, "GMT"))
		return 3 + signed_hours((struct hf_str){s.p + 3, s.len - 3});
	if (s.len >= 3 && (s.p[0] == '+' || s.p[0] == '-'))
		return signed_hours(s);
	while (n < 6 && n < s.len && s.p[n] >= 'A' && s.p[n] <= 'Z')
		n++;
	if (n == 3 || begins(s, "WITA"))
		return n;
	return (n == 4 || n == 5) && s.p[n - 1] == 'T' ? n : 0;
}

static bool
take_zone(struct when *w)
{
	if (begins(w->s, "UTC")) {
		w->is_utc = true;
		skip(w, 3);
		return true;
	}
	w->zone = (struct hf_str){w->s.p, zone_length(w->s)};
	skip(w, w->zone.len);
	return w->zone.len > 0;
}

/* A space of the form: at the end of the text it stands for nothing. */
static bool
take_spaces(struct when *w)
{
	if (w->s.len > 0 && w->s.p[0] != ' ')
		return false;
	while (w->s.len > 0 && w->s.p[0] == ' ')
		skip(w, 1);
	return true;
}

static bool
take_part(struct when *w, char part)
{
	int weekday;

	switch (part) {
	case 'Y':
		return take_number(w, 4, 4, &w->year);
	case 'm':
		return take_number(w, 2, 2, &w->month) && w->month >= 1 && w->month <= 12;
	case 'b':
		return take_name(w, "JanFebMarAprMayJunJulAugSepOctNovDec", &w->month);
	case 'd':
		return take_number(w, 2, 2, &w->day);
	case 'e':
		return take_number(w, 1, 2, &w->day);
	case 'a':
		return take_name(w, "SunMonTueWedThuFriSat", &weekday);
	case 'H':
		return take_number(w, 1, 2, &w->hour) && w->hour < 24;
	case 'M':
		return take_number(w, 2, 2, &w->minute) && w->minute < 60;
	case 'S':
		if (!take_number(w, 2, 2, &w->second) || w->second >= 60)
			return false;
		take_fraction(w);
		return true;
	case 'z':
		return take_offset(w);
	case 'Z':
		return take_zone(w);
	case ' ':
		return take_spaces(w);
	default:
		if (w->s.len == 0 || w->s.p[0] != part)
			return false;
		skip(w, 1);
		return true;
	}
}

static bool
is_day(const struct when *w)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = w->year % 4 == 0 && (w->year % 100 != 0 || w->year % 400 == 0);

	return w->day >= 1 && w->day <= days[w->month - 1] + (w->month == 2 && is_leap);
}

/* The local offset and the name of the zone at an instant. */
static int64_t
local_offset(int64_t sec, struct tm *tm)
{
	time_t t = (time_t)sec;

	*tm = (struct tm){0};
	return localtime_r(&t, tm) != NULL ? tm->tm_gmtoff : 0;
}

/*
 * The offset of a zone by its name: one that is in force at the local time `clock_s` goes before
 * others of the same name. The system does not list the names of a zone, so that they are looked
 * for from 1900 to 2037, a season at a time.
 */
static bool
offset_of_name(struct hf_str name, int64_t clock_s, int64_t *offset_s)
{
	const int64_t first = -2208988800, end = 2145916800, season = 90 * 86400;
	bool is_known = false;
	struct tm tm;

	for (int64_t t = first; t < end; t += season) {
		int64_t offset = local_offset(t, &tm);

		if (tm.tm_zone == NULL || !hf_str_is(name, tm.tm_zone))
			continue;
		if (!is_known)
			*offset_s = offset;
		is_known = true;
		offset = local_offset(clock_s - offset, &tm);
		if (tm.tm_zone != NULL && hf_str_is(name, tm.tm_zone)) {
			*offset_s = offset;
			return true;
		}
	}
	return is_known;
}

/* From a clock's face to the instant. */
static int64_t
instant(const struct when *w, int64_t clock_s)
{
	struct tm tm;
	int64_t offset_s = 0;

	if (w->is_utc)
		return clock_s;
	if (w->has_offset)
		return clock_s - w->offset_s;
	if (w->zone.len > 0)
		return offset_of_name(w->zone, clock_s, &offset_s) ? clock_s - offset_s
								   : clock_s;
	/* First as if the clock showed UTC; near a change of the offset that is the wrong side. */
	offset_s = local_offset(clock_s, &tm);
	if (offset_s != 0)
		offset_s = local_offset(clock_s - offset_s, &tm);
	return clock_s - offset_s;
}

bool
hf_when_parse(const char *form, struct hf_str s, struct hf_time *out)
{
	struct when w = {.s = s, .month = 1, .day = 1};

	for (; *form != '\0'; form++) {
		if (!take_part(&w, *form))
			return false;
	}
	if (w.s.len > 0 || !is_day(&w))
		return false;
	struct tm tm = {.tm_year = w.year - 1900,
		.tm_mon = w.month - 1,
		.tm_mday = w.day,
		.tm_hour = w.hour,
		.tm_min = w.minute,
		.tm_sec = w.second};
	struct timespec ts = {.tv_sec = (time_t)instant(&w, timegm(&tm)), .tv_nsec = w.nsec};

	*out = hf_time_local(ts);
	return true;
}

struct hf_time
hf_when_add(const struct hf_time *t, int years, int months, int days)
{
	struct tm local, tm;
	bool is_local = t->zone_s != 0 && local_offset(t->sec, &local) == t->zone_s;
	struct when w = {.has_offset = !is_local, .offset_s = t->zone_s};
	time_t face = (time_t)(t->sec + t->zone_s);
	struct hf_time out = *t;

	if (gmtime_r(&face, &tm) == NULL)
		return out;
	tm.tm_year += years;
	tm.tm_mon += months;
	tm.tm_mday += days;
	out.sec = instant(&w, timegm(&tm));
	if (is_local)
		out.zone_s = (int32_t)local_offset(out.sec, &local);
	return out;
}
