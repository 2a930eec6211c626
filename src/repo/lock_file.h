/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands in a lock file: the fields that every program of this format knows
 * (restic-format 9), and one more, "holdfast", which the others pass over and which says who holds
 * the lock, as what, and how it can be found out whether he lives.
 *
 * The host name of our locks is decorated, "nas [holdfast]", so that it equals no real one.
 * restic's `unlock` looks for the process of a lock from a host of its own name, in its own pid
 * namespace, whoever owns it, and with SIGHUP: it has removed locks of living backups that way,
 * and ended programs that had nothing to do with any (docs/locking-design.md).
 */
#ifndef HF_REPO_LOCK_FILE_H
#define HF_REPO_LOCK_FILE_H

#include "base/proc.h"
#include "base/time.h"
#include "repo/repo.h"

enum hf_lock_mode {
	HF_LOCK_SHARED,    /* may add files: backup, copy; many at a time */
	HF_LOCK_EXCLUSIVE, /* may delete files, or must see no change: check, prune; alone */
};

enum {
	HF_HOLDER_HEX = 32, /* digits of a holder's id */
	HF_TICKET_HEX = 24, /* digits of a ticket */
};

/* Strings are owned, and never NULL in what hf_lock_parse() and hf_lock_info_self() fill. */
struct hf_lock_info {
	struct hf_time time; /* when this file was made */
	bool is_exclusive;
	char *hostname, *username;
	int64_t pid;
	uint32_t uid, gid;

	/* The rest only in our own locks. */
	bool is_ours;
	char holder[HF_HOLDER_HEX + 1]; /* random; the same in all files of one holder */
	char ticket[HF_TICKET_HEX + 1]; /* who came first: the smaller in text order */
	uint64_t seq;                   /* files of this holder before this one */
	struct hf_id prev;              /* the file that this one replaces; zero: none */
	struct hf_time since;           /* when the holder got the lock */
	char *role;                     /* "backup", "prune", "with-lock"; the command */
	bool wants_exclusive;           /* shared, but waits to become exclusive */
	bool is_claim;                  /* exclusive, but still waits for others to go */
	double ttl_s, fence_s, every_s; /* the holder's times, repo/lease.h */
	struct hf_proc proc;
	bool is_held; /* the kernel keeps a mark on the file: store.h, hf_store_put_held() */
	char *prog, *note;
};

void hf_lock_info_clear(struct hf_lock_info *info);

/* HF_ECORRUPT: it cannot be read. */
struct hf_err *hf_lock_parse(struct hf_bytes json, struct hf_lock_info *out) HF_MUST;
void hf_lock_write(struct hf_buf *out, const struct hf_lock_info *info);

/*
 * What this process writes into its locks: a new holder, with everything but mode, role and
 * times. `plain_host`: without the decoration.
 */
void hf_lock_info_self(struct hf_lock_info *out, bool plain_host);

/* Sets role and note, either may be NULL. */
void hf_lock_info_label(struct hf_lock_info *info, const char *role, const char *note);

/* Loads and reads one lock file. HF_ENOTFOUND: it is gone. HF_ECORRUPT: it cannot be read. */
struct hf_err *hf_lock_load(
	struct hf_repo *repo, const struct hf_id *id, struct hf_lock_info *out) HF_MUST;

/*
 * True when a lock like `other` keeps us from getting one like `wish`: one of the two is
 * exclusive, or they have a role that only one at a time may have, or `other` has waited for an
 * exclusive lock for longer than we have waited. Of two who wait to be exclusive the later does
 * not count for the earlier.
 */
bool hf_lock_excludes(const struct hf_lock_info *wish, const struct hf_lock_info *other);

/* The same for one that we hold: who only waits is not in our way. */
bool hf_lock_threatens(const struct hf_lock_info *ours, const struct hf_lock_info *other);

/*
 * True when `other` must give way to `wish`, should both have made their files at the same time:
 * it is one of us, and came later.
 */
bool hf_lock_yields(const struct hf_lock_info *wish, const struct hf_lock_info *other);

/* "PID 4 on nas [holdfast] by root", for messages. The caller frees it. */
char *hf_lock_who(const struct hf_lock_info *info);

#endif
