/* SPDX-License-Identifier: BSD-2-Clause */
/* The front and the command: children, signals, and what is left behind. */
#include <stdio.h>
#include <sys/wait.h>

#include "base/io.h"
#include "cli/format.h"
#include "cli/front_i.h"

/* Seconds, at scale 1. */
static const double again_s = 10; /* from one TERM to the next that is meant seriously */
static const double tell_s = 5;   /* until descendants are told about */
static const double warn_s = 10;  /* --descendants=warn: until the lock goes */

/* ---- children ---- */

/* Those whose parents ended are ours. The command itself stays, and would hide the others. */
static void
reap_orphans(struct front *f)
{
	siginfo_t info = {0};

	while (!f->has_ended && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid != 0 && info.si_pid != f->job.pid && info.si_pid != f->keeper.pid)
		waitpid(info.si_pid, NULL, WNOHANG);
	if (!f->has_ended)
		return;
	hf_guard_look(&f->guard);
	for (size_t i = 0; i < f->guard.seen.len; i++)
		if (f->guard.seen.v[i].is_zombie && f->guard.seen.v[i].pid != f->job.pid)
			waitpid(f->guard.seen.v[i].pid, NULL, WNOHANG);
}

/* The command may run on, if the lease allows it. */
static void
go_on(struct front *f)
{
	f->job.is_stopped = false;
	front_step_guard(f); /* time has passed */
	if (f->guard.state == HF_GUARD_RUNNING) {
		hf_job_give_tty(&f->job);
		kill(-f->job.pid, SIGCONT);
	}
	atomic_store(&f->keep->job_stopped, false);
}

static void
set_stopped(struct front *f)
{
	f->job.is_stopped = true;
	atomic_store(&f->keep->job_stopped, true);
}

/* Ctrl-Z while the command is frozen: it cannot stop once more, but the job can. */
static void
stop_frozen(struct front *f)
{
	set_stopped(f);
	hf_job_stop_us();
	go_on(f);
}

static void
look_for_stop(struct front *f)
{
	siginfo_t info = {0};

	while (!f->has_ended &&
		waitid(P_PID, (id_t)f->job.pid, &info, WSTOPPED | WCONTINUED | WNOHANG) == 0 &&
		info.si_pid != 0) {
		if (info.si_code == CLD_CONTINUED) {
			f->job.is_stopped = false;
			atomic_store(&f->keep->job_stopped, false);
			continue;
		}
		/* Our own doing, or the keeper's. */
		if (f->guard.state != HF_GUARD_RUNNING ||
			(info.si_status == SIGSTOP && front_lease_state(f) >= HF_LEASE_FENCED))
			continue;
		set_stopped(f);
		if (hf_job_stopped(&f->job, info.si_status))
			go_on(f);
	}
}

static void
look_for_end(struct front *f)
{
	if (f->has_ended ||
		waitid(P_PID, (id_t)f->job.pid, &f->status, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		f->status.si_pid == 0)
		return;
	f->has_ended = true;
	f->ended_at = front_now();
	front_log_child(f, "ended");
	f->had_tty = hf_job_take_tty(&f->job);
	f->ended_in_doubt =
		f->keeper_is_dead || f->adopting || front_lease_state(f) >= HF_LEASE_FENCED;
}

void
front_look_after(struct front *f)
{
	if (f->job.pid == 0)
		return;
	look_for_end(f);
	look_for_stop(f);
	/* Shells do not tell a job that runs already when it comes to the foreground. */
	if (!f->has_ended && !f->job.is_stopped && f->guard.state == HF_GUARD_RUNNING)
		hf_job_give_tty(&f->job);
	reap_orphans(f);
}

/* ---- signals ---- */

static void
forward(struct front *f, int sig)
{
	if (f->has_ended)
		hf_guard_signal(&f->guard, sig); /* what is left may be anywhere */
	else
		kill(-f->job.pid, sig);
}

static void
on_request_to_end(struct front *f, int sig)
{
	if (f->first_stop == 0)
		f->first_stop = front_now();
	else if (front_since(f->first_stop) >= again_s * f->scale) {
		if (f->guard.state < HF_GUARD_ENDING)
			front_say(f, "the command is terminated, and killed after %s",
				hf_format_duration(f->guard.grace_s).s);
		hf_guard_end(&f->guard);
		return;
	}
	forward(f, sig);
}

/* restic's `unlock` sends it to see whether the holder of a lock lives. */
static bool
is_probe(const struct front *f, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo != SIGHUP || info->ssi_code == SI_KERNEL)
		return false;
	return !hf_job_is_hung_up(&f->job);
}

/* Before there is a command, and after: nothing is there to forward a signal to. */
static void
on_signal_alone(struct front *f, int sig)
{
	switch (sig) {
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		hf_job_stop_us();
		break;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
	case SIGHUP:
		if (f->interrupted == 0 && f->job.pid == 0)
			f->interrupted = sig;
		hf_keeper_release(&f->keeper, f->keep);
		if (++f->requests > 1) /* it may hang; it will end by itself */
			f->keeper_is_dead = true;
		break;
	default:
		break;
	}
}

static void
on_signal(struct front *f, const struct signalfd_siginfo *info)
{
	int sig = (int)info->ssi_signo;

	if (is_probe(f, info)) {
		front_say_verbose(f, "SIGHUP from process %d: taken for a question, ignored",
			(int)info->ssi_pid);
		return;
	}
	if (sig == SIGCHLD)
		return; /* it is looked after all children anyway */
	if (f->job.pid == 0 || atomic_load(&f->keep->wants_release)) {
		on_signal_alone(f, sig);
		return;
	}
	switch (sig) {
	case SIGCONT:
		if (f->job.is_stopped)
			go_on(f);
		break;
	case SIGTERM:
	case SIGINT:
		on_request_to_end(f, sig);
		break;
	case SIGTSTP:
	case SIGTTIN: /* others of our group were stopped: the job is */
	case SIGTTOU:
		if (f->guard.state == HF_GUARD_FROZEN)
			stop_frozen(f);
		else
			forward(f, SIGTSTP);
		break;
	default:
		forward(f, sig);
	}
}

void
front_read_signals(struct front *f)
{
	struct signalfd_siginfo info;
	size_t got;

	for (;;) {
		hf_autoptr(hf_err) e = hf_read_full(f->signals, &info, sizeof info, &got);

		if (e != NULL || got != sizeof info)
			return;
		on_signal(f, &info);
	}
}

/* ---- what the command leaves behind ---- */

static void
tell_descendants(struct front *f, const char *what)
{
	char text[512];
	size_t len = 0;

	if (f->has_told)
		return;
	f->has_told = true;
	for (size_t i = 0; i < f->guard.seen.len && len < sizeof text - 32; i++)
		if (!f->guard.seen.v[i].is_zombie)
			len += (size_t)snprintf(text + len, sizeof text - len, " %d",
				(int)f->guard.seen.v[i].pid);
	front_say(f, "Warning: the command has ended, but processes of it have not:%s; %s",
		text, what);
}

/* True when nothing is left of the command, or nobody waits for it. */
bool
front_is_over(struct front *f)
{
	if (!f->has_ended)
		return false;
	if (hf_guard_look(&f->guard) == 0)
		return true;
	if (f->guard.state != HF_GUARD_RUNNING)
		return false;
	switch (f->o->descendants) {
	case HF_DESCENDANTS_KILL:
		tell_descendants(f, "they are terminated");
		hf_guard_end(&f->guard);
		return false;
	case HF_DESCENDANTS_WARN:
		tell_descendants(f, "they are not waited for");
		return front_since(f->ended_at) > warn_s * f->scale;
	default:
		if (front_since(f->ended_at) > tell_s * f->scale)
			tell_descendants(f, "the lock is kept until they have");
		return false;
	}
}
