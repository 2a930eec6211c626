/* SPDX-License-Identifier: BSD-2-Clause */
/* What json.c and json_value.c share: the steps of the reader. */
#ifndef HF_CODEC_JSON_PRIV_H
#define HF_CODEC_JSON_PRIV_H

#include "codec/json.h"

extern const char hf_json_too_early_[];

/* Behind the number at `p`, or NULL and an error if JSON does not write numbers so. */
const uint8_t *hf_json_number_end_(struct hf_json *j, const uint8_t *p);

/* An error at `p`, or that the text ends there. */
static inline void
fail_at(struct hf_json *j, const uint8_t *p, const char *text)
{
	j->p = p;
	hf_json_fail(j, p == j->end ? hf_json_too_early_ : text);
}

static inline void
skip_space(struct hf_json *j)
{
	while (j->p < j->end && *j->p <= ' ' &&
		(*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

/* True and past `c` if that comes next. */
static inline bool
take(struct hf_json *j, uint8_t c)
{
	if (j->p == j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

/* The same for a whole value. */
static inline bool
take_word(struct hf_json *j, const char *word, size_t n)
{
	if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0)
		return false;
	j->p += n;
	j->is_first = false;
	return true;
}

#endif
