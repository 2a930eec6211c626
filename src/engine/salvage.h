/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is good of packs that are damaged: every blob in them that can be opened and has the hash
 * that it is named by goes, sealed as it is, into new packs. Then a new index is written without
 * the old packs, and these are deleted.
 *
 * The lock is exclusive. Which blobs there are is taken from the index, and from the pack's own header
 * if that can be read and says something else. Nothing is deleted before everything that was
 * salvaged, and the new index, are durable, have been read back and pass the check: whatever ends it
 * before leaves copies too many.
 */
#ifndef HF_ENGINE_SALVAGE_H
#define HF_ENGINE_SALVAGE_H

#include "base/stop.h"
#include "engine/phases.h"
#include "repo/index.h"
#include "repo/lease.h"

enum hf_salvage_phase {
	HF_SALVAGE_READ,  /* progress: packs */
	HF_SALVAGE_INDEX, /* progress: index files read */
	HF_SALVAGE_CHECK,
	HF_SALVAGE_DELETE_INDEX, /* progress: index files */
	HF_SALVAGE_DELETE_PACKS, /* progress: packs */
	HF_SALVAGE_DONE,
};
enum { HF_SALVAGE_PHASES = HF_SALVAGE_DONE + 1 };

/* All on the caller's thread but removed(), which is as in repo/remove.h. */
struct hf_salvage_events {
	void *arg;
	void (*say)(void *arg, const char *text); /* what is lost, and what is repaired */
	void (*removed)(
		void *arg, enum hf_kind kind, const struct hf_id *id, const struct hf_err *e);
};

/*
 * Appends all bytes of a pack to `out`, which is empty, damaged as they may be; reads it once more
 * if they are not what the name says. HF_ENOTFOUND: there is no such pack.
 */
struct hf_err *hf_salvage_load(
	struct hf_repo *repo, const struct hf_id *pack, struct hf_buf *out) HF_MUST;

/*
 * The `n` packs `ids` are sorted, each once. The index is loaded, and of no use afterwards. A dry run
 * only says what could be saved; then there need not be a lease.
 */
struct hf_err *hf_salvage(struct hf_repo *repo, struct hf_index *ix, struct hf_lease *lease,
	const struct hf_id *ids, size_t n, bool is_dry_run,
	const struct hf_salvage_events *events, struct hf_phases *phases,
	struct hf_stop *stop) HF_MUST;

#endif
