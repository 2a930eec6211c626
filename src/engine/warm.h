/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packs that lie in an archive of the store must be ordered back before they are read, and come
 * hours later. So who is going to read many packs says here which ones, all at once: those that are
 * not there are ordered, and waited for together. Where a store has no archive, or the user does not
 * want anything to be ordered (hf_store_thaw()), this does nothing.
 *
 * Memory: 4 bytes for each pack that is waited for.
 */
#ifndef HF_ENGINE_WARM_H
#define HF_ENGINE_WARM_H

#include "base/bits.h"
#include "base/stop.h"
#include "repo/index.h"
#include "repo/repo.h"

/* False: there is no need to know which packs will be read. */
bool hf_warm_is_wanted(const struct hf_repo *repo);

/*
 * Returns when all of `packs` can be read; by their numbers in the index. HF_EFATAL: some did not
 * come in the time that the user gives them. HF_ECANCELED: `stop` (may be NULL).
 */
struct hf_err *hf_warm_packs(struct hf_repo *repo, struct hf_index *ix,
	const struct hf_bits *packs, struct hf_stop *stop) HF_MUST;

#endif
