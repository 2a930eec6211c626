/* SPDX-License-Identifier: BSD-2-Clause */
/* A template that the user wrote: refused with words, or text that no width makes endless. */
#include "fuzz.h"

#include "cli/template.h"

static const struct hf_template_key keys[] = {{"path", HF_TEMPLATE_TEXT},
	{"size", HF_TEMPLATE_NUMBER}, {"time", HF_TEMPLATE_TIME}, {NULL, HF_TEMPLATE_TEXT}};

static void
value(void *arg, size_t key, struct hf_template_value *out)
{
	(void)arg;
	if (key >= 3)
		abort();
	out->text = hf_str("/\xc3\xa4/\x1b\xff");
	out->number = UINT64_MAX;
	out->time.sec = 1767323045;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_autofree char *text = hf_str_dup((struct hf_str){(const char *)data, size});
	hf_autoptr(hf_template) t = NULL;
	hf_autoptr(hf_err) e = NULL;

	if (size > 4096)
		return 0;
	e = hf_template_parse(text, keys, &t);
	if (e != NULL) {
		if (hf_err_code(e) != HF_EINVAL || t != NULL)
			abort();
		return 0;
	}
	for (int is_shown = 0; is_shown < 2; is_shown++) {
		hf_auto(hf_buf) out = HF_BUF_MAX(64 << 20);

		hf_template_add(t, value, NULL, is_shown, &out);
		if (out.is_full)
			abort();
	}
	return 0;
}
