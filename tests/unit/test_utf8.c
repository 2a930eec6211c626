/* SPDX-License-Identifier: BSD-2-Clause */
/* All code points, all sequences, and the counts that Unicode 15.0 itself publishes. */
#include "base/utf8.h"
#include "harness/test.h"

static int32_t
decode(const char *s, size_t len, size_t *n)
{
	int32_t cp = -2;

	*n = hf_utf8_next((struct hf_str){s, len}, &cp);
	return cp;
}

/* Every code point there and back, with exactly the bytes that the definition gives. */
TEST(utf8_round_trip)
{
	for (int32_t cp = 0; cp <= 0x10ffff; cp++) {
		uint8_t room[8];
		struct hf_buf b = {.p = room, .cap = sizeof room, .max = sizeof room};
		size_t n;

		if (cp >= 0xd800 && cp < 0xe000)
			continue;
		hf_utf8_add(&b, cp);
		size_t want = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
		if (b.len != want || decode((const char *)room, b.len, &n) != cp || n != want)
			FAIL("U+%04x", (unsigned)cp);
		for (size_t cut = 1; cut < want; cut++)
			if (decode((const char *)room, cut, &n) != -1 || n != 1)
				FAIL("U+%04x cut to %zu bytes", (unsigned)cp, cut);
	}
}

/* All sequences of up to 3 bytes, and 4 with chosen last ones, that are not UTF-8. */
TEST(utf8_number_of_valid_sequences)
{
	size_t two = 0, three = 0, four = 0, n;
	char s[4];

	for (int a = 0x80; a < 0x100; a++) {
		for (int b = 0; b < 0x100; b++) {
			for (int c = 0; c < 0x100; c++) {
				s[0] = (char)a;
				s[1] = (char)b;
				s[2] = (char)c;
				s[3] = (char)0x80;
				bool is_valid = decode(s, 4, &n) >= 0;
				two += c == 0 && is_valid && n == 2;
				three += is_valid && n == 3;
				four += is_valid && n == 4;
			}
		}
	}
	CHECK_EQ(two, 0x800 - 0x80);
	CHECK_EQ(three, 0x10000 - 0x800 - 0x800);
	CHECK_EQ(four, (0x110000 - 0x10000) / 64);
}

TEST(utf8_invalid)
{
	static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf",
		"\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xfe",
		"\xc3(", "\xe2\x82(", "\xf0\x9f\x98("};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		size_t n;

		CHECK_EQ(decode(bad[i], strlen(bad[i]), &n), -1);
		CHECK_EQ(n, 1);
		CHECK(!hf_utf8_is_valid(hf_str(bad[i])));
	}
	CHECK(hf_utf8_is_valid(hf_str("")));
	CHECK(hf_utf8_is_valid(hf_str("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")));
	CHECK(!hf_utf8_is_valid(hf_str("a\xc3\xa4\xe2\x82")));
}

/*
 * Unicode 15.0 has 149,014 graphic characters, 17 of them spaces, of which U+0020 counts here.
 */
TEST(utf8_print)
{
	static const int32_t yes[] = {' ', '~', 0xa1, 0xff, 0x300, 0xfffd, 0x1f600, 0x1fae8,
		0x31350, 0x323af, 0x11f00, 0xe0100};
	static const int32_t no[] = {-1, 0, 0x1f, 0x7f, 0x80, 0x9f, 0xa0, 0xad, 0x378, 0x200b,
		0x200f, 0x2028, 0x2029, 0x3000, 0xd800, 0xe000, 0xfeff, 0xffff, 0xe0001,
		0x10ffff, 0x2ffc, 0x31ef, 0x1c89, 0x2ebf0, 0x10d40};
	size_t n = 0;

	for (int32_t cp = 0; cp <= 0x10ffff; cp++)
		n += hf_utf8_is_print(cp);
	CHECK_EQ(n, 149014 - 17 + 1);
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (!hf_utf8_is_print(yes[i]))
			FAIL("U+%04x is printable", (unsigned)yes[i]);
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (hf_utf8_is_print(no[i]))
			FAIL("U+%04x is not printable", (unsigned)no[i]);
}

TEST(utf8_lower)
{
	static const int32_t pairs[][2] = {{'A', 'a'}, {'Z', 'z'}, {'@', '@'}, {'[', '['},
		{0xc4, 0xe4}, {0xd7, 0xd7}, {0xdf, 0xdf}, {0x100, 0x101}, {0x101, 0x101},
		{0x130, 'i'}, {0x131, 0x131}, {0x178, 0xff}, {0x1c4, 0x1c6}, {0x1c5, 0x1c6},
		{0x3a3, 0x3c3}, {0x3c2, 0x3c2}, {0x410, 0x430}, {0x10a0, 0x2d00},
		{0x13a0, 0xab70}, {0x1c90, 0x10d0}, {0x1e9e, 0xdf}, {0x212a, 'k'},
		{0x212b, 0xe5}, {0x2160, 0x2170}, {0xff21, 0xff41}, {0x10400, 0x10428},
		{0x1057a, 0x105a1}, {0x1057b, 0x1057b}, {0x1e921, 0x1e943},
		{0x10ffff, 0x10ffff}};
	size_t n = 0;

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		CHECK_EQ(hf_utf8_lower(pairs[i][0]), pairs[i][1]);
	for (int32_t cp = 0; cp <= 0x10ffff; cp++) {
		int32_t low = hf_utf8_lower(cp);

		n += low != cp;
		if (hf_utf8_lower(low) != low)
			FAIL("lower case of U+%04x has a lower case", (unsigned)cp);
	}
	CHECK_EQ(n, 1433); /* entries with a simple lower case in UnicodeData.txt */
}

TEST(utf8_width)
{
	CHECK_EQ(hf_utf8_width(hf_str("")), 0);
	CHECK_EQ(hf_utf8_width(hf_str("abc")), 3);
	CHECK_EQ(hf_utf8_width(hf_str("\xc3\xa4")), 1);
	CHECK_EQ(hf_utf8_width(hf_str("a\xcc\x88")), 1);                /* a, diaeresis */
	CHECK_EQ(hf_utf8_width(hf_str("\xe6\xbc\xa2\xe5\xad\x97")), 4); /* Han */
	CHECK_EQ(hf_utf8_width(hf_str("\xef\xbc\xa1")), 2);             /* full-width A */
	CHECK_EQ(hf_utf8_width(hf_str("\xf0\x9f\x98\x80")), 2);         /* emoji */
	CHECK_EQ(hf_utf8_width(hf_str("\xe1\x84\x80\xe1\x85\xa1")), 2); /* Hangul, joined */
	CHECK_EQ(hf_utf8_width(hf_str("\xe2\x80\x8b")), 0);             /* zero width space */
	CHECK_EQ(hf_utf8_width(hf_str("\xc2\xad")), 1);                 /* soft hyphen */
	CHECK_EQ(hf_utf8_width(hf_str("\xff\xfe")), 2);                 /* one each */
	CHECK_EQ(hf_utf8_width(hf_str("a\n")), 1);
}
