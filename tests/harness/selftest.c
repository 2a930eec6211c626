/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of which most fail, each in its own way.  test_harness.py knows what must be said
 * about each; the names say what should happen.
 */
#include "harness/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(pass)
{
	uint8_t small = 200;
	size_t big = SIZE_MAX;

	CHECK(1 + 1 == 2);
	CHECK_EQ(small, 200);
	CHECK_EQ(big, SIZE_MAX);
	CHECK_EQ(-1LL, -1);
	CHECK_STR("a", "a");
	CHECK_STR(NULL, NULL);
	CHECK_MEM("abc", "abd", 2);
	printf("this is not TAP: it goes to standard error\n");
}

TEST(fail_check_goes_on)
{
	CHECK(1 + 1 == 3);
	dprintf(STDERR_FILENO, "still here\n");
}

TEST(fail_require_stops)
{
	REQUIRE_EQ(1 + 1, 3);
	dprintf(STDERR_FILENO, "never here\n");
}

TEST(fail_eq_sign)
{
	CHECK_EQ(SIZE_MAX, -1);
}

TEST(fail_str)
{
	CHECK_STR("got this", "want that");
}

TEST(fail_str_null)
{
	CHECK_STR(NULL, "");
}

TEST(fail_mem)
{
	CHECK_MEM("abcd", "abXd", 4);
}

TEST(fail_crash)
{
	raise(SIGSEGV);
}

TEST_WITHIN(fail_hang, 1)
{
	for (;;)
		pause();
}

TEST(fail_exit)
{
	_exit(3);
}

static void *
require_in_thread(void *arg)
{
	(void)arg;
	REQUIRE(false);
	return NULL;
}

TEST(fail_in_thread)
{
	pthread_t t;

	REQUIRE_EQ(pthread_create(&t, NULL, require_in_thread, NULL), 0);
	pthread_join(t, NULL);
	dprintf(STDERR_FILENO, "never here\n");
}

TEST(fail_in_child)
{
	pid_t pid = fork();

	if (pid == 0) {
		CHECK(false);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

TEST(skip_with_reason)
{
	SKIP("no %s here", "moon");
}

TEST(pass_tmpdir)
{
	const char *dir = test_tmpdir();

	CHECK_STR(test_tmpdir(), dir);
	CHECK(access(dir, W_OK) == 0);
	fprintf(stderr, "tmpdir %s\n", dir);
	REQUIRE_EQ(chdir(dir), 0);
	fclose(fopen("file", "w"));
}

TEST(pass_signals)
{
	struct sigaction at;
	sigset_t blocked;

	for (int n = 1; n <= SIGRTMAX; n++)
		CHECK(sigaction(n, NULL, &at) != 0 || at.sa_handler != SIG_IGN);
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	CHECK(sigisemptyset(&blocked));
}
