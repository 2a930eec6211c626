/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Patterns: what the language says, the same told a second time by a slow and simple matcher
 * over random patterns, files of patterns, and the time for many of them.
 */
#include "engine/filter.h"

#include <stdio.h>

#include "engine/glob.h"
#include "harness/test.h"

/* The patterns in `list`, separated by blanks. */
static struct hf_filter *
compile_as(const char *list, bool folds_case)
{
	hf_auto(hf_strings) patterns = {0};
	struct hf_filter *f;

	while (*list != '\0') {
		size_t n = strcspn(list, " ");

		hf_strings_add_str(&patterns, (struct hf_str){list, n});
		list += n + (list[n] == ' ');
	}
	REQUIRE_OK(hf_filter_new(&patterns, folds_case, &f));
	return f;
}

static bool
matches(const char *list, const char *path)
{
	hf_autoptr(hf_filter) f = compile_as(list, false);
	bool child, is_chosen = hf_filter_match(f, path);

	CHECK_EQ(hf_filter_match_child(f, path, &child), is_chosen);
	return is_chosen;
}

static bool
child_may_match(const char *list, const char *path)
{
	hf_autoptr(hf_filter) f = compile_as(list, false);
	bool child;

	hf_filter_match_child(f, path, &child);
	return child;
}

static void
check_match(const char *list, const char *path, bool want)
{
	if (matches(list, path) != want)
		FAIL("\"%s\" and %s: not %s", list, path, want ? "chosen" : "passed over");
}

static void
check_child(const char *list, const char *path, bool want)
{
	if (child_may_match(list, path) != want)
		FAIL("\"%s\" below %s: not %s", list, path, want ? "possible" : "impossible");
}

TEST(components_and_runs)
{
	check_match("foo", "/a/foo", true);
	check_match("foo", "/a/foo/b", true);
	check_match("foo", "/foo", true);
	check_match("foo", "/a/foot", false);
	check_match("foo", "/a/fo", false);
	check_match("foo", "a/foo", true);
	check_match("bar", "/foo/bar/baz", true);
	check_match("/foo", "/foo/x", true);
	check_match("/foo", "/a/foo", false);
	check_match("/foo", "foo", false);
	check_match("/foo/*", "/foo", false);
	check_match("/foo/*", "/foo/x/y", true);
	check_match("foo/*/baz", "/x/foo/a/baz", true);
	check_match("foo/*/baz", "/x/foo/a/b/baz", false);
	check_match("a/b", "/a/a/b", true);
	check_match("a/b", "/a/x/b", false);
	check_match("a/b/c", "/a/b", false);
	check_match("*.c", "/a.c", true);
	check_match("*.c", "/a.cpp", false);
	check_match("*.c", "/d.c/x", true);
	check_match("x*", "/xyz", true);
	check_match("x*", "/x", true);
	check_match("x*", "/yx", false);
	check_match("*", "/anything", true);
	check_match("t?st", "/test", true);
	check_match("t?st", "/tst", false);
	check_match("/*/*/c", "/a/b/c/d", true);
	check_match("/*/*/c", "/a/c", false);
}

TEST(patterns_are_cleaned)
{
	check_match("/foo/../bar", "/bar", true);
	check_match("/foo/../bar", "/foo/bar", false);
	check_match("/foo//bar/", "/foo/bar", true);
	check_match("./foo", "/a/foo", true);
	check_match("foo/.", "/foo", true);
	check_match("../foo", "/foo", false);
	check_match("/../foo", "/foo", true);
	check_match("", "/foo", false);
	check_match(".", "/foo", false);
	check_match("/", "/foo", true); /* the root and all in it */
	check_match("/", "foo", false);
}

TEST(any_number_of_components)
{
	const char *pattern = "foo/**/bar/*.go";

	check_match(pattern, "/home/user/foo/work/special/project/bar/main.go", true);
	check_match(pattern, "/foo/bar/x.go", true);
	check_match(pattern, "foo/bar/x.go", true);
	check_match(pattern, "/foo/bar/bar/x.go", true);
	check_match(pattern, "/foo/foo/x/bar/x.go/y", true);
	check_match(pattern, "/foo/bar.go", false);
	check_match(pattern, "/bar/foo/x.go", false);
	check_match("/**/test.*", "/a/b/test.c", true);
	check_match("/**/test.*", "/test.c", true);
	check_match("**", "/a", true);
	check_match("/**", "/a/b", true);
	check_match("foo/**", "/foo", true);
	/* with several of them, one component is left for each later one */
	check_match("/a/**/b/**/c", "/a/b/c", false);
	check_match("/a/**/b/**/c", "/a/b/x/c", true);
	check_match("/a/**/b/**/c", "/a/x/b/c", false);
	check_match("/a/**/b/**/c", "/a/x/b/c/y", true);
	check_match("/a/**/b/**/c", "/a/x/b/b/x/c/y", true);
	check_match("a/**/b/**/c", "/a/b/c", true);
	check_match("a/**/b/**/c", "a/b/c", false);
	check_match("a/**/b/**/c", "/x/a/x/x/b/c", true);
	check_match("a/**/b/**/c/**", "/a/b/c", false);
	check_match("**/**", "/a", true);
	check_match("**/**", "a", true);
	check_match("**/**/**", "a", false);
	check_match("/**/**", "/a", true);
	check_match("/a/**/b/**/c", "/x/a/b/c", false);
	check_match("/a/**/b/**/c", "/a/c/b", false);
	check_match("a**c", "/abbc", true); /* inside a component it is a star */
	check_match("a**c", "/a/c", false);
	check_match("***", "/a", true);
	check_match("**/x/**", "/a/x", true);
}

TEST(wildcards_are_gos)
{
	check_match("[a-c]x", "/bx", true);
	check_match("[a-c]x", "/dx", false);
	check_match("[^a-c]x", "/dx", true);
	check_match("[^a-c]x", "/bx", false);
	check_match("[!a]x", "/!x", true);
	check_match("[a\\-z]", "/-", true);
	check_match("[a\\]]b", "/]b", true);
	check_match("[*]", "/*", true);
	check_match("[*]", "/x", false);
	check_match("[\xc3\xa0-\xc3\xbf]", "/\xc3\xa4", true); /* à to ÿ, ä */
	check_match("?", "/\xc3\xa4", true);
	check_match("??", "/\xc3\xa4", false);
	check_match("?", "/\xff", true);
	check_match("[^a]", "/\xff", true);
	check_match("\\*", "/*", true);
	check_match("\\*", "/x", false);
	check_match("a\\b", "/ab", true);
	check_match("a]", "/a]", true);
	check_match("*a*b*", "/xxaxxbxx", true);
	check_match("*a*b*", "/xxbxxaxx", false);
	check_match("*ab", "/abab", true);
	check_match("a*a", "/a", false);
	check_match("*[0-9]", "/x9y8", true);
	check_match("*[0-9]", "/x9y", false);
}

TEST(malformed_patterns_are_named)
{
	static const char *const bad[] = {"[", "a[", "[]", "[]a]", "[^]", "[a", "[a-]", "[-a]",
		"[a-b-c]", "x\\", "[\\", "[a\\", "test/[", "test/**/[", "[\xff]", "a/[b/c]",
		"![x", "/[a-"};
	static const char *const good[] = {"]", "a]", "[^^]", "[a-a]", "\\[", "[\\-a]", "-",
		"!", "!!", "[[]", "**", "[a-bc-d]"};
	hf_auto(hf_strings) all = {0};
	struct hf_filter *f;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		hf_auto(hf_strings) one = {0};

		hf_strings_add(&one, bad[i]);
		CHECK_ERR_TEXT(hf_filter_new(&one, false, &f), HF_EINVAL, bad[i]);
	}
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		hf_strings_add(&all, good[i]);
	REQUIRE_OK(hf_filter_new(&all, false, &f));
	hf_filter_free(f);
	hf_strings_add(&all, "a[");
	hf_strings_add(&all, "b");
	hf_strings_add(&all, "c[");
	CHECK_ERR_TEXT(hf_filter_new(&all, false, &f), HF_EINVAL,
		"invalid pattern(s) provided:\na[\nc[");
}

TEST(the_last_that_matches_decides)
{
	check_match("* !*.go", "/x.c", true);
	check_match("* !*.go", "/x.go", false);
	check_match("!*.go *", "/x.go", true);
	check_match("*.c !keep.c /tmp/keep.c", "/a/keep.c", false);
	check_match("*.c !keep.c /tmp/keep.c", "/tmp/keep.c", true);
	check_match("!foo", "/foo", false);
	check_match("foo !/a", "/a/foo", false);
	check_match("!!foo", "/!foo", false);
	check_match("foo !!foo", "/foo", true);
	check_match("!!foo *", "/foo", true);
}

TEST(what_may_be_below)
{
	check_child("foo", "/a/b", true);
	check_child("/foo/bar", "/foo", true);
	check_child("/foo/bar", "/foo/bar/baz", true);
	check_child("/foo/bar", "/foo/other", false);
	check_child("/foo/bar", "/other", false);
	check_child("/foo/*/baz", "/foo/x", true);
	check_child("/foo/*/baz", "/foo/x/y", false);
	check_child("/foo/**/baz", "/foo/x/y/z", true);
	check_child("/foo/**/baz", "/bar", false);
	check_child("/**/baz", "/x/y", true);
	check_child("/a /b/c", "/b", true);
	check_child("/a /b/c", "/c", false);
	check_child("/a !/a/b", "/a", true);
	check_child("/a !/a/b", "/a/b", false);
	check_child("/a !/a/b /a/b/c", "/a/b", true);
	check_child("!/a", "/b", false);
	check_child("", "/b", false);
}

TEST(letters_of_either_case)
{
	hf_autoptr(hf_filter) f = compile_as("/Foo/*.JPG \xc3\x84rger !\xc3\xb6l.jpg", true);

	CHECK(hf_filter_match(f, "/foo/x.jpg"));
	CHECK(hf_filter_match(f, "/FOO/X.Jpg"));
	CHECK(!hf_filter_match(f, "/bar/x.jpg"));
	CHECK(hf_filter_match(f, "/x/\xc3\xa4RGER"));     /* ärger */
	CHECK(!hf_filter_match(f, "/foo/\xc3\x96L.JPG")); /* Öl */
	CHECK(!hf_filter_match(f, "/\xff\xfe/x"));
	CHECK(!matches("foo", "/FOO"));
}

TEST(edges)
{
	hf_autoptr(hf_filter) none = compile_as("", false);
	hf_auto(hf_buf) deep = HF_BUF_MAX(1 << 20);
	bool child = true;

	CHECK(!hf_filter_match(NULL, "/x"));
	CHECK(!hf_filter_match_child(none, "/x", &child));
	CHECK(!child);
	CHECK(!matches("x", ""));
	for (int i = 0; i < 5000; i++)
		hf_buf_add_str(&deep, "/d");
	hf_buf_add_str(&deep, "/x");
	hf_buf_add(&deep, "", 1);
	check_match("x", (const char *)deep.p, true);
	check_match("d/x", (const char *)deep.p, true);
	check_match("/d/**/d/**/d/**/y", (const char *)deep.p, false);
}

/* ---- the slow matcher ---- */

/* Glob without sets, by trying everything. */
static bool
slow_glob(const char *p, const char *s, size_t n)
{
	if (*p == '\0' || *p == '/')
		return n == 0;
	if (*p == '*') {
		for (size_t i = 0; i <= n; i++) {
			if (slow_glob(p + 1, s + i, n - i))
				return true;
		}
		return false;
	}
	return n > 0 && (*p == '?' || *p == *s) && slow_glob(p + 1, s + 1, n - 1);
}

/* How many components, the root being one. */
static size_t
count_components(const char *p)
{
	size_t n = 1;

	for (; *p != '\0'; p++)
		n += *p == '/';
	return n;
}

/* A pattern without **, both at the start of a component. */
static bool
slow_run(const char *p, const char *s)
{
	size_t pn = strcspn(p, "/"), sn = strcspn(s, "/");

	if (!slow_glob(p, s, sn))
		return false;
	if (p[pn] == '\0')
		return true;
	return s[sn] != '\0' && slow_run(p + pn + 1, s + sn + 1);
}

/* The first ** of `pattern` as a component, or NULL. */
static const char *
find_deep(const char *pattern)
{
	for (const char *at = pattern; (at = strstr(at, "**")) != NULL; at++) {
		if ((at == pattern || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return at;
	}
	return NULL;
}

/* Every ** is replaced by every possible number of single stars. */
static bool
slow_match(const char *pattern, const char *path)
{
	const char *deep = find_deep(pattern);
	int left = (int)count_components(path) - (int)count_components(pattern) + 1;

	if (deep != NULL) {
		for (int k = 0; k <= left; k++) {
			char longer[256];
			size_t n = (size_t)(deep - pattern);

			memcpy(longer, pattern, n);
			for (int i = 0; i < k; i++, n += 2)
				memcpy(longer + n, "*/", 2);
			n += (size_t)snprintf(longer + n, sizeof longer - n, "%s",
				deep + 2 + (deep[2] == '/'));
			/* A ** at the end leaves a slash, which only the root keeps. */
			if (deep[2] == '\0' && n > 1)
				longer[n - 1] = '\0';
			if (deep[2] == '\0' && n == 1 && path[0] == '/')
				return true;
			if (longer[0] != '\0' && slow_match(longer, path))
				return true;
		}
		return false;
	}
	if (pattern[0] == '/')
		return path[0] == '/' && slow_run(pattern + 1, path + 1);
	for (const char *s = path + (path[0] == '/'); s != NULL; s = strchr(s, '/')) {
		s += *s == '/';
		if (slow_run(pattern, s))
			return true;
	}
	return false;
}

static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

enum { PATH_SIZE = 64 };

/* Up to five random components of the given ones, in PATH_SIZE bytes. */
static void
random_path(char *out, uint32_t *state, const char *const *words, size_t n_words)
{
	size_t n = 1 + next_random(state) % 5;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		const char *slash = i > 0 || next_random(state) % 2 == 0 ? "/" : "";

		len += (size_t)snprintf(out + len, PATH_SIZE - len, "%s%s", slash,
			words[next_random(state) % n_words]);
	}
}

TEST(same_as_the_slow_matcher)
{
	static const char *const names[] = {"a", "b", "ab", "ba", "abb", "c"};
	static const char *const parts[] = {
		"a", "b", "ab", "**", "**", "*", "a*", "*b", "?", "a?", "*a*", "?b*b"};
	uint32_t state = 1;
	unsigned hits = 0;

	for (int i = 0; i < 20000; i++) {
		char pattern[PATH_SIZE], path[PATH_SIZE];
		hf_auto(hf_strings) list = {0};
		hf_autoptr(hf_filter) f = NULL;

		random_path(pattern, &state, parts, sizeof parts / sizeof parts[0]);
		hf_strings_add(&list, pattern);
		REQUIRE_OK(hf_filter_new(&list, false, &f));
		for (int k = 0; k < 10; k++) {
			random_path(path, &state, names, sizeof names / sizeof names[0]);
			bool want = slow_match(pattern, path);

			hits += want;
			if (hf_filter_match(f, path) != want)
				FAIL("\"%s\" and %s: not %d", pattern, path, want);
		}
	}
	CHECK(hits > 20000);
	CHECK(hits < 180000);
}

/* What is chosen below a folder is possible below it, whatever the patterns. */
TEST(nothing_possible_is_ruled_out)
{
	static const char *const names[] = {"a", "b", "ab"};
	static const char *const parts[] = {"a", "b", "ab", "**", "*", "a*"};
	uint32_t state = 2;

	for (int i = 0; i < 50000; i++) {
		char pattern[PATH_SIZE], path[PATH_SIZE];
		hf_auto(hf_strings) list = {0};
		hf_autoptr(hf_filter) f = NULL;
		bool child;

		for (unsigned k = next_random(&state) % 3; k < 3; k++) {
			random_path(pattern, &state, parts, sizeof parts / sizeof parts[0]);
			hf_strings_add(&list, pattern);
		}
		random_path(path, &state, names, sizeof names / sizeof names[0]);
		REQUIRE_OK(hf_filter_new(&list, false, &f));
		if (!hf_filter_match(f, path))
			continue;
		for (char *slash; (slash = strrchr(path, '/')) != NULL && slash > path;) {
			*slash = '\0';
			hf_filter_match_child(f, path, &child);
			if (!child)
				FAIL("%s … below %s", list.v[0], path);
		}
	}
}

/* ---- files of patterns ---- */

static const char *
test_env(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "HOME") == 0 ? "/home/me" : strcmp(name, "a_1") == 0 ? "x" : NULL;
}

static void
check_file(const char *bytes, size_t len, const char *const *want, size_t n)
{
	hf_auto(hf_strings) got = {0};

	REQUIRE_OK(hf_filter_read(
		(struct hf_bytes){(const uint8_t *)bytes, len}, test_env, NULL, &got));
	CHECK_EQ(got.len, n);
	for (size_t i = 0; i < n && i < got.len; i++)
		CHECK_STR(got.v[i], want[i]);
}

TEST(files_of_patterns)
{
	static const char plain[] = "# comment\n"
				    "\n"
				    "  *.o \t\r\n"
				    "\xc2\xa0 a b \xe3\x80\x80\n" /* NBSP, ideographic space */
				    "   # indented\n"
				    "a#b\n"
				    "!$HOME/x\n"
				    "${HOME}y $a_1-$UNSET.\n"
				    "$$HOME cost$ $. ${} ${open\n"
				    "$1$*x${$}\n"
				    "last";
	static const char *const want[] = {"*.o", "a b", "a#b", "!/home/me/x", "/home/mey x-.",
		"$HOME cost$ $.  open", "x$", "last"};
	static const char utf16[] = "\xff\xfe*\0.\0o\0\r\0\n\0\xe4\0\n";
	static const char utf16_be[] = "\xfe\xff\0a\0\n\xd8\x3d\xde\x00";
	static const char *const want16[] = {"*.o", "\xc3\xa4"};
	static const char *const want16_be[] = {"a", "\xf0\x9f\x98\x80"};
	static const char *const want_bom[] = {"# no", "x"};
	hf_auto(hf_strings) got = {0};

	check_file(plain, sizeof plain - 1, want, sizeof want / sizeof want[0]);
	check_file(utf16, sizeof utf16, want16, 2);
	check_file(utf16_be, sizeof utf16_be - 1, want16_be, 2);
	check_file("\xef\xbb\xbf# no\nx", 9, want_bom + 1, 1);
	check_file("", 0, NULL, 0);
	CHECK_ERR_TEXT(hf_filter_read((struct hf_bytes){(const uint8_t *)"a\nb\0c", 5},
			       test_env, NULL, &got),
		HF_EINVAL, "line 2");
}

/* 50 patterns, and 80,000 paths of which each fiftieth matches. */
TEST(a_usual_list_on_many_paths)
{
	static const char list[] =
		"node_modules .cache .git *.o *.tmp *.pyc __pycache__ *~ .Trash "
		"lost+found /proc /sys /dev /run /tmp /var/tmp /var/cache/apt "
		"/home/*/.cache /home/*/.local/share/Trash target/debug "
		"*.log.[0-9] *.iso *.vmdk *.qcow2 .venv .tox .mypy_cache "
		".DS_Store Thumbs.db *.swp *.bak build/CMakeFiles .gradle .m2 "
		".npm .cargo/registry .rustup go/pkg/mod *.part *.crdownload "
		"/home/**/Downloads/*.zip .thumbnails GPUCache Cache "
		"\\[sync\\] core.[0-9]* *.class .ccache .terraform vendor/bundle";
	hf_autoptr(hf_filter) f = compile_as(list, false);
	unsigned hits = 0;

	for (unsigned i = 0; i < 80000; i++) {
		char path[128];

		snprintf(path, sizeof path, "/home/user/projects/p%u/src/module%u/file_%u.%s",
			i / 1000, i / 100 % 10, i, i % 50 == 0 ? "o" : "c");
		hits += hf_filter_match(f, path);
	}
	CHECK_EQ(hits, 1600);
}
