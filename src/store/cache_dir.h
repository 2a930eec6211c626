/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The folder on this machine where copies of a repository's files are kept (restic-format 10),
 * used by any number of processes at once: ours, restic's, and people with rm. There is no lock in
 * it, because nothing needs one:
 *
 * (1) A copy gets its name in one step, when it is complete. It is never changed afterwards.
 * (2) A name is the SHA-256 of what is in the file. Who publishes a name that is there already is
 *     done; who reads proves what was read, so that no copy is trusted for its name.
 * (3) Whatever is looked for may be gone, at every moment and in every step, folders included.
 *     That is a miss, or a removal that somebody else has done, never an error.
 * (4) Everything below the base is reached by descriptor, and no symbolic link is followed.
 * (5) No function here makes a command fail. What goes wrong with the cache ends in a miss, in
 *     publishing no more, and in one sentence for the user.
 *
 * Layout, below the base (all of it private to its owner, 0700 and 0600):
 *
 *	CACHEDIR.TAG				backups pass over the folder
 *	<repository id>/version			"1", as restic wants it
 *	<repository id>/index/<2>/<id>		copies, sealed as they are in the repository; and
 *	                snapshots/, data/	likewise; data are packs of trees
 *	.holdfast/<repository id>.use		every process of ours keeps a mark on it (F_OFD_SETLK)
 *	.holdfast/<repository id>.rate		hits and misses so far
 *	.holdfast/usage				the size of everything, as of the last look
 *	.holdfast/trash-*			what is on its way out
 *
 * The repository's own folder is byte for byte what restic makes and reads, so both share it; what
 * is in .holdfast is ours alone, and restic does not look there.
 *
 * Any thread may call anything here at any time.
 */
#ifndef HF_STORE_CACHE_DIR_H
#define HF_STORE_CACHE_DIR_H

#include "base/root.h"
#include "store/store.h"

struct hf_cache_options {
	const char *base; /* made if it is missing, with the folders above it */
	uint64_t limit; /* bytes that all below the base may take; 0: hf_cache_open() decides */
	uint64_t floor; /* bytes that must stay free on that disk; 0: the same */
	/* Said at most a few times per process; any thread. May be NULL. */
	void (*say)(void *arg, const char *text);
	void *arg;
};

struct hf_cache;

/*
 * Opens the cache of one repository. The base is refused when it belongs to somebody else or others
 * may write there, and so is the repository's folder. HF_EFATAL, HF_EIO: there is no cache, and the
 * text says why and what to do.
 */
struct hf_err *hf_cache_open(const struct hf_cache_options *options, const struct hf_id *repo,
	struct hf_cache **out) HF_MUST;

/* Writes down what has been counted, evicts what is too much, and gives everything back. */
void hf_cache_close(struct hf_cache *c);

/* True the first time that anybody used this base for this repository. */
bool hf_cache_is_new(const struct hf_cache *c);

/* The base, as it was given. */
const char *hf_cache_base(const struct hf_cache *c);

/*
 * Appends bytes off to off + len of a copy to `out`, len SIZE_MAX: up to the end. False: there is
 * no copy, or one that is too short, which is dropped. What comes is not proven (2).
 */
bool hf_cache_read(struct hf_cache *c, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out);

/* A copy on its way in. */
struct hf_cache_put {
	int fd; /* -1: it failed, or there is none */
	int shard;
	char temp[96]; /* "" while the file has no name at all */
};

/*
 * Begins a copy of `size` bytes (0: not known yet). False: not now, for want of room, permission or
 * patience. hf_cache_put_end() with `is_whole` gives it its name, without it nothing remains; it is
 * called after every begin() that was true. The caller has proven the bytes.
 */
bool hf_cache_put_begin(struct hf_cache *c, const struct hf_name *name, uint64_t size,
	struct hf_cache_put *put);
bool hf_cache_put_add(struct hf_cache *c, struct hf_cache_put *put, struct hf_bytes bytes);
bool hf_cache_put_end(struct hf_cache *c, struct hf_cache_put *put, const struct hf_name *name,
	bool is_whole);

/* The bytes added so far, from byte `off` on: appended to `out`. */
bool hf_cache_put_read(struct hf_cache_put *put, uint64_t off, size_t len, struct hf_buf *out);

/* Removes a copy; it may be gone already. */
void hf_cache_drop(struct hf_cache *c, const struct hf_name *name);

/*
 * The names of all copies of a kind, sorted; the caller's array. False: they could not all be read,
 * or are too many.
 */
bool hf_cache_names(struct hf_cache *c, enum hf_kind kind, struct hf_id **out, size_t *n);

/* Removes a copy unless it was published within the last `s` seconds. */
void hf_cache_drop_older(struct hf_cache *c, const struct hf_name *name, double s);

/* Counts, for the table of the command `cache`. */
void hf_cache_count(struct hf_cache *c, bool is_hit);

/* Says something to the user, as often as it is called. */
void hf_cache_say(struct hf_cache *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
