/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests to an S3 server, and what it answers. */
#include <stdio.h>
#include <strings.h>

#include "base/clocks.h"
#include "base/time.h"
#include "codec/md5.h"
#include "codec/sha256.h"
#include "net/xml.h"
#include "store/s3_i.h"
#include "store/web_i.h"

enum {
	SKEW_S = 240, /* servers put up with five minutes, most of them with more */
	TRIES = 5,    /* one each for the region, the clock, new keys and MD5 */
};

/* ---- what it says ---- */

/* The element <Error> of an answer; slices of `body` or `scratch`. */
struct said {
	struct hf_str code, message, region;
};

/* False: it is no such element, and nothing is known. */
static bool
read_error(struct hf_bytes body, struct hf_buf *scratch, struct said *out)
{
	struct hf_str name;
	struct hf_xml x;

	*out = (struct said){{"", 0}, {"", 0}, {"", 0}};
	hf_xml_init(&x, body, scratch);
	if (!hf_xml_child(&x, &name) || !hf_str_is(name, "Error"))
		return false;
	while (hf_xml_child(&x, &name)) {
		if (hf_str_is(name, "Code"))
			out->code = hf_xml_text(&x);
		else if (hf_str_is(name, "Message"))
			out->message = hf_xml_text(&x);
		else if (hf_str_is(name, "Region"))
			out->region = hf_xml_text(&x);
		else
			hf_xml_skip(&x);
	}
	/* An answer that was cut has said enough. */
	hf_err_free(hf_xml_end(&x));
	return out->code.len > 0;
}

bool
s3_has_code(const struct hf_http_answer *a, const char *code)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_HTTP_SAYS);
	struct said said;

	return read_error(hf_buf_bytes(&a->says), &scratch, &said) &&
	       hf_str_is(said.code, code);
}

/* Codes that minio-go and AWS's own clients try again, whatever the status. */
static bool
is_worth_a_try(struct hf_str code)
{
	static const char *const codes[] = {"BadDigest", "BandwidthLimitExceeded",
		"ConditionalRequestConflict", "IncompleteBody", "InternalError",
		"OperationAborted", "PriorRequestNotComplete", "RequestLimitExceeded",
		"RequestThrottled", "RequestThrottledException", "RequestTimeout",
		"RequestTimeoutException", "ServerNotInitialized", "ServiceUnavailable",
		"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling",
		"ThrottlingException", "TooManyRequestsException",
		"TransactionInProgressException", "XAmzContentChecksumMismatch",
		"XAmzContentSHA256Mismatch", "XMinioServerNotInitialized"};

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (hf_str_is(code, codes[i]))
			return true;
	return false;
}

/* What to do about it, for people. */
static const char *
advice(struct hf_str code)
{
	static const struct {
		const char *code, *text;
	} advices[] = {
		{"AccessDenied", "; the key may not do this with this bucket"},
		{"AuthorizationHeaderMalformed", "; is -o s3.region= right?"},
		{"ExpiredToken", "; new keys are needed, with a new AWS_SESSION_TOKEN"},
		{"InvalidAccessKeyId", "; is AWS_ACCESS_KEY_ID right?"},
		{"InvalidObjectState", "; it is in an archive: order it back (-o "
				       "s3.enable-restore=true, or restore-object) and try "
				       "again when it is there"},
		{"InvalidToken", "; is AWS_SESSION_TOKEN right?"},
		{"NoSuchBucket", "; only init makes a bucket"},
		{"PermanentRedirect", "; the name of the repository wants the host of the "
				      "bucket's region, s3.REGION.amazonaws.com"},
		{"RequestExpired", "; is the clock of this machine right?"},
		{"RequestTimeTooSkewed", "; is the clock of this machine right?"},
		{"SignatureDoesNotMatch", "; is AWS_SECRET_ACCESS_KEY right?"},
	};

	for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
		if (hf_str_is(code, advices[i].code))
			return advices[i].text;
	return "";
}

void
s3_add_shown(struct hf_buf *out, struct hf_str s)
{
	for (size_t i = 0; i < s.len && i < S3_SHOWN_MAX; i++)
		hf_buf_add_char(out, s.p[i] >= ' ' && s.p[i] < 0x7f ? s.p[i] : ' ');
}

static enum hf_code
code_of(const struct hf_http_answer *a, struct hf_str code)
{
	if (is_worth_a_try(code))
		return HF_EIO;
	/* That of an upload that the server has forgotten is not about the file. */
	if (hf_str_is(code, "NoSuchUpload"))
		return HF_EIO;
	if (hf_str_is(code, "NoSuchBucket"))
		return HF_EFATAL;
	/* Who is not S3, but a proxy that has lost its server, knows nothing of files. */
	if (a->status == 404)
		return code.len > 0 ? HF_ENOTFOUND : HF_EIO;
	if (a->status == 416)
		return HF_ECORRUPT;
	if (a->status == 408 || a->status == 429 || a->status == 499 || a->status == 520)
		return HF_EIO;
	if (a->status >= 500 && a->status != 501 && a->status != 505 && a->status != 507)
		return HF_EIO;
	return HF_EFATAL;
}

struct hf_err *
s3_error_in(const struct hf_http_answer *a, struct hf_bytes body)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_HTTP_SAYS), text = HF_BUF_MAX(4 * S3_SHOWN_MAX);
	struct said said;

	if (!read_error(body, &scratch, &said))
		return NULL;
	s3_add_shown(&text, said.code);
	if (said.message.len > 0)
		hf_buf_add_str(&text, ": ");
	s3_add_shown(&text, said.message);
	/* Inside an answer of success only the code can tell. */
	if (a->status / 100 == 2)
		return hf_err(HF_EIO, "%s: %.*s", a->what, (int)text.len, (const char *)text.p);
	struct hf_err *e = hf_err(code_of(a, said.code), "%s: %.*s (%d)%s", a->what,
		(int)text.len, (const char *)text.p, a->status, advice(said.code));
	return hf_err_later(e, a->retry_after);
}

struct hf_err *
s3_error(const struct hf_http_answer *a)
{
	static const struct hf_str none = {"", 0};
	struct hf_err *e;

	if (a->status / 100 == 2)
		return NULL;
	e = s3_error_in(a, hf_buf_bytes(&a->says));
	if (e != NULL)
		return e;
	/* HEAD has no body; and what a proxy says is not XML. */
	e = hf_err(code_of(a, none), "%s: %s (%d)", a->what,
		a->status == 404   ? "not found, and not in the words of S3"
		: a->status == 403 ? "access denied"
				   : "the server refuses",
		a->status);
	return hf_err_later(e, a->retry_after);
}

/* ---- one request ---- */

static size_t
count(const struct hf_sigv4_pair *pairs, size_t max)
{
	size_t n = 0;

	while (n < max && pairs[n].name != NULL)
		n++;
	return n;
}

char *
s3_region(struct s3 *s)
{
	char *region;

	pthread_mutex_lock(&s->lock);
	region = hf_str_dup(hf_str(s->region));
	pthread_mutex_unlock(&s->lock);
	return region;
}

/* Where the request goes: host, and then path and query in canonical form. */
struct target {
	struct hf_buf host, path, query, url;
};

static void
target_clear(struct target *t)
{
	hf_buf_clear(&t->host);
	hf_buf_clear(&t->path);
	hf_buf_clear(&t->query);
	hf_buf_clear(&t->url);
}

static struct hf_err *
aim(const struct s3 *s, const struct s3_ask *ask, const char *region, struct target *t)
{
	hf_autofree char *host = s3_place_host(&s->place, region);

	hf_buf_addf(&t->host, "%s%s%s", s->by_name ? s->place.bucket : "",
		s->by_name ? "." : "", host);
	hf_buf_add_char(&t->host, '\0');
	hf_buf_add_char(&t->path, '/');
	if (!s->by_name) {
		hf_sigv4_add_path(&t->path, hf_str(s->place.bucket));
		hf_buf_add_char(&t->path, '/');
	}
	hf_sigv4_add_path(&t->path, hf_str(ask->key != NULL ? ask->key : ""));
	hf_buf_add_char(&t->path, '\0');
	hf_sigv4_add_query(&t->query, ask->params, count(ask->params, S3_PARAMS));
	hf_buf_add_char(&t->query, '\0');
	HF_TRY(hf_buf_ok(&t->host));
	HF_TRY(hf_buf_ok(&t->path));
	HF_TRY(hf_buf_ok(&t->query));
	hf_buf_addf(&t->url, "%s://%s%s%s%s", s->place.is_plain ? "http" : "https",
		(const char *)t->host.p, (const char *)t->path.p, t->query.len > 1 ? "?" : "",
		(const char *)t->query.p);
	hf_buf_add_char(&t->url, '\0');
	return hf_buf_ok(&t->url);
}

/* With what a request was made, which an answer may have something against. */
struct tried {
	struct s3_keys keys;
	char *region;
	long long off; /* of the clock */
	bool has_md5;
};

static void
tried_clear(struct tried *t)
{
	s3_keys_clear(&t->keys);
	free(t->region);
}

/* `l` points into the arguments afterwards. */
static struct hf_err *
add_headers(struct s3_lines *l, const struct s3_ask *ask, const struct tried *t,
	const char *host, const char *payload, struct hf_md5_text *md5)
{
	HF_TRY(s3_lines_init(l));
	s3_lines_host(l, host);
	for (size_t i = 0; i < count(ask->headers, S3_HEADERS); i++)
		s3_lines_add(l, ask->headers[i].name, ask->headers[i].value);
	s3_lines_add(l, "x-amz-content-sha256", payload);
	if (!t->has_md5)
		return NULL;
	if (!hf_md5_base64(ask->body, md5))
		return hf_err(HF_EFATAL, "the bucket takes nothing without its MD5, which this "
					 "system does not allow");
	s3_lines_add(l, "content-md5", md5->s);
	return NULL;
}

double
s3_until(bool is_lock)
{
	return is_lock ? hf_clock() + HF_LOCK_CALL_S : 0;
}

/* hf_clock() at which what `ask` wants must be over, or 0. */
static double
until(const struct s3 *s, const struct s3_ask *ask)
{
	if (ask->until != 0 || ask->is_lock)
		return ask->until != 0 ? ask->until : s3_until(true);
	return ask->is_bounded ? hf_clock() + s->store.within_s : 0;
}

/* One try, over at `end` unless that is 0. */
static struct hf_err *
send_once(struct s3 *s, const struct s3_ask *ask, const struct tried *tried, double end,
	struct hf_http_answer *a)
{
	static const char *const want[] = {"Date", "Last-Modified", "ETag",
		"x-amz-bucket-region", "x-amz-storage-class", "x-amz-restore"};
	hf_auto(target) t = {.host = HF_BUF_MAX(1024),
		.path = HF_BUF_MAX(8192),
		.query = HF_BUF_MAX(8192),
		.url = HF_BUF_MAX(20000)};
	hf_auto(s3_lines) l = {0};
	struct hf_id hash = ask->hash != NULL ? *ask->hash : hf_sha256(ask->body);
	struct hf_hex payload = hf_id_hex(&hash);
	struct hf_md5_text md5;

	HF_TRY(aim(s, ask, tried->region, &t));
	HF_TRY(add_headers(&l, ask, tried, (const char *)t.host.p, payload.s, &md5));
	struct hf_sigv4_request to_sign = {
		.method = ask->method,
		.path = (const char *)t.path.p,
		.query = (const char *)t.query.p,
		.payload = payload.s,
	};
	if (tried->keys.id.len > 0)
		HF_TRY(s3_lines_sign(&l, &to_sign, &tried->keys, tried->region, "s3",
			hf_time_now().sec + tried->off));
	HF_TRY(hf_buf_ok(&l.text));
	struct hf_http_request r = {
		.method = ask->method,
		.url = (const char *)t.url.p,
		.headers = l.at,
		.n_headers = l.n,
		.body = ask->body,
		.is_range = ask->is_range,
		.off = ask->off,
		.len = ask->len,
		.out = ask->out,
		.sink = ask->sink,
		.want = want,
		.n_want = sizeof want / sizeof want[0],
		.deadline_s = end == 0 ? 0 : end - hf_clock(),
		.no_redirect = true,
		.no_pace = ask->is_lock,
		/* Who is interrupted gives his lock back. */
		.no_stop = ask->is_lock && ask->is_bounded,
	};
	if (end != 0 && r.deadline_s <= 0)
		return hf_err(
			HF_EIO, "%s took too long, with all that went before it", ask->method);
	return hf_http_do(s->http, &r, a);
}

/* ---- learning from an answer ---- */

/* True: the region is another than the one that was signed with; another thread may know already. */
static bool
learn_region(struct s3 *s, const char *tried, struct hf_str region)
{
	if (region.len == 0 || region.len > 64)
		return false;
	pthread_mutex_lock(&s->lock);
	if (!hf_str_is(region, s->region)) {
		free(s->region);
		s->region = hf_str_dup(region);
	}
	pthread_mutex_unlock(&s->lock);
	return !hf_str_is(region, tried);
}

/*
 * An answer to HEAD has no body that could say what was wrong: the region, which not every server has
 * in a header, or keys that have ended. The same goes for a request that has room for an answer.
 */
static bool
ask_for_reason(struct s3 *s, const struct tried *tried, double end)
{
	const struct s3_ask ask = {.method = "GET", .params = {{"location", ""}}};
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_HTTP_SAYS);
	hf_auto(hf_http_answer) a = {0};
	hf_autoptr(hf_err) e = send_once(s, &ask, tried, end, &a);
	struct said said;

	if (e != NULL || !read_error(hf_buf_bytes(&a.says), &scratch, &said))
		return false;
	if (hf_str_is(said.code, "ExpiredToken"))
		return s->lender != NULL && s3_lender_expire(s->lender, &tried->keys);
	return learn_region(s, tried->region, said.region);
}

/* Takes over the server's time, which stands in every answer of HTTP. */
static bool
learn_time(struct s3 *s, const struct hf_http_answer *a)
{
	hf_auto(hf_buf) line = HF_BUF_MAX(256);
	struct hf_time there;
	long long off;

	if (a->values[S3_DATE] == NULL ||
		!hf_time_parse_http(hf_str(a->values[S3_DATE]), &there))
		return false;
	off = there.sec - hf_time_now().sec;
	if (atomic_exchange(&s->clock_off, off) != 0 || s->say == NULL)
		return true;
	hf_buf_add_str(&line, "the clock of this machine is ");
	hf_duration_add(&line, (off < 0 ? -off : off) * HF_SECOND);
	hf_buf_addf(&line, " %s that of %s: requests are signed with the time there",
		off < 0 ? "ahead of" : "behind", s->place.host);
	hf_buf_add_char(&line, '\0');
	s->say(s->say_arg, (const char *)line.p);
	return true;
}

/*
 * Whether the server cannot have liked the time that the request was signed with, when the clock was
 * known to be off by `tried`; another thread may know better already.
 */
static bool
is_time_wrong(const struct hf_http_answer *a, long long tried)
{
	struct hf_time there;

	if (a->values[S3_DATE] == NULL ||
		!hf_time_parse_http(hf_str(a->values[S3_DATE]), &there))
		return false;
	return llabs(there.sec - hf_time_now().sec - tried) > SKEW_S;
}

/*
 * A bucket with Object Lock, which keeps what is in it for so long, refuses uploads that have no
 * checksum besides the one that is signed. Of those that there are, every server knows MD5; for all
 * others it would be work for nothing.
 */
static bool
learn_md5(struct s3 *s, const struct s3_ask *ask, const struct tried *tried,
	const struct said *said)
{
	if (strcmp(ask->method, "PUT") != 0 || ask->key == NULL || tried->has_md5)
		return false;
	if (!hf_str_is(said->code, "InvalidRequest") &&
		!hf_str_is(said->code, "MissingContentMD5") &&
		memmem(said->message.p, said->message.len, "MD5", 3) == NULL)
		return false;
	atomic_store(&s->sends_md5, true);
	return true;
}

/* Whether the same request makes sense once more, with what the answer told us. */
static bool
learn(struct s3 *s, const struct s3_ask *ask, const struct tried *tried, double end,
	const struct hf_http_answer *a)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_HTTP_SAYS);
	struct said said;
	bool is_said = read_error(hf_buf_bytes(&a->says), &scratch, &said);

	if (is_said && (hf_str_is(said.code, "RequestTimeTooSkewed") ||
			       hf_str_is(said.code, "RequestExpired")))
		return learn_time(s, a);
	if (is_said && hf_str_is(said.code, "ExpiredToken"))
		return s->lender != NULL && s3_lender_expire(s->lender, &tried->keys);
	if (a->status != 301 && a->status != 307 && a->status != 400 && a->status != 403)
		return false;
	if (a->values[S3_REGION] != NULL &&
		learn_region(s, tried->region, hf_str(a->values[S3_REGION])))
		return true;
	if (is_said)
		return learn_region(s, tried->region, said.region) ||
		       (a->status == 400 && learn_md5(s, ask, tried, &said));
	if (strcmp(ask->method, "HEAD") != 0)
		return false;
	/* No room for the reason. */
	return a->status == 403 ? is_time_wrong(a, tried->off) && learn_time(s, a)
				: ask_for_reason(s, tried, end);
}

struct hf_err *
s3_do(struct s3 *s, const struct s3_ask *ask, struct hf_http_answer *a)
{
	const bool has_file = strcmp(ask->method, "PUT") == 0 && ask->key != NULL;
	const double end = until(s, ask);

	for (int i = 1;; i++) {
		hf_auto(tried) tried = {.region = s3_region(s),
			.off = atomic_load(&s->clock_off),
			.has_md5 = has_file && atomic_load(&s->sends_md5)};

		if (s->lender != NULL)
			HF_TRY(s3_lender_keys(s->lender, &tried.keys));
		HF_TRY(send_once(s, ask, &tried, end, a));
		if (a->status / 100 == 2 || a->status == 404 || i == TRIES ||
			!learn(s, ask, &tried, end, a))
			return NULL;
	}
}

struct hf_err *
s3_demand(struct s3 *s, const struct s3_ask *ask, struct hf_http_answer *a)
{
	HF_TRY(s3_do(s, ask, a));
	return s3_error(a);
}
