/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One lock over everything. Status lines stay below the cursor: it always waits in the first
 * column of the first of them, so that whatever is printed next overwrites them after they have
 * been cleared.
 */
#include "cli/out.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/io.h"
#include "cli/format.h"

enum { OUT_BUFFER = 64 << 10, MAX_LINE = 16 << 20, MAX_STATUS = 64 << 10 };

struct hf_out {
	int out_fd, err_fd;
	bool is_terminal, has_status, is_err_terminal;
	unsigned verbosity;
	bool is_json;
	bool is_clean;        /* standard output carries data only */
	struct hf_stop *stop; /* borrowed */

	pthread_mutex_t lock; /* guards what follows */
	struct hf_buf pending;
	int error; /* errno value of the first failed write to out_fd */
	struct hf_buf status;
	size_t shown; /* status lines on the screen */
};

/* A terminal that moves its cursor. */
static bool
can_move_cursor(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term != NULL && *term != '\0' && strcmp(term, "dumb") != 0;
}

struct hf_out *
hf_out_new(int out_fd, int err_fd, struct hf_stop *stop)
{
	struct hf_out *o = hf_new(struct hf_out);

	o->out_fd = out_fd;
	o->err_fd = err_fd;
	o->is_terminal = isatty(out_fd);
	o->is_err_terminal = isatty(err_fd);
	o->has_status = can_move_cursor(err_fd);
	o->verbosity = 1;
	o->stop = stop;
	pthread_mutex_init(&o->lock, NULL);
	o->pending.max = MAX_LINE;
	o->status.max = MAX_STATUS;
	return o;
}

void
hf_out_free(struct hf_out *o)
{
	if (o == NULL)
		return;
	hf_buf_clear(&o->pending);
	hf_buf_clear(&o->status);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

void
hf_out_set_level(struct hf_out *o, unsigned verbosity, bool is_json)
{
	o->verbosity = verbosity;
	o->is_json = is_json;
}

void
hf_out_keep_clean(struct hf_out *o)
{
	o->is_clean = true;
}

void
hf_out_speak(struct hf_out *o)
{
	o->is_json = false;
}

unsigned
hf_out_level(const struct hf_out *o)
{
	return o->verbosity;
}

bool
hf_out_is_json(const struct hf_out *o)
{
	return o->is_json;
}

bool
hf_out_is_terminal(const struct hf_out *o)
{
	return o->is_terminal;
}

bool
hf_out_has_status(const struct hf_out *o)
{
	return o->has_status;
}

bool
hf_out_says(const struct hf_out *o, enum hf_say level)
{
	unsigned least = level == HF_SAY_VERBOSE ? 2 : level == HF_SAY_DEBUG ? 3 : 1;

	if (level == HF_SAY_DATA)
		return true;
	if (o->is_json || (level == HF_SAY_TERMINAL && !o->is_terminal))
		return false;
	return o->verbosity >= least;
}

/* Writing to the terminal from the background would stop the process. */
static bool
is_background(const struct hf_out *o)
{
	pid_t group = tcgetpgrp(o->err_fd);

	return group > 0 && group != getpgrp();
}

static void
write_err(struct hf_out *o, struct hf_str s)
{
	/* There is nobody left to be told when this fails. */
	hf_err_free(hf_write_full(o->err_fd, s.p, s.len));
}

static void
hide_status(struct hf_out *o)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(4096);

	if (o->shown == 0)
		return;
	for (size_t i = 0; i < o->shown; i++)
		hf_buf_add_str(&b, i == 0 ? "\r\033[K" : "\n\033[K");
	if (o->shown > 1)
		hf_buf_addf(&b, "\033[%zuA", o->shown - 1);
	hf_buf_add_char(&b, '\r');
	if (!is_background(o))
		write_err(o, hf_bytes_str(hf_buf_bytes(&b)));
	o->shown = 0;
}

static void
show_status(struct hf_out *o)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(2 * MAX_STATUS);
	struct hf_str rest = {(const char *)o->status.p, o->status.len};
	struct winsize ws = {0};
	size_t columns = 80, rows = 24, lines = 0;

	if (rest.len == 0 || is_background(o))
		return;
	if (ioctl(o->err_fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0) {
		columns = ws.ws_col;
		rows = ws.ws_row > 1 ? ws.ws_row : 2;
	}
	/* One line of the screen stays free, so that it never scrolls. */
	while (rest.len > 0 && lines + 1 < rows) {
		const char *end = memchr(rest.p, '\n', rest.len);
		size_t len = end != NULL ? (size_t)(end - rest.p) : rest.len;

		hf_buf_add_str(&b, lines == 0 ? "\r\033[K" : "\n\033[K");
		hf_buf_add(&b, rest.p,
			hf_format_fit(
				(struct hf_str){rest.p, len}, columns > 2 ? columns - 2 : 1));
		lines++;
		rest.p += len + (end != NULL);
		rest.len -= len + (end != NULL);
	}
	if (lines > 1)
		hf_buf_addf(&b, "\033[%zuA", lines - 1);
	hf_buf_add_char(&b, '\r');
	write_err(o, hf_bytes_str(hf_buf_bytes(&b)));
	o->shown = lines;
}

/* The first failure is kept, and nothing is written after it. */
static void
write_out(struct hf_out *o, struct hf_bytes b)
{
	if (b.len == 0 || o->error != 0)
		return;
	errno = 0;
	hf_autoptr(hf_err) e = hf_write_full(o->out_fd, b.p, b.len);

	if (e != NULL) {
		o->error = errno != 0 ? errno : EIO;
		if (o->stop != NULL)
			hf_stop_set(o->stop);
	}
}

/* Returns with nothing pending, whether it could be written or not. */
static void
flush(struct hf_out *o)
{
	write_out(o, hf_buf_bytes(&o->pending));
	hf_buf_reset(&o->pending);
}

/* Writes out what is pending, around the status lines if both share a terminal. */
static void
flush_around_status(struct hf_out *o)
{
	bool was_shown = o->is_terminal && o->shown > 0;

	if (was_shown)
		hide_status(o);
	flush(o);
	if (was_shown)
		show_status(o);
}

/* Adds a line to standard output; `now` when a reader may be waiting for it. */
static void
put_line(struct hf_out *o, struct hf_str s, bool now)
{
	if (o->error != 0)
		return;
	if (o->pending.len + s.len + 1 > OUT_BUFFER)
		flush_around_status(o);
	if (o->is_terminal)
		hf_format_safe(&o->pending, s);
	else
		hf_buf_add(&o->pending, s.p, s.len);
	if (s.len == 0 || s.p[s.len - 1] != '\n')
		hf_buf_add_char(&o->pending, '\n');
	if (now || o->is_terminal)
		flush_around_status(o);
}

static void
put_err(struct hf_out *o, struct hf_str s)
{
	hf_auto(hf_buf) line = HF_BUF_MAX(MAX_LINE);
	bool was_shown = o->shown > 0;

	if (o->is_err_terminal)
		hf_format_safe(&line, s);
	else
		hf_buf_add(&line, s.p, s.len);
	if (s.len == 0 || s.p[s.len - 1] != '\n')
		hf_buf_add_char(&line, '\n');
	hide_status(o);
	flush(o); /* what was printed before comes first also where both go to one place */
	write_err(o, hf_bytes_str(hf_buf_bytes(&line)));
	if (was_shown)
		show_status(o);
}

__attribute__((format(printf, 4, 0))) static void
say(struct hf_out *o, bool is_err, bool now, const char *fmt, va_list ap)
{
	char *text = NULL;
	int n = vasprintf(&text, fmt, ap);

	if (n < 0)
		return;
	pthread_mutex_lock(&o->lock);
	if (is_err)
		put_err(o, (struct hf_str){text, (size_t)n});
	else
		put_line(o, (struct hf_str){text, (size_t)n}, now);
	pthread_mutex_unlock(&o->lock);
	free(text);
}

void
hf_say(struct hf_out *o, enum hf_say level, const char *fmt, ...)
{
	va_list ap;

	if (!hf_out_says(o, level))
		return;
	va_start(ap, fmt);
	say(o, level != HF_SAY_DATA && o->is_clean, level != HF_SAY_DATA, fmt, ap);
	va_end(ap);
}

void
hf_say_err(struct hf_out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(o, true, true, fmt, ap);
	va_end(ap);
}

void
hf_out_write(struct hf_out *o, struct hf_bytes b)
{
	pthread_mutex_lock(&o->lock);
	if (o->pending.len + b.len > OUT_BUFFER)
		flush_around_status(o);
	if (b.len <= OUT_BUFFER)
		hf_buf_add(&o->pending, b.p, b.len);
	else
		write_out(o, b);
	pthread_mutex_unlock(&o->lock);
}

void
hf_out_json(struct hf_out *o, const struct hf_buf *json)
{
	pthread_mutex_lock(&o->lock);
	put_line(o, hf_bytes_str(hf_buf_bytes(json)), true);
	pthread_mutex_unlock(&o->lock);
}

void
hf_err_json(struct hf_out *o, const struct hf_buf *json)
{
	pthread_mutex_lock(&o->lock);
	put_err(o, hf_bytes_str(hf_buf_bytes(json)));
	pthread_mutex_unlock(&o->lock);
}

void
hf_out_status(struct hf_out *o, struct hf_str text)
{
	if (!o->has_status)
		return;
	pthread_mutex_lock(&o->lock);
	hf_buf_reset(&o->status);
	hf_buf_add(&o->status, text.p, text.len);
	if (o->is_terminal)
		flush(o);
	hide_status(o);
	show_status(o);
	pthread_mutex_unlock(&o->lock);
}

struct hf_err *
hf_out_flush(struct hf_out *o)
{
	int error;

	pthread_mutex_lock(&o->lock);
	flush(o);
	error = o->error;
	pthread_mutex_unlock(&o->lock);
	return error != 0 ? hf_err_errno(error, "writing standard output") : NULL;
}

int
hf_out_errno(struct hf_out *o)
{
	int error;

	pthread_mutex_lock(&o->lock);
	error = o->error;
	pthread_mutex_unlock(&o->lock);
	return error;
}
