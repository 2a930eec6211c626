/* SPDX-License-Identifier: BSD-2-Clause */
/* The work of `repair index`, for commands that need an index that is right. */
#ifndef HF_CLI_REPAIR_H
#define HF_CLI_REPAIR_H

#include "cli/session.h"
#include "engine/repair_index.h"

/* Repairs the index under the exclusive lock of the session, and says what it does. */
struct hf_err *hf_repair_index_session(
	struct hf_session *s, const struct hf_repair_index_options *how) HF_MUST;

#endif
