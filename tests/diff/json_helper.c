/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What holdfast makes of JSON documents, for json_diff.py. On standard input documents, each
 * behind its length (4 bytes, little-endian); on standard output for each: one byte (bit 0: read,
 * bit 1: skipped without an error), the document written again, and the same indented, each behind
 * its length and empty if there is none.
 */
#include <stdio.h>

#include "base/endian.h"
#include "diff/json_copy.h"

enum { MAX_DOCUMENT = 16 << 20 };

static void
answer(const struct hf_buf *b)
{
	uint8_t len[4];

	hf_put_le32(len, (uint32_t)b->len);
	fwrite(len, 1, sizeof len, stdout);
	if (b->len > 0)
		fwrite(b->p, 1, b->len, stdout);
}

static bool
is_skipped(struct hf_bytes in, struct hf_buf *scratch)
{
	struct hf_json j;

	hf_json_init(&j, in, scratch);
	hf_json_skip(&j);
	struct hf_err *e = hf_json_end(&j);

	hf_err_free(e);
	return e == NULL;
}

/* Hands over an exact allocation, so that a sanitizer sees a read one byte too far. */
static int
one_document(size_t len)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(4 * MAX_DOCUMENT);
	hf_auto(hf_buf) out = HF_BUF_MAX(8 * MAX_DOCUMENT),
			pretty = HF_BUF_MAX(16 * MAX_DOCUMENT);
	hf_autofree uint8_t *doc = hf_alloc_(len > 0 ? len : 1, 1);

	if (fread(doc, 1, len, stdin) != len)
		return -1;
	struct hf_bytes in = {doc, len};
	bool is_read = json_copy_document(in, &scratch, &out);

	if (!is_read)
		hf_buf_reset(&out);
	putchar(is_read | is_skipped(in, &scratch) << 1);
	answer(&out);
	if (is_read) {
		struct hf_err *e = hf_json_indent(hf_buf_bytes(&out), &pretty);

		if (e != NULL) {
			fprintf(stderr, "indenting: %s\n", hf_err_text(e));
			hf_err_free(e);
			return -1;
		}
	}
	answer(&pretty);
	return 0;
}

int
main(void)
{
	uint8_t len[4];

	while (fread(len, 1, sizeof len, stdin) == sizeof len)
		if (hf_get_le32(len) > MAX_DOCUMENT || one_document(hf_get_le32(len)) != 0)
			return 1;
	return 0;
}
