/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test harness: one process per test, TAP on standard output.
 *
 *	TEST(queue_keeps_order)
 *	{
 *		CHECK_EQ(hf_queue_len(q), 3);
 *		REQUIRE_OK(hf_store_open(url, &store));
 *		CHECK_ERR(hf_store_get(store, &name, 0, 0, &buf), HF_ENOTFOUND);
 *	}
 *
 * TEST registers itself; there is no list and no main() to write.  Every test runs in a forked
 * child with a time limit, so that a crash, a leak (with ASan) or a deadlock is the failure of
 * one test.  A CHECK that fails says so on standard error and the test goes on; a REQUIRE that
 * fails ends the test.  Both may be used from any thread and from children that the test forks.
 * What a test writes to standard output goes to standard error.
 *
 *	test_queue                   runs all tests
 *	test_queue order close       runs those whose names contain one of the words
 *	test_queue --no-fork order   in this process, without limit: for gdb; a REQUIRE aborts
 *	test_queue --list            prints the names
 *
 * Ends with 0 under meson (which reads the TAP) and by hand with 1 if a test failed.
 * TEST_TIMEOUT_SCALE=n in the environment multiplies all time limits (valgrind, slow machines).
 */
#ifndef HF_TESTS_HARNESS_TEST_H
#define HF_TESTS_HARNESS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { TEST_TIMEOUT_S = 60 };

/* Defines a test that may take TEST_TIMEOUT_S, or `seconds`. */
#define TEST(name) TEST_WITHIN(name, TEST_TIMEOUT_S)
#define TEST_WITHIN(name, seconds)                                                             \
	static void test_fn_##name(void);                                                      \
	static struct test_case test_case_##name = {                                           \
		#name, __FILE__, test_fn_##name, seconds, NULL};                               \
	__attribute__((constructor)) static void test_ctor_##name(void)                        \
	{                                                                                      \
		test_register(&test_case_##name);                                              \
	}                                                                                      \
	static void test_fn_##name(void)

/* Ends the test as skipped; in CI that counts as a failure. */
#define SKIP(...) test_skip(__VA_ARGS__)

/* Ends the test as failed. */
#define FAIL(...) test_die(__FILE__, __LINE__, __VA_ARGS__)

/* `cond` holds. */
#define CHECK(cond)   test_true(__FILE__, __LINE__, false, #cond, (cond))
#define REQUIRE(cond) test_true(__FILE__, __LINE__, true, #cond, (cond))

/* Two integers of any type have the same value; what was got stands first. */
#define CHECK_EQ(got, want)   TEST_EQ_(false, got, want)
#define REQUIRE_EQ(got, want) TEST_EQ_(true, got, want)

/* Two strings are the same; NULL is only the same as NULL. */
#define CHECK_STR(got, want)   test_str(__FILE__, __LINE__, false, #got, (got), (want))
#define REQUIRE_STR(got, want) test_str(__FILE__, __LINE__, true, #got, (got), (want))

/* `len` bytes are the same. */
#define CHECK_MEM(got, want, len)                                                              \
	test_mem(__FILE__, __LINE__, false, #got, (got), (want), (len))
#define REQUIRE_MEM(got, want, len)                                                            \
	test_mem(__FILE__, __LINE__, true, #got, (got), (want), (len))

/*
 * A struct hf_err * that is NULL; else its text is shown.  Frees the error.  This and the
 * following need base/err.h, which whoever calls such a function has included.
 */
#define CHECK_OK(expr)   TEST_ERR_(false, expr, 0, NULL)
#define REQUIRE_OK(expr) TEST_ERR_(true, expr, 0, NULL)

/* A struct hf_err * with that code.  Frees the error. */
#define CHECK_ERR(expr, code)   TEST_ERR_(false, expr, code, NULL)
#define REQUIRE_ERR(expr, code) TEST_ERR_(true, expr, code, NULL)

/* As CHECK_ERR, and the text of the error contains `part`. */
#define CHECK_ERR_TEXT(expr, code, part)   TEST_ERR_(false, expr, code, part)
#define REQUIRE_ERR_TEXT(expr, code, part) TEST_ERR_(true, expr, code, part)

/*
 * A new empty directory that is removed after the test.  The text lives as long as the test.
 */
const char *test_tmpdir(void);

/* The full path of tests/data/`name`.  The text lives as long as the test. */
const char *test_data(const char *name);

/* ---- what the macros are made of ---- */

struct test_case {
	const char *name;
	const char *file;
	void (*fn)(void);
	int timeout_s;
	struct test_case *next;
};

struct test_int {
	bool negative;
	uintmax_t bits;
};

void test_register(struct test_case *t);
bool test_true(const char *file, int line, bool fatal, const char *expr, bool cond);
bool test_eq(const char *file, int line, bool fatal, const char *a, const char *b,
	struct test_int got, struct test_int want);
bool test_str(const char *file, int line, bool fatal, const char *expr, const char *got,
	const char *want);
bool test_mem(const char *file, int line, bool fatal, const char *expr, const void *got,
	const void *want, size_t len);
bool test_err(const char *file, int line, const char *expr, int code, const char *text,
	int want, const char *part);
_Noreturn void test_die(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline struct test_int
test_signed_(intmax_t v)
{
	return (struct test_int){v < 0, (uintmax_t)v};
}

static inline struct test_int
test_unsigned_(uintmax_t v)
{
	return (struct test_int){false, v};
}

/* Keeps the sign apart, so that (size_t)-1 is not the same as -1. */
#define TEST_INT_(x)                                                                           \
	_Generic((x), bool                                                                     \
		 : test_unsigned_, unsigned char                                               \
		 : test_unsigned_, unsigned short                                              \
		 : test_unsigned_, unsigned int                                                \
		 : test_unsigned_, unsigned long                                               \
		 : test_unsigned_, unsigned long long                                          \
		 : test_unsigned_, default                                                     \
		 : test_signed_)(x)

#define TEST_EQ_(fatal, got, want)                                                             \
	test_eq(__FILE__, __LINE__, (fatal), #got, #want, TEST_INT_(got), TEST_INT_(want))

#define TEST_ERR_(fatal, expr, want, part)                                                     \
	do {                                                                                   \
		struct hf_err *test_e_ = (expr);                                               \
		bool test_ok_ = test_err(__FILE__, __LINE__, #expr,                            \
			test_e_ != NULL ? (int)hf_err_code(test_e_) : 0,                       \
			test_e_ != NULL ? hf_err_text(test_e_) : NULL, (int)(want), (part));   \
		hf_err_free(test_e_);                                                          \
		if ((fatal) && !test_ok_)                                                      \
			test_die(__FILE__, __LINE__, "cannot go on");                          \
	} while (0)

#endif
