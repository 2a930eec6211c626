/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/path.h"

#include <stdio.h>

/* Removes the last component of out[root..len), which is not empty. */
static size_t
drop_last(const char *out, size_t root, size_t len)
{
	while (len > root && out[len - 1] != '/')
		len--;
	return len > root ? len - 1 : len;
}

char *
hf_path_clean(const char *path)
{
	bool is_abs = path[0] == '/';
	size_t root = is_abs ? 1 : 0, len = root, ups = 0;
	char *out = hf_alloc_(strlen(path) + 2, 1);

	if (is_abs)
		out[0] = '/';
	for (const char *p = path; *p != 0;) {
		size_t n = strcspn(p, "/");
		bool is_up = n == 2 && p[0] == '.' && p[1] == '.';

		if (is_up && len > root && ups < len) {
			len = drop_last(out, ups > 0 ? ups : root, len);
			if (len < ups)
				len = ups;
		} else if (is_up && is_abs) {
			/* above the root is the root */
		} else if (n > 0 && !(n == 1 && p[0] == '.')) {
			if (len > root)
				out[len++] = '/';
			memcpy(out + len, p, n);
			len += n;
			if (is_up)
				ups = len;
		}
		p += n + (p[n] == '/');
	}
	if (len == 0)
		out[len++] = '.';
	out[len] = 0;
	return out;
}

char *
hf_path_join(const char *dir, const char *name)
{
	hf_autofree char *both = NULL;
	bool needs_slash = dir[0] != 0 && name[0] != 0;

	if (asprintf(&both, "%s%s%s", dir, needs_slash ? "/" : "", name) < 0)
		abort();
	if (both[0] == 0)
		return hf_steal(both);
	return hf_path_clean(both);
}

char *
hf_path_abs(const char *cwd, const char *path)
{
	return path[0] == '/' ? hf_path_clean(path) : hf_path_join(cwd, path);
}

bool
hf_path_is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return true;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}
