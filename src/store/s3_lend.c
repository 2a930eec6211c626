/* SPDX-License-Identifier: BSD-2-Clause */
/* The lender of keys, and what those share who have some to give. */
#include <pthread.h>

#include "base/io.h"
#include "base/text.h"
#include "base/time.h"
#include "codec/json.h"
#include "store/s3_keys.h"

enum {
	AHEAD_S = 300, /* so long before their end keys are replaced */
	PAUSE_S = 60,  /* keys that come with less are not asked for again at once */
	REFUSED_S =
		5, /* so long a refusal holds for all threads: the first requests come together */
};

struct s3_lender {
	struct s3_source *source;
	pthread_mutex_t
		lock; /* guards what follows; who asks for keys keeps the others waiting */
	struct s3_keys keys;
	int64_t asked, end; /* seconds since 1970; `end` 0: there are no keys */
	char *refusal;      /* of the last time, or NULL */
};

struct s3_lender *
s3_lender_new(struct s3_source *source)
{
	struct s3_lender *l = hf_new(struct s3_lender);

	l->source = source;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void
s3_lender_free(struct s3_lender *l)
{
	if (l == NULL)
		return;
	l->source->free(l->source);
	s3_keys_clear(&l->keys);
	free(l->refusal);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* What is not there is no file of the repository. */
static struct hf_err *
refusal(struct s3_lender *l, const struct hf_err *e)
{
	enum hf_code code = hf_err_code(e);
	struct hf_err *told = hf_err(code == HF_EIO || code == HF_ECANCELED ? code : HF_EFATAL,
		"asking for keys for S3 (%s): %s", l->source->name, hf_err_text(e));

	if (hf_err_code(told) == HF_EFATAL)
		l->refusal = hf_str_dup(hf_str(hf_err_text(told)));
	return hf_err_later(told, hf_err_wait(e));
}

/* Asks for keys if they are due. */
static struct hf_err *
renew(struct s3_lender *l)
{
	hf_auto(s3_keys) keys = {0};
	int64_t now = hf_time_now().sec, end = S3_NO_END;
	bool is_good = l->end > now;

	if (l->end - AHEAD_S > now || (is_good && now - l->asked < PAUSE_S))
		return NULL;
	if (l->refusal != NULL && now - l->asked < REFUSED_S)
		return hf_err(HF_EFATAL, "%s", l->refusal);
	l->asked = now;
	free(hf_steal(l->refusal));
	hf_autoptr(hf_err) e = l->source->get(l->source, &keys, &end);
	if (e == NULL) {
		s3_keys_clear(&l->keys);
		l->keys = keys;
		keys = (struct s3_keys){0};
		l->end = end;
		return NULL;
	}
	return is_good ? NULL : refusal(l, e);
}

static void
copy(struct hf_secret *to, const struct hf_secret *from)
{
	hf_secret_set(to, (struct hf_bytes){from->p, from->len});
}

struct hf_err *
s3_lender_keys(struct s3_lender *l, struct s3_keys *out)
{
	struct hf_err *e;

	pthread_mutex_lock(&l->lock);
	e = renew(l);
	if (e == NULL) {
		copy(&out->id, &l->keys.id);
		copy(&out->secret, &l->keys.secret);
		copy(&out->token, &l->keys.token);
	}
	pthread_mutex_unlock(&l->lock);
	return e;
}

static bool
is_same(const struct hf_secret *a, const struct hf_secret *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

bool
s3_lender_expire(struct s3_lender *l, const struct s3_keys *tried)
{
	bool may_help;

	pthread_mutex_lock(&l->lock);
	/* Another thread may have new ones already. */
	bool are_ours =
		is_same(&l->keys.id, &tried->id) && is_same(&l->keys.token, &tried->token);
	if (are_ours)
		l->end = 0;
	may_help = !are_ours || !l->source->is_fixed;
	pthread_mutex_unlock(&l->lock);
	return may_help;
}

/* ---- for sources ---- */

void
s3_keys_clear(struct s3_keys *k)
{
	hf_secret_clear(&k->id);
	hf_secret_clear(&k->secret);
	hf_secret_clear(&k->token);
}

bool
s3_keys_are_whole(const struct s3_keys *k)
{
	return k->id.len > 0 && k->secret.len > 0;
}

void
s3_secret_set(struct hf_secret *s, struct hf_str value)
{
	hf_secret_set(s, hf_str_bytes(value));
}

struct hf_err *
s3_said_init(struct s3_said *s)
{
	s->text = (struct hf_buf)HF_BUF_MAX(S3_SAID_MAX);
	return hf_buf_reserve(&s->text, S3_SAID_MAX);
}

void
s3_said_clear(struct s3_said *s)
{
	if (s->text.p != NULL)
		explicit_bzero(s->text.p, s->text.cap);
	hf_buf_clear(&s->text);
}

struct hf_str
s3_said_str(const struct s3_said *s)
{
	return hf_text_trim(hf_bytes_str(hf_buf_bytes(&s->text)));
}

struct hf_err *
s3_said_read(const char *path, struct s3_said *out)
{
	HF_TRY(s3_said_init(out));
	return hf_read_file(path, &out->text);
}

static void
take(struct hf_json *j, struct hf_secret *out)
{
	s3_secret_set(out, hf_json_str(j));
}

struct hf_err *
s3_keys_read(struct hf_str json, struct s3_keys *out, int64_t *end)
{
	hf_auto(s3_said) scratch = {0};
	struct hf_str key;
	struct hf_json j;

	*end = S3_NO_END;
	HF_TRY(s3_said_init(&scratch));
	hf_json_init(&j, hf_str_bytes(json), &scratch.text);
	for (hf_json_object(&j); hf_json_key(&j, &key);) {
		if (hf_json_key_is(key, "AccessKeyId"))
			take(&j, &out->id);
		else if (hf_json_key_is(key, "SecretAccessKey"))
			take(&j, &out->secret);
		else if (hf_json_key_is(key, "Token") || hf_json_key_is(key, "SessionToken"))
			take(&j, &out->token);
		else if (hf_json_key_is(key, "Expiration") && !hf_json_null(&j))
			*end = hf_json_time(&j).sec;
		else
			hf_json_skip(&j);
	}
	/* The place of a fault may be told, but nothing of what stands there. */
	HF_TRY(hf_json_end(&j));
	return s3_keys_are_whole(out) ? NULL
				      : hf_err(HF_EFATAL, "there are no keys in what it says");
}

bool
s3_is_trusted(const char *url)
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
