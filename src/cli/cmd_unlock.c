/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unlock: removes locks behind which there is nobody. break-lock, which users of Borg look for, is
 * unlock --remove-all after a question.
 */
#include <stdio.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/password.h"
#include "cli/session.h"

struct unlock_options {
	bool all, wait, force;
	bool is_sure; /* of break-lock */
	char *id;
};

static const struct hf_opt options[] = {
	{"remove-all", 0, HF_OPT_FLAG(struct unlock_options, all),
		.help = "remove all locks, also those whose holder may live; those whose "
			"holder "
			"does live only with --force"},
	{"wait", 0, .is_ours = true, HF_OPT_FLAG(struct unlock_options, wait),
		.help = "watch the locks of which nobody knows whether their holder lives, for "
			"31 minutes at most, until it is known"},
	{"id", 0, .is_ours = true, HF_OPT_STRING(struct unlock_options, id), .arg = "lock",
		.help = "remove the lock with this ID"},
	{"force", 0, .is_ours = true, HF_OPT_FLAG(struct unlock_options, force),
		.help = "with --id or --remove-all: also if its holder lives, who will lose "
			"what it is doing"},
};

/* Seconds between two looks, and for how long; both are scaled. */
#define LOOK_S  15.0
#define WATCH_S 1900.0

struct unlock {
	struct hf_cli *cli;
	const struct unlock_options *o;
	struct hf_judge judge;
	size_t n_removed, n_alive, n_unknown;
	bool is_last; /* of the looks: say what stays */
};

static void
say_kept(struct unlock *u, const struct hf_lock_entry *e, const char *advice)
{
	hf_autofree char *verdict = hf_verdict_text(&e->verdict);
	hf_autofree char *who = e->error == NULL ? hf_lock_who(&e->info)
						 : hf_str_dup(hf_str("an invalid file"));

	if (u->is_last)
		hf_say(u->cli->out, HF_SAY_NORMAL, "kept lock %.8s: %s, %s%s",
			hf_id_hex(&e->id).s, who, verdict, advice);
}

static struct hf_err *
remove_lock(struct unlock *u, const struct hf_lock_entry *e)
{
	bool done;
	struct hf_err *err = hf_lock_remove(&u->judge, e, &done);

	HF_TRY(hf_err_in(err, "removing lock %.8s", hf_id_hex(&e->id).s));
	u->n_removed += done;
	if (!done)
		u->n_alive++;
	return NULL;
}

/* One lock: removed if it is dead, or if the user says so. */
static struct hf_err *
judge_one(struct unlock *u, const struct hf_lock_entry *e)
{
	if (e->verdict.proof != HF_PROOF_NONE)
		return remove_lock(u, e);
	if (e->verdict.is_alive) {
		if (u->o->all && u->o->force)
			return remove_lock(u, e);
		u->n_alive++;
		say_kept(u, e, "");
		return NULL;
	}
	if (u->o->all)
		return remove_lock(u, e);
	u->n_unknown++;
	say_kept(u, e, " (--wait watches it, --remove-all removes it)");
	return NULL;
}

static struct hf_err *
look(struct unlock *u)
{
	hf_auto(hf_lock_list) list = {0};

	u->n_alive = u->n_unknown = 0;
	HF_TRY(hf_lock_list(&u->judge, &list));
	for (size_t i = 0; i < list.len; i++)
		HF_TRY(judge_one(u, &list.v[i]));
	return NULL;
}

static struct hf_err *
look_and_wait(struct unlock *u)
{
	double end = hf_clock() + WATCH_S * u->judge.scale;

	while (u->o->wait) {
		HF_TRY(look(u));
		if (u->n_unknown == 0 || hf_clock() >= end)
			break;
		HF_TRY(hf_stop_wait(&u->cli->stop, LOOK_S * u->judge.scale));
	}
	u->is_last = true;
	return look(u);
}

static struct hf_err *
remove_one(struct unlock *u)
{
	hf_auto(hf_lock_list) list = {0};
	struct hf_id id;

	HF_TRY(hf_repo_resolve(u->judge.repo, HF_LOCK, u->o->id, &id));
	HF_TRY(hf_lock_list(&u->judge, &list));
	for (size_t i = 0; i < list.len; i++) {
		const struct hf_lock_entry *e = &list.v[i];

		if (!hf_id_eq(&e->id, &id))
			continue;
		if (e->verdict.proof != HF_PROOF_NONE || u->o->force)
			return remove_lock(u, e);
		hf_autofree char *verdict = hf_verdict_text(&e->verdict);
		return hf_err(HF_EINVAL,
			"lock %.8s: its holder is not known to be dead (%s)\n--force removes "
			"it "
			"all the same; a program that still works under it loses its "
			"protection",
			hf_id_hex(&id).s, verdict);
	}
	return hf_err(HF_ENOTFOUND, "lock %.8s is not there", hf_id_hex(&id).s);
}

static struct hf_err *
no_arguments(struct hf_cli *cli, const struct hf_args *args)
{
	if (args->len == 0)
		return NULL;
	return hf_err(HF_EINVAL,
		"the %s command expects no arguments, only options - please see `holdfast help "
		"%s` "
		"for usage and flags",
		cli->command->name, cli->command->name);
}

static struct hf_err *
tell_end(const struct unlock *u)
{
	if (u->n_removed > 0)
		hf_say(u->cli->out, HF_SAY_NORMAL, "successfully removed %zu locks",
			u->n_removed);
	if (u->n_alive > 0 && u->o->all)
		return hf_err(HF_ELOCKED,
			"%zu locks were kept because their holders live\n--force removes them; "
			"what they are doing is then unprotected",
			u->n_alive);
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct unlock_options *o = opts;
	hf_auto(hf_session) session = {0};
	struct unlock u = {.cli = cli, .o = o};
	bool has_id = o->id != NULL && *o->id != '\0';

	HF_TRY(no_arguments(cli, args));
	if (o->force && !has_id && !o->all)
		return hf_err(HF_EINVAL, "--force needs --id or --remove-all");
	HF_TRY(hf_session_open(cli, HF_SESSION_UNLOCKED, true, &session));
	u.judge = hf_lease_setup_judge(&session.setup, session.repo);
	HF_TRY(has_id ? remove_one(&u) : look_and_wait(&u));
	return tell_end(&u);
}

/* ---- break-lock ---- */

#define T struct unlock_options
static const struct hf_opt break_options[] = {
	{"yes", 0, HF_OPT_FLAG(T, is_sure), .help = "remove the locks without a question"},
	{"force", 0, HF_OPT_FLAG(T, force),
		.help = "also locks whose holders live, who will lose what they are doing"},
};
#undef T

static struct hf_err *
show_locks(struct unlock *u, size_t *n)
{
	hf_auto(hf_lock_list) list = {0};

	HF_TRY(hf_lock_list(&u->judge, &list));
	*n = list.len;
	for (size_t i = 0; i < list.len; i++) {
		const struct hf_lock_entry *e = &list.v[i];
		hf_autofree char *verdict = hf_verdict_text(&e->verdict);
		hf_autofree char *who = e->error == NULL
						? hf_lock_who(&e->info)
						: hf_str_dup(hf_str("an invalid file"));

		hf_say_err(u->cli->out, "lock %.8s: %s, %s", hf_id_hex(&e->id).s, who, verdict);
	}
	return NULL;
}

/* Nothing happens unless somebody says so: with the option, or on the terminal. */
static struct hf_err *
ask(struct unlock *u, size_t n)
{
	hf_auto(hf_buf) answer = HF_BUF_MAX(1024);
	char question[128];

	if (!hf_is_interactive())
		return hf_err(HF_EINVAL,
			"nobody can be asked whether to remove %zu locks\n--yes removes them "
			"without a question",
			n);
	snprintf(question, sizeof question, "Remove %zu locks? Type yes: ", n);
	HF_TRY(hf_ask(u->cli, question, &answer));
	if (!hf_str_is(hf_text_trim(hf_bytes_str(hf_buf_bytes(&answer))), "yes"))
		return hf_err(HF_EINVAL, "nothing was removed");
	return NULL;
}

static struct hf_err *
run_break(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	struct unlock_options *o = opts;
	hf_auto(hf_session) session = {0};
	struct unlock u = {.cli = cli, .o = o};
	size_t n;

	HF_TRY(no_arguments(cli, args));
	o->all = true;
	HF_TRY(hf_session_open(cli, HF_SESSION_UNLOCKED, true, &session));
	u.judge = hf_lease_setup_judge(&session.setup, session.repo);
	if (!o->is_sure) {
		HF_TRY(show_locks(&u, &n));
		if (n == 0)
			return NULL;
		HF_TRY(ask(&u, n));
	}
	HF_TRY(look_and_wait(&u));
	return tell_end(&u);
}

const struct hf_command hf_cmd_break_lock = {
	.name = "break-lock",
	.usage = "[flags]",
	.summary = "Remove all locks, after a question",
	.text = "Shows the locks, asks, and removes them, as unlock --remove-all does: those "
		"whose\n"
		"holders live stay unless --force is given.",
	HF_COMMAND_OPTS(break_options, struct unlock_options),
	.run = run_break,
};

const struct hf_command hf_cmd_unlock = {
	.name = "unlock",
	.usage = "[flags]",
	.summary = "Remove locks that other processes left behind",
	.text = "Removes the locks whose holders are dead beyond doubt, and says of the "
		"others\n"
		"what is known of them. Commands that need a lock do the same by themselves.",
	HF_COMMAND_OPTS(options, struct unlock_options),
	.run = run,
};
