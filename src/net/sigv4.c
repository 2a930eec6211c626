/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three texts, each made of the one before: the canonical request, the string to sign with its
 * hash, and the signature. Whoever looks for a difference with a server compares the first: the
 * server's is in its answer to a signature that does not match.
 */
#include "net/sigv4.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "codec/sha256.h"
#include "net/http.h"

static const char algorithm[] = "AWS4-HMAC-SHA256";

enum {
	DAY_LEN = 8,             /* "20150830" */
	DATE_LEN = 16,           /* "20150830T123600Z" */
	MAX_REQUEST = 64 * 1024, /* of a canonical request; AWS takes 8 KiB of headers */
	MAX_TEXT = 4096,
};

struct hf_sigv4_date
hf_sigv4_date(int64_t seconds_since_1970)
{
	time_t t = (time_t)seconds_since_1970;
	struct hf_sigv4_date date = {""};
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
		strftime(date.s, sizeof date.s, "%Y%m%dT%H%M%SZ", &tm) == 0)
		date.s[0] = '\0'; /* a year beyond 9999 */
	return date;
}

void
hf_sigv4_add_path(struct hf_buf *out, struct hf_str path)
{
	hf_http_encode(out, path, true);
}

/* ---- pairs in order ---- */

typedef int compare_fn(const struct hf_sigv4_pair *a, const struct hf_sigv4_pair *b);

/* Few of them, and equal ones keep their order: insertion sort. */
static size_t
sort(const struct hf_sigv4_pair *in, size_t n, const struct hf_sigv4_pair **out,
	compare_fn *compare)
{
	for (size_t i = 0; i < n; i++) {
		size_t j = i;

		for (; j > 0 && compare(out[j - 1], &in[i]) > 0; j--)
			out[j] = out[j - 1];
		out[j] = &in[i];
	}
	return n;
}

/* What is sorted is the encoded text, not the bytes themselves. */
static int
compare_encoded(const char *a, const char *b)
{
	hf_auto(hf_buf) ea = HF_BUF_MAX(MAX_TEXT), eb = HF_BUF_MAX(MAX_TEXT);

	hf_http_encode(&ea, hf_str(a), false);
	hf_http_encode(&eb, hf_str(b), false);
	return hf_str_cmp(hf_bytes_str(hf_buf_bytes(&ea)), hf_bytes_str(hf_buf_bytes(&eb)));
}

static int
compare_params(const struct hf_sigv4_pair *a, const struct hf_sigv4_pair *b)
{
	int c = compare_encoded(a->name, b->name);

	return c != 0 ? c : compare_encoded(a->value, b->value);
}

static int
compare_names(const struct hf_sigv4_pair *a, const struct hf_sigv4_pair *b)
{
	return strcmp(a->name, b->name);
}

void
hf_sigv4_add_query(struct hf_buf *out, const struct hf_sigv4_pair *params, size_t n)
{
	const struct hf_sigv4_pair *sorted[HF_SIGV4_HEADERS];

	if (n > HF_SIGV4_HEADERS)
		abort();
	sort(params, n, sorted, compare_params);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			hf_buf_add_char(out, '&');
		hf_http_encode(out, hf_str(sorted[i]->name), false);
		hf_buf_add_char(out, '=');
		hf_http_encode(out, hf_str(sorted[i]->value), false);
	}
}

/* ---- the canonical request ---- */

/* Without white space at the ends, and one blank where there are several inside. */
static void
add_trimmed(struct hf_buf *out, const char *value)
{
	bool is_first = true;

	while (*value != '\0') {
		size_t blank = strspn(value, " \t");
		size_t word = strcspn(value + blank, " \t");

		if (word > 0 && blank > 0 && !is_first)
			hf_buf_add_char(out, ' ');
		hf_buf_add(out, value + blank, word);
		is_first = is_first && word == 0;
		value += blank + word;
	}
}

static void
add_headers(struct hf_buf *out, const struct hf_sigv4_pair *const *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool is_more = i > 0 && strcmp(headers[i - 1]->name, headers[i]->name) == 0;

		if (!is_more)
			hf_buf_addf(out, "%s%s:", i > 0 ? "\n" : "", headers[i]->name);
		else
			hf_buf_add_char(out, ',');
		add_trimmed(out, headers[i]->value);
	}
	hf_buf_add_char(out, '\n');
}

static void
add_names(struct hf_buf *out, const struct hf_sigv4_pair *const *headers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(headers[i - 1]->name, headers[i]->name) != 0)
			hf_buf_addf(out, "%s%s", i > 0 ? ";" : "", headers[i]->name);
}

/* The hash of the canonical request. */
static struct hf_err *
hash_request(const struct hf_sigv4_request *r, const struct hf_sigv4_pair *const *headers,
	struct hf_id *out)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_REQUEST);

	hf_buf_addf(&text, "%s\n%s\n%s\n", r->method, r->path, r->query);
	add_headers(&text, headers, r->n_headers);
	hf_buf_add_char(&text, '\n');
	add_names(&text, headers, r->n_headers);
	hf_buf_addf(&text, "\n%s", r->payload);
	HF_TRY(hf_buf_ok(&text));
	*out = hf_sha256(hf_buf_bytes(&text));
	/* A session token is among the headers. */
	explicit_bzero(text.p, text.len);
	return NULL;
}

/* ---- the signature ---- */

static struct hf_id
hmac(const struct hf_id *key, const char *text)
{
	return hf_hmac_sha256((struct hf_bytes){key->b, HF_ID_LEN}, hf_str_bytes(hf_str(text)));
}

/* The key of one day, region and service. */
static struct hf_id
derive(const struct hf_sigv4_key *key, const char *day)
{
	hf_auto(hf_secret) start = {.p = hf_alloc_(4 + key->secret->len, 1)};
	struct hf_id id;

	start.len = 4 + key->secret->len;
	memcpy(start.p, "AWS4", 4);
	if (key->secret->len > 0)
		memcpy(start.p + 4, key->secret->p, key->secret->len);
	id = hf_hmac_sha256((struct hf_bytes){start.p, start.len}, hf_str_bytes(hf_str(day)));
	id = hmac(&id, key->region);
	id = hmac(&id, key->service);
	return hmac(&id, "aws4_request");
}

static const char *
date_of(const struct hf_sigv4_request *r)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (strcmp(r->headers[i].name, "x-amz-date") == 0 &&
			strlen(r->headers[i].value) == DATE_LEN)
			return r->headers[i].value;
	return NULL;
}

struct hf_err *
hf_sigv4_sign(
	const struct hf_sigv4_request *r, const struct hf_sigv4_key *key, struct hf_buf *out)
{
	const struct hf_sigv4_pair *sorted[HF_SIGV4_HEADERS];
	hf_auto(hf_buf) scope = HF_BUF_MAX(MAX_TEXT), text = HF_BUF_MAX(MAX_TEXT);
	const char *date = date_of(r);
	char day[DAY_LEN + 1] = "";
	struct hf_id hash, signing;

	if (date == NULL || r->n_headers > HF_SIGV4_HEADERS)
		return hf_err(HF_EINVAL, "a request that cannot be signed");
	memcpy(day, date, DAY_LEN);
	sort(r->headers, r->n_headers, sorted, compare_names);
	HF_TRY(hash_request(r, sorted, &hash));

	hf_buf_addf(&scope, "%s/%s/%s/aws4_request", day, key->region, key->service);
	hf_buf_add_char(&scope, '\0');
	HF_TRY(hf_buf_ok(&scope));
	hf_buf_addf(&text, "%s\n%s\n%s\n%s", algorithm, date, (const char *)scope.p,
		hf_id_hex(&hash).s);
	hf_buf_add_char(&text, '\0');
	HF_TRY(hf_buf_ok(&text));

	signing = derive(key, day);
	hash = hmac(&signing, (const char *)text.p);
	explicit_bzero(&signing, sizeof signing);
	hf_buf_addf(out, "%s Credential=%s/%s, SignedHeaders=", algorithm, key->id,
		(const char *)scope.p);
	add_names(out, sorted, r->n_headers);
	hf_buf_addf(out, ", Signature=%s", hf_id_hex(&hash).s);
	return hf_buf_ok(out);
}
