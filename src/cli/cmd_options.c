/* SPDX-License-Identifier: BSD-2-Clause */
/* options: what can be given with -o. */
#include "cli/commands.h"
#include "cli/lease_opts.h"

#include <stdio.h>

enum { MAX_OPTIONS = 64 };

struct entry {
	char *key, *text;
};

struct list {
	struct hf_cli *cli;
	struct entry v[MAX_OPTIONS];
	size_t len;
};

static void
list_clear(struct list *l)
{
	for (size_t i = 0; i < l->len; i++) {
		free(l->v[i].key);
		free(l->v[i].text);
	}
}

static void
add(void *arg, const char *key, const char *text, bool is_ours)
{
	struct list *l = arg;

	if (l->len == MAX_OPTIONS || (is_ours && l->cli->is_restic))
		return;
	size_t len = strcspn(text, "\n");
	struct entry *e = &l->v[l->len++];
	*e = (struct entry){hf_str_dup(hf_str(key)), NULL};
	if (text[len] == '\0' || l->cli->is_restic)
		e->text = hf_str_dup((struct hf_str){text, len});
	else if (asprintf(&e->text, "%.*s (%s)", (int)len, text, text + len + 1) < 0)
		abort();
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(list) l = {.cli = cli};
	size_t width = 0;

	(void)opts;
	(void)args;
	hf_extended_options(add, &l);
	qsort(l.v, l.len, sizeof *l.v, by_key);
	for (size_t i = 0; i < l.len; i++)
		if (strlen(l.v[i].key) > width)
			width = strlen(l.v[i].key);
	hf_say(cli->out, HF_SAY_DATA, "All Extended Options:");
	for (size_t i = 0; i < l.len; i++)
		hf_say(cli->out, HF_SAY_DATA, "  %-*s  %s", (int)width, l.v[i].key,
			l.v[i].text);
	return NULL;
}

const struct hf_command hf_cmd_options = {
	.name = "options",
	.usage = "[flags]",
	.summary = "List the extended options",
	.text = "Lists what can be given with --option: for the places where repositories can "
		"be, and\nfor what stands between them and the program.",
	.run = run,
};
