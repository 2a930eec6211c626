/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole files as they lie in the store, still sealed, but with their names proven. */
#ifndef HF_REPO_RAW_H
#define HF_REPO_RAW_H

#include "store/store.h"

/* The largest file of that kind that is read whole; 0 for packs, which never are. */
size_t hf_raw_max(enum hf_kind kind);

/*
 * Appends the file to `out`, which is empty, and compares its SHA-256 with its name. Bytes can
 * be damaged on their way, so a mismatch is tried once more. The config has no hash in its name
 * and is not compared. HF_ENOTFOUND: no such file. HF_ECORRUPT: the bytes are not those of the
 * name. Every text names the file.
 */
struct hf_err *hf_raw_load(
	struct hf_store *store, const struct hf_name *name, struct hf_buf *out) HF_MUST;

#endif
