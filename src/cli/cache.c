/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "base/path.h"
#include "store/cache.h"
#include "store/cache_base.h"

struct hf_err *
hf_cache_dir(const struct hf_cli *cli, char **out)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (hf_is_set(cli->global.cache_dir))
		*out = hf_str_dup(hf_str(cli->global.cache_dir));
	else if (hf_is_set(xdg))
		*out = hf_path_join(xdg, "restic");
	else if (hf_is_set(home))
		*out = hf_path_join(home, ".cache/restic");
	else
		return hf_err(HF_ENOTFOUND, "unable to locate cache directory: neither "
					    "$XDG_CACHE_HOME nor $HOME are defined");
	return NULL;
}

static void
say(void *arg, const char *text)
{
	struct hf_cli *cli = arg;

	hf_say_err(cli->out, "%s", text);
}

static struct hf_err *
open_cache(struct hf_cli *cli, struct hf_repo *repo, const char *base)
{
	const struct hf_global *g = &cli->global;
	struct hf_cache_options options = {
		.base = base,
		.limit = g->cache_limit,
		.floor = g->cache_floor,
		.say = say,
		.arg = cli,
	};
	struct hf_cache *cache;

	HF_TRY(hf_cache_open(&options, &hf_repo_config(repo)->id, &cache));
	if (hf_cache_is_new(cache))
		hf_say(cli->out, HF_SAY_TERMINAL, "created new cache in %s", base);
	hf_repo_set_store(repo, hf_store_cache(hf_repo_store(repo), cache));
	return NULL;
}

/* An empty folder below the user's, or among temporary files, under the name that restic uses. */
static struct hf_err *
make_temporary(struct hf_cli *cli, char **out)
{
	const char *tmp = getenv("TMPDIR");
	hf_autofree char *path = NULL;
	uint32_t number;

	hf_random(&number, sizeof number);
	if (hf_is_set(cli->global.cache_dir))
		tmp = cli->global.cache_dir;
	if (asprintf(&path, "%s/restic-check-cache-%u", hf_is_set(tmp) ? tmp : "/tmp", number) <
		0) {
		path = NULL;
		return hf_err(HF_EFATAL, "out of memory");
	}
	if (hf_is_set(cli->global.cache_dir))
		(void)mkdir(tmp, 0700);
	if (mkdir(path, 0700) != 0)
		return hf_err_errno(errno, "temporary cache %s", path);
	*out = hf_steal(path);
	return NULL;
}

void
hf_cache_folder_clear(struct hf_cache_folder *f)
{
	if (f->is_temporary)
		hf_err_free(hf_cache_remove_tree(AT_FDCWD, f->path));
	free(f->path);
	*f = (struct hf_cache_folder){0};
}

/* ---- all caches in a folder ---- */

struct hf_err *
hf_caches_look(char *path, enum hf_cache_look look, struct hf_caches *out)
{
	*out = (struct hf_caches){.path = path, .base = {{-1}, {-1}}};
	struct hf_err *e = hf_cache_base_open(path, false, &out->base);
	if (e == NULL)
		e = hf_cache_parts(&out->base, look, &out->parts, &out->n);
	return e != NULL ? hf_err_ignore(e, HF_ENOTFOUND) : NULL;
}

void
hf_caches_clear(struct hf_caches *c)
{
	hf_cache_base_clear(&c->base);
	free(c->parts);
	free(c->path);
	*c = (struct hf_caches){.base = {{-1}, {-1}}};
}

bool
hf_cache_is_old(const struct hf_cache_part *part, uint64_t days)
{
	return (int64_t)time(NULL) - part->used_at >= (int64_t)days * 24 * 3600;
}

size_t
hf_caches_count_old(const struct hf_caches *c, uint64_t days)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += hf_cache_is_old(&c->parts[i], days);
	return n;
}

struct hf_err *
hf_caches_clean(struct hf_cli *cli, const struct hf_caches *c, uint64_t days,
	void (*tell)(void *arg, const struct hf_cache_part *part, const char *action),
	void *arg)
{
	struct hf_err *last = NULL;

	for (size_t i = 0; i < c->n; i++) {
		const struct hf_cache_part *p = &c->parts[i];
		enum hf_cache_removal removal = HF_CACHE_REMOVED;

		if (!hf_cache_is_old(p, days))
			continue;
		struct hf_err *e = hf_cache_part_remove(&c->base, p, &removal);
		tell(arg, p,
			e != NULL                  ? "failed"
			: removal == HF_CACHE_KEPT ? "kept"
						   : "removed");
		if (e == NULL)
			continue;
		hf_say_err(cli->out, "unable to remove %s/%s: %s", c->path, p->name,
			hf_err_text(e));
		hf_err_free(last);
		last = e;
	}
	return last;
}

static void
tell_nobody(void *arg, const struct hf_cache_part *part, const char *action)
{
	(void)arg, (void)part, (void)action;
}

/* Caches of repositories that are no more, or are backed up from elsewhere now. */
static void
look_for_old(struct hf_cli *cli, const char *base)
{
	hf_auto(hf_caches) c = {.path = NULL};

	hf_err_free(hf_caches_look(hf_str_dup(hf_str(base)), HF_CACHE_AGE, &c));
	size_t n_old = hf_caches_count_old(&c, HF_CACHE_OLD_DAYS);

	if (n_old == 0)
		return;
	if (!cli->global.cleanup_cache) {
		hf_say(cli->out, HF_SAY_TERMINAL,
			"found %zu old cache directories in %s, run `%s cache --cleanup` to "
			"remove them",
			n_old, base, cli->program);
		return;
	}
	hf_say(cli->out, HF_SAY_TERMINAL, "removing %zu old cache dirs from %s", n_old, base);
	hf_err_free(hf_caches_clean(cli, &c, HF_CACHE_OLD_DAYS, tell_nobody, NULL));
}

static struct hf_err *
use_shared(struct hf_cli *cli, struct hf_repo *repo, struct hf_cache_folder *out)
{
	hf_autofree char *base = NULL;
	hf_autofree char *cwd = hf_env_cwd();

	HF_TRY(hf_cache_dir(cli, &base));
	HF_TRY(open_cache(cli, repo, base));
	out->path = hf_path_abs(cwd != NULL ? cwd : "/", base);
	look_for_old(cli, base);
	return NULL;
}

static struct hf_err *
use_temporary(struct hf_cli *cli, struct hf_repo *repo, struct hf_cache_folder *out)
{
	HF_TRY(make_temporary(cli, &out->path));
	out->is_temporary = true;
	hf_say(cli->out, HF_SAY_TERMINAL, "using temporary cache in %s", out->path);
	return open_cache(cli, repo, out->path);
}

void
hf_cache_use(struct hf_cli *cli, struct hf_repo *repo, enum hf_cache_use use,
	struct hf_cache_folder *out)
{
	*out = (struct hf_cache_folder){0};
	if (cli->global.no_cache || use == HF_CACHE_NONE)
		return;
	/* What is here already need not be brought here to be read once. */
	if (use == HF_CACHE_TEMPORARY && hf_store_is_near(hf_repo_store(repo)))
		return;
	hf_autoptr(hf_err) e = use == HF_CACHE_TEMPORARY ? use_temporary(cli, repo, out)
							 : use_shared(cli, repo, out);
	if (e != NULL)
		hf_say_err(cli->out, "Warning: %s\nWarning: going on without a cache",
			hf_err_text(e));
}
