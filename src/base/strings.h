/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of strings; the list owns them. A zeroed one is empty. */
#ifndef HF_BASE_STRINGS_H
#define HF_BASE_STRINGS_H

#include "base/buf.h"

struct hf_strings {
	char **v;
	size_t len, cap;
};

void hf_strings_add(struct hf_strings *l, const char *s); /* copies */
void hf_strings_clear(struct hf_strings *l);
bool hf_strings_has(const struct hf_strings *l, const char *s);

/* Adds the bytes of `s` and a NUL. */
void hf_strings_add_str(struct hf_strings *l, struct hf_str s);

/* Sets *out, which is empty, to a copy of `l`. */
void hf_strings_copy(const struct hf_strings *l, struct hf_strings *out);

/* Takes out all that equal `s`, in order; true if there was one. */
bool hf_strings_remove(struct hf_strings *l, const char *s);

#endif
