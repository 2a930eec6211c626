/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/rclone.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include "base/io.h"
#include "base/words.h"
#include "net/child.h"
#include "store/rest_i.h"
#include "store/web_i.h"

enum {
	TIMEOUT_S = 60,
	GRACE_MS = 5000, /* to end by itself */
	LINE = 1000,     /* bytes of a line on standard error; what is longer is cut */
};

/* The running program, and the thread that reads its standard error. */
struct rclone {
	struct hf_child child;
	char *program; /* its first word */
	int bell;      /* tells the thread to end */
	pthread_t thread;
	bool has_thread;
	void (*say)(void *arg, const char *line);
	void *say_arg;
	char line[LINE];
	size_t len;
};

/* ---- standard error ---- */

static void
say_line(struct rclone *r)
{
	hf_autofree char *text = NULL;

	if (r->len > 0 && r->say != NULL) {
		if (asprintf(&text, "rclone: %.*s", (int)r->len, r->line) < 0)
			abort();
		r->say(r->say_arg, text);
	}
	r->len = 0;
}

/* False: its end. */
static bool
hear(struct rclone *r)
{
	char b[4096];
	size_t n;
	struct pollfd p = {.fd = r->child.err, .events = POLLIN};

	if (poll(&p, 1, 0) != 1)
		return true;
	ssize_t got = TEMP_FAILURE_RETRY(readv(r->child.err, &(struct iovec){b, sizeof b}, 1));
	if (got <= 0)
		return false;
	n = (size_t)got;
	for (size_t i = 0; i < n; i++) {
		if (b[i] == '\n')
			say_line(r);
		else if (r->len < LINE && b[i] != '\r')
			r->line[r->len++] = b[i];
	}
	return true;
}

static void *
listen_to(void *arg)
{
	struct rclone *r = arg;
	struct pollfd p[2] = {
		{.fd = r->child.err, .events = POLLIN}, {.fd = r->bell, .events = POLLIN}};

	do
		(void)poll(p, 2, -1);
	while (hear(r) && p[1].revents == 0);
	say_line(r);
	return NULL;
}

/* ---- beginning and end ---- */

static void
rclone_end(void *arg)
{
	struct rclone *r = arg;

	hf_child_hang_up(&r->child);
	if (r->has_thread) {
		hf_child_peek(&r->child, GRACE_MS);
		(void)eventfd_write(r->bell, 1);
		pthread_join(r->thread, NULL);
	}
	hf_child_end(&r->child, 0);
	if (r->bell >= 0)
		close(r->bell);
	free(r->program);
	free(r);
}

static struct hf_err *
make_command(const struct hf_open *o, const char *place, struct hf_strings *out)
{
	const char *program = "rclone", *args = "serve restic --stdio --b2-hard-delete";
	hf_auto(hf_strings) more = {0};

	if (*place == '\0' || *place == '-')
		return hf_err(HF_EINVAL, "the name of the repository is not of the form "
					 "rclone:remote:path");
	hf_option_string(o, "rclone.program", &program);
	hf_option_string(o, "rclone.args", &args);
	HF_TRY(hf_err_in(hf_words_split(program, out), "option rclone.program"));
	HF_TRY(hf_err_in(hf_words_split(args, &more), "option rclone.args"));
	for (size_t i = 0; i < more.len; i++)
		hf_strings_add(out, more.v[i]);
	hf_strings_add(out, place);
	return NULL;
}

static struct hf_err *
start(struct rclone *r, const struct hf_strings *command)
{
	hf_autofree const char **argv = hf_alloc_(command->len + 1, sizeof *argv);

	for (size_t i = 0; i < command->len; i++)
		argv[i] = command->v[i];
	r->program = hf_str_dup(hf_str(argv[0]));
	r->bell = eventfd(0, EFD_CLOEXEC);
	if (r->bell < 0)
		return hf_err_errno(errno, "eventfd");
	struct hf_err *e = hf_child_start(argv, HF_CHILD_MAY_ASK, &r->child);
	if (e != NULL) {
		hf_autoptr(hf_err) cause = e;

		return hf_err(HF_EFATAL, "%s (option rclone.program names the program)",
			hf_err_text(cause));
	}
	int en = pthread_create(&r->thread, NULL, listen_to, r);
	r->has_thread = en == 0;
	return en != 0 ? hf_err_errno(en, "starting a thread") : NULL;
}

/* restic's first request: any answer shows that the server is there. */
static struct hf_err *
knock(struct rclone *r, struct hf_http *http, double timeout_s)
{
	static const char *const accept[] = {"Accept: application/vnd.x.restic.rest.v2"};
	hf_auto(hf_http_answer) a = {0};
	char url[64];
	uint64_t number;

	hf_random(&number, sizeof number);
	snprintf(url, sizeof url, "http://localhost/file-%ju", (uintmax_t)number);
	struct hf_err *e = hf_http_do(http,
		&(struct hf_http_request){.method = "GET",
			.url = url,
			.headers = accept,
			.n_headers = 1,
			.deadline_s = timeout_s},
		&a);
	if (e == NULL || hf_err_code(e) == HF_ECANCELED)
		return e;
	hf_autoptr(hf_err) cause = e;
	int status = hf_child_peek(&r->child, hf_http_is_dead(http) ? 1000 : 0);
	if (status >= 0)
		return hf_err(HF_EFATAL,
			"%s ended (%s) instead of serving; what it said is above", r->program,
			hf_child_status_text(status).s);
	return hf_err(HF_EFATAL, "%s does not answer: %s", r->program, hf_err_text(cause));
}

static struct hf_err *
connect_to(struct rclone *r, const struct hf_open *o, struct hf_http **http)
{
	struct hf_http_options options = web_options(o);
	double timeout_s = TIMEOUT_S;

	HF_TRY(hf_option_seconds(o, "rclone.timeout", &timeout_s));
	options.socket = fcntl(r->child.talk, F_DUPFD_CLOEXEC, 3);
	if (options.socket < 0)
		return hf_err_errno(errno, "dup");
	HF_TRY(hf_http_new(&options, http));
	struct hf_err *e = knock(r, *http, timeout_s);
	if (e != NULL)
		hf_http_free(*http);
	else
		hf_child_settle(&r->child);
	return e;
}

static struct hf_err *
rclone_open(
	const char *place, const struct hf_open *o, unsigned connections, struct hf_store **out)
{
	hf_auto(hf_strings) command = {0};
	hf_autofree char *url = NULL, *shown = NULL;
	struct hf_http *http = NULL;

	HF_TRY(make_command(o, place, &command));
	struct rclone *r = hf_new(struct rclone);
	r->child = (struct hf_child){.pidfd = -1, .talk = -1, .err = -1, .terminal = -1};
	r->bell = -1;
	r->say = o->say;
	r->say_arg = o->say_arg;
	struct hf_err *e = start(r, &command);
	if (e == NULL)
		e = connect_to(r, o, &http);
	if (e != NULL) {
		rclone_end(r);
		return e;
	}
	if (asprintf(&url, "rclone:%s", place) < 0)
		abort();
	shown = hf_place_shown(url);
	*out = rest_new(&(struct rest_place){.http = http,
		.base = "http://localhost/",
		.url = shown,
		.connections = connections,
		.closed = rclone_end,
		.arg = r});
	return NULL;
}

const struct hf_backend hf_backend_rclone = {
	.scheme = "rclone",
	.options =
		(const struct hf_backend_option[]){
			{"args", "arguments for running rclone (default: serve restic --stdio "
				 "--b2-hard-delete)"},
			{"program", "path to rclone (default: rclone)"},
			{"timeout", "set a timeout limit to wait for rclone to establish a "
				    "connection (default: 1m)"},
			{NULL}},
	.connections = 5,
	.paces = true,
	.open = rclone_open,
};
