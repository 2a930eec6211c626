/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "net/sftp_i.h"

enum {
	PIECE = 32 << 10,      /* every server can do that much (the draft, 3) */
	MAX_PIECE = 255 << 10, /* as much as OpenSSH reads and writes at once */
	HANDLES = 32,          /* open at once, if the server does not say how many */
	LOOK_MS = 200,         /* between two looks whether to give up */
	STUCK_FACTOR = 4,      /* for a request that waits while others are answered */
};
static const double grace_s = 2; /* as in restic */
static const double stop_s = 2;  /* for what is under way when the user wants to stop */

static void
init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static void
wait_until(struct hf_sftp *s, pthread_cond_t *cond, int64_t until)
{
	struct timespec ts = {(time_t)(until / HF_SECOND), (long)(until % HF_SECOND)};

	(void)pthread_cond_timedwait(cond, &s->lock, &ts);
}

/* ---- the end ---- */

void
sftp_wake(struct hf_sftp_call *call)
{
	call->is_done = true;
	if (call->waiter != NULL)
		pthread_cond_signal(call->waiter);
}

/* Under the lock. The first reason counts. */
void
sftp_end_locked(struct hf_sftp *s, enum hf_code code, const char *why)
{
	if (s->is_dead)
		return;
	s->is_dead = true;
	s->code = code;
	s->why = hf_str_dup(hf_str(why));
	hf_child_kill(&s->child);
	for (size_t i = 0; i < SFTP_SLOTS; i++)
		if (s->slots[i].is_used && s->slots[i].call != NULL)
			sftp_wake(s->slots[i].call);
	pthread_cond_broadcast(&s->changed);
	pthread_cond_broadcast(&s->is_quiet);
}

void
sftp_end(struct hf_sftp *s, enum hf_code code, const char *why)
{
	pthread_mutex_lock(&s->lock);
	sftp_end_locked(s, code, why);
	pthread_mutex_unlock(&s->lock);
}

/* Under the lock, of a session that is dead. */
static struct hf_err *
dead(const struct hf_sftp *s)
{
	return hf_err(s->code, "%s", s->why);
}

/* When a request that was made at `since` counts as stuck. */
static int64_t
stuck_at(struct hf_sftp *s, int64_t since)
{
	int64_t moved = atomic_load(&s->moved), last = since + STUCK_FACTOR * s->stuck;
	int64_t at = (moved > since ? moved : since) + s->stuck;

	return at < last ? at : last;
}

/* Under the lock. */
static void
end_stuck(struct hf_sftp *s, int64_t since)
{
	char why[100];

	snprintf(why, sizeof why, "the server has not answered for %.3g s",
		(double)(sftp_now() - since) / HF_SECOND);
	sftp_end_locked(s, HF_EIO, why);
}

/* ---- requests ---- */

/* What has been sent of `v` is taken off it. */
static void
advance(struct iovec *v, size_t n)
{
	for (; n > 0; v++) {
		size_t step = n < v->iov_len ? n : v->iov_len;

		v->iov_base = (uint8_t *)v->iov_base + step;
		v->iov_len -= step;
		n -= step;
	}
}

/* How long a step of a request waits. */
struct patience {
	int64_t since, within; /* within 0: as long as it is not stuck */
	bool no_stop, is_data;
};

/* Under the lock. Whether the user wants to stop, and has waited long enough for this. */
static bool
is_over(struct hf_sftp *s, const struct patience *p)
{
	int64_t from;

	if (p->no_stop || s->gives_up == NULL)
		return false;
	if (s->stopped == 0 && s->gives_up(s->arg))
		s->stopped = sftp_now();
	if (s->stopped == 0)
		return false;
	/* What cleans up has time of its own, where there is somebody who answers. */
	from = p->is_data || s->is_silent || p->since < s->stopped ? s->stopped : p->since;
	return sftp_now() > from + hf_ns(stop_s);
}

static struct hf_err *
interrupted(void)
{
	return hf_err(HF_ECANCELED, "interrupted while the server had not answered");
}

/* Under the lock. Ends the session if the request is stuck. HF_ECANCELED: it is given up. */
static struct hf_err *
look(struct hf_sftp *s, const struct patience *p, int64_t *again)
{
	int64_t at = p->within > 0 ? p->since + p->within : stuck_at(s, p->since);
	int64_t soon = sftp_now() + LOOK_MS * (HF_SECOND / 1000);

	if (sftp_now() > at)
		end_stuck(s, p->since);
	*again = p->no_stop || s->gives_up == NULL || soon > at ? at + 1 : soon;
	return is_over(s, p) ? interrupted() : NULL;
}

/* Under the lock, which is let go of meanwhile: waits for a while. Likewise. */
static struct hf_err *
wait_on(struct hf_sftp *s, pthread_cond_t *cond, const struct patience *p)
{
	int64_t again;

	HF_TRY(look(s, p, &again));
	if (!s->is_dead)
		wait_until(s, cond, again);
	return NULL;
}

/*
 * Under the lock: whether it is still to be sent. Half a packet is finished as long as the line takes
 * it, since the next one cannot come before; when it does not, that is the end of the session.
 */
static struct hf_err *
keep_on(struct hf_sftp *s, const struct patience *p, bool is_begun)
{
	int64_t again;
	struct hf_err *e = look(s, p, &again);

	if (e == NULL || !is_begun)
		return e;
	if (sftp_now() > atomic_load(&s->moved) + hf_ns(stop_s)) {
		sftp_end_locked(s, HF_EIO, "the server takes nothing more");
		return e;
	}
	hf_err_free(e);
	return NULL;
}

/*
 * Sends both pieces. Ends early when the session is dead, which it is after any failure here that
 * leaves half a packet. HF_ECANCELED: it is not sent.
 */
static struct hf_err *
transmit(struct hf_sftp *s, struct iovec v[2], const struct patience *p)
{
	size_t all = v[0].iov_len + v[1].iov_len;

	while (v[0].iov_len + v[1].iov_len > 0) {
		struct msghdr msg = {.msg_iov = v, .msg_iovlen = 2};
		struct pollfd fd = {.fd = s->child.talk, .events = POLLOUT};
		ssize_t n = sendmsg(s->child.talk, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			advance(v, (size_t)n);
			atomic_store(&s->moved, sftp_now());
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return NULL; /* it is closed: the reader sees that, too, and hears why */
		(void)poll(&fd, 1, LOOK_MS);
		pthread_mutex_lock(&s->lock);
		struct hf_err *e = keep_on(s, p, v[0].iov_len + v[1].iov_len < all);
		bool is_dead = s->is_dead;
		pthread_mutex_unlock(&s->lock);
		HF_TRY(e);
		if (is_dead)
			return NULL;
	}
	return NULL;
}

/* Sends it when no other thread sends anything. */
static struct hf_err *
write_packet(struct hf_sftp *s, struct iovec v[2], const struct patience *p)
{
	struct hf_err *e = NULL;

	pthread_mutex_lock(&s->lock);
	while (e == NULL && s->is_writing && !s->is_dead)
		e = wait_on(s, &s->is_quiet, p);
	bool may = e == NULL && !s->is_dead;
	if (may)
		s->is_writing = true;
	pthread_mutex_unlock(&s->lock);
	if (may)
		e = transmit(s, v, p);
	pthread_mutex_lock(&s->lock);
	if (may)
		s->is_writing = false;
	pthread_cond_signal(&s->is_quiet); /* also who gave up may have been woken for it */
	pthread_mutex_unlock(&s->lock);
	return e;
}

static bool
has_room(const struct hf_sftp *s, size_t weight)
{
	return s->n_free > 0 &&
	       (weight == 0 || s->under_way == 0 || s->under_way + weight <= s->window);
}

/* Under the lock. */
static struct sftp_slot *
take_slot(struct hf_sftp *s, struct hf_sftp_call *call, size_t weight)
{
	while (s->slots[s->next_slot].is_used)
		s->next_slot = (s->next_slot + 1) % SFTP_SLOTS;
	struct sftp_slot *slot = &s->slots[s->next_slot];

	*slot = (struct sftp_slot){.is_used = true,
		.id = s->count++ << SFTP_SLOT_BITS | s->next_slot,
		.call = call,
		.weight = weight,
		.sent = sftp_now()};
	s->next_slot = (s->next_slot + 1) % SFTP_SLOTS;
	s->n_free--;
	s->under_way += weight;
	return slot;
}

/* A number for a request, when there is room for it. */
static struct hf_err *
enter(struct hf_sftp *s, struct hf_sftp_call *call, size_t weight, size_t counted,
	const struct patience *p, uint32_t *id)
{
	struct hf_err *e = NULL;

	pthread_mutex_lock(&s->lock);
	while (e == NULL && !s->is_dead && !has_room(s, counted))
		e = wait_on(s, &s->changed, p);
	if (e == NULL && s->is_dead)
		e = dead(s);
	if (e == NULL)
		*id = take_slot(s, call, weight)->id;
	pthread_mutex_unlock(&s->lock);
	return e;
}

/* Its request will not be sent. */
static void
leave(struct hf_sftp *s, uint32_t id)
{
	pthread_mutex_lock(&s->lock);
	sftp_free_slot(s, &s->slots[id % SFTP_SLOTS]);
	pthread_mutex_unlock(&s->lock);
}

struct hf_err *
hf_sftp_send(struct hf_sftp *s, struct hf_sftp_call *call, struct hf_buf *request,
	const struct hf_sftp_ask *ask)
{
	call->type = 0;
	call->is_done = false;
	call->waiter = NULL;
	call->weight = ask->more.len + call->room_len;
	call->no_stop = ask->no_stop;
	call->session = NULL;
	struct patience p = {.since = sftp_now(),
		.within = ask->within_s > 0 ? hf_ns(ask->within_s) : 0,
		.no_stop = ask->no_stop,
		.is_data = call->weight > 0};

	HF_TRY(hf_buf_ok(request));
	HF_TRY(enter(s, call, call->weight, ask->is_urgent ? 0 : call->weight, &p, &call->id));
	hf_sftp_finish(request, call->id, ask->more.len);
	struct hf_err *e = write_packet(s,
		(struct iovec[2]){{request->p, request->len},
			{(void *)(uintptr_t)ask->more.p, ask->more.len}},
		&p);
	if (e != NULL)
		leave(s, call->id);
	else
		call->session = s;
	return e;
}

void
hf_sftp_tell(struct hf_sftp *s, struct hf_buf *request)
{
	struct patience p = {.since = sftp_now()};
	uint32_t id;
	hf_autoptr(hf_err) e = enter(s, NULL, 0, 0, &p, &id);

	if (e != NULL)
		return;
	hf_sftp_finish(request, id, 0);
	e = write_packet(s, (struct iovec[2]){{request->p, request->len}, {NULL, 0}}, &p);
	if (e != NULL)
		leave(s, id);
}

struct hf_err *
hf_sftp_wait(struct hf_sftp_call *call, double within_s)
{
	struct hf_sftp *s = call->session;
	struct hf_err *e = NULL;
	pthread_cond_t answered;

	if (s == NULL)
		return NULL;
	init_cond(&answered);
	pthread_mutex_lock(&s->lock);
	struct patience p = {
		.since = s->slots[call->id % SFTP_SLOTS].sent, /* unless it is done */
		.within = within_s > 0 ? hf_ns(within_s) : 0,
		.no_stop = call->no_stop,
		.is_data = call->weight > 0};
	call->waiter = &answered;
	while (e == NULL && !call->is_done)
		e = wait_on(s, &answered, &p);
	call->waiter = NULL;
	if (e != NULL && !s->is_dead)
		s->is_silent = true;
	if (e == NULL && call->type == 0)
		e = dead(s);
	call->session = NULL;
	struct sftp_slot *slot = &s->slots[call->id % SFTP_SLOTS];
	if (slot->is_used && slot->call == call)
		slot->call = NULL;
	pthread_mutex_unlock(&s->lock);
	pthread_cond_destroy(&answered);
	return e;
}

void
hf_sftp_call_clear(struct hf_sftp_call *call)
{
	struct hf_sftp *s = call->session;

	if (s != NULL) {
		pthread_mutex_lock(&s->lock);
		struct sftp_slot *slot = &s->slots[call->id % SFTP_SLOTS];
		if (slot->is_used && slot->call == call)
			slot->call = NULL;
		pthread_mutex_unlock(&s->lock);
	}
	hf_buf_clear(&call->bytes);
	*call = (struct hf_sftp_call){.session = NULL};
}

/* ---- beginning and end ---- */

/* INIT has a version where other requests have a number. */
static void
greet(struct hf_sftp *s)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64);
	struct patience p = {.since = sftp_now(), .no_stop = true};

	hf_sftp_begin(&b, HF_SFTP_INIT);
	hf_sftp_finish(&b, 3, 0);
	hf_err_free(write_packet(s, (struct iovec[2]){{b.p, b.len}, {NULL, 0}}, &p));
}

/* Its answer is for the reader; until it comes, what every server can do is assumed. */
static void
ask_limits(struct hf_sftp *s)
{
	struct patience p = {.since = sftp_now(), .no_stop = true};
	hf_auto(hf_buf) b = HF_BUF_MAX(64);
	uint32_t id;

	if (!(s->extensions & HF_SFTP_HAS_LIMITS))
		return;
	hf_sftp_begin(&b, HF_SFTP_EXTENDED);
	hf_sftp_add_string(&b, hf_str_bytes(hf_str("limits@openssh.com")));
	hf_autoptr(hf_err) e = enter(s, NULL, 0, 0, &p, &id);
	if (e != NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->limits_id = id;
	pthread_mutex_unlock(&s->lock);
	hf_sftp_finish(&b, id, 0);
	hf_err_free(write_packet(s, (struct iovec[2]){{b.p, b.len}, {NULL, 0}}, &p));
}

static struct hf_err *
await_ready(struct hf_sftp *s, const struct hf_sftp_setup *setup)
{
	int64_t end = sftp_now() + hf_ns(setup->connect_s);
	struct hf_err *e = NULL;
	char why[100];

	pthread_mutex_lock(&s->lock);
	while (!s->is_ready && !s->is_dead) {
		if (!setup->no_stop && setup->gives_up != NULL && setup->gives_up(setup->arg))
			sftp_end_locked(s, HF_EIO, "interrupted while connecting");
		snprintf(why, sizeof why, "no connection after %.3g s", setup->connect_s);
		if (sftp_now() > end)
			sftp_end_locked(s, HF_EIO, why);
		else if (!s->is_dead)
			wait_until(s, &s->changed, sftp_now() + LOOK_MS * (HF_SECOND / 1000));
	}
	if (s->is_dead)
		e = dead(s);
	pthread_mutex_unlock(&s->lock);
	return e;
}

struct hf_err *
hf_sftp_open(const struct hf_sftp_setup *setup, struct hf_sftp **out)
{
	struct hf_child child;

	HF_TRY(hf_child_start(setup->argv, setup->terminal, &child));
	struct hf_sftp *new = hf_new(struct hf_sftp);
	new->child = child;
	new->program = hf_str_dup(hf_str(setup->argv[0]));
	new->window = setup->window;
	new->stuck = hf_ns(setup->stuck_s);
	new->say = setup->say;
	new->gives_up = setup->gives_up;
	new->arg = setup->arg;
	new->n_free = SFTP_SLOTS;
	new->count = 1;
	new->in = hf_alloc_(1, SFTP_ROOM);
	atomic_init(&new->moved, sftp_now());
	pthread_mutex_init(&new->lock, NULL);
	init_cond(&new->changed);
	init_cond(&new->is_quiet);
	int en = pthread_create(&new->reader, NULL, sftp_read_answers, new);
	if (en != 0)
		abort(); /* as without memory for something small */
	hf_autoptr(hf_sftp) s = new;
	greet(s);
	struct hf_err *e = await_ready(s, setup);
	hf_child_settle(&s->child);
	HF_TRY(e);
	ask_limits(s);
	*out = hf_steal(s);
	return NULL;
}

void
hf_sftp_hang_up(struct hf_sftp *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_closing = true;
	pthread_mutex_unlock(&s->lock);
	hf_child_hang_up(&s->child);
}

void
hf_sftp_free(struct hf_sftp *s)
{
	if (s == NULL)
		return;
	/* The reader ends when the program does, which is when it hears that nothing more comes. */
	hf_sftp_hang_up(s);
	if (hf_child_peek(&s->child, (int)(grace_s * 1000)) == -1)
		hf_child_kill(&s->child);
	shutdown(s->child.talk, SHUT_RDWR);
	pthread_join(s->reader, NULL);
	hf_child_end(&s->child, 0);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	pthread_cond_destroy(&s->is_quiet);
	free(s->in);
	free(s->why);
	free(s->program);
	free(s);
}

bool
hf_sftp_is_alive(struct hf_sftp *s)
{
	pthread_mutex_lock(&s->lock);
	bool is_alive = !s->is_dead;
	pthread_mutex_unlock(&s->lock);
	return is_alive;
}

unsigned
hf_sftp_extensions(const struct hf_sftp *s)
{
	return s->extensions;
}

size_t
hf_sftp_load(struct hf_sftp *s)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->under_way;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static size_t
piece(struct hf_sftp *s, const uint64_t *limit)
{
	pthread_mutex_lock(&s->lock);
	uint64_t n = s->limits.packet == 0 && *limit == 0 ? PIECE : *limit;
	pthread_mutex_unlock(&s->lock);
	if (n == 0 || n > MAX_PIECE)
		return MAX_PIECE;
	return (size_t)n;
}

size_t
hf_sftp_read_size(struct hf_sftp *s)
{
	return piece(s, &s->limits.read);
}

size_t
hf_sftp_write_size(struct hf_sftp *s)
{
	return piece(s, &s->limits.write);
}

size_t
hf_sftp_handles(struct hf_sftp *s)
{
	pthread_mutex_lock(&s->lock);
	uint64_t n = s->limits.handles;
	pthread_mutex_unlock(&s->lock);
	/* Not all of them: other threads open files, too. */
	return n < 4 || n > INT_MAX ? HANDLES : (size_t)n / 4;
}
