/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Searching snapshots: files and folders by name, or the places where blobs and trees are used.
 *
 * A search goes through one snapshot after the other and remembers below which folders there was
 * nothing, so that those that snapshots share are read once. They are remembered by the id of their
 * tree, with the path when it is names that are looked for, and up to a number; beyond it folders
 * are read again. One thread at a time.
 */
#ifndef HF_ENGINE_FIND_H
#define HF_ENGINE_FIND_H

#include "base/stop.h"
#include "repo/reader.h"
#include "repo/snapshot.h"
#include "repo/tree.h"

struct hf_find;

/*
 * Looks for what any of the patterns matches: restic's (engine/filter.h), but a `!` before one is
 * passed over, and an empty one matches everything. What lies in a folder that matches does, too.
 * With `folds_case` upper and lower case are the same. Of `oldest` and `newest`, times of
 * modification, each may be NULL. HF_EINVAL: a pattern is malformed.
 */
struct hf_err *hf_find_by_name(const struct hf_strings *patterns, bool folds_case,
	const struct hf_time *oldest, const struct hf_time *newest,
	struct hf_find **out) HF_MUST;

/*
 * Looks for files that have one of these data blobs in them, or for folders whose tree is one of
 * these. An id is 64 lower-case hex digits or its first eight; any other text is never found. Of
 * data blobs with the same first eight digits, those eight stand for the one that is met first.
 *
 * With trees, the search in a snapshot is over as soon as, in all snapshots together, as many
 * folders have been found as there are ids, as in restic: one id gives one folder per snapshot.
 */
struct hf_find *hf_find_by_id(enum hf_blob_type type, const struct hf_strings *ids);

/*
 * Looks for everything that lies in these packs, by their headers or, if a pack is not there or has
 * none that can be read, by the index. The whole ids of those that are not there are added to
 * `missing`; `on_bad` gets the errors of the others, which it takes. HF_ENOTFOUND: there are packs
 * of which nothing is known; the text lists them.
 */
typedef void hf_find_bad_fn(void *arg, const struct hf_id *pack, struct hf_err *e);
struct hf_err *hf_find_by_pack(struct hf_reader *r, struct hf_repo *repo, struct hf_index *ix,
	const struct hf_strings *packs, struct hf_strings *missing, hf_find_bad_fn *on_bad,
	void *arg, struct hf_find **out) HF_MUST;

void hf_find_free(struct hf_find *f);
HF_AUTOPTR(hf_find)

/* Whether it was made to look for names. */
bool hf_find_is_by_name(const struct hf_find *f);

struct hf_find_hit {
	const struct hf_snapshot *snapshot;
	const char *path;
	const struct hf_node *node; /* NULL: the root, found by the id of its tree */
	/* Only when it was looked for by id: */
	enum hf_blob_type type;
	const struct hf_id *id;
	const struct hf_id *tree; /* of the folder that the file is in; NULL with HF_TREE */
};

/* What the search calls, on the caller's thread. */
struct hf_finder {
	void *arg;

	/* Everything is valid during the call. An error ends the search. */
	struct hf_err *(*found)(void *arg, const struct hf_find_hit *hit);

	/* The folder at `path` cannot be read, or not to its end; the search goes on. Takes `e`. */
	void (*error)(
		void *arg, const struct hf_snapshot *s, const char *path, struct hf_err *e);
};

/* Searches one snapshot. HF_ECORRUPT: it has no tree. HF_ECANCELED: `stop` was set. */
struct hf_err *hf_find_in(struct hf_find *f, struct hf_reader *r, const struct hf_snapshot *s,
	const struct hf_finder *finder, struct hf_stop *stop) HF_MUST;

/* What is looked for by id, in the order in which it was asked for. */
struct hf_find_object {
	bool has_id;
	struct hf_id id;
	const char *text; /* as it was asked for, when there is no whole id; else NULL */
};

/* Number `n` of that type. False: there are not so many. */
bool hf_find_object(
	const struct hf_find *f, enum hf_blob_type type, size_t n, struct hf_find_object *out);

#endif
