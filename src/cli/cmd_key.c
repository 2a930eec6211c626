/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * key add, list, passwd and remove. All keys hold the same master key, each under its own password.
 * A key goes only when another one is known to open the repository: the one that just did, or a new
 * one that has been read back.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/host.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/password.h"
#include "cli/session.h"
#include "cli/snaplist.h"
#include "cli/table.h"
#include "repo/key.h"

static struct hf_err *
no_arguments(struct hf_cli *cli, const struct hf_args *args)
{
	if (args->len == 0)
		return NULL;
	return hf_err(HF_EINVAL,
		"the %s command expects no arguments, only options - please see `%s help %s` "
		"for "
		"usage and flags",
		cli->command->name, cli->program, cli->command->name);
}

/* ---- add, passwd ---- */

struct new_options {
	char *password_file, *user, *host;
	bool is_empty;
};

#define T struct new_options
static const struct hf_opt new_options[] = {
	{"new-password-file", 0, HF_OPT_STRING(T, password_file), .arg = "file",
		.help = "file to read the new password from"},
	{"new-insecure-no-password", 0, HF_OPT_FLAG(T, is_empty),
		.help = "take an empty password (insecure)"},
	{"user", 0, HF_OPT_STRING(T, user), .arg = "name",
		.help = "user name that the key is shown with. Else that of the user"},
	{"host", 0, HF_OPT_STRING(T, host), .arg = "name",
		.help = "host name that the key is shown with. Else that of this host"},
};
#undef T

static struct hf_err *
new_password(struct hf_cli *cli, const struct new_options *o, struct hf_secret *out)
{
	if (o->is_empty && hf_is_set(o->password_file))
		return hf_err(HF_EINVAL, "only either --new-password-file or "
					 "--new-insecure-no-password may be specified");
	if (o->is_empty)
		return NULL;
	if (!hf_is_set(o->password_file))
		return hf_password_ask_new(cli, "enter new password: ", out);
	HF_TRY(hf_password_file(cli, o->password_file, out));
	if (out->len == 0)
		return hf_err(HF_EINVAL,
			"an empty password is not allowed by default. Pass the flag "
			"`--new-insecure-no-password` to %s to disable this check",
			cli->program);
	return NULL;
}

/* Asks for the new password, writes the new key and proves it. */
static struct hf_err *
add(struct hf_session *s, const struct new_options *o, struct hf_id *id)
{
	hf_auto(hf_secret) password = {0};
	hf_autofree char *user =
		hf_is_set(o->user) ? hf_str_dup(hf_str(o->user)) : hf_user_name(getuid());
	hf_autofree char *host =
		hf_is_set(o->host) ? hf_str_dup(hf_str(o->host)) : hf_host_name();

	HF_TRY(new_password(s->cli, o, &password));
	return hf_key_add(
		hf_repo_store(s->repo), hf_repo_key(s->repo), &password, user, host, id);
}

static struct hf_err *
run_add(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(hf_session) session = {0};
	struct hf_id id;

	HF_TRY(no_arguments(cli, args));
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, false, &session));
	HF_TRY(add(&session, opts, &id));
	/* As with restic, --json changes nothing. */
	if (!cli->global.is_quiet)
		hf_say(cli->out, HF_SAY_DATA, "saved new key with ID %s", hf_id_hex(&id).s);
	return NULL;
}

/* restic prints what the key is about; its ID is of more use. */
static void
say_changed(struct hf_session *s, const struct hf_id *id)
{
	hf_auto(hf_key_info) info = {0};
	hf_auto(hf_buf) text = HF_BUF_MAX(64 << 10);
	hf_autoptr(hf_err) e = NULL;

	if (s->cli->is_restic)
		e = hf_key_read(hf_repo_store(s->repo), id, &info);
	if (s->cli->is_restic && e == NULL) {
		hf_buf_addf(&text, "<Key of %s@%s, created on ", info.username, info.hostname);
		hf_go_time(&text, &info.created);
		hf_buf_add_char(&text, '>');
	} else {
		hf_buf_add_str(&text, hf_id_hex(id).s);
	}
	hf_say(s->cli->out, HF_SAY_DATA, "saved new key as %.*s", (int)text.len,
		(const char *)text.p);
}

static struct hf_err *
run_passwd(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(hf_session) session = {0};
	struct hf_name old = {.kind = HF_KEY};
	struct hf_id id;

	HF_TRY(no_arguments(cli, args));
	HF_TRY(hf_session_open(cli, HF_SESSION_EXCLUSIVE, false, &session));
	old.id = *hf_repo_key_id(session.repo);
	HF_TRY(add(&session, opts, &id));
	HF_TRY(hf_err_in(hf_store_del(hf_repo_store(session.repo), &old),
		"the new key %.8s is saved; removing the old key %.8s", hf_id_hex(&id).s,
		hf_id_hex(&old.id).s));
	if (!cli->global.is_quiet)
		say_changed(&session, &id);
	return NULL;
}

/* ---- remove ---- */

static struct hf_err *
run_remove(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(hf_session) session = {0};
	hf_autofree struct hf_id *ids = NULL;
	struct hf_name name = {.kind = HF_KEY};
	size_t n;

	(void)opts;
	if (args->len != 1)
		return hf_err(HF_EINVAL, "key remove expects one argument as the key id");
	HF_TRY(hf_session_open(cli, HF_SESSION_EXCLUSIVE, false, &session));
	HF_TRY(hf_repo_list(session.repo, HF_KEY, &ids, NULL, &n));
	HF_TRY(hf_ids_resolve(ids, n, args->v[0], &name.id));
	if (hf_id_eq(&name.id, hf_repo_key_id(session.repo)))
		return hf_err(HF_EINVAL,
			"refusing to remove key currently used to access repository");
	HF_TRY(hf_err_in(hf_store_del(hf_repo_store(session.repo), &name), "removing key %.8s",
		hf_id_hex(&name.id).s));
	hf_say(cli->out, HF_SAY_NORMAL, "removed key %s", hf_id_hex(&name.id).s);
	return NULL;
}

/* ---- list ---- */

struct listing {
	struct hf_cli *cli;
	struct hf_session *session;
	struct hf_table *table; /* NULL under --json */
	struct hf_jout json;
};

static void
add_row(struct hf_table *t, const struct hf_id *id, bool is_current,
	const struct hf_key_info *info)
{
	char text[16];

	snprintf(text, sizeof text, "%c%.8s", is_current ? '*' : ' ', hf_id_hex(id).s);
	hf_table_add(t, text);
	hf_table_add(t, info->username);
	hf_table_add(t, info->hostname);
	hf_table_add(t, hf_format_time(&info->created).s);
}

static void
add_object(struct hf_jout *o, const struct hf_id *id, bool is_current,
	const struct hf_key_info *info)
{
	hf_jout_object(o);
	hf_jout_key(o, "current");
	hf_jout_bool(o, is_current);
	hf_jout_key(o, "id");
	hf_jout_id(o, id);
	hf_jout_field_str(o, "userName", info->username);
	hf_jout_field_str(o, "hostName", info->hostname);
	hf_jout_field_str(o, "created", hf_format_time(&info->created).s);
	hf_jout_object_end(o);
}

/* A key that cannot be read is told, and left out. */
static void
list_one(struct listing *l, const struct hf_id *id)
{
	bool is_current = hf_id_eq(id, hf_repo_key_id(l->session->repo));
	hf_auto(hf_key_info) info = {0};
	hf_autoptr(hf_err) e = hf_key_read(hf_repo_store(l->session->repo), id, &info);

	if (e != NULL)
		hf_say_err(l->cli->out, "LoadKey() failed: %s", hf_err_text(e));
	else if (l->table != NULL)
		add_row(l->table, id, is_current, &info);
	else
		add_object(&l->json, id, is_current, &info);
}

static struct hf_err *
run_list(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	static const char *const headers[] = {" ID", "User", "Host", "Created"};
	hf_auto(hf_session) session = {0};
	hf_auto(hf_buf) json = HF_BUF_MAX(64 << 20);
	hf_autoptr(hf_table) table = NULL;
	hf_autofree struct hf_id *ids = NULL;
	struct listing l = {.cli = cli, .session = &session, .json = {.buf = &json}};
	size_t n;

	(void)opts;
	HF_TRY(no_arguments(cli, args));
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(hf_repo_list(session.repo, HF_KEY, &ids, NULL, &n));
	if (!cli->global.is_json)
		l.table = table = hf_table_new(headers, sizeof headers / sizeof headers[0]);
	hf_jout_array(&l.json);
	for (size_t i = 0; i < n; i++)
		list_one(&l, &ids[i]);
	hf_jout_array_end(&l.json);
	if (table != NULL)
		hf_table_print(table, false, cli->out);
	else
		hf_out_json(cli->out, &json);
	return NULL;
}

/* ---- the word alone ---- */

static struct hf_err *
run_key(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	(void)opts;
	if (args->len > 0 && !cli->is_restic)
		return hf_err(HF_EINVAL, "unknown command \"key %s\"", args->v[0]);
	hf_cli_help(cli, cli->command);
	return NULL;
}

const struct hf_command hf_cmd_key = {
	.name = "key",
	.usage = "[command]",
	.summary = "Manage keys and passwords",
	.text = "A repository can have several keys. Each opens it with a password of its own.",
	.is_hidden = true,
	.run = run_key,
};

const struct hf_command hf_cmd_key_add = {
	.name = "key add",
	.usage = "[flags]",
	.summary = "Add a key with a new password",
	.text = "Adds a key that opens the repository with a new password, proves it, and "
		"prints\n"
		"its ID.",
	HF_COMMAND_OPTS(new_options, struct new_options),
	.run = run_add,
};

const struct hf_command hf_cmd_key_list = {
	.name = "key list",
	.usage = "[flags]",
	.summary = "List the keys",
	.text = "Lists the keys of the repository. A star marks the one that opened it.",
	.run = run_list,
};

const struct hf_command hf_cmd_key_passwd = {
	.name = "key passwd",
	.usage = "[flags]",
	.summary = "Change the password",
	.text = "Adds a key with a new password, proves it, and removes the one that opened "
		"the\n"
		"repository.",
	HF_COMMAND_OPTS(new_options, struct new_options),
	.run = run_passwd,
};

const struct hf_command hf_cmd_key_remove = {
	.name = "key remove",
	.usage = "[flags] keyID",
	.summary = "Remove a key",
	.text = "Removes a key, with which its password opens the repository no more. The key "
		"that\n"
		"opened the repository is not removed.",
	.run = run_remove,
};
