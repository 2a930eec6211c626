/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/http.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "base/io.h"
#include "base/time.h"
#include "net/http_i.h"

enum {
	CONNECT_S = 30,
	STALL_S = 300,
	MAX_REDIRECTS = 10,
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
	http_free_handles(h);
	h2_free(h->h2);
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

/* ---- what all transfers share ---- */

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

void
call_range(const struct hf_http_request *r, char text[static HTTP_RANGE])
{
	uint64_t last;

	if (r->len == SIZE_MAX || __builtin_add_overflow(r->off, r->len - 1, &last))
		snprintf(text, HTTP_RANGE, "bytes=%ju-", (uintmax_t)r->off);
	else
		snprintf(text, HTTP_RANGE, "bytes=%ju-%ju", (uintmax_t)r->off, (uintmax_t)last);
}

/* ---- transfers ---- */

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
	return c->h->h2 != NULL ? h2_transfer(c->h->h2, c, url) : http_by_curl(c, url);
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
