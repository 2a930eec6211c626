/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The beginning that commands have in common: which repository, which password, open it, lock it,
 * load the index. A session is declared with hf_auto(hf_session) and gives everything back in the
 * right order at the end of its scope, the lock before the repository.
 */
#ifndef HF_CLI_SESSION_H
#define HF_CLI_SESSION_H

#include "cli/cache.h"
#include "cli/cli.h"
#include "cli/lease_opts.h"
#include "repo/index.h"
#include "repo/trail.h"

struct hf_session {
	struct hf_cli *cli;
	struct hf_repo *repo;
	struct hf_cache_folder cache;
	struct hf_lease_setup setup;
	struct hf_lease *lease; /* NULL: none was asked for */
	struct hf_trail *trail; /* of who goes on after a loss: hf_session_goes_on(); owned */
	bool is_settled; /* what was done is known to be whole: the lock has done its duty */
	struct hf_index *index; /* NULL before hf_session_load_index() */
	size_t n_unread;        /* snapshots that were passed over the last time */
};

void hf_session_clear(struct hf_session *s);

/*
 * What a command is certain to list, in this order, once it has opened the repository. It says so in
 * cli->early before, and where the repository is far away, that is asked for together with other
 * things. Never before the right to look: the snapshots not before our lock can be seen, the index
 * not before we hold it.
 */
enum { HF_EARLY_SNAPSHOTS = 1, HF_EARLY_INDEX = 2 };

/* Both, or the index only where `text` is the whole id of a snapshot, which need not be looked for. */
unsigned hf_early_for(const char *text);

enum hf_session_lock {
	HF_SESSION_UNLOCKED,
	HF_SESSION_SHARED,
	HF_SESSION_EXCLUSIVE,
};

enum { HF_SESSION_ROUNDS = 5 }; /* of a command whose lock is lost again and again */

/*
 * After a loss of the lease: gets a new one of the same kind in its place, waiting for whoever has
 * the repository now. On failure the lost one stays.
 */
struct hf_err *hf_session_regain(struct hf_session *s) HF_MUST;

/*
 * Says that the command only adds, and goes on after a loss: what is saved leaves traces in
 * s->trail. After hf_session_regain(), an index that is loaded anew then has nothing in it that
 * nobody vouches for (docs/locking-design.md, D4).
 */
void hf_session_goes_on(struct hf_session *s);

/* The same for hf_backup_options; `session` is one, *out its new lease. */
struct hf_err *hf_session_regain_for(void *session, struct hf_lease **out) HF_MUST;

/*
 * Gives the lease back, which must not have been lost, and takes one of the other kind. HF_ELOCKED:
 * it cannot be had; then there is none.
 */
struct hf_err *hf_session_relock(struct hf_session *s, enum hf_session_lock lock) HF_MUST;

/*
 * Opens the repository and takes the lock; --no-lock makes it HF_SESSION_UNLOCKED if `may_skip`,
 * and a shared lock with `may_skip` is that of a command that changes nothing.
 * HF_ENOREPO, HF_EAUTH, HF_ELOCKED lead to exit codes of their own.
 */
struct hf_err *hf_session_open(struct hf_cli *cli, enum hf_session_lock lock, bool may_skip,
	struct hf_session *s) HF_MUST;

/* The same with a cache of its own kind (cli/cache.h); the above takes the user's. */
struct hf_err *hf_session_open_with(struct hf_cli *cli, enum hf_session_lock lock,
	bool may_skip, enum hf_cache_use use, struct hf_session *s) HF_MUST;

/* The same for another place than that of -r, for commands that work with two (cli/place.h). */
struct hf_place;
struct hf_err *hf_session_open_at(struct hf_cli *cli, const struct hf_place *place,
	enum hf_session_lock lock, bool may_skip, struct hf_session *s) HF_MUST;

/* Begins listings that will be wanted: the same bits. */
void hf_ask_early(struct hf_store *store, unsigned what);

/* Loads the whole index, in the place of one that is there. */
struct hf_err *hf_session_load_index(struct hf_session *s) HF_MUST;

/* The filters of the command line as the repository layer wants them; both lists stay owned here. */
void hf_session_filter(const struct hf_filter_opts *opts, struct hf_snapshot_filter *out);

/*
 * Loads the snapshots that `ids` name, or those that match the filter when there are none; oldest
 * first. What cannot be loaded is reported on standard error and passed over.
 */
struct hf_err *hf_session_snapshots(struct hf_session *s, const struct hf_filter_opts *filter,
	const struct hf_args *ids, struct hf_snapshots *out) HF_MUST;

/*
 * For the end of a command that changes snapshots: an error if some that were meant could not be
 * read. Restic says so and ends with success; under its name, so do we.
 */
struct hf_err *hf_session_unread(const struct hf_session *s) HF_MUST;

/* Finds the one snapshot that `text` means; *subfolder may become NULL. The caller owns both. */
struct hf_err *hf_session_snapshot(struct hf_session *s, const struct hf_filter_opts *filter,
	const char *text, struct hf_snapshot **out, char **subfolder) HF_MUST;

/*
 * The tree of folder `subfolder` in the snapshot; NULL means the root. HF_ENOTFOUND: no such
 * folder. The index is loaded.
 */
struct hf_err *hf_session_tree(struct hf_session *s, const struct hf_snapshot *sn,
	const char *subfolder, struct hf_id *out) HF_MUST;

#endif
