/* SPDX-License-Identifier: BSD-2-Clause */
#include "cache/rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"

void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("stopat: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(FAULT);
}

static bool
lists(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = names; *p != '\0';) {
		size_t n = strcspn(p, ",");
		if (n == len && memcmp(p, name, n) == 0)
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

static bool
is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/' || n == 1);
}

bool
rule_matches(const struct rule *r, const struct call *c)
{
	if (r->calls != NULL && !lists(r->calls, c->name))
		return false;
	if (r->only_interruptible && !c->may_be_interrupted)
		return false;
	for (int i = 0; i < 2; i++) {
		const char *path = c->paths[i];
		if (path != NULL && (r->glob == NULL || fnmatch(r->glob, path, 0) == 0) &&
			(r->below == NULL || is_below(path, r->below)))
			return true;
	}
	return false;
}

bool
rule_is_due(const struct rule *r, unsigned long number)
{
	return number == r->nth || (r->and_later && number > r->nth);
}

static int
parse_errno(const char *name)
{
	for (int i = 1; i < 200; i++) {
		const char *known = strerrorname_np(i);
		if (known != NULL && strcmp(known, name) == 0)
			return i;
	}
	die("%s is no errno", name);
}

static void
parse_nth(const char *text, struct rule *r)
{
	char *end;

	r->nth = strtoul(text, &end, 10);
	r->and_later = *end == '+';
	if (r->nth == 0 || end[r->and_later] != '\0')
		die("--nth %s", text);
}

static enum when
parse_when(const char *text)
{
	if (strcmp(text, "entry") == 0)
		return ENTRY;
	if (strcmp(text, "exit") == 0)
		return EXIT;
	if (strcmp(text, "success") == 0)
		return SUCCESS;
	die("--at %s", text);
}

static const char *
parse_calls(const char *names)
{
	for (const char *p = names; *p != '\0';) {
		size_t n = strcspn(p, ",");
		if (!call_is_known(p, n))
			die("--call %s: one is not known", names);
		p += n + (p[n] == ',');
	}
	return names;
}

static char *
parse_dir(const char *path)
{
	char *real = realpath(path, NULL);

	/* Not there yet: by its text. */
	if (real != NULL)
		return real;
	if (path[0] != '/')
		die("--below %s: not absolute, and not there", path);
	return hf_path_clean(path);
}

static FILE *
open_log(const char *path)
{
	FILE *f = fopen(path, "we");

	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	return f;
}

static void
end_rule(struct rule *rules, size_t *n, struct rule *r)
{
	if (*n == MAX_RULES)
		die("too many rules");
	if (r->fail != 0 && r->when != ENTRY)
		die("a call that has ended cannot fail");
	rules[(*n)++] = *r;
	*r = (struct rule){.nth = 1};
}

size_t
rules_parse(int argc, char **argv, struct rule *rules, int *command)
{
	static const struct option options[] = {
		{"call", required_argument, NULL, 'c'},
		{"path", required_argument, NULL, 'p'},
		{"below", required_argument, NULL, 'b'},
		{"interruptible", no_argument, NULL, 'i'},
		{"nth", required_argument, NULL, 'n'},
		{"at", required_argument, NULL, 'a'},
		{"hold", required_argument, NULL, 'h'},
		{"fail", required_argument, NULL, 'f'},
		{"log", required_argument, NULL, 'l'},
		{NULL, 0, NULL, 0},
	};
	struct rule r = {.nth = 1};
	size_t n = 0;

	for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			r.calls = parse_calls(optarg);
			break;
		case 'p':
			r.glob = optarg;
			break;
		case 'b':
			r.below = parse_dir(optarg);
			break;
		case 'i':
			r.only_interruptible = true;
			break;
		case 'n':
			parse_nth(optarg, &r);
			break;
		case 'a':
			r.when = parse_when(optarg);
			break;
		case 'h':
			r.hold = optarg;
			break;
		case 'f':
			r.fail = parse_errno(optarg);
			break;
		case 'l':
			r.log = open_log(optarg);
			break;
		default:
			exit(FAULT);
		}
		if (r.hold != NULL || r.fail != 0 || r.log != NULL)
			end_rule(rules, &n, &r);
	}
	if (r.calls != NULL || r.glob != NULL || r.below != NULL || r.only_interruptible ||
		optind == argc)
		die("usage: stopat [--call NAME,...] [--path GLOB] [--below DIR] "
		    "[--interruptible] [--nth N[+]]"
		    " [--at entry|exit|success] {--hold DIR | --fail ERRNO | --log FILE} ... "
		    "-- COMMAND...");
	*command = optind;
	return n;
}
