/* SPDX-License-Identifier: BSD-2-Clause */
/* What `prune` and `forget --prune` have in common: options, texts, the change of locks. */
#ifndef HF_CLI_PRUNE_RUN_H
#define HF_CLI_PRUNE_RUN_H

#include "cli/session.h"
#include "engine/prune.h"

/* The options as they were given. */
struct hf_prune_opts {
	char *max_unused, *max_repack, *smaller_than;
	bool cacheable_only, small, uncompressed;
};

/* For the table of a command; `f` is a struct hf_prune_opts in T. */
#define HF_OPT_PRUNE(T, f)                                                                     \
	{"max-unused", 0, HF_OPT_STRING(T, f.max_unused), .arg = "limit", .def = "5%",         \
		.help = "tolerate so much data that nobody needs: bytes with a suffix of k, "  \
			"M, G, T, a share in %, or 'unlimited'"},                              \
		{"max-repack-size", 0, HF_OPT_STRING(T, f.max_repack), .arg = "size",          \
			.help = "stop after repacking so much data (suffixes k, M, G, T)"},    \
		{"repack-cacheable-only", 0, HF_OPT_FLAG(T, f.cacheable_only),                 \
			.help = "only repack packs that are kept in caches"},                  \
		{"repack-small", 0, HF_OPT_FLAG(T, f.small), .help = "",                       \
			.instead = "small files are automatically repacked. Use "              \
				   "--repack-smaller-than to specify a minimum size"},         \
		{"repack-uncompressed", 0, HF_OPT_FLAG(T, f.uncompressed),                     \
			.help = "repack all data that is not compressed"},                     \
	{                                                                                      \
		"repack-smaller-than", 0, HF_OPT_STRING(T, f.smaller_than),                    \
			.arg = "size",                                                         \
			.help = "repack packs below this size (suffixes k, M, G, T)"           \
	}

/* What the options mean. HF_EINVAL: one of them makes no sense. */
struct hf_err *hf_prune_opts_read(const struct hf_cli *cli, const struct hf_prune_opts *o,
	struct hf_prune_options *out) HF_MUST;

/*
 * Prunes. The session has a shared lease, which becomes an exclusive one for the end; an exclusive
 * one for options->is_recovery; for a dry run any, or none.
 */
struct hf_err *hf_prune_run(
	struct hf_session *s, const struct hf_prune_options *options) HF_MUST;

#endif
