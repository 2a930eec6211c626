/* SPDX-License-Identifier: BSD-2-Clause */
/* The thread of a session that reads: answers, and what the program says on standard error. */
#include "net/sftp_i.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { LAST_WORDS_MS = 1000 };

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

		if (c == '\n' || s->line_len == SFTP_LINE)
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
	sftp_end(s, HF_EIO, why);
}

/* ---- answers ---- */

void
sftp_free_slot(struct hf_sftp *s, struct sftp_slot *slot)
{
	s->under_way -= slot->weight;
	*slot = (struct sftp_slot){.id = 0};
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
	struct sftp_slot *slot = &s->slots[r.id % SFTP_SLOTS];
	s->is_silent = false;
	if (!slot->is_used || slot->id != r.id) {
		e = hf_err(HF_EFATAL, "an answer to a request that was not made (%u)", r.id);
	} else {
		if (slot->call == NULL && r.id == s->limits_id &&
			r.type == HF_SFTP_EXTENDED_REPLY)
			(void)hf_sftp_parse_limits(r.bytes, &s->limits);
		if (slot->call != NULL && !fill(slot->call, &r))
			e = hf_err(HF_EFATAL, "more data than were asked for");
		else if (slot->call != NULL)
			sftp_wake(slot->call);
		if (e == NULL)
			sftp_free_slot(s, slot);
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
	ssize_t n = recv(s->child.talk, s->in + s->in_len, SFTP_ROOM - s->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		end_closed(s);
		return false;
	}
	atomic_store(&s->moved, sftp_now());
	s->in_len += (size_t)n;
	hf_autoptr(hf_err) e = explain(s, take_packets(s));
	if (e == NULL)
		return true;
	hf_autofree char *why = NULL;
	if (asprintf(&why, "the server sent what cannot be understood: %s", hf_err_text(e)) < 0)
		abort();
	/* Noise within a session may be gone in the next; what never was a server will be none. */
	sftp_end(s, s->is_ready ? HF_EIO : HF_EFATAL, why);
	return false;
}

void *
sftp_read_answers(void *arg)
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
