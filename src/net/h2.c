/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP/2 without TLS on a socket that is connected already, by nghttp2: for programs that serve
 * over their standard input and output. (libcurl 7.88.1 cannot be given such a socket: it calls
 * connect() on it although told that it is connected.)
 *
 * One thread does all that concerns the connection; who makes a request leaves it on a list, rings
 * and waits. So the callbacks below run on that thread and touch the caller's request and buffers
 * while the caller sleeps. Nothing in them blocks: a limit puts off the next piece of one stream.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <nghttp2/nghttp2.h>

#include "base/time.h"
#include "net/http_i.h"

enum {
	STREAM_WINDOW = 4 << 20,
	CONNECTION_WINDOW = 32 << 20,
	FRAME_MAX = 128 << 10,
	IO_SIZE = 256 << 10,
	MAX_FIELDS = 16,
	LOOK_MS = 1000, /* between two looks at the clock */
};

/* One request on its way through the thread, on the stack of who waits. */
struct job {
	struct call *c;
	const char *url;
	int32_t stream;
	uint64_t n_moved;
	bool is_whole; /* the end of the answer has come */

	/* limits; times on hf_clock() */
	double send_at;
	bool is_deferred;
	double consume_at;
	size_t unconsumed;

	struct hf_err *error;
	bool is_done; /* under the lock */
	struct job *next;
};

struct h2 {
	struct hf_http *h;
	int socket, bell;
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t done;
	struct job *fresh; /* not yet taken by the thread */
	bool ends, is_dead;

	/* the thread's own */
	nghttp2_session *session;
	struct job *jobs;
	struct hf_buf out; /* bytes to send */
	size_t n_out;      /* of which so many are sent */
	uint8_t in[IO_SIZE];
};

/* ---- the end of a request ---- */

static void
finish(struct h2 *h2, struct job *job, struct hf_err *e)
{
	for (struct job **p = &h2->jobs; *p != NULL; p = &(*p)->next) {
		if (*p != job)
			continue;
		*p = job->next;
		break;
	}
	pthread_mutex_lock(&h2->lock);
	job->error = e;
	job->is_done = true;
	pthread_cond_broadcast(&h2->done);
	pthread_mutex_unlock(&h2->lock);
}

static struct hf_err *
outcome(struct job *job, uint32_t code)
{
	if (job->c->why != NOT_ENDED && job->c->why != ENOUGH)
		return call_ended(job->c);
	if (job->is_whole || job->c->why == ENOUGH)
		return call_answer_end(job->c);
	return hf_err(HF_EIO, "the answer was cut off (%s)", nghttp2_http2_strerror(code));
}

/*
 * Ends a request now. The other end learns of it when it reads again, which may be never; until then
 * its stream belongs to nobody.
 */
static void
cancel(struct h2 *h2, struct job *job)
{
	nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, job->stream, NGHTTP2_CANCEL);
	nghttp2_session_set_stream_user_data(h2->session, job->stream, NULL);
	finish(h2, job, outcome(job, NGHTTP2_CANCEL));
}

/* Fails everything that there is and will be. */
static void
die(struct h2 *h2, const char *why)
{
	pthread_mutex_lock(&h2->lock);
	h2->is_dead = true;
	pthread_mutex_unlock(&h2->lock);
	while (h2->jobs != NULL)
		finish(h2, h2->jobs,
			hf_err(HF_EFATAL, "the program at the other end is gone (%s)", why));
}

/* ---- what nghttp2 calls ---- */

static struct job *
job_of(nghttp2_session *session, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(session, stream);
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct job *job = job_of(session, frame->hd.stream_id);
	struct hf_str n = {(const char *)name, name_len}, v = {(const char *)value, value_len};

	(void)flags, (void)arg;
	if (job == NULL || job->c->is_begun) /* what follows a body says nothing that we need */
		return 0;
	if (hf_str_is(n, ":status")) {
		call_answer_begin(job->c);
		for (size_t i = 0; i < v.len; i++)
			job->c->a->status = job->c->a->status * 10 + (v.p[i] - '0');
		job->c->is_framed = true; /* by nghttp2, which also compares Content-Length */
	} else {
		call_field(job->c, n, v);
	}
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
	void *arg)
{
	struct h2 *h2 = arg;
	struct job *job = job_of(session, stream);

	(void)flags;
	nghttp2_session_consume_connection(session, n);
	if (job == NULL)
		return 0;
	job->n_moved += n;
	job->unconsumed += n;
	if (!call_piece(job->c, (const char *)p, n))
		cancel(h2, job);
	else
		job->consume_at =
			hf_clock() + hf_pace_take(call_pace(job->c, h2->h->download), n);
	return 0;
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct job *job = job_of(session, frame->hd.stream_id);

	(void)arg;
	if (job != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
		(frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		job->is_whole = true;
	return 0;
}

static int
on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
	struct job *job = job_of(session, stream);

	if (job != NULL)
		finish(arg, job, outcome(job, code));
	return 0;
}

static ssize_t
send_length(nghttp2_session *session, uint8_t type, int32_t stream, int32_t connection_window,
	int32_t stream_window, uint32_t frame_max, void *arg)
{
	ssize_t n = frame_max < FRAME_MAX ? (ssize_t)frame_max : FRAME_MAX;

	(void)session, (void)type, (void)stream, (void)arg;
	n = n < connection_window ? n : connection_window;
	return n < stream_window ? n : stream_window;
}

static ssize_t
send_body(nghttp2_session *session, int32_t stream, uint8_t *p, size_t len, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2 *h2 = arg;
	struct job *job = job_of(session, stream);

	(void)source;
	if (job == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cancelled */
	struct call *c = job->c;
	size_t left = c->r->body.len - c->n_sent;
	size_t n = call_portion(c, h2->h->upload, len < left ? len : left);

	if (job->send_at > hf_clock()) {
		job->is_deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	memcpy(p, c->r->body.p + c->n_sent, n);
	c->n_sent += n;
	job->n_moved += n;
	job->send_at = hf_clock() + hf_pace_take(call_pace(c, h2->h->upload), n);
	if (c->n_sent == c->r->body.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

/* ---- the beginning of a request ---- */

/* The fields of a request, pointing into text that `keep` holds. */
struct fields {
	nghttp2_nv v[MAX_FIELDS];
	size_t n;
	char *keep[2 * MAX_FIELDS];
	size_t n_keep;
};

static void
fields_clear(struct fields *f)
{
	for (size_t i = 0; i < f->n_keep; i++)
		free(f->keep[i]);
}

/* `name` in lower case, as HTTP/2 wants it. */
static void
add_field(struct fields *f, struct hf_str name, struct hf_str value)
{
	if (f->n == MAX_FIELDS)
		abort(); /* the stores have a handful */
	char *n = hf_str_dup(name), *v = hf_str_dup(value);
	for (char *p = n; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	f->keep[f->n_keep++] = n;
	f->keep[f->n_keep++] = v;
	f->v[f->n++] = (nghttp2_nv){.name = (uint8_t *)n,
		.namelen = name.len,
		.value = (uint8_t *)v,
		.valuelen = value.len};
}

static void
add_range(struct fields *f, const struct hf_http_request *r)
{
	char text[HTTP_RANGE];

	if (r->is_range) {
		call_range(r, text);
		add_field(f, hf_str("range"), hf_str(text));
	}
}

static void
add_fields(struct fields *f, const struct call *c, const char *url, bool has_body)
{
	const struct hf_http_request *r = c->r;
	const char *host = strstr(url, "://");
	char length[32];

	host = host != NULL ? host + 3 : url;
	const char *path = host + strcspn(host, "/");
	add_field(f, hf_str(":method"), hf_str(r->method));
	add_field(f, hf_str(":scheme"), hf_str("http"));
	add_field(f, hf_str(":authority"), (struct hf_str){host, (size_t)(path - host)});
	add_field(f, hf_str(":path"), hf_str(*path != '\0' ? path : "/"));
	add_field(f, hf_str("user-agent"), hf_str(c->h->user_agent));
	for (size_t i = 0; i < r->n_headers; i++) {
		struct hf_str h = hf_str(r->headers[i]);
		size_t n = strcspn(h.p, ":");
		size_t skip = n + strspn(h.p + n, ": ");

		add_field(f, (struct hf_str){h.p, n}, hf_str(h.p + skip));
	}
	add_range(f, r);
	if (has_body) {
		snprintf(length, sizeof length, "%zu", r->body.len);
		add_field(f, hf_str("content-length"), hf_str(length));
	}
}

static void
submit(struct h2 *h2, struct job *job)
{
	const char *method = job->c->r->method;
	bool has_body = strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;
	nghttp2_data_provider body = {.read_callback = send_body};
	struct fields f = {.n = 0};

	add_fields(&f, job->c, job->url, has_body);
	job->stream = nghttp2_submit_request(h2->session, NULL, f.v, f.n,
		has_body && job->c->r->body.len > 0 ? &body : NULL, job);
	fields_clear(&f);
	job->next = h2->jobs;
	h2->jobs = job;
	if (job->stream < 0)
		finish(h2, job, hf_err(HF_EFATAL, "%s", nghttp2_strerror(job->stream)));
}

/* ---- the thread ---- */

/* Takes what has been left on the list. False: the end. */
static bool
take_jobs(struct h2 *h2)
{
	pthread_mutex_lock(&h2->lock);
	struct job *job = hf_steal(h2->fresh);
	bool ends = h2->ends;
	pthread_mutex_unlock(&h2->lock);

	while (job != NULL) {
		struct job *next = job->next;

		submit(h2, job);
		job = next;
	}
	return !ends;
}

/* What is due by the clock; returns milliseconds until the next look. */
static int
look_after(struct h2 *h2)
{
	double now = hf_clock(), next = now + LOOK_MS / 1000.0;

	for (struct job *job = h2->jobs, *after; job != NULL; job = after) {
		bool waits = job->is_deferred || job->unconsumed > 0;

		after = job->next; /* this one may end here */
		if (job->is_deferred && job->send_at <= now) {
			job->is_deferred = false;
			nghttp2_session_resume_data(h2->session, job->stream);
		}
		if (job->unconsumed > 0 && job->consume_at <= now) {
			nghttp2_session_consume_stream(
				h2->session, job->stream, job->unconsumed);
			job->unconsumed = 0;
		}
		if (job->is_deferred && job->send_at < next)
			next = job->send_at;
		if (job->unconsumed > 0 && job->consume_at < next)
			next = job->consume_at;
		if (waits)
			job->c->moved_at = now; /* it stands still because we want it to */
		if (!call_goes_on(job->c, job->n_moved))
			cancel(h2, job);
	}
	return next > now ? (int)((next - now) * 1000) + 1 : 0;
}

/* NULL, or why there is nobody to talk to any more. */
static const char *
send_some(struct h2 *h2)
{
	for (;;) {
		const uint8_t *p;

		if (h2->n_out == h2->out.len) {
			hf_buf_reset(&h2->out);
			h2->n_out = 0;
		}
		while (h2->out.len < IO_SIZE) {
			ssize_t n = nghttp2_session_mem_send(h2->session, &p);

			if (n < 0)
				return nghttp2_strerror((int)n);
			if (n == 0)
				break;
			hf_buf_add(&h2->out, p, (size_t)n);
		}
		if (h2->n_out == h2->out.len)
			return NULL;
		ssize_t n = send(h2->socket, h2->out.p + h2->n_out, h2->out.len - h2->n_out,
			MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? NULL : "it does not read any more";
		h2->n_out += (size_t)n;
	}
}

static const char *
receive_some(struct h2 *h2)
{
	ssize_t n = recv(h2->socket, h2->in, sizeof h2->in, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? NULL : "it does not write any more";
	if (n == 0)
		return "it ended the connection";
	ssize_t used = nghttp2_session_mem_recv(h2->session, h2->in, (size_t)n);
	return used < 0 ? nghttp2_strerror((int)used) : NULL;
}

static void *
drive(void *arg)
{
	struct h2 *h2 = arg;

	while (take_jobs(h2)) {
		struct pollfd p[2] = {{.fd = h2->socket}, {.fd = h2->bell, .events = POLLIN}};
		bool is_dead = h2->is_dead; /* only this thread sets it */
		int wait_ms = look_after(h2);
		const char *why = is_dead ? "earlier" : send_some(h2);

		if (why == NULL && !nghttp2_session_want_read(h2->session) &&
			!nghttp2_session_want_write(h2->session))
			why = "it said good-bye";
		if (why != NULL)
			die(h2, why);
		p[0].events = POLLIN;
		if (h2->n_out < h2->out.len)
			p[0].events |= POLLOUT;
		if (h2->is_dead)
			p[0].fd = -1;
		(void)poll(p, 2, wait_ms);
		if (p[1].revents != 0)
			(void)eventfd_read(h2->bell, &(eventfd_t){0});
		if (p[0].revents != 0 && (why = receive_some(h2)) != NULL)
			die(h2, why);
	}
	return NULL;
}

/* ---- from outside ---- */

static void
make_session(struct h2 *h2)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_MAX},
	};
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;

	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&option) != 0)
		abort();
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, send_length);
	nghttp2_option_set_no_auto_window_update(option, 1);
	if (nghttp2_session_client_new2(&h2->session, cb, h2, option) != 0 ||
		nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
			sizeof settings / sizeof settings[0]) != 0 ||
		nghttp2_session_set_local_window_size(
			h2->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) != 0)
		abort(); /* small and of fixed size, as all that hf_new() makes */
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
}

struct hf_err *
h2_new(struct hf_http *h, int socket, struct h2 **out)
{
	struct h2 *h2 = hf_new(struct h2);

	h2->h = h;
	h2->socket = socket;
	h2->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h2->out.max = 4 * IO_SIZE;
	pthread_mutex_init(&h2->lock, NULL);
	pthread_cond_init(&h2->done, NULL);
	make_session(h2);
	int en = h2->bell < 0 ? errno : pthread_create(&h2->thread, NULL, drive, h2);
	h2->has_thread = en == 0;
	if (en != 0) {
		h2_free(h2);
		return hf_err_errno(en, "starting a thread");
	}
	*out = h2;
	return NULL;
}

void
h2_free(struct h2 *h2)
{
	if (h2 == NULL)
		return;
	if (h2->has_thread) {
		pthread_mutex_lock(&h2->lock);
		h2->ends = true;
		pthread_mutex_unlock(&h2->lock);
		(void)eventfd_write(h2->bell, 1);
		pthread_join(h2->thread, NULL);
	}
	nghttp2_session_del(h2->session);
	if (h2->bell >= 0)
		close(h2->bell);
	close(h2->socket);
	hf_buf_clear(&h2->out);
	pthread_cond_destroy(&h2->done);
	pthread_mutex_destroy(&h2->lock);
	free(h2);
}

bool
h2_is_dead(struct h2 *h2)
{
	pthread_mutex_lock(&h2->lock);
	bool is_dead = h2->is_dead;
	pthread_mutex_unlock(&h2->lock);
	return is_dead;
}

struct hf_err *
h2_transfer(struct h2 *h2, struct call *c, const char *url)
{
	struct job job = {.c = c, .url = url};

	pthread_mutex_lock(&h2->lock);
	job.next = h2->fresh;
	h2->fresh = &job;
	(void)eventfd_write(h2->bell, 1);
	while (!job.is_done)
		pthread_cond_wait(&h2->done, &h2->lock);
	pthread_mutex_unlock(&h2->lock);
	return job.error;
}
