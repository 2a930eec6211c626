/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists are short (tags, paths, patterns), so that they are searched from the front. */
#include "base/strings.h"

void
hf_strings_add_str(struct hf_strings *l, struct hf_str s)
{
	if (l->len == l->cap) {
		size_t cap = l->cap > 0 ? 2 * l->cap : 4;
		char **v = reallocarray(l->v, cap, sizeof *v);

		if (v == NULL)
			abort(); /* as hf_new(): a list of this size is small */
		l->v = v;
		l->cap = cap;
	}
	l->v[l->len++] = hf_str_dup(s);
}

void
hf_strings_add(struct hf_strings *l, const char *s)
{
	hf_strings_add_str(l, hf_str(s));
}

void
hf_strings_clear(struct hf_strings *l)
{
	for (size_t i = 0; i < l->len; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct hf_strings){0};
}

bool
hf_strings_has(const struct hf_strings *l, const char *s)
{
	for (size_t i = 0; i < l->len; i++) {
		if (strcmp(l->v[i], s) == 0)
			return true;
	}
	return false;
}

void
hf_strings_copy(const struct hf_strings *l, struct hf_strings *out)
{
	for (size_t i = 0; i < l->len; i++)
		hf_strings_add(out, l->v[i]);
}

bool
hf_strings_remove(struct hf_strings *l, const char *s)
{
	size_t kept = 0, len = l->len;

	for (size_t i = 0; i < len; i++) {
		if (strcmp(l->v[i], s) == 0)
			free(l->v[i]);
		else
			l->v[kept++] = l->v[i];
	}
	l->len = kept;
	return kept < len;
}
