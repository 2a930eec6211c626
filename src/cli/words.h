/* SPDX-License-Identifier: BSD-2-Clause */
/* Small readers of text that users write: command lines, text files of any encoding. */
#ifndef HF_CLI_WORDS_H
#define HF_CLI_WORDS_H

#include "base/text.h"
#include "repo/snapshot.h" /* struct hf_strings */

/*
 * Splits a command as a POSIX shell would: blanks separate, '…' and "…" and \ protect. Nothing is
 * expanded. HF_EINVAL: a quote is not closed, or there is no word.
 */
struct hf_err *hf_words_split(const char *command, struct hf_strings *out) HF_MUST;

/* Reads a text file and decodes it; at most `max` bytes. HF_ENOTFOUND: "PATH does not exist". */
struct hf_err *hf_text_read(const char *path, struct hf_buf *out) HF_MUST;

#endif
