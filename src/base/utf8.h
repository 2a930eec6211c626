/* SPDX-License-Identifier: BSD-2-Clause */
/* UTF-8 as Go reads it, and what Go calls printable (Unicode 15.0). */
#ifndef HF_BASE_UTF8_H
#define HF_BASE_UTF8_H

#include "base/buf.h"

/*
 * Decodes the code point at the start of `s`, which is not empty, and returns its length in bytes.
 * Overlong forms, surrogates, values above 10FFFF and cut sequences are not UTF-8: then the result
 * is 1 and *cp is -1, for that one byte.
 */
size_t hf_utf8_next(struct hf_str s, int32_t *cp);

bool hf_utf8_is_valid(struct hf_str s);

/* Appends the UTF-8 form of a valid code point. */
void hf_utf8_add(struct hf_buf *out, int32_t cp);

/* Go's strconv.IsPrint: letters, marks, numbers, punctuation, symbols and U+0020. */
bool hf_utf8_is_print(int32_t cp);

/* Unicode simple lower case (Go's unicode.ToLower). */
int32_t hf_utf8_lower(int32_t cp);

/*
 * Columns that the text takes on a terminal: wide characters count 2, combining and control
 * characters 0, bytes that are not UTF-8 1 each.
 */
size_t hf_utf8_width(struct hf_str s);

#endif
