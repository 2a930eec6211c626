/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the command line and the environment say about leases, in one place, for all commands that
 * take one: --retry-lock, and the extended options
 *
 *	lock.trust-hostname=yes   proof P3: a lock of restic from a host of our name is dead if there
 *	                          is no such process here
 *	lock.plain-hostname=yes   locks look exactly as restic's
 *	lock.scale=0.01           multiplies all times, for tests
 */
#ifndef HF_CLI_LEASE_OPTS_H
#define HF_CLI_LEASE_OPTS_H

#include "cli/cli.h"
#include "repo/lease.h"
#include "store/open.h"

/* The extended options of the group `lock`. */
struct hf_lock_options {
	double scale;  /* 1 */
	double settle; /* seconds, before they are scaled */
	bool trusts_hosts, plain_host;
};

/* Calls fn() for every extended option: those of stores, and these. */
void hf_extended_options(hf_store_option_fn *fn, void *arg);

/* HF_EINVAL: an option `lock.X` is not known, or its value makes no sense. */
struct hf_err *hf_lock_options(const struct hf_cli *cli, struct hf_lock_options *out) HF_MUST;

/* Options of a lease and what they point to. Stays where it is; outlives the lease. */
struct hf_lease_setup {
	struct hf_lease_pace pace;
	struct hf_watch *watch;
	char *hostname;
	struct hf_lease_options options;
};

/*
 * Fills in everything but the mode and the note; the role is the command's name, and events go to
 * hf_lease_log(). What was seen of other people's locks is remembered in $XDG_STATE_HOME/holdfast/seen.
 */
struct hf_err *hf_lease_setup(
	struct hf_cli *cli, struct hf_repo *repo, struct hf_lease_setup *out) HF_MUST;
void hf_lease_setup_clear(struct hf_lease_setup *s);

/* For who judges locks without taking one. Dies with `setup`. */
struct hf_judge hf_lease_setup_judge(struct hf_lease_setup *setup, struct hf_repo *repo);

/*
 * What an event of a lease is for people: one line for `out`, which is said at *level and, if
 * *is_warning, on standard error. False: nothing. `n_waits` counts events of waiting, so that only
 * the first is said to all.
 */
bool hf_lease_event_say(const struct hf_lease_event *ev, unsigned *n_waits, struct hf_buf *out,
	enum hf_say *level, bool *is_warning);

#endif
