/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that say what of the files is left out, for commands that read folders of this machine. */
#ifndef HF_CLI_SELECT_H
#define HF_CLI_SELECT_H

#include "cli/patterns.h"
#include "engine/backup.h"

struct hf_select_opts {
	struct hf_pattern_opts exclude;
	struct hf_strings if_present;
	char *larger_than;
	bool exclude_caches, one_file_system;
};
#define HF_OPT_SELECT(T, f, ours)                                                              \
	HF_OPT_EXCLUDES_OF(T, f.exclude, ours),                                                \
		{"exclude-caches", 0, .is_ours = (ours), HF_OPT_FLAG(T, f.exclude_caches),     \
			.help = "leave out what is in folders marked by a CACHEDIR.TAG file"}, \
		{"exclude-if-present", 0, .is_ours = (ours), HF_OPT_LIST(T, f.if_present),     \
			.arg = "filename[:header]",                                            \
			.help = "leave out what is in folders that hold a file of this name "  \
				"(which itself stays), and if a header is given, only if the " \
				"file begins with it"},                                        \
		{"exclude-larger-than", 0, .is_ours = (ours), HF_OPT_STRING(T, f.larger_than), \
			.arg = "size", .help = "leave out larger files; suffixes k, M, G, T"}, \
	{                                                                                      \
		"one-file-system", 'x',                                                        \
			.is_ours = (ours), HF_OPT_FLAG(T, f.one_file_system),                  \
			.help = "stay on the file systems of the named folders"                \
	}

/* What they are compiled to; zeroed it is valid and leaves nothing out. */
struct hf_select {
	struct hf_patterns exclude;
	struct hf_exclude_tag *tags; /* owned; what they point to is the options' */
	size_t n_tags;
	uint64_t larger_than;
	bool has_larger_than, one_file_system;
	const char *
		cache; /* the folder of our own cache, which is left out, too; borrowed, or NULL */
};

void hf_select_clear(struct hf_select *s);

/* HF_EINVAL: one of them makes no sense. `opts` must stay, and is changed. */
struct hf_err *hf_select_compile(
	const struct hf_select_opts *opts, struct hf_select *out) HF_MUST;

/* Tells the engine; `s` must stay where it is. */
void hf_select_apply(struct hf_select *s, struct hf_backup_options *o);

#endif
