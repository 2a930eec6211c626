/* SPDX-License-Identifier: BSD-2-Clause */
/* cache: shows the caches on this machine, and removes those that nobody uses any more. */
#include <stdio.h>
#include <time.h>

#include "base/time.h"
#include "cli/cache.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/table.h"
#include "codec/json.h"

struct cache_options {
	bool cleanup, no_size;
	uint64_t max_age;
};

static const struct hf_opt options[] = {
	{"cleanup", 0, HF_OPT_FLAG(struct cache_options, cleanup),
		.help = "remove old cache directories"},
	{"max-age", 0, HF_OPT_UINT(struct cache_options, max_age), .arg = "days", .def = "30",
		.help = "how long ago a cache directory was used for the last time, in days, "
			"to "
			"count as old"},
	{"no-size", 0, HF_OPT_FLAG(struct cache_options, no_size),
		.help = "do not output the size of the cache directories"},
};

struct cache {
	struct hf_cli *cli;
	const struct cache_options *o;
	struct hf_caches all;
	struct hf_jout actions;
};

/* restic's has no JSON. */
static bool
is_json(const struct cache *c)
{
	return c->cli->global.is_json && !c->cli->is_restic;
}

static void
add_flag(struct hf_jout *o, const char *key, bool is_true)
{
	hf_jout_key(o, key);
	hf_jout_bool(o, is_true);
}

static void
print_json(const struct cache *c)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(256 << 20);
	struct hf_jout o = {.buf = &json};

	hf_jout_array(&o);
	for (size_t i = 0; i < c->all.n; i++) {
		const struct hf_cache_part *p = &c->all.parts[i];
		struct hf_time used = hf_time_local((struct timespec){.tv_sec = p->used_at});

		hf_jout_object(&o);
		hf_jout_field_str(&o, "repo_id", p->name);
		hf_jout_key(&o, "last_used");
		hf_jout_time(&o, &used);
		add_flag(&o, "old", hf_cache_is_old(p, c->o->max_age));
		add_flag(&o, "in_use", p->is_in_use);
		if (!c->o->no_size) {
			hf_jout_field_u64(&o, "files", p->files);
			hf_jout_field_u64(&o, "size", p->bytes);
		}
		hf_jout_field_u64(&o, "hits", p->rate.hits);
		hf_jout_field_u64(&o, "misses", p->rate.misses);
		hf_jout_object_end(&o);
	}
	hf_jout_array_end(&o);
	hf_out_json(c->cli->out, &json);
}

/* restic's table; the rate of hits is ours, and stands where nobody looks for anything else. */
static void
print_table(const struct cache *c)
{
	const char *headers[5] = {"Repo ID", "Last Used", "Old"};
	size_t n_headers = 3;

	if (!c->o->no_size)
		headers[n_headers++] = "Size";
	if (!c->cli->is_restic)
		headers[n_headers++] = "Hits";
	hf_autoptr(hf_table) table = hf_table_new(headers, n_headers);
	for (size_t i = 0; i < c->all.n; i++) {
		const struct hf_cache_part *p = &c->all.parts[i];
		int64_t age = (int64_t)time(NULL) - p->used_at;
		struct hf_id id;
		char text[64];

		snprintf(text, sizeof text, "%.*s",
			hf_id_parse(hf_str(p->name), &id) ? 10 : (int)sizeof text - 1, p->name);
		hf_table_add(table, text);
		snprintf(text, sizeof text, "%lld days ago",
			(long long)(age > 0 ? age / (24 * 3600) : 0));
		hf_table_add(table, text);
		hf_table_add(table, hf_cache_is_old(p, c->o->max_age) ? "yes" : "");
		if (!c->o->no_size) {
			snprintf(text, sizeof text, "%11s", hf_format_bytes(p->bytes).s);
			hf_table_add(table, text);
		}
		if (!c->cli->is_restic)
			hf_table_add(table,
				hf_format_percent(p->rate.hits, p->rate.hits + p->rate.misses)
					.s);
	}
	hf_table_print(table, false, c->cli->out);
	hf_say(c->cli->out, HF_SAY_DATA, "%zu cache dirs in %s", c->all.n, c->all.path);
}

static void
add_action(void *arg, const struct hf_cache_part *p, const char *action)
{
	struct cache *c = arg;
	struct hf_jout *o = &c->actions;

	hf_jout_object(o);
	hf_jout_field_str(o, "repo_id", p->name);
	hf_jout_field_str(o, "action", action);
	hf_jout_object_end(o);
	if (strcmp(action, "kept") == 0)
		hf_say(c->cli->out, HF_SAY_NORMAL, "kept %.10s, which is in use", p->name);
}

static struct hf_err *
clean_up(struct cache *c)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(256 << 20);
	size_t n_old = hf_caches_count_old(&c->all, c->o->max_age);

	c->actions = (struct hf_jout){.buf = &json};
	hf_jout_array(&c->actions);
	hf_say(c->cli->out, HF_SAY_NORMAL,
		n_old == 0 ? "no old cache dirs found" : "remove %zu old cache directories",
		n_old);
	struct hf_err *e = hf_caches_clean(c->cli, &c->all, c->o->max_age, add_action, c);
	hf_jout_array_end(&c->actions);
	if (is_json(c))
		hf_out_json(c->cli->out, &json);
	if (!c->cli->is_restic)
		return hf_err_in(e, "not all old cache directories could be removed");
	hf_err_free(e); /* restic reports it and calls it a success */
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	struct cache_options *o = opts;
	struct cache c = {.cli = cli, .o = o};
	char *path;

	if (args->len > 0)
		return hf_err(HF_EINVAL,
			"the cache command expects no arguments, only options - please see "
			"`%s help cache` for usage and flags",
			cli->program);
	if (cli->global.no_cache)
		return hf_err(HF_EINVAL, "Refusing to do anything, the cache is disabled");
	o->cleanup |= cli->global.cleanup_cache;
	HF_TRY(hf_cache_dir(cli, &path));
	struct hf_err *e = hf_caches_look(path,
		o->cleanup   ? HF_CACHE_AGE
		: o->no_size ? HF_CACHE_USE
			     : HF_CACHE_SIZE,
		&c.all);
	if (e == NULL && o->cleanup)
		e = clean_up(&c);
	else if (e == NULL && is_json(&c))
		print_json(&c);
	else if (e == NULL && c.all.n == 0)
		hf_say(cli->out, HF_SAY_DATA, "no cache dirs found, basedir is %s", path);
	else if (e == NULL)
		print_table(&c);
	hf_caches_clear(&c.all);
	return e;
}

const struct hf_command hf_cmd_cache = {
	.name = "cache",
	.usage = "[flags]",
	.summary = "Show and clean up the local caches",
	.text = "Shows the caches of repositories on this machine: when each was last used, "
		"its\n"
		"size, and what part of the reads it answered. With --cleanup, those are "
		"removed\n"
		"that have not been used for --max-age days and are not in use now.",
	HF_COMMAND_OPTS(options, struct cache_options),
	.run = run,
};
