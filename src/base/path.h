/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths as text, by the rules of Go's path/filepath on Unix: nothing here looks at the disk. The
 * results are NUL-terminated strings on the heap, the caller's.
 */
#ifndef HF_BASE_PATH_H
#define HF_BASE_PATH_H

#include "base/buf.h"

/* The shortest equal path: no `.`, no `//`, no trailing slash, `x/..` resolved; "" becomes ".". */
char *hf_path_clean(const char *path);

/* `dir`/`name`, cleaned; an empty part is left out. */
char *hf_path_join(const char *dir, const char *name);

/* `path` made absolute by the folder `cwd`, cleaned. */
char *hf_path_abs(const char *cwd, const char *path);

/* Whether the path is `dir` or something below it; both are absolute and clean. */
bool hf_path_is_below(const char *path, const char *dir);

#endif
