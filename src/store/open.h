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
 * Opens the place named by `url` (`/path`, `relative/path`, `local:path`) with extended options.
 * Does not look whether a repository is there. HF_EINVAL: unknown scheme, or an option that the
 * backend does not know.
 */
struct hf_err *hf_store_open(const char *url, const struct hf_option *options, size_t n_options,
	struct hf_store **out) HF_MUST;

#endif
