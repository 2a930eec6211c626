/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the cache of a command is, and putting it in front of a repository. */
#ifndef HF_CLI_CACHE_H
#define HF_CLI_CACHE_H

#include "cli/cli.h"
#include "repo/repo.h"
#include "store/cache_base.h"

/*
 * The folder for caches: --cache-dir and its variable, else `restic` in $XDG_CACHE_HOME or in
 * ~/.cache, so that it is the same as restic's. The caller frees it. HF_ENOTFOUND: none of them is
 * set.
 */
struct hf_err *hf_cache_dir(const struct hf_cli *cli, char **out) HF_MUST;

enum hf_cache_use {
	HF_CACHE_SHARED,    /* the one of the user */
	HF_CACHE_TEMPORARY, /* an empty one, or none where it would save nothing */
	HF_CACHE_NONE,      /* for who must know what the store itself has */
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

/* The caches in one folder. Declared with hf_auto(hf_caches). */
struct hf_caches {
	char *path;
	struct hf_cache_base base;
	struct hf_cache_part *parts;
	size_t n;
};

/* Looks at what is in `path`, which it takes; nothing, if there is no such folder. */
struct hf_err *hf_caches_look(
	char *path, enum hf_cache_look look, struct hf_caches *out) HF_MUST;
void hf_caches_clear(struct hf_caches *c);

/* True when a part was last used so many days ago, or longer; and how many of them are. */
bool hf_cache_is_old(const struct hf_cache_part *part, uint64_t days);
size_t hf_caches_count_old(const struct hf_caches *c, uint64_t days);

/*
 * Removes the old ones, and tells of each what became of it: "removed", "kept" since it is in use,
 * "failed". Says what could not be removed, and returns the last reason.
 */
struct hf_err *hf_caches_clean(struct hf_cli *cli, const struct hf_caches *c, uint64_t days,
	void (*tell)(void *arg, const struct hf_cache_part *part, const char *action),
	void *arg) HF_MUST;

#endif
