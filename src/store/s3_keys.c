/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys in the environment, and the order in which the places for keys are looked at. */
#include "store/s3_keys.h"

struct env_source {
	struct s3_source source;
	struct s3_keys keys;
};

static struct env_source *
env_of(struct s3_source *s)
{
	return hf_container_of(s, struct env_source, source);
}

static struct hf_err *
env_get(struct s3_source *s, struct s3_keys *out, int64_t *end)
{
	const struct s3_keys *k = &env_of(s)->keys;

	*end = S3_NO_END;
	hf_secret_set(&out->id, (struct hf_bytes){k->id.p, k->id.len});
	hf_secret_set(&out->secret, (struct hf_bytes){k->secret.p, k->secret.len});
	hf_secret_set(&out->token, (struct hf_bytes){k->token.p, k->token.len});
	return NULL;
}

static void
env_free(struct s3_source *s)
{
	s3_keys_clear(&env_of(s)->keys);
	free(env_of(s));
}

/* A pair of variables, both of which must be set; NULL: they are not. */
static struct s3_source *
env_source(const char *name, const char *id, const char *secret, const char *token)
{
	if (id == NULL || secret == NULL)
		return NULL;
	struct env_source *s = hf_new(struct env_source);

	s->source = (struct s3_source){
		.name = name, .get = env_get, .free = env_free, .is_fixed = true};
	s3_secret_set(&s->keys.id, hf_str(id));
	s3_secret_set(&s->keys.secret, hf_str(secret));
	if (token != NULL)
		s3_secret_set(&s->keys.token, hf_str(token));
	return &s->source;
}

static const char *
either(const struct hf_open *o, const char *first, const char *second)
{
	const char *value = hf_open_env(o, first);

	return value != NULL ? value : hf_open_env(o, second);
}

static struct s3_source *
from_env(const struct hf_open *o)
{
	struct s3_source *s = env_source("AWS_ACCESS_KEY_ID",
		either(o, "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"),
		either(o, "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"),
		hf_open_env(o, "AWS_SESSION_TOKEN"));

	if (s == NULL)
		s = env_source("MINIO_ROOT_USER", hf_open_env(o, "MINIO_ROOT_USER"),
			hf_open_env(o, "MINIO_ROOT_PASSWORD"), NULL);
	return s != NULL ? s
			 : env_source("MINIO_ACCESS_KEY", hf_open_env(o, "MINIO_ACCESS_KEY"),
				   hf_open_env(o, "MINIO_SECRET_KEY"), NULL);
}

static struct hf_err *
no_keys(const struct hf_open *o)
{
	bool has_id = either(o, "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY") != NULL;
	bool has_secret = either(o, "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY") != NULL;

	if (has_id != has_secret)
		return hf_err(HF_EINVAL,
			"there are no keys for S3: $%s is set but $%s is empty",
			has_id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
			has_id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	return hf_err(HF_EINVAL,
		"there are no keys for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
		"write them into ~/.aws/credentials (where the machine has a role: -o "
		"s3.instance-metadata=true; for a bucket that everybody may read: -o "
		"s3.unsafe-anonymous-auth=true)");
}

struct hf_err *
s3_source_find(const struct hf_open *o, struct s3_source **out)
{
	struct s3_source *s = from_env(o);
	bool asks = false;

	HF_TRY(hf_option_bool(o, "s3.instance-metadata", &asks));
	if (s == NULL)
		HF_TRY(s3_profile_source(o, &s));
	if (s == NULL)
		HF_TRY(s3_mc_source(o, &s));
	if (s == NULL)
		HF_TRY(s3_web_source(o, &s));
	if (s == NULL && asks)
		HF_TRY(s3_meta_source(o, &s));
	return s != NULL ? s3_role_source(o, s, out) : no_keys(o);
}
