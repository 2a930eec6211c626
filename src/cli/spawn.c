/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static struct hf_err *
start(struct hf_cli *cli, const char *const *words, int in_fd, int out_fd, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	const sigset_t *mask = hf_signals_child_mask(cli->signals);
	sigset_t defaults;
	hf_autofree char **argv = NULL;
	size_t n = 0;
	int en;

	while (words[n] != NULL)
		n++;
	argv = hf_alloc_(n + 1, sizeof *argv);
	memcpy(argv, words, n * sizeof *argv);
	posix_spawn_file_actions_init(&actions);
	if (in_fd >= 0)
		posix_spawn_file_actions_adddup2(&actions, in_fd, STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(
			&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGHUP);
	sigaddset(&defaults, SIGXFSZ);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	if (mask != NULL)
		posix_spawnattr_setsigmask(&attr, mask);
	posix_spawnattr_setflags(&attr,
		(short)(POSIX_SPAWN_SETSIGDEF | (mask != NULL ? POSIX_SPAWN_SETSIGMASK : 0)));
	en = posix_spawnp(pid, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return en != 0 ? hf_err_errno(en, "%s", words[0]) : NULL;
}

struct hf_err *
hf_spawn(struct hf_cli *cli, const char *const *words, pid_t *pid, int *out_fd)
{
	hf_autofd int read_end = -1, write_end = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return hf_err_errno(errno, "pipe");
	read_end = fds[0];
	write_end = fds[1];
	HF_TRY(start(cli, words, -1, write_end, pid));
	*out_fd = read_end;
	read_end = -1;
	return NULL;
}

struct hf_err *
hf_spawn_filter(struct hf_cli *cli, const char *const *words, int in_fd, int out_fd, pid_t *pid,
	int *fd)
{
	hf_autofd int read_end = -1, write_end = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return hf_err_errno(errno, "pipe");
	read_end = fds[0];
	write_end = fds[1];
	HF_TRY(start(cli, words, in_fd >= 0 ? in_fd : read_end,
		out_fd >= 0 ? out_fd : write_end, pid));
	*fd = in_fd >= 0 ? hf_steal_fd(&read_end) : hf_steal_fd(&write_end);
	return NULL;
}

struct hf_err *
hf_spawn_wait(pid_t pid, const char *name)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return hf_err_errno(errno, "%s", name);
	if (WIFSIGNALED(status))
		return hf_err(HF_EFATAL, "%s: ended by signal %d", name, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return hf_err(HF_EFATAL, "%s: exit status %d", name, WEXITSTATUS(status));
	return NULL;
}
