/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/url.h"

#include <stdio.h>
#include <strings.h>

#include "net/libcurl.h"

void
hf_url_clear(struct hf_url *u)
{
	free(u->clean);
	hf_secret_clear(&u->user);
	hf_secret_clear(&u->password);
	*u = (struct hf_url){0};
}

static int
hex_digit(uint8_t c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *found = c != '\0' ? strchr(digits, c) : NULL;

	return found != NULL ? (int)(found - digits) % 16 : -1;
}

/*
 * Takes what stands from `p` to `end`, percent-decoded; a `%` that means nothing stays one. False: it
 * has a byte of zero in it.
 */
static bool
take_secret(const char *p, const char *end, struct hf_secret *out)
{
	size_t n = 0, len = (size_t)(end - p);

	hf_secret_set(out, (struct hf_bytes){(const uint8_t *)p, len});
	/* There is a byte of zero behind it, so that nothing beyond is looked at. */
	for (size_t i = 0; i < len; i++, n++) {
		int high = out->p[i] == '%' ? hex_digit(out->p[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(out->p[i + 2]) : -1;

		out->p[n] = out->p[i];
		if (low < 0)
			continue;
		out->p[n] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	explicit_bzero(out->p + n, len - n);
	out->len = n;
	return memchr(out->p, '\0', n) == NULL;
}

/* Letters and signs that people write in a path, and that no request may have in it. */
static bool
is_escaped(unsigned char c)
{
	return c == ' ' || c >= 0x80 || (c != '\0' && strchr("\"<>\\^`{|}", c) != NULL);
}

/* The scheme up to `host`, host and port, and the path as a request can have it. */
static char *
cleaned(const char *text, const char *host, const char *after_user, const char *path)
{
	char *clean = hf_alloc_(3 * strlen(text) + 1, 1), *to = clean;

	to = mempcpy(to, text, (size_t)(host - text));
	to = mempcpy(to, after_user, (size_t)(path - after_user));
	for (; *path != '\0'; path++) {
		if (is_escaped((unsigned char)*path))
			to += snprintf(to, 4, "%%%02X", (unsigned char)*path);
		else
			*to++ = *path;
	}
	*to = '\0';
	return clean;
}

static bool
is_url(const char *text)
{
	CURLU *u = curl_url();

	if (u == NULL)
		abort();
	bool is = curl_url_set(u, CURLUPART_URL, text, CURLU_PATH_AS_IS) == CURLUE_OK;
	curl_url_cleanup(u);
	return is;
}

/* libcurl sees neither user nor password, in which it would not have an `@`. */
struct hf_err *
hf_url_parse(const char *text, struct hf_url *out)
{
	const char *host = strstr(text, "://"), *path, *at;
	bool is_ours =
		strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;

	HF_TRY(hf_libcurl_load());
	if (is_ours) {
		host += 3;
		path = host + strcspn(host, "/?#");
		at = memrchr(host, '@', (size_t)(path - host));
		if (at != NULL) {
			const char *colon = memchr(host, ':', (size_t)(at - host));

			is_ours = take_secret(host, colon != NULL ? colon : at, &out->user);
			if (colon != NULL)
				is_ours &= take_secret(colon + 1, at, &out->password);
		}
		/* libcurl would take the path's first part for the host. */
		is_ours &= (at != NULL ? at + 1 : host) < path;
		/* Nobody, without a password, is as good as not said. */
		out->has_user = out->user.len > 0 || out->password.p != NULL;
		out->clean = cleaned(text, host, at != NULL ? at + 1 : host, path);
	}
	if (!is_ours || !is_url(out->clean))
		return hf_err(HF_EINVAL, "this is no URL of the form http://host/path");
	return NULL;
}
