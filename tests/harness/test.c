/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the tests of one program.  The parent has no threads and does nothing but fork, wait
 * and print TAP; what a child has to tell it stands in a page of shared memory.
 */
#include "harness/test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_SKIPPED = 77 };

/* What a test tells the parent. */
struct report {
	atomic_int failed; /* checks that failed, in any process of the test */
	char reason[256];  /* why it was skipped */
	char tmpdir[PATH_MAX];
};

static struct test_case *tests;
static struct report *report;
static bool no_fork;

void
test_register(struct test_case *t)
{
	struct test_case **p = &tests;

	/* Constructors run in the order of the file; keep it. */
	while (*p != NULL)
		p = &(*p)->next;
	*p = t;
}

/* One write per message, so that threads and processes do not mix their lines. */
static void __attribute__((format(printf, 4, 0)))
vsay(const char *file, int line, const char *prefix, const char *fmt, va_list ap)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "# %s:%d: %s", file, line, prefix);

	if (n >= 0 && (size_t)n < sizeof(text))
		vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	dprintf(STDERR_FILENO, "%s\n", text);
}

static void __attribute__((format(printf, 3, 4)))
failed(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	atomic_fetch_add(&report->failed, 1);
	va_start(ap, fmt);
	vsay(file, line, "", fmt, ap);
	va_end(ap);
}

static _Noreturn void
stop(void)
{
	fflush(NULL);
	if (no_fork)
		abort();
	_exit(1);
}

void
test_die(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	atomic_fetch_add(&report->failed, 1);
	va_start(ap, fmt);
	vsay(file, line, "", fmt, ap);
	va_end(ap);
	stop();
}

void
test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(report->reason, sizeof(report->reason), fmt, ap);
	va_end(ap);
	fflush(NULL);
	if (no_fork) {
		printf("# skipped: %s\n", report->reason);
		exit(0);
	}
	_exit(EXIT_SKIPPED);
}

static bool
outcome(bool ok, bool fatal)
{
	if (!ok && fatal)
		stop();
	return ok;
}

bool
test_true(const char *file, int line, bool fatal, const char *expr, bool cond)
{
	if (!cond)
		failed(file, line, "%s does not hold", expr);
	return outcome(cond, fatal);
}

static const char *
int_text(struct test_int v, char *buf, size_t size)
{
	if (v.negative)
		snprintf(buf, size, "%jd", (intmax_t)v.bits);
	else
		snprintf(buf, size, "%ju (0x%jx)", v.bits, v.bits);
	return buf;
}

bool
test_eq(const char *file, int line, bool fatal, const char *a, const char *b,
	struct test_int got, struct test_int want)
{
	bool ok = got.negative == want.negative && got.bits == want.bits;
	char ga[64];
	char wa[64];

	if (!ok)
		failed(file, line, "%s is %s, not %s = %s", a, int_text(got, ga, sizeof(ga)), b,
			int_text(want, wa, sizeof(wa)));
	return outcome(ok, fatal);
}

bool
test_str(const char *file, int line, bool fatal, const char *expr, const char *got,
	const char *want)
{
	bool ok = got == want || (got != NULL && want != NULL && strcmp(got, want) == 0);

	if (!ok)
		failed(file, line,
			"%s is not the text wanted\n#   got:  %s%s%s\n#   want: %s%s%s", expr,
			got ? "\"" : "", got ? got : "NULL", got ? "\"" : "", want ? "\"" : "",
			want ? want : "NULL", want ? "\"" : "");
	return outcome(ok, fatal);
}

/* Up to 16 bytes from `off` on in hex. */
static const char *
hex(const unsigned char *p, size_t off, size_t len, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = off; i < len && i < off + 16 && n + 4 < size; i++)
		n += (size_t)snprintf(buf + n, size - n, "%02x ", p[i]);
	return buf;
}

bool
test_mem(const char *file, int line, bool fatal, const char *expr, const void *got,
	const void *want, size_t len)
{
	const unsigned char *g = got;
	const unsigned char *w = want;
	size_t off = 0;
	char gh[64];
	char wh[64];

	if (len > 0 && (g == NULL || w == NULL)) {
		failed(file, line, "%s: comparing %zu bytes with NULL", expr, len);
		return outcome(false, fatal);
	}
	while (off < len && g[off] == w[off])
		off++;
	if (off < len)
		failed(file, line,
			"%s differs from byte %zu of %zu on\n#   got:  %s\n#   want: %s", expr,
			off, len, hex(g, off, len, gh, sizeof(gh)),
			hex(w, off, len, wh, sizeof(wh)));
	return outcome(off == len, fatal);
}

bool
test_err(const char *file, int line, const char *expr, int code, const char *text, int want,
	const char *part)
{
	if (code == want) {
		if (part == NULL || text == NULL || strstr(text, part) != NULL)
			return true;
		failed(file, line, "%s: the error does not say \"%s\": %s", expr, part, text);
	} else if (want == 0) {
		failed(file, line, "%s: error %d: %s", expr, code, text);
	} else if (code == 0) {
		failed(file, line, "%s succeeded, wanted error %d", expr, want);
	} else {
		failed(file, line, "%s: error %d, not %d: %s", expr, code, want, text);
	}
	return false;
}

const char *
test_tmpdir(void)
{
	const char *base = getenv("TMPDIR");

	if (report->tmpdir[0] != '\0')
		return report->tmpdir;
	snprintf(report->tmpdir, sizeof(report->tmpdir), "%s/hf-test-XXXXXX",
		base != NULL && base[0] == '/' ? base : "/tmp");
	if (mkdtemp(report->tmpdir) == NULL)
		test_die(__FILE__, __LINE__, "mkdtemp %s: %s", report->tmpdir, strerror(errno));
	return report->tmpdir;
}

const char *
test_data(const char *name)
{
	static _Thread_local char ring[8][PATH_MAX];
	static _Thread_local unsigned next;
	char *p = ring[next++ % 8];

	snprintf(p, PATH_MAX, "%s/%s", TEST_DATA_DIR, name);
	return p;
}

static int
open_up(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)ftw;
	if (type == FTW_D || type == FTW_DNR)
		(void)!chmod(path, 0700);
	return 0;
}

static int
delete_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	(void)!remove(path);
	return 0;
}

static void
remove_tmpdir(void)
{
	if (report->tmpdir[0] == '\0')
		return;
	nftw(report->tmpdir, open_up, 16, FTW_PHYS);
	nftw(report->tmpdir, delete_one, 16, FTW_PHYS | FTW_DEPTH);
}

/* Whoever starts the tests may ignore signals or block them: nohup, a shell with `&`, perf. */
static void
hear_signals(void)
{
	struct sigaction now, none = {.sa_handler = SIG_DFL};
	sigset_t no_signals;

	for (int n = 1; n <= SIGRTMAX; n++)
		if (sigaction(n, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
			sigaction(n, &none, NULL);
	sigemptyset(&no_signals);
	sigprocmask(SIG_SETMASK, &no_signals, NULL);
}

static _Noreturn void
child(const struct test_case *t)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	hear_signals();
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	t->fn();
	fflush(NULL);
	exit(atomic_load(&report->failed) > 0 ? 1 : 0); /* the leak checker runs in exit() */
}

/* Waits for `pid` until the time is up.  False: it was killed.  SIGCHLD is blocked. */
static bool
wait_within(pid_t pid, int timeout_s, int *status)
{
	const char *scale = getenv("TEST_TIMEOUT_SCALE");
	long factor = scale != NULL ? strtol(scale, NULL, 10) : 1;
	struct timespec end;
	struct timespec now;
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_s * (factor > 0 ? factor : 1);
	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end.tv_sec) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, status, 0);
			return false;
		}
		struct timespec left = {end.tv_sec - now.tv_sec, 0};
		sigtimedwait(&chld, NULL, &left);
	}
}

/* Runs one test in a child and prints its TAP line; true if it did not fail. */
static bool
run_forked(const struct test_case *t, int number)
{
	sigset_t chld;
	sigset_t old;
	int status = 0;
	bool in_time = true;
	pid_t pid;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, &old);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(t);
	if (pid > 0) {
		in_time = wait_within(pid, t->timeout_s, &status);
		kill(-pid, SIGKILL); /* what it left behind */
	}
	sigprocmask(SIG_SETMASK, &old, NULL);

	int checks = atomic_load(&report->failed);
	bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED &&
		       checks == 0 && report->reason[0] != '\0';
	bool ok = pid > 0 && in_time && (skipped || (status == 0 && checks == 0));

	if (pid < 0)
		dprintf(STDERR_FILENO, "# %s: fork: %s\n", t->name, strerror(errno));
	else if (!in_time)
		dprintf(STDERR_FILENO, "# %s: not done after %d s\n", t->name, t->timeout_s);
	else if (WIFSIGNALED(status))
		dprintf(STDERR_FILENO, "# %s: killed by signal %d (%s)\n", t->name,
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (!ok && checks == 0)
		dprintf(STDERR_FILENO, "# %s: exit code %d (a sanitizer, or exit() called)\n",
			t->name, WEXITSTATUS(status));
	printf("%s %d - %s%s%s\n", ok ? "ok" : "not ok", number, t->name,
		skipped ? " # SKIP " : "", skipped ? report->reason : "");
	return ok;
}

static bool
run_here(const struct test_case *t, int number)
{
	bool ok;

	t->fn();
	ok = atomic_load(&report->failed) == 0;
	printf("%s %d - %s\n", ok ? "ok" : "not ok", number, t->name);
	return ok;
}

/* True if there are no words, or `name` contains one of them. */
static bool
selected(const char *name, int argc, char **argv)
{
	bool words = false;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] == '-')
			continue;
		words = true;
		if (strstr(name, argv[i]) != NULL)
			return true;
	}
	return !words;
}

int
main(int argc, char **argv)
{
	int total = 0;
	int number = 0;
	bool ok = true;
	bool list = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--no-fork") == 0) {
			no_fork = true;
		} else if (strcmp(argv[i], "--list") == 0) {
			list = true;
		} else if (argv[i][0] == '-') {
			fprintf(stderr, "usage: %s [--no-fork] [--list] [WORD...]\n", argv[0]);
			return 2;
		}
	}
	/* Ignored, it would have the kernel throw away how tests end. */
	signal(SIGCHLD, SIG_DFL);
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		-1, 0);
	if (report == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	for (const struct test_case *t = tests; t != NULL; t = t->next) {
		if (!selected(t->name, argc, argv))
			continue;
		total++;
		if (list)
			printf("%s\n", t->name);
	}
	if (list)
		return 0;
	printf("1..%d\n", total);
	for (const struct test_case *t = tests; t != NULL; t = t->next) {
		if (!selected(t->name, argc, argv))
			continue;
		memset(report, 0, sizeof(*report));
		number++;
		if (!(no_fork ? run_here(t, number) : run_forked(t, number)))
			ok = false;
		fflush(stdout);
		remove_tmpdir();
	}
	return ok || getenv("TEST_TAP") != NULL ? 0 : 1;
}
