/* SPDX-License-Identifier: BSD-2-Clause */
/* One transfer by libcurl, on a connection of its own. */
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/time.h"
#include "net/http_i.h"

enum { TRANSFER_BUFFER = 256 << 10 };

/* ---- handles ---- */

static struct handle *
take_handle(struct hf_http *h)
{
	struct handle *handle = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->n_idle > 0)
		handle = h->idle[--h->n_idle];
	pthread_mutex_unlock(&h->lock);
	if (handle == NULL) {
		handle = hf_new(struct handle);
		handle->easy = curl_easy_init();
	}
	if (handle->easy == NULL)
		abort(); /* small and of fixed size, as all that hf_new() makes */
	return handle;
}

/* Its connection stays open and is used again; everything that was set is forgotten. */
static void
give_handle(struct hf_http *h, struct handle *handle)
{
	handle->call = NULL;
	curl_easy_reset(handle->easy);
	pthread_mutex_lock(&h->lock);
	if (h->n_idle == h->cap) {
		h->cap = h->cap * 2 + 8;
		h->idle = hf_realloc_array(h->idle, h->cap, sizeof(struct handle *));
	}
	h->idle[h->n_idle++] = handle;
	pthread_mutex_unlock(&h->lock);
}

/*
 * When we have given a request up, what the kernel has not sent of it must not arrive later, as it
 * does after an ordinary close().
 */
static int
close_socket(void *arg, curl_socket_t fd)
{
	const struct handle *handle = arg;
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	if (handle->call != NULL && handle->call->why != NOT_ENDED &&
		handle->call->why != ENOUGH)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	return close(fd);
}

void
http_free_handles(struct hf_http *h)
{
	for (size_t i = 0; i < h->n_idle; i++) {
		curl_easy_cleanup(h->idle[i]->easy);
		free(h->idle[i]);
	}
	free(h->idle);
}

/* ---- what libcurl calls ---- */

/* Waits for the limit; the time does not count as standing still. */
static bool
wait_for_limit(struct call *c, struct hf_pace *limit, size_t n)
{
	if (call_pace(c, limit) == NULL)
		return true;
	c->error = hf_pace_wait(limit, n, c->h->stop);
	c->moved_at = hf_clock();
	if (c->error != NULL)
		c->why = FAILED;
	return c->error == NULL;
}

static size_t
send_body(char *p, size_t one, size_t n, void *arg)
{
	struct call *c = arg;
	size_t left = c->r->body.len - c->n_sent;

	n = call_portion(c, c->h->upload, n * one);
	n = n < left ? n : left;
	if (n == 0)
		return 0;
	memcpy(p, c->r->body.p + c->n_sent, n);
	c->n_sent += n;
	return wait_for_limit(c, c->h->upload, n) ? n : CURL_READFUNC_ABORT;
}

/* libcurl sends the body again when a kept connection turns out to be dead. */
static int
seek_body(void *arg, curl_off_t off, int whence)
{
	struct call *c = arg;

	if (whence != SEEK_SET || off < 0 || (uint64_t)off > c->r->body.len)
		return CURL_SEEKFUNC_FAIL;
	c->n_sent = (size_t)off;
	return CURL_SEEKFUNC_OK;
}

static size_t
take_header(char *p, size_t one, size_t n, void *arg)
{
	struct call *c = arg;
	struct hf_str line = {p, n * one}, name = line;
	const char *colon;

	while (line.len > 0 && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
		line.len--;
	if (line.len >= 5 && memcmp(line.p, "HTTP/", 5) == 0) {
		long status = 0;

		call_answer_begin(c); /* after "100 Continue" another status line comes */
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		c->a->status = (int)status;
	} else if ((colon = memchr(line.p, ':', line.len)) != NULL) {
		name.len = (size_t)(colon - line.p);
		struct hf_str value = {colon + 1, line.len - name.len - 1};
		while (value.len > 0 && (*value.p == ' ' || *value.p == '\t'))
			value.p++, value.len--;
		while (value.len > 0 && strchr(" \t", value.p[value.len - 1]) != NULL)
			value.len--;
		call_field(c, name, value);
	}
	return n * one;
}

static size_t
take_body(char *p, size_t one, size_t n, void *arg)
{
	struct call *c = arg;

	n *= one;
	return call_piece(c, p, n) && wait_for_limit(c, c->h->download, n) ? n : 0;
}

/* Called about once a second, and more often while bytes move. */
static int
look(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
	(void)down_all, (void)up_all;
	return call_goes_on(arg, (uint64_t)down + (uint64_t)up) ? 0 : 1;
}

/* ---- what libcurl is told ---- */

static bool
is_loopback(const char *host)
{
	return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
	       strcmp(host, "[::1]") == 0;
}

/* libcurl would look into the environment itself if it were not told. */
static void
set_proxy(struct call *c, const char *url)
{
	struct hf_http *h = c->h;
	const char *proxy = strncasecmp(url, "https:", 6) == 0 ? h->https_proxy : h->http_proxy;
	char *host = NULL;
	CURLU *u = curl_url();

	if (u == NULL || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
		curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK || is_loopback(host) ||
		h->unix_socket != NULL)
		proxy = NULL;
	curl_free(host);
	curl_url_cleanup(u);
	curl_easy_setopt(c->easy, CURLOPT_PROXY, proxy != NULL ? proxy : "");
	curl_easy_setopt(c->easy, CURLOPT_NOPROXY, h->no_proxy != NULL ? h->no_proxy : "");
}

static void
set_tls(struct call *c)
{
	struct hf_http *h = c->h;

	if (h->insecure_tls) {
		curl_easy_setopt(c->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (h->ca.len > 0) {
		struct curl_blob blob = {h->ca.p, h->ca.len, CURL_BLOB_NOCOPY};

		curl_easy_setopt(c->easy, CURLOPT_CAINFO_BLOB, &blob);
		curl_easy_setopt(c->easy, CURLOPT_CAPATH, NULL);
	} else {
		if (h->system_ca_file != NULL)
			curl_easy_setopt(c->easy, CURLOPT_CAINFO, h->system_ca_file);
		if (h->system_ca_dirs != NULL)
			curl_easy_setopt(c->easy, CURLOPT_CAPATH, h->system_ca_dirs);
	}
	if (h->client_cert != NULL) {
		curl_easy_setopt(c->easy, CURLOPT_SSLCERT, h->client_cert);
		curl_easy_setopt(c->easy, CURLOPT_SSLKEY, h->client_cert);
		/* A key with a password is an error, not a question at the terminal. */
		curl_easy_setopt(c->easy, CURLOPT_KEYPASSWD, "");
	}
}

static void
set_method(struct call *c)
{
	const struct hf_http_request *r = c->r;
	bool has_body = strcmp(r->method, "PUT") == 0 || strcmp(r->method, "POST") == 0;

	if (strcmp(r->method, "GET") == 0) {
		curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
	} else if (strcmp(r->method, "HEAD") == 0) {
		curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
	} else {
		curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method);
	}
	if (has_body) {
		curl_easy_setopt(c->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body.len);
		curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, send_body);
		curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
		curl_easy_setopt(c->easy, CURLOPT_SEEKFUNCTION, seek_body);
		curl_easy_setopt(c->easy, CURLOPT_SEEKDATA, c);
	}
}

static void
set_headers(struct call *c)
{
	const struct hf_http_request *r = c->r;
	struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no round trip for it */

	for (size_t i = 0; i < r->n_headers && list != NULL; i++)
		list = curl_slist_append(list, r->headers[i]);
	if (r->is_range) {
		char line[16 + HTTP_RANGE] = "Range: ";

		call_range(r, line + strlen(line));
		list = curl_slist_append(list, line);
	}
	c->headers = list;
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, list);
	if (c->has_auth) {
		curl_easy_setopt(c->easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(c->easy, CURLOPT_USERNAME, (char *)c->h->user.p);
		curl_easy_setopt(c->easy, CURLOPT_PASSWORD, (char *)c->h->password.p);
	}
}

static void
set_up(struct call *c, const char *url)
{
	struct hf_http *h = c->h;
	CURL *e = c->easy;

	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* does not wait for a resolver */
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, h->user_agent);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(h->connect_s * 1000));
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(
		e, CURLOPT_BUFFERSIZE, (long)call_portion(c, h->download, TRANSFER_BUFFER));
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->said);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, look);
	curl_easy_setopt(e, CURLOPT_XFERINFODATA, c);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, c->handle);
	/* A proxy's answer to CONNECT is none of the server's. */
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (h->unix_socket != NULL)
		curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, h->unix_socket);
	set_proxy(c, url);
	set_tls(c);
	set_method(c);
	set_headers(c);
}

/* ---- the transfer ---- */

struct hf_err *
http_by_curl(struct call *c, const char *url)
{
	char *location = NULL;

	c->handle = take_handle(c->h);
	c->handle->call = c;
	c->easy = c->handle->easy;
	*c->said = '\0';
	set_up(c, url);
	CURLcode rc = curl_easy_perform(c->easy);
	struct hf_err *e =
		rc == CURLE_OK || c->why == ENOUGH ? call_answer_end(c) : call_failed(c, rc);
	curl_easy_getinfo(c->easy, CURLINFO_REDIRECT_URL, &location);
	if (location != NULL)
		c->a->location = hf_str_dup(hf_str(location));
	give_handle(c->h, c->handle);
	curl_slist_free_all(hf_steal(c->headers));
	return e;
}
