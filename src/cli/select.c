/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/select.h"

#include "base/path.h"

void
hf_select_clear(struct hf_select *s)
{
	hf_patterns_clear(&s->exclude);
	free(s->tags);
}

/* Splits "NAME:HEADER" in place. */
static struct hf_err *
collect_tags(const struct hf_select_opts *o, struct hf_select *s)
{
	const struct hf_strings *list = &o->if_present;

	s->tags = hf_alloc_(list->len + 1, sizeof *s->tags);
	for (size_t i = 0; i < list->len; i++) {
		char *colon = strchr(list->v[i], ':');

		if (colon != NULL)
			*colon++ = '\0';
		if (*list->v[i] == '\0')
			return hf_err(HF_EINVAL, "name for exclusion tagfile is empty");
		s->tags[s->n_tags++] = (struct hf_exclude_tag){list->v[i], colon};
	}
	if (o->exclude_caches)
		s->tags[s->n_tags++] = (struct hf_exclude_tag){
			"CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"};
	return NULL;
}

struct hf_err *
hf_select_compile(const struct hf_select_opts *o, struct hf_select *s)
{
	s->one_file_system = o->one_file_system;
	s->has_larger_than = hf_is_set(o->larger_than);
	if (s->has_larger_than && !hf_parse_size(o->larger_than, &s->larger_than))
		return hf_err(HF_EINVAL,
			"--exclude-larger-than: %s is not a size such as 300, 20k or 5M",
			o->larger_than);
	HF_TRY(hf_patterns_compile(&o->exclude, "exclude", &s->exclude));
	return collect_tags(o, s);
}

/* Our own cache changes while it is read, and nobody wants it back. */
static bool
is_excluded(void *arg, const char *abs_path)
{
	const struct hf_select *s = arg;

	return (s->cache != NULL && hf_path_is_below(abs_path, s->cache)) ||
	       hf_patterns_match(&s->exclude, abs_path);
}

void
hf_select_apply(struct hf_select *s, struct hf_backup_options *o)
{
	if (!hf_patterns_are_empty(&s->exclude) || s->cache != NULL)
		o->exclude = is_excluded;
	o->exclude_arg = s;
	o->exclude_tags = s->tags;
	o->n_exclude_tags = s->n_tags;
	o->exclude_larger_than = s->has_larger_than ? &s->larger_than : NULL;
	o->one_file_system = s->one_file_system;
}
