/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/patterns.h"

#include "base/io.h"

enum { MAX_PATTERN_FILE = 256 << 20 };

void
hf_patterns_clear(struct hf_patterns *p)
{
	hf_filter_free(p->plain);
	hf_filter_free(p->folded);
	*p = (struct hf_patterns){0};
}

static const char *
get_env(void *arg, const char *name)
{
	(void)arg;
	return getenv(name);
}

/* What the command line says comes first, then the files in their order. */
static struct hf_err *
compile(const struct hf_strings *given, const struct hf_strings *files, bool folds_case,
	const char *prefix, const char *what, struct hf_filter **out)
{
	hf_auto(hf_strings) all = {0};

	*out = NULL;
	for (size_t i = 0; i < given->len; i++)
		hf_strings_add(&all, given->v[i]);
	for (size_t i = 0; i < files->len; i++) {
		hf_auto(hf_buf) text = HF_BUF_MAX(MAX_PATTERN_FILE);
		struct hf_err *e = hf_read_file(files->v[i], &text);

		if (e == NULL)
			e = hf_filter_read(hf_buf_bytes(&text), get_env, NULL, &all);
		HF_TRY(hf_err_in(e, "failed to read patterns from file \"%s\"", files->v[i]));
	}
	if (all.len == 0)
		return NULL;
	return hf_err_in(hf_filter_new(&all, folds_case, out), "--%s%s%s", prefix, what,
		files->len > 0 ? "-file" : "");
}

struct hf_err *
hf_patterns_compile(
	const struct hf_pattern_opts *opts, const char *what, struct hf_patterns *out)
{
	hf_auto(hf_patterns) p = {0};

	HF_TRY(compile(&opts->given, &opts->files, false, "", what, &p.plain));
	HF_TRY(compile(&opts->folded, &opts->folded_files, true, "i", what, &p.folded));
	*out = p;
	p = (struct hf_patterns){0};
	return NULL;
}

bool
hf_patterns_match(const struct hf_patterns *p, const char *path)
{
	return hf_filter_match(p->plain, path) || hf_filter_match(p->folded, path);
}

bool
hf_patterns_match_child(const struct hf_patterns *p, const char *path, bool *child_may_match)
{
	bool plain = false, folded = false;
	bool is_match = p->plain != NULL && hf_filter_match_child(p->plain, path, &plain);

	if (p->folded != NULL && hf_filter_match_child(p->folded, path, &folded))
		is_match = true;
	*child_may_match = plain || folded;
	return is_match;
}

void
hf_patterns_select(const struct hf_patterns *include, const struct hf_patterns *exclude,
	const char *path, bool is_dir, bool *is_selected, bool *child_may_be)
{
	if (!hf_patterns_are_empty(include)) {
		*is_selected = hf_patterns_match_child(include, path, child_may_be);
		*child_may_be = *child_may_be && is_dir;
	} else {
		*is_selected = !hf_patterns_match(exclude, path);
		*child_may_be = *is_selected && is_dir;
	}
}
