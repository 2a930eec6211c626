/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock hold: keeps a lock for somebody else, a script for example, until he closes a descriptor or
 * ends. It can tell that the lock is lost, but stops nobody; where that matters there is with-lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/io.h"
#include "cli/commands.h"
#include "cli/fail.h"
#include "cli/lease_log.h"
#include "cli/lease_opts.h"
#include "cli/place.h"

enum { POLL_MS = 200 };

enum on_lost { ON_LOST_EXIT, ON_LOST_IGNORE };

struct hold_options {
	bool is_shared, is_background;
	int64_t fd, pid;
	unsigned on_lost;
	char *note;
};

#define T struct hold_options
static const struct hf_opt options[] = {
	{"shared", 0, HF_OPT_FLAG(T, is_shared),
		.help = "take a shared lock: what is done under it only adds to the "
			"repository, "
			"or reads it"},
	{"until-fd", 0, HF_OPT_INT(T, fd), .arg = "number", .def = "-1",
		.help = "open file descriptor; the lock is given back at its end"},
	{"until-pid", 0, HF_OPT_INT(T, pid), .arg = "number",
		.help = "process; the lock is given back when it ends"},
	{"background", 0, HF_OPT_FLAG(T, is_background),
		.help = "return as soon as the lock is held, and go on in the background"},
	{"on-lost", 0, HF_OPT_WORD(T, on_lost), .arg = "what", .words = "exit|ignore",
		.def = "exit",
		.help = "what to do when the lock is lost: end at once, or say so in the end; "
			"the "
			"exit code is 13 in both cases"},
	{"note", 0, HF_OPT_STRING(T, note), .arg = "text",
		.help = "text that others see beside the lock"},
};
#undef T

struct hold {
	struct hf_cli *cli;
	const struct hold_options *o;
	int until;  /* the descriptor, or a pidfd; borrowed if it is the user's */
	int parent; /* pipe to the process that waits for the lock in the foreground; -1 */
	int pidfd;  /* the same, if it is one; -1 */
	char reason[32];
};

/* What is told when the lock is held. */
struct news {
	struct hf_id id;
	char holder[HF_HOLDER_HEX + 1];
	pid_t pid;
};

static void
print_news(struct hf_cli *cli, const struct news *n, bool with_pid)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	struct hf_jout o = {.buf = &json};

	if (!cli->global.is_json) {
		if (with_pid)
			hf_say(cli->out, HF_SAY_DATA, "held %s %d", hf_id_hex(&n->id).s,
				(int)n->pid);
		else
			hf_say(cli->out, HF_SAY_DATA, "held %s", hf_id_hex(&n->id).s);
		return;
	}
	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "held");
	hf_jout_key(&o, "id");
	hf_jout_id(&o, &n->id);
	hf_jout_field_str(&o, "holder", n->holder);
	hf_jout_key(&o, "pid");
	hf_jout_i64(&o, n->pid);
	hf_jout_object_end(&o);
	hf_out_json(cli->out, &json);
}

static void
on_event(void *arg, const struct hf_lease_event *ev)
{
	struct hold *h = arg;

	if (ev->kind == HF_LEASE_EV_LOST && ev->reason != NULL)
		snprintf(h->reason, sizeof h->reason, "%s", ev->reason);
	if (ev->kind == HF_LEASE_EV_FENCED && h->cli->global.log_format == HF_LOG_NONE)
		hf_say_err(h->cli->out,
			"Warning: the lock could not be refreshed in time; nothing should be "
			"changed until it is certain again");
	else
		hf_lease_log(h->cli, ev);
}

/* Out of the way of the terminal and of whoever reads our output. */
static void
detach(struct hold *h)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		if (fd != h->until)
			dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	close(h->parent);
	h->parent = -1;
}

static struct hf_err *
tell(struct hold *h, struct hf_lease *lease)
{
	struct news n = {.pid = getpid()};
	const struct hf_lease_page *page = hf_lease_page(lease);

	snprintf(n.holder, sizeof n.holder, "%s", hf_lease_holder(lease));
	if (!hf_lease_page_id(page, &n.id))
		return hf_err(HF_ELOST, "the lock was lost at once");
	if (h->parent < 0) {
		print_news(h->cli, &n, false);
		return hf_out_flush(h->cli->out);
	}
	HF_TRY(hf_write_full(h->parent, &n, sizeof n));
	detach(h);
	return NULL;
}

/* True at the end of what is waited for. */
static bool
has_come(const struct hold *h)
{
	struct pollfd p = {.fd = h->until, .events = POLLIN};
	size_t got;
	char byte;

	if (poll(&p, 1, POLL_MS) <= 0)
		return false;
	if (h->pidfd >= 0 || (p.revents & POLLIN) == 0)
		return true;
	/* What is written there says nothing to us. */
	hf_autoptr(hf_err) e = hf_read_full(h->until, &byte, 1, &got);
	return e != NULL || got == 0;
}

static struct hf_err *
wait_for_it(struct hold *h, struct hf_lease *lease)
{
	while (!has_come(h)) {
		HF_TRY(hf_stop_check(&h->cli->stop));
		if (h->o->on_lost == ON_LOST_EXIT)
			HF_TRY(hf_lease_check(lease));
	}
	/* Whether there was a lock to the end. */
	struct hf_err *e = hf_lease_verify(lease);

	return e != NULL && hf_err_code(e) == HF_ELOST ? e : (hf_err_free(e), NULL);
}

static struct hf_err *
hold(struct hold *h)
{
	hf_auto(hf_lease_setup) setup = {0};
	hf_autoptr(hf_repo) repo = NULL;
	struct hf_place place = hf_place_main(h->cli);
	struct hf_lease *lease;
	struct hf_err *e, *not_released;

	HF_TRY(hf_signals_new(&h->cli->stop, &h->cli->signals));
	HF_TRY(hf_place_open(h->cli, &place, &repo));
	HF_TRY(hf_lease_setup(h->cli, repo, &setup));
	setup.options.mode = h->o->is_shared ? HF_LOCK_SHARED : HF_LOCK_EXCLUSIVE;
	setup.options.note = h->o->note;
	setup.options.on_event = on_event;
	setup.options.arg = h;
	HF_TRY(hf_lease_acquire(repo, &setup.options, &lease));
	e = tell(h, lease);
	if (e == NULL)
		e = wait_for_it(h, lease);
	not_released = hf_lease_release(lease);
	if (e == NULL)
		e = hf_steal(not_released);
	hf_err_free(not_released);
	if (e == NULL || hf_err_code(e) != HF_ELOST)
		return e;
	return hf_err_in(e, "the lock was lost (%s)", *h->reason != '\0' ? h->reason : "late");
}

/* Waits for the other process to have the lock, or to fail, which it has told by itself. */
static struct hf_err *
hear_from(struct hf_cli *cli, pid_t pid, int fd)
{
	struct news n;
	size_t got;
	int status;

	HF_TRY(hf_read_full(fd, &n, sizeof n, &got));
	if (got == sizeof n) {
		print_news(cli, &n, true);
		return NULL;
	}
	if (waitpid(pid, &status, 0) < 0)
		return hf_err_errno(errno, "waitpid");
	if (WIFEXITED(status))
		cli->exit_code = WEXITSTATUS(status);
	else
		cli->exit_signal = WTERMSIG(status);
	return NULL;
}

static struct hf_err *
run_in_background(struct hold *h)
{
	hf_autofd int read_end = -1, write_end = -1;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return hf_err_errno(errno, "pipe");
	read_end = fds[0];
	write_end = fds[1];
	HF_TRY(hf_out_flush(h->cli->out));
	pid = fork();
	if (pid < 0)
		return hf_err_errno(errno, "fork");
	if (pid > 0) {
		close(hf_steal_fd(&write_end));
		return hear_from(h->cli, pid, read_end);
	}
	close(hf_steal_fd(&read_end));
	h->parent = hf_steal_fd(&write_end);
	h->cli->shows_rc = false; /* the other one says it */
	return hold(h);
}

static struct hf_err *
find_end(const struct hold_options *o, struct hold *h)
{
	if ((o->fd >= 0) == (o->pid > 0))
		return hf_err(HF_EINVAL, "one of --until-fd and --until-pid must be given");
	if (o->fd >= 0) {
		if (o->fd > INT32_MAX || fcntl((int)o->fd, F_GETFD) < 0)
			return hf_err(HF_EINVAL, "file descriptor %lld is not open",
				(long long)o->fd);
		h->until = (int)o->fd;
		return NULL;
	}
	h->until = h->pidfd =
		o->pid > INT32_MAX ? -1 : (int)syscall(SYS_pidfd_open, (pid_t)o->pid, 0);
	return h->pidfd < 0 ? hf_err(HF_EINVAL, "there is no process %lld", (long long)o->pid)
			    : NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct hold_options *o = opts;
	struct hold h = {.cli = cli, .o = o, .until = -1, .parent = -1, .pidfd = -1};

	if (args->len != 0)
		return hf_err(HF_EINVAL, "lock hold takes no arguments");
	if (cli->global.no_lock)
		return hf_err(HF_EINVAL, "lock hold does not go together with --no-lock");
	HF_TRY(find_end(o, &h));
	struct hf_err *e = o->is_background ? run_in_background(&h) : hold(&h);

	if (h.pidfd >= 0)
		close(h.pidfd);
	return e;
}

const struct hf_command hf_cmd_lock_hold = {
	.name = "lock hold",
	.usage = "[flags] --until-fd number|--until-pid number",
	.summary = "Hold a lock on the repository for a script",
	.text = "Takes a lock on the repository and prints one line, \"held\" and the ID of "
		"the\n"
		"lock, when it has it. The lock is given back when the file descriptor comes "
		"to\n"
		"its end (the other end of a pipe is closed) or the process ends.\n"
		"\n"
		"The exit code is 11 if the lock could not be had, 13 if it was lost.",
	HF_COMMAND_OPTS(options, struct hold_options),
	.is_single = true,
	.run = run,
};
