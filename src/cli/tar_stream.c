/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/tar_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/words.h"
#include "cli/spawn.h"

/* As Borg has it. */
static const struct {
	const char *suffix, *program;
} suffixes[] = {{".tar.gz", "gzip"}, {".tgz", "gzip"}, {".tar.bz2", "bzip2"}, {".tbz", "bzip2"},
	{".tar.xz", "xz"}, {".txz", "xz"}, {".tar.lz4", "lz4"}, {".tar.zst", "zstd"},
	{".tar.zstd", "zstd"}};

void
hf_tar_stream_clear(struct hf_tar_stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->pid != 0) {
		kill(s->pid, SIGTERM);
		hf_err_free(hf_spawn_wait(s->pid, s->program));
	}
	if (s->temp != NULL)
		unlink(s->temp);
	free(s->temp);
	free(s->program);
	*s = (struct hf_tar_stream)HF_TAR_STREAM;
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

/* The words of the program; none of them: there is no program. */
static struct hf_err *
find_program(const char *path, const char *filter, struct hf_strings *words)
{
	if (strcmp(filter, "none") == 0)
		return NULL;
	if (strcmp(filter, "auto") != 0) {
		HF_TRY(hf_err_in(hf_words_split(filter, words), "--tar-filter"));
		return words->len > 0 ? NULL
				      : hf_err(HF_EINVAL, "--tar-filter: no program is named");
	}
	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && words->len == 0; i++)
		if (ends_with(path, suffixes[i].suffix))
			hf_strings_add(words, suffixes[i].program);
	return NULL;
}

static struct hf_err *
start_program(struct hf_tar_stream *s, const struct hf_strings *words, int in_fd, int out_fd)
{
	hf_autofree const char **argv = hf_alloc_(words->len + 1, sizeof *argv);

	for (size_t i = 0; i < words->len; i++)
		argv[i] = words->v[i];
	s->program = hf_str_dup(hf_str(words->v[0]));
	return hf_err_in(
		hf_spawn_filter(s->cli, argv, in_fd, out_fd, &s->pid, &s->fd), "--tar-filter");
}

/* A new file beside the one to be, or that itself if it is a pipe, a tape and so on. */
static struct hf_err *
create_file(struct hf_tar_stream *s, int *fd)
{
	struct stat st;

	if (stat(s->path, &st) == 0 && !S_ISREG(st.st_mode)) {
		*fd = open(s->path, O_WRONLY | O_CLOEXEC);
		return *fd < 0 ? hf_err_errno(errno, "%s", s->path) : NULL;
	}
	mode_t mask = umask(0);

	umask(mask);
	if (asprintf(&s->temp, "%s.XXXXXX", s->path) < 0)
		abort();
	*fd = mkostemp(s->temp, O_CLOEXEC);
	if (*fd < 0) {
		free(hf_steal(s->temp));
		return hf_err_errno(errno, "%s", s->path);
	}
	if (fchmod(*fd, 0666 & ~mask) < 0)
		return hf_err_errno(errno, "%s", s->path);
	return NULL;
}

struct hf_err *
hf_tar_stream_create(
	struct hf_cli *cli, const char *path, const char *filter, struct hf_tar_stream *out)
{
	hf_auto(hf_strings) words = {0};
	hf_autofd int fd = -1;
	bool is_stdout = strcmp(path, "-") == 0;

	out->cli = cli;
	out->path = path;
	HF_TRY(find_program(path, filter, &words));
	if (is_stdout && hf_out_is_terminal(cli->out))
		return hf_err(HF_EINVAL, "stdout is the terminal, please redirect output");
	if (!is_stdout)
		HF_TRY(create_file(out, &fd));
	if (words.len > 0)
		return start_program(out, &words, -1, is_stdout ? STDOUT_FILENO : fd);
	out->fd = hf_steal_fd(&fd);
	return NULL;
}

/* When a program does not take what it should, it knows why. */
static struct hf_err *
end_program(struct hf_tar_stream *s)
{
	pid_t pid = s->pid;

	if (s->fd >= 0)
		close(hf_steal_fd(&s->fd));
	s->pid = 0;
	return pid != 0 ? hf_err_in(hf_spawn_wait(pid, s->program), "--tar-filter") : NULL;
}

struct hf_err *
hf_tar_stream_write(void *stream, struct hf_bytes b)
{
	struct hf_tar_stream *s = stream;

	if (s->fd < 0) {
		hf_out_write(s->cli->out, b);
		return hf_stop_check(&s->cli->stop); /* set when nobody reads any more */
	}
	struct hf_err *e = hf_write_full(s->fd, b.p, b.len);

	if (e == NULL || s->pid == 0)
		return hf_err_in(e, "writing %s", s->path);
	struct hf_err *why = end_program(s);

	if (why == NULL)
		return e;
	hf_err_free(e);
	return why;
}

/* Whoever writes into a pipe must not end by a signal because we know already all we want. */
static struct hf_err *
drain(struct hf_tar_stream *s)
{
	char rest[4096];
	struct stat st;
	size_t got = sizeof rest;

	if (fstat(s->fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return NULL;
	while (got == sizeof rest) {
		HF_TRY(hf_stop_check(&s->cli->stop));
		HF_TRY(hf_read_full(s->fd, rest, sizeof rest, &got));
	}
	return NULL;
}

struct hf_err *
hf_tar_stream_finish(struct hf_tar_stream *s)
{
	if (s->is_input && s->fd >= 0)
		HF_TRY(drain(s));
	/* Without a program the file system may still have something to say. */
	if (s->pid == 0 && s->fd >= 0 && close(hf_steal_fd(&s->fd)) < 0)
		return hf_err_errno(errno, "writing %s", s->path);
	HF_TRY(end_program(s));
	if (s->temp != NULL && rename(s->temp, s->path) < 0)
		return hf_err_errno(errno, "%s", s->path);
	free(hf_steal(s->temp));
	return NULL;
}

struct hf_err *
hf_tar_stream_open(
	struct hf_cli *cli, const char *path, const char *filter, struct hf_tar_stream *out)
{
	hf_auto(hf_strings) words = {0};
	hf_autofd int fd = -1;

	out->cli = cli;
	out->path = path;
	out->is_input = true;
	if (strcmp(filter, "auto") != 0)
		HF_TRY(find_program(path, filter, &words));
	fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				    : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return hf_err_errno(errno, "%s", path);
	if (words.len > 0)
		return start_program(out, &words, fd, -1);
	out->fd = hf_steal_fd(&fd);
	return NULL;
}
