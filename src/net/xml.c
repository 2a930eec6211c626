/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/xml.h"

#include "base/utf8.h"

void
hf_xml_init(struct hf_xml *x, struct hf_bytes in, struct hf_buf *scratch)
{
	struct hf_str s = in.p != NULL ? hf_bytes_str(in) : hf_str("");

	*x = (struct hf_xml){.start = s.p, .p = s.p, .end = s.p + s.len, .scratch = scratch};
	if (s.len >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0)
		x->p += 3;
}

/* Returns false, so that a caller can return this. */
static bool
fail(struct hf_xml *x, const char *text)
{
	if (x->error == NULL)
		x->error = text;
	return false;
}

static size_t
left(const struct hf_xml *x)
{
	return (size_t)(x->end - x->p);
}

static bool
starts_with(const struct hf_xml *x, const char *text)
{
	size_t len = strlen(text);

	return left(x) >= len && memcmp(x->p, text, len) == 0;
}

/* Moves behind the next `text`; a document that ends before is broken. */
static bool
skip_past(struct hf_xml *x, const char *text)
{
	const char *found = memmem(x->p, left(x), text, strlen(text));

	if (found == NULL)
		return fail(x, "something is not closed");
	x->p = found + strlen(text);
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_space(struct hf_xml *x)
{
	while (x->p < x->end && is_space(*x->p))
		x->p++;
}

/* Letters of all languages may stand in names; what matters is what cannot. */
static bool
ends_name(char c)
{
	return is_space(c) || strchr("<>/=\"'&?!;", c) != NULL; /* and NUL */
}

static bool
take_name(struct hf_xml *x, struct hf_str *name)
{
	const char *start = x->p;

	while (x->p < x->end && !ends_name(*x->p))
		x->p++;
	*name = (struct hf_str){start, (size_t)(x->p - start)};
	return name->len > 0 || fail(x, "a name is missing");
}

/* ---- tags ---- */

/* Passes over one attribute, the first byte of which has been seen. */
static bool
skip_attribute(struct hf_xml *x)
{
	struct hf_str name;
	char quote[2] = "";

	if (!take_name(x, &name))
		return false;
	skip_space(x);
	if (x->p == x->end || *x->p != '=')
		return fail(x, "an attribute without a value");
	x->p++;
	skip_space(x);
	if (x->p == x->end || (*x->p != '"' && *x->p != '\''))
		return fail(x, "an attribute without quotes");
	quote[0] = *x->p++;
	return skip_past(x, quote);
}

/* After "<": enters the element. */
static bool
open_tag(struct hf_xml *x)
{
	struct hf_str name;

	if (x->depth == HF_XML_DEPTH)
		return fail(x, "elements too deep in each other");
	if (!take_name(x, &name))
		return false;
	for (;;) {
		skip_space(x);
		if (x->p == x->end)
			return fail(x, "a tag is not closed");
		if (*x->p == '>' || *x->p == '/')
			break;
		if (!skip_attribute(x))
			return false;
	}
	x->is_empty = *x->p == '/';
	x->p += x->is_empty;
	if (x->p == x->end || *x->p != '>')
		return fail(x, "a tag is not closed");
	x->p++;
	x->names[x->depth++] = name;
	return true;
}

/* After "</": leaves the innermost element. */
static bool
close_tag(struct hf_xml *x)
{
	struct hf_str name;

	if (!take_name(x, &name))
		return false;
	if (x->depth == 0 || !hf_str_eq(name, x->names[x->depth - 1]))
		return fail(x, "an end that belongs to no beginning");
	skip_space(x);
	if (x->p == x->end || *x->p != '>')
		return fail(x, "a tag is not closed");
	x->p++;
	x->depth--;
	return true;
}

enum markup { NONE, OPENED, CLOSED, CDATA, OTHER };

/*
 * At a '<': reads the markup. CDATA stays where it is, OTHER (a comment, an instruction) has been
 * passed over.
 */
static enum markup
take_markup(struct hf_xml *x)
{
	bool ok = true;

	if (starts_with(x, "<![CDATA["))
		return CDATA;
	if (starts_with(x, "<!--"))
		ok = (x->p += 4, skip_past(x, "-->"));
	else if (starts_with(x, "<?"))
		ok = (x->p += 2, skip_past(x, "?>"));
	else if (starts_with(x, "<!"))
		ok = fail(x, "a document type, which is refused");
	else if (starts_with(x, "</"))
		return x->p += 2, close_tag(x) ? CLOSED : NONE;
	else
		return x->p += 1, open_tag(x) ? OPENED : NONE;
	return ok ? OTHER : NONE;
}

/* ---- text ---- */

/* The value of the character after "&#", up to the ';'. -1: there is none. */
static int32_t
number_of(struct hf_str s)
{
	int base = s.len > 0 && s.p[0] == 'x' ? 16 : 10;
	int32_t value = 0;

	if (base == 16)
		s.p++, s.len--;
	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : 16;

		if (digit >= base)
			return -1;
		value = value * base + digit;
		if (value > 0x10ffff)
			return -1;
	}
	/* Neither NUL nor half of a pair of UTF-16 is a character. */
	return value == 0 || (value >= 0xd800 && value < 0xe000) ? -1 : value;
}

/* At an '&': appends what it stands for. */
static bool
add_entity(struct hf_xml *x)
{
	static const struct {
		const char *name;
		char c;
	} entities[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
	const char *end = memchr(x->p, ';', left(x) < 12 ? left(x) : 12);
	struct hf_str s = {x->p + 1, 0};

	if (end == NULL)
		return fail(x, "an entity is not closed");
	s.len = (size_t)(end - s.p);
	x->p = end + 1;
	for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
		if (hf_str_is(s, entities[i].name)) {
			hf_buf_add_char(x->scratch, entities[i].c);
			return true;
		}
	if (s.len < 2 || s.p[0] != '#')
		return fail(x, "an entity that is not known");
	int32_t cp = number_of((struct hf_str){s.p + 1, s.len - 1});
	if (cp < 0)
		return fail(x, "a number that is no character");
	hf_utf8_add(x->scratch, cp);
	return true;
}

/* At a CDATA section: appends its content. */
static bool
add_cdata(struct hf_xml *x)
{
	const char *start = x->p += strlen("<![CDATA[");

	if (!skip_past(x, "]]>"))
		return false;
	hf_buf_add(x->scratch, start, (size_t)(x->p - start) - strlen("]]>"));
	return true;
}

/* The end of plain text. */
static const char *
plain_end(const struct hf_xml *x)
{
	const char *p = x->p;

	while (p < x->end && *p != '<' && *p != '&')
		p++;
	return p;
}

/* Text that is not one slice of the input: up to the end of the element. */
static bool
decode(struct hf_xml *x)
{
	for (;;) {
		const char *plain = plain_end(x);

		hf_buf_add(x->scratch, x->p, (size_t)(plain - x->p));
		x->p = plain;
		if (x->p == x->end)
			return fail(x, "it ends in the middle");
		if (*x->p == '&') {
			if (!add_entity(x))
				return false;
			continue;
		}
		switch (take_markup(x)) {
		case NONE:
			return false;
		case CLOSED:
			return true;
		case OPENED:
			return fail(x, "an element where text should be");
		case CDATA:
			if (!add_cdata(x))
				return false;
			break;
		case OTHER:
			break;
		}
	}
}

struct hf_str
hf_xml_text(struct hf_xml *x)
{
	static const struct hf_str none = {"", 0};

	if (x->error != NULL || x->depth == 0) {
		fail(x, "text outside of everything");
		return none;
	}
	if (x->is_empty) {
		x->is_empty = false;
		x->depth--;
		return none;
	}
	const char *plain = plain_end(x);
	struct hf_str slice = {x->p, (size_t)(plain - x->p)};
	if (plain + 1 < x->end && plain[0] == '<' && plain[1] == '/') {
		x->p = plain + 2;
		return close_tag(x) ? slice : none;
	}
	if (!x->is_prepared) {
		struct hf_err *e = hf_buf_reserve(x->scratch, left(x));

		x->is_prepared = e == NULL;
		hf_err_free(e);
		if (!x->is_prepared) {
			fail(x, "its text is too long");
			return none;
		}
	}
	size_t before = x->scratch->len;
	if (!decode(x))
		return none;
	return (struct hf_str){(const char *)x->scratch->p + before, x->scratch->len - before};
}

uint64_t
hf_xml_u64(struct hf_xml *x)
{
	struct hf_str s = hf_xml_text(x);
	uint64_t value = 0;

	if (x->error == NULL && s.len == 0)
		fail(x, "a number is missing");
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, digit, &value)) {
			fail(x, "not a number");
			return 0;
		}
	}
	return value;
}

/* ---- elements ---- */

bool
hf_xml_child(struct hf_xml *x, struct hf_str *name)
{
	if (x->error != NULL || (x->depth == 0 && x->has_root))
		return false;
	if (x->is_empty) {
		x->is_empty = false;
		x->depth--;
		return false;
	}
	for (;;) {
		const char *next = memchr(x->p, '<', left(x));

		if (next == NULL)
			return fail(x, "it ends in the middle");
		x->p = next;
		switch (take_markup(x)) {
		case NONE:
		case CLOSED:
			return false;
		case OPENED:
			break;
		case CDATA:
			if (!skip_past(x, "]]>"))
				return false;
			continue;
		case OTHER:
			continue;
		}
		break;
	}
	x->has_root = true;
	*name = x->names[x->depth - 1];
	const char *colon = memrchr(name->p, ':', name->len);
	if (colon != NULL) {
		name->len -= (size_t)(colon + 1 - name->p);
		name->p = colon + 1;
	}
	return true;
}

void
hf_xml_skip(struct hf_xml *x)
{
	unsigned depth = x->depth;
	struct hf_str name;

	while (x->error == NULL && x->depth >= depth && depth > 0)
		(void)hf_xml_child(x, &name);
}

struct hf_err *
hf_xml_end(struct hf_xml *x)
{
	if (x->error == NULL && (x->depth > 0 || !x->has_root))
		fail(x, "it ends in the middle");
	skip_space(x);
	while (x->error == NULL && x->p < x->end) {
		if (*x->p != '<' || take_markup(x) != OTHER)
			fail(x, "something follows its end");
		skip_space(x);
	}
	if (x->error != NULL)
		return hf_err(HF_ECORRUPT, "XML: %s, near byte %zu", x->error,
			(size_t)(x->p - x->start));
	return NULL;
}
