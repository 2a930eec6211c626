/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/forget.h"

#include "harness/test.h"

/* What the policy says of snapshots at these times, the newest first: "1:daily snapshot|..." */
static char *
judge(const struct hf_keep_policy *p, const char *const *times, size_t n)
{
	struct hf_snapshot *v[16];
	struct hf_keep_verdict out[16] = {{0}};
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 16);
	struct hf_time now = {.sec = 1700000000}; /* 2023-11-14 22:13:20 UTC */

	REQUIRE(n <= 16);
	for (size_t i = 0; i < n; i++) {
		v[i] = hf_snapshot_new();
		REQUIRE(hf_time_parse(hf_str(times[i]), &v[i]->time));
		if (i % 2 == 1)
			hf_strings_add(&v[i]->tags, "odd");
	}
	hf_keep_apply(p, (const struct hf_snapshot *const *)v, n, &now, out);
	for (size_t i = 0; i < n; i++) {
		CHECK_EQ(out[i].is_kept, out[i].reasons.len > 0);
		for (size_t k = 0; k < out[i].reasons.len; k++)
			hf_buf_addf(&text, "%zu:%s|", i, out[i].reasons.v[k]);
		hf_strings_clear(&out[i].reasons);
		hf_snapshot_free(v[i]);
	}
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(&text)));
}

#define JUDGE(p, want, ...)                                                                    \
	do {                                                                                   \
		const char *const times_[] = {__VA_ARGS__};                                    \
		hf_autofree char *got_ =                                                       \
			judge(&(p), times_, sizeof times_ / sizeof times_[0]);                 \
		CHECK_STR(got_, want);                                                         \
	} while (0)

TEST(counts_and_keeps_the_oldest)
{
	struct hf_keep_policy last = {.count = {[HF_KEEP_LAST] = 2}};
	struct hf_keep_policy daily = {.count = {[HF_KEEP_DAILY] = 2}};
	struct hf_keep_policy all = {.count = {[HF_KEEP_MONTHLY] = HF_KEEP_ALL}};
	struct hf_keep_policy more = {.count = {[HF_KEEP_YEARLY] = 5}};

	JUDGE(last, "0:last snapshot|1:last snapshot|", "2023-01-03T00:00:00Z",
		"2023-01-02T00:00:00Z", "2023-01-01T00:00:00Z");
	JUDGE(daily, "0:daily snapshot|2:daily snapshot|", "2023-01-03T09:00:00Z",
		"2023-01-03T08:00:00Z", "2023-01-02T08:00:00Z", "2023-01-01T08:00:00Z");
	JUDGE(all, "0:monthly snapshot|2:monthly snapshot|3:oldest monthly snapshot|",
		"2023-03-03T09:00:00Z", "2023-03-02T00:00:00Z", "2023-02-28T00:00:00Z",
		"2023-02-01T00:00:00Z");
	JUDGE(more, "0:yearly snapshot|2:oldest yearly snapshot|", "2023-03-03T09:00:00Z",
		"2023-03-02T00:00:00Z", "2023-02-28T00:00:00Z");
}

TEST(goes_by_the_clock_of_the_snapshot)
{
	struct hf_keep_policy p = {.count = {[HF_KEEP_DAILY] = 9}};
	struct hf_keep_policy weekly = {.count = {[HF_KEEP_WEEKLY] = 9}};

	/* Ten minutes apart, and two days; then two hours apart, and one. */
	JUDGE(p, "0:daily snapshot|1:daily snapshot|", "2023-01-02T00:05:00+01:00",
		"2023-01-01T23:55:00+01:00");
	JUDGE(p, "0:daily snapshot|2:daily snapshot|", "2023-01-02T23:55:00-09:30",
		"2023-01-02T21:55:00-09:30", "2023-01-01T09:00:00Z");
	/* 2021-01-03 is in the last week of 2020, 2019-12-30 in the first; 1969 comes before 0. */
	JUDGE(weekly,
		"0:weekly snapshot|1:weekly snapshot|3:weekly snapshot|4:weekly snapshot|",
		"2021-01-04T00:00:00Z", "2021-01-03T00:00:00Z", "2020-12-28T00:00:00Z",
		"2019-12-30T00:00:00Z", "1969-12-28T00:00:00Z");
}

TEST(within_counts_from_the_latest_that_is_not_in_the_future)
{
	struct hf_keep_policy p = {.within = {[HF_KEEP_LAST] = {.days = 1}}};
	struct hf_keep_policy hourly = {
		.within = {[HF_KEEP_HOURLY] = {.months = 1, .hours = 1}}};

	JUDGE(p, "0:within 1d|1:within 1d|2:within 1d|", "2999-01-01T00:00:00Z",
		"2023-01-02T00:00:00Z", "2023-01-01T00:00:01Z", "2023-01-01T00:00:00Z");
	/* A month before 03-31 is 02-31, which is 03-03; less an hour. */
	JUDGE(hourly, "0:hourly within 1m1h|1:hourly within 1m1h|", "2023-03-31T00:00:00Z",
		"2023-03-02T23:00:01Z", "2023-03-02T23:00:00Z");
	JUDGE(hourly, "0:hourly within 1m1h|2:oldest hourly within 1m1h|",
		"2023-03-31T00:40:00Z", "2023-03-31T00:20:00Z", "2023-03-31T00:10:00Z");
}

TEST(tags_and_words)
{
	hf_auto(hf_strings) tags = {0};
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 16);
	struct hf_keep_policy p = {.tags = &tags};

	CHECK(hf_keep_policy_is_empty(&p));
	hf_keep_policy_add(&text, &p);
	CHECK_EQ(text.len, strlen("remove"));
	hf_strings_add(&tags, "odd");
	hf_strings_add(&tags, " even ,odd");
	CHECK(!hf_keep_policy_is_empty(&p));
	JUDGE(p, "1:has tags [odd]|", "2023-01-02T00:00:00Z", "2023-01-01T00:00:00Z");
	p.count[HF_KEEP_DAILY] = HF_KEEP_ALL;
	p.count[HF_KEEP_YEARLY] = 3;
	p.within[HF_KEEP_WEEKLY] = (struct hf_span){.days = 4, .years = 1};
	p.within[HF_KEEP_LAST] = (struct hf_span){.months = 2};
	hf_buf_reset(&text);
	hf_keep_policy_add(&text, &p);
	hf_buf_add_char(&text, '\0');
	CHECK_STR((const char *)text.p,
		"keep all daily, 3 yearly snapshots, weekly snapshots within 1y4d and all "
		"snapshots with tags [[odd] [even, odd]] and all snapshots within 2m of the "
		"newest");
}

TEST(spans)
{
	static const struct {
		const char *text;
		struct hf_span want;
	} good[] = {{"1y5m7d2h", {1, 5, 7, 2}}, {" 3d ", {.days = 3}}, {"", {0}},
		{"-2h1y", {.years = 1, .hours = -2}}, {"1d2d", {.days = 2}}};
	static const char *const bad[] = {"3", "d", "3x", "3 d", "1y 2d", "--1d", "3d2"};
	struct hf_span s;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		REQUIRE_OK(hf_span_parse(good[i].text, &s));
		CHECK(memcmp(&s, &good[i].want, sizeof s) == 0);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_ERR(hf_span_parse(bad[i], &s), HF_EINVAL);
}

TEST(groups_end)
{
	const struct hf_time all = {.sec = 1000000000};
	struct hf_time t = {.sec = all.sec - HF_ENDED_DAYS * 86400};

	CHECK(!hf_keep_has_ended(&all, &all));
	CHECK(!hf_keep_has_ended(&t, &all));
	t.sec--;
	CHECK(hf_keep_has_ended(&t, &all));
	CHECK(!hf_keep_has_ended(&all, &t));
}

TEST(accidents)
{
	struct hf_keep_policy p = {.count = {[HF_KEEP_LAST] = 3}};
	const size_t single[] = {1, 1, 1, 1, 2}, few[] = {1, 1}, many[] = {9, 8, 7, 1};

	CHECK(*hf_keep_accident(&p, single, 5) != '\0');
	CHECK(*hf_keep_accident(&p, few, 2) == '\0');
	CHECK(*hf_keep_accident(&p, many, 4) == '\0');
	p.count[HF_KEEP_LAST] = HF_KEEP_ALL;
	CHECK(*hf_keep_accident(&p, few, 2) != '\0');
}
