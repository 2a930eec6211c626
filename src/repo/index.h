/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index: which blob lies where, for a whole repository, in memory. One flat list of entries
 * (38 to 39 bytes each) and a hash table of positions in it (5 to 8); nothing is ever moved out, so
 * that the number of an entry is stable and a bitmap over numbers can stand for a set of blobs.
 *
 * A blob that a backup is about to store goes through three states:
 *
 *	absent --claim--> pending --add_pack--> stored
 *
 *  (1) hf_index_claim() gives HF_CLAIM_NEW for one caller only, however many ask: no blob is
 *      stored twice by one process.
 *  (2) A pending blob is not found by hf_index_find(): it becomes visible with its pack.
 *
 * Any number of threads may call anything at once.
 */
#ifndef HF_REPO_INDEX_H
#define HF_REPO_INDEX_H

#include "base/stop.h"
#include "repo/pack.h"

struct hf_index;
struct hf_trail; /* repo/trail.h */
struct hf_loose; /* repo/loose.h */

/* Where a stored blob lies. */
struct hf_location {
	struct hf_id pack;
	uint32_t pack_number; /* in 0 … hf_index_packs() - 1 */
	uint32_t number;      /* of the entry, in 0 … hf_index_len() - 1 */
	uint32_t offset, length, raw_length;
};

static inline uint64_t
hf_location_size(const struct hf_location *l)
{
	return l->raw_length != 0 ? l->raw_length : l->length - 32;
}

struct hf_index *hf_index_new(void);
void hf_index_free(struct hf_index *ix);
HF_AUTOPTR(hf_index)

/*
 * Packs that this trail distrusts are passed over when index files are read. It outlives the
 * index; NULL: all are trusted. To be set before anything is loaded.
 */
void hf_index_distrust(struct hf_index *ix, struct hf_trail *trail);
bool hf_index_trusts(const struct hf_index *ix, const struct hf_id *pack);

/* Where the content of loose trees is, for readers; borrowed. NULL: there are no loose blobs. */
void hf_index_set_loose(struct hf_index *ix, struct hf_loose *loose);
struct hf_loose *hf_index_loose(const struct hf_index *ix);

/*
 * The index files that the index stands on: those that were loaded, and those that were added by
 * who wrote them. hf_index_lost() counts how many of them are not among the `n` sorted `ids`.
 */
void hf_index_add_file(struct hf_index *ix, const struct hf_id *file);
void hf_index_add_loaded(
	struct hf_index *ix, const struct hf_id *file); /* by hf_index_load() */
bool hf_index_has_loaded(
	struct hf_index *ix); /* any; else all files are those of this process */
size_t hf_index_lost(struct hf_index *ix, const struct hf_id *ids, size_t n);

/* These files, sorted; the caller frees *out. */
void hf_index_files(struct hf_index *ix, struct hf_id **out, size_t *n);

/*
 * Loads all index files of a repository, several at once. The first file that cannot be read or
 * decoded ends it, unless `on_bad` is given: then that is called (from any thread, one at a time)
 * with the file and an error that it takes, and the others are loaded all the same. Only without
 * `on_bad` does the text name the file.
 * HF_ECORRUPT also: uncompressed_length in a version 1 repository.
 */
typedef void hf_index_bad_fn(void *arg, const struct hf_id *file, struct hf_err *e);
struct hf_err *hf_index_load(struct hf_repo *repo, struct hf_index *ix, struct hf_stop *stop,
	hf_index_bad_fn *on_bad, void *arg) HF_MUST;

/* The same with these files only. */
struct hf_err *hf_index_load_files(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_id *files, size_t n, struct hf_stop *stop, hf_index_bad_fn *on_bad,
	void *arg) HF_MUST;

/*
 * Adds the packs that one index file lists, given its JSON. All of it is read before anything is
 * added. HF_ECORRUPT as above.
 */
struct hf_err *hf_index_parse(
	struct hf_index *ix, struct hf_bytes json, unsigned version) HF_MUST;

/* The same for a file of a repository, of whose text only a piece is in memory at a time. */
struct hf_err *hf_index_read(
	struct hf_repo *repo, struct hf_index *ix, const struct hf_id *file) HF_MUST;

/*
 * The same as hf_index_parse() without an index: calls fn() for every pack that the file lists, when all of it has
 * been read. `entries` dies with the call. An error of fn() ends it.
 */
typedef struct hf_err *hf_index_pack_fn(
	void *arg, const struct hf_id *pack, const struct hf_pack_entry *entries, size_t n);
struct hf_err *hf_index_each(
	struct hf_bytes json, unsigned version, hf_index_pack_fn *fn, void *arg) HF_MUST;

/*
 * Finds copy number `nth` (0: the first) of a blob. False: there are not so many. Entries that are
 * identical in everything count once.
 */
bool hf_index_find(
	struct hf_index *ix, const struct hf_blob *blob, unsigned nth, struct hf_location *out);

enum hf_claim {
	HF_CLAIM_NEW,     /* the caller must store it now */
	HF_CLAIM_PENDING, /* another thread is at it */
	HF_CLAIM_STORED,
};
enum hf_claim hf_index_claim(struct hf_index *ix, const struct hf_blob *blob);

/* A pack is durable: its blobs are stored from now on. */
void hf_index_add_pack(struct hf_index *ix, const struct hf_id *pack,
	const struct hf_pack_entry *entries, size_t n);

/* Counts of what is stored. Copies of a blob count each. */
size_t hf_index_len(struct hf_index *ix);
size_t hf_index_packs(struct hf_index *ix);

/* Entry or pack by number; false: no such number. A blob that is only pending has none. */
bool hf_index_entry(
	struct hf_index *ix, size_t number, struct hf_blob *blob, struct hf_location *out);
bool hf_index_pack(struct hf_index *ix, size_t number, struct hf_id *out);
bool hf_index_find_pack(struct hf_index *ix, const struct hf_id *pack, uint32_t *number);

/*
 * What `check` needs to know and ordinary readers do not: packs that several index files list
 * alike (a hint) or with different blobs (damage). Sizes are those computed from the entries.
 */
struct hf_index_pack_info {
	struct hf_id pack;
	uint64_t size; /* that the file must have */
	uint32_t n_blobs;
	uint8_t types;     /* bit 1 << enum hf_blob_type */
	bool is_duplicate; /* listed more than once with the same blobs */
	bool is_split;     /* listed more than once with different blobs */
};
bool hf_index_pack_info(struct hf_index *ix, size_t number, struct hf_index_pack_info *out);

/* Appends the JSON of an index file with these packs to `out` (restic-format 5.1, with LF). */
struct hf_index_pack {
	struct hf_id id;
	struct hf_pack_entries entries;
};
void hf_index_json(struct hf_buf *out, const struct hf_index_pack *packs, size_t n);

#endif
