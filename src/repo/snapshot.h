/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots: which tree was backed up when, where and by whom (restic-format 6). */
#ifndef HF_REPO_SNAPSHOT_H
#define HF_REPO_SNAPSHOT_H

#include "base/strings.h"
#include "base/time.h"
#include "codec/json.h"
#include "repo/repo.h"

/* What this program calls itself in a snapshot. */
#define HF_PROGRAM_VERSION "holdfast " HF_VERSION

struct hf_summary {
	struct hf_time backup_start, backup_end;
	uint64_t files_new, files_changed, files_unmodified;
	uint64_t dirs_new, dirs_changed, dirs_unmodified;
	uint64_t data_blobs, tree_blobs;
	uint64_t data_added, data_added_packed;
	uint64_t total_files_processed, total_bytes_processed;
};

/* Everything in it is owned by it. Ids that are all zero are absent. */
struct hf_snapshot {
	struct hf_id id; /* of its file; not part of the JSON */
	struct hf_time time;
	struct hf_id parent;
	struct hf_id tree;
	bool has_tree;
	struct hf_strings paths;
	char *hostname, *username; /* never NULL */
	uint32_t uid, gid;
	struct hf_strings excludes, tags;
	struct hf_id original;
	char *program_version; /* never NULL; "" in snapshots of old programs */
	bool has_summary;
	struct hf_summary summary;
};

/* Everything empty, at Go's zero time. */
struct hf_snapshot *hf_snapshot_new(void);
void hf_snapshot_free(struct hf_snapshot *s);
HF_AUTOPTR(hf_snapshot)

/*
 * Reads the JSON as restic does (restic-format 6.2): missing fields and `null` are fine,
 * unknown ones are passed over. HF_ECORRUPT: it cannot be read.
 */
struct hf_err *hf_snapshot_parse(struct hf_bytes json, struct hf_snapshot **out) HF_MUST;

/*
 * Writes the fields in restic's order into an object that the caller has begun, so that `ls`
 * and `snapshots` can add theirs.
 */
void hf_snapshot_fields(struct hf_jout *o, const struct hf_snapshot *s);

struct hf_err *hf_snapshot_load(
	struct hf_repo *repo, const struct hf_id *id, struct hf_snapshot **out) HF_MUST;
struct hf_err *hf_snapshot_save(
	struct hf_repo *repo, struct hf_snapshot *s) HF_MUST; /* sets id */

/* Which snapshots are meant (restic-format 6.6). Empty lists do not restrict. */
struct hf_snapshot_filter {
	struct hf_strings hosts; /* any of them */
	struct hf_strings tags; /* each "a,b": all of a and b; any of the lists; "": untagged */
	struct hf_strings paths; /* all of them, absolute and cleaned */
	bool has_until;
	struct hf_time until; /* not later than this */
};

void hf_snapshot_filter_clear(struct hf_snapshot_filter *f);
/* True when it has all of the tags in `list`, "a,b"; "" means that it has none at all. */
bool hf_snapshot_has_tags(const struct hf_snapshot *s, const char *list);
/* Appends such a list as restic words it: "[a, b]". */
void hf_tags_add(struct hf_buf *out, const char *list);

/* True when all parts of the filter let it through. */
bool hf_snapshot_matches(const struct hf_snapshot *s, const struct hf_snapshot_filter *f);

/* Snapshots loaded; the list owns them. */
struct hf_snapshots {
	struct hf_snapshot **v;
	size_t len;
};

void hf_snapshots_clear(struct hf_snapshots *l);

/*
 * Is told of a snapshot that cannot be had, and takes the error. `what` is its id in full, or
 * the text by which it was asked for. Called on the thread that asked.
 */
typedef void hf_snapshot_bad_fn(void *arg, const char *what, struct hf_err *e);

/*
 * Loads all snapshots that match, several at once, sorted by time, oldest first (then by id).
 * One that cannot be loaded is given to on_bad, or fails the whole when that is NULL. One that
 * vanishes between listing and loading is passed over; where lists are up to date at once
 * (HF_LISTS_AT_ONCE), only if it is not listed any more.
 */
struct hf_err *hf_snapshots_load(struct hf_repo *repo, const struct hf_snapshot_filter *f,
	hf_snapshot_bad_fn *on_bad, void *arg, struct hf_snapshots *out) HF_MUST;

/*
 * Loads the snapshots that `texts` name (ids, beginnings of ids, "latest"), in that order, each
 * once; without any text all that match, as hf_snapshots_load(). The filter is for "latest" and
 * for the case without texts. Folders are refused. What is wrong with one of the texts goes to
 * on_bad, also that a filter is of no use; without on_bad the first such error is returned.
 */
struct hf_err *hf_snapshots_select(struct hf_repo *repo, const struct hf_strings *texts,
	const struct hf_snapshot_filter *f, hf_snapshot_bad_fn *on_bad, void *arg,
	struct hf_snapshots *out) HF_MUST;

/*
 * Finds the snapshot that `text` means: an id, a unique beginning of one, or "latest" (newest
 * that matches the filter), each with an optional ":sub/folder", which goes to *subfolder
 * (owned by the caller; NULL without one). HF_ENOTFOUND; HF_EINVAL: ambiguous.
 */
struct hf_err *hf_snapshot_find(struct hf_repo *repo, const char *text,
	const struct hf_snapshot_filter *f, struct hf_snapshot **out, char **subfolder) HF_MUST;

#endif
