/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who we are to an S3 server: where keys come from (s3_keys.c has the order, s3_files.c reads files,
 * s3_meta.c and s3_sts.c ask services) and the lender, which asks for new ones before they end.
 */
#ifndef HF_STORE_S3_KEYS_H
#define HF_STORE_S3_KEYS_H

#include "base/secret.h"
#include "net/http.h"
#include "store/backend.h"

/* All strings with a NUL behind. Without an id, requests are not signed. */
struct s3_keys {
	struct hf_secret id, secret, token;
};

void s3_keys_clear(struct s3_keys *k);
bool s3_keys_are_whole(const struct s3_keys *k); /* the token may be missing */

#define S3_NO_END INT64_MAX

/* Somebody who has keys, or is asked for them; one thread at a time. */
struct s3_source {
	const char *name; /* how the user has named it: an option, or a variable */
	/*
	 * Sets *out, and *end to the second since 1970 at which they end, or S3_NO_END. Over within
	 * half a minute. HF_EIO, HF_ECANCELED: as of http.h; all else is for good.
	 */
	struct hf_err *(*get)(struct s3_source *, struct s3_keys *out, int64_t *end);
	void (*free)(struct s3_source *);
	bool is_fixed; /* asking again gives the same keys */
};

/*
 * The first that there is of these, as for restic:
 *  - AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_ACCESS_KEY, AWS_SECRET_KEY) with
 *    AWS_SESSION_TOKEN; MINIO_ROOT_USER and MINIO_ROOT_PASSWORD (or MINIO_ACCESS_KEY,
 *    MINIO_SECRET_KEY);
 *  - profile AWS_PROFILE or "default" of the file AWS_SHARED_CREDENTIALS_FILE or
 *    ~/.aws/credentials: keys, or the credential_process that prints some;
 *  - the host MINIO_ALIAS or "s3" of MINIO_SHARED_CREDENTIALS_FILE or ~/.mc/config.json;
 *  - a token in AWS_WEB_IDENTITY_TOKEN_FILE, for the role AWS_ROLE_ARN (s3_sts.c);
 *  - only with s3.instance-metadata, the service of the container or virtual machine (s3_meta.c).
 * With RESTIC_AWS_ASSUME_ROLE_ARN those keys are exchanged for those of that role (s3_sts.c).
 * HF_EINVAL: there are none, and where they would have been found. No service has been asked.
 */
struct hf_err *s3_source_find(const struct hf_open *o, struct s3_source **out) HF_MUST;

/* s3_files.c; *out is NULL if there is nothing of the kind. */
struct hf_err *s3_profile_source(const struct hf_open *o, struct s3_source **out) HF_MUST;
struct hf_err *s3_mc_source(const struct hf_open *o, struct s3_source **out) HF_MUST;
/* s3_meta.c, s3_sts.c; s3_role_source() takes `base`, also on failure, and passes it on without a role. */
struct hf_err *s3_meta_source(const struct hf_open *o, struct s3_source **out) HF_MUST;
struct hf_err *s3_web_source(const struct hf_open *o, struct s3_source **out) HF_MUST;
struct hf_err *s3_role_source(
	const struct hf_open *o, struct s3_source *base, struct s3_source **out) HF_MUST;

/* ---- the lender ---- */

/*
 * Keys that are good for now, from any thread. They are asked for when the first are needed, and again
 * some minutes before they end; as long as the old ones are good, that may fail.
 */
struct s3_lender;

struct s3_lender *s3_lender_new(struct s3_source *source); /* takes it */
void s3_lender_free(struct s3_lender *l);                  /* NULL is fine */
HF_AUTOPTR(s3_lender)

/* HF_EIO: there may be some the next time. HF_EFATAL: there are none. */
struct hf_err *s3_lender_keys(struct s3_lender *l, struct s3_keys *out) HF_MUST;

/* The server says that these keys have ended. True: there are, or may be, others. */
bool s3_lender_expire(struct s3_lender *l, const struct s3_keys *tried);

/* ---- for sources ---- */

enum { S3_SAID_MAX = 64 << 10 };

/* Text that may be secret. It does not move while it grows, and is wiped as a whole. */
struct s3_said {
	struct hf_buf text;
};
struct hf_err *s3_said_init(struct s3_said *s) HF_MUST;
void s3_said_clear(struct s3_said *s);
struct hf_str s3_said_str(const struct s3_said *s); /* without what is white around it */

void s3_secret_set(struct hf_secret *s, struct hf_str value);

/* The whole file. HF_ENOTFOUND: there is none. */
struct hf_err *s3_said_read(const char *path, struct s3_said *out) HF_MUST;

/*
 * The JSON that services and credential processes write: AccessKeyId, SecretAccessKey, Token or
 * SessionToken, Expiration (S3_NO_END if it does not say). HF_EFATAL: there are no keys in it.
 */
struct hf_err *s3_keys_read(struct hf_str json, struct s3_keys *out, int64_t *end) HF_MUST;

/* Without TLS, only who is on this machine or beside it gets what is secret. */
bool s3_is_trusted(const char *url);

#endif
