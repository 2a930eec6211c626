/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines that users write into options. */
#ifndef HF_BASE_WORDS_H
#define HF_BASE_WORDS_H

#include "base/strings.h"

/*
 * Splits a command as a POSIX shell would: blanks separate, '…' and "…" and \ protect. Nothing is
 * expanded. HF_EINVAL: a quote is not closed, or there is no word.
 */
struct hf_err *hf_words_split(const char *command, struct hf_strings *out) HF_MUST;

#endif
