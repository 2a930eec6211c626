/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/libcurl.h"

#include <stdarg.h>

#include "base/late.h"

#define SONAME "libcurl.so.4"

#define FUNCTIONS(X)                                                                           \
	X(return, CURLcode, curl_global_init, (long flags), (flags))                           \
	X(, void, curl_global_cleanup, (void), ())                                             \
	X(return, CURL *, curl_easy_init, (void), ())                                          \
	X(return, CURLcode, curl_easy_perform, (CURL * e), (e))                                \
	X(, void, curl_easy_reset, (CURL * e), (e))                                            \
	X(, void, curl_easy_cleanup, (CURL * e), (e))                                          \
	X(return, const char *, curl_easy_strerror, (CURLcode rc), (rc))                       \
	X(, void, curl_free, (void *p), (p))                                                   \
	X(return, time_t, curl_getdate, (const char *text, const time_t *unused),              \
		(text, unused))                                                                \
	X(return, struct curl_slist *, curl_slist_append,                                      \
		(struct curl_slist * l, const char *s), (l, s))                                \
	X(, void, curl_slist_free_all, (struct curl_slist * l), (l))                           \
	X(return, CURLU *, curl_url, (void), ())                                               \
	X(, void, curl_url_cleanup, (CURLU * u), (u))                                          \
	X(return, CURLUcode, curl_url_get,                                                     \
		(CURLU * u, CURLUPart part, char **out, unsigned flags),                       \
		(u, part, out, flags))                                                         \
	X(return, CURLUcode, curl_url_set,                                                     \
		(CURLU * u, CURLUPart part, const char *s, unsigned flags),                    \
		(u, part, s, flags))

/* The functions with an argument of any type, which are defined below. */
#define OPEN_FUNCTIONS(X)                                                                      \
	X(return, CURLcode, curl_easy_setopt, (CURL * e, CURLoption option, ...), )            \
	X(return, CURLcode, curl_easy_getinfo, (CURL * e, CURLINFO info, ...), )

static struct {
	FUNCTIONS(HF_LATE_MEMBER)
	OPEN_FUNCTIONS(HF_LATE_MEMBER)
} loaded;

static const struct hf_late_function functions[] = {
	FUNCTIONS(HF_LATE_NAME) OPEN_FUNCTIONS(HF_LATE_NAME)};

static struct hf_late library = {
	.file = SONAME,
	.package = "libcurl4",
	.purpose = "repositories over HTTP",
	.functions = functions,
	.n = sizeof functions / sizeof *functions,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

HF_LATE_NOTE(note, "http", "Repositories on a REST server or in S3", SONAME);

struct hf_err *
hf_libcurl_load(void)
{
	return hf_late_load(&library);
}

FUNCTIONS(HF_LATE_CALL)

/* The number of an option says what follows it. */
HF_LATE_HIDDEN
CURLcode(curl_easy_setopt)(CURL *e, CURLoption option, ...)
{
	CURLcode rc;
	va_list ap;

	va_start(ap, option);
	if (option < CURLOPTTYPE_OBJECTPOINT)
		rc = (loaded.curl_easy_setopt)(e, option, va_arg(ap, long));
	else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
		rc = (loaded.curl_easy_setopt)(e, option, va_arg(ap, curl_off_t));
	else
		rc = (loaded.curl_easy_setopt)(e, option, va_arg(ap, void *));
	va_end(ap);
	return rc;
}

HF_LATE_HIDDEN
CURLcode(curl_easy_getinfo)(CURL *e, CURLINFO info, ...)
{
	va_list ap;

	va_start(ap, info);
	CURLcode rc = (loaded.curl_easy_getinfo)(e, info, va_arg(ap, void *));
	va_end(ap);
	return rc;
}
