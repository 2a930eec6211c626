/* SPDX-License-Identifier: BSD-2-Clause */
/* How large the files and blobs of a repository are: what `stats --mode debug` says, to standard error. */
#ifndef HF_CLI_SIZES_H
#define HF_CLI_SIZES_H

#include "cli/session.h"

/* The index is loaded. */
struct hf_err *hf_sizes_say(struct hf_session *s) HF_MUST;

#endif
