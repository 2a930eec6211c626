/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/table.h"

#include "base/utf8.h"
#include "repo/snapshot.h" /* struct hf_strings */

enum { GAP = 2, MAX_LINE = 16 << 20 };

struct hf_table {
	size_t columns;
	struct hf_strings cells; /* the header first, then row by row */
	size_t *widths;
};

/* Line number `n` of a text; empty when there are fewer. */
static struct hf_str
line_of(const char *text, size_t n)
{
	while (n > 0 && *text != '\0') {
		text += strcspn(text, "\n");
		text += *text == '\n';
		n--;
	}
	return (struct hf_str){text, strcspn(text, "\n")};
}

static size_t
count_lines(const char *text)
{
	size_t n = 1;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

struct hf_table *
hf_table_new(const char *const *headers, size_t n)
{
	struct hf_table *t = hf_new(struct hf_table);

	t->columns = n;
	t->widths = hf_alloc_(n, sizeof *t->widths);
	for (size_t i = 0; i < n; i++)
		hf_table_add(t, headers[i]);
	return t;
}

void
hf_table_free(struct hf_table *t)
{
	if (t == NULL)
		return;
	hf_strings_clear(&t->cells);
	free(t->widths);
	free(t);
}

void
hf_table_add(struct hf_table *t, const char *text)
{
	size_t column = t->cells.len % t->columns, lines = count_lines(text);

	for (size_t i = 0; i < lines; i++) {
		size_t width = hf_utf8_width(line_of(text, i));

		if (width > t->widths[column])
			t->widths[column] = width;
	}
	hf_strings_add(&t->cells, text);
}

static void
add_blanks(struct hf_buf *line, size_t n)
{
	char blanks[64];

	memset(blanks, ' ', sizeof blanks);
	for (; n > sizeof blanks && !line->is_full; n -= sizeof blanks)
		hf_buf_add(line, blanks, sizeof blanks);
	hf_buf_add(line, blanks, n < sizeof blanks ? n : sizeof blanks);
}

static void
print_line(struct hf_str line, struct hf_out *out, bool is_err)
{
	if (is_err)
		hf_say_err(out, "%.*s", (int)line.len, line.p);
	else
		hf_say(out, HF_SAY_DATA, "%.*s", (int)line.len, line.p);
}

static void
print_row(const struct hf_table *t, size_t row, struct hf_buf *line, struct hf_out *out,
	bool is_err)
{
	char *const *cells = t->cells.v + row * t->columns;
	size_t lines = 1;

	for (size_t i = 0; i < t->columns; i++) {
		size_t n = count_lines(cells[i]);

		lines = n > lines ? n : lines;
	}
	for (size_t k = 0; k < lines; k++) {
		hf_buf_reset(line);
		for (size_t i = 0; i < t->columns; i++) {
			struct hf_str s = line_of(cells[i], k);

			hf_buf_add(line, s.p, s.len);
			add_blanks(line, t->widths[i] + GAP - hf_utf8_width(s));
		}
		while (line->len > 0 && line->p[line->len - 1] == ' ')
			line->len--;
		print_line(hf_bytes_str(hf_buf_bytes(line)), out, is_err);
	}
}

static void
print_rule(const struct hf_table *t, struct hf_out *out, bool is_err)
{
	hf_auto(hf_buf) line = HF_BUF_MAX(MAX_LINE);
	size_t width = GAP * (t->columns - 1);

	for (size_t i = 0; i < t->columns; i++)
		width += t->widths[i];
	while (line.len < width && !line.is_full)
		hf_buf_add_char(&line, '-');
	print_line(hf_bytes_str(hf_buf_bytes(&line)), out, is_err);
}

static void
print(const struct hf_table *t, bool is_spaced, struct hf_out *out, bool is_err)
{
	hf_auto(hf_buf) line = HF_BUF_MAX(MAX_LINE);
	size_t rows = t->cells.len / t->columns;

	print_row(t, 0, &line, out, is_err);
	print_rule(t, out, is_err);
	for (size_t i = 1; i < rows; i++) {
		if (is_spaced && i > 1)
			print_line(hf_str(""), out, is_err);
		print_row(t, i, &line, out, is_err);
	}
	print_rule(t, out, is_err);
}

void
hf_table_print(const struct hf_table *t, bool is_spaced, struct hf_out *out)
{
	print(t, is_spaced, out, false);
}

void
hf_table_print_err(const struct hf_table *t, struct hf_out *out)
{
	print(t, false, out, true);
}
