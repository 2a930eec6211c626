/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of ids that only grows, up to a maximum: a hash table of 32 bytes per place, half full at
 * most. Ids are hashes already, so that their first bytes say where to look. One thread at a time.
 */
#ifndef HF_BASE_IDSET_H
#define HF_BASE_IDSET_H

#include "base/id.h"

/* A zeroed one with `max` set is valid and empty. */
struct hf_idset {
	struct hf_id *v; /* places; an id that is all zero is an empty one */
	size_t len, cap;
	size_t max; /* ids that it takes */
};

void hf_idset_clear(struct hf_idset *s);

/*
 * Adds `id`, unless it is there. False: it is not in the set now, as that is full or there is no
 * memory, or as the id is all zero, which is none.
 */
bool hf_idset_add(struct hf_idset *s, const struct hf_id *id);

bool hf_idset_has(const struct hf_idset *s, const struct hf_id *id);

#endif
