/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a name, and as an escaped name. Names come back as they were; their escaped form is
 * printable UTF-8 without a bare quote; what another writer escaped means the same when we do.
 */
#include "fuzz.h"

#include "base/utf8.h"
#include "codec/quote.h"

static struct hf_str
content(const struct hf_buf *b)
{
	return hf_bytes_str(hf_buf_bytes(b));
}

static void
check_form(struct hf_str s)
{
	while (s.len > 0) {
		int32_t cp;
		size_t n = hf_utf8_next(s, &cp);

		must(hf_utf8_is_print(cp), "an escaped name is not printable");
		if (cp == '\\') {
			must(s.len > 1, "a backslash at the end");
			n = 2;
		}
		must(cp != '"', "a bare quote in an escaped name");
		s.p += n;
		s.len -= n;
	}
}

static void
check_name(struct hf_str name)
{
	struct hf_buf quoted = HF_BUF_MAX(10 * name.len), back = HF_BUF_MAX(name.len);

	hf_quote(&quoted, name);
	must(!quoted.is_full, "an escaped name of more than ten times the length");
	check_form(content(&quoted));
	must(hf_unquote(&back, content(&quoted)), "own escapes refused");
	must(!back.is_full && hf_str_eq(content(&back), name), "another name came back");
	must(hf_quote_is_plain(name) == hf_str_eq(content(&quoted), name), "plain or not");
	hf_buf_clear(&quoted);
	hf_buf_clear(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_str in = {(const char *)data, size};
	hf_auto(hf_buf) meant = HF_BUF_MAX(3 * size);

	check_name(in);
	if (hf_unquote(&meant, in)) {
		must(!meant.is_full, "a name of more than three times the length");
		check_name(content(&meant));
	}
	return 0;
}
