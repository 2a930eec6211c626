/* SPDX-License-Identifier: BSD-2-Clause */
/* A file or folder of a snapshot as one line of text, as `ls` and `find` print it. */
#ifndef HF_CLI_NODE_LINE_H
#define HF_CLI_NODE_LINE_H

#include "cli/template.h"
#include "repo/node.h"

/*
 * Appends the path; with `is_long` mode, owner, size and time before it and the target of a link
 * behind it, and with `is_human` the size with a unit. With `is_shown` names are written as they
 * may be shown on a terminal, else as the bytes that they are.
 */
void hf_node_line(struct hf_buf *out, struct hf_str path, const struct hf_node *n, bool is_long,
	bool is_human, bool is_shown);

/* The keys of `ls --format`; Borg's names. */
extern const struct hf_template_key hf_node_keys[];

struct hf_node_values {
	struct hf_str path;
	const struct hf_node *node;
	struct hf_buf text; /* for values that are made */
};

/* The hf_template_fn for them; `values` is a struct hf_node_values. */
void hf_node_value(void *values, size_t key, struct hf_template_value *out);

#endif
