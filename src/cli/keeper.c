/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two threads besides that of the lease: the first watches and never blocks, the worker does
 * everything that touches the repository.
 */
#include "cli/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/io.h"
#include "cli/lease_log.h"

/* Where the keeper has its descriptors; all others are closed. */
enum { SOCK = 3, FRONT = 4, FIRST_FREE = 5, FAR = 200 };

/* At most so long, in seconds, for giving back the lock. */
enum { RELEASE_S = 60 };

struct keeper {
	const struct hf_keeper_job *job;
	struct hf_keep *keep;
	bool adopts;
	int done; /* eventfd: the worker has ended */
	struct hf_stop stop;
	struct hf_bell release;
	unsigned n_waits;
	bool front_is_dead;
	int64_t give_up; /* boot clock: when the worker must have ended; 0: no hurry */
	char mark[sizeof "HOLDFAST_HOLDER=" + HF_HOLDER_HEX];
	struct hf_guard *guard;
};

static int64_t
now(void)
{
	return hf_clocks_kernel.boot(hf_clocks_kernel.arg);
}

double
hf_keep_tick(double scale)
{
	return scale > 1 ? 1 : scale < 0.02 ? 0.02 : scale;
}

/* ---- messages ---- */

struct message {
	unsigned char level; /* enum hf_say */
	bool is_warning;
	char text[HF_KEEP_TEXT];
};

/* Never waits: a front that is stopped reads nothing. */
static void
send_message(enum hf_say level, bool is_warning, const struct hf_buf *text)
{
	struct message m = {.level = (unsigned char)level, .is_warning = is_warning};
	size_t len = text->len < sizeof m.text ? text->len : sizeof m.text;

	if (len > 0)
		memcpy(m.text, text->p, len);
	(void)!send(
		SOCK, &m, offsetof(struct message, text) + len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool
hf_keeper_hear(struct hf_keeper *k, struct hf_cli *cli)
{
	struct message m;
	ssize_t n = k->sock >= 0 ? recv(k->sock, &m, sizeof m, MSG_DONTWAIT) : -1;
	int len = (int)n - (int)offsetof(struct message, text);

	if (n <= 0 || len < 0)
		return false;
	if (len > 0 && ((m.level == HF_SAY_NORMAL && m.is_warning) ||
			       hf_out_says(cli->out, (enum hf_say)m.level)))
		hf_say_err(cli->out, "%.*s", len, m.text);
	return true;
}

static void
on_event(void *arg, const struct hf_lease_event *ev)
{
	struct keeper *k = arg;
	enum hf_log_format format = (enum hf_log_format)k->job->cli->global.log_format;
	hf_auto(hf_buf) text = HF_BUF_MAX(HF_KEEP_TEXT);
	enum hf_say level = HF_SAY_DATA;
	bool is_warning = false;

	if (ev->kind == HF_LEASE_EV_LOST && ev->reason != NULL)
		snprintf(k->keep->lost_reason, sizeof k->keep->lost_reason, "%s", ev->reason);
	if (format != HF_LOG_NONE)
		hf_lease_log_line(format, ev, &text);
	else if (!hf_lease_event_say(ev, &k->n_waits, &text, &level, &is_warning))
		hf_buf_reset(&text); /* it only wakes the front up */
	send_message(level, is_warning, &text);
}

/* ---- the worker ---- */

static void
set_phase(struct keeper *k, enum hf_keep_phase phase)
{
	hf_auto(hf_buf) none = HF_BUF_MAX(1);

	atomic_store(&k->keep->phase, phase);
	send_message(HF_SAY_DEBUG, false, &none);
}

static struct hf_err *
open_repo(struct keeper *k, struct hf_repo **out)
{
	const struct hf_keeper_job *j = k->job;
	struct hf_err *e = hf_place_unlock(j->cli, j->place, j->location, j->password, out);

	hf_secret_clear(j->password); /* our copy */
	return e;
}

static struct hf_err *
acquire(struct keeper *k, struct hf_repo *repo, struct hf_lease_setup *setup,
	struct hf_lease **out)
{
	struct hf_lease_options *o = &setup->options;

	HF_TRY(hf_lease_setup(k->job->cli, repo, setup));
	setup->pace.give_up = k->job->stop_timeout_s;
	o->mode = k->job->mode;
	o->note = k->job->note;
	o->page = &k->keep->lease;
	o->stop = &k->stop;
	o->on_event = on_event;
	o->arg = k;
	if (k->adopts) {
		o->adopt_holder = k->keep->holder;
		if (!hf_lease_page_id(&k->keep->lease, &o->adopt_id))
			return hf_err(HF_ELOST, "the name of the lock file is not known");
	}
	return hf_lease_acquire(repo, o, out);
}

static void
announce(struct keeper *k, struct hf_lease *lease)
{
	if (!k->adopts) {
		snprintf(k->keep->holder, sizeof k->keep->holder, "%s", hf_lease_holder(lease));
		if (!hf_lease_page_id(&k->keep->lease, &k->keep->first_id))
			k->keep->first_id = (struct hf_id){0};
	}
	snprintf(k->mark, sizeof k->mark, "HOLDFAST_HOLDER=%s", k->keep->holder);
	set_phase(k, HF_KEEP_HELD);
}

/*
 * What is true at the end: a lock that somebody removed minutes ago was no lock for the last part
 * of the work. If it cannot be found out, what was verified last still counts until the fence.
 */
static struct hf_err *
verify_at_end(struct hf_lease *lease)
{
	struct hf_err *e;

	if (hf_lease_state(lease) == HF_LEASE_FENCED)
		return hf_err(HF_ELOST, "the lock could not be refreshed in time");
	e = hf_lease_verify(lease);
	if (e == NULL || hf_err_code(e) == HF_ELOST)
		return e;
	hf_err_free(e);
	return NULL;
}

static struct hf_err *
hold(struct keeper *k)
{
	hf_auto(hf_lease_setup) setup = {0};
	hf_autoptr(hf_repo) repo = NULL;
	struct hf_lease *lease = NULL;
	struct hf_err *e, *not_released;

	if (k->job->password == NULL)
		return hf_place_look(k->job->cli, k->job->location);
	HF_TRY(open_repo(k, &repo));
	HF_TRY(hf_stop_check(&k->stop));
	set_phase(k, HF_KEEP_WAITING);
	HF_TRY(acquire(k, repo, &setup, &lease));
	announce(k, lease);
	while (!hf_stop_is_set(&k->stop))
		hf_clocks_kernel.wait(
			hf_clocks_kernel.arg, &k->release, now() + 60 * HF_SECOND);
	set_phase(k, HF_KEEP_RELEASING);
	e = verify_at_end(lease);
	not_released = hf_lease_release(lease);
	if (e == NULL)
		return not_released;
	hf_err_free(not_released);
	return e;
}

static void *
work(void *arg)
{
	struct keeper *k = arg;
	hf_autoptr(hf_err) e = hold(k);
	uint64_t one = 1;

	if (e != NULL) {
		k->keep->end_code = hf_err_code(e);
		snprintf(k->keep->end_text, sizeof k->keep->end_text, "%s", hf_err_text(e));
	}
	set_phase(k, HF_KEEP_DONE);
	hf_err_free(hf_write_full(k->done, &one, sizeof one));
	return NULL;
}

/* ---- watching ---- */

/* The worker may give the lock back, or give up waiting for it. */
static void
let_go(struct keeper *k)
{
	if (k->give_up == 0)
		k->give_up = now() + RELEASE_S * HF_SECOND;
	hf_stop_set(&k->stop);
	hf_bell_ring(&k->release);
}

static enum hf_keep_phase
phase_of(const struct keeper *k)
{
	return (enum hf_keep_phase)atomic_load(&k->keep->phase);
}

/* The command outlived the front: it is ended before the lock goes. */
static void
step_alone(struct keeper *k)
{
	struct hf_guard *g = k->guard;

	g->group = atomic_load(&k->keep->child);
	g->mark = k->mark;
	/* Asked for, it was over before. */
	if (g->group == 0 || phase_of(k) != HF_KEEP_HELD ||
		atomic_load(&k->keep->wants_release)) {
		let_go(k);
		return;
	}
	hf_guard_end(g);
	hf_guard_step(g, HF_LEASE_HELD);
	if (hf_guard_look(g) == 0)
		let_go(k);
}

/* The front lives. Is it able to act? If not, it is done here. */
static void
step_beside(struct keeper *k)
{
	struct hf_guard *g = k->guard;
	double tick = hf_keep_tick(k->job->scale), silence;
	bool is_silent;

	g->group = atomic_load(&k->keep->child);
	if (g->group != 0 && g->start == 0)
		g->start = hf_relative_start(g->group);
	g->job_stopped = atomic_load(&k->keep->job_stopped);
	if (g->group == 0 || phase_of(k) != HF_KEEP_HELD)
		return;
	silence = (double)(now() - atomic_load(&k->keep->front_beat)) / 1e9;
	is_silent = silence > (tick > 0.2 ? 5 * tick : 1);
	/* Who has frozen must thaw, whoever is awake by then. */
	if (!is_silent && g->state != HF_GUARD_FROZEN)
		return;
	hf_guard_step(g, hf_lease_page_state(&k->keep->lease, &hf_clocks_kernel, NULL));
	if (g->is_lost)
		atomic_store(&k->keep->is_lost, true);
}

/* TERM to the process that the lock file names means: end what you do. The front decides how. */
static void
pass_on(int signals)
{
	struct signalfd_siginfo info;
	size_t got;
	hf_autoptr(hf_err) e = hf_read_full(signals, &info, sizeof info, &got);

	if (e == NULL && got == sizeof info)
		syscall(SYS_pidfd_send_signal, FRONT, (int)info.ssi_signo, NULL, 0);
}

static void
hear_front(struct keeper *k, short events)
{
	char byte;

	if ((events & POLLIN) != 0 && recv(SOCK, &byte, 1, MSG_DONTWAIT) > 0)
		return;
	if ((events & (POLLIN | POLLHUP)) != 0)
		k->front_is_dead = true;
}

static void
watch(struct keeper *k, int signals)
{
	struct pollfd p[] = {{k->done, POLLIN, 0}, {SOCK, POLLIN, 0}, {FRONT, POLLIN, 0},
		{signals, POLLIN, 0}};
	int tick_ms = (int)(hf_keep_tick(k->job->scale) * 1000);

	for (;;) {
		/* What is known to be closed would be reported again and again. */
		p[1].fd = k->front_is_dead ? -1 : SOCK;
		p[2].fd = k->front_is_dead ? -1 : FRONT;
		poll(p, sizeof p / sizeof *p, tick_ms);
		atomic_store(&k->keep->keeper_beat, now());
		if ((p[0].revents & POLLIN) != 0)
			return;
		hear_front(k, p[1].revents);
		k->front_is_dead |= (p[2].revents & POLLIN) != 0;
		if ((p[3].revents & POLLIN) != 0)
			pass_on(signals);
		if (atomic_load(&k->keep->wants_release))
			let_go(k);
		if (k->front_is_dead)
			step_alone(k);
		else
			step_beside(k);
		if (k->give_up != 0 && now() > k->give_up)
			return; /* others will find the lock stale */
	}
}

/* ---- start ---- */

/* Nothing of ours or of whoever started us stays open here, but standard error. */
static void
keep_descriptors(int sock, int front)
{
	int far_sock = fcntl(sock, F_DUPFD_CLOEXEC, FAR);
	int far_front = fcntl(front, F_DUPFD_CLOEXEC, FAR);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(far_sock, SOCK);
	dup2(far_front, FRONT);
	if (syscall(SYS_close_range, FIRST_FREE, ~0U, 0) != 0)
		for (int fd = FIRST_FREE; fd < 1024; fd++)
			close(fd);
}

static _Noreturn void
be_keeper(const struct hf_keeper_job *job, bool adopts, pid_t front, int sock)
{
	struct keeper *k = hf_new(struct keeper);
	sigset_t term;
	pthread_t worker;
	int signals;

	setsid();
	keep_descriptors(sock, job->front_fd);
	prctl(PR_SET_NAME, "holdfast-keeper");
	k->job = job;
	k->keep = job->keep;
	k->adopts = adopts;
	k->done = eventfd(0, EFD_CLOEXEC);
	hf_bell_init(&k->release);
	k->guard = hf_new(struct hf_guard);
	*k->guard = (struct hf_guard){.on_lost = job->on_lost,
		.grace_s = job->grace_s,
		.stop_timeout_s = job->stop_timeout_s,
		.clocks = &hf_clocks_kernel,
		.lease = &job->keep->lease,
		.root = front,
		.except = getpid()};
	/* All that the front reads is blocked here too, for good: HUP, INT, QUIT, TSTP ... */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	signals = signalfd(-1, &term, SFD_CLOEXEC);
	atomic_store(&k->keep->keeper_beat, now());
	if (pthread_create(&worker, NULL, work, k) != 0)
		_exit(1);
	watch(k, signals);
	if (phase_of(k) == HF_KEEP_DONE) /* else it hangs */
		pthread_join(worker, NULL);
	_exit(0);
}

struct hf_err *
hf_keeper_start(const struct hf_keeper_job *job, bool adopts, struct hf_keeper *out)
{
	hf_autofd int ours = -1, theirs = -1;
	int fds[2];
	pid_t pid, front = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return hf_err_errno(errno, "socketpair");
	ours = fds[0];
	theirs = fds[1];
	atomic_store(&job->keep->phase, HF_KEEP_OPENING);
	job->keep->end_code = 0;
	job->keep->end_text[0] = '\0';
	HF_TRY(hf_out_flush(job->cli->out)); /* or the copy would say it again */
	pid = fork();
	if (pid < 0)
		return hf_err_errno(errno, "fork");
	if (pid == 0) {
		close(hf_steal_fd(&ours));
		be_keeper(job, adopts, front, theirs);
	}
	*out = (struct hf_keeper){.pid = pid, .sock = hf_steal_fd(&ours)};
	out->fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (out->fd >= 0)
		return NULL;
	return hf_err_errno(errno, "pidfd_open");
}

void
hf_keeper_clear(struct hf_keeper *k)
{
	if (k->fd >= 0)
		close(k->fd);
	if (k->sock >= 0)
		close(k->sock);
	k->fd = k->sock = -1;
}

void
hf_keeper_release(struct hf_keeper *k, struct hf_keep *keep)
{
	atomic_store(&keep->wants_release, true);
	if (k->sock >= 0)
		(void)!send(k->sock, "r", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

struct hf_err *
hf_keeper_result(const struct hf_keep *keep)
{
	if (atomic_load(&keep->phase) != HF_KEEP_DONE)
		return hf_err(HF_EIO, "the process that keeps the lock died or hangs");
	if (keep->end_code == 0)
		return NULL;
	return hf_err(keep->end_code, "%s", keep->end_text);
}
