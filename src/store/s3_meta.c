/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys that a service near this machine hands out for some hours: that of containers (ECS, EKS) if
 * its variables are set, else that of Amazon's virtual machines, version 2, which wants a token
 * that only who can make a PUT from here gets. Neither a proxy nor a redirection comes between.
 * Sources: AWS, "Use IMDSv2", "Container credential provider".
 */
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "store/s3_keys.h"
#include "store/web_i.h"

enum {
	CONNECT_S = 2,
	ASK_S = 5,       /* three requests are over before one about a lock must be */
	NO_END_S = 3600, /* keys without an end */
};

struct s3_meta {
	struct s3_source source;
	struct hf_http *http;
	char *container;       /* the URL of a container's keys; NULL: the machine has them */
	char *machine;         /* the URL of the machine's service */
	char *token_file;      /* or NULL; what is sent to the container's service, */
	struct hf_secret auth; /* or so, or nothing */
};

static struct s3_meta *
meta_of(struct s3_source *s)
{
	return hf_container_of(s, struct s3_meta, source);
}

/* "Name: value" of a secret. */
static struct hf_err *
make_header(struct s3_said *out, const char *name, struct hf_str value)
{
	HF_TRY(s3_said_init(out));
	hf_buf_addf(&out->text, "%s: ", name);
	hf_buf_add(&out->text, value.p, value.len);
	HF_TRY(hf_buf_ok(&out->text));
	for (size_t i = 0; i < out->text.len; i++)
		if (out->text.p[i] < ' ' || out->text.p[i] == 0x7f)
			return hf_err(HF_EFATAL, "a token that is none");
	hf_buf_add_char(&out->text, '\0');
	return hf_buf_ok(&out->text);
}

/* One request; `header` may be "". */
static struct hf_err *
ask(struct s3_meta *m, const char *method, const char *url, const char *header,
	struct s3_said *out)
{
	hf_auto(hf_http_answer) a = {0};
	const char *const headers[] = {header};
	struct hf_http_request r = {
		.method = method,
		.url = url,
		.headers = headers,
		.n_headers = *header != '\0',
		.out = &out->text,
		.deadline_s = ASK_S,
		.no_pace = true,
		.no_redirect = true,
	};

	HF_TRY(s3_said_init(out));
	HF_TRY(hf_http_do(m->http, &r, &a));
	return hf_http_error(&a);
}

/* ---- the two services ---- */

static struct hf_err *
ask_container(struct s3_meta *m, struct s3_said *out)
{
	hf_auto(s3_said) file = {0}, header = {0};
	struct hf_str auth = hf_bytes_str((struct hf_bytes){m->auth.p, m->auth.len});

	/* Read anew each time, because whoever writes it does. */
	if (m->token_file != NULL) {
		HF_TRY(s3_said_read(m->token_file, &file));
		auth = s3_said_str(&file);
	}
	if (auth.len == 0)
		return ask(m, "GET", m->container, "", out);
	HF_TRY(make_header(&header, "Authorization", auth));
	return ask(m, "GET", m->container, (const char *)header.text.p, out);
}

/* The URL of the service of the machine, and behind it `path` and `last`, the latter encoded. */
static struct hf_err *
make_url(const struct s3_meta *m, const char *path, struct hf_str last, struct hf_buf *out)
{
	hf_buf_reset(out);
	hf_buf_addf(out, "%s/latest/%s", m->machine, path);
	hf_http_encode(out, last, false);
	hf_buf_add_char(out, '\0');
	return hf_buf_ok(out);
}

static struct hf_err *
ask_machine(struct s3_meta *m, struct s3_said *out)
{
	static const char path[] = "meta-data/iam/security-credentials/";
	hf_auto(s3_said) token = {0}, header = {0}, roles = {0};
	hf_auto(hf_buf) url = HF_BUF_MAX(4096);
	struct hf_str rest, role;

	HF_TRY(make_url(m, "api/token", hf_str(""), &url));
	HF_TRY(ask(m, "PUT", (const char *)url.p, "X-aws-ec2-metadata-token-ttl-seconds: 60",
		&token));
	HF_TRY(make_header(&header, "X-aws-ec2-metadata-token", s3_said_str(&token)));
	HF_TRY(make_url(m, path, hf_str(""), &url));
	HF_TRY(ask(m, "GET", (const char *)url.p, (const char *)header.text.p, &roles));
	rest = s3_said_str(&roles);
	if (!hf_text_line(&rest, &role) || role.len == 0)
		return hf_err(HF_EFATAL, "this machine has no role");
	HF_TRY(make_url(m, path, hf_text_trim(role), &url));
	return ask(m, "GET", (const char *)url.p, (const char *)header.text.p, out);
}

static struct hf_err *
meta_get(struct s3_source *s, struct s3_keys *out, int64_t *end)
{
	struct s3_meta *m = meta_of(s);
	hf_auto(s3_said) said = {0};

	HF_TRY(m->container != NULL ? ask_container(m, &said) : ask_machine(m, &said));
	HF_TRY(s3_keys_read(s3_said_str(&said), out, end));
	if (*end == S3_NO_END)
		*end = hf_time_now().sec + NO_END_S;
	return NULL;
}

/* ---- where to ask ---- */

static struct hf_err *
find_service(struct s3_meta *m, const struct hf_open *o)
{
	const char *relative = hf_open_env(o, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = hf_open_env(o, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	const char *file = hf_open_env(o, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *auth = hf_open_env(o, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	const char *machine = hf_open_env(o, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
	struct hf_str base = hf_str(machine != NULL ? machine : "http://169.254.169.254");

	while (base.len > 0 && base.p[base.len - 1] == '/')
		base.len--;
	m->machine = hf_str_dup(base);
	if (relative != NULL) {
		if (asprintf(&m->container, "http://169.254.170.2%s%s",
			    *relative == '/' ? "" : "/", relative) < 0)
			abort();
	} else if (full != NULL) {
		m->container = hf_str_dup(hf_str(full));
	}
	if (m->container != NULL && !s3_is_trusted(m->container))
		return hf_err(HF_EINVAL, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither "
					 "https:// nor this machine");
	if (file != NULL)
		m->token_file = hf_str_dup(hf_str(file));
	else if (auth != NULL)
		hf_secret_set(&m->auth, hf_str_bytes(hf_str(auth)));
	return NULL;
}

static void
meta_free(struct s3_source *s)
{
	struct s3_meta *m = meta_of(s);

	hf_http_free(m->http);
	free(m->container);
	free(m->machine);
	free(m->token_file);
	hf_secret_clear(&m->auth);
	free(m);
}

struct hf_err *
s3_meta_source(const struct hf_open *o, struct s3_source **out)
{
	struct hf_http_options http = web_options(o);
	struct s3_meta *m = hf_new(struct s3_meta);

	m->source = (struct s3_source){
		.name = "s3.instance-metadata", .get = meta_get, .free = meta_free};
	http.http_proxy = http.https_proxy = NULL;
	http.upload = http.download = NULL;
	http.connect_s = CONNECT_S;
	http.stall_s = ASK_S;
	struct hf_err *e = find_service(m, o);
	if (e == NULL)
		e = hf_http_new(&http, &m->http);
	if (e != NULL)
		meta_free(&m->source);
	else
		*out = &m->source;
	return e;
}
