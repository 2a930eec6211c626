/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/session.h"

#include "base/path.h"
#include "cli/place.h"
#include "engine/treewalk.h"
#include "store/cache.h"
#include "store/early.h"

/* Who gets a lock back waits at least so long, in seconds: a prune may be under way. */
#define REGAIN_WAIT 3600.0

enum { LOAD_TRIES = 3 }; /* of the index, each under a new lock */

/*
 * Gives the lease back. Whether our lock was there to the end is looked at once more, since it may
 * have gone after the last refresh; when that cannot be found out, the refreshes have to do.
 */
static void
give_back(struct hf_session *s)
{
	hf_autoptr(hf_err) e = NULL;

	hf_store_set_gate(hf_repo_store(s->repo), &hf_gate_shut);
	if (!s->is_settled && !hf_stop_is_set(&s->cli->stop))
		hf_err_free(hf_lease_verify(s->lease));
	e = hf_lease_release(s->lease);
	if (e != NULL && hf_err_code(e) == HF_ELOST)
		s->cli->is_lock_lost |= !s->is_settled;
	else if (e != NULL)
		hf_say_err(s->cli->out, "error while unlocking: %s", hf_err_text(e));
}

void
hf_session_clear(struct hf_session *s)
{
	hf_index_free(s->index);
	hf_trail_free(s->trail);
	if (s->lease != NULL)
		give_back(s);
	hf_lease_setup_clear(&s->setup);
	hf_repo_free(s->repo);
	hf_cache_folder_clear(&s->cache);
	*s = (struct hf_session){0};
}

/*
 * The one place where a command gets the right to change a repository: through the gate of its
 * lease, or not at all.
 */
static struct hf_err *
take_lease(struct hf_session *s, const struct hf_lease_options *options)
{
	struct hf_lease *lease;

	HF_TRY(hf_lease_acquire(s->repo, options, &lease));
	hf_store_set_gate(hf_repo_store(s->repo), hf_lease_gate(lease));
	s->lease = lease;
	return NULL;
}

/*
 * Who may not write a lock file may still read (D14): what others delete meanwhile shows as a pack
 * that is not there. Takes `e`.
 */
static struct hf_err *
without_lock(struct hf_cli *cli, struct hf_err *e)
{
	if (hf_err_code(e) != HF_EFATAL)
		return e;
	hf_say_err(cli->out, "Warning: %s\nWarning: reading without a lock", hf_err_text(e));
	hf_err_free(e);
	return NULL;
}

struct hf_err *
hf_session_regain_for(void *session, struct hf_lease **out)
{
	struct hf_session *s = session;

	HF_TRY(hf_session_regain(s));
	*out = s->lease;
	return NULL;
}

struct hf_err *
hf_session_open(
	struct hf_cli *cli, enum hf_session_lock lock, bool may_skip, struct hf_session *s)
{
	return hf_session_open_with(cli, lock, may_skip, HF_CACHE_SHARED, s);
}

/* Our lock can be seen: nobody may delete the snapshots that are listed now, once we hold it. */
static void
written(void *session)
{
	struct hf_session *s = session;
	struct hf_store *store = hf_repo_store(s->repo);

	hf_store_early_forget(store);
	/* Where listings lag, who writes pauses before he looks, and the answer would be old. */
	if (s->setup.options.only_reads || hf_store_promises(store, HF_LISTS_AT_ONCE))
		hf_ask_early(store, s->cli->early & HF_EARLY_SNAPSHOTS);
}

static struct hf_err *
take_first_lease(struct hf_session *s)
{
	struct hf_lease_options options = s->setup.options;

	options.on_written = written;
	options.written_arg = s;
	HF_TRY(take_lease(s, &options));
	hf_ask_early(hf_repo_store(s->repo), s->cli->early);
	return NULL;
}

unsigned
hf_early_for(const char *text)
{
	const char *colon = strchrnul(text, ':');
	struct hf_id id;

	return hf_id_parse((struct hf_str){text, (size_t)(colon - text)}, &id)
		       ? HF_EARLY_INDEX
		       : HF_EARLY_SNAPSHOTS | HF_EARLY_INDEX;
}

static struct hf_err *
open_at(struct hf_cli *cli, const struct hf_place *place, enum hf_session_lock lock,
	bool may_skip, enum hf_cache_use use, struct hf_session *s)
{
	*s = (struct hf_session){.cli = cli};
	struct hf_place asked = *place;

	if (may_skip && cli->global.no_lock)
		lock = HF_SESSION_UNLOCKED;
	asked.is_locked = lock != HF_SESSION_UNLOCKED;
	asked.early = asked.is_locked ? 0 : cli->early;
	HF_TRY(hf_place_open(cli, &asked, &s->repo));
	hf_cache_use(cli, s->repo, use, &s->cache);
	HF_TRY(hf_lease_setup(cli, s->repo, &s->setup));
	hf_store_set_gate(hf_repo_store(s->repo), &hf_gate_shut);
	if (lock == HF_SESSION_UNLOCKED)
		return NULL;
	s->setup.options.mode =
		lock == HF_SESSION_EXCLUSIVE ? HF_LOCK_EXCLUSIVE : HF_LOCK_SHARED;
	s->setup.options.only_reads = may_skip && lock == HF_SESSION_SHARED;
	struct hf_err *e = take_first_lease(s);
	return may_skip && lock == HF_SESSION_SHARED && e != NULL ? without_lock(cli, e) : e;
}

struct hf_err *
hf_session_open_with(struct hf_cli *cli, enum hf_session_lock lock, bool may_skip,
	enum hf_cache_use use, struct hf_session *s)
{
	struct hf_place place = hf_place_main(cli);

	return open_at(cli, &place, lock, may_skip, use, s);
}

struct hf_err *
hf_session_open_at(struct hf_cli *cli, const struct hf_place *place, enum hf_session_lock lock,
	bool may_skip, struct hf_session *s)
{
	return open_at(cli, place, lock, may_skip, HF_CACHE_SHARED, s);
}

struct hf_err *
hf_session_regain(struct hf_session *s)
{
	struct hf_lease *lost = s->lease;
	struct hf_lease_options options = s->setup.options;

	if (options.wait_s < REGAIN_WAIT)
		options.wait_s = REGAIN_WAIT;
	hf_store_early_forget(hf_repo_store(s->repo)); /* that was under the lost one */
	hf_trail_lost(s->trail, hf_lease_seen(lost));
	HF_TRY(take_lease(s, &options));
	hf_err_free(hf_lease_release(lost));
	return hf_trail_repair(s->trail, s->repo);
}

void
hf_session_goes_on(struct hf_session *s)
{
	s->trail = hf_trail_new();
}

struct hf_err *
hf_session_relock(struct hf_session *s, enum hf_session_lock lock)
{
	struct hf_lease *old = s->lease;

	HF_TRY(hf_lease_verify(old));
	hf_store_set_gate(hf_repo_store(s->repo), &hf_gate_shut);
	s->lease = NULL;
	HF_TRY(hf_lease_release(old));
	hf_store_early_forget(hf_repo_store(s->repo));
	s->setup.options.only_reads = false;
	s->setup.options.mode =
		lock == HF_SESSION_EXCLUSIVE ? HF_LOCK_EXCLUSIVE : HF_LOCK_SHARED;
	return take_lease(s, &s->setup.options);
}

/* Whether `e` may come of the lock having been lost, and there is a new one now. */
static bool
has_regained(struct hf_session *s, const struct hf_err *e)
{
	if (hf_err_code(e) == HF_ECANCELED || s->lease == NULL ||
		s->setup.options.mode != HF_LOCK_SHARED)
		return false;
	hf_autoptr(hf_err) lost = hf_lease_verify(s->lease);
	if (lost == NULL || hf_err_code(lost) != HF_ELOST)
		return false;
	hf_say_err(s->cli->out, "Warning: %s\nWarning: getting a new lock", hf_err_text(lost));
	hf_autoptr(hf_err) again = hf_session_regain(s);
	return again == NULL;
}

/* Loads it, and removes copies of packs from the cache that are in no index any more. */
static struct hf_err *
load_index(struct hf_session *s, struct hf_index *index)
{
	struct hf_cached_packs *packs = hf_cached_packs(hf_repo_store(s->repo));
	struct hf_err *e = hf_index_load(s->repo, index, &s->cli->stop, NULL, NULL);
	struct hf_id id;

	for (size_t i = 0; e == NULL && packs != NULL && hf_index_pack(index, i, &id); i++)
		hf_cached_packs_keep(packs, &id);
	hf_cached_packs_end(packs, e == NULL);
	return e;
}

struct hf_err *
hf_session_load_index(struct hf_session *s)
{
	for (int i = 1;; i++) {
		hf_autoptr(hf_index) index = hf_index_new();

		hf_index_distrust(index, s->trail);
		struct hf_err *e = load_index(s, index);

		if (e == NULL) {
			hf_index_free(s->index);
			s->index = hf_steal(index);
			return NULL;
		}
		/* Nothing has been done yet, so that it costs nothing to begin again. */
		if (i == LOAD_TRIES || !has_regained(s, e))
			return e;
		hf_err_free(e);
	}
}

static void
copy_list(const struct hf_strings *from, struct hf_strings *to)
{
	for (size_t i = 0; i < from->len; i++)
		hf_strings_add(to, from->v[i]);
}

void
hf_session_filter(const struct hf_filter_opts *opts, struct hf_snapshot_filter *out)
{
	hf_autofree char *cwd = hf_env_cwd();

	/* One empty name: any host, whatever the environment says. */
	if (opts->hosts.len != 1 || *opts->hosts.v[0] != '\0')
		copy_list(&opts->hosts, &out->hosts);
	copy_list(&opts->tags, &out->tags);
	for (size_t i = 0; i < opts->paths.len; i++) {
		hf_autofree char *path = hf_path_abs(cwd != NULL ? cwd : "/", opts->paths.v[i]);

		hf_strings_add(&out->paths, path);
	}
}

static void
report_bad(void *arg, const char *text, struct hf_err *e)
{
	struct hf_session *s = arg;
	enum hf_code code = hf_err_code(e);

	hf_say_err(s->cli->out, "Ignoring \"%s\": %s", text, hf_err_text(e));
	s->n_unread += code != HF_ENOTFOUND && code != HF_EINVAL;
	hf_err_free(e);
}

struct hf_err *
hf_session_snapshots(struct hf_session *s, const struct hf_filter_opts *opts,
	const struct hf_args *ids, struct hf_snapshots *out)
{
	hf_auto(hf_snapshot_filter) filter = {0};
	hf_auto(hf_strings) texts = {0};

	hf_session_filter(opts, &filter);
	for (size_t i = 0; i < ids->len; i++)
		hf_strings_add(&texts, ids->v[i]);
	s->n_unread = 0;
	return hf_snapshots_select(s->repo, &texts, &filter, report_bad, s, out);
}

struct hf_err *
hf_session_unread(const struct hf_session *s)
{
	if (s->n_unread == 0 || s->cli->is_restic)
		return NULL;
	return hf_err(HF_EFATAL,
		"%zu snapshots could not be read, and nothing was done about them\nThe same "
		"command again takes up where this one left off; `check` tells whether they "
		"are damaged.",
		s->n_unread);
}

struct hf_err *
hf_session_snapshot(struct hf_session *s, const struct hf_filter_opts *opts, const char *text,
	struct hf_snapshot **out, char **subfolder)
{
	hf_auto(hf_snapshot_filter) filter = {0};

	hf_session_filter(opts, &filter);
	return hf_snapshot_find(s->repo, text, &filter, out, subfolder);
}

struct hf_err *
hf_session_tree(struct hf_session *s, const struct hf_snapshot *sn, const char *subfolder,
	struct hf_id *out)
{
	hf_autoptr(hf_reader) reader = NULL;

	if (!sn->has_tree)
		return hf_err(HF_ECORRUPT, "snapshot %.8s has no tree", hf_id_hex(&sn->id).s);
	reader = hf_reader_new(s->repo, s->index);
	return hf_walk_folder(reader, &sn->tree, subfolder != NULL ? subfolder : "", out);
}
