/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/path.h"

#include "harness/test.h"

static void
check_clean(const char *path, const char *want)
{
	hf_autofree char *got = hf_path_clean(path);

	CHECK_STR(got, want);
}

TEST(path_clean)
{
	check_clean("", ".");
	check_clean(".", ".");
	check_clean("./x", "x");
	check_clean("..", "..");
	check_clean("../..", "../..");
	check_clean("../x", "../x");
	check_clean("../../x/../y", "../../y");
	check_clean("x/../..", "..");
	check_clean("x/y/../../..", "..");
	check_clean("../a/../../b", "../../b");
	check_clean("a/b/../c/", "a/c");
	check_clean("a/..", ".");
	check_clean("...", "...");
	check_clean("a/..b", "a/..b");
	check_clean("/", "/");
	check_clean("//", "/");
	check_clean("/..", "/");
	check_clean("/../a", "/a");
	check_clean("/a/./b//c/", "/a/b/c");
	check_clean("/a/../..", "/");
}

TEST(path_join)
{
	hf_autofree char *a = hf_path_join("/", "x"), *b = hf_path_join("", "x"),
			 *c = hf_path_join("x", ""), *d = hf_path_join("", ""),
			 *e = hf_path_join("a/b", "../c");

	CHECK_STR(a, "/x");
	CHECK_STR(b, "x");
	CHECK_STR(c, "x");
	CHECK_STR(d, "");
	CHECK_STR(e, "a/c");
}

TEST(path_abs)
{
	hf_autofree char *a = hf_path_abs("/home/u", "x/../y"),
			 *b = hf_path_abs("/home/u", "/z/"),
			 *c = hf_path_abs("/home/u", "../..");

	CHECK_STR(a, "/home/u/y");
	CHECK_STR(b, "/z");
	CHECK_STR(c, "/");
}
