/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The folder that holds the caches of all repositories, as a whole: opening it, who uses which part
 * of it, what it holds, removing what is old, and keeping it small. The rules are those of
 * cache_dir.h. Any thread.
 */
#ifndef HF_STORE_CACHE_BASE_H
#define HF_STORE_CACHE_BASE_H

#include "base/id.h"
#include "base/root.h"
#include "store/store.h"

struct hf_cache_base {
	struct hf_root root;
	struct hf_root side; /* .holdfast; fd -1: it cannot be had, and nothing is counted */
	bool is_new;         /* it was made just now */
};

/*
 * Opens the folder at `path`; with `make`, makes what is missing. HF_ENOTFOUND: not there. HF_EFATAL:
 * it belongs to somebody else, or others may write to it.
 */
struct hf_err *hf_cache_base_open(
	const char *path, bool make, struct hf_cache_base *out) HF_MUST;
void hf_cache_base_clear(struct hf_cache_base *b);

/*
 * The same test for any folder that is open: NULL, or an error that says what is wrong with `path`.
 */
struct hf_err *hf_cache_check_owner(int fd, const char *path) HF_MUST;

/*
 * Marks the cache `repo` as in use, for as long as the descriptor is open in any process that has
 * it. -1: no mark, which costs nothing but that cleaning up does not see us.
 */
int hf_cache_base_mark(const struct hf_cache_base *b, const char *repo);

/*
 * Calls fn(arg, shard, name, kind) for everything in the folders of one kind, or of all of them, of
 * the cache `repo`; `shard` is the open folder in which `name` is. False: not everything could be
 * read. What vanishes meanwhile is passed over.
 */
typedef void hf_cache_walk_fn(void *arg, int shard, const char *name, enum hf_kind kind);
bool hf_cache_walk(
	const struct hf_root *repo, enum hf_kind kind, hf_cache_walk_fn *fn, void *arg);
bool hf_cache_walk_all(const struct hf_root *repo, hf_cache_walk_fn *fn, void *arg);

/* Hits and misses of one repository, over all processes. */
struct hf_cache_rate {
	uint64_t hits, misses;
};

void hf_cache_rate_read(
	const struct hf_cache_base *b, const char *repo, struct hf_cache_rate *out);
/* Adds to them; when somebody else is at it for long, not. */
void hf_cache_rate_add(
	const struct hf_cache_base *b, const char *repo, const struct hf_cache_rate *more);

/* How closely parts are looked at. */
enum hf_cache_look {
	HF_CACHE_AGE,  /* when they were used */
	HF_CACHE_USE,  /* also whether they are used now, and their rates */
	HF_CACHE_SIZE, /* also their files, each of them */
};

/* One folder below the base that belongs to a repository, or to a `check` under way or dead. */
struct hf_cache_part {
	char name[80];
	int64_t used_at; /* seconds since 1970: when a process last opened it */
	bool is_in_use;  /* by a process of ours */
	struct hf_cache_rate rate;
	uint64_t files, bytes;
};

/* All of them, least recently used first. The caller's array. */
struct hf_err *hf_cache_parts(const struct hf_cache_base *b, enum hf_cache_look look,
	struct hf_cache_part **out, size_t *n) HF_MUST;

/* Opens the folder of one; fd -1 and errno: there is none. */
struct hf_root hf_cache_part_open(const struct hf_cache_base *b, const char *name);

enum hf_cache_removal {
	HF_CACHE_REMOVED, /* by us or by somebody else */
	HF_CACHE_KEPT,    /* it is in use, or was used in the meantime */
};

/* Removes one that was last used as it says there. An error: some of it remains. */
struct hf_err *hf_cache_part_remove(const struct hf_cache_base *b,
	const struct hf_cache_part *part, enum hf_cache_removal *out) HF_MUST;

/*
 * Removes everything at dir/name, following no link. What is gone is fine. HF_EFATAL, HF_EIO: some
 * of it remains.
 */
struct hf_err *hf_cache_remove_tree(int dir, const char *name) HF_MUST;

/* What everything below the base takes, as it was last found and estimated since. */
struct hf_cache_usage {
	uint64_t bytes;
	int64_t looked_at; /* seconds since 1970; 0: nobody ever looked */
};

void hf_cache_usage_read(const struct hf_cache_base *b, struct hf_cache_usage *out);
void hf_cache_usage_write(const struct hf_cache_base *b, const struct hf_cache_usage *usage);

/*
 * Looks at everything below the base, removes what dead processes left behind, and then the least
 * recently used copies, packs first, until at most nine tenths of `limit` are taken and `floor`
 * bytes of the disk are free. *left: the bytes that remain. False: another process is at it.
 */
bool hf_cache_evict(
	const struct hf_cache_base *b, uint64_t limit, uint64_t floor, uint64_t *left);

/* Bytes that are free on the disk of the base and that it has in all; false: unknown. */
bool hf_cache_disk(const struct hf_cache_base *b, uint64_t *free_bytes, uint64_t *all_bytes);

/* The bytes that a file of that size is counted as. */
static inline uint64_t
hf_cache_blocks(uint64_t size)
{
	return (size + 4095) & ~UINT64_C(4095);
}

/* A name for an unfinished file, by which others can tell whether its owner lives. */
struct hf_cache_temp {
	char s[96];
};
struct hf_cache_temp hf_cache_temp_name(void);

#endif
