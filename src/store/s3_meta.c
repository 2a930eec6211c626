/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys that a service near this machine hands out for some hours: that of containers (ECS, EKS) if
 * its variables are set, else that of Amazon's virtual machines, version 2, which wants a token
 * that only who can make a PUT from here gets. Neither a proxy nor a redirection comes between.
 * Sources: AWS, "Use IMDSv2", "Container credential provider".
 */
#include <stdio.h>

#include "base/io.h"
#include "base/text.h"
#include "base/time.h"
#include "codec/json.h"
#include "store/s3_i.h"
#include "store/web_i.h"

enum {
	CONNECT_S = 2,
	ASK_S = 5,       /* three requests are over before one about a lock must be */
	AHEAD_S = 300,   /* so long before their end keys are replaced */
	PAUSE_S = 60,    /* keys that come with less are not asked for again at once */
	NO_END_S = 3600, /* keys without an end */
	MAX_SAID = 64 << 10,
};

struct s3_meta {
	struct hf_http *http;
	char *container;       /* the URL of a container's keys; NULL: the machine has them */
	char *machine;         /* the URL of the machine's service */
	char *token_file;      /* or NULL; what is sent to the container's service, */
	struct hf_secret auth; /* or so, or nothing */

	pthread_mutex_t
		lock; /* guards what follows; who gets new keys keeps the others waiting */
	struct s3_keys keys;
	int64_t asked, end; /* seconds since 1970; `end` 0: there are no keys */
};

static void
wipe(struct hf_buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->len);
	hf_buf_clear(b);
}

/* Text that may be secret, with a NUL behind. */
struct said {
	struct hf_buf text;
};

static void
said_clear(struct said *s)
{
	wipe(&s->text);
}

/* "Name: value" of a secret. */
static struct hf_err *
make_header(struct hf_buf *out, const char *name, struct hf_str value)
{
	HF_TRY(hf_buf_reserve(out, MAX_SAID));
	hf_buf_addf(out, "%s: ", name);
	hf_buf_add(out, value.p, value.len);
	HF_TRY(hf_buf_ok(out));
	for (size_t i = 0; i < out->len; i++)
		if (out->p[i] < ' ' || out->p[i] == 0x7f)
			return hf_err(HF_EFATAL, "a token that is none");
	hf_buf_add_char(out, '\0');
	return hf_buf_ok(out);
}

/* One request; `header` may be "". What is not there is a fault as any other: no file is meant. */
static struct hf_err *
ask(struct s3_meta *m, const char *method, const char *url, const char *header,
	struct said *out)
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

	out->text = (struct hf_buf)HF_BUF_MAX(MAX_SAID);
	HF_TRY(hf_buf_reserve(
		&out->text, MAX_SAID)); /* it does not move, and is wiped as a whole */
	HF_TRY(hf_http_do(m->http, &r, &a));
	HF_TRY(hf_http_error(&a));
	hf_buf_add_char(&out->text, '\0');
	return hf_buf_ok(&out->text);
}

static struct hf_str
text_of(const struct said *s)
{
	return hf_text_trim((struct hf_str){(const char *)s->text.p, s->text.len - 1});
}

/* ---- the two services ---- */

static struct hf_err *
ask_container(struct s3_meta *m, struct said *out)
{
	hf_auto(said) file = {.text = HF_BUF_MAX(MAX_SAID)};
	hf_auto(said) header = {.text = HF_BUF_MAX(MAX_SAID)};
	struct hf_str auth = hf_bytes_str((struct hf_bytes){m->auth.p, m->auth.len});

	/* Read anew each time, because whoever writes it does. */
	if (m->token_file != NULL) {
		HF_TRY(hf_read_file(m->token_file, &file.text));
		auth = hf_text_trim(hf_bytes_str(hf_buf_bytes(&file.text)));
	}
	if (auth.len > 0)
		HF_TRY(make_header(&header.text, "Authorization", auth));
	return ask(
		m, "GET", m->container, auth.len > 0 ? (const char *)header.text.p : "", out);
}

static struct hf_err *
ask_machine(struct s3_meta *m, struct said *out)
{
	static const char path[] = "/latest/meta-data/iam/security-credentials/";
	hf_auto(said) token = {0}, header = {.text = HF_BUF_MAX(MAX_SAID)}, roles = {0};
	hf_auto(hf_buf) url = HF_BUF_MAX(4096);
	struct hf_str rest, role;

	hf_buf_addf(&url, "%s/latest/api/token", m->machine);
	hf_buf_add_char(&url, '\0');
	HF_TRY(hf_buf_ok(&url));
	HF_TRY(ask(m, "PUT", (const char *)url.p, "X-aws-ec2-metadata-token-ttl-seconds: 60",
		&token));
	HF_TRY(make_header(&header.text, "X-aws-ec2-metadata-token", text_of(&token)));
	hf_buf_reset(&url);
	hf_buf_addf(&url, "%s%s", m->machine, path);
	hf_buf_add_char(&url, '\0');
	HF_TRY(hf_buf_ok(&url));
	HF_TRY(ask(m, "GET", (const char *)url.p, (const char *)header.text.p, &roles));
	rest = text_of(&roles);
	if (!hf_text_line(&rest, &role) || role.len == 0)
		return hf_err(HF_EFATAL, "this machine has no role");
	hf_buf_reset(&url);
	hf_buf_addf(&url, "%s%s", m->machine, path);
	hf_http_encode(&url, hf_text_trim(role), false);
	hf_buf_add_char(&url, '\0');
	HF_TRY(hf_buf_ok(&url));
	return ask(m, "GET", (const char *)url.p, (const char *)header.text.p, out);
}

/* ---- keys ---- */

static void
take(struct hf_json *j, struct hf_secret *out)
{
	hf_secret_set(out, hf_str_bytes(hf_json_str(j)));
}

/* Sets the keys only when all of them are there. */
static struct hf_err *
read_keys(struct s3_meta *m, struct hf_str text)
{
	hf_auto(said) scratch = {.text = HF_BUF_MAX(MAX_SAID)};
	hf_auto(s3_keys) keys = {0};
	struct hf_time end = {.sec = m->asked + NO_END_S};
	struct hf_json j;
	struct hf_str key;

	hf_json_init(&j, hf_str_bytes(text), &scratch.text);
	for (hf_json_object(&j); hf_json_key(&j, &key);) {
		if (hf_json_key_is(key, "AccessKeyId"))
			take(&j, &keys.id);
		else if (hf_json_key_is(key, "SecretAccessKey"))
			take(&j, &keys.secret);
		else if (hf_json_key_is(key, "Token"))
			take(&j, &keys.token);
		else if (hf_json_key_is(key, "Expiration"))
			end = hf_json_time(&j);
		else
			hf_json_skip(&j);
	}
	/* The place of a fault may be told, but nothing of what stands there. */
	HF_TRY(hf_json_end(&j));
	if (keys.id.len == 0 || keys.secret.len == 0)
		return hf_err(HF_EFATAL, "there are no keys in what it says");
	s3_keys_clear(&m->keys);
	m->keys = keys;
	keys = (struct s3_keys){0};
	m->end = end.sec;
	return NULL;
}

static struct hf_err *
get_keys(struct s3_meta *m)
{
	hf_auto(said) said = {0};

	HF_TRY(m->container != NULL ? ask_container(m, &said) : ask_machine(m, &said));
	return read_keys(m, text_of(&said));
}

/* Gets new keys if they are due. As long as the old ones are good, it may fail. */
static struct hf_err *
renew(struct s3_meta *m)
{
	int64_t now = hf_time_now().sec;
	bool is_good = m->end > now;

	if (m->end - AHEAD_S > now || (is_good && now - m->asked < PAUSE_S))
		return NULL;
	m->asked = now;
	hf_autoptr(hf_err) e = get_keys(m);
	if (e == NULL || is_good)
		return NULL;
	return hf_err(hf_err_code(e) == HF_EIO || hf_err_code(e) == HF_ECANCELED
			      ? hf_err_code(e)
			      : HF_EFATAL,
		"asking for keys for S3 (s3.instance-metadata): %s", hf_err_text(e));
}

static void
copy(struct hf_secret *to, const struct hf_secret *from)
{
	hf_secret_set(to, (struct hf_bytes){from->p, from->len});
}

struct hf_err *
s3_meta_keys(struct s3_meta *m, struct s3_keys *out)
{
	struct hf_err *e;

	pthread_mutex_lock(&m->lock);
	e = renew(m);
	if (e == NULL) {
		copy(&out->id, &m->keys.id);
		copy(&out->secret, &m->keys.secret);
		copy(&out->token, &m->keys.token);
	}
	pthread_mutex_unlock(&m->lock);
	return e;
}

void
s3_meta_expire(struct s3_meta *m, const struct s3_keys *tried)
{
	pthread_mutex_lock(&m->lock);
	/* Another thread may have new ones already. */
	if (m->keys.id.len == tried->id.len && tried->id.len > 0 &&
		memcmp(m->keys.id.p, tried->id.p, tried->id.len) == 0)
		m->end = 0;
	pthread_mutex_unlock(&m->lock);
}

/* ---- where to ask ---- */

/* Without TLS, only who is on this machine or beside it is asked: the token is secret. */
static bool
is_trusted(const char *url)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]", "169.254.170.2",
		"169.254.170.23", "[fd00:ec2::23]"};
	const char *host = url + strlen("http://");

	if (strncmp(url, "https://", strlen("https://")) == 0)
		return true;
	if (strncmp(url, "http://", strlen("http://")) != 0)
		return false;
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		size_t len = strlen(hosts[i]);

		if (strncmp(host, hosts[i], len) == 0 && strchr(":/?", host[len]) != NULL)
			return true;
	}
	return false;
}

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
	if (m->container != NULL && !is_trusted(m->container))
		return hf_err(HF_EINVAL, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither "
					 "https:// nor this machine");
	if (file != NULL)
		m->token_file = hf_str_dup(hf_str(file));
	else if (auth != NULL)
		hf_secret_set(&m->auth, hf_str_bytes(hf_str(auth)));
	return NULL;
}

struct hf_err *
s3_meta_new(const struct hf_open *o, struct s3_meta **out)
{
	struct hf_http_options http = web_options(o);
	hf_autoptr(s3_meta) m = hf_new(struct s3_meta);

	pthread_mutex_init(&m->lock, NULL);
	http.http_proxy = http.https_proxy = NULL;
	http.upload = http.download = NULL;
	http.connect_s = CONNECT_S;
	http.stall_s = ASK_S;
	HF_TRY(find_service(m, o));
	HF_TRY(hf_http_new(&http, &m->http));
	*out = hf_steal(m);
	return NULL;
}

void
s3_meta_free(struct s3_meta *m)
{
	if (m == NULL)
		return;
	hf_http_free(m->http);
	free(m->container);
	free(m->machine);
	free(m->token_file);
	hf_secret_clear(&m->auth);
	s3_keys_clear(&m->keys);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
