/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An opened repository: a store, the master key that a password unlocked, and the config. After
 * opening it is immutable and may be used from any number of threads.
 *
 * Order that every writer keeps, because readers rely on it (restic-format 5.4, 11.1): packs
 * are durable before an index names them, index files before a snapshot needs them. Readers
 * list snapshots first and load the index afterwards.
 */
#ifndef HF_REPO_REPO_H
#define HF_REPO_REPO_H

#include "base/buf.h"
#include "base/secret.h"
#include "codec/aead.h"
#include "codec/chunker.h"
#include "codec/json.h"
#include "codec/kdf.h"
#include "codec/zstd.h"
#include "store/store.h"

/* Largest file of each kind that is read into memory; more is refused as hostile. */
enum {
	HF_MAX_KEY_FILE = 1 << 20,
	HF_MAX_CONFIG_FILE = 1 << 20,
	HF_MAX_LOCK_FILE = 1 << 20,
	HF_MAX_SNAPSHOT_FILE = 256 << 20,
	HF_MAX_INDEX_FILE = 1 << 30,
};

/* What the user may choose about writing; the same for all packs and files of one run. */
struct hf_repo_options {
	enum hf_compression compression;
	size_t pack_size;       /* bytes; 0: 16 MiB; 4 … 128 MiB */
	bool no_extra_verify;   /* do not open again what was just sealed */
	const char *key_hint;   /* id or prefix of the key to try first, or NULL */
	struct hf_bytes config; /* the config file, if the caller has read it; not kept */
};

struct hf_config {
	unsigned version; /* 1 or 2 */
	struct hf_id id;
	hf_poly polynomial;
};

struct hf_repo;

/*
 * Creates a repository in `store`: folders, a key for `password`, then the config. `polynomial`
 * 0 means a random one; `version` is 1 or 2. Takes `store`, also on failure. HF_EEXISTS: there
 * is a config, a key or a snapshot already.
 */
struct hf_err *hf_repo_init(struct hf_store *store, const struct hf_secret *password,
	unsigned version, hf_poly polynomial, const struct hf_repo_options *options,
	struct hf_repo **out) HF_MUST;

/*
 * Opens the repository in `store`, which it takes, also on failure. HF_ENOREPO: no config
 * there. HF_EAUTH: no key opens with `password`. HF_ECORRUPT: a key file or the config does not
 * verify.
 */
struct hf_err *hf_repo_open(struct hf_store *store, const struct hf_secret *password,
	const struct hf_repo_options *options, struct hf_repo **out) HF_MUST;

/* Wipes the keys and frees the store. Nothing may use the repository any more. */
void hf_repo_free(struct hf_repo *repo);
HF_AUTOPTR(hf_repo)

/* All of these die with the repository. */
struct hf_store *hf_repo_store(const struct hf_repo *repo);
/* Puts a wrapper around the store, which hf_repo_store() has given out to nobody yet. */
void hf_repo_set_store(struct hf_repo *repo, struct hf_store *wrapped);
struct hf_windows *hf_repo_windows(const struct hf_repo *repo); /* for trees: repo/window.h */
const struct hf_config *hf_repo_config(const struct hf_repo *repo);
const struct hf_repo_options *hf_repo_opts(const struct hf_repo *repo); /* defaults filled in */
const struct hf_key *hf_repo_key(const struct hf_repo *repo);
const struct hf_id *hf_repo_key_id(
	const struct hf_repo *repo); /* the key file that opened it */

/*
 * The plaintext of an unpacked file (snapshot, index, lock, config): loaded, its SHA-256
 * compared with its name (one more try on a mismatch), opened, decompressed, appended to `out`,
 * whose maximum is the limit. HF_ENOTFOUND; HF_ECORRUPT: does not verify.
 */
struct hf_err *hf_repo_load(
	struct hf_repo *repo, const struct hf_name *name, struct hf_buf *out) HF_MUST;

/*
 * The same for a file whose text is large: fn() reads the text, by a reader that gets it piece by
 * piece (json.h), and returns the reader's error, if there is one.
 */
typedef struct hf_err *hf_repo_json_fn(void *arg, struct hf_json *j);
struct hf_err *hf_repo_read(struct hf_repo *repo, const struct hf_name *name,
	struct hf_buf *scratch, hf_repo_json_fn *fn, void *arg) HF_MUST;

/*
 * Stores `plain` as an unpacked file: compressed in version 2, sealed, opened again for proof
 * unless the options say otherwise, put under its hash. *id is its name, which is never the same
 * twice; when storing it fails as well, since the file may be there all the same.
 */
struct hf_err *hf_repo_save(struct hf_repo *repo, enum hf_kind kind, struct hf_bytes plain,
	struct hf_id *id) HF_MUST;

/*
 * The first half of hf_repo_save(), for who must know the name (the SHA-256 of `out`) before
 * anything is stored: sets `out` to the sealed form of `plain`. HF_EFATAL: the proof failed, or
 * the file would be too large to be read again.
 */
struct hf_err *hf_repo_seal(struct hf_repo *repo, enum hf_kind kind, struct hf_bytes plain,
	struct hf_buf *out) HF_MUST;

/*
 * Sets `out` to the sealed config of this repository as it would be in another version. The
 * repository itself, as it was opened, stays what it is.
 */
struct hf_err *hf_repo_seal_config(
	struct hf_repo *repo, unsigned version, struct hf_buf *out) HF_MUST;

/*
 * All ids of one kind, sorted. *out is the caller's array of *n ids. `sizes` may be NULL, else
 * it receives the caller's array of file sizes in the same order.
 */
struct hf_err *hf_repo_list(struct hf_repo *repo, enum hf_kind kind, struct hf_id **out,
	uint64_t **sizes, size_t *n) HF_MUST;

/*
 * The one id of that kind that begins with `prefix` (lower-case hex digits). A whole id is
 * taken as it is, without looking whether there is such a file. HF_ENOTFOUND: none. HF_EINVAL:
 * several.
 */
struct hf_err *hf_repo_resolve(
	struct hf_repo *repo, enum hf_kind kind, const char *prefix, struct hf_id *out) HF_MUST;

/* The same among `n` ids that are known already. */
struct hf_err *hf_ids_resolve(
	const struct hf_id *ids, size_t n, const char *prefix, struct hf_id *out) HF_MUST;

#endif
