/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of stopat, from its command line; its head comment says what they mean.
 */
#ifndef HF_CACHE_RULES_H
#define HF_CACHE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cache/calls.h"

enum { FAULT = 125, MAX_RULES = 16 };
enum when { ENTRY, EXIT, SUCCESS };

struct rule {
	const char *calls, *glob;
	char *below;
	bool only_interruptible, and_later;
	unsigned long nth, seen;
	enum when when;
	const char *hold; /* a folder */
	int fail;         /* an errno */
	FILE *log;
};

/* Says what is wrong and ends with FAULT. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);

/*
 * Reads the rules in front of the command, dies if there is something wrong with them. Returns how
 * many there are; `*command` is the index of the command.
 */
size_t rules_parse(int argc, char **argv, struct rule *rules, int *command);

/* Whether a call is one of the rule's; it has to be counted then. */
bool rule_matches(const struct rule *r, const struct call *c);

/* Whether the call of that number is what the rule waits for. */
bool rule_is_due(const struct rule *r, unsigned long number);

#endif
