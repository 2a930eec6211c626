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
#include "store/cache_base.h"

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

struct caches {
	struct hf_cli *cli;
	const struct cache_options *o;
	char *path;
	struct hf_cache_base base;
	struct hf_cache_part *parts;
	size_t n;
};

static bool
is_old(const struct caches *c, const struct hf_cache_part *p)
{
	return hf_cache_is_old(p->used_at, (int64_t)c->o->max_age);
}

static void
add_flag(struct hf_jout *o, const char *key, bool is_true)
{
	hf_jout_key(o, key);
	hf_jout_bool(o, is_true);
}

static void
print_json(const struct caches *c)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(256 << 20);
	struct hf_jout o = {.buf = &json};

	hf_jout_array(&o);
	for (size_t i = 0; i < c->n; i++) {
		const struct hf_cache_part *p = &c->parts[i];
		struct hf_time used = hf_time_local((struct timespec){.tv_sec = p->used_at});

		hf_jout_object(&o);
		hf_jout_field_str(&o, "repo_id", p->name);
		hf_jout_key(&o, "last_used");
		hf_jout_time(&o, &used);
		add_flag(&o, "old", is_old(c, p));
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
print_table(const struct caches *c)
{
	const char *headers[5] = {"Repo ID", "Last Used", "Old"};
	size_t n_headers = 3;

	if (!c->o->no_size)
		headers[n_headers++] = "Size";
	if (!c->cli->is_restic)
		headers[n_headers++] = "Hits";
	hf_autoptr(hf_table) table = hf_table_new(headers, n_headers);
	for (size_t i = 0; i < c->n; i++) {
		const struct hf_cache_part *p = &c->parts[i];
		int64_t age = (int64_t)time(NULL) - p->used_at;
		struct hf_id id;
		char text[64];

		snprintf(text, sizeof text, "%.*s",
			hf_id_parse(hf_str(p->name), &id) ? 10 : (int)sizeof text - 1, p->name);
		hf_table_add(table, text);
		snprintf(text, sizeof text, "%lld days ago",
			(long long)(age > 0 ? age / (24 * 3600) : 0));
		hf_table_add(table, text);
		hf_table_add(table, is_old(c, p) ? "yes" : "");
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
	hf_say(c->cli->out, HF_SAY_DATA, "%zu cache dirs in %s", c->n, c->path);
}

static void
add_action(struct hf_jout *o, const struct hf_cache_part *p, const char *action)
{
	hf_jout_object(o);
	hf_jout_field_str(o, "repo_id", p->name);
	hf_jout_field_str(o, "action", action);
	hf_jout_object_end(o);
}

static struct hf_err *
clean_up(const struct caches *c)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(256 << 20);
	struct hf_jout o = {.buf = &json};
	size_t n_old = 0, n_failed = 0;
	struct hf_err *last = NULL;

	hf_jout_array(&o);

	for (size_t i = 0; i < c->n; i++)
		n_old += is_old(c, &c->parts[i]);
	hf_say(c->cli->out, HF_SAY_NORMAL,
		n_old == 0 ? "no old cache dirs found" : "remove %zu old cache directories",
		n_old);
	for (size_t i = 0; i < c->n; i++) {
		const struct hf_cache_part *p = &c->parts[i];
		enum hf_cache_removal removal;

		if (!is_old(c, p))
			continue;
		struct hf_err *e = hf_cache_part_remove(&c->base, p, &removal);
		if (e != NULL) {
			hf_say_err(c->cli->out, "unable to remove %s/%s: %s", c->path, p->name,
				hf_err_text(e));
			hf_err_free(last);
			last = e;
			n_failed++;
		} else if (removal == HF_CACHE_KEPT) {
			hf_say(c->cli->out, HF_SAY_NORMAL, "kept %.10s, which is in use",
				p->name);
		}
		add_action(&o, p,
			e != NULL                  ? "failed"
			: removal == HF_CACHE_KEPT ? "kept"
						   : "removed");
	}
	hf_jout_array_end(&o);
	if (c->cli->global.is_json && !c->cli->is_restic)
		hf_out_json(c->cli->out, &json);
	/* restic reports it and calls it a success. */
	if (n_failed == 0 || c->cli->is_restic) {
		hf_err_free(last);
		return NULL;
	}
	return hf_err_in(last, "%zu cache directories could not be removed", n_failed);
}

static struct hf_err *
show_or_clean(struct caches *c)
{
	HF_TRY(hf_cache_parts(&c->base, !c->o->no_size && !c->o->cleanup, &c->parts, &c->n));
	if (c->o->cleanup)
		return clean_up(c);
	if (c->cli->global.is_json && !c->cli->is_restic)
		print_json(c);
	else if (c->n == 0)
		hf_say(c->cli->out, HF_SAY_DATA, "no cache dirs found, basedir is %s", c->path);
	else
		print_table(c);
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	struct cache_options *o = opts;
	struct caches c = {.cli = cli, .o = o, .base = {{-1}, {-1}}};

	if (args->len > 0)
		return hf_err(HF_EINVAL,
			"the cache command expects no arguments, only options - please see "
			"`%s help cache` for usage and flags",
			cli->program);
	if (cli->global.no_cache)
		return hf_err(HF_EINVAL, "Refusing to do anything, the cache is disabled");
	o->cleanup |= cli->global.cleanup_cache;
	HF_TRY(hf_cache_dir(cli, &c.path));
	struct hf_err *e = hf_cache_base_open(c.path, false, &c.base);
	if (e == NULL) {
		e = show_or_clean(&c);
	} else if (hf_err_code(e) == HF_ENOTFOUND) {
		hf_err_free(e);
		e = NULL;
		if (o->cleanup)
			e = clean_up(&c);
		else if (cli->global.is_json && !cli->is_restic)
			print_json(&c);
		else
			hf_say(cli->out, HF_SAY_DATA, "no cache dirs found, basedir is %s",
				c.path);
	}
	hf_cache_base_clear(&c.base);
	free(c.parts);
	free(c.path);
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
