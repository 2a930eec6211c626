/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of patterns; its last line is a path. The two ways to ask about it must agree, with and
 * without regard to the case of letters.
 */
#include "fuzz.h"

#include "engine/filter.h"

static const char *
env(void *arg, const char *name)
{
	(void)arg;
	return name[0] == 'H' ? "/home" : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_auto(hf_strings) lines = {0};

	if (size > 4096)
		return 0;
	hf_err_free(hf_filter_read((struct hf_bytes){data, size}, env, NULL, &lines));
	if (lines.len == 0)
		return 0;
	hf_autofree char *path = lines.v[--lines.len];

	for (int folds = 0; folds < 2; folds++) {
		hf_autoptr(hf_filter) f = NULL;
		hf_autoptr(hf_err) e = hf_filter_new(&lines, folds, &f);
		bool child;

		if (e != NULL && hf_err_code(e) != HF_EINVAL)
			abort();
		if (e == NULL &&
			hf_filter_match(f, path) != hf_filter_match_child(f, path, &child))
			abort();
	}
	return 0;
}
