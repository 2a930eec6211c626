/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `rewrite` and `repair snapshots` have in common: a snapshot whose tree became another one, or
 * that gets other metadata, is saved anew, and what is done about it is said.
 */
#ifndef HF_CLI_RESHAPE_H
#define HF_CLI_RESHAPE_H

#include "cli/session.h"
#include "engine/retree.h"

struct hf_reshape {
	struct hf_cli *cli;
	struct hf_session *session;
	struct hf_retree *retree; /* what makes the trees, while hf_reshape_all() runs */
	bool is_dry_run;
	bool forgets;            /* the old snapshot goes; else the new one gets `tag` */
	bool keeps_when_nothing; /* a snapshot of which nothing is left stays as it is; else it goes */
	bool proves;             /* with `forgets`: only after a check of the new one */
	size_t first_fresh; /* number of the first pack that is written for the next snapshot */
	const char *tag;
	const char *new_host;           /* or NULL */
	const struct hf_time *new_time; /* or NULL */
	size_t n_changed;
};

/*
 * Opens the repository with the lock that it takes: an exclusive one for who deletes, none for who
 * only looks. Who only adds goes on when it is lost. Lists the snapshots before the index is loaded.
 */
struct hf_err *hf_reshape_open(struct hf_reshape *r, bool is_exclusive,
	const struct hf_filter_opts *filter, const struct hf_args *ids,
	struct hf_snapshots *out) HF_MUST;

/*
 * The tree of `s` has become `tree`, of these files if `sum` is not NULL: saves it, unless nothing
 * has changed.
 */
struct hf_err *hf_reshape(struct hf_reshape *r, struct hf_snapshot *s, const struct hf_id *tree,
	const struct hf_retree_sum *sum) HF_MUST;

/*
 * Calls one(), which makes a tree and calls hf_reshape(), for each snapshot of `list`, and says how
 * many were modified. When a shared lock is lost, it calls one() once more for the snapshot that was
 * not validated, under a new lock. HF_ECANCELED: told to stop. Other errors name the snapshot.
 */
typedef struct hf_err *hf_reshape_fn(void *arg, struct hf_reshape *r, struct hf_snapshot *s);
struct hf_err *hf_reshape_all(struct hf_reshape *r, const struct hf_retree_rules *rules,
	struct hf_snapshots *list, hf_reshape_fn *one, void *arg) HF_MUST;

#endif
