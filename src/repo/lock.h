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
#include "base/time.h"
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

/* How long things take, in seconds; tests are in more of a hurry than HF_LOCK_PACE. */
struct hf_lock_pace {
	double settle;     /* between writing our lock and looking for others again */
	double unreadable; /* before reading again what could not be read; doubled twice */
	double retry;      /* first pause when waiting for a lock; doubled each time … */
	double retry_max;  /* … up to this */
	double renew, lost;
};

#define HF_LOCK_PACE ((struct hf_lock_pace){0.2, 5, 5, 60, HF_LOCK_RENEW_S, HF_LOCK_LOST_S})

struct hf_lock;

/* Called when waiting begins: `text` says for how long at most. */
typedef void hf_lock_wait_fn(void *arg, const char *text);

/*
 * Takes a lock on `repo`, which must outlive it, and starts the thread that renews it. Tries
 * for `wait_s` seconds (0: once). On success *out is the caller's; on failure it is NULL.
 * HF_ELOCKED: an excluding lock is there; the text is restic's and names host, user, pid and
 * age. HF_ECANCELED: `stop` was set while waiting.
 *
 * A lock whose owner is dead beyond doubt is deleted and does not exclude: it was written by
 * this program in the same pid space (base/host.h), and the kernel says that there is no such
 * process. Locks of other programs do not carry that proof; they stay until `unlock`.
 *
 * `restic unlock` tries whether a process is alive by SIGHUP, so that whoever holds a lock must
 * ignore that signal.
 */
struct hf_err *hf_lock_acquire(struct hf_repo *repo, enum hf_lock_mode mode, double wait_s,
	struct hf_stop *stop, hf_lock_wait_fn *on_wait, void *arg,
	struct hf_lock **out) HF_MUST;

/* The same at another pace. */
struct hf_err *hf_lock_acquire_at(struct hf_repo *repo, enum hf_lock_mode mode, double wait_s,
	const struct hf_lock_pace *pace, struct hf_stop *stop, hf_lock_wait_fn *on_wait,
	void *arg, struct hf_lock **out) HF_MUST;

/* NULL while HELD. HF_ELOCKED once LOST, now and for ever. Cheap; any thread; NULL is HELD. */
struct hf_err *hf_lock_check(struct hf_lock *lock) HF_MUST;

/*
 * Stops the thread, deletes our lock file and frees `lock`, also when it returns an error (the
 * file then stays until it is stale). Does not look at `stop`. NULL is fine.
 */
struct hf_err *hf_lock_release(struct hf_lock *lock) HF_MUST;

/* What a lock file says. Strings are owned and never NULL. */
struct hf_lock_info {
	struct hf_time time; /* of creation or of the last renewal */
	bool is_exclusive;
	char *hostname, *username;
	int64_t pid;
	uint32_t uid, gid;
	char *pid_space; /* "" in locks of other programs */
};

void hf_lock_info_clear(struct hf_lock_info *info);

/* HF_ECORRUPT: it cannot be read. */
struct hf_err *hf_lock_parse(struct hf_bytes json, struct hf_lock_info *out) HF_MUST;
void hf_lock_write(struct hf_buf *out, const struct hf_lock_info *info);

/* What this process would write into a lock now. */
void hf_lock_info_self(struct hf_lock_info *out);

/* True when the owner of `info` is dead beyond doubt, as seen by the process `self`. */
bool hf_lock_is_orphan(const struct hf_lock_info *info, const struct hf_lock_info *self);

/*
 * Deletes the lock files that are stale: older than HF_LOCK_STALE_S, or from this host and
 * without a process of that number. Those that cannot be read stay, unless `all` is set: then
 * every lock file goes. *removed counts.
 */
struct hf_err *hf_lock_remove_stale(struct hf_repo *repo, bool all, size_t *removed) HF_MUST;

#endif
