/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Go's strconv.Quote without the outer quotes: how names stand in tree nodes before the JSON layer
 * escapes them once more (restic-format 7.4).
 */
#ifndef HF_CODEC_QUOTE_H
#define HF_CODEC_QUOTE_H

#include "base/buf.h"

/* Appends the escaped form of any bytes. */
void hf_quote(struct hf_buf *out, struct hf_str name);

/* True when the escaped form is the name itself: printable, no quote, no backslash. */
bool hf_quote_is_plain(struct hf_str name);

/*
 * Appends the bytes that `s` stands for. Refused as in Go: `\'`, a raw `"`, a raw newline, unknown
 * or cut escapes, surrogates, values above 10FFFF. False: appended content is undefined.
 */
bool hf_unquote(struct hf_buf *out, struct hf_str s);

#endif
