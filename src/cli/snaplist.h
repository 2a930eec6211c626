/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of snapshots: grouping, the table that people read, the JSON that programs read. */
#ifndef HF_CLI_SNAPLIST_H
#define HF_CLI_SNAPLIST_H

#include "cli/out.h"
#include "repo/snapshot.h"

/* What makes snapshots belong together; the bits of "host,paths,tags". */
enum { HF_BY_HOST = 1, HF_BY_PATHS = 2, HF_BY_TAGS = 4 };

/* HF_EINVAL: a word is none of host, path and tag, nor the plural of one. */
struct hf_err *hf_group_parse(const char *text, unsigned *by) HF_MUST;

/* Snapshots that agree in what they are grouped by. Pointers are borrowed, the array is owned. */
struct hf_group_of {
	const struct hf_snapshot **v;
	size_t len;
};
struct hf_groups {
	unsigned by;
	struct hf_group_of *v;
	size_t len;
};

void hf_groups_clear(struct hf_groups *g);

/*
 * Groups `list`, whose order each group keeps; groups come in the order of host, paths, tags.
 * Sorts the paths of every snapshot, and the tags when they are asked for. `by` 0 gives one group,
 * or none if there are no snapshots.
 */
void hf_groups_make(const struct hf_snapshots *list, unsigned by, struct hf_groups *out);

/* Writes an array of strings; null if there are none, or no list. */
void hf_strings_json(struct hf_jout *o, const struct hf_strings *l);

/* Appends all of them, with `separator` in between. */
void hf_strings_join(struct hf_buf *out, const struct hf_strings *l, const char *separator);

/* Writes {"hostname":…,"paths":…,"tags":…}. */
void hf_group_key_json(struct hf_jout *o, const struct hf_group_of *g, unsigned by);

/* Appends "host [x], paths [y]"; nothing without grouping. */
void hf_group_text(struct hf_buf *out, const struct hf_group_of *g, unsigned by);

/* Prints "snapshots for (host [x], paths [y]):"; nothing without grouping. */
void hf_group_header(struct hf_out *out, const struct hf_group_of *g, unsigned by);

/* Writes one snapshot with `id` and `short_id` at the end, as an object. */
void hf_snapshot_json(struct hf_jout *o, const struct hf_snapshot *s);

/*
 * Prints the table. `reasons` has one text per snapshot, lines separated by newlines, or is NULL.
 */
void hf_snapshots_print(struct hf_out *out, const struct hf_snapshot *const *v, size_t n,
	const char *const *reasons, bool is_compact);

/*
 * Appends how restic names a snapshot in a sentence: "snapshot 1a2b3c4d of [/home] at 2024-01-02
 * 03:04:05.678 +0100 CET by user@host".
 */
void hf_snapshot_sentence(struct hf_buf *out, const struct hf_snapshot *s);

/* Says that sentence, below an empty line. */
void hf_snapshot_say(struct hf_out *out, enum hf_say level, const struct hf_snapshot *s);

/* Appends an instant as Go prints it: "2024-01-02 03:04:05.678 +0100 CET". */
void hf_go_time(struct hf_buf *out, const struct hf_time *t);

#endif
