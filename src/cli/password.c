/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers that held a password are wiped before they are freed. */
#include "cli/password.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/io.h"
#include "cli/spawn.h"
#include "cli/words.h"

enum { MAX_PASSWORD = 1 << 20, POLL_MS = 200 };

/* A fixed buffer, so that no copy stays behind when it would have grown. */
struct secret_buf {
	struct hf_buf buf;
};

static void
secret_buf_clear(struct secret_buf *s)
{
	if (s->buf.p != NULL)
		explicit_bzero(s->buf.p, s->buf.cap);
	hf_buf_clear(&s->buf);
}

static struct hf_err *
secret_buf_init(struct secret_buf *s)
{
	s->buf = (struct hf_buf)HF_BUF_MAX(MAX_PASSWORD);
	return hf_buf_reserve(&s->buf, MAX_PASSWORD);
}

/*
 * Appends what can be read from `fd` up to its end, or one line without its end. Byte by byte,
 * because what follows the line belongs to somebody else, and so that the wish to stop is seen.
 */
static struct hf_err *
read_bytes(int fd, bool is_line, struct hf_stop *stop, struct hf_buf *out)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		size_t got;
		uint8_t c;

		HF_TRY(hf_stop_check(stop));
		if (poll(&p, 1, POLL_MS) <= 0)
			continue;
		HF_TRY(hf_read_full(fd, &c, 1, &got));
		if (got == 0 || (is_line && c == '\n'))
			return NULL;
		if (out->len == out->max)
			return hf_err(HF_EINVAL, "the password is too long");
		hf_buf_add_char(out, (char)c);
	}
}

/* Sets *out to the trimmed text of `raw`, decoded first if `is_file`. */
static struct hf_err *
take_text(const struct hf_buf *raw, bool is_file, struct hf_secret *out)
{
	__attribute__((cleanup(secret_buf_clear))) struct secret_buf text = {{0}};

	HF_TRY(secret_buf_init(&text));
	if (is_file)
		hf_text_decode(hf_buf_bytes(raw), &text.buf);
	else
		hf_buf_add(&text.buf, raw->p, raw->len);
	HF_TRY(hf_buf_ok(&text.buf));
	hf_secret_set(out, hf_str_bytes(hf_text_trim(hf_bytes_str(hf_buf_bytes(&text.buf)))));
	return NULL;
}

static void
warn_if_readable(struct hf_cli *cli, int fd, const char *path)
{
	struct stat st;

	if (cli->global.is_json || cli->global.is_quiet)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 044) != 0)
		hf_say_err(cli->out,
			"Warning: others can read the password file %s (mode %04o); "
			"chmod 600 protects it",
			path, (unsigned)(st.st_mode & 07777));
}

struct hf_err *
hf_password_file(struct hf_cli *cli, const char *path, struct hf_secret *out)
{
	__attribute__((cleanup(secret_buf_clear))) struct secret_buf raw = {{0}};
	hf_autofd int fd = -1;

	HF_TRY(secret_buf_init(&raw));
	if (strcmp(path, "-") == 0)
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return hf_err(HF_EINVAL, "%s does not exist", path);
	if (fd < 0)
		return hf_err_errno(errno, "%s", path);
	warn_if_readable(cli, fd, path);
	HF_TRY(hf_err_in(read_bytes(fd, false, &cli->stop, &raw.buf), "%s", path));
	return take_text(&raw.buf, true, out);
}

static struct hf_err *
from_fd(struct hf_cli *cli, int64_t number, struct hf_secret *out)
{
	__attribute__((cleanup(secret_buf_clear))) struct secret_buf raw = {{0}};
	hf_autofd int fd = -1;

	if (number > INT32_MAX || fcntl((int)number, F_GETFD) < 0)
		return hf_err(HF_EINVAL, "file descriptor %lld is not open", (long long)number);
	fd = (int)number;
	HF_TRY(secret_buf_init(&raw));
	HF_TRY(hf_err_in(read_bytes(fd, false, &cli->stop, &raw.buf), "file descriptor %lld",
		(long long)number));
	return take_text(&raw.buf, true, out);
}

static struct hf_err *
from_command(struct hf_cli *cli, const char *command, struct hf_secret *out)
{
	__attribute__((cleanup(secret_buf_clear))) struct secret_buf raw = {{0}};
	hf_auto(hf_strings) words = {0};
	hf_autofree const char **argv = NULL;
	hf_autofd int fd = -1;
	hf_autoptr(hf_err) e = NULL;
	pid_t pid;

	HF_TRY(hf_words_split(command, &words));
	argv = hf_alloc_(words.len + 1, sizeof *argv);
	for (size_t i = 0; i < words.len; i++)
		argv[i] = words.v[i];
	HF_TRY(secret_buf_init(&raw));
	HF_TRY(hf_spawn(cli, argv, &pid, &fd));
	e = read_bytes(fd, false, &cli->stop, &raw.buf);
	if (e != NULL)
		kill(pid, SIGTERM);
	hf_autoptr(hf_err) failed = hf_spawn_wait(pid, words.v[0]);

	if (e != NULL)
		return hf_steal(e);
	if (failed != NULL)
		return hf_steal(failed);
	return take_text(&raw.buf, false, out);
}

static struct hf_err *
resolve(struct hf_cli *cli, const struct hf_password_source *s, struct hf_secret *out,
	bool *has)
{
	const struct hf_secret *env;

	*has = true;
	if (s->command != NULL && *s->command != '\0')
		return from_command(cli, s->command, out);
	if (s->file != NULL && *s->file != '\0')
		return hf_password_file(cli, s->file, out);
	if (s->fd >= 0)
		return from_fd(cli, s->fd, out);
	env = hf_env_secret(cli->env, s->env);
	if (env != NULL)
		hf_secret_set(out, (struct hf_bytes){env->p, env->len});
	*has = env != NULL;
	return NULL;
}

struct hf_err *
hf_password_resolve(struct hf_cli *cli, const struct hf_password_source *s,
	struct hf_secret *out, bool *has)
{
	bool has_file = s->file != NULL && *s->file != '\0';
	bool has_command = s->command != NULL && *s->command != '\0';
	hf_auto(hf_secret) secret = {0};

	if (has_file && has_command)
		return hf_err(HF_EINVAL,
			"Resolving password failed: "
			"Password file and command are mutually exclusive options");
	if (s->fd >= 0 && (has_file || has_command))
		return hf_err(HF_EINVAL,
			"Resolving password failed: --password-fd and a password %s "
			"are mutually exclusive options",
			has_file ? "file" : "command");
	HF_TRY(hf_err_in(resolve(cli, s, &secret, has), "Resolving password failed"));
	if (s->is_none && secret.len > 0)
		return hf_err(HF_EINVAL,
			"--insecure-no-password must not be specified together "
			"with providing a password via a cli option or "
			"environment variable");
	/* As in restic: a source that gives nothing counts as none. */
	*has = s->is_none || secret.len > 0;
	hf_secret_set(out, (struct hf_bytes){secret.p, secret.len});
	return NULL;
}

bool
hf_is_interactive(void)
{
	return isatty(STDIN_FILENO);
}

static struct hf_err *
read_line(int fd, struct hf_stop *stop, struct hf_buf *out)
{
	HF_TRY(hf_err_in(read_bytes(fd, true, stop, out), "unable to read password"));
	if (out->len > 0 && out->p[out->len - 1] == '\r')
		out->len--;
	return NULL;
}

/* What is typed is shown only with `is_shown`. */
static struct hf_err *
ask_terminal(struct hf_cli *cli, const char *prompt, bool is_shown, struct hf_buf *out)
{
	hf_autofd int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	struct termios before, hidden;
	struct hf_err *e;

	if (fd < 0)
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || tcgetattr(fd, &before) < 0)
		return hf_err_errno(errno, "unable to read password");
	hidden = before;
	if (!is_shown)
		hidden.c_lflag &= ~(tcflag_t)ECHO;
	hidden.c_lflag |= ICANON | ISIG;
	tcsetattr(fd, TCSAFLUSH, &hidden);
	hf_err_free(hf_write_full(fd, prompt, strlen(prompt)));
	e = read_line(fd, &cli->stop, out);
	tcsetattr(fd, TCSAFLUSH, &before);
	if (!is_shown)
		hf_err_free(hf_write_full(fd, "\n", 1));
	return e;
}

struct hf_err *
hf_ask(struct hf_cli *cli, const char *question, struct hf_buf *answer)
{
	HF_TRY(hf_out_flush(cli->out));
	return ask_terminal(cli, question, true, answer);
}

static struct hf_err *
ask(struct hf_cli *cli, const char *prompt, struct hf_secret *out)
{
	__attribute__((cleanup(secret_buf_clear))) struct secret_buf line = {{0}};

	HF_TRY(secret_buf_init(&line));
	HF_TRY(hf_out_flush(cli->out));
	if (hf_is_interactive()) {
		HF_TRY(ask_terminal(cli, prompt, false, &line.buf));
	} else {
		if (hf_out_is_terminal(cli->out) && !cli->global.is_json)
			hf_say_err(cli->out, "reading repository password from stdin");
		HF_TRY(read_line(STDIN_FILENO, &cli->stop, &line.buf));
	}
	hf_secret_set(out, hf_buf_bytes(&line.buf));
	return NULL;
}

struct hf_err *
hf_password_ask(struct hf_cli *cli, const char *prompt, struct hf_secret *out)
{
	HF_TRY(ask(cli, prompt, out));
	if (out->len == 0)
		return hf_err(HF_EINVAL,
			"an empty password is not allowed by default. Pass the flag "
			"`--insecure-no-password` to %s to disable this check",
			cli->program);
	return NULL;
}

struct hf_err *
hf_password_ask_new(struct hf_cli *cli, const char *prompt, struct hf_secret *out)
{
	hf_auto(hf_secret) again = {0};

	HF_TRY(hf_password_ask(cli, prompt, out));
	if (!hf_is_interactive())
		return NULL;
	HF_TRY(ask(cli, "enter password again: ", &again));
	if (again.len != out->len || memcmp(again.p, out->p, out->len) != 0)
		return hf_err(HF_EINVAL, "passwords do not match");
	return NULL;
}
