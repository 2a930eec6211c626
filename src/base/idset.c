/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/idset.h"

#include <stdlib.h>

enum { FIRST_CAP = 256 }; /* places; always a power of two */

void
hf_idset_clear(struct hf_idset *s)
{
	free(s->v);
	*s = (struct hf_idset){.max = s->max};
}

/* The place where `id` is or would be. Some place is always empty. */
static struct hf_id *
place_of(struct hf_id *v, size_t cap, const struct hf_id *id)
{
	uint64_t h;

	memcpy(&h, id->b, sizeof h);
	for (size_t i = (size_t)h & (cap - 1);; i = (i + 1) & (cap - 1)) {
		if (hf_id_eq(&v[i], id) || hf_id_is_zero(&v[i]))
			return &v[i];
	}
}

/* False: no memory; then all stays as it is. */
static bool
grow(struct hf_idset *s)
{
	size_t cap = s->cap == 0 ? FIRST_CAP : 2 * s->cap;
	struct hf_id *v = calloc(cap, sizeof *v);

	if (v == NULL)
		return false;
	for (size_t i = 0; i < s->cap; i++) {
		if (!hf_id_is_zero(&s->v[i]))
			*place_of(v, cap, &s->v[i]) = s->v[i];
	}
	free(s->v);
	s->v = v;
	s->cap = cap;
	return true;
}

bool
hf_idset_has(const struct hf_idset *s, const struct hf_id *id)
{
	return s->len > 0 && !hf_id_is_zero(id) && hf_id_eq(place_of(s->v, s->cap, id), id);
}

bool
hf_idset_add(struct hf_idset *s, const struct hf_id *id)
{
	if (hf_idset_has(s, id))
		return true;
	if (hf_id_is_zero(id) || s->len == s->max)
		return false;
	if (2 * (s->len + 1) > s->cap && !grow(s))
		return false;
	*place_of(s->v, s->cap, id) = *id;
	s->len++;
	return true;
}
