/* SPDX-License-Identifier: BSD-2-Clause */
/* The comparison with another parser, over many documents, is tests/diff/json_diff.py. */
#include "codec/json.h"
#include "harness/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A reader with its scratch, over a copy of exactly the text, so that ASan sees the end. */
struct doc {
	struct hf_json j;
	struct hf_buf scratch;
	uint8_t *copy;
};

static void
doc_clear(struct doc *d)
{
	hf_buf_clear(&d->scratch);
	free(d->copy);
}

static void
doc_init(struct doc *d, struct hf_str s)
{
	d->scratch = (struct hf_buf)HF_BUF_MAX(1 << 20);
	d->copy = malloc(s.len > 0 ? s.len : 1);
	memcpy(d->copy, s.p, s.len);
	hf_json_init(&d->j, (struct hf_bytes){d->copy, s.len}, &d->scratch);
}

#define DOC(name, text)                                                                        \
	__attribute__((cleanup(doc_clear))) struct doc name;                                   \
	doc_init(&name, hf_str(text))

static bool
is_valid(const char *s)
{
	DOC(d, s);
	hf_json_skip(&d.j);
	struct hf_err *e = hf_json_end(&d.j);

	hf_err_free(e);
	return e == NULL;
}

TEST(json_grammar_accepts)
{
	static const char *const good[] = {"0", "-0", "10", "-1", "1.5", "0.0", "1e5", "1E+5",
		"1.25e-300", "1e999", "123456789012345678901234567890", "true", "false", "null",
		"\"\"", "\"a\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"", "\"\x7f\"",
		"\"\\ud800\"", "\"\xff\"", "[]", "{}", "[1,2]", "[[],{}]", "{\"a\":1}",
		"{\"a\":1,\"a\":2}", "{\"\":{}}", " \t\r\n[ 1 , 2 ] \n",
		" { \"a\" : [ ] , \"b\" : null } "};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!is_valid(good[i]))
			FAIL("refused: %s", good[i]);
}

TEST(json_grammar_refuses)
{
	static const char *const bad[] = {"", " ", "01", "-", "-01", "+1", ".5", "1.", "1.e5",
		"1e", "1e+", "0x10", "1 2", "NaN", "Infinity", "-Infinity", "nul", "nullx",
		"True", "truefalse", "\"", "\"a", "\"\\\"", "\"\\x41\"", "\"\\'\"", "\"\\u12\"",
		"\"\\u12g4\"", "\"\\u123", "\"a\nb\"", "\"\x1f\"", "'a'", "[", "]", "[1", "[1,",
		"[1,]", "[,1]", "[,]", "[1 2]", "[1}", "{", "}", "{]", "{\"a\"}", "{\"a\":}",
		"{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{,\"a\":1}", "{\"a\" 1}",
		"{a:1}", "{1:1}", "{\"a\":1 \"b\":2}", "[]]", "{}}", "[]x", "\v1", "\f1",
		"\xef\xbb\xbf[]", "\xc2\xa0[]", "/**/1", "1//", "[1]\xff"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (is_valid(bad[i]))
			FAIL("accepted: %s", bad[i]);
	DOC(d, "x");
	hf_json_init(&d.j, (struct hf_bytes){(const uint8_t *)"[1]\0", 4}, &d.scratch);
	hf_json_skip(&d.j);
	CHECK_ERR(hf_json_end(&d.j), HF_ECORRUPT);
}

static bool
nested_is_valid(unsigned depth, const char *open, const char *inner, const char *close)
{
	struct hf_buf b = HF_BUF_MAX(1 << 20);

	for (unsigned i = 0; i < depth; i++)
		hf_buf_add_str(&b, open);
	hf_buf_add_str(&b, inner);
	for (unsigned i = 0; i < depth; i++)
		hf_buf_add_str(&b, close);
	hf_buf_add_char(&b, 0);
	bool is = is_valid((const char *)b.p);
	hf_buf_clear(&b);
	return is;
}

TEST(json_depth)
{
	CHECK(nested_is_valid(250, "[", "", "]"));
	CHECK(!nested_is_valid(251, "[", "", "]"));
	CHECK(!nested_is_valid(100000, "[", "", "]"));
	CHECK(!nested_is_valid(100000, "[", "", ""));
	CHECK(nested_is_valid(250, "{\"a\":", "1", "}"));
	CHECK(!nested_is_valid(251, "{\"a\":", "1", "}"));
	CHECK(nested_is_valid(249, "[[],", "[]", "]"));
}

TEST(json_walk)
{
	DOC(d, " {\"packs\" : [{\"id\":\"x\",\"n\":[1,2,3]} , {\"N\":[]},{}],"
	       "\"unknown\":{\"a\":[{}]},\"last\":true} \n");
	struct hf_str key;
	unsigned packs = 0, sum = 0, fields = 0;

	CHECK_EQ(hf_json_peek(&d.j), HF_JSON_OBJECT);
	hf_json_object(&d.j);
	while (hf_json_key(&d.j, &key)) {
		fields++;
		if (hf_json_key_is(key, "last")) {
			CHECK(hf_json_bool(&d.j));
		} else if (!hf_json_key_is(key, "packs")) {
			struct hf_bytes raw = hf_json_skip(&d.j);

			CHECK(hf_str_is(hf_bytes_str(raw), "{\"a\":[{}]}"));
		} else {
			for (hf_json_array(&d.j); hf_json_item(&d.j); packs++) {
				hf_json_object(&d.j);
				while (hf_json_key(&d.j, &key)) {
					if (hf_json_key_is(key, "id")) {
						CHECK(hf_str_is(hf_json_str(&d.j), "x"));
						continue;
					}
					CHECK(hf_json_key_is(key, "n"));
					for (hf_json_array(&d.j); hf_json_item(&d.j);)
						sum += (unsigned)hf_json_u64(&d.j, 3);
				}
			}
		}
	}
	CHECK_OK(hf_json_end(&d.j));
	CHECK_EQ(fields, 3);
	CHECK_EQ(packs, 3);
	CHECK_EQ(sum, 6);
}

TEST(json_peek)
{
	static const struct {
		const char *text;
		enum hf_json_kind kind;
	} known[] = {{" {", HF_JSON_OBJECT}, {"[", HF_JSON_ARRAY}, {"\"", HF_JSON_STRING},
		{"t", HF_JSON_BOOL}, {"f", HF_JSON_BOOL}, {"n", HF_JSON_NULL},
		{"-", HF_JSON_NUMBER}, {"7", HF_JSON_NUMBER}, {"", HF_JSON_ERROR},
		{"  ", HF_JSON_ERROR}, {"]", HF_JSON_ERROR}, {",", HF_JSON_ERROR},
		{"\xff", HF_JSON_ERROR}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		DOC(d, known[i].text);
		CHECK_EQ(hf_json_peek(&d.j), known[i].kind);
		CHECK_OK(hf_json_err(&d.j));
	}
}

TEST(json_null_gives_zero)
{
	DOC(d, "[null,null,null,null,null,null,null,null,{\"a\":null},null,null]");
	struct hf_buf out = HF_BUF_MAX(10);
	struct hf_str key;

	hf_json_array(&d.j);
	CHECK(hf_json_item(&d.j) && hf_json_str(&d.j).len == 0);
	CHECK(hf_json_item(&d.j) && hf_json_u64(&d.j, 9) == 0);
	CHECK(hf_json_item(&d.j) && hf_json_i64(&d.j) == 0);
	CHECK(hf_json_item(&d.j) && hf_json_double(&d.j) == 0);
	CHECK(hf_json_item(&d.j) && !hf_json_bool(&d.j));
	CHECK(hf_json_item(&d.j));
	struct hf_time t = hf_json_time(&d.j);
	CHECK(hf_time_is_zero(&t));
	CHECK(hf_json_item(&d.j));
	hf_json_base64(&d.j, &out);
	CHECK_EQ(out.len, 0);
	CHECK(hf_json_item(&d.j));
	hf_json_object(&d.j);
	CHECK(!hf_json_key(&d.j, &key));
	CHECK(hf_json_item(&d.j));
	hf_json_object(&d.j);
	CHECK(hf_json_key(&d.j, &key));
	hf_json_array(&d.j);
	CHECK(!hf_json_item(&d.j));
	CHECK(!hf_json_key(&d.j, &key));
	CHECK(hf_json_item(&d.j) && hf_json_null(&d.j));
	CHECK(hf_json_item(&d.j) && !hf_json_bool(&d.j));
	CHECK(!hf_json_item(&d.j));
	CHECK_OK(hf_json_end(&d.j));
}

TEST(json_key_folds_ascii)
{
	CHECK(hf_json_key_is(hf_str("uid"), "uid"));
	CHECK(hf_json_key_is(hf_str("UiD"), "uid"));
	CHECK(hf_json_key_is(hf_str("device_ID"), "device_id"));
	CHECK(!hf_json_key_is(hf_str("uid"), "uidx"));
	CHECK(!hf_json_key_is(hf_str("uidx"), "uid"));
	CHECK(!hf_json_key_is((struct hf_str){"\0uid", 4}, ""));
	CHECK(!hf_json_key_is(hf_str("device@id"), "device`id"));
	CHECK(!hf_json_key_is(hf_str("a[b"), "a{b"));
	CHECK(hf_json_key_is(hf_str(""), ""));
	DOC(d, "{\"\\u0075ID\":1}");
	struct hf_str key;
	hf_json_object(&d.j);
	CHECK(hf_json_key(&d.j, &key));
	CHECK(hf_json_key_is(key, "uid"));
}

/* The content of one string, and whether it is a slice of the input. */
static void
check_string(const char *json, struct hf_str want, bool is_slice)
{
	DOC(d, json);
	struct hf_str s = hf_json_str(&d.j);
	const uint8_t *p = (const uint8_t *)s.p;

	CHECK_OK(hf_json_end(&d.j));
	if (!hf_str_eq(s, want))
		FAIL("%s gives %zu bytes: %.*s", json, s.len, (int)s.len, s.p);
	CHECK_EQ(p >= d.copy && p < d.copy + strlen(json), is_slice);
}

TEST(json_strings)
{
	check_string("\"\"", hf_str(""), true);
	check_string("\"plain, and longer than eight bytes\"",
		hf_str("plain, and longer than eight bytes"), true);
	check_string("\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
		hf_str("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), true);
	check_string(
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", (struct hf_str){"\"\\/\b\f\n\r\t", 8}, false);
	check_string("\"a\\u0000b\"", (struct hf_str){"a\0b", 3}, false);
	check_string("\"\\u00E4\\u20ac\"", hf_str("\xc3\xa4\xe2\x82\xac"), false);
	check_string("\"\\ud83d\\uDE00!\"", hf_str("\xf0\x9f\x98\x80!"), false);
	check_string("\"\\ud800\\udc00\\udbff\\udfff\"",
		hf_str("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), false);
	/* Halves of pairs. */
	check_string("\"\\ud800\"", hf_str("\xef\xbf\xbd"), false);
	check_string("\"\\udc00x\"", hf_str("\xef\xbf\xbdx"), false);
	check_string(
		"\"\\ud800\\ud83d\\ude00\"", hf_str("\xef\xbf\xbd\xf0\x9f\x98\x80"), false);
	check_string("\"\\ud800\\u0041\"",
		hf_str("\xef\xbf\xbd"
		       "A"),
		false);
	check_string("\"\\ud800\\n\"", hf_str("\xef\xbf\xbd\n"), false);
	/* Bytes that are no UTF-8: one U+FFFD each. */
	check_string("\"a\xff"
		     "b\"",
		hf_str("a\xef\xbf\xbd"
		       "b"),
		false);
	check_string("\"\xe2\x82\"", hf_str("\xef\xbf\xbd\xef\xbf\xbd"), false);
	check_string("\"\xed\xa0\x80\"", hf_str("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"), false);
}

/* The quote, the backslash, a control character at each distance from the beginning. */
TEST(json_string_ends)
{
	for (size_t n = 0; n < 40; n++) {
		char s[64], want[64];
		size_t len = n;

		memset(s, 'x', sizeof s);
		memset(want, 'x', sizeof want);
		s[0] = s[n + 1] = '"';
		s[n + 2] = 0;
		check_string(s, (struct hf_str){want, n}, true);
		memcpy(s + n + 1, "\\ny\"", 5);
		memcpy(want + n, "\ny", 2);
		len += 2;
		check_string(s, (struct hf_str){want, len}, false);
		memcpy(s + n + 1, "\xc3\xa4\"", 4);
		memcpy(want + n, "\xc3\xa4", 2);
		check_string(s, (struct hf_str){want, len}, true);
		for (int c = 1; c < 0x20; c++) {
			s[n + 1] = (char)c;
			memcpy(s + n + 2, "x\"", 3);
			if (is_valid(s))
				FAIL("byte %d after %zu", c, n);
		}
	}
}

/* Slices stay, however many strings are decoded after them. */
TEST(json_slices_stay)
{
	enum { N = 3000 };
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20), scratch = HF_BUF_MAX(1 << 20);
	static struct hf_str s[N];
	struct hf_json j;

	hf_buf_add_char(&b, '[');
	for (int i = 0; i < N; i++)
		hf_buf_addf(&b, "%s\"\\t%d\xff\xff\xff\xff\"", i > 0 ? "," : "", i);
	hf_buf_add_char(&b, ']');
	hf_json_init(&j, hf_buf_bytes(&b), &scratch);
	hf_json_array(&j);
	for (int i = 0; i < N; i++) {
		REQUIRE(hf_json_item(&j));
		s[i] = hf_json_str(&j);
	}
	CHECK(!hf_json_item(&j));
	CHECK_OK(hf_json_end(&j));
	for (int i = 0; i < N; i++) {
		struct hf_buf want = HF_BUF_MAX(100);

		hf_buf_addf(&want, "\t%d\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", i);
		REQUIRE(hf_str_eq(s[i], hf_bytes_str(hf_buf_bytes(&want))));
		hf_buf_clear(&want);
	}
}

TEST(json_scratch_has_a_maximum)
{
	struct hf_buf scratch = HF_BUF_MAX(8);
	struct hf_bytes in = hf_str_bytes(hf_str("[\"\\n234567\",\"\\n2345678\",\"\\n9\"]"));
	struct hf_json j;

	hf_json_init(&j, in, &scratch);
	hf_json_array(&j);
	CHECK(hf_json_item(&j) && hf_json_str(&j).len == 7);
	CHECK(hf_json_item(&j));
	hf_buf_reset(&scratch); /* the first string is no longer needed */
	CHECK_EQ(hf_json_str(&j).len, 8);
	CHECK(hf_json_item(&j) && hf_json_str(&j).len == 0);
	CHECK_ERR_TEXT(hf_json_end(&j), HF_ECORRUPT, "byte 25: a string is too long");
	hf_buf_clear(&scratch);
}

static bool
reads_u64(const char *s, uint64_t max, uint64_t *v)
{
	DOC(d, s);
	*v = hf_json_u64(&d.j, max);
	struct hf_err *e = hf_json_end(&d.j);

	hf_err_free(e);
	return e == NULL;
}

static bool
reads_i64(const char *s, int64_t *v)
{
	DOC(d, s);
	*v = hf_json_i64(&d.j);
	struct hf_err *e = hf_json_end(&d.j);

	hf_err_free(e);
	return e == NULL;
}

TEST(json_integers)
{
	static const char *const bad[] = {"-1", "-0", "1.0", "1e3", "0e0", "01", "00", "+1",
		"\"1\"", "true", "[]", "1x", "--1", "18446744073709551616",
		"99999999999999999999999", "", "-"};
	uint64_t u;
	int64_t i;

	CHECK(reads_u64("0", 0, &u) && u == 0);
	CHECK(reads_u64("18446744073709551615", UINT64_MAX, &u) && u == UINT64_MAX);
	CHECK(reads_u64(" 9223372036854775808 ", UINT64_MAX, &u) && u == 1ULL << 63);
	CHECK(reads_u64("4294967295", UINT32_MAX, &u) && u == UINT32_MAX);
	CHECK(!reads_u64("4294967296", UINT32_MAX, &u) && u == 0);
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		if (reads_u64(bad[k], UINT64_MAX, &u))
			FAIL("accepted: %s", bad[k]);
	CHECK(reads_i64("-9223372036854775808", &i) && i == INT64_MIN);
	CHECK(reads_i64("9223372036854775807", &i) && i == INT64_MAX);
	CHECK(reads_i64("-0", &i) && i == 0);
	CHECK(!reads_i64("9223372036854775808", &i));
	CHECK(!reads_i64("-9223372036854775809", &i));
	CHECK(!reads_i64("-", &i));
	CHECK(!reads_i64("-01", &i));
	CHECK(!reads_i64("-1.5", &i));
	CHECK(!reads_i64("- 1", &i));
}

TEST(json_doubles)
{
	DOC(d, "[0,-0.0,1.5,1e3,-2.5E-3,5e-324,1.7976931348623157e308,0.1,"
	       "12345678901234567890]");
	static const double want[] = {0, -0.0, 1.5, 1000, -0.0025, 5e-324,
		1.7976931348623157e308, 0.1, 1.2345678901234567e19};

	hf_json_array(&d.j);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++)
		CHECK(hf_json_item(&d.j) && hf_json_double(&d.j) == want[i]);
	CHECK(!hf_json_item(&d.j));
	CHECK_OK(hf_json_end(&d.j));
	static const char *const bad[] = {
		"1e999", "-1e400", "\"1\"", "1.", "nan", "inf", "0x1p3"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		DOC(b, bad[i]);
		hf_json_double(&b.j);
		CHECK_ERR(hf_json_end(&b.j), HF_ECORRUPT);
	}
}

TEST(json_ids)
{
#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfeff"
	DOC(d, "[\"" HEX "\" ,\"\\u00300" /* an escape is a slow way to write a digit */
	       "0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1DFEFF\"]");

	hf_json_array(&d.j);
	for (int i = 0; i < 2; i++) {
		CHECK(hf_json_item(&d.j));
		struct hf_id id = hf_json_id(&d.j);
		CHECK_STR(hf_id_hex(&id).s, HEX);
	}
	CHECK(!hf_json_item(&d.j));
	CHECK_OK(hf_json_end(&d.j));
	static const char *const bad[] = {"null", "\"\"", "\"" HEX, "\"" HEX "0\"", "\"00\"",
		"\"0g0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfeff\"",
		"\"00010203\\u003405060708090a0b0c0d0e0f101112131415161718191a1b1c1d\"", "1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		DOC(b, bad[i]);
		struct hf_id id = hf_json_id(&b.j);
		CHECK(hf_id_is_zero(&id));
		CHECK_ERR(hf_json_end(&b.j), HF_ECORRUPT);
	}
}

TEST(json_times)
{
	DOC(d, "[\"2026-01-02T04:04:05.5+01:00\"]");

	hf_json_array(&d.j);
	CHECK(hf_json_item(&d.j));
	struct hf_time t = hf_json_time(&d.j);
	CHECK(t.sec == 1767323045 && t.nsec == 500000000 && t.zone_s == 3600);
	CHECK(!hf_json_item(&d.j));
	CHECK_OK(hf_json_end(&d.j));
	static const char *const bad[] = {"\"\"", "\"2026-01-02\"", "1767323045", "[]"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		DOC(b, bad[i]);
		hf_json_time(&b.j);
		CHECK_ERR(hf_json_end(&b.j), HF_ECORRUPT);
	}
}

static const char *
base64(const char *json, struct hf_buf *out)
{
	DOC(d, json);
	hf_buf_reset(out);
	hf_json_base64(&d.j, out);
	struct hf_err *e = hf_json_end(&d.j);

	hf_err_free(e);
	hf_buf_add_char(out, 0);
	return e == NULL ? (const char *)out->p : NULL;
}

/* RFC 4648, section 10, and what Go lets pass. */
TEST(json_base64_reads)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(100);
	static const char *const bad[] = {"\"Z\"", "\"Zg\"", "\"Zg=\"", "\"Zm8\"",
		"\"Zg==Zg==\"", "\"=\"", "\"====\"", "\"Z===\"", "\"Zg==\\u0000\"", "\"Zg= =\"",
		"\"Z-8=\"", "\"Z_8=\"", "\"Zm=v\"", "\"Zg==x\"", "\"Zg===\"", "\"Zm9v=\"", "1"};

	CHECK_STR(base64("\"\"", &b), "");
	CHECK_STR(base64("\"Zg==\"", &b), "f");
	CHECK_STR(base64("\"Zm8=\"", &b), "fo");
	CHECK_STR(base64("\"Zm9v\"", &b), "foo");
	CHECK_STR(base64("\"Zm9vYg==\"", &b), "foob");
	CHECK_STR(base64("\"Zm9vYmE=\"", &b), "fooba");
	CHECK_STR(base64("\"Zm9vYmFy\"", &b), "foobar");
	CHECK_STR(base64("\"+\\/+/\"", &b), "\xfb\xff\xbf");
	CHECK_STR(base64("\"Zm\\n9v\\r\\nYg=\\n=\\n\"", &b), "foob");
	CHECK_STR(base64("\"Zh==\"", &b), "f"); /* bits that are not used */
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (base64(bad[i], &b) != NULL)
			FAIL("accepted: %s", bad[i]);
	b.max = 5;
	hf_buf_clear(&b);
	CHECK(base64("\"Zm9vYmFy\"", &b) == NULL);
}

/* The first error stays, with its place; afterwards every loop ends. */
TEST(json_errors_stick)
{
	DOC(d, "{\"a\":[1,2,x,4],\"b\":[5]}");
	struct hf_str key;
	unsigned rounds = 0;

	hf_json_object(&d.j);
	while (hf_json_key(&d.j, &key))
		for (hf_json_array(&d.j); hf_json_item(&d.j);)
			rounds += hf_json_u64(&d.j, 9) < 10;
	CHECK_EQ(rounds, 3);
	CHECK_ERR_TEXT(hf_json_err(&d.j), HF_ECORRUPT, "byte 10: an integer should stand here");
	CHECK(!hf_json_null(&d.j));
	CHECK_EQ(hf_json_peek(&d.j), HF_JSON_ERROR);
	CHECK(hf_json_skip(&d.j).p == NULL);
	hf_json_fail(&d.j, "later");
	CHECK_ERR_TEXT(hf_json_end(&d.j), HF_ECORRUPT, "byte 10: an integer should stand here");
}

TEST(json_fail_of_the_caller)
{
	DOC(d, "[1,2]");

	hf_json_array(&d.j);
	CHECK(hf_json_item(&d.j));
	hf_json_u64(&d.j, 9);
	hf_json_fail(&d.j, "one is not enough");
	CHECK(!hf_json_item(&d.j));
	CHECK_ERR_TEXT(hf_json_end(&d.j), HF_ECORRUPT, "byte 2: one is not enough");
}

TEST(json_end)
{
	DOC(d, "[1] x");
	hf_json_skip(&d.j);
	CHECK_OK(hf_json_err(&d.j));
	CHECK_ERR(hf_json_end(&d.j), HF_ECORRUPT);
	DOC(open, "[");
	hf_json_array(&open.j);
	CHECK_ERR(hf_json_end(&open.j), HF_ECORRUPT);
	struct hf_json j;
	struct hf_buf scratch = HF_BUF_MAX(0);
	hf_json_init(&j, (struct hf_bytes){NULL, 0}, &scratch);
	CHECK_ERR(hf_json_end(&j), HF_ECORRUPT);
}

/* ---- In pieces ---- */

/* A text of which each call gets another number of bytes. */
struct source {
	struct hf_bytes left;
	size_t step;
};

static size_t
more(void *arg, uint8_t *p, size_t room)
{
	struct source *s = arg;
	size_t n = s->step < room ? s->step : room;

	n = n < s->left.len ? n : s->left.len;
	memcpy(p, s->left.p, n);
	s->left.p += n;
	s->left.len -= n;
	s->step = s->step * 7 % 65537 + 1;
	return n;
}

/* Adds up what is in [{"n":N,"skipped":[[..],..],"s":"x\n"},..]; *count says how many. */
static uint64_t
add_up(struct hf_json *j, size_t *count)
{
	uint64_t sum = 0;
	struct hf_str key;

	*count = 0;
	for (hf_json_array(j); hf_json_item(j); (*count)++)
		for (hf_json_object(j); hf_json_key(j, &key);)
			if (hf_json_key_is(key, "n")) {
				sum += hf_json_u64(j, UINT64_MAX);
			} else if (hf_json_key_is(key, "s")) {
				hf_buf_reset(j->scratch);
				sum += hf_json_str(j).len;
			} else {
				hf_json_skip(j);
			}
	return sum;
}

static void
make_text(struct hf_buf *b, unsigned n)
{
	hf_buf_add_str(b, "  [");
	for (unsigned i = 0; i < n; i++) {
		hf_buf_addf(b, "%s{\"n\":%u, \"skipped\" :[", i > 0 ? "," : "", i * 977);
		for (unsigned k = 0; k < i % 500; k++)
			hf_buf_addf(b, "%s[{\"x\":%u}]", k > 0 ? ",\n" : "", k);
		hf_buf_addf(b, "],\"s\":\"%0*u\\n\"}", (int)(i % 300), i);
	}
	hf_buf_add_str(b, "]\n");
	REQUIRE_OK(hf_buf_ok(b));
}

TEST(json_in_pieces_is_the_same)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20), scratch = HF_BUF_MAX(4096);
	hf_autofree uint8_t *room = malloc(HF_JSON_PIECES);
	struct hf_json whole, pieces;
	size_t count, again;

	make_text(&b, 2000);
	CHECK(b.len > 10 * HF_JSON_PIECES);
	hf_json_init(&whole, hf_buf_bytes(&b), &scratch);
	uint64_t sum = add_up(&whole, &count);
	REQUIRE_OK(hf_json_end(&whole));
	CHECK_EQ(count, 2000);
	for (size_t step = 1; step < 100000; step = step * 3 + 1) {
		struct source s = {hf_buf_bytes(&b), step};

		hf_json_init_pieces(&pieces, room, more, &s, &scratch);
		REQUIRE_EQ(add_up(&pieces, &again), sum);
		REQUIRE_EQ(again, count);
		REQUIRE_OK(hf_json_end(&pieces));
	}
}

/* Of whatever length the text is that arrives, no half of it passes for the whole. */
TEST(json_in_pieces_cut_or_too_long)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20), scratch = HF_BUF_MAX(4096);
	hf_autofree uint8_t *room = malloc(HF_JSON_PIECES);
	struct hf_json j;
	size_t count;

	make_text(&b, 100);
	for (size_t len = 0; len < b.len - 1; len += 1 + len / 400) {
		struct source s = {{b.p, len}, 40000};

		hf_json_init_pieces(&j, room, more, &s, &scratch);
		add_up(&j, &count);
		CHECK_ERR(hf_json_end(&j), HF_ECORRUPT);
	}
	/* Something far behind the end; the place of an error counts from the first byte. */
	hf_buf_add_str(&b, "x");
	struct source s = {hf_buf_bytes(&b), 50000};
	char where[64];
	hf_json_init_pieces(&j, room, more, &s, &scratch);
	add_up(&j, &count);
	snprintf(where, sizeof where, "byte %zu: something follows", b.len - 1);
	CHECK_ERR_TEXT(hf_json_end(&j), HF_ECORRUPT, where);

	/* A string that no piece holds is no shorter string. */
	hf_buf_reset(&b);
	hf_buf_addf(&b, "[{\"n\":1,\"s\":\"%0*u\"}]", 2 * HF_JSON_PIECES, 1);
	s = (struct source){hf_buf_bytes(&b), 50000};
	hf_json_init_pieces(&j, room, more, &s, &scratch);
	add_up(&j, &count);
	CHECK_ERR_TEXT(hf_json_end(&j), HF_ECORRUPT, "too early");
	/* So many blanks that a number is cut. */
	for (size_t blanks = HF_JSON_PIECES - 20; blanks < HF_JSON_PIECES; blanks++) {
		hf_buf_reset(&b);
		hf_buf_addf(&b, "[{\"n\":%*u}]", (int)blanks, 1234567890);
		s = (struct source){hf_buf_bytes(&b), 50000};
		hf_json_init_pieces(&j, room, more, &s, &scratch);
		uint64_t sum = add_up(&j, &count);
		hf_autoptr(hf_err) e = hf_json_end(&j);
		CHECK(e != NULL || sum == 1234567890);
	}
}

/* ---- Writer ---- */

static const char *
text(struct hf_buf *b)
{
	hf_buf_add_char(b, 0);
	return (const char *)b->p;
}

TEST(jout_structure)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);
	struct hf_jout o = {.buf = &b};
	struct hf_id id = {{0xab, [31] = 0x0f}};
	struct hf_time t = {1767323045, 5000, 3600};

	hf_jout_object(&o);
	hf_jout_key(&o, "a");
	hf_jout_array(&o);
	hf_jout_array_end(&o);
	hf_jout_key(&o, "b");
	hf_jout_array(&o);
	hf_jout_u64(&o, UINT64_MAX);
	hf_jout_i64(&o, INT64_MIN);
	hf_jout_i64(&o, -1);
	hf_jout_i64(&o, INT64_MAX);
	hf_jout_u64(&o, 0);
	hf_jout_null(&o);
	hf_jout_bool(&o, true);
	hf_jout_bool(&o, false);
	hf_jout_object(&o);
	hf_jout_object_end(&o);
	hf_jout_raw(&o, hf_str_bytes(hf_str("{\"x\": 1}")));
	hf_jout_array_end(&o);
	hf_jout_key(&o, "id");
	hf_jout_id(&o, &id);
	hf_jout_key(&o, "t");
	hf_jout_time(&o, &t);
	hf_jout_object_end(&o);
	CHECK_OK(hf_buf_ok(&b));
	CHECK_STR(text(&b),
		"{\"a\":[],\"b\":[18446744073709551615,-9223372036854775808,-1,"
		"9223372036854775807,0,null,true,false,{},{\"x\": 1}],\"id\":"
		"\"ab0000000000000000000000000000000000000000000000000000000000000f\","
		"\"t\":\"2026-01-02T04:04:05.000005+01:00\"}");
}

static void
check_out(struct hf_str s, const char *want)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);
	struct hf_jout o = {.buf = &b};

	hf_jout_str(&o, s);
	CHECK_STR(text(&b), want);
}

TEST(jout_strings_as_go)
{
	check_out(hf_str(""), "\"\"");
	check_out((struct hf_str){NULL, 0}, "\"\"");
	check_out(hf_str("plain/'`"), "\"plain/'`\"");
	check_out(hf_str("\"\\\n\r\t\b\f"), "\"\\\"\\\\\\n\\r\\t\\b\\f\"");
	check_out((struct hf_str){"\0\1\v\x1f", 4}, "\"\\u0000\\u0001\\u000b\\u001f\"");
	check_out(hf_str("a<b>c&d"), "\"a\\u003cb\\u003ec\\u0026d\"");
	check_out(hf_str("\x7f"), "\"\x7f\"");
	check_out(hf_str("\xc3\xa4\xf0\x9f\x98\x80"), "\"\xc3\xa4\xf0\x9f\x98\x80\"");
	check_out(hf_str("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"),
		"\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\"");
	check_out(hf_str("a\xff\xe2\x82z"), "\"a\\ufffd\\ufffd\\ufffdz\"");
	check_out(hf_str("\xef\xbf\xbd"), "\"\xef\xbf\xbd\"");
	check_out(hf_str("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
}

static void
check_double(double v, const char *want)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);
	struct hf_jout o = {.buf = &b};

	hf_jout_double(&o, v);
	CHECK_STR(text(&b), want);
}

/* Digits and exponents as Go's encoding/json gives them. */
TEST(jout_doubles_as_go)
{
	check_double(0, "0");
	check_double(-0.0, "-0");
	check_double(1, "1");
	check_double(-1.5, "-1.5");
	check_double(100, "100");
	check_double(0.1, "0.1");
	check_double(0.1 + 0.2, "0.30000000000000004");
	check_double(1.0 / 3, "0.3333333333333333");
	check_double(123456789.125, "123456789.125");
	check_double(1e20, "100000000000000000000");
	check_double(1e21, "1e+21");
	check_double(123e21, "1.23e+23");
	check_double(1e-6, "0.000001");
	check_double(1.5e-6, "0.0000015");
	check_double(9.5e-7, "9.5e-7");
	check_double(1e-10, "1e-10");
	check_double(5e-324, "5e-324");
	check_double(1.7976931348623157e308, "1.7976931348623157e+308");
	check_double(9007199254740993.0, "9007199254740992");
	check_double(5.684341886080802e-14, "5.684341886080802e-14"); /* 2 to the -44 */
	check_double(9.5367431640625e-07, "9.5367431640625e-7");
	check_double(HUGE_VAL, "null");
	check_double(nan(""), "null");
}

TEST(jout_base64)
{
	static const char *const known[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "+/+/"}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		hf_auto(hf_buf) b = HF_BUF_MAX(100), want = HF_BUF_MAX(100);
		struct hf_jout o = {.buf = &b};

		hf_jout_base64(&o, hf_str_bytes(hf_str(known[i][0])));
		hf_buf_addf(&want, "\"%s\"", known[i][1]);
		CHECK_STR(text(&b), text(&want));
	}
}

static void
check_indent(const char *json, const char *want)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);

	CHECK_OK(hf_json_indent(hf_str_bytes(hf_str(json)), &b));
	CHECK_STR(text(&b), want);
}

TEST(json_indented_as_go)
{
	struct hf_buf b = HF_BUF_MAX(1000);

	check_indent("1", "1");
	check_indent("{}", "{}");
	check_indent(" [ ] ", "[]");
	check_indent("[1,[2,[]],{}]", "[\n  1,\n  [\n    2,\n    []\n  ],\n  {}\n]");
	check_indent("{\"a\":{\"b\":null},\"c\":\"x\"}",
		"{\n  \"a\": {\n    \"b\": null\n  },\n  \"c\": \"x\"\n}");
	check_indent(
		"{ \"a , [\\\"\" :\n\t[ true ] }", "{\n  \"a , [\\\"\": [\n    true\n  ]\n}");
	CHECK_ERR(hf_json_indent(hf_str_bytes(hf_str("[1,")), &b), HF_ECORRUPT);
	CHECK_ERR(hf_json_indent((struct hf_bytes){NULL, 0}, &b), HF_ECORRUPT);
	b.max = 5;
	CHECK_ERR(hf_json_indent(hf_str_bytes(hf_str("[1,2,3]")), &b), HF_EFATAL);
	hf_buf_clear(&b);
}
