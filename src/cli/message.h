/* SPDX-License-Identifier: BSD-2-Clause */
/* The messages that programs read under --json: an object a line, of fields that are restic's. */
#ifndef HF_CLI_MESSAGE_H
#define HF_CLI_MESSAGE_H

#include "cli/cli.h"
#include "codec/json.h"

void hf_msg_nonzero(struct hf_jout *o, const char *key, uint64_t v); /* left out when it is 0 */

/* Prints that something went wrong with `item`, to standard error. */
void hf_msg_error(
	struct hf_cli *cli, const char *during, const char *item, const struct hf_err *e);

#endif
