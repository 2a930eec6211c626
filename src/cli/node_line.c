/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/node_line.h"

#include <inttypes.h>

#include "cli/format.h"

static uint32_t
type_bits(enum hf_node_type type)
{
	switch (type) {
	case HF_NODE_DIR:
		return UINT32_C(1) << 31;
	case HF_NODE_SYMLINK:
		return 1 << 27;
	case HF_NODE_DEV:
		return 1 << 26;
	case HF_NODE_CHARDEV:
		return 1 << 26 | 1 << 21;
	case HF_NODE_FIFO:
		return 1 << 25;
	case HF_NODE_SOCKET:
		return 1 << 24;
	default:
		return 0;
	}
}

static void
add_name(struct hf_buf *out, struct hf_str name, bool is_shown)
{
	if (is_shown)
		hf_format_name(out, name);
	else
		hf_buf_add(out, name.p, name.len);
}

void
hf_node_line(struct hf_buf *out, struct hf_str path, const struct hf_node *n, bool is_long,
	bool is_human, bool is_shown)
{
	if (is_long) {
		hf_buf_addf(out, "%s %5u %5u ", hf_mode_text(n->mode | type_bits(n->type)).s,
			n->uid, n->gid);
		if (is_human)
			hf_buf_add_str(out, hf_format_bytes(n->size).s);
		else
			hf_buf_addf(out, "%6" PRIu64, n->size);
		hf_buf_addf(out, " %s ", hf_format_time(&n->mtime).s);
	}
	add_name(out, path, is_shown);
	if (is_long && n->type == HF_NODE_SYMLINK) {
		hf_buf_add_str(out, " -> ");
		add_name(out, n->linktarget, is_shown);
	}
}
