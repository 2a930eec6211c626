/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of a lease share: lease.c, lease_acquire.c, lease_refresh.c, lease_look.c. */
#ifndef HF_REPO_LEASE_I_H
#define HF_REPO_LEASE_I_H

#include "base/group.h"
#include "repo/lease.h"

/* Bits of hf_lease_page.flags. */
enum { LEASE_IS_HELD = 1, LEASE_IS_LOST = 2 };

/* One lock file of ours, and the kernel's mark on it (-1: none). */
struct own_file {
	struct hf_id id; /* zero: there is none */
	int fd;
};

/*
 * A file whose put failed may yet come, when the request was only slow: that it is not there to
 * be deleted does not mean that it will not be.
 */
struct doubt {
	struct hf_id id;
	int64_t since; /* ns, boot */
};

struct hf_lease {
	struct hf_gate gate;
	struct hf_repo *repo; /* borrowed, as what `o` points to */
	struct hf_lease_options o;
	struct hf_lease_pace pace;
	const struct hf_clocks *clocks;
	struct hf_lease_page own_page, *page;
	char *hostname;           /* of this host, undecorated */
	struct hf_lock_info info; /* what our files say */
	struct hf_judge judge;
	struct hf_stop *stop;    /* ends pauses; NULL once the lease is held */
	struct own_file file;    /* the thread's; its id also in `current` */
	struct own_file waiting; /* intent or claim, while we wait */
	int64_t waiting_since;   /* ns, boot: when `waiting` was written */

	pthread_mutex_t lock; /* never held during a call to the store */
	struct hf_id current; /* the file that the lease stands on */
	struct hf_buf names;  /* ids of our files that may be there, invariant (4) */
	struct hf_buf doubts; /* those of them whose put failed: struct doubt */
	struct hf_name disowned;
	struct hf_buf known; /* ids of others' locks that were read and do not threaten us */

	struct hf_bell bell; /* rings for the thread */
	atomic_bool ends, is_asked;
	atomic_uint_fast64_t fenced_bytes;
	atomic_int_least64_t verified; /* ns, boot: the last listing that was as it should be */
	atomic_uint_least64_t looks, seen;
	enum hf_lease_state reported;
	struct hf_group *group;
};

static inline int64_t
lease_boot(const struct hf_lease *l)
{
	return l->clocks->boot(l->clocks->arg);
}

struct hf_lease *lease_new(struct hf_repo *repo, const struct hf_lease_options *o);
void lease_free(struct hf_lease *l);                    /* leaves the files; NULL is fine */
struct hf_err *lease_start(struct hf_lease *l) HF_MUST; /* the thread */

/* How long a rival may be there before he counts: longer where he needs longer to see us. */
double lease_conflict(const struct hf_lease *l);

/* A listing shows what is there; elsewhere everything takes longer. */
static inline bool
lease_sees_at_once(const struct hf_lease *l)
{
	return hf_store_promises(hf_repo_store(l->repo), HF_LISTS_AT_ONCE);
}

/* Seconds to the next try after so many failures, 1 at least: 1, 2, 4 … 30 times the first. */
double lease_again(const struct hf_lease *l, unsigned failures);

/* Waits `seconds`, or until the lease ends or the user wants to stop. */
void lease_pause(struct hf_lease *l, double seconds);

/* Tells; `ev` has what is special, the rest is filled in. */
void lease_tell(struct hf_lease *l, struct hf_lease_event ev);

/* The lease is lost for ever. */
void lease_lose(struct hf_lease *l, const char *reason, const struct hf_lock_info *rival);

/* The lease stands on `file`, which it takes. What it stood on before is the caller's. */
struct own_file lease_stand_on(struct hf_lease *l, struct own_file *file);

/* It counts from these clock readings, taken before the stamp in the file it stands on. */
void lease_extend(struct hf_lease *l, int64_t boot, int64_t wall);

/* ---- our files ---- */

/* Remembers a name as one of ours, invariant (4). */
struct hf_err *lease_own(struct hf_lease *l, const struct hf_id *id) HF_MUST;

/* Writes a file with the present time, remembered before it is tried. */
struct hf_err *lease_write(struct hf_lease *l, struct own_file *out) HF_MUST;

/* Deletes a file of ours, if it is there; it is forgotten only when it is gone for good. */
struct hf_err *lease_delete(struct hf_lease *l, struct own_file *file) HF_MUST;

/* Deletes every file that may be there, at the end; tries again if the store does not answer. */
struct hf_err *lease_delete_all(struct hf_lease *l) HF_MUST;

/* Deletes all but the current file and the waiting one. Failures keep for the next time. */
void lease_delete_ghosts(struct hf_lease *l);

/* ---- looking ---- */

/* What one listing has shown. */
struct sight {
	bool has_first, has_second; /* the files that were asked for */
	bool moved;                 /* a lock vanished before it could be read: look again */
	bool has_rival;
	struct hf_id rival_id;
	struct hf_lock_info rival; /* owned, if has_rival */
};
void sight_clear(struct sight *s);

/*
 * Lists the locks, tells whether `first` and `second` (either may be NULL) are there, and reads
 * those of others that are not known yet. `is_rival` decides, given our info and theirs. What
 * cannot be read is the error, if there is no rival; with `skips_bad` it is passed over.
 */
struct hf_err *lease_look(struct hf_lease *l, const struct hf_id *first,
	const struct hf_id *second,
	bool (*is_rival)(const struct hf_lock_info *, const struct hf_lock_info *),
	bool skips_bad, struct sight *out) HF_MUST;

/* One refresh, from the first listing to the last. HF_ELOST: the lease is lost. */
struct hf_err *lease_refresh(struct hf_lease *l) HF_MUST;

#endif
