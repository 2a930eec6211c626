/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command is not reaped before the end: as long as it is a zombie, its number and that of its
 * group belong to nobody else, and signals to the group cannot go astray.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "base/io.h"
#include "cli/fail.h"
#include "cli/format.h"
#include "cli/front_i.h"
#include "cli/lease_log.h"

/* Seconds. */
static const double try_s = 45;     /* T_try: what only the wall clock says is believed then */
static const double release_s = 65; /* for the keeper to end; not scaled */

int64_t
front_now(void)
{
	return hf_clocks_kernel.boot(hf_clocks_kernel.arg);
}

double
front_since(int64_t then)
{
	return (double)(front_now() - then) / 1e9;
}

void
front_say(struct front *f, const char *fmt, ...)
{
	struct pollfd p = {STDERR_FILENO, POLLOUT, 0};
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLOUT) != 0)
		hf_say_err(f->cli->out, "%s", text);
}

void
front_say_verbose(struct front *f, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (!hf_out_says(f->cli->out, HF_SAY_VERBOSE))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	front_say(f, "%s", text);
}

/* ---- the lease ---- */

/*
 * What the wall clock alone says may be somebody setting it: it is believed when the keeper has had
 * the time to verify the lock.
 */
enum hf_lease_state
front_lease_state(struct front *f)
{
	bool only_wall = false;
	enum hf_lease_state s =
		hf_lease_page_state(&f->keep->lease, &hf_clocks_kernel, &only_wall);

	if (s != HF_LEASE_FENCED || !only_wall) {
		f->wall_only_since = 0;
		return s;
	}
	if (f->wall_only_since == 0)
		f->wall_only_since = front_now();
	return front_since(f->wall_only_since) < try_s * f->scale ? HF_LEASE_SUSPECT : s;
}

static const char *
lost_reason(const struct front *f)
{
	return f->keep->lost_reason[0] != '\0' ? f->keep->lost_reason : "not refreshed in time";
}

void
front_log_child(struct front *f, const char *what)
{
	struct hf_log_more more = {.holder = f->keep->holder, .what = what, .pid = f->job.pid};

	hf_lease_log_more(f->cli, "lock.child", &more);
}

static void
tell(struct front *f, enum hf_guard_event ev, enum hf_lease_state state)
{
	static const char *const words[] = {
		[HF_GUARD_HAS_FROZEN] = "frozen",
		[HF_GUARD_HAS_THAWED] = "thawed",
		[HF_GUARD_HAS_TERMINATED] = "terminated",
		[HF_GUARD_HAS_KILLED] = "killed",
		[HF_GUARD_HAS_CUT_OFF] = "killed",
		[HF_GUARD_HAS_IGNORED] = "unprotected",
	};
	const char *what = state == HF_LEASE_LOST ? "the lock is lost"
						  : "the lock could not be refreshed in time";

	if (words[ev] != NULL)
		front_log_child(f, words[ev]);
	switch (ev) {
	case HF_GUARD_HAS_FROZEN:
		front_say(f, "Warning: %s; the command is stopped until it is certain again",
			what);
		break;
	case HF_GUARD_HAS_THAWED:
		front_say(f, "the lock was held all the time; the command goes on");
		break;
	case HF_GUARD_HAS_TERMINATED:
		front_say(f, "%s (%s); the command is terminated", what, lost_reason(f));
		break;
	case HF_GUARD_HAS_KILLED:
		front_say(f, "the command has not ended after %s and is killed",
			hf_format_duration(f->guard.grace_s).s);
		break;
	case HF_GUARD_HAS_CUT_OFF:
		front_say(f, "%s (%s); the command is killed", what, lost_reason(f));
		break;
	case HF_GUARD_HAS_IGNORED:
		front_say(f, "Warning: %s (%s); the command runs on, as --on-lost=ignore says",
			what, lost_reason(f));
		break;
	case HF_GUARD_NOTHING:
		break;
	}
}

/* Does to the command what has to be done now. */
void
front_step_guard(struct front *f)
{
	enum hf_lease_state s = front_lease_state(f);
	enum hf_guard_event ev;

	if (f->job.pid == 0 || atomic_load(&f->keep->wants_release))
		return;
	if (f->keeper_is_dead)
		s = HF_LEASE_LOST;
	else if (f->adopting) /* frozen until the new keeper says what is true */
		s = f->guard.state == HF_GUARD_FROZEN ? HF_LEASE_FENCED : HF_LEASE_HELD;
	f->guard.job_stopped = f->job.is_stopped;
	f->guard.except = f->keeper.pid;
	ev = hf_guard_step(&f->guard, s);
	/* The keys of the terminal are for us now: who is stopped does not hear them. */
	if (ev == HF_GUARD_HAS_FROZEN)
		hf_job_take_tty(&f->job);
	tell(f, ev, s);
	f->guard.is_lost |= atomic_load(&f->keep->is_lost);
}

/* ---- timers ---- */

static void
arm_fence(struct front *f)
{
	int64_t left = hf_lease_page_left(&f->keep->lease, &hf_clocks_kernel);
	int64_t at = front_now() + (left > 0 ? left : 0);
	struct itimerspec t = {.it_value = {at / HF_SECOND, at % HF_SECOND}};

	/* Behind the fence the tick does it. */
	if (left <= 0)
		t.it_value = (struct timespec){0, 0};
	timerfd_settime(f->fence, TFD_TIMER_ABSTIME, &t, NULL);
}

static void
drain(int fd)
{
	uint64_t n;
	size_t got;

	hf_err_free(hf_read_full(fd, &n, sizeof n, &got));
}

static struct hf_err *
open_descriptors(struct front *f, const sigset_t *taken)
{
	double tick = hf_keep_tick(f->scale);
	struct timespec ts = {(time_t)tick, (long)((tick - (double)(time_t)tick) * 1e9)};
	struct itimerspec t = {ts, ts};

	f->signals = signalfd(-1, taken, SFD_CLOEXEC | SFD_NONBLOCK);
	/* This clock counts the sleep of the host: what is due goes off as soon as it wakes up. */
	f->tick = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	f->fence = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (f->signals < 0 || f->tick < 0 || f->fence < 0 ||
		timerfd_settime(f->tick, 0, &t, NULL) < 0)
		return hf_err_errno(errno, "timers and signals");
	return NULL;
}

static void
front_free(struct front *f)
{
	int fds[] = {f->signals, f->tick, f->fence};

	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	hf_keeper_clear(&f->keeper);
	hf_job_clear(&f->job);
	free(f);
}
HF_AUTOPTR(front)

static struct front *
front_new(struct hf_keeper_job *job, const struct hf_front_options *o)
{
	struct front *f = hf_new(struct front);

	f->cli = job->cli;
	f->job_of_keeper = job;
	f->keep = job->keep;
	f->scale = job->scale;
	f->signals = f->tick = f->fence = -1;
	f->o = o;
	hf_job_init(&f->job, o->signals);
	f->keeper = (struct hf_keeper){0, -1, -1};
	f->guard.on_lost = job->on_lost;
	f->guard.grace_s = job->grace_s;
	f->guard.stop_timeout_s = job->stop_timeout_s;
	f->guard.clocks = &hf_clocks_kernel;
	f->guard.lease = &job->keep->lease;
	f->guard.root = getpid();
	return f;
}

/* ---- the keeper ---- */

static struct hf_err *
start_keeper(struct front *f, bool adopts)
{
	f->keepers++;
	return hf_keeper_start(f->job_of_keeper, adopts, &f->keeper);
}

/* The lock is in danger, but not lost: others must see it unchanged for a long time first. */
static void
replace_keeper(struct front *f)
{
	if (f->guard.on_lost != HF_ON_LOST_IGNORE && f->guard.state == HF_GUARD_RUNNING)
		hf_guard_freeze(&f->guard);
	hf_job_take_tty(&f->job);
	front_say(f, "Warning: the process that keeps the lock died; another one takes over");
	hf_autoptr(hf_err) e = start_keeper(f, true);
	f->adopting = e == NULL;
	f->keeper_is_dead = e != NULL;
	if (e != NULL)
		front_say(f, "%s", hf_err_text(e));
}

static void
keeper_died(struct front *f)
{
	hf_autoptr(hf_err) e = NULL;

	while (hf_keeper_hear(&f->keeper, f->cli))
		continue;
	waitpid(f->keeper.pid, NULL, 0);
	hf_keeper_clear(&f->keeper);
	f->keeper.pid = 0;
	if (f->job.pid == 0 || atomic_load(&f->keep->wants_release)) {
		f->keeper_is_dead = true;
		return;
	}
	if (f->keepers == 1) {
		replace_keeper(f);
		return;
	}
	e = hf_keeper_result(f->keep);
	f->keeper_is_dead = true;
	f->adopting = false;
	if (f->keep->lost_reason[0] == '\0')
		snprintf(f->keep->lost_reason, sizeof f->keep->lost_reason, "its keeper died");
	if (e != NULL)
		front_say(f, "the lock cannot be kept: %s", hf_err_text(e));
}

static enum hf_keep_phase
phase_of(const struct front *f)
{
	return (enum hf_keep_phase)atomic_load(&f->keep->phase);
}

/* ---- the loop ---- */

/* Waits for something to happen, and takes care of it. */
static void
wait_once(struct front *f)
{
	struct pollfd p[] = {{f->fence, POLLIN, 0}, {f->tick, POLLIN, 0},
		{f->signals, POLLIN, 0}, {f->keeper.fd, POLLIN, 0},
		{f->keeper.sock, POLLIN, 0}};

	poll(p, sizeof p / sizeof *p, -1);
	atomic_store(&f->keep->front_beat, front_now());
	front_step_guard(f); /* first of all, whatever woke us up: the host may have slept */
	if ((p[0].revents & POLLIN) != 0)
		drain(f->fence);
	if ((p[1].revents & POLLIN) != 0)
		drain(f->tick);
	while ((p[4].revents & POLLIN) != 0 && hf_keeper_hear(&f->keeper, f->cli))
		continue;
	front_look_after(f);
	front_read_signals(f);
	if ((p[3].revents & POLLIN) != 0)
		keeper_died(f);
	if (f->adopting && phase_of(f) == HF_KEEP_HELD) {
		f->adopting = false;
		front_say_verbose(f, "the lock was taken over");
	}
	front_step_guard(f);
	arm_fence(f);
}

static struct hf_err *
wait_for_lock(struct front *f)
{
	f->cli->exit_code = HF_EXIT_INTERNAL;
	HF_TRY(start_keeper(f, false));
	f->cli->exit_code = 0;
	while (!f->keeper_is_dead && (phase_of(f) != HF_KEEP_HELD || f->interrupted != 0))
		wait_once(f);
	if (!f->keeper_is_dead)
		return NULL;
	if (f->interrupted != 0) {
		f->cli->exit_signal = f->interrupted;
		return NULL;
	}
	if (phase_of(f) != HF_KEEP_DONE)
		f->cli->exit_code = HF_EXIT_INTERNAL;
	return hf_keeper_result(f->keep);
}

/* ---- all of it ---- */

static void export(struct front *f)
{
	char fd[16];

	setenv("HOLDFAST_LOCK_ID", hf_id_hex(&f->keep->first_id).s, 1);
	setenv("HOLDFAST_HOLDER", f->keep->holder, 1);
	snprintf(fd, sizeof fd, "%d", f->o->lease_fd);
	if (f->o->lease_fd >= 0)
		setenv("HOLDFAST_LEASE_FD", fd, 1);
	else
		unsetenv("HOLDFAST_LEASE_FD"); /* of another one above us */
}

static struct hf_err *
release(struct front *f)
{
	int64_t begin = front_now();

	if (!f->keeper_is_dead)
		hf_keeper_release(&f->keeper, f->keep);
	while (!f->keeper_is_dead && front_since(begin) < release_s)
		wait_once(f);
	return hf_keeper_result(f->keep);
}

static struct hf_err *
start_command(struct front *f)
{
	struct hf_err *e;
	int code;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	export(f);
	e = hf_job_start(&f->job, f->o->argv, f->o->lease_fd, &f->keep->child, &code);
	if (e == NULL) {
		f->guard.group = f->job.pid;
		front_log_child(f, "started");
		return NULL;
	}
	f->job.pid = 0;
	atomic_store(&f->keep->child, 0);
	f->cli->exit_code = code;
	hf_err_free(release(f));
	return e;
}

static void
take_status(struct front *f)
{
	waitpid(f->job.pid, NULL, WNOHANG);
	if (f->status.si_code == CLD_EXITED) {
		f->cli->exit_code = f->status.si_status;
		return;
	}
	f->cli->exit_signal = f->status.si_status;
	/* What the terminal sent to the command was meant for all that the shell runs there. */
	if (f->had_tty && (f->status.si_status == SIGINT || f->status.si_status == SIGQUIT))
		kill(0, f->status.si_status);
}

/* Takes `e`, how the keeper ended. */
static struct hf_err *
conclude(struct front *f, int64_t begin, struct hf_err *e)
{
	hf_autoptr(hf_err) kept = e;
	bool is_lost = f->guard.is_lost || f->ended_in_doubt ||
		       (kept != NULL && hf_err_code(kept) == HF_ELOST);
	bool has_exited = f->status.si_code == CLD_EXITED;

	front_say_verbose(f, "the lock was held for %s; the command ended with %s %d",
		hf_format_duration(front_since(begin)).s, has_exited ? "exit code" : "signal",
		f->status.si_status);
	if (is_lost)
		return hf_err(HF_ELOST,
			"the lock was lost while the command ran (%s); it ended with %s %d",
			lost_reason(f), has_exited ? "exit code" : "signal",
			f->status.si_status);
	if (kept != NULL)
		front_say(
			f, "Warning: the lock could not be given back: %s", hf_err_text(kept));
	take_status(f);
	return NULL;
}

struct hf_err *
hf_front_run(struct hf_keeper_job *job, const struct hf_front_options *options)
{
	hf_autoptr(front) f = front_new(job, options);
	int64_t begin;

	f->cli->exit_code = HF_EXIT_INTERNAL; /* until it is known better */
	HF_TRY(open_descriptors(f, options->taken));
	f->cli->exit_code = 0;
	HF_TRY(wait_for_lock(f));
	if (f->cli->exit_signal != 0)
		return NULL;
	begin = front_now();
	HF_TRY(start_command(f));
	while (!front_is_over(f))
		wait_once(f);
	return conclude(f, begin, release(f));
}

struct hf_err *
hf_front_look(struct hf_keeper_job *job, const struct hf_front_options *options)
{
	hf_autoptr(front) f = front_new(job, options);

	HF_TRY(open_descriptors(f, options->taken));
	HF_TRY(start_keeper(f, false));
	while (!f->keeper_is_dead)
		wait_once(f);
	f->cli->exit_signal = f->interrupted;
	return f->interrupted != 0 ? NULL : hf_keeper_result(f->keep);
}
