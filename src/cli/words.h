/* SPDX-License-Identifier: BSD-2-Clause */
/* Small readers of text that users write: command lines, text files of any encoding, line lists. */
#ifndef HF_CLI_WORDS_H
#define HF_CLI_WORDS_H

#include "base/buf.h"
#include "repo/snapshot.h" /* struct hf_strings */

/*
 * Splits a command as a POSIX shell would: blanks separate, '…' and "…" and \ protect. Nothing is
 * expanded. HF_EINVAL: a quote is not closed, or there is no word.
 */
struct hf_err *hf_words_split(const char *command, struct hf_strings *out) HF_MUST;

/*
 * Appends text as UTF-8: a byte order mark is taken off, UTF-16 is converted if its mark says so,
 * anything else stays as it is. What is no character becomes U+FFFD.
 */
void hf_text_decode(struct hf_bytes in, struct hf_buf *out);

/* The text without the white space (Unicode's) around it. */
struct hf_str hf_text_trim(struct hf_str s);

/*
 * Takes the next line off the front of *rest; the newline and a carriage return before it are not
 * part of it. False: nothing is left.
 */
bool hf_text_line(struct hf_str *rest, struct hf_str *line);

/* Reads a text file and decodes it; at most `max` bytes. HF_ENOTFOUND: "PATH does not exist". */
struct hf_err *hf_text_read(const char *path, struct hf_buf *out) HF_MUST;

#endif
