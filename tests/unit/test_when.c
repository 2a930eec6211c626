/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/when.h"

#include "harness/test.h"

static void
in_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

/* -1: it is refused. */
static int64_t
read_time(const char *form, const char *text)
{
	struct hf_time t;

	return hf_when_parse(form, hf_str(text), &t) ? t.sec : -1;
}

TEST(reads_forms)
{
	struct hf_time t;

	in_zone("UTC");
	CHECK_EQ(read_time("Y-m-d", "1970-01-02"), 86400);
	CHECK_EQ(read_time("d.m.Y H:M", "02.01.1970 3:04"), 86400 + 3 * 3600 + 4 * 60);
	CHECK_EQ(read_time("Y-m-d H:M:S z", "1970-01-02 00:00:00 +0130"), 86400 - 5400);
	CHECK_EQ(read_time("a b e H:M:S z Z Y", "fri jan 2 00:00:00 +0000 XYZ 1970"), 86400);
	REQUIRE(hf_when_parse("H:M:S", hf_str("00:00:01.0200000009"), &t));
	CHECK_EQ(t.nsec, 20000000);
}

TEST(refuses_what_is_no_time)
{
	static const char *const bad[] = {"", "1970-01", "1970-01-01 ", "1970-1-1",
		"1970-13-01", "1970-00-01", "1970-02-29", "1900-02-29", "1970-04-31",
		"1970-01-00", " 1970-01-01"};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_EQ(read_time("Y-m-d", bad[i]), -1);
	CHECK_EQ(read_time("H:M", "24:00"), -1);
	CHECK_EQ(read_time("H:M:S", "00:00:60"), -1);
	CHECK_EQ(read_time("z", "+2501"), -1);
	CHECK_EQ(read_time("Z", "ab"), -1);
}

TEST(near_changes_of_the_offset)
{
	in_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	CHECK_EQ(read_time("Y-m-d H:M", "2020-03-29 01:59"), 1585443540);
	CHECK_EQ(read_time("Y-m-d H:M", "2020-03-29 03:00"), 1585443600);
	/* Left out, and twice: one of the two that it could be. */
	CHECK_EQ(read_time("Y-m-d H:M", "2020-03-29 02:30"), 1585445400);
	CHECK_EQ(read_time("Y-m-d H:M", "2020-10-25 02:30"), 1603589400);
	CHECK_EQ(read_time("Y-m-d H:M:S Z", "2020-01-01 00:00:00 CEST"), 1577829600);
	CHECK_EQ(read_time("Y-m-d H:M:S Z", "2020-01-01 00:00:00 UTC"), 1577836800);
	CHECK_EQ(read_time("Y-m-d H:M:S Z", "2020-01-01 00:00:00 GMT+3"), 1577836800);
}

static int64_t
add(const char *text, int years, int months, int days)
{
	struct hf_time t;

	REQUIRE(hf_time_parse(hf_str(text), &t));
	t = hf_when_add(&t, years, months, days);
	return t.sec;
}

TEST(adds_on_the_calendar)
{
	in_zone("CET-1CEST,M3.5.0,M10.5.0/3");
	/* The same time of day on the other side of a change; not so in a zone that is not ours. */
	CHECK_EQ(add("2020-04-01T12:00:00+02:00", 0, -1, 0), 1583060400);
	CHECK_EQ(add("2020-04-01T12:00:00+03:00", 0, -1, 0), 1583053200);
	CHECK_EQ(add("2020-04-01T12:00:00Z", -1, 0, 0), 1554120000);
	/* There is no 2019-02-29, nor a 31st of February. */
	CHECK_EQ(add("2020-02-29T00:00:00Z", -1, 0, 0), 1551398400);
	CHECK_EQ(add("2020-03-31T00:00:00Z", 0, -1, 0), 1583107200);
	CHECK_EQ(add("2020-01-01T00:00:00Z", 0, 0, -1), 1577750400);
}
