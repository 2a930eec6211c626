/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A store in front of which copies are kept on this machine: index files, snapshots, and packs that
 * are read for their trees. A copy is taken whole when a file is first read or written, and from then
 * on the store is not asked for it any more. cache_dir.h says why any number of processes may do so
 * at once.
 *
 * Order, on which (4) of clearing rests: a file is put into the store first and into the cache
 * afterwards, so that a copy means that the file was there before.
 *
 * Clearing: every complete listing of index files or snapshots shows which copies are of files that
 * are no more. Only copies go that had been there before the listing began, and are not in it; a copy
 * that appears meanwhile is newer than what is known, and stays.
 */
#ifndef HF_STORE_CACHE_H
#define HF_STORE_CACHE_H

#include "store/cache_dir.h"

/* Wraps `inner`, which it takes over, as well as `cache`. */
struct hf_store *hf_store_cache(struct hf_store *inner, struct hf_cache *cache);

/*
 * The same for packs, of which nothing lists which are in use but the whole index: taken before the
 * index is loaded; then every pack of it is kept, and with `is_whole` what is left goes. A pack that
 * has been cached for less than an hour may be of a backup that is still running, whose index comes
 * later: it stays.
 * NULL: `s` has no cache, or it cannot be read; the other two do nothing then.
 */
struct hf_cached_packs;
struct hf_cached_packs *hf_cached_packs(struct hf_store *s);
void hf_cached_packs_keep(struct hf_cached_packs *p, const struct hf_id *pack);
void hf_cached_packs_end(struct hf_cached_packs *p, bool is_whole); /* frees it */

#endif
