/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files with several names, of which not all have been met. What is met for the last time is
 * forgotten, so that only names that lie outside of what is looked at cost memory for long.
 */
#ifndef HF_ENGINE_HARDLINKS_H
#define HF_ENGINE_HARDLINKS_H

#include <stdint.h>

/* A zeroed one is valid and empty. One thread at a time. */
struct hf_hardlinks {
	void *root; /* of tsearch() */
	struct hf_hardlink *last;
};

void hf_hardlinks_clear(struct hf_hardlinks *h);

/*
 * Meets a name of the file `inode` on `device`, which has `links` of them, 2 at least. NULL: it is
 * the first, and `path` is remembered. Else the path of the first, valid until the next call.
 */
const char *hf_hardlinks_meet(struct hf_hardlinks *h, uint64_t inode, uint64_t device,
	uint64_t links, const char *path);

#endif
