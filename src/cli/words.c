/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/words.h"

#include "base/io.h"
#include "base/when.h"

struct hf_err *
hf_text_read(const char *path, struct hf_buf *out)
{
	hf_auto(hf_buf) raw = HF_BUF_SPOOL(out->max);
	hf_autoptr(hf_err) e = hf_read_file(path, &raw);

	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
		return hf_err(HF_ENOTFOUND, "%s does not exist", path);
	if (e != NULL)
		return hf_steal(e);
	hf_text_decode(hf_buf_bytes(&raw), out);
	return hf_buf_ok(out);
}

void
hf_tags_split(const struct hf_strings *lists, struct hf_strings *out)
{
	for (size_t i = 0; i < lists->len; i++) {
		for (const char *s = lists->v[i];;) {
			size_t len = strcspn(s, ",");
			struct hf_str tag = hf_text_trim((struct hf_str){s, len});

			if (tag.len > 0)
				hf_strings_add_str(out, tag);
			if (s[len] == '\0')
				break;
			s += len + 1;
		}
	}
}

struct hf_err *
hf_time_option(const char *text, struct hf_time *out)
{
	if (!hf_when_parse("Y-m-d H:M:S", hf_str(text), out))
		return hf_err(HF_EINVAL,
			"error in time option: \"%s\" is no time of the form \"2006-01-02 "
			"15:04:05\"",
			text);
	return NULL;
}
