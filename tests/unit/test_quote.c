/* SPDX-License-Identifier: BSD-2-Clause */
/* The escapes of names: known forms of restic, what is refused, and any bytes back again. */
#include "base/utf8.h"
#include "codec/json.h"
#include "codec/quote.h"
#include "harness/test.h"

#include <stdlib.h>

#define S(literal)                                                                             \
	(struct hf_str)                                                                        \
	{                                                                                      \
		literal, sizeof(literal) - 1                                                   \
	}

static const char *
text(struct hf_buf *b)
{
	hf_buf_add_char(b, 0);
	return (const char *)b->p;
}

/* Names and what restic 0.19.1 writes for them, JSON included. */
TEST(quote_as_restic)
{
	static const struct {
		struct hf_str name;
		const char *json;
	} known[] = {
		{{"a\x01"
		  "b",
			 3},
			"\"a\\\\x01b\""},
		{{"a\tb\vc", 5}, "\"a\\\\tb\\\\vc\""},
		{{"a\nb", 3}, "\"a\\\\nb\""},
		{{"a\"b", 3}, "\"a\\\\\\\"b\""},
		{{"a'b", 3}, "\"a'b\""},
		{{"a<&>b", 5}, "\"a\\u003c\\u0026\\u003eb\""},
		{{"a\\b", 3}, "\"a\\\\\\\\b\""},
		{{"a\x7f"
		  "b",
			 3},
			"\"a\\\\x7fb\""},
		{{"a\xff"
		  "b",
			 3},
			"\"a\\\\xffb\""},
		{{"\xc2\xa0x", 3}, "\"\\\\u00a0x\""},
		{{"\xc2\xadz", 3}, "\"\\\\u00adz\""},
		{{"\xc3\xa4", 2}, "\"\xc3\xa4\""},
		{{"\xe2\x80\xa8", 3}, "\"\\\\u2028\""},
		{{"\xed\xa0\x80", 3}, "\"\\\\xed\\\\xa0\\\\x80\""},
		{{"\xef\xbf\xbd", 3}, "\"\xef\xbf\xbd\""},
		{{"\xf0\x9f\x98\x80", 4}, "\"\xf0\x9f\x98\x80\""},
		{{"\xf3\xa0\x80\x81", 4}, "\"\\\\U000e0001\""},
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		hf_auto(hf_buf) quoted = HF_BUF_MAX(100), json = HF_BUF_MAX(100);
		hf_auto(hf_buf) scratch = HF_BUF_MAX(1000), back = HF_BUF_MAX(100);
		struct hf_jout o = {.buf = &json};
		struct hf_json j;

		hf_quote(&quoted, known[i].name);
		hf_jout_str(&o, hf_bytes_str(hf_buf_bytes(&quoted)));
		CHECK_STR(text(&json), known[i].json);
		hf_json_init(&j, (struct hf_bytes){json.p, json.len - 1}, &scratch);
		CHECK(hf_unquote(&back, hf_json_str(&j)));
		CHECK_OK(hf_json_end(&j));
		CHECK_EQ(back.len, known[i].name.len);
		CHECK_MEM(back.p, known[i].name.p, back.len);
		CHECK_EQ(hf_quote_is_plain(known[i].name), quoted.len == known[i].name.len);
	}
}

TEST(quote_control_characters)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);

	hf_quote(&b, S("\0\x06\a\b\t\n\v\f\r\x0e\x1b\x1f\x7f"));
	CHECK_STR(text(&b), "\\x00\\x06\\a\\b\\t\\n\\v\\f\\r\\x0e\\x1b\\x1f\\x7f");
}

static const char *
unquoted(struct hf_buf *b, struct hf_str s)
{
	hf_buf_reset(b);
	return hf_unquote(b, s) ? text(b) : NULL;
}

TEST(unquote_accepts)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);

	CHECK_STR(unquoted(&b, S("")), "");
	CHECK_STR(unquoted(&b, S("plain name")), "plain name");
	CHECK_STR(unquoted(&b, S("\\a\\b\\f\\n\\r\\t\\v\\\\\\\"")), "\a\b\f\n\r\t\v\\\"");
	CHECK_STR(unquoted(&b, S("\\x41\\xfF\\x80")), "A\xff\x80");
	CHECK_STR(unquoted(&b, S("\\u00e4\\u20AC\\U0001f600\\U0010FFFF")),
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf");
	CHECK_STR(unquoted(&b, S("\\101\\377")), "A\xff");
	CHECK_STR(unquoted(&b, S("'")), "'");
	/* What other writers leave as it is. */
	CHECK_STR(unquoted(&b, S("\t\x01\xc2\xa0")), "\t\x01\xc2\xa0");
	CHECK_STR(unquoted(&b, S("a\xff")), "a\xef\xbf\xbd");
	CHECK_STR(unquoted(&b, S("\\ud7ff\\ue000")), "\xed\x9f\xbf\xee\x80\x80");
	CHECK_STR(unquoted(&b, S("x\\0012")), "x\x01"
					      "2");
}

TEST(unquote_refuses)
{
	static const char *const bad[] = {"\\", "a\\", "\\'", "\"", "a\"b", "\n", "a\nb", "\\x",
		"\\x4", "\\xg0", "\\x4g", "\\u123", "\\u12g4", "\\ud800", "\\udfff",
		"\\ud83d\\ude00", "\\U00110000", "\\U0000d800", "\\Uffffffff", "\\U1234567",
		"\\8", "\\18", "\\1", "\\400", "\\777", "\\09", "\\q", "\\e", "\\N", "\\ ",
		"\\A", "\\X41", "\\\n"};
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (unquoted(&b, hf_str(bad[i])) != NULL)
			FAIL("accepted: %s", bad[i]);
	CHECK(unquoted(&b, S("\\\0")) == NULL);
}

/* Any bytes come back, and the quoted form is printable UTF-8 that quotes into itself twice. */
TEST(quote_round_trip)
{
	unsigned seed = 1;
	hf_auto(hf_buf) q = HF_BUF_MAX(1000), back = HF_BUF_MAX(1000);

	for (int i = 0; i < 200000; i++) {
		char name[24];
		size_t len = (size_t)rand_r(&seed) % sizeof name;

		for (size_t k = 0; k < len; k++) {
			int r = rand_r(&seed);

			name[k] = (char)(r & 0x10000 ? r >> 4
						     : "\\\"xuU0a\xc3\xa4\xe2\x80\xa8"[r % 13]);
		}
		hf_buf_reset(&q);
		hf_buf_reset(&back);
		hf_quote(&q, (struct hf_str){name, len});
		struct hf_str quoted = hf_bytes_str(hf_buf_bytes(&q));

		REQUIRE(hf_utf8_is_valid(quoted));
		REQUIRE(hf_unquote(&back, quoted));
		REQUIRE_EQ(back.len, len);
		if (len > 0)
			REQUIRE_MEM(back.p, name, len);
		REQUIRE_EQ(hf_quote_is_plain((struct hf_str){name, len}),
			hf_str_eq(quoted, (struct hf_str){name, len}));
	}
}
