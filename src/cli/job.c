/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/job.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/io.h"
#include "cli/fail.h"

static const int taken_signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2,
	SIGWINCH, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU};

void
hf_job_take_signals(struct hf_job_signals *before, sigset_t *taken)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, none = {.sa_handler = SIG_DFL};

	sigemptyset(taken);
	for (size_t i = 0; i < sizeof taken_signals / sizeof taken_signals[0]; i++)
		sigaddset(taken, taken_signals[i]);
	sigprocmask(SIG_BLOCK, taken, &before->mask);
	sigaction(SIGPIPE, &ignore, &before->pipe);
	sigaction(SIGXFSZ, &ignore, &before->fsize);
	/* Ignored, it would have the kernel throw away how the command ends. */
	sigaction(SIGCHLD, &none, &before->child);
}

void
hf_job_restore_signals(const struct hf_job_signals *before)
{
	sigaction(SIGPIPE, &before->pipe, NULL);
	sigaction(SIGXFSZ, &before->fsize, NULL);
	sigaction(SIGCHLD, &before->child, NULL);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

void
hf_job_init(struct hf_job *job, const struct hf_job_signals *signals)
{
	*job = (struct hf_job){.signals = signals};
	job->tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

void
hf_job_clear(struct hf_job *job)
{
	if (job->tty >= 0)
		close(job->tty);
	job->tty = -1;
}

/* ---- the terminal ---- */

static bool
has_tty(const struct hf_job *job, pid_t group)
{
	return job->tty >= 0 && tcgetpgrp(job->tty) == group;
}

static bool
parent_and_group(int pid, int *parent, int *group)
{
	char path[64], text[2048];
	size_t got = 0;
	const char *p;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	hf_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	hf_autoptr(hf_err) e = hf_read_full(fd, text, sizeof text - 1, &got);
	text[got] = '\0';
	p = strrchr(text, ')');
	return e == NULL && p != NULL && sscanf(p + 1, " %*c %d %d", parent, group) == 2;
}

static bool
is_ancestor(int pid)
{
	int up = getpid(), group;

	while (parent_and_group(up, &up, &group) && up > 1)
		if (up == pid)
			return true;
	return false;
}

/* Whether somebody besides us and the shells above us is in our group. */
static bool
is_in_pipeline(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *d;
	bool is = false;

	while (dir != NULL && !is && (d = readdir(dir)) != NULL) {
		int pid, parent, group;

		if (!isdigit((unsigned char)d->d_name[0]) || sscanf(d->d_name, "%d", &pid) != 1)
			continue;
		is = pid != getpid() && parent_and_group(pid, &parent, &group) &&
		     group == getpgrp() && !is_ancestor(pid);
	}
	if (dir != NULL)
		closedir(dir);
	return is;
}

void
hf_job_give_tty(struct hf_job *job)
{
	if (job->pid > 0 && job->gets_tty && has_tty(job, getpgrp()))
		tcsetpgrp(job->tty, job->pid);
}

bool
hf_job_take_tty(struct hf_job *job)
{
	if (job->pid <= 0 || !has_tty(job, job->pid))
		return false;
	tcsetpgrp(job->tty, getpgrp());
	return true;
}

bool
hf_job_is_hung_up(const struct hf_job *job)
{
	struct pollfd p = {.fd = job->tty};

	return job->tty >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) != 0;
}

/* ---- start ---- */

/* In the new process. What goes wrong is told through `report`. */
static _Noreturn void
become_command(const struct hf_job *job, char *const *argv, int keep, pid_t front, int report)
{
	int en;

	setpgid(0, 0);
	if (job->gets_tty && has_tty(job, getpgid(front)))
		tcsetpgrp(job->tty, getpid()); /* SIGTTOU is still blocked */
	/* The last net, should the front and the keeper both be killed. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != front)
		_exit(HF_EXIT_INTERNAL);
	if (keep >= 0)
		fcntl(keep, F_SETFD, 0);
	hf_job_restore_signals(job->signals);
	execvp(argv[0], argv);
	en = errno;
	hf_err_free(hf_write_full(report, &en, sizeof en));
	_exit(HF_EXIT_INTERNAL);
}

static struct hf_err *
hear_from(int fd, const char *name, int *code)
{
	size_t got;
	int en;

	HF_TRY(hf_read_full(fd, &en, sizeof en, &got));
	if (got < sizeof en)
		return NULL; /* closed by exec */
	*code = en == ENOENT || en == ENOTDIR ? HF_EXIT_NO_PROGRAM : HF_EXIT_NO_EXEC;
	return hf_err_errno(en, "%s", name);
}

struct hf_err *
hf_job_start(struct hf_job *job, char *const *argv, int keep, atomic_int *number, int *code)
{
	int fds[2];
	hf_autofd int read_end = -1, write_end = -1;
	pid_t front = getpid(), pid;

	*code = HF_EXIT_INTERNAL;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return hf_err_errno(errno, "pipe");
	read_end = fds[0];
	write_end = fds[1];
	job->is_lazy = is_in_pipeline();
	job->gets_tty = !job->is_lazy;
	pid = fork();
	if (pid < 0)
		return hf_err_errno(errno, "fork");
	if (pid == 0) {
		atomic_store(number, getpid());
		become_command(job, argv, keep, front, write_end);
	}
	setpgid(pid, pid); /* whoever of the two is first */
	job->pid = pid;
	close(hf_steal_fd(&write_end));
	struct hf_err *e = hear_from(read_end, argv[0], code);

	if (e != NULL) {
		hf_job_take_tty(job);
		waitpid(pid, NULL, 0);
		job->pid = 0;
	}
	return e;
}

/* ---- stop and continue ---- */

bool
hf_job_stop_us(void)
{
	struct sigaction none = {.sa_handler = SIG_DFL}, before;
	sigset_t stop, cont;
	struct timespec now = {0, 0};

	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	sigemptyset(&cont);
	sigaddset(&cont, SIGCONT);
	while (sigtimedwait(&cont, NULL, &now) == SIGCONT)
		continue;
	sigaction(SIGTSTP, &none, &before);
	kill(0, SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, NULL); /* here we stand */
	sigprocmask(SIG_BLOCK, &stop, NULL);
	sigaction(SIGTSTP, &before, NULL);
	return sigtimedwait(&cont, NULL, &now) == SIGCONT;
}

bool
hf_job_stopped(struct hf_job *job, int sig)
{
	bool wants_tty = sig == SIGTTIN || sig == SIGTTOU;

	if (wants_tty && has_tty(job, getpgrp())) {
		job->gets_tty = true;
		return true;
	}
	hf_job_take_tty(job);
	job->gets_tty = !job->is_lazy;
	/* In a group without a shell a plain command would not have been stopped by the key. */
	return hf_job_stop_us() || (sig == SIGTSTP && job->tty >= 0);
}

void
hf_job_die(int sig)
{
	struct rlimit none = {0, 0};
	sigset_t set;

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE,
		0); /* a core_pattern that is a pipe does not look at the limit */
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), sig);
	_exit(128 + sig); /* not reached */
}
