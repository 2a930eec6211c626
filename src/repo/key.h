/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key files: the master key, sealed under a key derived from a password (restic-format 2).
 * Several may exist; all hold the same master key.
 */
#ifndef HF_REPO_KEY_H
#define HF_REPO_KEY_H

#include "base/secret.h"
#include "base/time.h"
#include "codec/aead.h"
#include "codec/kdf.h"
#include "store/store.h"

/* What a key file says in clear. Strings are owned. */
struct hf_key_info {
	struct hf_time created;
	char *username, *hostname;
	struct hf_kdf kdf;
};

void hf_key_info_clear(struct hf_key_info *info);

/* A random master key. */
void hf_key_random(struct hf_key *out);

/*
 * Writes a new key file for `master` under `password`; username and hostname are for people.
 * *id is its name.
 */
struct hf_err *hf_key_create(struct hf_store *store, const struct hf_key *master,
	const struct hf_secret *password, const char *username, const char *hostname,
	struct hf_id *id) HF_MUST;

/*
 * Tries the password on one key file. HF_EAUTH: it does not open this one. HF_ECORRUPT: the file
 * is damaged or its parameters are out of bounds. `info` may be NULL.
 */
struct hf_err *hf_key_open(struct hf_store *store, const struct hf_id *id,
	const struct hf_secret *password, struct hf_key *master,
	struct hf_key_info *info) HF_MUST;

/* The hint first if there is one, then all in the order of the listing, 20 at most (2.6). */
struct hf_err *hf_key_search(struct hf_store *store, const struct hf_secret *password,
	const char *hint, struct hf_key *master, struct hf_id *id) HF_MUST;

#endif
