/* SPDX-License-Identifier: BSD-2-Clause */
/* RFC 3339 as Go has it; the C library is the oracle for the calendar and for zones. */
#include "base/time.h"
#include "harness/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const char *
text(struct hf_time t)
{
	static _Thread_local char s[64];
	struct hf_buf b = {.p = (uint8_t *)s, .cap = sizeof s, .max = sizeof s};

	hf_time_add(&b, &t);
	s[b.len] = 0;
	return s;
}

TEST(time_text)
{
	CHECK_STR(text((struct hf_time){0, 0, 0}), "1970-01-01T00:00:00Z");
	CHECK_STR(text(HF_TIME_ZERO), "0001-01-01T00:00:00Z");
	CHECK_STR(text((struct hf_time){1767323045, 0, 0}), "2026-01-02T03:04:05Z");
	CHECK_STR(text((struct hf_time){1767323045, 352793739, 3600}),
		"2026-01-02T04:04:05.352793739+01:00");
	CHECK_STR(text((struct hf_time){1767323045, 500000000, -12600}),
		"2026-01-01T23:34:05.5-03:30");
	CHECK_STR(text((struct hf_time){1767323045, 1, 45900}),
		"2026-01-02T15:49:05.000000001+12:45");
	CHECK_STR(text((struct hf_time){-1, 999999000, 0}), "1969-12-31T23:59:59.999999Z");
	CHECK_STR(text((struct hf_time){951782400, 0, 0}), "2000-02-29T00:00:00Z");
	CHECK_STR(text((struct hf_time){4107542400, 0, 0}), "2100-03-01T00:00:00Z");
}

/* The clock by all of the offset, the offset by its minutes; a minus only with minutes. */
TEST(time_text_offset_with_seconds)
{
	CHECK_STR(text((struct hf_time){0, 0, 3208}), "1970-01-01T00:53:28+00:53");
	CHECK_STR(text((struct hf_time){0, 0, -3208}), "1969-12-31T23:06:32-00:53");
	CHECK_STR(text((struct hf_time){0, 0, 30}), "1970-01-01T00:00:30+00:00");
	CHECK_STR(text((struct hf_time){0, 0, -30}), "1969-12-31T23:59:30+00:00");
	CHECK_STR(text((struct hf_time){0, 0, 86399}), "1970-01-01T23:59:59+23:59");
	CHECK_STR(text((struct hf_time){0, 0, 86400}), "1970-01-01T00:00:00Z");
}

TEST(time_text_years_clamped)
{
	CHECK_STR(text((struct hf_time){253402300799, 9, 0}), "9999-12-31T23:59:59.000000009Z");
	CHECK_STR(text((struct hf_time){253402300800, 0, 0}), "9999-01-01T00:00:00Z");
	CHECK_STR(text((struct hf_time){253402300799, 0, 3600}), "9999-01-01T00:59:59+01:00");
	CHECK_STR(text((struct hf_time){-62167219200, 0, 0}), "0000-01-01T00:00:00Z");
	CHECK_STR(text((struct hf_time){-62167219201, 0, 0}), "0000-12-31T23:59:59Z");
	/* 29 February 10000 and of year -4: 9999 has no such day, year 0 has. */
	CHECK_STR(text((struct hf_time){253402300800 + 59 * 86400, 0, 0}),
		"9999-03-01T00:00:00Z");
	CHECK_STR(text((struct hf_time){-62167219200 - (366 + 1095 - 59) * 86400LL, 0, 0}),
		"0000-02-29T00:00:00Z");
	CHECK_EQ(strlen(text((struct hf_time){INT64_MAX, 0, 86399})), 25);
	CHECK_EQ(strlen(text((struct hf_time){INT64_MIN, 0, -86399})), 25);
}

static void
parses(const char *s, int64_t sec, uint32_t nsec, int32_t zone_s)
{
	struct hf_time t;

	if (!hf_time_parse(hf_str(s), &t))
		FAIL("refused: %s", s);
	if (t.sec != sec || t.nsec != nsec || t.zone_s != zone_s)
		FAIL("%s is %lld s %u ns %d", s, (long long)t.sec, t.nsec, t.zone_s);
}

TEST(time_parse)
{
	parses("1970-01-01T00:00:00Z", 0, 0, 0);
	parses("2026-01-02T04:04:05.352793739+01:00", 1767323045, 352793739, 3600);
	parses("2026-01-01T23:34:05.5-03:30", 1767323045, 500000000, -12600);
	parses("2026-01-02T03:04:05,25Z", 1767323045, 250000000, 0);
	parses("2026-01-02T03:04:05.1234567899Z", 1767323045, 123456789, 0);
	parses("2026-01-02T03:04:05.000000000000000000000000009Z", 1767323045, 0, 0);
	parses("2026-01-02T3:04:05Z", 1767323045, 0, 0);
	parses("2026-01-02T03:04:05+00:00", 1767323045, 0, 0);
	parses("2026-01-02T03:04:05-00:00", 1767323045, 0, 0);
	parses("2026-01-03T03:04:05+24:00", 1767323045, 0, 86400);
	parses("2026-01-02T04:04:05+00:60", 1767323045, 0, 3600);
	parses("0000-01-01T00:00:00Z", -62167219200, 0, 0);
	parses("0001-01-01T00:00:00Z", -62135596800, 0, 0);
	parses("9999-12-31T23:59:59.999999999Z", 253402300799, 999999999, 0);
	parses("2000-02-29T00:00:00Z", 951782400, 0, 0);
	parses("0000-02-29T00:00:00Z", -62167219200 + 59 * 86400, 0, 0);
}

TEST(time_parse_refuses)
{
	static const char *const bad[] = {"", "Z", "2026-01-02", "2026-01-02T03:04:05",
		"2026-01-02t03:04:05Z", "2026-01-02T03:04:05z", "2026-01-02 03:04:05Z",
		"2026-01-02T03:04:60Z", "2026-01-02T03:60:05Z", "2026-01-02T24:00:00Z",
		"2026-00-02T03:04:05Z", "2026-13-02T03:04:05Z", "2026-01-00T03:04:05Z",
		"2026-01-32T03:04:05Z", "2026-04-31T03:04:05Z", "2026-02-29T03:04:05Z",
		"1900-02-29T03:04:05Z", "2026-1-02T03:04:05Z", "2026-01-2T03:04:05Z",
		"2026-01-02T03:4:05Z", "2026-01-02T03:04:5Z", "2026-01-02T:04:05Z",
		"2026-01-02T03:04:05.Z", "2026-01-02T03:04:05.", "2026-01-02T03:04:05.5",
		"2026-01-02T03:04:05+0100", "2026-01-02T03:04:05+01",
		"2026-01-02T03:04:05+1:00", "2026-01-02T03:04:05+25:00",
		"2026-01-02T03:04:05+01:61", "2026-01-02T03:04:05+01:00:00",
		"2026-01-02T03:04:05Z ", " 2026-01-02T03:04:05Z", "2026-01-02T03:04:05ZZ",
		"02026-01-02T03:04:05Z", "-026-01-02T03:04:05Z", "+2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.-5Z", "2026-01-02T003:04:05Z"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct hf_time t = {7, 8, 9};

		if (hf_time_parse(hf_str(bad[i]), &t))
			FAIL("accepted: %s", bad[i]);
		CHECK(t.sec == 7 && t.nsec == 8 && t.zone_s == 9);
	}
}

static int64_t
random_s(unsigned *seed, int64_t first, int64_t last)
{
	uint64_t r = (uint64_t)rand_r(seed) << 31 ^ (uint64_t)rand_r(seed);

	return first + (int64_t)(r % (uint64_t)(last - first));
}

/* The C library's calendar is the oracle, over all years that have a text. */
TEST(time_text_as_gmtime)
{
	unsigned seed = 1;

	for (int i = 0; i < 300000; i++) {
		struct hf_time t = {.sec = random_s(&seed, -62167219200, 253402300800)}, back;
		time_t sec = (time_t)t.sec;
		struct tm tm;
		char want[64];

		gmtime_r(&sec, &tm);
		snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
			tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		REQUIRE_STR(text(t), want);
		REQUIRE(hf_time_parse(hf_str(want), &back));
		REQUIRE_EQ(back.sec, t.sec);
	}
}

static int32_t
zone_by_libc(int64_t sec)
{
	time_t t = (time_t)sec;
	struct tm tm;

	localtime_r(&t, &tm);
	return (int32_t)tm.tm_gmtoff;
}

static void
check_zone(int64_t sec)
{
	int32_t got = hf_time_local((struct timespec){.tv_sec = (time_t)sec}).zone_s;

	if (got != zone_by_libc(sec))
		FAIL("%s: second %lld is at %d, not %d", getenv("TZ"), (long long)sec, got,
			zone_by_libc(sec));
}

/* Seconds around every change of the offset, and at random, 1880 to 2120. */
static void
check_all_of_zone(const char *name)
{
	const int64_t first = -2840140800, last = 4733510400;
	unsigned seed = 1, changes = 0;

	setenv("TZ", name, 1);
	tzset();
	for (int64_t t = first; t < last; t += 86400) {
		int64_t lo = t, hi = t + 86400;

		if (zone_by_libc(lo) == zone_by_libc(hi))
			continue;
		changes++;
		while (hi - lo > 1) {
			int64_t mid = (lo + hi) / 2;

			*(zone_by_libc(mid) == zone_by_libc(lo) ? &lo : &hi) = mid;
		}
		for (int64_t s = lo - 2; s <= hi + 2; s++)
			check_zone(s);
		for (int i = 0; i < 50; i++)
			check_zone(random_s(&seed, lo - 200000, lo + 200000));
	}
	if (changes == 0)
		SKIP("the tz database is absent");
	for (int i = 0; i < 30000; i++)
		check_zone(random_s(&seed, first, last));
}

/* One test each: the cache is for the life of a thread, so is TZ. */
TEST(time_local_berlin)
{
	check_all_of_zone("Europe/Berlin");
}

TEST(time_local_lord_howe)
{
	check_all_of_zone("Australia/Lord_Howe");
}

TEST(time_local_casablanca)
{
	check_all_of_zone("Africa/Casablanca");
}

TEST(time_local_boa_vista)
{
	check_all_of_zone("America/Boa_Vista");
}

TEST(time_local_freetown)
{
	check_all_of_zone("Africa/Freetown");
}

TEST(time_local_rule)
{
	check_all_of_zone("XXX3:17:05YYY,M3.2.0/1:23:45,J300/-7");
}

TEST(time_local_keeps_nanoseconds)
{
	struct hf_time t = hf_time_local((struct timespec){.tv_sec = -5, .tv_nsec = 999999999});

	CHECK_EQ(t.sec, -5);
	CHECK_EQ(t.nsec, 999999999);
}

static void *
local_in_thread(void *arg)
{
	(void)arg;
	for (int64_t i = 0; i < 20000; i++)
		check_zone(i * 86399);
	return NULL;
}

TEST(time_local_in_threads)
{
	pthread_t id[4];

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	for (size_t i = 0; i < 4; i++)
		REQUIRE_EQ(pthread_create(&id[i], NULL, local_in_thread, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(id[i], NULL);
}

TEST(time_order)
{
	struct hf_time a = {5, 1, 0}, b = {5, 2, -3600}, c = {6, 0, 3600}, d = {5, 1, 7200};

	CHECK(hf_time_cmp(&a, &b) < 0);
	CHECK(hf_time_cmp(&b, &a) > 0);
	CHECK(hf_time_cmp(&b, &c) < 0);
	CHECK(hf_time_cmp(&c, &a) > 0);
	CHECK_EQ(hf_time_cmp(&a, &d), 0);
	CHECK(hf_time_is_zero(&HF_TIME_ZERO));
	CHECK(!hf_time_is_zero(&a));
}

TEST(time_now)
{
	struct timespec ts;
	double before = hf_clock();

	clock_gettime(CLOCK_REALTIME, &ts);
	struct hf_time t = hf_time_now();
	CHECK(t.sec - ts.tv_sec >= 0 && t.sec - ts.tv_sec < 10);
	CHECK(t.nsec < 1000000000);
	struct timespec wait = {.tv_nsec = 20000000};
	nanosleep(&wait, NULL);
	double passed = hf_clock() - before;
	CHECK(passed >= 0.019 && passed < 30);
}

TEST(dates_of_http)
{
	static const char *const wrong[] = {"", "Sun, 06 Nov 1994 08:49:37",
		"1994-11-06T08:49:37Z", "Sun, 06 Foo 1994 08:49:37 GMT",
		"Sun, 36 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 UTC", "Sun Nov  6 08:49:37 1994     ",
		"Sun, 06 Nov 1994 08-49-37 GMT"};
	struct hf_time t = {.sec = 42};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		CHECK(!hf_time_parse_http(hf_str(wrong[i]), &t));
	CHECK_EQ(t.sec, 42);
	REQUIRE(hf_time_parse_http(hf_str("Sun, 06 Nov 1994 08:49:37 GMT"), &t));
	CHECK_EQ(t.sec, 784111777); /* RFC 7231 has the date, date(1) the number */
	REQUIRE(hf_time_parse_http(hf_str("Thu, 29 Feb 2024 00:00:00 GMT"), &t));
	CHECK_EQ(t.sec, 1709164800);
}
