/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the cache of a command is, and putting it in front of a repository. */
#ifndef HF_CLI_CACHE_H
#define HF_CLI_CACHE_H

#include "cli/cli.h"
#include "repo/repo.h"

/*
 * The folder for caches: --cache-dir and its variable, else `restic` in $XDG_CACHE_HOME or in
 * ~/.cache, so that it is the same as restic's. The caller frees it. HF_ENOTFOUND: none of them is
 * set.
 */
struct hf_err *hf_cache_dir(const struct hf_cli *cli, char **out) HF_MUST;

enum hf_cache_use {
	HF_CACHE_SHARED,    /* the one of the user */
	HF_CACHE_TEMPORARY, /* an empty one, or none where it would save nothing */
};

/* The folder of a cache that is in use; `path` is absolute, NULL: there is none. */
struct hf_cache_folder {
	char *path;
	bool is_temporary;
};

/*
 * Puts a cache in front of the repository's store, unless --no-cache is given. Whatever is wrong
 * with it is said, and the command works without.
 */
void hf_cache_use(struct hf_cli *cli, struct hf_repo *repo, enum hf_cache_use use,
	struct hf_cache_folder *out);

/* After the repository has been freed; removes a temporary one. */
void hf_cache_folder_clear(struct hf_cache_folder *f);

/* Caches that no process has used for so many days are old. */
enum { HF_CACHE_OLD_DAYS = 30 };

/* True when something was last used so many days ago, `used_at` in seconds since 1970, or longer. */
bool hf_cache_is_old(int64_t used_at, int64_t days);

#endif
