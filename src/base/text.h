/* SPDX-License-Identifier: BSD-2-Clause */
/* Text that users write: any encoding, one thing per line. */
#ifndef HF_BASE_TEXT_H
#define HF_BASE_TEXT_H

#include "base/buf.h"

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

/* Reads 1, t, T, true, TRUE, True, or 0, f and so on, as Go's programs do. False: it is neither. */
bool hf_text_bool(const char *s, bool *out);

/*
 * A copy in which the percent escapes of a URL are bytes; the caller frees it. NULL: one is none, or is
 * that of byte 0.
 */
char *hf_text_unescape(struct hf_str s);

#endif
