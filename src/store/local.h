/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repository in a folder of this machine, laid out and written as restic does it
 * (restic-format 1.1, 1.3, 1.4): temporary file beside the final name, fsync, rename, fsync of
 * the folder, then read-only. Left-over temporary files have names that are no ids and harm nobody.
 */
#ifndef HF_STORE_LOCAL_H
#define HF_STORE_LOCAL_H

#include "store/backend.h"

/*
 * A store in folder `path`, which need not exist until something is written. Whether files are to
 * be group-readable is read off the mode of `config` once, here. `connections` 0 means 2.
 * HF_EFATAL: `path` is there and is no folder, or may not be entered.
 */
struct hf_err *hf_store_local(
	const char *path, unsigned connections, struct hf_store **out) HF_MUST;

/* "local", and what has no scheme. */
extern const struct hf_backend hf_backend_local;

#endif
