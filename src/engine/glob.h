/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One component of a path against one component of a pattern, by the rules of Go's
 * filepath.Match on Unix. Names are bytes; a byte that is no UTF-8 counts as one character,
 * U+FFFD.
 *
 *	*        any number of bytes
 *	?        one character
 *	[a-z]    one character of the set: single ones and ranges; \ escapes
 *	[^a-z]   one character that is not in the set
 *	\c       the byte c itself
 *	c        itself
 */
#ifndef HF_ENGINE_GLOB_H
#define HF_ENGINE_GLOB_H

#include "base/buf.h"

/* False: an unclosed or empty set, `-` at its wrong end, or a backslash at the end. */
bool hf_glob_is_valid(struct hf_str pattern);

/*
 * Whether `name` as a whole matches the valid `pattern`. Time: product of the lengths at most.
 */
bool hf_glob_match(struct hf_str pattern, struct hf_str name);

#endif
