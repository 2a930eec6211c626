/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

enum { TERM_MS = 500 }; /* between asking it to end and ending it */

/* The terminal, if our group is in its foreground; else -1. */
static int
open_terminal(void)
{
	hf_autofd int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	return fd >= 0 && tcgetpgrp(fd) == getpgrp() ? hf_steal_fd(&fd) : -1;
}

/* A process in the background may take the foreground only with this signal blocked. */
static void
take_foreground(int terminal)
{
	sigset_t set, before;

	sigemptyset(&set);
	sigaddset(&set, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	(void)tcsetpgrp(terminal, getpgrp());
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int
spawn(const char *const *argv, int talk, int err, int terminal, short more, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	/* Before the rest: what follows may close what lies on 0 to 2. */
	if (terminal >= 0)
		posix_spawn_file_actions_addtcsetpgrp_np(&actions, terminal);
	posix_spawn_file_actions_adddup2(&actions, talk, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, talk, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(
		&attr, (short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | more));
	/* posix_spawnp() does not write to the strings. */
	int en = posix_spawnp(
		pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return en;
}

/* Above the three that a child is given, so that dup2() in the child does not meet itself. */
static int
lift(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	close(fd);
	return up;
}

struct hf_err *
hf_child_start(const char *const *argv, enum hf_child_terminal terminal, struct hf_child *out)
{
	int talk[2], err[2];
	struct hf_child c = {.talk = -1, .err = -1, .terminal = -1};

	*out = c;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, talk) != 0)
		return hf_err_errno(errno, "socketpair");
	hf_autofd int talk_ours = lift(talk[0]), talk_its = lift(talk[1]);
	if (pipe2(err, O_CLOEXEC) != 0)
		return hf_err_errno(errno, "pipe");
	hf_autofd int err_ours = lift(err[0]), err_its = lift(err[1]);
	hf_autofd int tty = terminal == HF_CHILD_MAY_ASK ? open_terminal() : -1;

	int en = spawn(argv, talk_its, err_its, tty,
		terminal == HF_CHILD_ALONE ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP,
		&c.pid);
	if (en != 0) {
		if (tty >= 0)
			take_foreground(tty); /* the child got that far before it failed */
		hf_autoptr(hf_err) e = hf_err_errno(en, "starting %s", argv[0]);

		return hf_err(HF_EFATAL, "%s", hf_err_text(e)); /* never "not found" */
	}
	c.pidfd = (int)syscall(SYS_pidfd_open, c.pid, 0);
	c.talk = hf_steal_fd(&talk_ours);
	c.err = hf_steal_fd(&err_ours);
	c.terminal = hf_steal_fd(&tty);
	*out = c;
	return NULL;
}

void
hf_child_settle(struct hf_child *c)
{
	if (c->terminal < 0)
		return;
	/* Somebody else's foreground, a shell's for instance, is not ours to take. */
	if (tcgetpgrp(c->terminal) == c->pid)
		take_foreground(c->terminal);
	close(c->terminal);
	c->terminal = -1;
}

void
hf_child_hang_up(struct hf_child *c)
{
	if (c->talk >= 0)
		shutdown(c->talk, SHUT_WR);
}

void
hf_child_kill(const struct hf_child *c)
{
	if (c->pid > 0)
		kill(-c->pid, SIGKILL);
}

/* True when it has ended within that time. */
static bool
ends_within(const struct hf_child *c, int ms)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};

	return TEMP_FAILURE_RETRY(poll(&p, 1, ms)) == 1;
}

int
hf_child_peek(const struct hf_child *c, int ms)
{
	siginfo_t info = {0};

	if (!ends_within(c, ms) ||
		waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		info.si_pid != c->pid)
		return -1;
	return info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0)
					  : W_EXITCODE(0, info.si_status);
}

int
hf_child_end(struct hf_child *c, double grace_s)
{
	int status = -1;

	if (c->pid <= 0)
		return -1;
	hf_child_settle(c);
	hf_child_hang_up(c);
	if (!ends_within(c, (int)(grace_s * 1000))) {
		kill(-c->pid, SIGTERM);
		kill(-c->pid, SIGCONT);
		if (!ends_within(c, TERM_MS))
			kill(-c->pid, SIGKILL);
	}
	if (TEMP_FAILURE_RETRY(waitpid(c->pid, &status, 0)) != c->pid)
		status = -1;
	if (c->pidfd >= 0)
		close(c->pidfd);
	if (c->talk >= 0)
		close(c->talk);
	if (c->err >= 0)
		close(c->err);
	*c = (struct hf_child){.pidfd = -1, .talk = -1, .err = -1, .terminal = -1};
	return status;
}

struct hf_child_text
hf_child_status_text(int status)
{
	struct hf_child_text t;

	if (status == -1)
		snprintf(t.s, sizeof t.s, "ended");
	else if (WIFSIGNALED(status))
		snprintf(t.s, sizeof t.s, "signal %d", WTERMSIG(status));
	else
		snprintf(t.s, sizeof t.s, "exit status %d", WEXITSTATUS(status));
	return t;
}
