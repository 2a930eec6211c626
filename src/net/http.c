/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/http.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/time.h"
#include "net/http_i.h"

enum {
	CONNECT_S = 30,
	STALL_S = 300,
	MAX_REDIRECTS = 10,
	TRANSFER_BUFFER = 256 << 10,
	PORTION_MIN = 1024, /* bytes; also the least that libcurl receives at once */
	CA_MAX = 64 << 20,
	WHAT_MAX = 300, /* bytes of a URL in a message */
};

/* ---- the client ---- */

static char *
copy(const char *s)
{
	return s != NULL && *s != '\0' ? hf_str_dup(hf_str(s)) : NULL;
}

/* A file that cannot be read is no reason to try again, and no missing repository either. */
static struct hf_err *
unusable(struct hf_err *e, const char *what)
{
	hf_autoptr(hf_err) cause = e;

	return e != NULL ? hf_err(HF_EFATAL, "%s: %s", what, hf_err_text(cause)) : NULL;
}

static struct hf_err *
read_ca(struct hf_http *h, const struct hf_http_options *o)
{
	for (size_t i = 0; i < o->n_ca_files; i++) {
		HF_TRY(unusable(hf_read_file(o->ca_files[i], &h->ca), "CA certificates"));
		hf_buf_add_char(&h->ca, '\n');
	}
	if (h->client_cert != NULL && access(h->client_cert, R_OK) != 0)
		return unusable(
			hf_err_errno(errno, "%s", h->client_cert), "client certificate");
	return hf_buf_ok(&h->ca);
}

struct hf_err *
hf_http_new(const struct hf_http_options *o, struct hf_http **out)
{
	HF_TRY(hf_libcurl_load());
	hf_autoptr(hf_http) h = hf_new(struct hf_http);

	pthread_mutex_init(&h->lock, NULL);
	h->ca.max = CA_MAX;
	/* Counts how often it was called, under a lock of its own since 7.84. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return hf_err(HF_EFATAL, "libcurl does not start");
	h->user_agent = copy(o->user_agent != NULL ? o->user_agent : "holdfast/" HF_VERSION);
	h->client_cert = copy(o->client_cert);
	h->system_ca_file = copy(o->system_ca_file);
	h->system_ca_dirs = copy(o->system_ca_dirs);
	h->unix_socket = copy(o->unix_socket);
	h->http_proxy = copy(o->http_proxy);
	h->https_proxy = copy(o->https_proxy);
	h->no_proxy = copy(o->no_proxy);
	h->insecure_tls = o->insecure_tls;
	h->has_user = o->user.len > 0 || o->password.len > 0;
	hf_secret_set(&h->user, hf_str_bytes(o->user));
	hf_secret_set(&h->password, hf_str_bytes(o->password));
	h->stall_s = o->stall_s > 0 ? o->stall_s : STALL_S;
	h->connect_s = o->connect_s > 0 ? o->connect_s : CONNECT_S;
	if (o->connect_s <= 0 && h->connect_s > h->stall_s)
		h->connect_s = h->stall_s;
	h->stop = o->stop;
	h->upload = o->upload;
	h->download = o->download;
	if (o->socket != 0)
		HF_TRY(h2_new(h, o->socket, &h->h2));
	HF_TRY(read_ca(h, o));
	*out = hf_steal(h);
	return NULL;
}

void
hf_http_free(struct hf_http *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->n_idle; i++) {
		curl_easy_cleanup(h->idle[i]->easy);
		free(h->idle[i]);
	}
	h2_free(h->h2);
	free(h->idle);
	free(h->user_agent);
	free(h->client_cert);
	free(h->system_ca_file);
	free(h->system_ca_dirs);
	free(h->unix_socket);
	free(h->http_proxy);
	free(h->https_proxy);
	free(h->no_proxy);
	hf_secret_clear(&h->user);
	hf_secret_clear(&h->password);
	hf_buf_clear(&h->ca);
	pthread_mutex_destroy(&h->lock);
	curl_global_cleanup();
	free(h);
}

bool
hf_http_is_dead(const struct hf_http *h)
{
	return h->h2 != NULL && h2_is_dead(h->h2);
}

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

/* ---- texts ---- */

/* What a URL looks like in a message: without what stands before an `@`, and not endless. */
static void
add_url(struct hf_buf *b, const char *url)
{
	const char *host = strstr(url, "://"), *end, *at = NULL;

	host = host != NULL ? host + 3 : url;
	end = host + strcspn(host, "/?#");
	for (const char *p = host; p < end; p++)
		if (*p == '@')
			at = p + 1;
	hf_buf_add(b, url, (size_t)(host - url));
	host = at != NULL ? at : host;
	hf_buf_addf(b, "%.*s", WHAT_MAX, host);
}

static char *
what_text(const char *method, const char *url)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(1024);

	hf_buf_addf(&b, "%s ", method);
	add_url(&b, url);
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(&b)));
}

void
hf_http_encode(struct hf_buf *out, struct hf_str s, bool keep_slash)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
			c == '~' || (c == '/' && keep_slash))
			hf_buf_add_char(out, (char)c);
		else
			hf_buf_addf(out, "%%%02X", c);
	}
}

/* ---- one transfer ---- */

struct hf_pace *
call_pace(const struct call *c, struct hf_pace *limit)
{
	return c->r->no_pace || c->r->deadline_s > 0 ? NULL : limit;
}

size_t
call_portion(const struct call *c, const struct hf_pace *limit, size_t n)
{
	double most;

	if (limit == NULL || c->r->no_pace || c->r->deadline_s > 0)
		return n;
	most = limit->rate / 4 > PORTION_MIN ? limit->rate / 4 : PORTION_MIN;
	return most < (double)n ? (size_t)most : n;
}

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

bool
call_goes_on(struct call *c, uint64_t n_moved)
{
	double now = hf_clock();

	if (n_moved != c->n_moved) {
		c->n_moved = n_moved;
		c->moved_at = now;
	}
	if (!c->r->no_stop && hf_stop_is_set(c->h->stop))
		c->why = STOPPED;
	else if (c->deadline != 0 && now >= c->deadline)
		c->why = LATE;
	else if (now - c->moved_at >= c->h->stall_s)
		c->why = STALLED;
	return c->why == NOT_ENDED;
}

/* Called about once a second, and more often while bytes move. */
static int
look(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
	(void)down_all, (void)up_all;
	return call_goes_on(arg, (uint64_t)down + (uint64_t)up) ? 0 : 1;
}

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

void
call_range(const struct hf_http_request *r, char text[static HTTP_RANGE])
{
	uint64_t last;

	if (r->len == SIZE_MAX || __builtin_add_overflow(r->off, r->len - 1, &last))
		snprintf(text, HTTP_RANGE, "bytes=%ju-", (uintmax_t)r->off);
	else
		snprintf(text, HTTP_RANGE, "bytes=%ju-%ju", (uintmax_t)r->off, (uintmax_t)last);
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

/* ---- transfers ---- */

static struct hf_err *
transfer_by_curl(struct call *c, const char *url)
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

/* One request and its answer, whatever it is. */
static struct hf_err *
transfer(struct call *c, const char *url)
{
	call_answer_begin(c);
	free(hf_steal(c->a->location));
	c->why = NOT_ENDED;
	c->n_sent = 0;
	c->n_moved = 0;
	c->moved_at = hf_clock();
	return c->h->h2 != NULL ? h2_transfer(c->h->h2, c, url) : transfer_by_curl(c, url);
}

/* ---- redirections ---- */

static bool
is_followed(const struct hf_http_request *r, const struct hf_http_answer *a)
{
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;

	if (r->no_redirect || a->location == NULL)
		return false;
	return a->status == 307 || a->status == 308 ||
	       (reads && (a->status == 301 || a->status == 302 || a->status == 303));
}

static char *
url_part(const char *url, CURLUPart part)
{
	CURLU *u = curl_url();
	char *text = NULL, *own;

	if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(u, part, &text, 0) != CURLUE_OK)
		text = NULL;
	own = hf_str_dup(hf_str(text != NULL ? text : ""));
	curl_free(text);
	curl_url_cleanup(u);
	return own;
}

/* Whether who may know the password at `from` may know it at `to`. */
static bool
is_as_trusted(const char *from, const char *to)
{
	hf_autofree char *host = url_part(from, CURLUPART_HOST);
	hf_autofree char *other = url_part(to, CURLUPART_HOST);
	bool was_tls = strncasecmp(from, "https:", 6) == 0;

	return *host != '\0' && strcasecmp(host, other) == 0 &&
	       (!was_tls || strncasecmp(to, "https:", 6) == 0);
}

static struct hf_err *
follow(struct call *c, const char *first)
{
	hf_autofree char *url = hf_str_dup(hf_str(first));

	for (int i = 0; i <= MAX_REDIRECTS; i++) {
		HF_TRY(transfer(c, url));
		if (!is_followed(c->r, c->a))
			return NULL;
		c->has_auth = c->has_auth && is_as_trusted(url, c->a->location);
		free(url);
		url = hf_str_dup(hf_str(c->a->location));
	}
	return hf_err(HF_EFATAL, "the server redirects in a circle");
}

bool
hf_http_pours(const struct hf_http *h)
{
	return h->h2 == NULL;
}

struct hf_err *
hf_http_share(struct hf_http *h, size_t bytes)
{
	return hf_pace_wait(h->upload, bytes, h->stop);
}

struct hf_err *
hf_http_do(struct hf_http *h, const struct hf_http_request *r, struct hf_http_answer *a)
{
	struct call c = {.h = h, .r = r, .a = a, .has_auth = h->has_user && !r->no_auth};
	struct hf_err *e;

	c.before = r->out != NULL ? r->out->len : 0;
	c.deadline = r->deadline_s > 0 ? hf_clock() + r->deadline_s : 0;
	free(a->what);
	a->what = what_text(r->method, r->url);
	call_answer_begin(&c);
	e = follow(&c, r->url);
	if (e != NULL && r->out != NULL)
		r->out->len = c.before;
	if (e != NULL && hf_err_code(e) == HF_ECANCELED)
		return e;
	return hf_err_in(e, "%s", a->what);
}
