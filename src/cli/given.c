/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/given.h"

#include "base/text.h"
#include "base/when.h"

struct hf_err *
hf_given_time(const char *text, struct hf_time *out)
{
	if (!hf_when_parse("Y-m-d H:M:S", hf_str(text), out))
		return hf_err(HF_EINVAL,
			"error in time option: \"%s\" is no time of the form \"2006-01-02 "
			"15:04:05\"",
			text);
	return NULL;
}

void
hf_given_tags(const struct hf_strings *given, struct hf_strings *out)
{
	for (size_t i = 0; i < given->len; i++) {
		for (const char *s = given->v[i];;) {
			size_t len = strcspn(s, ",");
			struct hf_str tag = hf_text_trim((struct hf_str){s, len});
			hf_autofree char *copy = hf_str_dup(tag);

			if (tag.len > 0)
				hf_strings_add(out, copy);
			if (s[len] == '\0')
				break;
			s += len + 1;
		}
	}
}
