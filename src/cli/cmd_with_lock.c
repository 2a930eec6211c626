/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * with-lock: runs a command while the repository is locked. What happens between the three
 * processes stands in front.h and keeper.h; here are the options, the password, and the page that
 * they share.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "cli/commands.h"
#include "cli/fail.h"
#include "cli/front.h"

enum { TRIES = 3 };

struct with_lock_options {
	bool is_shared, lease_fd;
	unsigned on_lost, descendants;
	double grace_s, stop_timeout_s;
	char *note;
};

#define T struct with_lock_options
static const struct hf_opt options[] = {
	{"shared", 0, HF_OPT_FLAG(T, is_shared),
		.help = "take a shared lock: the command only adds to the repository, or reads "
			"it"},
	{"on-lost", 0, HF_OPT_WORD(T, on_lost), .arg = "what", .words = "stop|term|ignore",
		.def = "stop",
		.help = "what to do with the command when the lock cannot be refreshed in "
			"time: "
			"stop it until it is certain again, terminate it, or nothing"},
	{"grace", 0, HF_OPT_SECONDS(T, grace_s), .arg = "duration", .def = "60s",
		.help = "time from terminating the command to killing it"},
	{"stop-timeout", 0, HF_OPT_SECONDS(T, stop_timeout_s), .arg = "duration", .def = "1h",
		.help = "time after which a command that was stopped is terminated"},
	{"descendants", 0, HF_OPT_WORD(T, descendants), .arg = "what",
		.words = "wait|warn|kill", .def = "wait",
		.help = "what to do about processes that the command leaves behind: wait for "
			"them, warn and give the lock back after ten seconds, or end them"},
	{"note", 0, HF_OPT_STRING(T, note), .arg = "text",
		.help = "text that others see beside the lock"},
	{"lease-fd", 0, HF_OPT_FLAG(T, lease_fd),
		.help = "let the command look at the lease: HOLDFAST_LEASE_FD names the "
			"descriptor"},
};
#undef T

/* Everything for one run, given back in the end. */
struct run {
	struct hf_keep *keep;
	int lease_fd, front_fd;
	struct hf_secret password;
	char *location;
};

static void
run_clear(struct run *r)
{
	hf_secret_clear(&r->password);
	free(r->location);
	if (r->keep != NULL)
		munmap(r->keep, sizeof *r->keep);
	if (r->lease_fd >= 0)
		close(r->lease_fd);
	if (r->front_fd >= 0)
		close(r->front_fd);
}

/* The page; the command may have it too, to read. */
static struct hf_err *
make_page(struct run *r, bool for_command)
{
	int flags = for_command ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
	hf_autofd int fd = -1;
	char path[64];
	void *p;

	if (for_command) {
		fd = memfd_create("holdfast-lease", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, sizeof *r->keep) < 0)
			return hf_err_errno(errno, "memory for the lease");
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		r->lease_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (r->lease_fd < 0)
			return hf_err_errno(errno, "%s", path);
	}
	p = mmap(NULL, sizeof *r->keep, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (p == MAP_FAILED)
		return hf_err_errno(errno, "memory for the lease");
	r->keep = p;
	return NULL;
}

/* Set by the handler while a password is asked for. */
static struct hf_stop *asking;

static void
on_interrupt(int sig)
{
	(void)sig;
	hf_stop_set(asking);
}

/* A password may be typed or come from a command: Ctrl-C gives the terminal back as it was. */
static struct hf_err *
find_password(struct hf_cli *cli, const struct hf_place *place, bool asks,
	struct hf_secret *out, bool *has)
{
	static const int signals[] = {SIGINT, SIGTERM};
	struct sigaction old[2], handle = {.sa_handler = on_interrupt};
	struct hf_err *e;

	asking = &cli->stop;
	for (size_t i = 0; i < 2; i++) {
		sigaction(signals[i], NULL, &old[i]);
		if (old[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &handle, NULL);
	}
	*has = true;
	e = asks ? hf_password_ask(cli, place->prompt, out)
		 : hf_password_resolve(cli, &place->password, out, has);
	for (size_t i = 0; i < 2; i++)
		sigaction(signals[i], &old[i], NULL);
	return e;
}

/* One attempt, with the signals taken for as long as it lasts. */
static struct hf_err *
run_once(struct hf_keeper_job *job, struct hf_front_options *front, bool only_look)
{
	struct hf_job_signals before;
	sigset_t taken;
	struct hf_err *e;

	memset((void *)job->keep, 0, sizeof *job->keep);
	hf_job_take_signals(&before, &taken);
	front->signals = &before;
	front->taken = &taken;
	e = only_look ? hf_front_look(job, front) : hf_front_run(job, front);
	hf_job_restore_signals(&before);
	return e;
}

static struct hf_err *
run_and_ask(struct hf_cli *cli, struct hf_keeper_job *job, struct hf_front_options *front,
	struct hf_secret *password)
{
	unsigned tries = hf_is_interactive() ? TRIES : 1;
	struct hf_err *e;
	bool has;

	HF_TRY(find_password(cli, job->place, false, password, &has));
	job->password = password;
	if (has)
		return run_once(job, front, false);
	job->password = NULL;
	HF_TRY(run_once(job, front, true)); /* nobody types a password for nothing */
	if (cli->exit_signal != 0)
		return NULL;
	job->password = password;
	for (;;) {
		cli->exit_code = 0;
		e = find_password(cli, job->place, true, password, &has);
		if (e == NULL)
			e = run_once(job, front, false);
		if (e == NULL || --tries == 0 ||
			(hf_err_code(e) != HF_EAUTH && hf_err_code(e) != HF_EINVAL))
			return e;
		hf_say_err(cli->out, "%s. Try again", hf_err_text(e));
		hf_err_free(e);
	}
}

/* argv as execvp() wants it. The strings are those of the command line. */
static char **
copy_words(const struct hf_args *args)
{
	char **words = hf_alloc_(args->len + 1, sizeof *words);

	memcpy(words, args->v, args->len * sizeof *words);
	return words;
}

static struct hf_err *
prepare(struct hf_cli *cli, const struct with_lock_options *o, const struct hf_place *place,
	struct hf_keeper_job *job, struct run *r)
{
	struct hf_lock_options lock;

	HF_TRY(hf_lock_options(cli, &lock));
	HF_TRY(hf_place_location(place, &r->location));
	cli->exit_code = HF_EXIT_INTERNAL;
	HF_TRY(make_page(r, o->lease_fd));
	r->front_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (r->front_fd < 0)
		return hf_err_errno(errno, "pidfd_open");
	cli->exit_code = 0;
	*job = (struct hf_keeper_job){
		.cli = cli,
		.place = place,
		.location = r->location,
		.mode = o->is_shared ? HF_LOCK_SHARED : HF_LOCK_EXCLUSIVE,
		.note = o->note,
		.on_lost = (enum hf_on_lost)o->on_lost,
		.grace_s = o->grace_s,
		.stop_timeout_s = o->stop_timeout_s,
		.scale = lock.scale,
		.keep = r->keep,
		.front_fd = r->front_fd,
	};
	/* What the user says is meant; what he does not say is a time of the lease. */
	if (!hf_opt_is_given(&cli->own_opts, "grace"))
		job->grace_s *= lock.scale;
	if (!hf_opt_is_given(&cli->own_opts, "stop-timeout"))
		job->stop_timeout_s *= lock.scale;
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct with_lock_options *o = opts;
	hf_auto(run) r = {.lease_fd = -1, .front_fd = -1};
	struct hf_place place = hf_place_main(cli);
	hf_autofree char **words = copy_words(args);
	struct hf_front_options front = {
		.argv = words, .descendants = (enum hf_descendants)o->descendants};
	struct hf_keeper_job job;

	if (args->len == 0)
		return hf_err(HF_EINVAL, "no command was given; it stands behind --");
	if (cli->global.no_lock)
		return hf_err(HF_EINVAL, "with-lock does not go together with --no-lock");
	HF_TRY(prepare(cli, o, &place, &job, &r));
	front.lease_fd = r.lease_fd;
	struct hf_err *e = run_and_ask(cli, &job, &front, &r.password);

	signal(SIGPIPE, SIG_IGN); /* what is left to say must not decide how we end */
	return e;
}

const struct hf_command hf_cmd_with_lock = {
	.name = "with-lock",
	.usage = "[flags] -- command [argument...]",
	.summary = "Run a command while the repository is locked",
	.text = "Takes a lock on the repository, runs the command, and gives the lock back "
		"when\n"
		"it has ended. The lock is exclusive unless --shared is given: no other "
		"program\n"
		"works on the repository meanwhile. It is refreshed by a process of its own "
		"for\n"
		"as long as the command runs. Should that become impossible, the command is\n"
		"stopped before others can take the lock for abandoned.\n"
		"\n"
		"The exit code is that of the command; 11 if the lock could not be had and "
		"the\n"
		"command was not run, 13 if the lock was lost while it ran.",
	HF_COMMAND_OPTS(options, struct with_lock_options),
	.is_single = true,
	.run = run,
};
