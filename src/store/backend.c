/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/backend.h"

#include <stdio.h>

#include "base/text.h"
#include "base/time.h"

const char *
hf_open_env(const struct hf_open *o, const char *name)
{
	const char *value = o->env != NULL ? o->env(o->env_arg, name) : NULL;

	return value != NULL && *value != '\0' ? value : NULL;
}

const char *
hf_option_find(const struct hf_open *o, const char *key)
{
	for (size_t i = 0; i < o->n_options; i++)
		if (strcmp(o->options[i].key, key) == 0)
			return o->options[i].value;
	return NULL;
}

void
hf_option_string(const struct hf_open *o, const char *key, const char **out)
{
	const char *value = hf_option_find(o, key);

	if (value != NULL)
		*out = value;
}

struct hf_err *
hf_option_uint(
	const struct hf_open *o, const char *key, unsigned min, unsigned max, unsigned *out)
{
	const char *value = hf_option_find(o, key), *p = value;
	uint64_t n = 0;

	if (value == NULL)
		return NULL;
	for (; *p >= '0' && *p <= '9' && n <= max; p++)
		n = n * 10 + (unsigned)(*p - '0');
	if (p == value || *p != '\0' || n < min || n > max)
		return hf_err(HF_EINVAL, "option %s=%s: not a number from %u to %u", key, value,
			min, max);
	*out = (unsigned)n;
	return NULL;
}

struct hf_err *
hf_option_bool(const struct hf_open *o, const char *key, bool *out)
{
	const char *value = hf_option_find(o, key);

	if (value == NULL || hf_text_bool(value, out))
		return NULL;
	return hf_err(HF_EINVAL, "option %s=%s: neither true nor false", key, value);
}

struct hf_err *
hf_option_seconds(const struct hf_open *o, const char *key, double *out)
{
	const char *value = hf_option_find(o, key);
	double seconds;

	if (value == NULL)
		return NULL;
	if (!hf_duration_parse(value, &seconds) || seconds < 0)
		return hf_err(HF_EINVAL, "option %s=%s: not a duration such as 90s or 5m", key,
			value);
	*out = seconds;
	return NULL;
}

/* The @ that ends user and password, or NULL. A slash in a password is wrong, but not ours to show. */
static const char *
find_at(const char *user)
{
	size_t host = strcspn(user, "/"), name = strcspn(user, ":/");
	const char *at = memrchr(user, '@', host);

	if (at != NULL || name == host)
		return at;
	/* host:port, or the beginning of user:password? */
	if (name + 1 + strspn(user + name + 1, "0123456789") == host)
		return NULL;
	return strrchr(user, '@');
}

char *
hf_place_shown(const char *url)
{
	const char *slashes = strstr(url, "://");
	const char *at = slashes != NULL ? find_at(slashes + 3) : NULL;
	const char *colon =
		at != NULL ? memchr(slashes + 3, ':', (size_t)(at - slashes - 3)) : NULL;
	char *shown;

	if (colon == NULL)
		return hf_str_dup(hf_str(url));
	if (asprintf(&shown, "%.*s:***%s", (int)(colon - url), url, at) < 0)
		abort();
	return shown;
}
