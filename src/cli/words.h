/* SPDX-License-Identifier: BSD-2-Clause */
/* Small readers of text that users write: command lines, text files of any encoding. */
#ifndef HF_CLI_WORDS_H
#define HF_CLI_WORDS_H

#include "base/text.h"
#include "base/words.h"

/* Reads a text file and decodes it; at most `max` bytes. HF_ENOTFOUND: "PATH does not exist". */
struct hf_err *hf_text_read(const char *path, struct hf_buf *out) HF_MUST;

#endif
