/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists of patterns that choose paths: what a backup leaves out, what a restore takes. The
 * language is restic's.
 *
 * A pattern is cleaned as a path is (`a//b/../c/` is `a/c`) and consists of components between
 * slashes. It matches a path when its components match a run of neighbouring components of the
 * path:
 *
 *	foo            any component foo: /a/foo, /a/foo/b
 *	foo/bar        foo with bar directly in it, anywhere
 *	/foo           with a slash in front only at the root: /foo, /foo/b, not /a/foo
 *	*.o te?t [ab]*	wildcards within a component (engine/glob.h); none is a slash
 *	**             as a whole component: any number of components, also none
 *	!foo           what matches is chosen no longer
 *
 * The run need not reach the end of the path, so that a pattern that matches a folder matches
 * all that is in it. Patterns apply in their order; the last one that matches decides. Empty
 * ones are passed over.
 *
 * Of several ** in a pattern, each leaves one component of the path for every later one,
 * whereby the root counts as one unless the pattern is anchored: /a, two stars, b, two stars, c
 * does not match /a/b/c, but /a/b/x/c. That is how restic does it, and a list of excludes
 * must not leave out more here than there.
 *
 * Paths are absolute, or relative when patterns are anchored to nothing.
 *
 * A filter is immutable and may be used by any number of threads.
 */
#ifndef HF_ENGINE_FILTER_H
#define HF_ENGINE_FILTER_H

#include "base/strings.h"

struct hf_filter;

/*
 * Compiles `patterns`, which are copied. With `folds_case` they and all paths are compared in
 * lower case (Unicode, simple). HF_EINVAL: some are malformed; the text lists them, one per
 * line.
 */
struct hf_err *hf_filter_new(
	const struct hf_strings *patterns, bool folds_case, struct hf_filter **out) HF_MUST;
void hf_filter_free(struct hf_filter *f);
HF_AUTOPTR(hf_filter)

/* Whether the list chooses `path`. A filter without patterns chooses nothing; NULL neither. */
bool hf_filter_match(const struct hf_filter *f, const char *path);

/*
 * The same; *child_may_match tells whether something below `path`, a folder, could be chosen,
 * so that it is worth entering. It errs on the side of true.
 */
bool hf_filter_match_child(const struct hf_filter *f, const char *path, bool *child_may_match);

/* The value of an environment variable, or NULL. */
typedef const char *hf_filter_env_fn(void *arg, const char *name);

/*
 * Appends the patterns of a file of patterns, given its bytes, to `out`: one per line, UTF-8 or
 * UTF-16 with a byte order mark, white space around them taken off, lines that are empty or
 * begin with # left out, $NAME and ${NAME} replaced by what `env` says ("" for NULL), $$ by $.
 * HF_EINVAL: a line holds a NUL.
 */
struct hf_err *hf_filter_read(
	struct hf_bytes file, hf_filter_env_fn *env, void *arg, struct hf_strings *out) HF_MUST;

#endif
