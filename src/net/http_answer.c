/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to a request: header lines, the body and where it goes, and what it all means. */
#include <stdio.h>
#include <strings.h>

#include "base/time.h"
#include "net/http_i.h"

/* An answer that nobody wants is read to its end up to so many bytes, which saves a connection. */
enum { DROP_MAX = 256 << 10 };

void
hf_http_answer_clear(struct hf_http_answer *a)
{
	for (size_t i = 0; i < HF_HTTP_WANT; i++) {
		free(a->values[i]);
		a->values[i] = NULL;
	}
	free(a->what);
	free(a->location);
	hf_buf_clear(&a->says);
	*a = (struct hf_http_answer){0};
}

void
call_answer_begin(struct call *c)
{
	struct hf_http_answer *a = c->a;

	for (size_t i = 0; i < HF_HTTP_WANT; i++) {
		free(a->values[i]);
		a->values[i] = NULL;
	}
	a->status = 0;
	a->size = 0;
	a->has_size = false;
	a->retry_after = 0;
	a->says.max = HF_HTTP_SAYS;
	hf_buf_reset(&a->says);
	c->is_framed = c->is_ours = c->has_length = c->has_range = c->has_total = false;
	c->is_begun = false;
	c->skip = c->n_dropped = 0;
	c->left = UINT64_MAX;
	c->n_taken = 0;
	if (c->r->out != NULL)
		c->r->out->len = c->before;
	if (c->r->sink != NULL)
		c->r->sink->begin(c->r->sink);
}

/* ---- the header ---- */

static bool
parse_number(const char **p, const char *end, uint64_t *out)
{
	const char *start = *p;
	uint64_t n = 0;

	for (; *p < end && **p >= '0' && **p <= '9'; ++*p)
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(**p - '0'), &n))
			return false;
	*out = n;
	return *p > start;
}

/* How far away a date of HTTP is. */
static double
seconds_until(const char *date)
{
	time_t then = curl_getdate(date, NULL), now = time(NULL);

	return then > now ? (double)(then - now) : 0;
}

/* "bytes 5-9/10", with a star for what is not known. What cannot be understood is not known. */
static void
parse_range(struct call *c, struct hf_str v)
{
	const char *p = v.p, *end = v.p + v.len, *slash = memchr(v.p, '/', v.len);

	if (v.len < 6 || slash == NULL || strncasecmp(p, "bytes ", 6) != 0)
		return;
	p += 6;
	c->has_range = parse_number(&p, slash, &c->first) && p < slash && *p++ == '-' &&
		       parse_number(&p, slash, &c->last) && p == slash && c->last >= c->first;
	p = slash + 1;
	c->has_total = parse_number(&p, end, &c->total) && p == end;
}

static bool
is_name(struct hf_str name, const char *what)
{
	return name.len == strlen(what) && strncasecmp(name.p, what, name.len) == 0;
}

void
call_field(struct call *c, struct hf_str name, struct hf_str value)
{
	const struct hf_http_request *r = c->r;

	for (size_t i = 0; i < r->n_want; i++) {
		if (!is_name(name, r->want[i]))
			continue;
		free(c->a->values[i]);
		c->a->values[i] = hf_str_dup(value);
	}
	if (is_name(name, "Transfer-Encoding")) {
		c->is_framed |= value.len >= 7 &&
				strncasecmp(value.p + value.len - 7, "chunked", 7) == 0;
	} else if (is_name(name, "Content-Length")) {
		const char *p = value.p;

		/* That it is the length indeed, the transport sees to. */
		c->has_length = parse_number(&p, value.p + value.len, &c->length) &&
				p == value.p + value.len;
		c->is_framed |= c->has_length;
	} else if (is_name(name, "Content-Range")) {
		parse_range(c, value);
	} else if (is_name(name, "Retry-After")) {
		hf_autofree char *text = hf_str_dup(value);
		uint64_t seconds;
		const char *p = text;

		if (parse_number(&p, text + value.len, &seconds) && *p == '\0')
			c->a->retry_after = (double)seconds;
		else
			c->a->retry_after = seconds_until(text);
	}
}

/* ---- the body ---- */

static bool
is_wanted(const struct call *c)
{
	return c->r->out != NULL || c->r->sink != NULL;
}

/* Once the header is complete: what its body is, and whether there is room for it. */
static struct hf_err *
body_begin(struct call *c)
{
	const struct hf_http_request *r = c->r;
	int status = c->a->status;
	uint64_t want = c->length;

	if (c->is_begun)
		return NULL;
	c->is_begun = true;
	c->is_ours = status >= 200 && status < 300;
	if (!c->is_ours || !is_wanted(c))
		return NULL;
	if (r->is_range) {
		if (status == 206 && c->has_range && c->first != r->off)
			return hf_err(HF_EIO,
				"bytes from %ju on were asked for, those from %ju on came",
				(uintmax_t)r->off, (uintmax_t)c->first);
		c->skip = status == 206 ? 0 : r->off;
		c->left = r->len == SIZE_MAX ? UINT64_MAX : r->len;
		want = want > c->skip ? want - c->skip : 0;
		want = want > c->left ? c->left : want;
	}
	if (!c->has_length || r->out == NULL)
		return NULL;
	if (want > SIZE_MAX)
		return hf_err(HF_EFATAL, "%ju bytes do not fit into memory", (uintmax_t)want);
	return hf_buf_reserve(r->out, (size_t)want);
}

/* Takes what is wanted from a piece of our body; the number of bytes to skip and the rest. */
static struct hf_err *
take(struct call *c, const char *p, size_t n)
{
	size_t skip = c->skip < n ? (size_t)c->skip : n;

	c->skip -= skip;
	p += skip;
	n -= skip;
	size_t wanted = c->left < n ? (size_t)c->left : n;
	if (c->left != UINT64_MAX)
		c->left -= wanted;
	c->n_dropped += n - wanted;
	if (!is_wanted(c) || wanted == 0)
		return NULL;
	c->n_taken += wanted;
	if (c->r->sink != NULL)
		return c->r->sink->take(
			c->r->sink, (struct hf_bytes){(const uint8_t *)p, wanted});
	HF_TRY(hf_buf_reserve(c->r->out, wanted));
	hf_buf_add(c->r->out, p, wanted);
	return NULL;
}

bool
call_piece(struct call *c, const char *p, size_t n)
{
	struct hf_err *e = body_begin(c);

	if (e == NULL && c->is_ours)
		e = take(c, p, n);
	if (e != NULL) {
		c->why = FAILED;
		c->error = e;
		return false;
	}
	if (!c->is_ours) {
		size_t room = HF_HTTP_SAYS - c->a->says.len;

		hf_buf_add(&c->a->says, p, n < room ? n : room);
		c->n_dropped += n;
	}
	if (c->n_dropped > DROP_MAX)
		c->why = ENOUGH;
	return c->why != ENOUGH;
}

/* ---- judgement ---- */

/* What came of a range: as many bytes as there should have been, or it is a short file. */
static struct hf_err *
range_end(struct call *c)
{
	struct hf_http_answer *a = c->a;
	uint64_t got = c->n_taken;

	/* rclone says "bytes 10-9/10" where others say 416. */
	bool is_empty = a->status == 206 && !c->has_range && c->has_total && got == 0;
	if (a->status == 206 && !c->has_range && !is_empty)
		return hf_err(HF_EIO, "the server does not say which part of the file it sent");
	if (c->has_range && got != c->last - c->first + 1)
		return hf_err(HF_EIO, "%ju bytes came where %ju were announced", (uintmax_t)got,
			(uintmax_t)(c->last - c->first + 1));
	/* The whole came instead: the last byte of it may still be before the first wanted. */
	bool is_short = is_empty || c->skip > 0 || (c->r->len != SIZE_MAX && got < c->r->len);
	if (c->has_range && c->has_total && c->last + 1 != c->total &&
		(is_short || c->r->len == SIZE_MAX))
		return hf_err(HF_EIO, "only part of what was asked for came");
	if (is_short) {
		a->status = 416;
		if (c->r->out != NULL)
			c->r->out->len = c->before;
	}
	return NULL;
}

struct hf_err *
call_answer_end(struct call *c)
{
	struct hf_http_answer *a = c->a;

	HF_TRY(body_begin(c));
	if (c->has_total || a->status == 206 || a->status == 416) {
		a->has_size = c->has_total;
		a->size = c->has_total ? c->total : 0;
	} else {
		a->has_size = c->has_length;
		a->size = c->length;
	}
	if (a->status < 200 || a->status >= 300)
		return NULL;
	if (strcmp(c->r->method, "HEAD") == 0 || a->status == 204)
		return NULL;
	if (!c->is_framed && is_wanted(c))
		return hf_err(HF_EIO, "the server does not say how long its answer is, so that "
				      "nobody knows whether it is complete");
	return c->r->is_range ? range_end(c) : NULL;
}

/* The first line of what the server says, if people can read it; false: there is none. */
static bool
first_line(const struct hf_http_answer *a, char line[static 200])
{
	size_t n = 0;

	for (; n < a->says.len && n < 199; n++) {
		unsigned char ch = a->says.p[n];

		if (ch == '\n' || ch == '\r')
			break;
		if (ch < ' ' || ch > '~' || ch == '<')
			return false;
		line[n] = (char)ch;
	}
	line[n] = '\0';
	return n > 0;
}

struct status {
	int status;
	enum hf_code code;
	const char *text;
};

static const struct status statuses[] = {
	{401, HF_EFATAL, "the server refuses user name or password"},
	{403, HF_EFATAL, "the server does not allow it"},
	{404, HF_ENOTFOUND, "no such file"},
	{407, HF_EFATAL, "the proxy wants a user name and password"},
	{408, HF_EIO, "the server waited too long for us"},
	{410, HF_ENOTFOUND, "no such file"},
	{413, HF_EFATAL, "the server does not take a file of that size"},
	{416, HF_ECORRUPT, "the file is too short"},
	{425, HF_EIO, "the server is not ready"},
	{429, HF_EIO, "the server gets more requests than it wants"},
	{500, HF_EIO, "the server had an error"},
	{501, HF_EFATAL, "the server cannot do that"},
	{502, HF_EIO, "a server on the way got no good answer"},
	{503, HF_EIO, "the server is not available"},
	{504, HF_EIO, "a server on the way got no answer in time"},
	{505, HF_EFATAL, "the server does not speak HTTP/1.1"},
	{507, HF_EFATAL, "the server has no room left"},
};

struct hf_err *
hf_http_error(const struct hf_http_answer *a)
{
	struct status s = {a->status, HF_EFATAL, "the server refuses"};
	char line[200];

	if (a->status >= 200 && a->status < 300)
		return NULL;
	if (a->status >= 300 && a->status < 400 && a->location != NULL)
		return hf_err(HF_EFATAL, "%s: the server says that the place is now %s (%d)",
			a->what, a->location, a->status);
	if (a->status >= 500)
		s = (struct status){a->status, HF_EIO, "the server had an error"};
	for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
		if (statuses[i].status == a->status)
			s = statuses[i];
	if (a->status == 416 && a->has_size)
		return hf_err(HF_ECORRUPT, "%s: the file has only %ju bytes", a->what,
			(uintmax_t)a->size);
	struct hf_err *e =
		a->status != 404 && first_line(a, line)
			? hf_err(s.code, "%s: %s (%d: %s)", a->what, s.text, a->status, line)
			: hf_err(s.code, "%s: %s (%d)", a->what, s.text, a->status);
	return hf_err_later(e, a->retry_after);
}
