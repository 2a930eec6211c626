/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request has a slot from before its first byte is sent until its answer is here; its number is
 * the slot's index and, above it, a count, so that a slot's next request has another number.
 */
#include "net/sftp.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clocks.h"

enum {
	SLOT_BITS = 10,
	SLOTS = 1 << SLOT_BITS,
	ROOM = 2 * (HF_SFTP_MAX_PACKET + 4), /* of the reader */
	LINE = 500,                          /* of standard error; what is longer is cut */
	PIECE = 32 << 10,                    /* every server can do that much (the draft, 3) */
	MAX_PIECE = 128 << 10,
	HANDLES = 32,  /* open at once, if the server does not say how many */
	LOOK_MS = 200, /* between two looks whether to give up */
	LAST_WORDS_MS = 1000,
	STUCK_FACTOR = 4, /* for a request that waits while others are answered */
};
static const double grace_s = 2; /* as in restic */

struct slot {
	bool is_used;
	uint32_t id;
	struct hf_sftp_call *call; /* NULL: nobody wants the answer */
	size_t weight;
	int64_t sent;
};

struct hf_sftp {
	struct hf_child child;
	char *program;
	size_t window;
	int64_t stuck;
	void (*say)(void *, const char *);
	void *arg;
	pthread_t reader;
	unsigned extensions; /* written before is_ready */

	pthread_mutex_t writing; /* one packet after the other; taken without `lock` */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	bool is_ready, is_dead, is_closing;
	enum hf_code code; /* why it is dead */
	char *why;
	struct slot slots[SLOTS];
	unsigned n_free;
	uint32_t count, next_slot, limits_id;
	size_t under_way;
	struct hf_sftp_limits limits;

	_Atomic int64_t moved; /* when a byte last went either way */

	/* The reader's alone. */
	uint8_t *in;
	size_t in_len;
	char line[LINE + 1], last_line[LINE + 1];
	size_t line_len;
};

static int64_t
now(void)
{
	return hf_clocks_kernel.awake(NULL);
}

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

static void
wake(struct hf_sftp_call *call)
{
	call->is_done = true;
	if (call->waiter != NULL)
		pthread_cond_signal(call->waiter);
}

/* Under the lock. The first reason counts. */
static void
end_locked(struct hf_sftp *s, enum hf_code code, const char *why)
{
	if (s->is_dead)
		return;
	s->is_dead = true;
	s->code = code;
	s->why = hf_str_dup(hf_str(why));
	hf_child_kill(&s->child);
	for (size_t i = 0; i < SLOTS; i++)
		if (s->slots[i].is_used && s->slots[i].call != NULL)
			wake(s->slots[i].call);
	pthread_cond_broadcast(&s->changed);
}

static void
end_session(struct hf_sftp *s, enum hf_code code, const char *why)
{
	pthread_mutex_lock(&s->lock);
	end_locked(s, code, why);
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
		(double)(now() - since) / HF_SECOND);
	end_locked(s, HF_EIO, why);
}

/* ---- what the program says ---- */

static void
end_line(struct hf_sftp *s)
{
	s->line[s->line_len] = '\0';
	if (s->line_len > 0) {
		memcpy(s->last_line, s->line, s->line_len + 1);
		if (s->say != NULL)
			s->say(s->arg, s->line);
	}
	s->line_len = 0;
}

/* What is there, by the line; false when nothing more comes. */
static bool
hear(struct hf_sftp *s)
{
	char buf[4096];
	struct iovec v = {buf, sizeof buf};
	ssize_t n = TEMP_FAILURE_RETRY(readv(s->child.err, &v, 1));

	for (ssize_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)buf[i];

		if (c == '\n' || s->line_len == LINE)
			end_line(s);
		if (c != '\n' && c != '\r')
			s->line[s->line_len++] = iscntrl(c) && c != '\t' ? '?' : (char)c;
	}
	return n > 0;
}

/* The connection is closed: why, as far as the program says so. */
static void
end_closed(struct hf_sftp *s)
{
	struct pollfd p = {.fd = s->child.err, .events = POLLIN};
	hf_autofree char *why = NULL;

	pthread_mutex_lock(&s->lock);
	bool is_over = s->is_dead || s->is_closing;
	pthread_mutex_unlock(&s->lock);
	if (is_over)
		return;
	while (poll(&p, 1, LAST_WORDS_MS) == 1 && hear(s))
		continue;
	end_line(s);
	int status = hf_child_peek(&s->child, LAST_WORDS_MS);
	if (asprintf(&why, "%s closed the connection (%s)%s%s", s->program,
		    status == -1 ? "it still runs" : hf_child_status_text(status).s,
		    *s->last_line != '\0' ? ": " : "", s->last_line) < 0)
		abort();
	end_session(s, HF_EIO, why);
}

/* ---- answers ---- */

/* Under the lock. */
static void
free_slot(struct hf_sftp *s, struct slot *slot)
{
	s->under_way -= slot->weight;
	*slot = (struct slot){.id = 0};
	s->n_free++;
	pthread_cond_broadcast(&s->changed);
}

/* Under the lock. False: the answer does not fit the request. */
static bool
fill(struct hf_sftp_call *call, const struct hf_sftp_reply *r)
{
	call->type = r->type;
	call->status = r->status;
	call->attrs = r->attrs;
	call->n_names = r->n_names;
	call->got = 0;
	if (r->type == HF_SFTP_DATA) {
		if (r->bytes.len > call->room_len)
			return false;
		if (r->bytes.len > 0)
			memcpy(call->room, r->bytes.p, r->bytes.len);
		call->got = r->bytes.len;
		return true;
	}
	hf_buf_reset(&call->bytes);
	call->bytes.max = HF_SFTP_MAX_PACKET;
	if (r->type == HF_SFTP_STATUS)
		hf_buf_add(&call->bytes, r->text.p, r->text.len);
	else
		hf_buf_add(&call->bytes, r->bytes.p, r->bytes.len);
	return true;
}

static struct hf_err *
take_answer(struct hf_sftp *s, struct hf_bytes packet)
{
	struct hf_sftp_reply r;
	struct hf_err *e = NULL;

	HF_TRY(hf_sftp_parse(packet, &r));
	pthread_mutex_lock(&s->lock);
	struct slot *slot = &s->slots[r.id % SLOTS];
	if (!slot->is_used || slot->id != r.id) {
		e = hf_err(HF_EFATAL, "an answer to a request that was not made (%u)", r.id);
	} else {
		if (slot->call == NULL && r.id == s->limits_id &&
			r.type == HF_SFTP_EXTENDED_REPLY)
			(void)hf_sftp_parse_limits(r.bytes, &s->limits);
		if (slot->call != NULL && !fill(slot->call, &r))
			e = hf_err(HF_EFATAL, "more data than were asked for");
		else if (slot->call != NULL)
			wake(slot->call);
		if (e == NULL)
			free_slot(s, slot);
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

static void
note_extension(void *arg, struct hf_str name, struct hf_str data)
{
	static const struct {
		const char *name, *version;
		unsigned bit;
	} known[] = {
		{"posix-rename@openssh.com", "1", HF_SFTP_HAS_POSIX_RENAME},
		{"fsync@openssh.com", "1", HF_SFTP_HAS_FSYNC},
		{"limits@openssh.com", "1", HF_SFTP_HAS_LIMITS},
		{"statvfs@openssh.com", "2", HF_SFTP_HAS_STATVFS},
	};
	struct hf_sftp *s = arg;

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (hf_str_is(name, known[i].name) && hf_str_is(data, known[i].version))
			s->extensions |= known[i].bit;
}

static struct hf_err *
take_packet(struct hf_sftp *s, struct hf_bytes packet)
{
	if (s->is_ready) /* only this thread sets it */
		return take_answer(s, packet);
	HF_TRY(hf_sftp_parse_version(packet, note_extension, s));
	pthread_mutex_lock(&s->lock);
	s->is_ready = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* A login that prints something is why SFTP does not work, more often than anything else. */
static struct hf_err *
explain(struct hf_sftp *s, struct hf_err *e)
{
	if (e == NULL || s->is_ready || s->in_len < 4)
		return e;
	for (size_t i = 0; i < 4; i++)
		if (!isprint(s->in[i]) && !isspace(s->in[i]))
			return e;
	hf_err_free(e);
	return hf_err(HF_EFATAL,
		"the server sends text (\"%.4s...\") where SFTP should begin: see to it that "
		"its shell prints nothing at login, and that it has the SFTP subsystem",
		(const char *)s->in);
}

/* Takes all whole packets out of what has been received. */
static struct hf_err *
take_packets(struct hf_sftp *s)
{
	size_t done = 0, used;
	struct hf_bytes packet;

	for (;;) {
		HF_TRY(hf_sftp_frame(
			(struct hf_bytes){s->in + done, s->in_len - done}, &used, &packet));
		if (used == 0)
			break;
		HF_TRY(take_packet(s, packet));
		done += used;
	}
	if (done > 0)
		memmove(s->in, s->in + done, s->in_len - done);
	s->in_len -= done;
	return NULL;
}

/* What has arrived; false when the session has ended. */
static bool
receive(struct hf_sftp *s)
{
	ssize_t n = recv(s->child.talk, s->in + s->in_len, ROOM - s->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		end_closed(s);
		return false;
	}
	atomic_store(&s->moved, now());
	s->in_len += (size_t)n;
	hf_autoptr(hf_err) e = explain(s, take_packets(s));
	if (e == NULL)
		return true;
	hf_autofree char *why = NULL;
	if (asprintf(&why, "the server sent what cannot be understood: %s", hf_err_text(e)) < 0)
		abort();
	/* Noise within a session may be gone in the next; what never was a server will be none. */
	end_session(s, s->is_ready ? HF_EIO : HF_EFATAL, why);
	return false;
}

static void *
read_answers(void *arg)
{
	struct hf_sftp *s = arg;
	struct pollfd p[2] = {{.fd = s->child.talk, .events = POLLIN},
		{.fd = s->child.err, .events = POLLIN}};

	for (;;) {
		int n = poll(p, 2, -1);

		if (n > 0 && p[1].revents != 0 && !hear(s))
			p[1].fd = -1;
		if (n > 0 && p[0].revents != 0 && !receive(s))
			return NULL;
	}
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

/*
 * Sends both pieces. Gives up when the session is dead, which it is after any failure here: half a
 * packet may have been sent.
 */
static void
transmit(struct hf_sftp *s, struct iovec v[2])
{
	int64_t since = now();

	while (v[0].iov_len + v[1].iov_len > 0) {
		struct msghdr msg = {.msg_iov = v, .msg_iovlen = 2};
		struct pollfd p = {.fd = s->child.talk, .events = POLLOUT};
		ssize_t n = sendmsg(s->child.talk, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			advance(v, (size_t)n);
			atomic_store(&s->moved, now());
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return; /* it is closed: the reader sees that, too, and hears why */
		(void)poll(&p, 1, LOOK_MS);
		pthread_mutex_lock(&s->lock);
		if (!s->is_dead && now() > stuck_at(s, since))
			end_stuck(s, since);
		bool is_dead = s->is_dead;
		pthread_mutex_unlock(&s->lock);
		if (is_dead)
			return;
	}
}

static bool
has_room(const struct hf_sftp *s, size_t weight)
{
	return s->n_free > 0 &&
	       (weight == 0 || s->under_way == 0 || s->under_way + weight <= s->window);
}

/* Under the lock. */
static struct slot *
take_slot(struct hf_sftp *s, struct hf_sftp_call *call, size_t weight)
{
	while (s->slots[s->next_slot].is_used)
		s->next_slot = (s->next_slot + 1) % SLOTS;
	struct slot *slot = &s->slots[s->next_slot];

	*slot = (struct slot){.is_used = true,
		.id = s->count++ << SLOT_BITS | s->next_slot,
		.call = call,
		.weight = weight,
		.sent = now()};
	s->next_slot = (s->next_slot + 1) % SLOTS;
	s->n_free--;
	s->under_way += weight;
	return slot;
}

/* A number for a request, when there is room for it. */
static struct hf_err *
enter(struct hf_sftp *s, struct hf_sftp_call *call, size_t weight, bool is_urgent, uint32_t *id)
{
	int64_t since = now();
	struct hf_err *e = NULL;

	pthread_mutex_lock(&s->lock);
	while (!s->is_dead && !has_room(s, is_urgent ? 0 : weight)) {
		int64_t at = stuck_at(s, since);

		if (now() > at)
			end_stuck(s, since);
		else
			wait_until(s, &s->changed, at + 1);
	}
	if (s->is_dead)
		e = dead(s);
	else
		*id = take_slot(s, call, weight)->id;
	pthread_mutex_unlock(&s->lock);
	return e;
}

struct hf_err *
hf_sftp_send(struct hf_sftp *s, struct hf_sftp_call *call, struct hf_buf *request,
	const struct hf_sftp_ask *ask)
{
	call->type = 0;
	call->is_done = false;
	call->waiter = NULL;
	call->weight = ask->more.len + call->room_len;
	call->session = NULL;
	HF_TRY(hf_buf_ok(request));
	HF_TRY(enter(s, call, call->weight, ask->is_urgent, &call->id));
	call->session = s;
	hf_sftp_finish(request, call->id, ask->more.len);
	pthread_mutex_lock(&s->writing);
	transmit(s, (struct iovec[2]){{request->p, request->len},
			    {(void *)(uintptr_t)ask->more.p, ask->more.len}});
	pthread_mutex_unlock(&s->writing);
	return NULL;
}

void
hf_sftp_tell(struct hf_sftp *s, struct hf_buf *request)
{
	uint32_t id;
	hf_autoptr(hf_err) e = enter(s, NULL, 0, true, &id);

	if (e != NULL)
		return;
	hf_sftp_finish(request, id, 0);
	pthread_mutex_lock(&s->writing);
	transmit(s, (struct iovec[2]){{request->p, request->len}, {NULL, 0}});
	pthread_mutex_unlock(&s->writing);
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
	int64_t sent = s->slots[call->id % SLOTS].sent; /* unless it is done */
	call->waiter = &answered;
	while (!call->is_done) {
		int64_t at = within_s > 0 ? sent + hf_ns(within_s) : stuck_at(s, sent);

		if (now() > at)
			end_stuck(s, sent);
		else
			wait_until(s, &answered, at + 1);
	}
	call->waiter = NULL;
	if (call->type == 0)
		e = dead(s);
	call->session = NULL;
	struct slot *slot = &s->slots[call->id % SLOTS];
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
		struct slot *slot = &s->slots[call->id % SLOTS];
		if (slot->is_used && slot->call == call)
			slot->call = NULL;
		pthread_mutex_unlock(&s->lock);
	}
	hf_buf_clear(&call->bytes);
	*call = (struct hf_sftp_call){.session = NULL};
}

/* ---- the words of a server ---- */

/* What codes mean; the server's own words are added only when they say more. */
static const struct {
	uint32_t status;
	enum hf_code code;
	const char *text;
} meanings[] = {
	{HF_SFTP_EOF, HF_EIO, "unexpected end of file"},
	{HF_SFTP_NO_SUCH_FILE, HF_ENOTFOUND, "no such file"},
	{HF_SFTP_PERMISSION_DENIED, HF_EFATAL, "permission denied by the server"},
	{HF_SFTP_FAILURE, HF_EIO, "the server failed"},
	{HF_SFTP_NO_CONNECTION, HF_EIO, "the server has no connection"},
	{HF_SFTP_CONNECTION_LOST, HF_EIO, "the server has lost its connection"},
	{HF_SFTP_OP_UNSUPPORTED, HF_EFATAL, "not supported by the server"},
	{HF_SFTP_FILE_ALREADY_EXISTS, HF_EEXISTS, "it exists already"},
	{HF_SFTP_NO_SPACE, HF_EFATAL, "no space left on the server"},
	{HF_SFTP_QUOTA_EXCEEDED, HF_EFATAL, "quota exceeded on the server"},
};

/* The words of OpenSSH for these codes, which repeat them. */
static bool
says_more(struct hf_str words)
{
	static const char *const usual[] = {"", "Failure", "No such file", "Permission denied",
		"End of file", "Operation unsupported", "No connection", "Connection lost"};

	for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
		if (hf_str_is(words, usual[i]))
			return false;
	return true;
}

struct hf_err *
hf_sftp_result(const struct hf_sftp_call *call, enum hf_sftp_type type)
{
	struct hf_str words = hf_bytes_str(hf_buf_bytes(&call->bytes));
	char text[200];
	size_t n = 0;

	if (call->type == type && (type != HF_SFTP_STATUS || call->status == HF_SFTP_OK))
		return NULL;
	if (call->type != HF_SFTP_STATUS || call->status == HF_SFTP_OK)
		return hf_err(HF_EFATAL, "the server gave an answer of type %u, not %u",
			(unsigned)call->type, (unsigned)type);
	for (; n < words.len && n < sizeof text - 1; n++)
		text[n] = isprint((unsigned char)words.p[n]) ? words.p[n] : '?';
	text[n] = '\0';
	bool more = says_more(words);
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (meanings[i].status == call->status)
			return hf_err(meanings[i].code, "%s%s%s", meanings[i].text,
				more ? ": " : "", more ? text : "");
	return hf_err(HF_EIO, "the server failed with code %u%s%s", call->status,
		more ? ": " : "", more ? text : "");
}

/* ---- beginning and end ---- */

/* INIT has a version where other requests have a number. */
static void
greet(struct hf_sftp *s)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64);

	hf_sftp_begin(&b, HF_SFTP_INIT);
	hf_sftp_finish(&b, 3, 0);
	pthread_mutex_lock(&s->writing);
	transmit(s, (struct iovec[2]){{b.p, b.len}, {NULL, 0}});
	pthread_mutex_unlock(&s->writing);
}

/* Its answer is for the reader; until it comes, what every server can do is assumed. */
static void
ask_limits(struct hf_sftp *s)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64);
	uint32_t id;

	if (!(s->extensions & HF_SFTP_HAS_LIMITS))
		return;
	hf_sftp_begin(&b, HF_SFTP_EXTENDED);
	hf_sftp_add_string(&b, hf_str_bytes(hf_str("limits@openssh.com")));
	hf_autoptr(hf_err) e = enter(s, NULL, 0, true, &id);
	if (e != NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->limits_id = id;
	pthread_mutex_unlock(&s->lock);
	hf_sftp_finish(&b, id, 0);
	pthread_mutex_lock(&s->writing);
	transmit(s, (struct iovec[2]){{b.p, b.len}, {NULL, 0}});
	pthread_mutex_unlock(&s->writing);
}

static struct hf_err *
await_ready(struct hf_sftp *s, const struct hf_sftp_setup *setup)
{
	int64_t end = now() + hf_ns(setup->connect_s);
	struct hf_err *e = NULL;
	char why[100];

	pthread_mutex_lock(&s->lock);
	while (!s->is_ready && !s->is_dead) {
		if (setup->gives_up != NULL && setup->gives_up(setup->arg))
			end_locked(s, HF_EIO, "interrupted while connecting");
		snprintf(why, sizeof why, "no connection after %.3g s", setup->connect_s);
		if (now() > end)
			end_locked(s, HF_EIO, why);
		else if (!s->is_dead)
			wait_until(s, &s->changed, now() + LOOK_MS * (HF_SECOND / 1000));
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
	new->arg = setup->arg;
	new->n_free = SLOTS;
	new->count = 1;
	new->in = hf_alloc_(1, ROOM);
	atomic_init(&new->moved, now());
	pthread_mutex_init(&new->lock, NULL);
	pthread_mutex_init(&new->writing, NULL);
	init_cond(&new->changed);
	int en = pthread_create(&new->reader, NULL, read_answers, new);
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
hf_sftp_free(struct hf_sftp *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->is_closing = true;
	pthread_mutex_unlock(&s->lock);
	/* The reader ends when the program does, which is when it hears that nothing more comes. */
	hf_child_hang_up(&s->child);
	if (hf_child_peek(&s->child, (int)(grace_s * 1000)) == -1)
		hf_child_kill(&s->child);
	shutdown(s->child.talk, SHUT_RDWR);
	pthread_join(s->reader, NULL);
	hf_child_end(&s->child, 0);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->writing);
	pthread_cond_destroy(&s->changed);
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
