/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/hardlinks.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"

struct hf_hardlink {
	uint64_t inode, device;
	uint64_t missing; /* names */
	char path[];      /* of the first */
};

static int
compare(const void *a, const void *b)
{
	const struct hf_hardlink *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return (x->device > y->device) - (x->device < y->device);
}

void
hf_hardlinks_clear(struct hf_hardlinks *h)
{
	tdestroy(h->root, free);
	free(h->last);
	*h = (struct hf_hardlinks){0};
}

const char *
hf_hardlinks_meet(struct hf_hardlinks *h, uint64_t inode, uint64_t device, uint64_t links,
	const char *path)
{
	size_t len = strlen(path) + 1;
	struct hf_hardlink *new = hf_alloc_(1, sizeof *new + len);
	struct hf_hardlink **place;

	*new = (struct hf_hardlink){inode, device, links - 1};
	memcpy(new->path, path, len);
	place = tsearch(new, &h->root, compare);
	if (place == NULL)
		abort();
	if (*place == new)
		return NULL;
	free(new);
	struct hf_hardlink *found = *place;

	if (--found->missing == 0) {
		tdelete(found, &h->root, compare);
		free(h->last);
		h->last = found;
	}
	return found->path;
}
