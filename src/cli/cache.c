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

static bool
is_set(const char *s)
{
	return s != NULL && *s != '\0';
}

struct hf_err *
hf_cache_dir(const struct hf_cli *cli, char **out)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (is_set(cli->global.cache_dir))
		*out = hf_str_dup(hf_str(cli->global.cache_dir));
	else if (is_set(xdg))
		*out = hf_path_join(xdg, "restic");
	else if (is_set(home))
		*out = hf_path_join(home, ".cache/restic");
	else
		return hf_err(HF_ENOTFOUND, "unable to locate cache directory: neither "
					    "$XDG_CACHE_HOME nor $HOME are defined");
	return NULL;
}

bool
hf_cache_is_old(int64_t used_at, int64_t days)
{
	return (int64_t)time(NULL) - used_at >= days * 24 * 3600;
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
	if (is_set(cli->global.cache_dir))
		tmp = cli->global.cache_dir;
	if (asprintf(&path, "%s/restic-check-cache-%u", is_set(tmp) ? tmp : "/tmp", number) <
		0) {
		path = NULL;
		return hf_err(HF_EFATAL, "out of memory");
	}
	if (is_set(cli->global.cache_dir))
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

/* Caches of repositories that are no more, or are backed up from elsewhere now. */
static void
look_for_old(struct hf_cli *cli, const char *base)
{
	struct hf_cache_base b;
	hf_autofree struct hf_cache_part *parts = NULL;
	size_t n = 0, n_old = 0;

	hf_autoptr(hf_err) failed = hf_cache_base_open(base, false, &b);
	if (failed != NULL)
		return;
	failed = hf_cache_parts(&b, false, &parts, &n);
	for (size_t i = 0; i < n; i++)
		n_old += hf_cache_is_old(parts[i].used_at, HF_CACHE_OLD_DAYS);
	if (n_old > 0 && !cli->global.cleanup_cache)
		hf_say(cli->out, HF_SAY_TERMINAL,
			"found %zu old cache directories in %s, run `%s cache --cleanup` to "
			"remove them",
			n_old, base, cli->program);
	else if (n_old > 0)
		hf_say(cli->out, HF_SAY_TERMINAL, "removing %zu old cache dirs from %s", n_old,
			base);
	for (size_t i = 0; cli->global.cleanup_cache && i < n; i++) {
		enum hf_cache_removal removal;

		if (!hf_cache_is_old(parts[i].used_at, HF_CACHE_OLD_DAYS))
			continue;
		hf_autoptr(hf_err) e = hf_cache_part_remove(&b, &parts[i], &removal);
		if (e != NULL)
			hf_say_err(cli->out, "unable to remove %s/%s: %s", base, parts[i].name,
				hf_err_text(e));
	}
	hf_cache_base_clear(&b);
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
	if (cli->global.no_cache)
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
