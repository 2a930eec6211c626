/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP for stores: one client per place, any number of threads, each call one request that blocks
 * until its answer is whole. Connections are kept and used again. libcurl does the transport and
 * speaks HTTP/1.1 also over TLS: what Debian 12 has (7.88.1) loses uploads and takes half an
 * answer for a whole one over HTTP/2 when the other side resets a stream (repaired upstream by
 * 8.2.0), and packs go over several connections anyway.
 *
 * What the other side sends is bounded and checked: the body of an answer is as long as its header
 * says or it is an error, an answer that does not say how long it is is an error, and a range is
 * the range that was asked for. Nothing waits for ever: a connection has `connect_s`, a request on
 * which no byte moves in either direction ends after `stall_s`, and a set `stop` ends it within
 * about a second, unless it has to be made all the same (no_stop).
 *
 * No secret gets into a text: credentials are given apart from URLs, and what stands before an `@`
 * in a URL is left out of messages.
 */
#ifndef HF_NET_HTTP_H
#define HF_NET_HTTP_H

#include "base/buf.h"
#include "base/pace.h"
#include "base/sink.h"
#include "base/stop.h"

/* Everything is copied, but for what the last pointers point to, which outlives the client. */
struct hf_http_options {
	const char *user_agent; /* NULL: "holdfast/" and the version */
	const char *const
		*ca_files; /* PEM; these alone are trusted. None: those of the system */
	size_t n_ca_files;
	/* Where the system's are: a file, and folders with OpenSSL's names. NULL: libcurl knows. */
	const char *system_ca_file, *system_ca_dirs;
	const char *client_cert; /* a PEM file with certificate and key, or NULL */
	bool insecure_tls;       /* does not look whom it talks to */
	const char *unix_socket; /* connects to this path instead of the URL's host, or NULL */
	/* Basic authentication, only sent to the host of the request's own URL; no user: none. */
	struct hf_str user, password;
	/* Or NULL. "http://host:port"; `no_proxy` is curl's and Go's list. Never for loopback. */
	const char *http_proxy, *https_proxy, *no_proxy;
	double connect_s; /* name, connection and TLS; 0: 30 s, or stall_s if that is less */
	double stall_s;   /* 0: 300 s */
	struct hf_stop *stop;
	struct hf_pace *upload, *download; /* limits, or NULL */
	/*
	 * 0, or a socket that is connected already and speaks HTTP/2 without TLS, which the client
	 * takes over: all requests share it. When it ends, so does the client: see hf_http_is_dead().
	 */
	int socket;
};

struct hf_http;

/* HF_EFATAL: a file with certificates that cannot be read. */
struct hf_err *hf_http_new(const struct hf_http_options *o, struct hf_http **out) HF_MUST;
void hf_http_free(struct hf_http *h); /* no request may be in flight; NULL is fine */
HF_AUTOPTR(hf_http)

struct hf_http_request {
	const char *method; /* GET, HEAD, PUT, POST, DELETE */
	const char *url;    /* percent-encoded, sent as it is: http:// or https://, no user */
	const char *const *headers; /* "Name: value"; without "Host", "Range" and lengths */
	size_t n_headers;
	struct hf_bytes
		body; /* sent with its length by PUT and POST, which may send it twice */

	/*
	 * GET only: `len` bytes (at least 1) from `off` on, SIZE_MAX: up to the end. A server that sends
	 * everything instead is put up with. Fewer bytes are an answer of status 416.
	 */
	bool is_range;
	uint64_t off;
	size_t len;

	struct hf_buf
		*out; /* the body of a 2xx answer is appended to it; NULL: it is dropped */
	/*
	 * Or it goes here, but not over a connection that others share (hf_http_pours()), whose
	 * answers would wait. That it was what it had to be is known only at the end.
	 */
	struct hf_sink *sink;

	const char *const *want; /* names of headers of the answer, at most HF_HTTP_WANT */
	size_t n_want;
	/*
	 * 0, or the request is over after so long, give or take a second: what has not been sent by
	 * then is not sent later either. Limits do not slow it down, so that who makes it waits for
	 * its share before (hf_http_share()).
	 */
	double deadline_s;
	bool no_auth;     /* the client's user and password are not sent */
	bool no_pace;     /* limits do not count for it */
	bool no_stop;     /* `stop` does not end it; give it a deadline */
	bool no_redirect; /* a redirection is an answer as any other */
};

enum { HF_HTTP_WANT = 8, HF_HTTP_SAYS = 16 << 10 };

struct hf_http_answer {
	int status;
	uint64_t size; /* a range: of the whole file; else of the body (HEAD: that of GET) */
	bool has_size; /* the server told */
	double retry_after;         /* seconds, 0 when the server did not say */
	char *values[HF_HTTP_WANT]; /* of the headers asked for, or NULL each */
	struct hf_buf says;         /* the start of the body of an answer that is not 2xx */
	char *what;                 /* "GET http://host/path", for messages */
	char *location;             /* where an answer 3xx points to, or NULL */
};

/* Whether requests may have a sink. */
bool hf_http_pours(const struct hf_http *h);

/* Zeroed is valid; the same answer may be used for request after request. */
void hf_http_answer_clear(struct hf_http_answer *a);

/*
 * Makes the request. NULL: there is an answer, of whatever status. Otherwise there is none that
 * can be used, `out` is as long as it was, and the code says what trying again would do:
 *	HF_EIO		may help: no connection, cut off, too slow, the name not found (a resolver
 *			that is cut off cannot be told from a name that nobody has)
 *	HF_EFATAL	will not: the other side's certificate or ours, a URL that is none, an
 *			answer longer than the maximum of `out`
 *	HF_ECANCELED	`stop` was set
 * Redirections are followed up to 10 times: 307 and 308 always, 301, 302 and 303 for GET and HEAD;
 * user and password go along to the same host only, and never from https to http.
 */
struct hf_err *hf_http_do(
	struct hf_http *h, const struct hf_http_request *r, struct hf_http_answer *a) HF_MUST;

/*
 * Waits until the limit of uploads has room for so many bytes, which then go without another wait.
 * HF_ECANCELED: `stop` was set.
 */
struct hf_err *hf_http_share(struct hf_http *h, size_t bytes) HF_MUST;

/*
 * The error that an answer means, NULL for 2xx: HF_ENOTFOUND for 404 and 410, HF_EIO for 408, 425,
 * 429 and 5xx, HF_ECORRUPT for 416 (a file with too few bytes), HF_EFATAL for the others, also for
 * 501, 505 and 507 (no room). Quotes the first line of what the server says if it is plain text,
 * and knows how long the server wants to be left alone (hf_err_wait()).
 */
struct hf_err *hf_http_error(const struct hf_http_answer *a) HF_MUST;

/* True when the client's only socket has ended; every request fails with HF_EFATAL from then on. */
bool hf_http_is_dead(const struct hf_http *h);

/*
 * Appends `s` with everything but letters, digits and -._~ (and, if `keep_slash`, `/`) as %XX in
 * upper case: AWS's canonical form, which any server understands.
 */
void hf_http_encode(struct hf_buf *out, struct hf_str s, bool keep_slash);

#endif
