/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lease: the repository lock (restic-format 9) as something that is refreshed, watched and
 * fenced. Other programs see an ordinary lock file, replaced every two minutes. We see to it that
 * nothing is written under a lock that others could take for stale, whatever happened to the
 * network, the clocks or this host meanwhile.
 *
 *	 acquire --> HELD <--> SUSPECT        no refresh has worked for 4 minutes: a warning
 *	              |^         |
 *	              v|         v
 *	             FENCED <----'            15 minutes after the stamp of the last verified file:
 *	              |  |                    no change leaves this process; refreshing goes on, and
 *	              |  '--> HELD            if our file was there all the time, so does the work
 *	              v
 *	             LOST                     our file is gone, or somebody excludes us: for ever
 *
 * Invariants:
 *  (1) The lease counts from before the stamp in the file was taken, by the boot clock or the wall
 *      clock, whichever advanced more (D3).
 *  (2) It is extended only after a listing has shown the new file, with the old one gone by our
 *      own hand and nobody excluding us (D2). A name is a hash of random bytes and never comes
 *      back: what was seen before and after was there all the time (D1).
 *  (3) The gate (store/store.h) lets a change out only if it must be over before the fence. Packs
 *      may go out while FENCED, up to a limit: nobody refers to them yet.
 *  (4) Every file name that was ever tried is remembered, and deleted at the end (D12).
 *
 * The numbers: others may remove a lock 30 minutes after its stamp (S). F + grace + try + skew < S:
 * 15 + 1 + 0.75 + 10 minutes, so clocks may differ by ten minutes, and three are left.
 */
#ifndef HF_REPO_LEASE_H
#define HF_REPO_LEASE_H

#include <stdatomic.h>

#include "base/stop.h"
#include "repo/lock_proof.h"

/* Seconds; tests are in more of a hurry than hf_lease_pace. */
struct hf_lease_pace {
	double every;      /* T_refresh: between refreshes, ± 10 % */
	double suspect;    /* without a verified refresh: a warning */
	double fence;      /* F */
	double stale;      /* S: what others take for stale */
	double give_up;    /* FENCED for so long is LOST */
	double overlap;    /* old and new file are both there for at least so long */
	double settle;     /* between our file and the second look, where listings lag */
	double conflict;   /* how long a rival may take to withdraw */
	double unreadable; /* before reading again what could not be read; doubled twice */
	double retry;      /* first pause when waiting for a lock; doubled each time ... */
	double retry_max;  /* ... up to this */
	double again; /* first pause after a refresh that failed; doubled up to 30 times it */
};

/* 120 240 900 1800, 3600, 2, 10, 10, 5, 1, 30, 1 */
extern const struct hf_lease_pace hf_lease_pace;

/* The same with all times multiplied. */
struct hf_lease_pace hf_lease_pace_scaled(double scale);

enum hf_lease_state {
	HF_LEASE_NONE, /* not yet, or given back */
	HF_LEASE_HELD,
	HF_LEASE_SUSPECT,
	HF_LEASE_FENCED,
	HF_LEASE_LOST,
};
const char *hf_lease_state_text(enum hf_lease_state state); /* "held", ... */

/*
 * The lease as numbers, written by one thread, read by any thread or process that maps it.
 * Zeroed memory is a valid page without a lease.
 */
struct hf_lease_page {
	atomic_uint_least32_t version; /* odd while it is written */
	atomic_uint_least32_t flags;
	atomic_int_least64_t base_boot, base_wall; /* ns; both before the stamp was taken */
	atomic_int_least64_t fence, suspect;       /* ns after the base */
	atomic_uint_least64_t seq;                 /* verified refreshes */
	atomic_uint_least64_t id[4];               /* of the current file, as bytes */
};

/*
 * The state now, by these clocks; never HELD or SUSPECT beyond the fence, whoever sleeps.
 * *only_wall, if not NULL, tells that only the wall clock says FENCED: it may have been stepped.
 */
enum hf_lease_state hf_lease_page_state(
	const struct hf_lease_page *page, const struct hf_clocks *clocks, bool *only_wall);

/* Nanoseconds until the fence; negative behind it. */
int64_t hf_lease_page_left(const struct hf_lease_page *page, const struct hf_clocks *clocks);

/*
 * The file that the lease has now. False: it cannot be told, because the process that wrote the
 * page died in the middle.
 */
bool hf_lease_page_id(const struct hf_lease_page *page, struct hf_id *out);

/* What a lease tells: for the log, in the order in which it happens. */
enum hf_lease_event_kind {
	HF_LEASE_EV_START,     /* lock.acquire.start */
	HF_LEASE_EV_CONFLICT,  /* lock.acquire.conflict: `other` excludes us */
	HF_LEASE_EV_WAIT,      /* lock.acquire.wait: for `seconds` at most */
	HF_LEASE_EV_ACQUIRED,  /* lock.acquire.held */
	HF_LEASE_EV_REFRESHED, /* lock.refresh.ok: took `seconds` */
	HF_LEASE_EV_FAILED,    /* lock.refresh.fail: `error`, attempt `n` */
	HF_LEASE_EV_SUSPECT,   /* lock.suspect: `seconds` since the base */
	HF_LEASE_EV_FENCED,    /* lock.fenced */
	HF_LEASE_EV_RECOVERED, /* lock.recovered: HELD again, after SUSPECT or FENCED */
	HF_LEASE_EV_LOST,      /* lock.lost: `reason` */
	HF_LEASE_EV_REMOVED,   /* lock.stale.removed: `other`, `verdict` */
	HF_LEASE_EV_IGNORED,   /* lock.invalid: a file that cannot be read was passed over */
	HF_LEASE_EV_RELEASED,  /* lock.released */
};
enum { HF_LEASE_EVENTS = HF_LEASE_EV_RELEASED + 1 };

struct hf_lease_event {
	enum hf_lease_event_kind kind;
	const char *holder; /* ours */
	struct hf_id repo;
	struct hf_id id; /* the file that it is about: ours, or the other's */
	uint64_t seq;
	unsigned n;
	double seconds;
	double fence_in_s;
	int64_t wall, boot; /* ns */
	const char *reason; /* LOST: "missing", "conflict", "new-missing", "timeout" */
	const struct hf_lock_info *other;
	const struct hf_verdict *verdict;
	const struct hf_err *error;
};
const char *hf_lease_event_text(enum hf_lease_event_kind kind); /* "lock.acquire.start", ... */

/* Called on the thread on which it happens; borrowed data, valid during the call. */
typedef void hf_lease_event_fn(void *arg, const struct hf_lease_event *ev);

struct hf_lease_options {
	enum hf_lock_mode mode;
	const char *role;  /* the command; copied */
	const char *note;  /* free text, or NULL; copied */
	double wait_s;     /* how long to try; 0: once */
	bool claims_early; /* exclusive: shut others out while waiting (--lock-wait-claim) */
	/*
	 * Shared: nothing will be changed. Where listings lag, such a holder does not wait to see
	 * whether somebody excluded him at the same moment: all that this one could do to him is
	 * to delete what he reads, and then he fails.
	 */
	bool only_reads;
	bool plain_host;
	bool trusts_hosts;                /* proof P3 */
	const struct hf_lease_pace *pace; /* NULL: hf_lease_pace */
	double scale;                     /* of the proofs' times; 0: 1 */
	const struct hf_clocks *clocks;   /* NULL: the kernel's */
	struct hf_lease_page *page;       /* where to keep the numbers; NULL: on our own */
	struct hf_watch *watch;           /* or NULL */
	uint64_t fenced_bytes;            /* packs allowed while FENCED; 0: 1 GiB */
	struct hf_stop *stop;             /* ends waiting */
	hf_lease_event_fn *on_event;      /* or NULL */
	void *arg;
	/*
	 * Shared, or NULL: our file is there, and we are about to look who else is: for who wants to
	 * look at other things in the same round trip. Called at each try.
	 */
	void (*on_written)(void *arg);
	void *written_arg;
	/* Continues the lease of a dead process of ours: its holder and its current file. */
	const char *adopt_holder;
	struct hf_id adopt_id;
};

struct hf_lease;

/*
 * Takes a lease on `repo`, which outlives it, as do the things that `options` point to, and starts
 * the thread that refreshes it. Locks of holders who are dead beyond doubt are removed on the way.
 * HF_ELOCKED: somebody excludes us; the text is restic's, and names host, user, pid and age.
 * HF_ECANCELED: `stop` was set while waiting. HF_ELOST: what should be adopted is gone.
 */
struct hf_err *hf_lease_acquire(struct hf_repo *repo, const struct hf_lease_options *options,
	struct hf_lease **out) HF_MUST;

/* NULL until the lease is LOST; then HF_ELOST, for ever. Cheap. NULL for a NULL lease. */
struct hf_err *hf_lease_check(struct hf_lease *lease) HF_MUST;

enum hf_lease_state hf_lease_state(struct hf_lease *lease);
const struct hf_lease_page *hf_lease_page(const struct hf_lease *lease);
const char *hf_lease_holder(const struct hf_lease *lease);

/*
 * Looks at the store: NULL means that our lock was there without a break from hf_lease_acquire()
 * until now, and nobody excludes us. HF_ELOST: not so, and the lease is LOST. Other errors: it
 * could not be found out.
 */
struct hf_err *hf_lease_verify(struct hf_lease *lease) HF_MUST;

/*
 * The same for who has just changed something and is about to tell of success. Where listings lag,
 * it waits first, since a listing proves nothing about the time before. HF_ECANCELED: `stop` of the
 * options cut that short.
 */
struct hf_err *hf_lease_validate(struct hf_lease *lease) HF_MUST;

/*
 * Whether a refresh has seen our lock, and nobody who excludes us, not longer ago than it is used to:
 * for who would look for caution only, and not to prove anything. False once it is LOST.
 */
bool hf_lease_looked_lately(struct hf_lease *lease);

/* The same within a twelfth of the time from one refresh to the next: 10 s. Acquiring it is a look, too. */
bool hf_lease_looked_just_now(struct hf_lease *lease);

/*
 * Looks at the store have numbers, from 1 on: how many have begun, and the newest that found our lock
 * without a break since hf_lease_acquire(), and nobody who excludes us. What was in the store when
 * hf_lease_looks() said n was there under our lock as soon as hf_lease_seen() says more than n; that
 * stays true after a loss. Verifications count, and so does each refresh. Both are 0 for a NULL lease.
 */
uint64_t hf_lease_looks(struct hf_lease *lease);
uint64_t hf_lease_seen(struct hf_lease *lease);

/* The gate of this lease, for hf_store_set_gate(). Dies with the lease. */
struct hf_gate *hf_lease_gate(struct hf_lease *lease);

/*
 * Lets the gate pass the deletion of one file, whatever the state of the lease: of a snapshot that
 * this process wrote, and could not validate. Nobody relies on it, and it is deleted late or not.
 */
void hf_lease_disown(struct hf_lease *lease, const struct hf_name *name);

/*
 * Stops the thread, deletes all files of this lease and frees it, also when it returns an error: a
 * file that stays is removed by others when it is stale. HF_ELOST: the lease had been lost. Does
 * not look at `stop`. NULL is fine.
 */
struct hf_err *hf_lease_release(struct hf_lease *lease) HF_MUST;

/* ---- other people's locks ---- */

/* One lock file, as found. */
struct hf_lock_entry {
	struct hf_id id;
	uint64_t size;
	struct hf_lock_info info; /* zeroed if `error` is set */
	struct hf_err *error;     /* why it cannot be read, or NULL; owned */
	struct hf_verdict verdict;
};
struct hf_lock_list {
	struct hf_lock_entry *v;
	size_t len;
};
void hf_lock_list_clear(struct hf_lock_list *list);

/* All lock files, judged; needs nothing but the right to read. Files that vanish are left out. */
struct hf_err *hf_lock_list(const struct hf_judge *judge, struct hf_lock_list *out) HF_MUST;

/*
 * Removes the lock `entry`, after looking once more that it is there and that its holder has no
 * newer file. *done tells whether it is gone by our hand or another's; false: the holder lives.
 * It has not been looked whether the lock is stale: that is the caller's business.
 */
struct hf_err *hf_lock_remove(
	const struct hf_judge *judge, const struct hf_lock_entry *entry, bool *done) HF_MUST;

#endif
