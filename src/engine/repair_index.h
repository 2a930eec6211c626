/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Repair of the index, from what is in the store: index files that cannot be decoded go, as do
 * packs that are not there; packs that no index lists, or with another size, are read (their
 * headers) and listed anew.
 *
 * The lock is exclusive. No index file is deleted before all new ones are durable and the index as
 * it will be has been read back and passes the check; a pack never is. What cannot be read for a
 * reason that may pass ends it, with nothing deleted. There should be no cache in front of the store:
 * what that keeps is not what the store has.
 */
#ifndef HF_ENGINE_REPAIR_INDEX_H
#define HF_ENGINE_REPAIR_INDEX_H

#include "base/stop.h"
#include "engine/phases.h"
#include "repo/lease.h"

enum hf_repair_phase {
	HF_REPAIR_LOAD, /* not when all packs are read */
	HF_REPAIR_COMPARE,
	HF_REPAIR_READ,     /* progress: packs; only if there are any */
	HF_REPAIR_HAS_READ, /* the same */
	HF_REPAIR_INDEX,    /* progress: index files read */
	HF_REPAIR_CHECK,    /* only if there is something to delete */
	HF_REPAIR_DELETE,   /* progress: index files */
	HF_REPAIR_DONE,
};

struct hf_repair_events {
	void *arg;
	/* What is repaired, or only a detail; one call at a time. */
	void (*say)(void *arg, bool is_detail, const char *text);
	void (*removed)(void *arg, enum hf_kind kind, const struct hf_id *id,
		const struct hf_err *e); /* as in repo/remove.h */
};

struct hf_repair_index_options {
	bool reads_all; /* make the index of the headers of all packs, whatever there was before */
	bool is_dry_run; /* only say what would be done; then there need not be a lease */
};

struct hf_err *hf_repair_index(struct hf_repo *repo, struct hf_lease *lease,
	const struct hf_repair_index_options *options, const struct hf_repair_events *events,
	struct hf_phases *phases, struct hf_stop *stop) HF_MUST;

#endif
