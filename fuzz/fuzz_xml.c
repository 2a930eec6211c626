/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as an answer of a server. What is accepted is written down anew with everything escaped
 * and must then be read as the same; what is skipped whole must be just as valid.
 */
#include "fuzz.h"

#include "net/xml.h"

static bool
is_within(struct hf_str s, const void *p, size_t len)
{
	return s.len == 0 || (s.p >= (const char *)p && s.p + s.len <= (const char *)p + len);
}

static void
write_text(struct hf_buf *out, struct hf_str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (strchr("<&", text.p[i]) != NULL && text.p[i] != '\0')
			hf_buf_addf(out, "&#%u;", (unsigned)text.p[i]);
		else
			hf_buf_add_char(out, text.p[i]);
}

/* Elements whose names begin with a lower-case letter are read as text, all others entered. */
static void
walk(struct hf_xml *x, struct hf_buf *out)
{
	struct hf_str name;

	while (hf_xml_child(x, &name)) {
		struct hf_str copy = name;

		must(is_within(name, x->start, (size_t)(x->end - x->start)),
			"a name from nowhere");
		hf_buf_addf(out, "<%.*s>", (int)name.len, name.p);
		if (name.len > 0 && name.p[0] >= 'a' && name.p[0] <= 'z') {
			struct hf_str text = hf_xml_text(x);

			must(is_within(text, x->start, (size_t)(x->end - x->start)) ||
					is_within(text, x->scratch->p, x->scratch->len),
				"a text from nowhere");
			write_text(out, text);
		} else {
			walk(x, out);
		}
		hf_buf_addf(out, "</%.*s>", (int)copy.len, copy.p);
	}
}

static bool
read_all(struct hf_bytes in, struct hf_buf *out)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(in.len + 1);
	struct hf_xml x;

	hf_xml_init(&x, in, &scratch);
	walk(&x, out);
	struct hf_err *e = hf_xml_end(&x);
	bool ok = e == NULL;

	must(!scratch.is_full, "decoding made it longer");
	hf_err_free(e);
	return ok;
}

static bool
skip_all(struct hf_bytes in)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(0);
	struct hf_str name;
	struct hf_xml x;

	hf_xml_init(&x, in, &scratch);
	if (hf_xml_child(&x, &name))
		hf_xml_skip(&x);
	struct hf_err *e = hf_xml_end(&x);
	bool ok = e == NULL;

	hf_err_free(e);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_bytes in = {data, size};
	struct hf_buf once = HF_BUF_MAX(8 * size + 64), twice = HF_BUF_MAX(8 * size + 64);

	if (read_all(in, &once)) {
		must(skip_all(in), "what was read cannot be skipped");
		/* A name may lose all of itself with its prefix. */
		if (memmem(once.p, once.len, "<>", 2) == NULL) {
			must(read_all(hf_buf_bytes(&once), &twice), "own text refused");
			must(once.len == twice.len && memcmp(once.p, twice.p, once.len) == 0,
				"read differently the second time");
		}
	}
	hf_buf_clear(&once);
	hf_buf_clear(&twice);
	return 0;
}
