/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the HTTP client share. */
#ifndef HF_NET_HTTP_I_H
#define HF_NET_HTTP_I_H

#include <pthread.h>

#include "base/secret.h"
#include "net/http.h"
#include "net/libcurl.h"

struct h2;
struct call;

/* What libcurl keeps from request to request: connections. */
struct handle {
	CURL *easy;
	const struct call *call; /* the request that it makes just now, or NULL */
};

/* Strings are owned, or NULL; never changed after hf_http_new() but for what `lock` guards. */
struct hf_http {
	char *user_agent, *client_cert, *unix_socket;
	char *system_ca_file, *system_ca_dirs;
	char *http_proxy, *https_proxy, *no_proxy;
	struct hf_buf
		ca; /* all files of certificates, one after the other; empty: the system's */
	bool insecure_tls, has_user;
	struct hf_secret user, password; /* with a NUL behind */
	double connect_s, stall_s;
	struct hf_stop *stop;
	struct hf_pace *upload, *download;
	struct h2 *h2; /* or NULL: every handle has a connection of its own */

	pthread_mutex_t lock;
	struct handle **idle; /* the one used last is taken first */
	size_t n_idle, cap;
};

/* Why we ended a transfer ourselves. */
enum why {
	NOT_ENDED,
	ENOUGH,  /* all that is wanted has come */
	STOPPED, /* from outside */
	STALLED,
	LATE,   /* its deadline */
	FAILED, /* `error` says why */
};

/* One request, on the stack of who makes it. */
struct call {
	struct hf_http *h;
	const struct hf_http_request *r;
	struct hf_http_answer *a;
	struct handle *handle;      /* not over HTTP/2 */
	CURL *easy;                 /* of the handle */
	char said[CURL_ERROR_SIZE]; /* what libcurl has to say about a failure */
	struct curl_slist *headers;
	bool has_auth;
	double deadline; /* hf_clock(), or 0 */

	enum why why;
	struct hf_err *error;

	/* progress */
	uint64_t n_moved;
	double moved_at;
	size_t n_sent; /* of the body */

	/* the answer so far */
	bool is_begun;  /* its body */
	bool is_framed; /* where its body ends is certain */
	bool is_ours;   /* its body is what was asked for */
	bool has_length, has_range, has_total;
	uint64_t length;             /* Content-Length */
	uint64_t first, last, total; /* Content-Range */
	uint64_t skip, left;         /* of the body: bytes before those wanted, bytes wanted */
	size_t before;               /* bytes in `out` when the request began */
	uint64_t n_taken;            /* of the body, by `out` or the sink */
	uint64_t n_dropped;
};

/* ---- http_answer.c ---- */

/* Forgets the answer so far: another is about to come. */
void call_answer_begin(struct call *c);

/* A field of the header, in any order; c->a->status is set before. */
void call_field(struct call *c, struct hf_str name, struct hf_str value);

/* A piece of the body. False: no more of it is wanted, c->why says why. */
bool call_piece(struct call *c, const char *p, size_t n);

/* Judges the whole answer after a transfer that went well, or was ENOUGH. */
struct hf_err *call_answer_end(struct call *c) HF_MUST;

/* ---- http.c ---- */

enum { HTTP_RANGE = 64 };

/* The value of the field Range. */
void call_range(const struct hf_http_request *r, char text[static HTTP_RANGE]);

/*
 * Looks whether a request is to go on, `n_moved` being the bytes that went either way so far.
 * False: c->why says why not. To be called once a second at least.
 */
bool call_goes_on(struct call *c, uint64_t n_moved);

/* The limit that slows a request down, or NULL; `limit` is the client's of one direction. */
struct hf_pace *call_pace(const struct call *c, struct hf_pace *limit);

/*
 * How many of `n` bytes go at once, so that a connection is not silent for long while it waits for
 * `limit`: a quarter of a second's worth, of which several connections may have to wait for.
 */
size_t call_portion(const struct call *c, const struct hf_pace *limit, size_t n);

/* ---- http_failed.c ---- */

/* The error of a transfer that was ended by ourselves. */
struct hf_err *call_ended(struct call *c) HF_MUST;

/* The same, and what a transfer of libcurl's means that ended with `rc`. */
struct hf_err *call_failed(struct call *c, CURLcode rc) HF_MUST;

/* ---- http_curl.c: a connection for each request, kept for the next ones ---- */

/* One request and its answer. */
struct hf_err *http_by_curl(struct call *c, const char *url) HF_MUST;
void http_free_handles(struct hf_http *h);

/* ---- h2.c: HTTP/2 on one socket that all requests share ---- */

/* Takes the socket over, also on failure. */
struct hf_err *h2_new(struct hf_http *h, int socket, struct h2 **out) HF_MUST;
void h2_free(struct h2 *h2);
bool h2_is_dead(struct h2 *h2);

/* One request and its answer. */
struct hf_err *h2_transfer(struct h2 *h2, struct call *c, const char *url) HF_MUST;

#endif
