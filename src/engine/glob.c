/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/glob.h"

#include "base/utf8.h"

static void
advance(struct hf_str *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

/* The next character of `s`, which is not empty. */
static int32_t
next_char(struct hf_str *s)
{
	int32_t cp;

	advance(s, hf_utf8_next(*s, &cp));
	return cp < 0 ? 0xFFFD : cp;
}

/* One end of a range inside a set; more must follow it. False: malformed. */
static bool
next_in_set(struct hf_str *s, int32_t *cp)
{
	if (s->len == 0 || s->p[0] == '-' || s->p[0] == ']')
		return false;
	if (s->p[0] == '\\')
		advance(s, 1);
	if (s->len == 0)
		return false;
	size_t n = hf_utf8_next(*s, cp);
	advance(s, n);
	return *cp >= 0 && s->len > 0;
}

/* Takes a set, behind its `[`, off the pattern. False: malformed. */
static bool
take_set(struct hf_str *pattern, int32_t cp, bool *has)
{
	bool is_negated = pattern->len > 0 && pattern->p[0] == '^', hit = false;
	int32_t from, to;

	if (is_negated)
		advance(pattern, 1);
	for (size_t ranges = 0;; ranges++) {
		if (ranges > 0 && pattern->len > 0 && pattern->p[0] == ']')
			break;
		if (!next_in_set(pattern, &from))
			return false;
		to = from;
		if (pattern->p[0] == '-') {
			advance(pattern, 1);
			if (!next_in_set(pattern, &to))
				return false;
		}
		hit |= from <= cp && cp <= to;
	}
	advance(pattern, 1);
	*has = hit != is_negated;
	return true;
}

bool
hf_glob_is_valid(struct hf_str pattern)
{
	bool has;

	while (pattern.len > 0) {
		char c = pattern.p[0];

		advance(&pattern, 1);
		if (c == '[' && !take_set(&pattern, 0, &has))
			return false;
		if (c == '\\') {
			if (pattern.len == 0)
				return false;
			advance(&pattern, 1);
		}
	}
	return true;
}

/*
 * Takes what is next in the pattern, which is no star, off both. False: it does not match; both
 * are then undefined.
 */
static bool
take_one(struct hf_str *pattern, struct hf_str *name)
{
	char c = pattern->p[0];
	bool has;

	if (name->len == 0)
		return false;
	advance(pattern, 1);
	if (c == '?') {
		next_char(name);
		return true;
	}
	if (c == '[')
		return take_set(pattern, next_char(name), &has) && has;
	if (c == '\\') {
		if (pattern->len == 0)
			return false;
		c = pattern->p[0];
		advance(pattern, 1);
	}
	has = name->p[0] == c;
	advance(name, 1);
	return has;
}

/*
 * Only the last star is ever given more: if an earlier one could make a match by taking more,
 * then so could the last.
 */
bool
hf_glob_match(struct hf_str pattern, struct hf_str name)
{
	struct hf_str star_pattern = {0}, star_name = {0};
	bool has_star = false;

	while (pattern.len > 0 || name.len > 0) {
		if (pattern.len > 0 && pattern.p[0] == '*') {
			advance(&pattern, 1);
			if (pattern.len == 0)
				return true;
			star_pattern = pattern;
			star_name = name;
			has_star = true;
			continue;
		}
		if (pattern.len > 0 && take_one(&pattern, &name))
			continue;
		if (!has_star || star_name.len == 0)
			return false;
		advance(&star_name, 1);
		pattern = star_pattern;
		name = star_name;
	}
	return true;
}
