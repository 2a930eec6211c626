/* SPDX-License-Identifier: BSD-2-Clause */
/* The work of `check`, for commands that want to know before they change anything. */
#ifndef HF_CLI_CHECK_H
#define HF_CLI_CHECK_H

#include "cli/session.h"

/*
 * Checks an opened repository, all of it but the data, and says what is found as `check` does.
 * HF_EFATAL: it is damaged.
 */
struct hf_err *hf_check_session(struct hf_session *s) HF_MUST;

#endif
