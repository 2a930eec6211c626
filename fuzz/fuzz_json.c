/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as JSON. What is read and written again reads as the same; skipping accepts no less
 * than reading; indenting changes no value; readers of single types survive everything.
 */
#include "fuzz.h"

#include "../tests/diff/json_copy.h"

enum { MAX_OUT = 64 << 20 };

static bool
skips(struct hf_bytes in, struct hf_buf *scratch)
{
	struct hf_json j;

	hf_json_init(&j, in, scratch);
	struct hf_bytes raw = hf_json_skip(&j);
	struct hf_err *e = hf_json_end(&j);

	must(e == NULL || j.error_off <= in.len, "the place of an error is outside");
	must(e != NULL || raw.len <= in.len, "a value is longer than the document");
	hf_err_free(e);
	return e == NULL;
}

/* The first byte says which type is asked for, over and over. */
static void
read_as(uint8_t type, struct hf_json *j, struct hf_buf *scratch, struct hf_buf *out)
{
	struct hf_str key;

	switch (type % 10) {
	case 0:
		hf_json_u64(j, UINT32_MAX);
		break;
	case 1:
		hf_json_i64(j);
		break;
	case 2:
		hf_json_double(j);
		break;
	case 3:
		hf_json_bool(j);
		break;
	case 4:
		hf_json_id(j);
		break;
	case 5:
		hf_json_time(j);
		break;
	case 6:
		hf_json_base64(j, out);
		break;
	case 7: {
		struct hf_str s = hf_json_str(j);

		must(hf_json_key_is(s, "nodes") || s.len != 5 || memcmp(s.p, "nodes", 5) != 0,
			"a name does not match itself");
		hf_buf_reset(scratch);
		break;
	}
	case 8:
		for (hf_json_object(j); hf_json_key(j, &key);)
			read_as(type / 10, j, scratch, out);
		break;
	default:
		for (hf_json_array(j); hf_json_item(j);)
			read_as(type / 10, j, scratch, out);
		break;
	}
}

static void
typed(const uint8_t *data, size_t size)
{
	struct hf_buf scratch = HF_BUF_MAX(1000), out = HF_BUF_MAX(1000);
	struct hf_json j;

	if (size == 0)
		return;
	hf_json_init(&j, (struct hf_bytes){data + 1, size - 1}, &scratch);
	hf_json_array(&j);
	while (hf_json_item(&j))
		read_as(data[0], &j, &scratch, &out);
	hf_err_free(hf_json_end(&j));
	hf_buf_clear(&scratch);
	hf_buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(MAX_OUT), once = HF_BUF_MAX(MAX_OUT);
	hf_auto(hf_buf) twice = HF_BUF_MAX(MAX_OUT), pretty = HF_BUF_MAX(MAX_OUT);
	struct hf_bytes in = {data, size};

	typed(data, size);
	bool is_read = json_copy_document(in, &scratch, &once);
	must(skips(in, &scratch) || !is_read, "read, but not skipped");
	if (!is_read)
		return 0;
	must(json_copy_document(hf_buf_bytes(&once), &scratch, &twice), "own text refused");
	must(hf_str_eq(hf_bytes_str(hf_buf_bytes(&once)), hf_bytes_str(hf_buf_bytes(&twice))),
		"another value the second time");
	struct hf_err *e = hf_json_indent(in, &pretty);
	must(e == NULL, "not indented");
	must(json_copy_document(hf_buf_bytes(&pretty), &scratch, &twice), "indented, refused");
	must(hf_str_eq(hf_bytes_str(hf_buf_bytes(&once)), hf_bytes_str(hf_buf_bytes(&twice))),
		"another value when indented");
	return 0;
}
