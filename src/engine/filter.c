/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Patterns are compiled to components of a few kinds, most of which are one memcmp(). A path is
 * cut once for all patterns, and three words say what its components look like, so that a
 * pattern that needs what is not there costs three comparisons and no more.
 */
#include "engine/filter.h"

#include "base/path.h"
#include "base/text.h"
#include "base/utf8.h"
#include "engine/glob.h"

enum part_kind {
	PART_LITERAL, /* text is the component */
	PART_PREFIX,  /* text, then anything */
	PART_SUFFIX,  /* anything, then text */
	PART_ANY,     /* one component */
	PART_DEEP,    /* any number of components */
	PART_GLOB,
};

struct part {
	enum part_kind kind;
	struct hf_str text; /* in the pattern's text */
};

/*
 * What is in a set of components, as bits: `whole` has one for length, first and last byte of
 * each, the others one for its first or last byte. A pattern that needs a bit which a path has
 * not cannot match it; the reverse says nothing.
 */
struct look {
	uint64_t whole, first, last;
};

struct pattern {
	char *text; /* owned */
	struct part *parts;
	size_t len;
	size_t min;  /* components that a path must have */
	size_t deep; /* the first part that is PART_DEEP, or len */
	size_t deeps;
	bool is_anchored, is_negated;
	struct look needs;
};

struct hf_filter {
	struct pattern *v;
	size_t len;
	bool folds_case, has_negated;
};

/* A path, cut at its slashes. */
struct cut {
	struct hf_str *v; /* `few`, or owned */
	size_t len;
	bool is_abs;
	struct look look;
	struct hf_buf folded;
	struct hf_str few[64];
};

static void
add_look(struct look *l, struct hf_str s)
{
	uint8_t first = s.len > 0 ? (uint8_t)s.p[0] : 0;
	uint8_t last = s.len > 0 ? (uint8_t)s.p[s.len - 1] : 0;

	l->whole |= UINT64_C(1) << ((s.len * 29 + first * 7u + last) & 63);
	l->first |= UINT64_C(1) << (first & 63);
	l->last |= UINT64_C(1) << (last & 63);
}

/* Appends `s` in lower case and a NUL. */
static void
fold(struct hf_buf *out, struct hf_str s)
{
	int32_t cp;

	while (s.len > 0) {
		size_t n = hf_utf8_next(s, &cp);

		hf_utf8_add(out, cp < 0 ? 0xFFFD : hf_utf8_lower(cp));
		s.p += n;
		s.len -= n;
	}
	hf_buf_add_char(out, '\0');
}

/* ---- compiling ---- */

static bool
is_special(char c)
{
	return c == '\\' || c == '[' || c == ']' || c == '*' || c == '?';
}

static bool
has_special(struct hf_str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (is_special(s.p[i]))
			return true;
	}
	return false;
}

static struct part
compile_part(struct hf_str s, struct look *needs)
{
	struct hf_str head = {s.p, s.len - (s.len > 0)}, tail = {s.p + 1, head.len};

	/* An empty component comes of the pattern "/" alone, which means everything. */
	if (s.len == 0 || hf_str_is(s, "**"))
		return (struct part){PART_DEEP, s};
	if (hf_str_is(s, "*"))
		return (struct part){PART_ANY, s};
	if (!has_special(s)) {
		add_look(needs, s);
		return (struct part){PART_LITERAL, s};
	}
	if (s.p[0] == '*' && !has_special(tail)) {
		needs->last |= UINT64_C(1) << ((uint8_t)s.p[s.len - 1] & 63);
		return (struct part){PART_SUFFIX, tail};
	}
	if (s.p[s.len - 1] == '*' && !has_special(head)) {
		needs->first |= UINT64_C(1) << ((uint8_t)s.p[0] & 63);
		return (struct part){PART_PREFIX, head};
	}
	return (struct part){PART_GLOB, s};
}

static size_t
count_char(const char *s, char c)
{
	size_t n = 0;

	while ((s = strchr(s, c)) != NULL) {
		s++;
		n++;
	}
	return n;
}

static char *
prepare_text(const char *text, bool folds_case)
{
	hf_auto(hf_buf) folded = HF_BUF_MAX(3 * strlen(text) + 1);

	if (!folds_case)
		return hf_path_clean(text);
	fold(&folded, hf_str(text));
	return hf_path_clean((const char *)folded.p);
}

/* False: malformed; *p is to be cleared all the same. */
static bool
compile(const char *text, bool folds_case, struct pattern *p)
{
	bool is_valid = true;

	p->is_negated = text[0] == '!';
	p->text = prepare_text(text + p->is_negated, folds_case);
	p->is_anchored = p->text[0] == '/';
	const char *at = p->text + p->is_anchored;

	p->parts = hf_alloc_(count_char(at, '/') + 1, sizeof *p->parts);
	for (;; at++) {
		struct hf_str s = {at, strcspn(at, "/")};

		is_valid = is_valid && hf_glob_is_valid(s);
		p->parts[p->len] = compile_part(s, &p->needs);
		if (p->parts[p->len++].kind == PART_DEEP)
			p->deeps++;
		else
			p->min++;
		at += s.len;
		if (*at == '\0')
			break;
	}
	while (p->deep < p->len && p->parts[p->deep].kind != PART_DEEP)
		p->deep++;
	return is_valid;
}

void
hf_filter_free(struct hf_filter *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->len; i++) {
		free(f->v[i].text);
		free(f->v[i].parts);
	}
	free(f->v);
	free(f);
}

struct hf_err *
hf_filter_new(const struct hf_strings *patterns, bool folds_case, struct hf_filter **out)
{
	hf_autoptr(hf_filter) f = hf_new(struct hf_filter);
	hf_auto(hf_buf) bad = HF_BUF_MAX(1 << 20);

	f->folds_case = folds_case;
	f->v = hf_alloc_(patterns->len + 1, sizeof *f->v);
	for (size_t i = 0; i < patterns->len; i++) {
		if (patterns->v[i][0] == '\0')
			continue;
		if (!compile(patterns->v[i], folds_case, &f->v[f->len]))
			hf_buf_addf(&bad, "\n%s", patterns->v[i]);
		f->has_negated |= f->v[f->len++].is_negated;
	}
	if (bad.len > 0)
		return hf_err(HF_EINVAL, "invalid pattern(s) provided:%.*s", (int)bad.len,
			(const char *)bad.p);
	*out = hf_steal(f);
	return NULL;
}

/* ---- matching ---- */

static void
cut_clear(struct cut *c)
{
	if (c->v != c->few)
		free(c->v);
	hf_buf_clear(&c->folded);
}

static void
cut_path(struct cut *c, const char *path, bool folds_case)
{
	c->folded = (struct hf_buf){0};
	if (folds_case) {
		c->folded.max = 3 * strlen(path) + 1;
		fold(&c->folded, hf_str(path));
		path = (const char *)c->folded.p;
	}
	c->is_abs = path[0] == '/';
	c->len = 0;
	c->look = (struct look){0};
	path += c->is_abs;
	size_t n = count_char(path, '/') + 1;
	c->v = n <= sizeof c->few / sizeof c->few[0] ? c->few : hf_alloc_(n, sizeof *c->v);
	for (;; path++) {
		const char *end = strchrnul(path, '/');
		struct hf_str s = {path, (size_t)(end - path)};

		add_look(&c->look, s);
		c->v[c->len++] = s;
		path = end;
		if (*end == '\0')
			return;
	}
}

static bool
part_matches(const struct part *p, struct hf_str s)
{
	switch (p->kind) {
	case PART_LITERAL:
		return p->text.len == s.len && memcmp(p->text.p, s.p, s.len) == 0;
	case PART_PREFIX:
		return p->text.len <= s.len && memcmp(p->text.p, s.p, p->text.len) == 0;
	case PART_SUFFIX:
		return p->text.len <= s.len &&
		       memcmp(p->text.p, s.p + s.len - p->text.len, p->text.len) == 0;
	case PART_ANY:
	case PART_DEEP:
		return true;
	case PART_GLOB:
		break;
	}
	return hf_glob_match(p->text, s);
}

static bool
lacks(uint64_t needed, uint64_t there)
{
	return (needed & ~there) != 0;
}

/* One component more: those places follow from which the component before could be reached. */
static void
reach_by_one(const struct part *p, const struct cut *c, bool *reached)
{
	for (size_t at = c->len; at > 0; at--)
		reached[at] = reached[at - 1] && part_matches(p, c->v[at - 1]);
	reached[0] = false;
}

/* Any number of components more, up to the place `last`. */
static void
reach_by_any(const struct cut *c, size_t last, bool *reached)
{
	bool any = false;

	for (size_t at = 0; at <= c->len; at++) {
		any = (any || reached[at]) && at <= last;
		reached[at] = any;
	}
}

/*
 * Whether the pattern, which has several **, matches with its run beginning at `from`. The set
 * of places that can be reached with the parts so far moves on part by part; a ** extends it up
 * to the last place that leaves one component for each ** behind it (see the header).
 */
static bool
matches_from(const struct pattern *p, const struct cut *c, size_t from, bool *reached)
{
	size_t there = c->len + c->is_abs, needed = p->min + p->is_anchored;
	size_t fixed = 0, deeps = p->deeps;

	memset(reached, 0, c->len + 1);
	reached[from] = true;
	for (size_t i = 0; i < p->len; i++) {
		if (p->parts[i].kind != PART_DEEP) {
			reach_by_one(&p->parts[i], c, reached);
			fixed++;
			continue;
		}
		if (there < needed + --deeps)
			return false;
		reach_by_any(c, from + fixed + there - needed - deeps, reached);
	}
	/* Nothing but ** takes one component at least. */
	size_t end = from + (p->min == 0 && !p->is_anchored);
	return memchr(reached + end, true, c->len + 1 - end) != NULL;
}

static bool
matches_several_deep(const struct pattern *p, const struct cut *c)
{
	hf_autofree bool *reached = hf_alloc_(c->len + 1, sizeof *reached);

	for (size_t from = 0; from < c->len; from++) {
		if (matches_from(p, c, from, reached))
			return true;
		if (p->is_anchored)
			break;
	}
	return false;
}

/*
 * As with stars in a component, only the last ** is ever given more. A pattern that is not
 * anchored has one in front of it.
 */
static bool
pattern_matches(const struct pattern *p, const struct cut *c)
{
	size_t part = 0, at = 0, deep_part = 0, deep_at = 0;
	bool has_deep = !p->is_anchored;

	if (p->min > c->len || lacks(p->needs.whole, c->look.whole) ||
		lacks(p->needs.last, c->look.last) || lacks(p->needs.first, c->look.first))
		return false;
	if (p->is_anchored && !c->is_abs)
		return false;
	if (p->deeps > 1)
		return matches_several_deep(p, c);
	while (part < p->len) {
		if (p->parts[part].kind == PART_DEEP) {
			deep_part = ++part;
			deep_at = at;
			has_deep = true;
			continue;
		}
		if (at == c->len)
			return false;
		if (part_matches(&p->parts[part], c->v[at])) {
			part++;
			at++;
			continue;
		}
		if (!has_deep)
			return false;
		part = deep_part;
		at = ++deep_at;
	}
	return true;
}

/* Whether the pattern could match something below: up to the first ** all must agree so far. */
static bool
child_may_match(const struct pattern *p, const struct cut *c)
{
	if (!p->is_anchored)
		return true;
	if (!c->is_abs)
		return false;
	for (size_t i = 0; i < p->deep && i < c->len; i++) {
		if (!part_matches(&p->parts[i], c->v[i]))
			return false;
	}
	return true;
}

/* The last pattern that matches decides, so that they are tried from the last on. */
bool
hf_filter_match(const struct hf_filter *f, const char *path)
{
	__attribute__((cleanup(cut_clear))) struct cut c;

	c.v = c.few;
	c.folded = (struct hf_buf){0};
	if (f == NULL || f->len == 0 || path[0] == '\0')
		return false;
	cut_path(&c, path, f->folds_case);
	for (size_t i = f->len; i-- > 0;) {
		if (pattern_matches(&f->v[i], &c))
			return !f->v[i].is_negated;
	}
	return false;
}

bool
hf_filter_match_child(const struct hf_filter *f, const char *path, bool *child)
{
	__attribute__((cleanup(cut_clear))) struct cut c;
	bool is_chosen = false;

	*child = false;
	c.v = c.few;
	c.folded = (struct hf_buf){0};
	if (f == NULL || f->len == 0 || path[0] == '\0')
		return false;
	cut_path(&c, path, f->folds_case);
	for (size_t i = 0; i < f->len; i++) {
		const struct pattern *p = &f->v[i];

		if (p->is_negated) {
			if ((is_chosen || *child) && pattern_matches(p, &c))
				is_chosen = *child = false;
			continue;
		}
		is_chosen = is_chosen || pattern_matches(p, &c);
		*child = *child || child_may_match(p, &c);
		if (is_chosen && *child && !f->has_negated)
			break;
	}
	return is_chosen;
}

/* ---- files of patterns ---- */

static bool
is_name_char(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static bool
is_special_variable(char c)
{
	return c != '\0' && strchr("*#$@!?-0123456789", c) != NULL;
}

/*
 * The variable's name behind a `$` at the beginning of `s`, and how many bytes it takes with
 * its braces. An empty name that takes bytes is a mistake and dropped; one that takes none
 * leaves the `$` as it is. These are the rules of Go's os.Expand.
 */
static size_t
variable_name(struct hf_str s, struct hf_str *name)
{
	size_t n = 0;

	*name = (struct hf_str){s.p, 0};
	if (s.p[0] == '{') {
		const char *end = memchr(s.p + 1, '}', s.len - 1);

		if (end == NULL)
			return 1; /* the brace alone is dropped */
		*name = (struct hf_str){s.p + 1, (size_t)(end - s.p - 1)};
		return name->len + 2;
	}
	if (is_special_variable(s.p[0])) {
		name->len = 1;
		return 1;
	}
	while (n < s.len && is_name_char(s.p[n]))
		n++;
	name->len = n;
	return n;
}

static void
expand(struct hf_str s, hf_filter_env_fn *env, void *arg, struct hf_buf *out)
{
	while (s.len > 0) {
		struct hf_str name;
		size_t n = 1;

		if (s.p[0] != '$' || s.len == 1) {
			hf_buf_add_char(out, s.p[0]);
		} else {
			size_t taken =
				variable_name((struct hf_str){s.p + 1, s.len - 1}, &name);
			hf_autofree char *z = hf_str_dup(name);

			n += taken;
			if (taken == 0 || hf_str_is(name, "$")) {
				hf_buf_add_char(out, '$');
			} else if (name.len > 0) {
				const char *value = env(arg, z);

				hf_buf_add_str(out, value != NULL ? value : "");
			}
		}
		s.p += n;
		s.len -= n;
	}
}

struct hf_err *
hf_filter_read(struct hf_bytes file, hf_filter_env_fn *env, void *arg, struct hf_strings *out)
{
	hf_auto(hf_buf) text = HF_BUF_SPOOL(3 * file.len + 16);
	hf_auto(hf_buf) pattern = HF_BUF_MAX(16 << 20);
	struct hf_str line, rest;

	hf_text_decode(file, &text);
	HF_TRY(hf_buf_ok(&text));
	rest = hf_bytes_str(hf_buf_bytes(&text));
	for (size_t nr = 1; hf_text_line(&rest, &line); nr++) {
		line = hf_text_trim(line);
		if (line.len == 0 || line.p[0] == '#')
			continue;
		if (memchr(line.p, '\0', line.len) != NULL)
			return hf_err(HF_EINVAL, "line %zu holds a NUL", nr);
		hf_buf_reset(&pattern);
		expand(line, env, arg, &pattern);
		HF_TRY(hf_buf_ok(&pattern));
		hf_strings_add_str(out, hf_bytes_str(hf_buf_bytes(&pattern)));
	}
	return NULL;
}
