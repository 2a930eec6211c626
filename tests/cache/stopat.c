/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stopat RULE... -- COMMAND: runs any command, and holds it at an exact system call, or lets that
 * call fail. For tests of what two processes do to each other between one call and the next. The
 * command needs no help for it: ptrace(2) works on programs in Go, linked statically or not.
 *
 * A rule says which calls it is about, which of them, and what is done then:
 *
 *	--call NAME,...  these calls; else all that calls.c knows
 *	--path GLOB      that concern a file whose whole path is like this (`*` matches `/` as well)
 *	--below DIR      ... or is DIR, or below it
 *	--interruptible  ... and that may return EINTR
 *	--nth N          the N-th of these (1); N+: from the N-th on
 *	--at WHEN        entry: before it has begun; exit: after it has ended; success: after it has
 *	                 ended well, and only such are counted
 *
 *	--hold DIR       stops the whole command, writes "PID CALL PATH" into the file DIR/reached, and
 *	                 goes on when there is a file DIR/go
 *	--fail ERRNO     the call fails with this and is not made, but for close, which closes
 *	--log FILE       writes a line for each, not only the N-th: "N CALL PATH [PATH] = RESULT", in the
 *	                 order of their ends, numbered by their beginnings (or ends, with --at)
 *
 * One of the last three ends the rule; the next begins anew. A call that the kernel begins again
 * after a signal is one call.
 *
 * Signals go to the command, which gets SIGTERM, SIGINT and SIGHUP sent to stopat as well. Its end
 * is stopat's: same exit code, same signal; processes that it leaves behind are waited for. When
 * stopat is killed, so is all that it runs. 125: stopat's own fault; 127: no such command.
 *
 * What the command notices: waiting calls that signal(7) says are interrupted by SIGSTOP may return
 * EINTR while it is held, and its parent is not who started it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/proc.h"
#include "cache/calls.h"
#include "cache/rules.h"

enum { NO_COMMAND = 127, MAX_TRACEES = 2048 };

struct tracee {
	pid_t tid; /* 0: this place is free */
	pid_t tgid;
	bool is_stopped;  /* by an event that `status` tells and nobody has looked at yet */
	bool is_in_vfork; /* its child runs in its place: it cannot be stopped */
	int status;
	struct call call;                 /* that it is in, if there is a path in it */
	unsigned long numbers[MAX_RULES]; /* which call that is to each rule; 0: none of its */
	int fail;
};

struct state {
	struct rule rules[MAX_RULES];
	size_t n_rules;
	struct tracee tracees[MAX_TRACEES];
	size_t n_tracees; /* places in use, and some that have become free */
	pid_t main;
	int main_status;
};

static volatile sig_atomic_t asked; /* a signal to pass on */

static void
on_signal(int sig)
{
	asked = sig;
}

/* glibc's has headers that do not go together with the kernel's, which know more. */
static long
trace(int request, pid_t tid, uintptr_t addr, uintptr_t data)
{
	return syscall(SYS_ptrace, request, tid, addr, data);
}

/* ---- what differs between architectures ---- */

#if defined(__x86_64__)

static const uint32_t arch = AUDIT_ARCH_X86_64;

static void
skip_call(pid_t tid)
{
	(void)trace(PTRACE_POKEUSR, tid, offsetof(struct user_regs_struct, orig_rax),
		(uintptr_t)-1);
}

static void
set_result(pid_t tid, long value)
{
	(void)trace(
		PTRACE_POKEUSR, tid, offsetof(struct user_regs_struct, rax), (uintptr_t)value);
}

#elif defined(__aarch64__)

static const uint32_t arch = AUDIT_ARCH_AARCH64;
enum { REGISTERS = 1 /* NT_PRSTATUS */, CALL_NUMBER = 0x404 /* NT_ARM_SYSTEM_CALL */ };

static void
skip_call(pid_t tid)
{
	int none = -1;
	struct iovec v = {&none, sizeof(none)};

	(void)trace(PTRACE_SETREGSET, tid, CALL_NUMBER, (uintptr_t)&v);
}

static void
set_result(pid_t tid, long value)
{
	struct user_regs_struct regs;
	struct iovec v = {&regs, sizeof(regs)};

	if (trace(PTRACE_GETREGSET, tid, REGISTERS, (uintptr_t)&v) != 0)
		return;
	regs.regs[0] = (unsigned long long)value;
	(void)trace(PTRACE_SETREGSET, tid, REGISTERS, (uintptr_t)&v);
}

#else
#error "stopat does not know this architecture"
#endif

/* ---- the threads of the command ---- */

static struct tracee *
find(struct state *s, pid_t tid)
{
	for (size_t i = 0; i < s->n_tracees; i++)
		if (s->tracees[i].tid == tid)
			return &s->tracees[i];
	return NULL;
}

static pid_t
thread_group(pid_t tid)
{
	char path[64], line[256];
	pid_t tgid = tid;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", tid);
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return tid;
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "Tgid:", 5) == 0)
			tgid = (pid_t)strtol(line + 5, NULL, 10);
	(void)fclose(f);
	return tgid;
}

static struct tracee *
find_or_add(struct state *s, pid_t tid)
{
	struct tracee *t = find(s, tid);

	if (t != NULL)
		return t;
	t = find(s, 0);
	if (t == NULL && s->n_tracees == MAX_TRACEES)
		die("too many threads");
	if (t == NULL)
		t = &s->tracees[s->n_tracees++];
	*t = (struct tracee){.tid = tid, .tgid = thread_group(tid)};
	return t;
}

static void
forget(struct tracee *t)
{
	call_clear(&t->call);
	*t = (struct tracee){0};
}

/* Takes note of the next event. False: there is none: yet with WNOHANG, for ever without. */
static bool
wait_event(struct state *s, int flags)
{
	int status;
	pid_t tid = waitpid(-1, &status, __WALL | flags);

	if (asked) {
		(void)kill(s->main, asked);
		asked = 0;
	}
	if (tid < 0 && errno == EINTR)
		return (flags & WNOHANG) == 0;
	if (tid <= 0)
		return false;
	if (WIFSTOPPED(status)) {
		struct tracee *t = find_or_add(s, tid);
		t->is_stopped = true;
		t->is_in_vfork = false;
		t->status = status;
		return true;
	}
	if (tid == s->main)
		s->main_status = status;
	struct tracee *t = find(s, tid);
	if (t != NULL)
		forget(t);
	return true;
}

static void
resume(const struct tracee *t, int sig)
{
	/* ESRCH: it has been killed, which is told by an event of its own. */
	(void)trace(PTRACE_SYSCALL, t->tid, 0, (uintptr_t)sig);
}

/* ---- holding ---- */

/* Whether a thread makes no step, or never will again. */
static bool
stands_still(const struct tracee *t)
{
	char path[80];
	struct hf_proc_stat st;

	if (t->is_stopped || t->is_in_vfork)
		return true;
	/* The first thread of a process may have ended before the others: then nothing tells. */
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", t->tgid, t->tid);
	return !hf_proc_stat(path, &st) || st.state == 'Z' || st.state == 'X';
}

static void
pause_shortly(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Stops all but the one that has reached the point, which stands already. */
static void
stop_others(struct state *s, const struct tracee *held)
{
	for (size_t i = 0; i < s->n_tracees; i++) {
		struct tracee *t = &s->tracees[i];
		if (t->tid != 0 && t != held && !t->is_stopped)
			(void)trace(PTRACE_INTERRUPT, t->tid, 0, 0);
	}
	for (;;) {
		while (wait_event(s, WNOHANG)) {
		}
		bool all = true;
		for (size_t i = 0; i < s->n_tracees; i++) {
			struct tracee *t = &s->tracees[i];
			if (t->tid != 0 && t != held)
				all = all && stands_still(t);
		}
		if (all)
			return;
		pause_shortly();
	}
}

static void
say_reached(const char *dir, const struct tracee *t)
{
	char temp[PATH_MAX], name[PATH_MAX];
	const char *path = t->call.paths[1] != NULL ? t->call.paths[1] : t->call.paths[0];

	(void)snprintf(temp, sizeof(temp), "%s/reached.new", dir);
	(void)snprintf(name, sizeof(name), "%s/reached", dir);
	FILE *f = fopen(temp, "we");
	if (f == NULL)
		die("%s: %s", temp, strerror(errno));
	(void)fprintf(f, "%d %s %s\n", t->tgid, t->call.name, path);
	if (fclose(f) != 0 || rename(temp, name) != 0)
		die("%s: %s", name, strerror(errno));
}

/* Until told to go on, or until the held thread is killed. */
static void
hold(struct state *s, struct tracee *t, const char *dir)
{
	char go[PATH_MAX];
	pid_t tid = t->tid;

	(void)snprintf(go, sizeof(go), "%s/go", dir);
	stop_others(s, t);
	if (t->tid != tid)
		return;
	say_reached(dir, t);
	while (t->tid == tid && access(go, F_OK) != 0) {
		if (access(dir, F_OK) != 0)
			die("%s is gone", dir);
		pause_shortly();
		while (wait_event(s, WNOHANG)) {
		}
	}
}

/* ---- calls ---- */

static void
at_entry(struct state *s, struct tracee *t, const struct ptrace_syscall_info *info)
{
	call_clear(&t->call);
	t->fail = 0;
	memset(t->numbers, 0, sizeof(t->numbers));
	if (info->arch != arch)
		return;
	uint64_t args[6];
	for (int i = 0; i < 6; i++)
		args[i] = info->entry.args[i];
	if (!call_describe(t->tid, info->entry.nr, args, &t->call))
		return;
	for (size_t i = 0; i < s->n_rules && t->tid != 0; i++) {
		struct rule *r = &s->rules[i];
		if (r->when != ENTRY || !rule_matches(r, &t->call))
			continue;
		t->numbers[i] = ++r->seen;
		if (r->fail != 0 && rule_is_due(r, r->seen))
			t->fail = r->fail;
		if (r->hold != NULL && rule_is_due(r, r->seen))
			hold(s, t, r->hold);
	}
	if (t->fail != 0 && !t->call.must_run)
		skip_call(t->tid);
}

static void
log_call(FILE *f, unsigned long number, const struct call *c, long result)
{
	(void)fprintf(f, "%lu %s", number, c->name);
	for (int i = 0; i < 2; i++)
		if (c->paths[i] != NULL)
			(void)fprintf(f, " %s", c->paths[i]);
	if (result < 0 && strerrorname_np((int)-result) != NULL)
		(void)fprintf(f, " = %s\n", strerrorname_np((int)-result));
	else
		(void)fprintf(f, " = %ld\n", result);
	(void)fflush(f);
}

/* Whether the kernel begins the call again, for which it has numbers that no program sees. */
static bool
is_restart(long result)
{
	return result <= -512 && result >= -516;
}

static void
at_exit(struct state *s, struct tracee *t, const struct ptrace_syscall_info *info)
{
	long result = (long)info->exit.rval;

	if (t->call.name == NULL)
		return;
	if (t->fail != 0) {
		result = -t->fail;
		set_result(t->tid, result);
	}
	for (size_t i = 0; i < s->n_rules && t->tid != 0; i++) {
		struct rule *r = &s->rules[i];
		if (r->when == ENTRY && is_restart(result) && t->numbers[i] != 0) {
			r->seen--;
			continue;
		}
		if (r->when != ENTRY && rule_matches(r, &t->call) && !is_restart(result) &&
			(r->when == EXIT || result >= 0 || result < -4095))
			t->numbers[i] = ++r->seen;
		if (t->numbers[i] == 0)
			continue;
		if (r->log != NULL)
			log_call(r->log, t->numbers[i], &t->call, result);
		if (r->when != ENTRY && r->hold != NULL && rule_is_due(r, r->seen))
			hold(s, t, r->hold);
	}
	call_clear(&t->call);
	t->fail = 0;
}

/* ---- events ---- */

static void
on_call(struct state *s, struct tracee *t)
{
	struct ptrace_syscall_info info;

	if (trace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), (uintptr_t)&info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		at_entry(s, t, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		at_exit(s, t, &info);
}

/* The thread that executes a program becomes the first of its process, and the only one. */
static void
on_exec(struct state *s, const struct tracee *t)
{
	for (size_t i = 0; i < s->n_tracees; i++) {
		struct tracee *other = &s->tracees[i];
		if (other->tid != 0 && other != t && other->tgid == t->tgid)
			forget(other);
	}
}

static void
on_event(struct state *s, struct tracee *t)
{
	int sig = WSTOPSIG(t->status), event = t->status >> 16;
	unsigned long child = 0;
	pid_t tid = t->tid;

	t->is_stopped = false;
	if (sig == (SIGTRAP | 0x80)) {
		on_call(s, t);
		sig = 0;
	} else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
		/* Stopped by SIGSTOP and its like: stays so until SIGCONT. */
		(void)trace(PTRACE_LISTEN, tid, 0, 0);
		return;
	} else if (event != 0) {
		if (event == PTRACE_EVENT_EXEC)
			on_exec(s, t);
		else if (event == PTRACE_EVENT_VFORK)
			t->is_in_vfork = true;
		if ((event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
			    event == PTRACE_EVENT_VFORK) &&
			trace(PTRACE_GETEVENTMSG, tid, 0, (uintptr_t)&child) == 0)
			(void)find_or_add(s, (pid_t)child);
		sig = 0;
	}
	if (t->tid == tid)
		resume(t, sig);
}

static void
run(struct state *s)
{
	for (;;) {
		bool any = false;
		for (size_t i = 0; i < s->n_tracees; i++)
			if (s->tracees[i].is_stopped) {
				any = true;
				on_event(s, &s->tracees[i]);
			}
		if (!any && !wait_event(s, 0))
			return;
	}
}

static pid_t
start(char **argv)
{
	int gate[2];
	char byte;

	if (pipe2(gate, O_CLOEXEC) != 0)
		die("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		(void)close(gate[1]);
		if (read(gate[0], &byte, 1) != 1)
			_exit(FAULT);
		(void)execvp(argv[0], argv);
		(void)fprintf(stderr, "stopat: %s: %s\n", argv[0], strerror(errno));
		_exit(NO_COMMAND);
	}
	/* Seen from its first own call on: nothing is told before PTRACE_EVENT_EXEC. */
	const int options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			    PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	if (trace(PTRACE_SEIZE, pid, 0, (uintptr_t)options) != 0)
		die("ptrace: %s", strerror(errno));
	if (write(gate[1], "", 1) != 1)
		die("pipe: %s", strerror(errno));
	(void)close(gate[0]);
	(void)close(gate[1]);
	return pid;
}

__attribute__((noreturn)) static void
end_as(int status)
{
	if (WIFSIGNALED(status)) {
		/* The command has left a core, if anybody wants one. */
		(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
		(void)signal(WTERMSIG(status), SIG_DFL);
		(void)raise(WTERMSIG(status));
	}
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : FAULT);
}

int
main(int argc, char **argv)
{
	static struct state s;
	int command;

	s.n_rules = rules_parse(argc, argv, s.rules, &command);
	for (size_t i = 0; i < 3; i++) {
		static const int passed[] = {SIGTERM, SIGINT, SIGHUP};
		struct sigaction a = {.sa_handler = on_signal};
		(void)sigaction(passed[i], &a, NULL);
	}
	s.main = start(argv + command);
	(void)find_or_add(&s, s.main);
	run(&s);
	end_as(s.main_status);
}
