/* SPDX-License-Identifier: BSD-2-Clause */
/* What users give to a snapshot that is made: its time and its tags. */
#ifndef HF_CLI_GIVEN_H
#define HF_CLI_GIVEN_H

#include "base/strings.h"
#include "base/time.h"

/* "2006-01-02 15:04:05", in the local zone. HF_EINVAL: it is not of that form. */
struct hf_err *hf_given_time(const char *text, struct hf_time *out) HF_MUST;

/* Appends the tags in lists with commas, without white space around them. */
void hf_given_tags(const struct hf_strings *given, struct hf_strings *out);

#endif
