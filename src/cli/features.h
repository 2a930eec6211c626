/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * restic's feature flags, which $RESTIC_FEATURES switches. Here only s3-restore changes anything: of
 * the others, what is stable there is so here, and what is on trial there is not done.
 */
#ifndef HF_CLI_FEATURES_H
#define HF_CLI_FEATURES_H

#include "cli/cli.h"

struct hf_feature {
	const char *name, *phase;
	bool is_on;
	const char *text;
	void (*set)(struct hf_cli *cli, bool is_on); /* NULL: nothing changes it */
};

extern const struct hf_feature hf_features[];
extern const size_t hf_n_features;

/*
 * Does what $RESTIC_FEATURES ("a=true,b") says, and says of what it would change that it does not.
 * HF_EINVAL: a flag that nobody knows, or a value that is no truth value.
 */
struct hf_err *hf_features_check(struct hf_cli *cli) HF_MUST;

#endif
