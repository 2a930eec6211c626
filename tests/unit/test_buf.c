/* SPDX-License-Identifier: BSD-2-Clause */
/* Growth, the maximum, and the way into a file; a spilled buffer keeps what it holds. */
#include "base/buf.h"
#include "harness/test.h"

#include <dirent.h>
#include <stdlib.h>

static uint8_t
byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void
append_up_to(struct hf_buf *b, size_t len, size_t step)
{
	uint8_t piece[5000];

	while (b->len < len) {
		size_t n = len - b->len < step ? len - b->len : step;

		for (size_t i = 0; i < n; i++)
			piece[i] = byte_at(b->len + i);
		size_t before = b->len;
		hf_buf_add(b, piece, n);
		REQUIRE_EQ(b->len, before + n);
	}
}

static void
check_content(const struct hf_buf *b, size_t len)
{
	REQUIRE_EQ(b->len, len);
	for (size_t i = 0; i < len; i++)
		if (b->p[i] != byte_at(i))
			FAIL("byte %zu of %zu", i, len);
}

TEST(buf_grows)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1 << 20);

	append_up_to(&b, 1 << 20, 777);
	check_content(&b, 1 << 20);
	CHECK(!b.in_file);
	CHECK_OK(hf_buf_ok(&b));
}

/* Content survives the way from the heap into a file, and from a file into a larger one. */
TEST(buf_spills)
{
	const char *dir = test_tmpdir();
	hf_auto(hf_buf) b = HF_BUF_SPOOL(64 << 20);

	CHECK_EQ(b.spill, HF_BUF_SPILL);
	b.spill = 100000;
	hf_buf_set_tmpdir(dir);
	append_up_to(&b, 70000, 999);
	append_up_to(&b, 90000, 1);
	bool was_on_heap = !b.in_file;
	append_up_to(&b, 100001, 4999);
	CHECK(was_on_heap || b.cap > 100000);
	CHECK(b.in_file);
	check_content(&b, 100001);
	append_up_to(&b, 9 << 20, 4999);
	CHECK(b.in_file);
	check_content(&b, 9 << 20);
	REQUIRE_OK(hf_buf_resize(&b, 5000));
	append_up_to(&b, 200000, 3333);
	check_content(&b, 200000);

	/* The file has no name. */
	DIR *d = opendir(dir);
	size_t names = 0;
	while (d != NULL && readdir(d) != NULL)
		names++;
	closedir(d);
	CHECK_EQ(names, 2);

	hf_buf_clear(&b);
	CHECK_EQ(b.len, 0);
	CHECK_EQ(b.spill, 100000);
	CHECK(!b.in_file);
	append_up_to(&b, 10000, 100);
	CHECK(!b.in_file);
	check_content(&b, 10000);
}

TEST(buf_spill_without_directory)
{
	struct hf_buf b = {.max = 1 << 20, .spill = 1000};

	hf_buf_set_tmpdir("/nonexistent/directory");
	append_up_to(&b, 400, 100);
	CHECK_ERR_TEXT(hf_buf_reserve(&b, 5000), HF_EFATAL, "/nonexistent/directory");
	check_content(&b, 400);
	hf_buf_clear(&b);
}

/* Most people have no $TMPDIR. */
TEST(buf_spills_without_being_told_where)
{
	static const char *const unset[] = {NULL, ""};

	for (size_t i = 0; i < 2; i++) {
		struct hf_buf b = {.max = 1 << 20, .spill = 1000};

		hf_buf_set_tmpdir("/nonexistent/directory");
		hf_buf_set_tmpdir(unset[i]);
		append_up_to(&b, 10000, 512);
		CHECK(b.in_file);
		check_content(&b, 10000);
		hf_buf_clear(&b);
	}
}

/* Appending cannot tell why it failed, so the message names what may be the reason. */
TEST(buf_without_room_says_where)
{
	struct hf_buf b = {.max = 1 << 20, .spill = 1000};

	hf_buf_set_tmpdir("/nonexistent/directory");
	append_up_to(&b, 400, 100);
	hf_buf_addf(&b, "%2000d", 1);
	CHECK_ERR_TEXT(hf_buf_ok(&b), HF_EFATAL, "/nonexistent/directory");
	hf_buf_clear(&b);
}

TEST(buf_maximum)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1000);

	append_up_to(&b, 1000, 7);
	CHECK_EQ(b.cap, 1000);
	CHECK_OK(hf_buf_ok(&b));
	CHECK_ERR(hf_buf_reserve(&b, 1), HF_EFATAL);
	CHECK_ERR(hf_buf_reserve(&b, SIZE_MAX), HF_EFATAL);
	CHECK_ERR(hf_buf_resize(&b, 1001), HF_EFATAL);
	CHECK_OK(hf_buf_reserve(&b, 0));
	check_content(&b, 1000);
	hf_buf_add_char(&b, 'x');
	CHECK_ERR(hf_buf_ok(&b), HF_EFATAL);
	check_content(&b, 1000);
	hf_buf_reset(&b);
	CHECK_OK(hf_buf_ok(&b));
	CHECK_EQ(b.len, 0);
	CHECK_EQ(b.cap, 1000);
}

/* After the first append that did not fit nothing is appended, even if it would fit. */
TEST(buf_is_full_until_reset)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(10);

	hf_buf_add_str(&b, "12345678");
	hf_buf_add_str(&b, "abc");
	hf_buf_add_char(&b, 'x');
	hf_buf_add_str(&b, "y");
	hf_buf_addf(&b, "%d", 1);
	CHECK_EQ(b.len, 8);
	CHECK_MEM(b.p, "12345678", 8);
	CHECK_ERR(hf_buf_ok(&b), HF_EFATAL);
	hf_buf_reset(&b);
	hf_buf_addf(&b, "%s-%03d", "n", 7);
	CHECK_EQ(b.len, 5);
	CHECK_MEM(b.p, "n-007", 5);
	CHECK_OK(hf_buf_ok(&b));
}

TEST(buf_spool_maximum)
{
	struct hf_buf b = {.max = 5000, .spill = 1000};

	hf_buf_set_tmpdir(test_tmpdir());
	append_up_to(&b, 5000, 512);
	CHECK(b.in_file);
	hf_buf_add_char(&b, 'x');
	CHECK_ERR(hf_buf_ok(&b), HF_EFATAL);
	check_content(&b, 5000);
	hf_buf_clear(&b);
}

TEST(str_order)
{
	CHECK(hf_str_cmp(hf_str("a"), hf_str("b")) < 0);
	CHECK(hf_str_cmp(hf_str("b"), hf_str("a")) > 0);
	CHECK(hf_str_cmp(hf_str("a"), hf_str("ab")) < 0);
	CHECK(hf_str_cmp(hf_str("ab"), hf_str("a")) > 0);
	CHECK(hf_str_cmp(hf_str("\x7f"), hf_str("\x80")) < 0);
	CHECK_EQ(hf_str_cmp(hf_str("ab"), hf_str("ab")), 0);
	CHECK_EQ(hf_str_cmp((struct hf_str){NULL, 0}, hf_str("")), 0);
	CHECK(hf_str_eq((struct hf_str){NULL, 0}, hf_str("")));
	CHECK(hf_str_is(hf_str("ab"), "ab"));
	CHECK(!hf_str_is(hf_str("ab"), "abc"));
	CHECK(!hf_str_is((struct hf_str){"a\0b", 3}, "a"));
	hf_autofree char *dup = hf_str_dup((struct hf_str){"abc", 2});
	CHECK_STR(dup, "ab");
}

TEST(buf_has_a_place_for_nothing)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(10), none = HF_BUF_MAX(0);

	CHECK_OK(hf_buf_reserve(&b, 0));
	CHECK(b.p != NULL);
	CHECK_OK(hf_buf_reserve(&none, 0));
	CHECK_ERR(hf_buf_reserve(&none, 1), HF_EFATAL);
}
