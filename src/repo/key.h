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
 * The same for a repository that has keys: what was written is read again and opened with the
 * password, and must give `master`. Only then may the caller remove another key. A file that does
 * not open is deleted. HF_EFATAL: it did not open.
 */
struct hf_err *hf_key_add(struct hf_store *store, const struct hf_key *master,
	const struct hf_secret *password, const char *username, const char *hostname,
	struct hf_id *id) HF_MUST;

/*
 * Tries the password on one key file. HF_EAUTH: it does not open this one. HF_ECORRUPT: the
 * file is damaged or its parameters are out of bounds. `info` may be NULL.
 */
struct hf_err *hf_key_open(struct hf_store *store, const struct hf_id *id,
	const struct hf_secret *password, struct hf_key *master,
	struct hf_key_info *info) HF_MUST;

/* What the key file says in clear, for lists of keys. HF_ECORRUPT: it is damaged. */
struct hf_err *hf_key_read(
	struct hf_store *store, const struct hf_id *id, struct hf_key_info *info) HF_MUST;

/*
 * Appends the bytes of a key file: `master` under `password`, with what `info` says. `iv` is
 * NULL for a random one; 16 bytes for test vectors.
 */
struct hf_err *hf_key_seal(const struct hf_key *master, const struct hf_secret *password,
	const struct hf_key_info *info, const uint8_t salt[static HF_KDF_SALT],
	const uint8_t *iv, struct hf_buf *out) HF_MUST;

/*
 * Finds a key that the password opens: the one that `hint` (an id or the unique beginning of
 * one, or NULL) means first, then all in the order of the listing, 20 at most. If `hint` is a whole
 * id, the keys are listed only when that one does not open. A damaged file
 * among them does not end the search. HF_EAUTH: none opens. Else, when none opens and one of
 * them could not be read or none was a key, the error of the first such file, which it names.
 */
struct hf_err *hf_key_search(struct hf_store *store, const struct hf_secret *password,
	const char *hint, struct hf_key *master, struct hf_id *id) HF_MUST;

#endif
