/* SPDX-License-Identifier: BSD-2-Clause */
/* What is to be backed up: from arguments and from files that list paths. */
#ifndef HF_CLI_SOURCES_H
#define HF_CLI_SOURCES_H

#include "cli/cli.h"

/* Lists of file names, "-" is standard input. Borrowed. */
struct hf_source_lists {
	const struct hf_strings *globs;    /* --files-from */
	const struct hf_strings *verbatim; /* --files-from-verbatim */
	const struct hf_strings *raw;      /* --files-from-raw */
};

bool hf_sources_use_stdin(const struct hf_source_lists *lists);

/*
 * Collects all paths; those that do not exist are named on standard error and left out, and then
 * *is_partial is true. HF_EINVAL: nothing is to be backed up, or a list is malformed.
 * HF_ENOTFOUND: not one of the paths exists.
 */
struct hf_err *hf_sources_collect(struct hf_cli *cli, const struct hf_source_lists *lists,
	const struct hf_args *args, struct hf_strings *out, bool *is_partial) HF_MUST;

#endif
