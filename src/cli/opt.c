/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of options. A value is set by one function, wherever it comes from. */
#include "cli/opt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"

enum { MAX_NAME = 64 };

void
hf_args_clear(struct hf_args *a)
{
	free(a->v);
	*a = (struct hf_args){0};
}

bool
hf_opt_takes_value(const struct hf_opt *o)
{
	return o->kind != HF_OPT_IS_FLAG && o->kind != HF_OPT_IS_COUNT;
}

static bool
exists(const struct hf_opts *table, const struct hf_opt *o)
{
	return !o->is_ours || !table->hides_ours;
}

/* "-v, --verbose", as messages name an option. */
struct opt_text {
	char s[MAX_NAME + 8];
};

static struct opt_text
opt_text(const struct hf_opt *o)
{
	struct opt_text t;

	if (o->letter != 0)
		snprintf(t.s, sizeof t.s, "-%c, --%s", o->letter, o->name);
	else
		snprintf(t.s, sizeof t.s, "--%s", o->name);
	return t;
}

bool
hf_parse_uint(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	}
	if (v > max)
		return false;
	*out = v;
	return true;
}

static bool
parse_int(const char *s, int64_t *out)
{
	bool is_negative = *s == '-';
	uint64_t v;

	if (*s == '-' || *s == '+')
		s++;
	if (!hf_parse_uint(s, INT64_MAX, &v))
		return false;
	*out = is_negative ? -(int64_t)v : (int64_t)v;
	return true;
}

bool
hf_parse_size(const char *s, uint64_t *out)
{
	size_t len = strlen(s);
	char digits[32];
	uint64_t v;
	unsigned shift = 0;

	if (len == 0 || len >= sizeof digits)
		return false;
	switch (s[len - 1]) {
	case 't':
	case 'T':
		shift += 10; /* fallthrough */
	case 'g':
	case 'G':
		shift += 10; /* fallthrough */
	case 'm':
	case 'M':
		shift += 10; /* fallthrough */
	case 'k':
	case 'K':
		shift += 10; /* fallthrough */
	case 'b':
	case 'B':
		len--;
	}
	memcpy(digits, s, len);
	digits[len] = '\0';
	if (!hf_parse_uint(digits, INT64_MAX, &v) || v > (uint64_t)INT64_MAX >> shift)
		return false;
	*out = v << shift;
	return true;
}

/* The number of word `s` in "one|two|three=drei". */
static bool
parse_word(const char *words, const char *s, unsigned *out)
{
	size_t len = strlen(s);

	for (unsigned i = 0;; i++) {
		size_t group = strcspn(words, "|");
		const char *end = words + group;

		for (const char *w = words; w < end;) {
			size_t n = 0;

			while (w + n < end && w[n] != '=')
				n++;
			if (n == len && memcmp(w, s, n) == 0) {
				*out = i;
				return true;
			}
			w += n + (w + n < end);
		}
		if (*end == '\0')
			return false;
		words = end + 1;
	}
}

/* Splits at commas; a part in double quotes may contain them, as in CSV. */
static void
add_comma_list(struct hf_strings *list, const char *s)
{
	hf_auto(hf_buf) part = HF_BUF_MAX(1 << 20);
	bool in_quotes = false;

	for (;; s++) {
		if (*s == '"' && (in_quotes || part.len == 0)) {
			if (in_quotes && s[1] == '"')
				hf_buf_add_char(&part, *s++);
			else
				in_quotes = !in_quotes;
		} else if (*s == '\0' || (*s == ',' && !in_quotes)) {
			hf_buf_add_char(&part, '\0');
			hf_strings_add(list, (const char *)part.p);
			hf_buf_reset(&part);
			if (*s == '\0')
				return;
		} else {
			hf_buf_add_char(&part, *s);
		}
	}
}

static struct hf_err *
bad_value(const char *kind, const char *value)
{
	return hf_err(HF_EINVAL, "\"%s\" is not %s", value, kind);
}

/* Sets the option to `value`, which is NULL when a flag was given without one. */
static struct hf_err *
set_value(const struct hf_opt *o, void *into, const char *value)
{
	void *p = (char *)into + o->off;
	uint64_t u;

	switch (o->kind) {
	case HF_OPT_IS_FLAG:
		if (value == NULL)
			*(bool *)p = true;
		else if (!hf_text_bool(value, p))
			return bad_value("true or false", value);
		return NULL;
	case HF_OPT_IS_COUNT:
		if (value == NULL) {
			++*(unsigned *)p;
			return NULL;
		}
		if (!hf_parse_uint(value, 1000, &u))
			return bad_value("a number", value);
		*(unsigned *)p = (unsigned)u;
		return NULL;
	case HF_OPT_IS_STRING:
		free(*(char **)p);
		*(char **)p = hf_str_dup(hf_str(value));
		return NULL;
	case HF_OPT_IS_LIST:
		hf_strings_add(p, value);
		return NULL;
	case HF_OPT_IS_COMMA_LIST:
		add_comma_list(p, value);
		return NULL;
	case HF_OPT_IS_INT:
		return parse_int(value, p) ? NULL : bad_value("a number", value);
	case HF_OPT_IS_UINT:
		return hf_parse_uint(value, UINT32_MAX, p)
			       ? NULL
			       : bad_value("a number from 0 on", value);
	case HF_OPT_IS_SIZE:
		return hf_parse_size(value, p)
			       ? NULL
			       : bad_value("a size such as 300, 20k or 5M", value);
	case HF_OPT_IS_SECONDS:
		return hf_duration_parse(value, p)
			       ? NULL
			       : bad_value("a duration such as 90s, 5m or 1h30m", value);
	case HF_OPT_IS_WORD:
		if (!parse_word(o->words, value, p))
			return hf_err(HF_EINVAL, "\"%s\" is none of (%s)", value, o->words);
		return NULL;
	}
	return NULL;
}

void
hf_opt_defaults(const struct hf_opts *opts)
{
	for (size_t i = 0; i < opts->n; i++) {
		const struct hf_opt *o = &opts->v[i];

		if (o->def == NULL)
			continue;
		hf_autoptr(hf_err) e = set_value(o, opts->into, o->def);

		if (e != NULL)
			abort(); /* a mistake in the table, and the tests look at all of them */
	}
}

void
hf_opt_clear(const struct hf_opts *opts)
{
	for (size_t i = 0; i < opts->n; i++) {
		void *p = (char *)opts->into + opts->v[i].off;

		if (opts->v[i].kind == HF_OPT_IS_STRING) {
			free(*(char **)p);
			*(char **)p = NULL;
		} else if (opts->v[i].kind == HF_OPT_IS_LIST ||
			   opts->v[i].kind == HF_OPT_IS_COMMA_LIST) {
			hf_strings_clear(p);
		}
	}
}

bool
hf_opt_is_given(const struct hf_opts *opts, const char *name)
{
	for (size_t i = 0; i < opts->n; i++)
		if (strcmp(opts->v[i].name, name) == 0)
			return opts->given[i];
	return false;
}

struct parser {
	const struct hf_opts *tables;
	size_t n_tables;
	bool may_skip;
	hf_opt_note_fn *note;
	void *note_arg;
	int argc;
	char *const *argv;
	int next; /* first argument that nobody has looked at */
};

struct found {
	const struct hf_opts *table;
	size_t number;
	const struct hf_opt *opt;
};

static bool
find(const struct parser *p, const char *name, size_t len, char letter, struct found *out)
{
	for (size_t t = 0; t < p->n_tables; t++) {
		for (size_t i = 0; i < p->tables[t].n; i++) {
			const struct hf_opt *o = &p->tables[t].v[i];

			if (!exists(&p->tables[t], o))
				continue;
			bool is_it = name != NULL ? strlen(o->name) == len &&
							    memcmp(o->name, name, len) == 0
						  : o->letter == letter;

			if (is_it) {
				*out = (struct found){&p->tables[t], i, o};
				return true;
			}
		}
	}
	return false;
}

static struct hf_err *
set_found(struct parser *p, const struct found *f, const char *value)
{
	char text[256];
	struct hf_err *e;

	if (f->opt->instead != NULL && p->note != NULL) {
		snprintf(text, sizeof text, "Flag --%s has been deprecated, %s", f->opt->name,
			f->opt->instead);
		p->note(p->note_arg, text);
	}
	/* What the default had put into a list goes when the user says something. */
	if (!f->table->given[f->number] && f->opt->def != NULL &&
		(f->opt->kind == HF_OPT_IS_LIST || f->opt->kind == HF_OPT_IS_COMMA_LIST))
		hf_strings_clear((void *)((char *)f->table->into + f->opt->off));
	f->table->given[f->number] = true;
	e = set_value(f->opt, f->table->into, value);
	return hf_err_in(e, "invalid argument for \"%s\"", opt_text(f->opt).s);
}

static struct hf_err *
parse_long(struct parser *p, const char *word)
{
	size_t len = strcspn(word, "=");
	const char *value = word[len] == '=' ? word + len + 1 : NULL;
	struct found f;

	if (!find(p, word, len, 0, &f)) {
		if (p->may_skip)
			return NULL;
		return hf_err(HF_EINVAL, "unknown flag: --%.*s", (int)len, word);
	}
	if (value == NULL && hf_opt_takes_value(f.opt)) {
		if (p->next >= p->argc)
			return hf_err(HF_EINVAL, "flag needs an argument: --%s", f.opt->name);
		value = p->argv[p->next++];
	}
	return set_found(p, &f, value);
}

static struct hf_err *
parse_short(struct parser *p, const char *word)
{
	for (const char *s = word; *s != '\0';) {
		struct found f;
		const char *value = NULL;
		char letter = *s++;

		if (!find(p, NULL, 0, letter, &f)) {
			if (p->may_skip)
				return NULL;
			return hf_err(
				HF_EINVAL, "unknown shorthand flag: '%c' in -%s", letter, word);
		}
		if (*s == '=' && s[1] != '\0') {
			value = s + 1;
		} else if (hf_opt_takes_value(f.opt)) {
			if (*s != '\0')
				value = s;
			else if (p->next < p->argc)
				value = p->argv[p->next++];
			else
				return hf_err(HF_EINVAL, "flag needs an argument: '%c' in -%s",
					letter, word);
		}
		HF_TRY(set_found(p, &f, value));
		if (value != NULL)
			return NULL;
	}
	return NULL;
}

struct hf_err *
hf_opt_parse(const struct hf_opts *tables, size_t n_tables, int argc, char *const *argv,
	bool may_skip, hf_opt_note_fn *note, void *note_arg, struct hf_args *args)
{
	struct parser p = {tables, n_tables, may_skip, note, note_arg, argc, argv, 0};
	hf_auto(hf_args) rest = {0};

	rest.v = hf_alloc_((size_t)argc + 1, sizeof *rest.v);
	while (p.next < argc) {
		const char *word = argv[p.next++];

		if (word[0] != '-' || word[1] == '\0') {
			rest.v[rest.len++] = word;
		} else if (strcmp(word, "--") == 0) {
			while (p.next < argc)
				rest.v[rest.len++] = argv[p.next++];
		} else if (word[1] == '-') {
			HF_TRY(parse_long(&p, word + 2));
		} else {
			HF_TRY(parse_short(&p, word + 1));
		}
	}
	*args = rest;
	rest = (struct hf_args){0};
	return NULL;
}

struct hf_err *
hf_opt_env(
	const struct hf_opts *tables, size_t n_tables, hf_opt_getenv_fn *get, const void *arg)
{
	for (size_t t = 0; t < n_tables; t++) {
		for (size_t i = 0; i < tables[t].n; i++) {
			const struct hf_opt *o = &tables[t].v[i];
			const char *value;

			if (o->env == NULL || tables[t].given[i])
				continue;
			value = get(arg, o->env);
			if (value == NULL || *value == '\0')
				continue;
			HF_TRY(hf_err_in(set_value(o, tables[t].into, value),
				"invalid value for RESTIC_%s", o->env));
		}
	}
	return NULL;
}

/* Appends `text` at column `indent`, broken at blanks so that lines end before `width`. */
static void
add_wrapped(struct hf_buf *out, size_t indent, size_t width, const char *text)
{
	size_t column = indent;
	bool is_first = true;

	while (*text != '\0') {
		size_t word = strcspn(text, " ");

		if (!is_first && column + 1 + word > width) {
			hf_buf_addf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!is_first) {
			hf_buf_add_char(out, ' ');
			column++;
		}
		hf_buf_add(out, text, word);
		column += word;
		text += word;
		text += strspn(text, " ");
		is_first = false;
	}
	hf_buf_add_char(out, '\n');
}

/* The sentence with what the table knows besides: words, default, variable, repetition. */
static void
add_explanation(struct hf_buf *out, const struct hf_opt *o)
{
	hf_buf_add_str(out, o->help);
	if (o->kind == HF_OPT_IS_WORD && strstr(o->help, o->words) == NULL)
		hf_buf_addf(out, ", one of (%s)", o->words);
	if (o->kind == HF_OPT_IS_LIST || o->kind == HF_OPT_IS_COMMA_LIST)
		hf_buf_add_str(out, " (can be specified multiple times)");
	if (o->env != NULL && o->def != NULL)
		hf_buf_addf(out, " (default: $RESTIC_%s or %s)", o->env, o->def);
	else if (o->env != NULL)
		hf_buf_addf(out, " (default: $RESTIC_%s)", o->env);
	else if (o->def != NULL)
		hf_buf_addf(out, " (default: %s)", o->def);
}

bool
hf_opt_is_shown(const struct hf_opt *o)
{
	return !o->is_hidden && o->instead == NULL;
}

static bool
is_shown(const struct hf_opts *table, const struct hf_opt *o)
{
	return exists(table, o) && hf_opt_is_shown(o);
}

static size_t
names_width(const struct hf_opt *o)
{
	return 8 + strlen(o->name) + (hf_opt_takes_value(o) ? 1 + strlen(o->arg) : 0);
}

void
hf_opt_help(const struct hf_opts *opts, size_t width, struct hf_buf *out)
{
	size_t column = 0;

	for (size_t i = 0; i < opts->n; i++)
		if (is_shown(opts, &opts->v[i]) && names_width(&opts->v[i]) > column)
			column = names_width(&opts->v[i]);
	column = column > 32 ? 32 : column + 3;

	for (size_t i = 0; i < opts->n; i++) {
		const struct hf_opt *o = &opts->v[i];
		hf_auto(hf_buf) text = HF_BUF_MAX(4096);
		size_t start = out->len;

		if (!is_shown(opts, o))
			continue;
		if (o->letter != 0)
			hf_buf_addf(out, "  -%c, --%s", o->letter, o->name);
		else
			hf_buf_addf(out, "      --%s", o->name);
		if (hf_opt_takes_value(o))
			hf_buf_addf(out, " %s", o->arg);
		if (out->len - start + 2 > column)
			hf_buf_addf(out, "\n%*s", (int)column, "");
		else
			hf_buf_addf(out, "%*s", (int)(column - (out->len - start)), "");
		add_explanation(&text, o);
		hf_buf_add_char(&text, '\0');
		add_wrapped(out, column, width, text.is_full ? o->help : (const char *)text.p);
	}
}

/* Text in which nothing may look like markup to scdoc. */
static void
add_scdoc_text(struct hf_buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (strchr("\\*_#[]", s[i]) != NULL)
			hf_buf_add_char(out, '\\');
		hf_buf_add_char(out, s[i]);
	}
}

void
hf_opt_scdoc(const struct hf_opts *opts, struct hf_buf *out)
{
	for (size_t i = 0; i < opts->n; i++) {
		const struct hf_opt *o = &opts->v[i];
		hf_auto(hf_buf) text = HF_BUF_MAX(4096);

		if (!is_shown(opts, o))
			continue;
		if (o->letter != 0)
			hf_buf_addf(out, "*-%c*, ", o->letter);
		hf_buf_addf(out, "*--%s*", o->name);
		if (hf_opt_takes_value(o)) {
			hf_buf_add_str(out, " _");
			for (const char *s = o->arg; *s != '\0'; s++) {
				if (strchr("\\*_#[]", *s) != NULL)
					hf_buf_add_char(out, '\\');
				hf_buf_add_char(out, *s);
			}
			hf_buf_add_char(out, '_');
		}
		hf_buf_add_str(out, "\n\t");
		add_explanation(&text, o);
		if (text.len > 0 && text.p[0] >= 'a' && text.p[0] <= 'z')
			text.p[0] = (uint8_t)(text.p[0] - 'a' + 'A');
		add_scdoc_text(out, (const char *)text.p, text.len);
		hf_buf_add_str(out, ".\n\n");
	}
}
