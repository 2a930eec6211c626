/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts that other programs parse: the wanted strings are those of restic 0.19. */
#include "cli/format.h"

#include <stdlib.h>

#include "harness/test.h"

TEST(bytes)
{
	CHECK_STR(hf_format_bytes(0).s, "0 B");
	CHECK_STR(hf_format_bytes(1023).s, "1023 B");
	CHECK_STR(hf_format_bytes(1024).s, "1.000 KiB");
	CHECK_STR(hf_format_bytes(1536).s, "1.500 KiB");
	CHECK_STR(hf_format_bytes((1 << 20) - 1).s, "1023.999 KiB");
	CHECK_STR(hf_format_bytes(1 << 20).s, "1.000 MiB");
	CHECK_STR(hf_format_bytes(UINT64_C(5) << 30).s, "5.000 GiB");
	CHECK_STR(hf_format_bytes(UINT64_C(1) << 40).s, "1.000 TiB");
	CHECK_STR(hf_format_bytes(UINT64_MAX).s, "16777216.000 TiB");
}

TEST(percent)
{
	CHECK_STR(hf_format_percent(1, 0).s, "");
	CHECK_STR(hf_format_percent(0, 5).s, "0.00%");
	CHECK_STR(hf_format_percent(1, 3).s, "33.33%");
	CHECK_STR(hf_format_percent(3, 3).s, "100.00%");
	CHECK_STR(hf_format_percent(7, 3).s, "100.00%");
}

TEST(seconds)
{
	CHECK_STR(hf_format_seconds(0).s, "0:00");
	CHECK_STR(hf_format_seconds(5).s, "0:05");
	CHECK_STR(hf_format_seconds(65).s, "1:05");
	CHECK_STR(hf_format_seconds(3599).s, "59:59");
	CHECK_STR(hf_format_seconds(3723).s, "1:02:03");
	CHECK_STR(hf_format_seconds(360000).s, "100:00:00");
}

TEST(durations)
{
	CHECK_STR(hf_format_duration(0).s, "0s");
	CHECK_STR(hf_format_duration(0.35).s, "350ms");
	CHECK_STR(hf_format_duration(1.5).s, "1.5s");
	CHECK_STR(hf_format_duration(59).s, "59s");
	CHECK_STR(hf_format_duration(123.25).s, "2m3.25s");
	CHECK_STR(hf_format_duration(7260).s, "2h1m0s");
}

TEST(local_time)
{
	struct hf_time t = {.sec = 1700000000, .zone_s = 3600};

	setenv("TZ", "UTC", 1);
	CHECK_STR(hf_format_time(&t).s, "2023-11-14 22:13:20");
	CHECK_STR(hf_format_zone(), "UTC");
	setenv("TZ", "", 1);
	CHECK_STR(hf_format_zone(), "UTC");
	unsetenv("TZ");
	CHECK_STR(hf_format_zone(), "local time");
}

static char *
shown(const char *s, size_t len)
{
	return hf_shown_name((struct hf_str){s, len});
}

TEST(names_that_would_harm_a_terminal_are_quoted)
{
	static const struct {
		const char *name, *want;
	} cases[] = {{"plain", "plain"}, {"with blank", "with blank"},
		{"f\xc3\xbcr", "f\xc3\xbcr"}, {"a\nb", "\"a\\nb\""},
		{"\x1b[31m", "\"\\x1b[31m\""}, {"\xff", "\"\\xff\""}, {"quote\"s", "quote\"s"}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		hf_autofree char *got = shown(cases[i].name, strlen(cases[i].name));

		CHECK_STR(got, cases[i].want);
	}
}

TEST(safe_text_keeps_lines)
{
	hf_auto(hf_buf) out = HF_BUF_MAX(256);

	hf_format_safe(&out, hf_str("a\tb\n\x1b]0;x\x07 \xc2\x9b \xfe \xc3\xbc"));
	hf_buf_add_char(&out, '\0');
	CHECK_STR((char *)out.p, "a\tb\n\\x1b]0;x\\x07 \\xc2\\x9b \\xfe \xc3\xbc");
}

TEST(text_is_cut_at_columns)
{
	CHECK_EQ(hf_format_fit(hf_str("hello"), 3), 3);
	CHECK_EQ(hf_format_fit(hf_str("hello"), 9), 5);
	CHECK_EQ(hf_format_fit(hf_str("\xe6\xbc\xa2\xe5\xad\x97"), 3), 3); /* two wide ones */
	CHECK_EQ(hf_format_fit(hf_str("\xc3\xbc\xc3\xbc"), 1), 2);
	CHECK_EQ(hf_format_fit(hf_str(""), 0), 0);
}
