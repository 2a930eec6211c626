/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/sources.h"

#include <errno.h>
#include <glob.h>
#include <sys/stat.h>

#include "base/io.h"
#include "cli/format.h"
#include "cli/words.h"
#include "engine/glob.h"

#define MAX_LIST ((size_t)4 << 30)

static bool
has_dash(const struct hf_strings *files)
{
	return hf_strings_has(files, "-");
}

bool
hf_sources_use_stdin(const struct hf_source_lists *lists)
{
	return has_dash(lists->globs) || has_dash(lists->verbatim) || has_dash(lists->raw);
}

/* The content of a list; decoded when it is a file of text. */
static struct hf_err *
read_list(const char *file, bool is_text, struct hf_buf *out)
{
	if (strcmp(file, "-") == 0)
		return hf_err_in(hf_read_all(STDIN_FILENO, out), "standard input");
	if (is_text)
		return hf_text_read(file, out);
	return hf_err_in(hf_read_file(file, out), "%s", file);
}

static void
add(struct hf_strings *out, struct hf_str s)
{
	hf_autofree char *copy = hf_str_dup(s);

	hf_strings_add(out, copy);
}

/* Patterns match names that begin with a dot, as Go's do, but not "." and "..". */
static bool
is_dot_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static struct hf_err *
expand(struct hf_cli *cli, const char *pattern, struct hf_strings *out)
{
	size_t before = out->len;
	glob_t g = {0};
	int rc;

	if (!hf_glob_is_valid(hf_str(pattern)))
		return hf_err(HF_EINVAL, "pattern: %s: syntax error in pattern", pattern);
	rc = glob(pattern, GLOB_PERIOD, NULL, &g);
	for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++)
		if (!is_dot_name(g.gl_pathv[i]) || is_dot_name(pattern))
			hf_strings_add(out, g.gl_pathv[i]);
	globfree(&g);
	if (rc == GLOB_NOSPACE)
		return hf_err(HF_EFATAL, "pattern: %s: no memory", pattern);
	if (out->len == before)
		hf_say_err(
			cli->out, "pattern \"%s\" does not match any files, skipping", pattern);
	return NULL;
}

static struct hf_err *
add_globs(struct hf_cli *cli, const char *file, struct hf_strings *out)
{
	hf_auto(hf_buf) text = HF_BUF_SPOOL(MAX_LIST);
	struct hf_str rest, line;

	HF_TRY(read_list(file, true, &text));
	rest = hf_bytes_str(hf_buf_bytes(&text));
	while (hf_text_line(&rest, &line)) {
		hf_autofree char *pattern = NULL;

		line = hf_text_trim(line);
		if (line.len == 0 || line.p[0] == '#')
			continue;
		pattern = hf_str_dup(line);
		HF_TRY(expand(cli, pattern, out));
	}
	return NULL;
}

static struct hf_err *
add_verbatim(const char *file, struct hf_strings *out)
{
	hf_auto(hf_buf) text = HF_BUF_SPOOL(MAX_LIST);
	struct hf_str rest, line;

	HF_TRY(read_list(file, true, &text));
	rest = hf_bytes_str(hf_buf_bytes(&text));
	while (hf_text_line(&rest, &line))
		if (line.len > 0)
			add(out, line);
	return NULL;
}

static struct hf_err *
add_raw(const char *file, struct hf_strings *out)
{
	hf_auto(hf_buf) bytes = HF_BUF_SPOOL(MAX_LIST);
	const char *p, *end;

	HF_TRY(read_list(file, false, &bytes));
	p = (const char *)bytes.p;
	end = p + bytes.len;
	if (bytes.len > 0 && end[-1] != '\0')
		return hf_err(HF_EINVAL, "--files-from-raw: trailing zero byte missing");
	for (; p < end; p += strlen(p) + 1) {
		/* An empty name would mean the working folder. */
		if (*p == '\0')
			return hf_err(HF_EINVAL, "--files-from-raw: empty filename in listing");
		hf_strings_add(out, p);
	}
	return NULL;
}

/* Drops what is not there. */
static struct hf_err *
keep_existing(struct hf_cli *cli, struct hf_strings *all, bool *is_partial)
{
	size_t kept = 0;

	for (size_t i = 0; i < all->len; i++) {
		hf_autofree char *shown = NULL;
		struct stat st;

		if (lstat(all->v[i], &st) == 0) {
			all->v[kept++] = all->v[i];
			continue;
		}
		shown = hf_shown_name(hf_str(all->v[i]));
		hf_say_err(cli->out,
			errno == ENOENT ? "%s does not exist, skipping"
					: "%s cannot be accessed, skipping",
			shown);
		free(all->v[i]);
	}
	*is_partial = kept < all->len;
	all->len = kept;
	if (kept == 0)
		return hf_err(HF_ENOTFOUND, "all source directories/files do not exist");
	return NULL;
}

struct hf_err *
hf_sources_collect(struct hf_cli *cli, const struct hf_source_lists *lists,
	const struct hf_args *args, struct hf_strings *out, bool *is_partial)
{
	hf_auto(hf_strings) all = {0};

	for (size_t i = 0; i < lists->globs->len; i++)
		HF_TRY(add_globs(cli, lists->globs->v[i], &all));
	for (size_t i = 0; i < lists->verbatim->len; i++)
		HF_TRY(add_verbatim(lists->verbatim->v[i], &all));
	for (size_t i = 0; i < lists->raw->len; i++)
		HF_TRY(add_raw(lists->raw->v[i], &all));
	for (size_t i = 0; i < args->len; i++)
		hf_strings_add(&all, args->v[i]);
	if (all.len == 0)
		return hf_err(HF_EINVAL, "nothing to backup, please specify source files/dirs");
	HF_TRY(keep_existing(cli, &all, is_partial));
	*out = all;
	all = (struct hf_strings){0};
	return NULL;
}
