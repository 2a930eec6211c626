/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines in a form that the user chose. What is right was seen with Python's str.format(). */
#include "cli/template.h"

#include "harness/test.h"

static const struct hf_template_key keys[] = {{"path", HF_TEMPLATE_TEXT},
	{"size", HF_TEMPLATE_NUMBER}, {"time", HF_TEMPLATE_TIME}, {NULL, HF_TEMPLATE_TEXT}};

static void
value(void *arg, size_t key, struct hf_template_value *out)
{
	out->text = hf_str(arg);
	out->number = 42;
	out->time.sec = key == 2 ? 1767323045 : 0;
}

static void
check(const char *text, const char *path, const char *want)
{
	hf_autoptr(hf_template) t = NULL;
	hf_auto(hf_buf) out = HF_BUF_MAX(1 << 20);
	hf_autofree char *copy = hf_str_dup(hf_str(path));

	setenv("TZ", "UTC", 1);
	REQUIRE_OK(hf_template_parse(text, keys, &t));
	hf_template_add(t, value, copy, false, &out);
	hf_buf_add_char(&out, '\0');
	CHECK_STR((const char *)out.p, want);
}

TEST(values_and_text)
{
	check("", "p", "");
	check("{path}", "p", "p");
	check("a{path}b{size}c", "p", "apb42c");
	check("{{{path}}}", "p", "{p}");
	check("{path}{TAB}{size}{SPACE}{NL}{LF}{CR}{NEWLINE}", "p", "p\t42 \n\n\r\n");
	check("{time}", "", "2026-01-02 03:04:05");
	check("{time:%Y/%m, %H:%M}", "", "2026/01, 03:04");
	check("{time:>21}", "", "  2026-01-02 03:04:05");
}

TEST(a_nul_is_a_byte_of_it)
{
	hf_autoptr(hf_template) t = NULL;
	hf_auto(hf_buf) out = HF_BUF_MAX(1 << 20);
	char path[] = "p";

	REQUIRE_OK(hf_template_parse("{path}{NUL}{path}", keys, &t));
	hf_template_add(t, value, path, false, &out);
	REQUIRE_EQ(out.len, 3);
	CHECK_MEM(out.p, "p\0p", 3);
}

TEST(widths)
{
	check("{path:5}|", "p", "p    |");
	check("{path:>5}|", "p", "    p|");
	check("{path:^5}|", "p", "  p  |");
	check("{path:^4}|", "p", " p  |");
	check("{path:*<3}|", "p", "p**|");
	check("{path:<<3}|", "p", "p<<|");
	check("{path:3s}|", "p", "p  |");
	check("{path:1}|", "long", "long|");
	check("{path:.2}|", "long", "lo|");
	check("{path:>4.2}|", "long", "  lo|");
	check("{size:5}|", "", "   42|");
	check("{size:5d}|", "", "   42|");
	check("{size:<5}|", "", "42   |");
	check("{size:05}|", "", "00042|");
	check("{size:0}|", "", "42|");
	check("{size:x>05}|", "", "xxx42|");
}

TEST(widths_count_characters)
{
	check("{path:4}|", "\xc3\xa4", "\xc3\xa4   |");
	check("{path:.1}|", "\xc3\xa4z", "\xc3\xa4|");
	check("{path:\xc3\xa4>3}|", "p", "\xc3\xa4\xc3\xa4p|");
	/* What is no UTF-8 is a character per byte, and stays. */
	check("{path:3}|", "\xff", "\xff  |");
	check("{path:3}|", "\xc3", "\xc3  |");
}

static void
check_bad(const char *text, const char *words)
{
	hf_autoptr(hf_template) t = NULL;
	hf_autoptr(hf_err) e = hf_template_parse(text, keys, &t);

	REQUIRE(e != NULL);
	CHECK_EQ(hf_err_code(e), HF_EINVAL);
	if (strstr(hf_err_text(e), words) == NULL)
		FAIL("%s: %s", text, hf_err_text(e));
}

TEST(what_is_wrong_is_said)
{
	check_bad("{nope}",
		"there is no {nope}\nThese there are: {path} {size} {time} {NL} {LF}");
	check_bad("{}", "there is no {}");
	check_bad("{path!r}", "there is no {path!r}");
	check_bad("{NL:3}", "there is no {NL}");
	check_bad("{path", "{ without a }");
	check_bad("a{", "{ without a }");
	check_bad("{pa{th}}", "{ without a }");
	check_bad("a}b", "} without a {");
	check_bad("{path:x}", "what follows the colon in {path:x}");
	check_bad("{path:5d}", "{path:5d}");
	check_bad("{path:%Y}", "{path:%Y}");
	check_bad("{path:.}", "{path:.}");
	check_bad("{size:.3}", "{size:.3}");
	check_bad("{size:s}", "{size:s}");
	check_bad("{size:5000}", "{size:5000}");
	check_bad("{size:99999999999999999999}", "{size:9");
}

TEST(safe_for_a_terminal)
{
	hf_autoptr(hf_template) t = NULL;
	hf_auto(hf_buf) out = HF_BUF_MAX(1 << 20);
	char path[] = "a\x1b[2J";

	REQUIRE_OK(hf_template_parse("{path}\n", keys, &t));
	hf_template_add(t, value, path, true, &out);
	CHECK(memchr(out.p, 0x1b, out.len) == NULL);
}
