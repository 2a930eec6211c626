/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XML as far as answers of S3 need it: a pull reader over bytes in memory, in the manner of
 * codec/json.h. It allocates nothing, text without escapes is a slice of the input, and its errors
 * stick: after the first one every call fails quietly and every loop ends, so that one
 * hf_xml_end() at the end of a document is enough.
 *
 *	hf_xml_init(&x, bytes, &scratch);
 *	if (hf_xml_child(&x, &name) && hf_str_is(name, "Error"))
 *		while (hf_xml_child(&x, &name))
 *			if (hf_str_is(name, "Code"))
 *				code = hf_xml_text(&x);
 *			else
 *				hf_xml_skip(&x);
 *	return hf_xml_end(&x);
 *
 * Elements, text, CDATA, comments, processing instructions, the five entities and characters by
 * number are read; attributes are passed over, and so is the prefix of a name ("s3:Key" is "Key").
 * A document type is refused, and with it everything that grows when it is expanded. Nesting deeper
 * than HF_XML_DEPTH is an error. The input is taken for UTF-8 and not validated.
 */
#ifndef HF_NET_XML_H
#define HF_NET_XML_H

#include "base/buf.h"

enum { HF_XML_DEPTH = 16 };

struct hf_xml {
	const char *start, *p, *end;
	struct hf_buf *scratch;            /* borrowed; decoded text is appended to it */
	const char *error;                 /* static text of the first error, or NULL */
	unsigned depth;                    /* elements that are open */
	struct hf_str names[HF_XML_DEPTH]; /* of these, in full */
	bool is_empty;                     /* the innermost was <like this/> */
	bool has_root, is_prepared;
};

/*
 * `in` and `scratch` outlive the reader. The first text that must be decoded reserves room for the
 * rest of the input in `scratch`, so that earlier slices never move; decoding makes nothing longer.
 */
void hf_xml_init(struct hf_xml *x, struct hf_bytes in, struct hf_buf *scratch);

/*
 * Enters the next child of the element that was entered last (at first: the root of the document)
 * and gives its name. False: there is no more, and that element has been left. Text between
 * children is passed over.
 */
bool hf_xml_child(struct hf_xml *x, struct hf_str *name);

/* The text of the element that was entered last, which is left; a child in it is an error. */
struct hf_str hf_xml_text(struct hf_xml *x);

/* Leaves the element that was entered last, with all that is in it. */
void hf_xml_skip(struct hf_xml *x);

/* The same as hf_xml_text() for a number. Anything else than digits, or too many, is an error. */
uint64_t hf_xml_u64(struct hf_xml *x);

/* HF_ECORRUPT with text and offset if anything was wrong, or if the document goes on. */
struct hf_err *hf_xml_end(struct hf_xml *x) HF_MUST;

#endif
