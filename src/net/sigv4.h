/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signatures of requests to S3 and to what behaves like it: AWS Signature Version 4, in the header,
 * as S3 wants it (the path encoded once and never normalized).
 *
 * Pure functions of their arguments: no clock, no connection, any thread. What is signed is the
 * text that goes over the wire, and so this module also makes that text: path and query of the
 * URL come from the functions below and are sent as they are.
 *
 * Source: "Authenticating Requests (AWS Signature Version 4)" of the S3 API reference, and AWS's
 * test suite for the version, both of which tests/unit/test_sigv4.c holds this module against.
 */
#ifndef HF_NET_SIGV4_H
#define HF_NET_SIGV4_H

#include "base/buf.h"
#include "base/secret.h"

/* A name and a value: a parameter of a query, or a header. */
struct hf_sigv4_pair {
	const char *name, *value;
};

/* Who signs, and for what place. */
struct hf_sigv4_key {
	const char *id;                 /* the access key's name, which everybody may see */
	const struct hf_secret *secret; /* the key itself */
	const char *region, *service;   /* "us-east-1", "s3" */
};

struct hf_sigv4_request {
	const char *method;
	const char *path;  /* as hf_sigv4_add_path() writes it, "/" at least */
	const char *query; /* as hf_sigv4_add_query() writes it, "" for none */
	/*
	 * The headers to sign, in any order: `host` and `x-amz-date` at least, for S3 also
	 * `x-amz-content-sha256`. Names in lower case; of two with one name the first stands first.
	 */
	const struct hf_sigv4_pair *headers;
	size_t n_headers;
	const char *payload; /* SHA-256 of the body in hex, or "UNSIGNED-PAYLOAD" */
};

enum { HF_SIGV4_HEADERS = 24 }; /* not more than these are signed */

/* An instant as `x-amz-date` wants it: "20150830T123600Z". */
struct hf_sigv4_date {
	char s[17];
};
struct hf_sigv4_date hf_sigv4_date(int64_t seconds_since_1970);

/* Appends `path` with every byte encoded that is not unreserved in RFC 3986 or a slash. */
void hf_sigv4_add_path(struct hf_buf *out, struct hf_str path);

/*
 * Appends the parameters encoded and sorted, "a=1&b=": not more than HF_SIGV4_HEADERS. A parameter
 * without a value has the value "".
 */
void hf_sigv4_add_query(struct hf_buf *out, const struct hf_sigv4_pair *params, size_t n);

/*
 * Appends the value of the header `authorization`. The time is that of the header `x-amz-date`.
 * HF_EINVAL: that one is missing or there are too many headers.
 */
struct hf_err *hf_sigv4_sign(const struct hf_sigv4_request *r, const struct hf_sigv4_key *key,
	struct hf_buf *out) HF_MUST;

#endif
