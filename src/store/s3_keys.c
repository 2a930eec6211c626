/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys that requests to S3 are signed with, from the places where people keep them. */
#include <stdio.h>

#include "base/io.h"
#include "base/text.h"
#include "store/s3_i.h"

void
s3_keys_clear(struct s3_keys *k)
{
	hf_secret_clear(&k->id);
	hf_secret_clear(&k->secret);
	hf_secret_clear(&k->token);
}

static void
set(struct hf_secret *s, struct hf_str value)
{
	hf_secret_set(s, hf_str_bytes(value));
}

/* A pair of variables, both of which must be set. */
static bool
from_env(const struct hf_open *o, const char *id_name, const char *secret_name,
	struct s3_keys *out)
{
	const char *id = hf_open_env(o, id_name), *secret = hf_open_env(o, secret_name);

	if (id == NULL || secret == NULL)
		return false;
	set(&out->id, hf_str(id));
	set(&out->secret, hf_str(secret));
	return true;
}

static bool
from_aws_env(const struct hf_open *o, struct s3_keys *out)
{
	const char *id = hf_open_env(o, "AWS_ACCESS_KEY_ID");
	const char *secret = hf_open_env(o, "AWS_SECRET_ACCESS_KEY");
	const char *token = hf_open_env(o, "AWS_SESSION_TOKEN");

	if (!from_env(o, id != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_ACCESS_KEY",
		    secret != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_SECRET_KEY", out))
		return false;
	if (token != NULL)
		set(&out->token, hf_str(token));
	return true;
}

/* "key = value"; false: the line is none. */
static bool
split(struct hf_str line, struct hf_str *key, struct hf_str *value)
{
	const char *eq = memchr(line.p, '=', line.len);

	if (eq == NULL)
		return false;
	*key = hf_text_trim((struct hf_str){line.p, (size_t)(eq - line.p)});
	*value = hf_text_trim((struct hf_str){eq + 1, (size_t)(line.p + line.len - eq - 1)});
	return true;
}

/* Takes what section `profile` says. */
static void
read_profile(struct hf_str text, const char *profile, struct s3_keys *out)
{
	struct hf_str line, key, value;
	bool is_ours = false;

	while (hf_text_line(&text, &line)) {
		line = hf_text_trim(line);
		if (line.len == 0 || line.p[0] == '#' || line.p[0] == ';')
			continue;
		if (line.p[0] == '[') {
			struct hf_str name = {line.p + 1, line.len - 1};

			if (name.len > 0 && name.p[name.len - 1] == ']')
				name.len--;
			is_ours = hf_str_is(hf_text_trim(name), profile);
		} else if (is_ours && split(line, &key, &value)) {
			if (hf_str_is(key, "aws_access_key_id"))
				set(&out->id, value);
			else if (hf_str_is(key, "aws_secret_access_key"))
				set(&out->secret, value);
			else if (hf_str_is(key, "aws_session_token"))
				set(&out->token, value);
		}
	}
}

/* The shared credentials file. What is missing is missing; what cannot be read is an error. */
static struct hf_err *
from_file(const struct hf_open *o, struct s3_keys *out)
{
	const char *named = hf_open_env(o, "AWS_SHARED_CREDENTIALS_FILE");
	const char *home = hf_open_env(o, "HOME"), *profile = hf_open_env(o, "AWS_PROFILE");
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);
	hf_autofree char *path = NULL;
	struct hf_err *e;

	if (named == NULL && home == NULL)
		return NULL;
	if (asprintf(&path, "%s%s", named != NULL ? named : home,
		    named != NULL ? "" : "/.aws/credentials") < 0)
		abort();
	e = hf_read_file(path, &text);
	if (e == NULL)
		read_profile(hf_bytes_str(hf_buf_bytes(&text)),
			profile != NULL ? profile : "default", out);
	if (text.p != NULL)
		explicit_bzero(text.p, text.len);
	return hf_err_in(hf_err_ignore(e, HF_ENOTFOUND), "reading the keys for S3");
}

struct hf_err *
s3_keys_find(const struct hf_open *o, struct s3_keys *out)
{
	if (from_aws_env(o, out) ||
		from_env(o, "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", out) ||
		from_env(o, "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", out))
		return NULL;
	HF_TRY(from_file(o, out));
	if (out->id.len > 0 && out->secret.len > 0)
		return NULL;
	return hf_err(HF_EINVAL,
		"there are no keys for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
		"write them into ~/.aws/credentials (where the machine has a role: -o "
		"s3.instance-metadata=true; for a bucket that everybody may read: -o "
		"s3.unsafe-anonymous-auth=true)");
}
