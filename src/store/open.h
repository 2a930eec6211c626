/* SPDX-License-Identifier: BSD-2-Clause */
/* From the text that a user gives with -r to a store. */
#ifndef HF_STORE_OPEN_H
#define HF_STORE_OPEN_H

#include "store/store.h"

/* One `-o key=value`. */
struct hf_option {
	const char *key, *value;
};

/*
 * Opens the place named by `url` (`/path`, `relative/path`, `local:path`) with extended options:
 *	local.connections=N	calls at once, 1 to 1000
 *	fault.plan=TEXT		makes calls go wrong, for tests (fault.h)
 * Does not look whether a repository is there. HF_EINVAL: a place of a kind that this version
 * cannot reach, an option that nobody knows, or one given twice with different values.
 */
struct hf_err *hf_store_open(const char *url, const struct hf_option *options, size_t n_options,
	struct hf_store **out) HF_MUST;

#endif
