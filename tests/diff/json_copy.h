/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads any JSON value and writes it again: one form for all ways to write the same value.
 * Integers that fit 64 bits stay exact, all other numbers and -0 become doubles.
 */
#ifndef HF_TESTS_DIFF_JSON_COPY_H
#define HF_TESTS_DIFF_JSON_COPY_H

#include "codec/json.h"

/* Appends the number whose text is `raw`, which the reader has found to be one. */
static inline bool
json_copy_number(struct hf_bytes raw, struct hf_jout *o)
{
	struct hf_json j;
	struct hf_buf none = {.max = 0};
	bool is_negative = raw.p[0] == '-';

	hf_json_init(&j, raw, &none);
	uint64_t u = is_negative ? 0 : hf_json_u64(&j, UINT64_MAX);
	int64_t i = is_negative ? hf_json_i64(&j) : 0;
	if (j.error == NULL && !(is_negative && i == 0)) {
		if (is_negative)
			hf_jout_i64(o, i);
		else
			hf_jout_u64(o, u);
		return true;
	}
	hf_json_init(&j, raw, &none);
	double d = hf_json_double(&j);
	if (j.error == NULL)
		hf_jout_double(o, d);
	return j.error == NULL;
}

static inline void
json_copy(struct hf_json *j, struct hf_jout *o)
{
	struct hf_str key;

	switch (hf_json_peek(j)) {
	case HF_JSON_OBJECT:
		hf_jout_object(o);
		for (hf_json_object(j); hf_json_key(j, &key);) {
			hf_jout_str(o, key); /* hf_jout_key() is for names of our own */
			hf_buf_add_char(o->buf, ':');
			o->needs_comma = false;
			json_copy(j, o);
		}
		hf_jout_object_end(o);
		break;
	case HF_JSON_ARRAY:
		hf_jout_array(o);
		for (hf_json_array(j); hf_json_item(j);)
			json_copy(j, o);
		hf_jout_array_end(o);
		break;
	case HF_JSON_STRING:
		hf_jout_str(o, hf_json_str(j));
		break;
	case HF_JSON_NUMBER: {
		struct hf_bytes raw = hf_json_skip(j);

		if (raw.p != NULL && !json_copy_number(raw, o))
			hf_json_fail(j, "a number is too large");
		break;
	}
	case HF_JSON_BOOL:
		hf_jout_bool(o, hf_json_bool(j));
		break;
	case HF_JSON_NULL:
		if (hf_json_null(j))
			hf_jout_null(o);
		else
			hf_json_fail(j, "an unknown word");
		break;
	case HF_JSON_ERROR:
		hf_json_fail(j, "a value should stand here");
		break;
	}
}

/*
 * The whole document, with `out` emptied first. False: it is not JSON, has a number that no
 * double can hold, or did not fit.
 */
static inline bool
json_copy_document(struct hf_bytes in, struct hf_buf *scratch, struct hf_buf *out)
{
	struct hf_json j;
	struct hf_jout o = {.buf = out};

	hf_buf_reset(scratch);
	hf_buf_reset(out);
	hf_json_init(&j, in, scratch);
	json_copy(&j, &o);
	struct hf_err *e = hf_json_end(&j);

	if (e == NULL)
		e = hf_buf_ok(out);
	hf_err_free(e);
	return e == NULL;
}

#endif
