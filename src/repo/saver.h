/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving blobs. A blob goes through
 *
 *	hash -> claimed in the index -> compressed -> sealed -> opened again for proof
 *	     -> appended to an open pack -> pack full: queued -> in the store -> in the index
 *
 * The first five steps happen on the caller's thread, in its struct hf_sealer; the store is
 * written by threads of the saver. Memory is bounded: two open packs per type and one full pack per
 * connection; a caller waits while the store is behind.
 *
 * Invariants:
 *  (1) A pack is durable before the index in memory names its blobs, and before any index file
 *      does.
 *  (2) All blobs of a pack stand in one index file.
 *  (3) After hf_saver_flush() every blob that was ever passed in is durable and in an index file:
 *      only then may a snapshot be written.
 * A crash anywhere leaves packs that no index names, never an index or snapshot without its packs.
 */
#ifndef HF_REPO_SAVER_H
#define HF_REPO_SAVER_H

#include "repo/index.h"
#include "repo/lease.h"
#include "repo/loose.h"
#include "repo/trail.h"

struct hf_saver;

struct hf_saver_options {
	bool is_dry_run; /* do everything but write to the store */
	/*
	 * Of a dry run: what is new is neither compressed nor sealed but only noted here, and the
	 * index, which this belongs to from now on, finds it. NULL: it is sealed and thrown away.
	 */
	struct hf_loose *loose;
	/*
	 * Looked for in the store behind the last index file, unless that has been done just now, and
	 * before each if its refreshes have not been in time; what it has seen confirms packs. Whether anything may be written is not asked
	 * here but at the store's gate. May be NULL.
	 */
	struct hf_lease *lease;
	struct hf_trail *trail; /* where to note what is there; may be NULL */
};

/* What has been new so far. */
struct hf_saver_stats {
	uint64_t data_blobs, tree_blobs;
	uint64_t data_bytes, tree_bytes; /* plaintext */
	uint64_t data_bytes_packed,
		tree_bytes_packed; /* as stored, with their header entries */
};

/* `repo` and `ix` outlive it. Starts the upload threads. */
struct hf_err *hf_saver_new(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_saver_options *options, struct hf_saver **out) HF_MUST;

/* Ends the threads; what has not been flushed is lost. NULL is fine. */
void hf_saver_free(struct hf_saver *s);
HF_AUTOPTR(hf_saver)

/* What one thread needs to save blobs: ciphers, compressor, buffers. */
struct hf_sealer;
struct hf_sealer *hf_sealer_new(struct hf_saver *s);
void hf_sealer_free(struct hf_sealer *z);
HF_AUTOPTR(hf_sealer)

/*
 * Saves a blob unless the repository has it. *id is its name; *stored, which may be NULL, is the
 * number of bytes it takes in the repository, 0 when it was known. An error is final for the whole
 * saver: every later call fails too.
 */
struct hf_err *hf_sealer_save(struct hf_sealer *z, enum hf_blob_type type,
	struct hf_bytes plain, struct hf_id *id, uint64_t *stored) HF_MUST;

/* The same for a blob whose content the caller has found to have the hash `blob->id`. */
struct hf_err *hf_sealer_save_named(struct hf_sealer *z, const struct hf_blob *blob,
	struct hf_bytes plain, uint64_t *stored) HF_MUST;

/*
 * The same for a blob that is compressed already: `packed` is one zstd frame, which the caller has
 * found to be `raw_length` bytes with the hash `blob->id`. Only for repositories of version 2.
 */
struct hf_err *hf_sealer_save_packed(struct hf_sealer *z, const struct hf_blob *blob,
	struct hf_bytes packed, uint32_t raw_length) HF_MUST;

/*
 * Saves a blob once more, wherever the repository has it: for who moves blobs out of packs. The
 * first takes it sealed, as it lay in its pack, and stores these very bytes; the caller has opened
 * them and compared the hash. The second takes the plaintext, and compresses and seals it anew.
 */
struct hf_err *hf_sealer_move(
	struct hf_sealer *z, const struct hf_pack_entry *e, struct hf_bytes sealed) HF_MUST;
struct hf_err *hf_sealer_remake(
	struct hf_sealer *z, const struct hf_blob *blob, struct hf_bytes plain) HF_MUST;

/*
 * Uploads the open packs, waits for all uploads and writes what is left of the index. No
 * hf_sealer_save() may be under way. Returns the first error of any upload; what is durable is
 * then still written into an index file, if that can be done.
 */
struct hf_err *hf_saver_flush(struct hf_saver *s) HF_MUST;

struct hf_saver_stats hf_saver_stats(const struct hf_saver *s);

#endif
