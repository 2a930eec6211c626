/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that choose files by patterns, and what they are compiled to. */
#ifndef HF_CLI_PATTERNS_H
#define HF_CLI_PATTERNS_H

#include "cli/cli.h"
#include "engine/filter.h"

/* --exclude, --iexclude and the files of patterns; or the same with include. */
struct hf_pattern_opts {
	struct hf_strings given, folded, files, folded_files;
};
#define HF_OPT_EXCLUDES_OF(T, f, ours)                                                         \
	{"exclude", 'e', .is_ours = (ours), HF_OPT_LIST(T, f.given), .arg = "pattern",         \
		.help = "leave out what matches this pattern"},                                \
		{"iexclude", 0, .is_ours = (ours), HF_OPT_LIST(T, f.folded), .arg = "pattern", \
			.help = "the same, whatever the case of letters"},                     \
		{"exclude-file", 0, .is_ours = (ours), HF_OPT_LIST(T, f.files), .arg = "file", \
			.help = "read such patterns from this file, one per line"},            \
	{                                                                                      \
		"iexclude-file", 0, .is_ours = (ours), HF_OPT_LIST(T, f.folded_files),         \
				    .arg = "file",                                             \
				    .help = "the same, whatever the case of letters"           \
	}
#define HF_OPT_EXCLUDES(T, f) HF_OPT_EXCLUDES_OF(T, f, false)
#define HF_OPT_INCLUDES(T, f)                                                                  \
	{"include", 'i', HF_OPT_LIST(T, f.given), .arg = "pattern",                            \
		.help = "take only what matches such a pattern"},                              \
		{"iinclude", 0, HF_OPT_LIST(T, f.folded), .arg = "pattern",                    \
			.help = "the same, whatever the case of letters"},                     \
		{"include-file", 0, HF_OPT_LIST(T, f.files), .arg = "file",                    \
			.help = "read such patterns from this file, one per line"},            \
	{                                                                                      \
		"iinclude-file", 0, HF_OPT_LIST(T, f.folded_files),                            \
			.arg = "file", .help = "the same, whatever the case of letters"        \
	}

/* Immutable once compiled; any thread. Either filter may be NULL. */
struct hf_patterns {
	struct hf_filter *plain, *folded;
};

void hf_patterns_clear(struct hf_patterns *p);

/* `what` is "exclude" or "include". HF_EINVAL: a pattern is malformed; the text says which. */
struct hf_err *hf_patterns_compile(
	const struct hf_pattern_opts *opts, const char *what, struct hf_patterns *out) HF_MUST;

static inline bool
hf_patterns_are_empty(const struct hf_patterns *p)
{
	return p->plain == NULL && p->folded == NULL;
}

/*
 * What a command with includes or excludes, but not both, takes: whether the item is meant, and
 * whether something below the folder may be.
 */
void hf_patterns_select(const struct hf_patterns *include, const struct hf_patterns *exclude,
	const char *path, bool is_dir, bool *is_selected, bool *child_may_be);

/* Whether any of the lists chooses the path. */
bool hf_patterns_match(const struct hf_patterns *p, const char *path);
bool hf_patterns_match_child(
	const struct hf_patterns *p, const char *path, bool *child_may_match);

#endif
