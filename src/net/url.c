/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/url.h"

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

/* libcurl's copy is wiped as well. */
static void
take_secret(CURLU *u, CURLUPart part, struct hf_secret *out)
{
	char *text = NULL;

	if (curl_url_get(u, part, &text, CURLU_URLDECODE) == CURLUE_OK) {
		hf_secret_set(out, hf_str_bytes(hf_str(text)));
		explicit_bzero(text, strlen(text));
	}
	curl_free(text);
}

/* Everything but what stands before the last `@` of the host's part. */
static char *
without_user(const char *text)
{
	const char *host = strstr(text, "://") + 3, *end = host + strcspn(host, "/?#");
	size_t before = (size_t)(host - text);

	for (const char *p = host; p < end; p++)
		if (*p == '@')
			host = p + 1;
	size_t after = strlen(host);
	char *clean = hf_alloc_(before + after + 1, 1);
	memcpy(clean, text, before);
	memcpy(clean + before, host, after);
	return clean;
}

struct hf_err *
hf_url_parse(const char *text, struct hf_url *out)
{
	struct hf_err *e = NULL;

	HF_TRY(hf_libcurl_load());
	CURLU *u = curl_url();
	if (u == NULL)
		abort();
	if ((strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0) ||
		curl_url_set(u, CURLUPART_URL, text, CURLU_PATH_AS_IS) != CURLUE_OK) {
		e = hf_err(HF_EINVAL, "this is no URL of the form http://host/path");
	} else {
		take_secret(u, CURLUPART_USER, &out->user);
		take_secret(u, CURLUPART_PASSWORD, &out->password);
		out->has_user = out->user.p != NULL || out->password.p != NULL;
		out->clean = without_user(text);
	}
	curl_url_cleanup(u);
	return e;
}
