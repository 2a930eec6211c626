/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/template.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli/format.h"

enum { MAX_WIDTH = 4096, MAX_CLOCK = 128, MAX_TEXT = 64 << 10 };

/* A stretch of text, or a placeholder. */
struct piece {
	bool is_key;
	struct hf_str text; /* into the template's own copy */
	size_t key;
	struct hf_str fill; /* one character; empty: a space */
	char align;         /* < > ^ or 0 */
	uint64_t width;
	bool has_most;
	uint64_t most; /* characters of the value */
	char *clock;   /* for strftime(); owned, or NULL */
};

struct hf_template {
	const struct hf_template_key *keys;
	char *text; /* what the user wrote */
	struct piece *v;
	size_t len, cap;
};

void
hf_template_free(struct hf_template *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->len; i++)
		free(t->v[i].clock);
	free(t->v);
	free(t->text);
	free(t);
}

static struct piece *
add_piece(struct hf_template *t)
{
	if (t->len == t->cap) {
		t->cap = t->cap != 0 ? 2 * t->cap : 16;
		t->v = reallocarray(t->v, t->cap, sizeof *t->v);
		if (t->v == NULL)
			abort();
	}
	t->v[t->len] = (struct piece){0};
	return &t->v[t->len++];
}

static void
add_text(struct hf_template *t, const char *p, size_t len)
{
	if (len > 0)
		add_piece(t)->text = (struct hf_str){p, len};
}

static const struct {
	const char *name, *text;
} characters[] = {{"NL", "\n"}, {"LF", "\n"}, {"NEWLINE", "\n"}, {"TAB", "\t"}, {"NUL", ""},
	{"CR", "\r"}, {"SPACE", " "}};
enum { N_CHARACTERS = sizeof characters / sizeof characters[0] };

static struct hf_err *
unknown_key(const struct hf_template *t, struct hf_str name)
{
	hf_auto(hf_buf) known = HF_BUF_MAX(4096);
	hf_autofree char *shown = hf_shown_name(name);

	for (const struct hf_template_key *k = t->keys; k->name != NULL; k++)
		hf_buf_addf(&known, "{%s} ", k->name);
	for (size_t i = 0; i < N_CHARACTERS; i++)
		hf_buf_addf(&known, "%s{%s}", i > 0 ? " " : "", characters[i].name);
	return hf_err(HF_EINVAL, "--format: there is no {%s}\nThese there are: %.*s", shown,
		(int)known.len, (const char *)known.p);
}

static bool
is_align(char c)
{
	return c == '<' || c == '>' || c == '^';
}

/* Bytes of the character of UTF-8 at `s`; 1 for what is none. */
static size_t
char_len(struct hf_str s)
{
	uint8_t c = s.len > 0 ? (uint8_t)s.p[0] : 0;
	size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1, n = 1;

	while (n < want && n < s.len && ((uint8_t)s.p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static void
skip(struct hf_str *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

static bool
parse_number(struct hf_str *s, uint64_t *out)
{
	size_t n = 0;

	*out = 0;
	for (; n < s->len && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
		*out = *out * 10 + (uint64_t)(s->p[n] - '0');
		if (*out > MAX_WIDTH)
			return false;
	}
	skip(s, n);
	return true;
}

/* "[[fill]align][0][width][.precision][s|d]". */
static bool
parse_spec(struct hf_str s, enum hf_template_kind kind, struct piece *out)
{
	size_t n = char_len(s);

	if (s.len > n && is_align(s.p[n])) {
		out->fill = (struct hf_str){s.p, n};
		out->align = s.p[n];
		skip(&s, n + 1);
	} else if (s.len > 0 && is_align(s.p[0])) {
		out->align = s.p[0];
		skip(&s, 1);
	}
	if (s.len > 0 && s.p[0] == '0' && kind == HF_TEMPLATE_NUMBER && out->align == 0) {
		out->fill = (struct hf_str){s.p, 1};
		out->align = '>';
	}
	if (!parse_number(&s, &out->width))
		return false;
	if (s.len > 1 && s.p[0] == '.' && kind != HF_TEMPLATE_NUMBER) {
		skip(&s, 1);
		out->has_most = s.p[0] >= '0' && s.p[0] <= '9';
		if (!out->has_most || !parse_number(&s, &out->most))
			return false;
	}
	if (s.len == 1 && s.p[0] == (kind == HF_TEMPLATE_NUMBER ? 'd' : 's'))
		skip(&s, 1);
	return s.len == 0;
}

static bool
parse_clock(struct hf_str s, struct piece *out)
{
	if (s.len > MAX_CLOCK)
		return false;
	out->clock = hf_str_dup(s);
	return true;
}

/* What stands between two braces. */
static struct hf_err *
parse_key(struct hf_template *t, struct hf_str inner)
{
	const char *colon = memchr(inner.p, ':', inner.len);
	struct hf_str name = {inner.p, colon != NULL ? (size_t)(colon - inner.p) : inner.len};
	struct hf_str spec = {
		colon != NULL ? colon + 1 : "", colon != NULL ? inner.len - name.len - 1 : 0};
	struct piece *p;

	for (size_t i = 0; i < N_CHARACTERS; i++) {
		if (!hf_str_is(name, characters[i].name) || spec.len > 0)
			continue;
		add_text(t, characters[i].text, 1);
		return NULL;
	}
	for (size_t i = 0; t->keys[i].name != NULL; i++) {
		enum hf_template_kind kind = t->keys[i].kind;

		if (!hf_str_is(name, t->keys[i].name))
			continue;
		p = add_piece(t);
		p->is_key = true;
		p->key = i;
		if (kind == HF_TEMPLATE_TIME && memchr(spec.p, '%', spec.len) != NULL
				? parse_clock(spec, p)
				: parse_spec(spec, kind, p))
			return NULL;
		hf_autofree char *shown = hf_shown_name(inner);
		return hf_err(HF_EINVAL,
			"--format: what follows the colon in {%s} is no form of a value\n"
			"Such forms are {%s:20}, {%s:>20} and {%s:*^20}",
			shown, t->keys[i].name, t->keys[i].name, t->keys[i].name);
	}
	return unknown_key(t, name);
}

static struct hf_err *
parse(struct hf_template *t)
{
	const char *s = t->text;

	while (*s != '\0') {
		size_t n = strcspn(s, "{}");

		add_text(t, s, n);
		s += n;
		if (*s == '\0')
			break;
		if (s[1] == s[0]) {
			add_text(t, s, 1);
			s += 2;
			continue;
		}
		if (*s == '}')
			return hf_err(HF_EINVAL,
				"--format: a } without a { before it\nWrite }} for a brace");
		const char *end = s + 1 + strcspn(s + 1, "{}");

		if (*end != '}')
			return hf_err(HF_EINVAL,
				"--format: a { without a } behind it\nWrite {{ for a brace");
		HF_TRY(parse_key(t, (struct hf_str){s + 1, (size_t)(end - s - 1)}));
		s = end + 1;
	}
	return NULL;
}

struct hf_err *
hf_template_parse(
	const char *text, const struct hf_template_key *keys, struct hf_template **out)
{
	hf_autoptr(hf_template) t = hf_new(struct hf_template);

	if (strlen(text) > MAX_TEXT)
		return hf_err(HF_EINVAL, "--format: the text is too long");
	t->keys = keys;
	t->text = hf_str_dup(hf_str(text));
	HF_TRY(parse(t));
	*out = hf_steal(t);
	return NULL;
}

/* ---- values ---- */

static void
add_clock(struct hf_buf *out, const char *form, const struct hf_time *time)
{
	/* The form is the user's; a pointer, since the compiler wants to see forms. */
	size_t (*print)(char *, size_t, const char *, const struct tm *) = strftime;
	time_t sec = (time_t)time->sec;
	char text[1024];
	struct tm tm;

	if (localtime_r(&sec, &tm) != NULL)
		hf_buf_add(out, text, print(text, sizeof text, form, &tm));
}

static void
add_value(const struct piece *p, enum hf_template_kind kind, const struct hf_template_value *v,
	struct hf_buf *out)
{
	if (kind == HF_TEMPLATE_TEXT)
		hf_buf_add(out, v->text.p, v->text.len);
	else if (kind == HF_TEMPLATE_NUMBER)
		hf_buf_addf(out, "%" PRIu64, v->number);
	else if (p->clock != NULL)
		add_clock(out, p->clock, &v->time);
	else
		hf_buf_add_str(out, hf_format_time(&v->time).s);
}

/* Characters in `s`, of which *bytes hold the first `most`. */
static uint64_t
measure(struct hf_str s, const struct piece *p, size_t *bytes)
{
	uint64_t n = 0;

	*bytes = 0;
	while (*bytes < s.len && (!p->has_most || n < p->most)) {
		*bytes += char_len((struct hf_str){s.p + *bytes, s.len - *bytes});
		n++;
	}
	return n;
}

static void
fill(const struct piece *p, uint64_t n, struct hf_buf *out)
{
	for (; n > 0; n--)
		hf_buf_add(out, p->fill.len > 0 ? p->fill.p : " ",
			p->fill.len > 0 ? p->fill.len : 1);
}

static void
add_aligned(const struct piece *p, enum hf_template_kind kind, struct hf_str value,
	struct hf_buf *out)
{
	char align = p->align != 0 ? p->align : kind == HF_TEMPLATE_NUMBER ? '>' : '<';
	size_t bytes;
	uint64_t len = measure(value, p, &bytes);
	uint64_t room = len < p->width ? p->width - len : 0;
	uint64_t left = align == '>' ? room : align == '^' ? room / 2 : 0;

	fill(p, left, out);
	hf_buf_add(out, value.p, bytes);
	fill(p, room - left, out);
}

void
hf_template_add(const struct hf_template *t, hf_template_fn *get, void *arg, bool is_shown,
	struct hf_buf *out)
{
	hf_auto(hf_buf) raw = HF_BUF_MAX(64 << 20), safe = HF_BUF_MAX(256 << 20);

	for (size_t i = 0; i < t->len; i++) {
		const struct piece *p = &t->v[i];
		struct hf_template_value v = {0};

		if (!p->is_key) {
			hf_buf_add(out, p->text.p, p->text.len);
			continue;
		}
		get(arg, p->key, &v);
		hf_buf_reset(&raw);
		hf_buf_reset(&safe);
		add_value(p, t->keys[p->key].kind, &v, &raw);
		if (is_shown)
			hf_format_safe(&safe, hf_bytes_str(hf_buf_bytes(&raw)));
		add_aligned(p, t->keys[p->key].kind,
			hf_bytes_str(hf_buf_bytes(is_shown ? &safe : &raw)), out);
	}
}
