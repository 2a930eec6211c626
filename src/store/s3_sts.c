/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys of a role, which AWS's Security Token Service hands out for an hour: to who signs the request
 * with keys of his own (AssumeRole), or brings a token of somebody whom the role trusts, such as
 * a cluster's (AssumeRoleWithWebIdentity). Source: the service's API reference, version 2011-06-15.
 */
#include <stdio.h>

#include "base/time.h"
#include "codec/sha256.h"
#include "net/sigv4.h"
#include "net/xml.h"
#include "store/s3_i.h"
#include "store/s3_keys.h"
#include "store/web_i.h"

enum {
	CONNECT_S = 4,
	ASK_S = 10, /* one request */
	GET_S = 20, /* all; two roles in a row are had before a request about a lock must be over */
	SKEW_S = 240,
};

struct sts {
	struct s3_source source;
	struct hf_http *http;
	struct s3_lender *base; /* whose keys sign; NULL: token_file has who we are */
	char *url, *host;       /* "https://sts.amazonaws.com/", "sts.amazonaws.com" */
	char *region;           /* that the request is signed for */
	char *role, *session;
	char *external_id, *policy; /* or NULL */
	char *token_file;           /* or NULL */
	double until; /* hf_clock() at which the request that is being made must be over */
};

static struct sts *
sts_of(struct s3_source *s)
{
	return hf_container_of(s, struct sts, source);
}

static void
sts_free(struct s3_source *s)
{
	struct sts *t = sts_of(s);

	s3_lender_free(t->base);
	hf_http_free(t->http);
	free(t->url);
	free(t->host);
	free(t->region);
	free(t->role);
	free(t->session);
	free(t->external_id);
	free(t->policy);
	free(t->token_file);
	free(t);
}

/* ---- what it says ---- */

/* Both of <AssumeRoleResponse><AssumeRoleResult><Credentials> and of <ErrorResponse><Error>. */
struct answer {
	struct s3_keys keys;
	int64_t end;
	struct hf_str code, message; /* slices of what was read */
};

static void
answer_clear(struct answer *a)
{
	s3_keys_clear(&a->keys);
}

static void
read_field(struct hf_xml *x, struct hf_str name, struct answer *out)
{
	struct hf_time end;

	if (hf_str_is(name, "AccessKeyId"))
		s3_secret_set(&out->keys.id, hf_xml_text(x));
	else if (hf_str_is(name, "SecretAccessKey"))
		s3_secret_set(&out->keys.secret, hf_xml_text(x));
	else if (hf_str_is(name, "SessionToken"))
		s3_secret_set(&out->keys.token, hf_xml_text(x));
	else if (hf_str_is(name, "Expiration") && hf_time_parse(hf_xml_text(x), &end))
		out->end = end.sec;
	else if (hf_str_is(name, "Code"))
		out->code = hf_xml_text(x);
	else if (hf_str_is(name, "Message"))
		out->message = hf_xml_text(x);
}

/* Nobody else's fields have these names, so that it does not matter how deep they are. */
static struct hf_err *
read_answer(struct hf_bytes body, struct hf_buf *scratch, struct answer *out)
{
	static const char *const fields[] = {"AccessKeyId", "SecretAccessKey", "SessionToken",
		"Expiration", "Code", "Message"};
	struct hf_str name;
	struct hf_xml x;

	hf_xml_init(&x, body, scratch);
	do {
		while (hf_xml_child(&x, &name)) {
			for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
				if (hf_str_is(name, fields[i])) {
					read_field(&x, name, out);
					break;
				}
		}
	} while (x.depth > 0 && x.error == NULL);
	return hf_xml_end(&x);
}

/* The service says that the keys that have signed the request have ended. */
static bool
is_expired(const struct hf_http_answer *a)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_HTTP_SAYS);
	hf_auto(answer) said = {0};

	hf_err_free(read_answer(hf_buf_bytes(&a->says), &scratch, &said));
	return hf_str_is(said.code, "ExpiredToken") ||
	       hf_str_is(said.code, "ExpiredTokenException");
}

/* Any answer but 2xx. What is wrong with the other side, or with the way there, may pass. */
static struct hf_err *
refusal(const struct hf_http_answer *a)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_HTTP_SAYS), text = HF_BUF_MAX(4 * S3_SHOWN_MAX);
	hf_auto(answer) said = {0};
	bool may_pass = a->status >= 500 || a->status == 429 || a->status == 408;

	hf_err_free(read_answer(hf_buf_bytes(&a->says), &scratch, &said));
	if (said.code.len == 0)
		return hf_http_error(a);
	may_pass = may_pass || hf_str_is(said.code, "Throttling") ||
		   hf_str_is(said.code, "IDPCommunicationError");
	s3_add_shown(&text, said.code);
	hf_buf_add_str(&text, ": ");
	s3_add_shown(&text, said.message);
	struct hf_err *e = hf_err(may_pass ? HF_EIO : HF_EFATAL, "%s: %.*s (%d)", a->what,
		(int)text.len, (const char *)text.p, a->status);
	return hf_err_later(e, a->retry_after);
}

/* ---- what it is asked ---- */

static void
add_field(struct hf_buf *form, const char *name, struct hf_str value)
{
	if (value.len == 0)
		return;
	hf_buf_addf(form, "%s%s=", form->len > 0 ? "&" : "", name);
	hf_http_encode(form, value, false);
}

static struct hf_err *
fill_form(const struct sts *t, struct hf_buf *form)
{
	hf_auto(s3_said) token = {0};

	add_field(form, "Action",
		hf_str(t->base != NULL ? "AssumeRole" : "AssumeRoleWithWebIdentity"));
	add_field(form, "Version", hf_str("2011-06-15"));
	add_field(form, "RoleArn", hf_str(t->role));
	add_field(form, "RoleSessionName", hf_str(t->session));
	if (t->external_id != NULL)
		add_field(form, "ExternalId", hf_str(t->external_id));
	if (t->policy != NULL)
		add_field(form, "Policy", hf_str(t->policy));
	if (t->token_file != NULL) {
		/* Read anew each time, because whoever writes it does. */
		HF_TRY(s3_said_read(t->token_file, &token));
		add_field(form, "WebIdentityToken", s3_said_str(&token));
	} else {
		add_field(form, "DurationSeconds", hf_str("3600"));
	}
	return hf_buf_ok(form);
}

/* Adds what proves that the request comes from who has the base's keys. */
static struct hf_err *
sign(struct sts *t, struct hf_bytes form, int64_t clock_off, const struct s3_keys *keys,
	struct s3_lines *l)
{
	struct hf_id hash = hf_sha256(form);
	struct hf_hex payload = hf_id_hex(&hash);
	struct hf_sigv4_request r = {
		.method = "POST", .path = "/", .query = "", .payload = payload.s};

	s3_lines_host(l, t->host);
	return s3_lines_sign(l, &r, keys, t->region, "sts", hf_time_now().sec + clock_off);
}

static struct hf_err *
ask_with(struct sts *t, struct hf_bytes form, int64_t clock_off, const struct s3_keys *keys,
	struct hf_http_answer *a, struct s3_said *out)
{
	static const char *const want[] = {"Date"};
	hf_auto(s3_lines) l = {0};

	HF_TRY(s3_lines_init(&l));
	s3_said_clear(out);
	HF_TRY(s3_said_init(out));
	s3_lines_add(&l, "content-type", "application/x-www-form-urlencoded");
	if (t->base != NULL)
		HF_TRY(sign(t, form, clock_off, keys, &l));
	double left = t->until - hf_clock();
	if (left <= 0)
		return hf_err(HF_EIO, "no keys within %d s", GET_S);
	const struct hf_http_request r = {
		.method = "POST",
		.url = t->url,
		.headers = l.at,
		.n_headers = l.n,
		.body = form,
		.out = &out->text,
		.want = want,
		.n_want = 1,
		.deadline_s = left < ASK_S ? left : ASK_S,
		.no_pace = true,
		.no_redirect = true,
	};
	return hf_http_do(t->http, &r, a);
}

/* With the base's keys, and with new ones if the service has no more use for those. */
static struct hf_err *
ask(struct sts *t, struct hf_bytes form, int64_t clock_off, struct hf_http_answer *a,
	struct s3_said *out)
{
	for (int i = 1;; i++) {
		hf_auto(s3_keys) keys = {0};

		/* Asking for them has its own time. */
		double before = hf_clock();
		if (t->base != NULL)
			HF_TRY(s3_lender_keys(t->base, &keys));
		t->until += hf_clock() - before;
		HF_TRY(ask_with(t, form, clock_off, &keys, a, out));
		if (a->status / 100 != 4 || t->base == NULL || i == 2 || !is_expired(a) ||
			!s3_lender_expire(t->base, &keys))
			return NULL;
	}
}

/* By how much its clock is ahead of ours, if that is too much for it; else 0. */
static int64_t
clock_off(const struct hf_http_answer *a)
{
	struct hf_time there;

	if (a->values[0] == NULL || !hf_time_parse_http(hf_str(a->values[0]), &there))
		return 0;
	int64_t off = there.sec - hf_time_now().sec;
	return llabs(off) > SKEW_S ? off : 0;
}

static struct hf_err *
sts_get(struct s3_source *s, struct s3_keys *out, int64_t *end)
{
	struct sts *t = sts_of(s);
	hf_auto(s3_said) form = {0}, said = {0}, scratch = {0};
	hf_auto(hf_http_answer) a = {0};
	hf_auto(answer) answer = {.end = S3_NO_END};

	HF_TRY(s3_said_init(&form));
	HF_TRY(s3_said_init(&scratch));
	HF_TRY(fill_form(t, &form.text));
	t->until = hf_clock() + GET_S;
	HF_TRY(ask(t, hf_buf_bytes(&form.text), 0, &a, &said));
	if (a.status / 100 == 4 && t->base != NULL && clock_off(&a) != 0)
		HF_TRY(ask(t, hf_buf_bytes(&form.text), clock_off(&a), &a, &said));
	if (a.status / 100 != 2)
		return refusal(&a);
	struct hf_err *e = read_answer(hf_buf_bytes(&said.text), &scratch.text, &answer);
	/* What stands there is secret. */
	if (e != NULL || !s3_keys_are_whole(&answer.keys) || answer.end == S3_NO_END) {
		hf_err_free(e);
		return hf_err(HF_EIO, "%s: an answer without keys", a.what);
	}
	*out = answer.keys;
	answer.keys = (struct s3_keys){0};
	*end = answer.end;
	return NULL;
}

/* ---- where to ask ---- */

/* The service of a region; of old there was one for all. */
static char *
usual_endpoint(const char *region)
{
	char *url;

	if (region == NULL)
		return hf_str_dup(hf_str("https://sts.amazonaws.com"));
	if (asprintf(&url, "https://sts.%s.amazonaws.com%s", region,
		    strncmp(region, "cn-", 3) == 0 ? ".cn" : "") < 0)
		abort();
	return url;
}

/* A region gets into the name of a host, and of a key. */
static struct hf_err *
check_region(const char *region)
{
	if (region != NULL &&
		strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region))
		return hf_err(HF_EINVAL, "a region cannot have this name: %s", region);
	return NULL;
}

static struct hf_err *
set_endpoint(struct sts *t, const char *variable, const char *given, const char *region)
{
	hf_autofree char *usual = usual_endpoint(region);
	const char *url = given != NULL ? given : usual;
	bool is_plain = strncmp(url, "http://", strlen("http://")) == 0;

	if (!is_plain && strncmp(url, "https://", strlen("https://")) != 0)
		return hf_err(HF_EINVAL, "%s does not begin with https://", variable);
	const char *host = strstr(url, "://") + 3;
	struct hf_str text = {host, strcspn(host, "/?#")};
	if (text.len == 0 || memchr(text.p, '@', text.len) != NULL)
		return hf_err(HF_EINVAL, "%s names no host", variable);
	t->host = s3_normal_host(text, is_plain);
	t->region = hf_str_dup(hf_str(region != NULL ? region : "us-east-1"));
	if (asprintf(&t->url, "%s://%s/", is_plain ? "http" : "https", t->host) < 0)
		abort();
	return NULL;
}

static struct sts *
sts_new(const char *name, const char *role, const char *session)
{
	struct sts *t = hf_new(struct sts);

	t->source = (struct s3_source){.name = name, .get = sts_get, .free = sts_free};
	t->role = hf_str_dup(hf_str(role));
	t->session = hf_str_dup(hf_str(session != NULL ? session : "holdfast"));
	return t;
}

static char *
dup_env(const struct hf_open *o, const char *name)
{
	const char *value = hf_open_env(o, name);

	return value != NULL ? hf_str_dup(hf_str(value)) : NULL;
}

/* What is left is the connection. Takes `t`, also on failure. */
static struct hf_err *
finish(struct sts *t, const struct hf_open *o, struct hf_err *failed, struct s3_source **out)
{
	struct hf_http_options http = web_options(o);

	http.upload = http.download = NULL;
	http.connect_s = CONNECT_S;
	http.stall_s = ASK_S;
	if (failed == NULL)
		failed = hf_http_new(&http, &t->http);
	if (failed != NULL)
		sts_free(&t->source);
	else
		*out = &t->source;
	return failed;
}

struct hf_err *
s3_web_source(const struct hf_open *o, struct s3_source **out)
{
	const char *file = hf_open_env(o, "AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *role = hf_open_env(o, "AWS_ROLE_ARN");
	const char *region = hf_open_env(o, "AWS_REGION");
	const char *given = hf_open_env(o, "AWS_ENDPOINT_URL_STS");

	*out = NULL;
	if (file == NULL)
		return NULL;
	if (role == NULL)
		return hf_err(HF_EINVAL, "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN, "
					 "the role that it is for, is not");
	if (region == NULL)
		region = hf_open_env(o, "AWS_DEFAULT_REGION");
	struct sts *t = sts_new(
		"AWS_WEB_IDENTITY_TOKEN_FILE", role, hf_open_env(o, "AWS_ROLE_SESSION_NAME"));

	t->token_file = hf_str_dup(hf_str(file));
	struct hf_err *e = check_region(region);
	if (e == NULL && given != NULL && !s3_is_trusted(given))
		e = hf_err(
			HF_EINVAL, "AWS_ENDPOINT_URL_STS is neither https:// nor this machine");
	if (e == NULL)
		e = set_endpoint(t, "AWS_ENDPOINT_URL_STS", given, region);
	return finish(t, o, e, out);
}

struct hf_err *
s3_role_source(const struct hf_open *o, struct s3_source *base, struct s3_source **out)
{
	const char *role = hf_open_env(o, "RESTIC_AWS_ASSUME_ROLE_ARN");
	const char *region = hf_open_env(o, "RESTIC_AWS_ASSUME_ROLE_REGION");

	*out = base;
	if (role == NULL)
		return NULL;
	struct sts *t = sts_new("RESTIC_AWS_ASSUME_ROLE_ARN", role,
		hf_open_env(o, "RESTIC_AWS_ASSUME_ROLE_SESSION_NAME"));

	t->base = s3_lender_new(base);
	t->external_id = dup_env(o, "RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID");
	t->policy = dup_env(o, "RESTIC_AWS_ASSUME_ROLE_POLICY");
	if (region == NULL)
		hf_option_string(o, "s3.region", &region);
	if (region == NULL || *region == '\0')
		region = hf_open_env(o, "AWS_DEFAULT_REGION");
	struct hf_err *e = check_region(region);
	if (e == NULL)
		e = set_endpoint(t, "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT",
			hf_open_env(o, "RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT"), region);
	return finish(t, o, e, out);
}
