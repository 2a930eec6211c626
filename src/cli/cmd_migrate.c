/* SPDX-License-Identifier: BSD-2-Clause */
/* migrate: brings a repository to a newer format. */
#include <stdio.h>

#include "cli/check.h"
#include "cli/commands.h"
#include "engine/upgrade.h"

struct migrate_options {
	bool is_forced;
};

static const struct hf_opt options[] = {
	{"force", 'f', HF_OPT_FLAG(struct migrate_options, is_forced),
		.help = "apply a migration a second time"},
};

struct migration {
	const char *name, *text;
	/* *reason, the caller's, says why it cannot be applied; NULL: it can. */
	void (*check)(const struct hf_repo *repo, char **reason);
	struct hf_err *(*apply)(struct hf_cli *cli, struct hf_repo *repo);
};

static void
check_version(const struct hf_repo *repo, char **reason)
{
	unsigned version = hf_repo_config(repo)->version;

	*reason = NULL;
	if (version != 1 &&
		asprintf(reason, "repository is already upgraded to version %u", version) < 0)
		abort();
}

static struct hf_err *
upgrade(struct hf_cli *cli, struct hf_repo *repo)
{
	const char *tmp = getenv("TMPDIR");
	hf_autofree char *copy = NULL;
	struct hf_err *e = hf_upgrade(repo, hf_is_set(tmp) ? tmp : "/tmp", &copy);

	if (copy != NULL)
		hf_say_err(cli->out,
			"there is a backup of the config file in %s\nThe repository cannot be "
			"opened before it is there again, as the file config.",
			copy);
	return e;
}

static const struct migration migrations[] = {
	{"upgrade_repo_v2", "upgrade a repository to version 2", check_version, upgrade},
};
enum { N_MIGRATIONS = sizeof migrations / sizeof migrations[0] };

static void
list(struct hf_cli *cli, const struct hf_repo *repo)
{
	bool has_any = false;

	hf_say(cli->out, HF_SAY_NORMAL, "available migrations:");
	for (size_t i = 0; i < N_MIGRATIONS; i++) {
		hf_autofree char *reason = NULL;

		migrations[i].check(repo, &reason);
		if (reason != NULL)
			continue;
		has_any = true;
		hf_say(cli->out, HF_SAY_NORMAL, "  %s\t%s", migrations[i].name,
			migrations[i].text);
	}
	if (!has_any)
		hf_say(cli->out, HF_SAY_NORMAL, "no migrations found");
}

/* A damaged repository stays as it is. What the check says is JSON if that is wanted. */
static struct hf_err *
check_first(struct hf_session *s)
{
	struct hf_cli *cli = s->cli;

	hf_say(cli->out, HF_SAY_NORMAL, "checking repository integrity...");
	hf_out_set_level(cli->out, hf_out_level(cli->out), cli->global.is_json);
	struct hf_err *e = hf_check_session(s);
	hf_out_speak(cli->out);
	return e;
}

/* Applies one. What fails is told, and *failed is the first error of several. */
static struct hf_err *
apply(struct hf_session *s, const struct migration *m, bool is_forced, struct hf_err **failed)
{
	struct hf_cli *cli = s->cli;
	hf_autofree char *reason = NULL;

	m->check(s->repo, &reason);
	if (reason != NULL && !is_forced) {
		hf_say_err(cli->out,
			"migration %s cannot be applied: %s\nIf you want to apply this "
			"migration anyway, re-run with option --force",
			m->name, reason);
		return NULL;
	}
	if (reason != NULL)
		hf_say_err(
			cli->out, "check for migration %s failed, continuing anyway", m->name);
	HF_TRY(check_first(s));
	hf_say(cli->out, HF_SAY_NORMAL, "applying migration %s...", m->name);
	struct hf_err *e = m->apply(cli, s->repo);
	if (e == NULL) {
		hf_say(cli->out, HF_SAY_NORMAL, "migration %s: success", m->name);
		return NULL;
	}
	hf_say_err(cli->out, "migration %s failed: %s", m->name, hf_err_text(e));
	if (*failed == NULL)
		*failed = e;
	else
		hf_err_free(e);
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct migrate_options *o = opts;
	hf_auto(hf_session) session = {0};
	hf_autoptr(hf_err) failed = NULL;

	hf_out_speak(cli->out);
	HF_TRY(hf_session_open(cli, HF_SESSION_EXCLUSIVE, false, &session));
	if (args->len == 0)
		list(cli, session.repo);
	for (size_t i = 0; i < args->len; i++) {
		bool is_known = false;

		for (size_t k = 0; k < N_MIGRATIONS; k++) {
			if (strcmp(migrations[k].name, args->v[i]) != 0)
				continue;
			is_known = true;
			HF_TRY(apply(&session, &migrations[k], o->is_forced, &failed));
		}
		if (!is_known)
			hf_say_err(cli->out, "unknown migration %s", args->v[i]);
	}
	return hf_steal(failed);
}

const struct hf_command hf_cmd_migrate = {
	.name = "migrate",
	.usage = "[flags] [migration name] [...]",
	.summary = "Apply migrations",
	.text = "Applies migrations to the repository: changes of its format. Without a name,\n"
		"those that can be applied are listed. Before, the repository is checked.",
	HF_COMMAND_OPTS(options, struct migrate_options),
	.run = run,
};
