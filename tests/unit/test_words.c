/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines, encodings, white space and lines. */
#include "cli/words.h"

#include "harness/test.h"

static void
check_words(const char *command, size_t n, const char *const *want)
{
	hf_auto(hf_strings) got = {0};

	REQUIRE(hf_words_split(command, &got) == NULL);
	REQUIRE_EQ(got.len, n);
	for (size_t i = 0; i < n; i++)
		CHECK_STR(got.v[i], want[i]);
}
#define WORDS(command, ...)                                                                    \
	check_words(command, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),           \
		(const char *const[]){__VA_ARGS__})

TEST(words_split_as_in_a_shell)
{
	WORDS("foo", "foo");
	WORDS("  foo\t bar\n", "foo", "bar");
	WORDS("a 'b c' \"d e\"", "a", "b c", "d e");
	WORDS("pre'fix'\"ed\"", "prefixed");
	WORDS("a '' \"\"", "a", "", "");
	WORDS("a\\ b \\\"c", "a b", "\"c");
	WORDS("'a\\b' \"c\\\"d\\x\"", "a\\b", "c\"d\\x");
	WORDS("echo '$HOME' $HOME `x`", "echo", "$HOME", "$HOME", "`x`");
}

TEST(broken_commands)
{
	static const char *const bad[] = {"", "  ", "'abc", "a \"b", "a '\"'\""};
	hf_auto(hf_strings) got = {0};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_ERR(hf_words_split(bad[i], &got), HF_EINVAL);
	CHECK_EQ(got.len, 0);
}

static void
check_decoded(const char *in, size_t len, const char *want)
{
	hf_auto(hf_buf) out = HF_BUF_MAX(256);

	hf_text_decode((struct hf_bytes){(const uint8_t *)in, len}, &out);
	hf_buf_add_char(&out, '\0');
	CHECK_STR((char *)out.p, want);
}
#define DECODED(in, want) check_decoded(in, sizeof(in) - 1, want)

TEST(encodings)
{
	DECODED("plain \xff", "plain \xff");
	DECODED("\xEF\xBB\xBFpw", "pw");
	DECODED("\xFF\xFEp\0w\0", "pw");
	DECODED("\xFE\xFF\0p\0w", "pw");
	DECODED("\xFF\xFE\xFC\0", "\xc3\xbc");
	DECODED("\xFE\xFF\xD8\x3D\xDE\x00", "\xf0\x9f\x98\x80");
	DECODED("\xFE\xFF\xD8\x3D\0a", "\xef\xbf\xbd"
				       "a");
	DECODED("\xFE\xFF\xDC\x00", "\xef\xbf\xbd");
	DECODED("\xFF\xFE"
		"a",
		"\xef\xbf\xbd");
	DECODED("\xFF\xFE\x3D\xD8", "\xef\xbf\xbd");
	DECODED("", "");
}

static void
check_trimmed(const char *in, const char *want)
{
	struct hf_str got = hf_text_trim(hf_str(in));

	CHECK(hf_str_is(got, want));
}

TEST(white_space_goes_at_both_ends_only)
{
	check_trimmed("  a b \r\n", "a b");
	check_trimmed("\xc2\xa0x\xe3\x80\x80\xe2\x80\x83", "x");
	check_trimmed("   ", "");
	check_trimmed("", "");
	check_trimmed("\x85", "\x85"); /* not UTF-8, not a space */
	check_trimmed(" \xc3\xbc", "\xc3\xbc");
	check_trimmed("\xa0\xa0\xa0\xa0\xa0", "\xa0\xa0\xa0\xa0\xa0");
}

TEST(lines)
{
	struct hf_str rest = hf_str("a\nb\r\n\n c"), line;

	REQUIRE(hf_text_line(&rest, &line));
	CHECK(hf_str_is(line, "a"));
	REQUIRE(hf_text_line(&rest, &line));
	CHECK(hf_str_is(line, "b"));
	REQUIRE(hf_text_line(&rest, &line));
	CHECK(hf_str_is(line, ""));
	REQUIRE(hf_text_line(&rest, &line));
	CHECK(hf_str_is(line, " c"));
	CHECK(!hf_text_line(&rest, &line));
}
