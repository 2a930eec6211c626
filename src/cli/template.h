/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines in a form that the user chose, as Borg's --format: text with placeholders such as {path},
 * which what is printed gives values for. The language is the part of Python's format strings that
 * makes sense here:
 *
 *	{size}		the value
 *	{size:10}	at least ten characters wide; numbers to the right, all else to the left
 *	{user:<8}	to the left; > to the right, ^ in the middle; a character before it fills
 *	{size:010}	a number filled with zeros
 *	{path:.20}	not more than twenty characters of it
 *	{mtime:%Y}	a time as strftime(3) writes it
 *	{{ }}		the braces themselves
 *	{NL} {LF} {NEWLINE} {TAB} {NUL} {CR} {SPACE}
 *			these characters. None is added by itself, not even at the end.
 *
 * Widths count characters of UTF-8. A template is immutable; any thread.
 */
#ifndef HF_CLI_TEMPLATE_H
#define HF_CLI_TEMPLATE_H

#include "base/buf.h"
#include "base/time.h"

enum hf_template_kind { HF_TEMPLATE_TEXT, HF_TEMPLATE_NUMBER, HF_TEMPLATE_TIME };

/* What can stand between braces. A table of them ends with a name that is NULL. */
struct hf_template_key {
	const char *name;
	enum hf_template_kind kind;
};

/* The member that belongs to the kind of the key. */
struct hf_template_value {
	struct hf_str text; /* until the next value is asked for */
	uint64_t number;
	struct hf_time time;
};

/* `key` is an index into the table. `out` begins zeroed. */
typedef void hf_template_fn(void *arg, size_t key, struct hf_template_value *out);

struct hf_template;

/*
 * `keys` must stay valid. HF_EINVAL: the text is malformed, or it names a key that is not in the
 * table; the error says what there is.
 */
struct hf_err *hf_template_parse(
	const char *text, const struct hf_template_key *keys, struct hf_template **out) HF_MUST;
void hf_template_free(struct hf_template *t);
HF_AUTOPTR(hf_template)

/* Appends the text with the values in it; with `is_shown` made safe for a terminal. */
void hf_template_add(const struct hf_template *t, hf_template_fn *get, void *arg, bool is_shown,
	struct hf_buf *out);

#endif
