/* SPDX-License-Identifier: BSD-2-Clause */
/* From version 1 of the format to version 2, which only the config says (restic-format 3.2). */
#ifndef HF_ENGINE_UPGRADE_H
#define HF_ENGINE_UPGRADE_H

#include "repo/repo.h"

/*
 * Replaces the config, under an exclusive lock. What is stored stays as it is, and is read by both
 * versions. A copy of the old config is kept in a new folder below `tmp` meanwhile. On a store that
 * cannot replace a file at once, the config is gone for a moment; when the new one cannot be
 * written, the old one is written again.
 *
 * On failure *copy, which the caller owns, is the path of that copy, or NULL when the repository is
 * as it was.
 */
struct hf_err *hf_upgrade(struct hf_repo *repo, const char *tmp, char **copy) HF_MUST;

#endif
