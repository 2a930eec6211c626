/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * New index files for old ones: for all who take packs out of the index, or tidy it up.
 *
 * Writing and deleting are two steps, with the caller between them. New files say again what old
 * ones say, so that after the first step nothing has been lost; readers take what is listed twice
 * once. Only who holds the exclusive lock may take the second step: others stand on the files that
 * they have loaded (index.h).
 *
 *  (1) No file is named obsolete before the new files that replace it are durable.
 *  (2) A pack is in the new files with the entries that it had, all of them in one file; if old
 *      files list it alike, once, and if they list it differently, as often as that.
 */
#ifndef HF_REPO_INDEX_REWRITE_H
#define HF_REPO_INDEX_REWRITE_H

#include <stdatomic.h>

#include "base/stop.h"
#include "repo/index.h"

/* ---- writing packs into index files ---- */

struct hf_index_writer;

struct hf_index_writer *hf_index_writer_new(struct hf_repo *repo);
void hf_index_writer_free(struct hf_index_writer *w);
HF_AUTOPTR(hf_index_writer)

/* Adds a pack, and writes a file whenever there is enough for one. Any thread. */
struct hf_err *hf_index_writer_add(struct hf_index_writer *w, const struct hf_id *pack,
	const struct hf_pack_entry *entries, size_t n) HF_MUST;

/* Writes what is left. No other call may be under way. */
struct hf_err *hf_index_writer_flush(struct hf_index_writer *w) HF_MUST;

/* The files written so far; dies with the writer. */
const struct hf_id *hf_index_writer_files(const struct hf_index_writer *w, size_t *n);

/* ---- rewriting ---- */

struct hf_index_rewrite {
	const struct hf_id *files; /* the old ones; each can be read */
	size_t n_files;
	/* Packs that are left out: any thread; NULL: none. */
	bool (*drops)(void *arg, const struct hf_id *pack);
	void *arg;
	struct hf_stop *stop;
	atomic_uint_fast64_t *done;     /* counts files read; or NULL */
	struct hf_index_writer *writer; /* takes the new files, and is flushed in the end */
};

/*
 * Writes new files for those of the old ones that list a pack which is dropped or was listed
 * before, or that are not full or much too large; the others stay as they are. *obsolete are those
 * that may be deleted now; the caller frees it.
 */
struct hf_err *hf_index_rewrite(struct hf_repo *repo, const struct hf_index_rewrite *how,
	struct hf_id **obsolete, size_t *n_obsolete) HF_MUST;

#endif
