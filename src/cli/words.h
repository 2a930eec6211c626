/* SPDX-License-Identifier: BSD-2-Clause */
/* Small readers of text that users write: command lines, text files of any encoding. */
#ifndef HF_CLI_WORDS_H
#define HF_CLI_WORDS_H

#include "base/strings.h"
#include "base/text.h"
#include "base/time.h"
#include "base/words.h"

/* Reads a text file and decodes it; at most `max` bytes. HF_ENOTFOUND: "PATH does not exist". */
struct hf_err *hf_text_read(const char *path, struct hf_buf *out) HF_MUST;

/* Adds the tags of lists such as "a, b" to `out`, without blanks around them and empty ones. */
void hf_tags_split(const struct hf_strings *lists, struct hf_strings *out);

/* Reads a time of the form "2006-01-02 15:04:05", local. HF_EINVAL: it is none. */
struct hf_err *hf_time_option(const char *text, struct hf_time *out) HF_MUST;

#endif
