/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the S3 store share: where a bucket is (s3_place.c), who we are (s3_keys.h),
 * requests and what their answers mean (s3_talk.c), and files made of them (s3.c,
 * s3_put.c, s3_warm.c).
 */
#ifndef HF_STORE_S3_I_H
#define HF_STORE_S3_I_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/http.h"
#include "net/sigv4.h"
#include "store/backend.h"
#include "store/s3_keys.h"

/* ---- places ---- */

enum s3_lookup {
	S3_AUTO, /* by name where Amazon, Google and Aliyun are the hosts, else by path */
	S3_DNS,  /* https://bucket.host/key */
	S3_PATH, /* https://host/bucket/key */
};

/*
 * "host/bucket/prefix", "//host/…", "http://host:port/…": what follows "s3:". As in restic, http:// and
 * https:// make it a URL, in whose path escapes such as %20 stand for bytes; else they are themselves.
 */
struct s3_place {
	bool is_plain; /* http */
	char *host;    /* in lower case, with its port unless that is the usual one */
	char *bucket;
	char *prefix; /* "", or without slashes at its ends */
};

void s3_place_clear(struct s3_place *p);

/* HF_EINVAL: not of that form. */
struct hf_err *s3_place_parse(const char *text, struct s3_place *out) HF_MUST;

/* Whether the bucket is to be found by its name in front of the host's. */
bool s3_place_by_name(const struct s3_place *p, enum s3_lookup lookup);

/* The region that Amazon's host names contain ("s3.eu-west-1.amazonaws.com"), or NULL. */
char *s3_place_region(const struct s3_place *p);

/*
 * The host that serves buckets of a region, which the caller frees: Amazon's for all regions
 * ("s3.amazonaws.com") sends who comes by path to that of the region, as does ours. All others are
 * what they are.
 */
char *s3_place_host(const struct s3_place *p, const char *region);

/* The host as it is signed: in lower case, without the port that nobody writes, as clients send it. */
char *s3_normal_host(struct hf_str host, bool is_plain);

/* ---- requests ---- */

struct s3 {
	struct hf_store store;
	struct hf_http *http;
	struct s3_place place;
	struct s3_lender *lender; /* of the keys; NULL: requests are not signed */
	bool by_name;             /* s3_place_by_name() */
	bool lists_v1;            /* list-objects-v1 */
	bool hashes_all;          /* hash-uploads */
	size_t part;              /* bytes of a part of a large upload */
	char *storage_class;      /* or NULL */
	unsigned thaw_days;       /* so long a copy of what was in an archive stays */
	const char *thaw_tier;
	void (*say)(void *arg, const char *line);
	void *say_arg;

	atomic_bool sends_md5;  /* the bucket takes nothing without */
	atomic_llong clock_off; /* seconds that the server is ahead of us, 0 unless it minded */
	pthread_mutex_t lock;   /* guards what follows */
	char *region;
};

enum { S3_PARAMS = 6, S3_HEADERS = 4 };

/* ---- headers (s3_sign.c) ---- */

enum {
	S3_HEADERS_MAX =
		80 << 10, /* bytes of header lines; session tokens have some thousands */
	S3_LINES = S3_HEADERS + 6,
};

/* Header lines, in one buffer that never moves and is wiped afterwards. */
struct s3_lines {
	struct hf_buf text;
	const char *at[S3_LINES];
	struct hf_sigv4_pair pairs[S3_LINES + 1]; /* to sign */
	size_t n, n_pairs;
};

struct hf_err *s3_lines_init(struct s3_lines *l) HF_MUST;
void s3_lines_clear(struct s3_lines *l);

/* A header that is sent, and signed if anything is; both strings outlive the request. */
void s3_lines_add(struct s3_lines *l, const char *name, const char *value);
void s3_lines_host(struct s3_lines *l, const char *host); /* which the client sends by itself */

/*
 * Adds the time `now`, the token and the signature, for a request of which `r` has all but the
 * headers.
 */
struct hf_err *s3_lines_sign(struct s3_lines *l, struct hf_sigv4_request *r,
	const struct s3_keys *keys, const char *region, const char *service,
	int64_t now) HF_MUST;

/* Appends what a server says, for people: one line, plain characters, not too long. */
void s3_add_shown(struct hf_buf *out, struct hf_str s);
enum { S3_SHOWN_MAX = 200 };

/* ---- one request ---- */

struct s3_ask {
	const char *method;
	const char *key; /* of an object; NULL: the bucket */
	bool is_lock;    /* it is about a lock: nothing makes it wait, and it is over in time */
	bool is_bounded; /* a change that is over after the store's within_s */
	/*
	 * What is over in time is so after all tries together, with the keys and all else that they
	 * need. For calls of several requests: hf_clock() at which all are over. 0: it begins now.
	 */
	double until;
	struct hf_bytes body;
	const struct hf_id *hash; /* of the body if that is known; NULL: it is computed */
	struct hf_sigv4_pair params[S3_PARAMS],
		headers[S3_HEADERS]; /* up to one without name */
	bool is_range;
	uint64_t off;
	size_t len;
	struct hf_buf *out;
	struct hf_sink *sink; /* or here */
};

/* The headers that every answer brings along, in a->values. */
enum { S3_DATE, S3_MODIFIED, S3_ETAG, S3_REGION, S3_CLASS, S3_RESTORE };

/*
 * Makes the request and signs it. An answer that tells us the region of the bucket, that our clock is
 * wrong, that keys have ended or that MD5 is wanted is learned from, and the request made anew. NULL:
 * there is an answer, of any status.
 */
struct hf_err *s3_do(struct s3 *s, const struct s3_ask *ask, struct hf_http_answer *a) HF_MUST;

/*
 * What an answer means, NULL for 2xx: HF_ENOTFOUND for 404 with a code of S3's, HF_EIO for what S3's
 * own clients try again and for any other 404, HF_ECORRUPT for 416, HF_EFATAL for the rest, a missing
 * bucket among it. Texts have S3's code and message, and the error knows how long the server wants to
 * be left alone (hf_err_wait()).
 */
struct hf_err *s3_error(const struct hf_http_answer *a) HF_MUST;

/* The same for the body of an answer that says 200 and may be an error all the same. */
struct hf_err *s3_error_in(const struct hf_http_answer *a, struct hf_bytes body) HF_MUST;

/* True when the answer is an error with that code. */
bool s3_has_code(const struct hf_http_answer *a, const char *code);

/* hf_clock() at which a call about a lock that begins now is over; 0: it is about no lock. */
double s3_until(bool is_lock);

/* The region of the bucket as far as we know; the caller frees it. */
char *s3_region(struct s3 *s);

/* s3_do() and s3_error(). */
struct hf_err *s3_demand(
	struct s3 *s, const struct s3_ask *ask, struct hf_http_answer *a) HF_MUST;

/* ---- files ---- */

struct s3 *s3_of(struct hf_store *s);

/* The key of a file. */
struct s3_key {
	char *s;
};
static inline void
s3_key_clear(struct s3_key *k)
{
	free(k->s);
}
struct s3_key s3_key_of(const struct s3 *s, const struct hf_name *name);

/* HEAD of a file; the answer has the size. HF_ENOTFOUND: S3 itself says that it is gone. */
struct hf_err *s3_head(
	struct s3 *s, const struct hf_name *name, struct hf_http_answer *a) HF_MUST;

struct hf_err *s3_put(
	struct hf_store *st, const struct hf_name *name, struct hf_bytes data) HF_MUST;

/* True of a storage class whose objects must be ordered back before they can be read. */
bool s3_is_archive(const char *storage_class);

/* s3_warm.c: hf_store_warm() for S3, and its options. */
struct hf_err *s3_warm(struct hf_store *st, const struct hf_name *name, bool *is_warm) HF_MUST;
struct hf_err *s3_warm_options(struct s3 *s, const struct hf_open *o) HF_MUST;

#endif
