/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables for people, in restic's layout: a header, a line of dashes, the rows, another line. Cells
 * may hold several lines; columns are as wide as their widest cell on a terminal.
 */
#ifndef HF_CLI_TABLE_H
#define HF_CLI_TABLE_H

#include "cli/out.h"

struct hf_table;

/* `n` columns with these headers, which are copied. */
struct hf_table *hf_table_new(const char *const *headers, size_t n);
void hf_table_free(struct hf_table *t);
HF_AUTOPTR(hf_table)

/* Adds a cell, row by row from the left; the text is copied. */
void hf_table_add(struct hf_table *t, const char *text);

/* Prints it. With `is_spaced`, an empty line stands between rows. */
void hf_table_print(const struct hf_table *t, bool is_spaced, struct hf_out *out);

/* The same on standard error. */
void hf_table_print_err(const struct hf_table *t, struct hf_out *out);

#endif
