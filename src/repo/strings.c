/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of strings; declared in repo/snapshot.h. */
#include "repo/snapshot.h"

void
hf_strings_add(struct hf_strings *l, const char *s)
{
	if (l->len == l->cap) {
		size_t cap = l->cap != 0 ? 2 * l->cap : 4;
		char **v = reallocarray(l->v, cap, sizeof *v);

		if (v == NULL)
			abort();
		l->v = v;
		l->cap = cap;
	}
	l->v[l->len++] = hf_str_dup(hf_str(s));
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
	for (size_t i = 0; i < l->len; i++)
		if (strcmp(l->v[i], s) == 0)
			return true;
	return false;
}
