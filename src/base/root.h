/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A folder that work stays inside. Everything is opened relative to it, and no symbolic link on
 * the way is followed, the last component included: whatever lies in the folder cannot lead out of
 * it. By openat2() where the kernel has it, else component by component.
 */
#ifndef HF_BASE_ROOT_H
#define HF_BASE_ROOT_H

#include <sys/types.h>

#include "base/err.h"

struct hf_root {
	int fd;
	bool has_openat2;
};

/* Opens the folder at `path`; links in `path` itself are followed. HF_ENOTFOUND and others. */
struct hf_err *hf_root_open(const char *path, struct hf_root *out) HF_MUST;

static inline void
hf_root_clear(struct hf_root *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

/*
 * As openat(), close-on-exec: a descriptor, or -1 with errno. `path` is relative, without `..`; ""
 * is the folder itself. ELOOP or ENOTDIR: there is a link on the way.
 */
int hf_root_openat(const struct hf_root *r, const char *path, int flags, mode_t mode);

#endif
