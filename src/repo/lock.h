/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The repository lock, as restic's (restic-format 9), kept alive by a thread of its own.
 *
 *	acquire --> HELD --(renewed every 5 min)--> HELD
 *	              \---(22.5 min without a renewal)--> LOST, for ever
 *
 * Rules that the rest of the program may rely on:
 *  (1) While a lock is HELD no other client that follows the rules holds an excluding one.
 *  (2) Another client may treat our lock as stale after 30 min; we give up 7.5 min earlier, so
 *      that clocks may differ by that much before (1) breaks.
 *  (3) LOST is final. Whoever writes calls hf_lock_check() before every step that could hurt a
 *      stranger (publishing an index or a snapshot, deleting anything), and stops when it fails.
 *
 * The numbers are those of restic; both programs must agree on them.
 */
#ifndef HF_REPO_LOCK_H
#define HF_REPO_LOCK_H

#include "base/stop.h"
#include "repo/repo.h"

enum {
	HF_LOCK_RENEW_S = 5 * 60,
	HF_LOCK_LOST_S = 22 * 60 + 30,
	HF_LOCK_STALE_S = 30 * 60,
};

enum hf_lock_mode {
	HF_LOCK_SHARED,    /* may add files: backup, copy; many at a time */
	HF_LOCK_EXCLUSIVE, /* may delete files, or must see no change: check, prune; alone */
};

struct hf_lock;

/* Called when waiting begins: `text` says for how long at most. */
typedef void hf_lock_wait_fn(void *arg, const char *text);

/*
 * Takes a lock on `repo`, which must outlive it, and starts the thread that renews it. Tries for
 * `wait_s` seconds (0: once). On success *out is the caller's; on failure it is NULL.
 * HF_ELOCKED: an excluding lock is there; the text is restic's and names host, user, pid and age.
 * HF_ECANCELED: `stop` was set while waiting.
 */
struct hf_err *hf_lock_acquire(struct hf_repo *repo, enum hf_lock_mode mode, double wait_s,
	struct hf_stop *stop, hf_lock_wait_fn *on_wait, void *arg,
	struct hf_lock **out) HF_MUST;

/* NULL while HELD. HF_ELOCKED once LOST, now and for ever. Cheap; any thread; NULL is HELD. */
struct hf_err *hf_lock_check(const struct hf_lock *lock) HF_MUST;

/*
 * Stops the thread, deletes our lock file and frees `lock`, also when it returns an error (the
 * file then stays until it is stale). NULL is fine.
 */
struct hf_err *hf_lock_release(struct hf_lock *lock) HF_MUST;

#endif
