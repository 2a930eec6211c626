/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees of any bytes. What parses is written again; that must parse, and writing it once more must
 * give the same bytes.
 */
#include <assert.h>

#include "fuzz.h"

#include "repo/tree.h"

static struct hf_err *
rewrite(struct hf_bytes in, struct hf_buf *out)
{
	hf_autoptr(hf_tree) t = NULL;
	const struct hf_node *n;
	bool more;

	HF_TRY(hf_tree_parse(in, &t));
	hf_tree_begin(out);
	for (;;) {
		HF_TRY(hf_tree_next(t, &n, &more));
		if (!more)
			break;
		hf_tree_add(out, n);
	}
	hf_tree_end(out);
	return hf_buf_ok(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_auto(hf_buf) once = HF_BUF_MAX(64 << 20);
	hf_auto(hf_buf) twice = HF_BUF_MAX(64 << 20);
	struct hf_err *e = rewrite((struct hf_bytes){data, size}, &once);

	if (e == NULL) {
		e = rewrite(hf_buf_bytes(&once), &twice);
		assert(e == NULL);
		assert(once.len == twice.len && memcmp(once.p, twice.p, once.len) == 0);
	}
	hf_err_free(e);
	return 0;
}
