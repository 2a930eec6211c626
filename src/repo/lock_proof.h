/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is anybody behind a lock? Only a proof says no; age by one clock is none, and "on my host there
 * is no such process" is none either, for the lock may be from another host of the same name, or
 * from a container. The proofs (docs/locking-design.md, D6 and D7):
 *
 *	kernel   P1  the holder said that the kernel keeps a mark on his file, and it keeps none;
 *	             good across containers, and for locks that came with a copy of a repository
 *	process  P2  same boot and same pid namespace, and no process of that number and start time
 *	host     P3  a lock of restic from a host of our name, without such a process; only on
 *	             demand, since host names prove little
 *	watched  P4  seen unchanged for longer than its holder could have left it unchanged,
 *	             counted on this host's clock while it was awake
 *	clocks   P5  older than 30 minutes by our clock and by the store's as well; for an exclusive
 *	             lock only together with two sightings some minutes apart
 */
#ifndef HF_REPO_LOCK_PROOF_H
#define HF_REPO_LOCK_PROOF_H

#include "base/clocks.h"
#include "repo/lock_file.h"

enum hf_proof {
	HF_PROOF_NONE, /* nobody knows, or: it lives */
	HF_PROOF_KERNEL,
	HF_PROOF_PROCESS,
	HF_PROOF_HOST,
	HF_PROOF_WATCHED,
	HF_PROOF_CLOCKS,
};
const char *hf_proof_text(enum hf_proof proof); /* "kernel", "process", ... */

struct hf_verdict {
	enum hf_proof proof; /* not HF_PROOF_NONE: it is dead */
	bool is_alive;    /* shown to be: the kernel keeps the mark, or the process is there */
	double watched_s; /* how long it has been seen unchanged */
	double watch_s;   /* how long it must be, to be proof */
	double store_age_s; /* by the store's clock; NAN: unknown */
	bool other_boot;    /* from an earlier boot of a host of our name: a hint, no proof */
};

/* "alive (kernel)", "dead (process)", "unknown, unchanged for 3m of 31m". The caller frees it. */
char *hf_verdict_text(const struct hf_verdict *v);

/*
 * Memory of what was seen when, so that the second run of a cron job can prove what the first
 * could not. Kept in a small file below `dir`; what cannot be read or written there is forgotten.
 * Any thread may look into it.
 */
struct hf_watch;

/* `dir` NULL: remembers for this process only. `clocks` outlive it. */
struct hf_watch *hf_watch_new(
	const char *dir, const struct hf_id *repo, const struct hf_clocks *clocks);
void hf_watch_free(struct hf_watch *w); /* writes the file; NULL is fine */
HF_AUTOPTR(hf_watch)

/* The lock files that a listing has shown, all of them: sightings of others are dropped. */
void hf_watch_saw(struct hf_watch *w, const struct hf_id *ids, size_t n);

/* For how many seconds, awake, a lock file has been seen; 0 for NULL and for what was not seen. */
double hf_watch_seen_for(struct hf_watch *w, const struct hf_id *id);

struct hf_judge {
	struct hf_repo *repo;
	struct hf_watch *watch; /* or NULL: nothing is watched */
	const struct hf_clocks *clocks;
	struct hf_proc self;
	const char *hostname; /* ours, without decoration; borrowed */
	bool trusts_hosts;    /* P3 */
	double scale;         /* of all times, for tests; 1 */
};

/* Judges one lock. `info` NULL: it could not be read. */
struct hf_verdict hf_judge_lock(
	const struct hf_judge *j, const struct hf_id *id, const struct hf_lock_info *info);

#endif
