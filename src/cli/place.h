/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repository as the user names it: where it is and where its password comes from. Commands that
 * work with two of them (copy, init) have a second set of options for the source.
 */
#ifndef HF_CLI_PLACE_H
#define HF_CLI_PLACE_H

#include "cli/cli.h"
#include "cli/password.h"
#include "repo/repo.h"

/* All strings are borrowed from the options. */
struct hf_place {
	const char *repo, *repository_file;
	struct hf_password_source password;
	const char *key_hint;
	const char *prompt;              /* "enter password for repository: " */
	const char *missing, *ambiguous; /* what to say when no place is named, or two */
	bool is_locked;                  /* who opens it looks at the locks next */
	unsigned early; /* and at these, without a lock: bits of cli/session.h */
};

/* The one of -r and the environment. */
struct hf_place hf_place_main(const struct hf_cli *cli);

/* The options --from-* and their older names. */
struct hf_from_opts {
	char *repo, *repository_file, *password_file, *password_command, *key_hint;
	bool insecure_no_password;
	char *repo2, *repository_file2, *password_file2, *password_command2, *key_hint2;
};
#define HF_OPT_FROM(T, f, what)                                                                \
	{"from-repo", 0, HF_OPT_STRING(T, f.repo), .arg = "repository",                        \
		.env = "FROM_REPOSITORY", .help = "source repository " what},                  \
		{"from-repository-file", 0, HF_OPT_STRING(T, f.repository_file),               \
			.arg = "file", .env = "FROM_REPOSITORY_FILE",                          \
			.help = "file to read the location of the source repository from"},    \
		{"from-password-file", 0, HF_OPT_STRING(T, f.password_file), .arg = "file",    \
			.env = "FROM_PASSWORD_FILE",                                           \
			.help = "file to read the password of the source repository from"},    \
		{"from-password-command", 0, HF_OPT_STRING(T, f.password_command),             \
			.arg = "command", .env = "FROM_PASSWORD_COMMAND",                      \
			.help = "command that prints the password of the source repository"},  \
		{"from-key-hint", 0, HF_OPT_STRING(T, f.key_hint), .arg = "key",               \
			.env = "FROM_KEY_HINT",                                                \
			.help = "ID of the key of the source repository to try first"},        \
		{"from-insecure-no-password", 0, HF_OPT_FLAG(T, f.insecure_no_password),       \
			.help = "use an empty password for the source repository (insecure)"}, \
		{"repo2", 0, HF_OPT_STRING(T, f.repo2), .arg = "repository",                   \
			.env = "REPOSITORY2", .help = "",                                      \
			.instead = "use --repo or --from-repo instead"},                       \
		{"repository-file2", 0, HF_OPT_STRING(T, f.repository_file2), .arg = "file",   \
			.env = "REPOSITORY_FILE2", .help = "",                                 \
			.instead = "use --repository-file or --from-repository-file instead"}, \
		{"password-file2", 0, HF_OPT_STRING(T, f.password_file2), .arg = "file",       \
			.env = "PASSWORD_FILE2", .help = "", .is_hidden = true},               \
		{"password-command2", 0, HF_OPT_STRING(T, f.password_command2),                \
			.arg = "command", .env = "PASSWORD_COMMAND2", .help = "",              \
			.is_hidden = true},                                                    \
	{                                                                                      \
		"key-hint2", 0, HF_OPT_STRING(T, f.key_hint2),                                 \
			.arg = "key", .env = "KEY_HINT2", .help = "", .is_hidden = true        \
	}

/* True when any location is named there. */
bool hf_from_is_named(const struct hf_from_opts *from);

/* The source repository. HF_EINVAL: none is named, or both sets of options are used. */
struct hf_err *hf_place_from(const struct hf_from_opts *from, struct hf_place *out) HF_MUST;

/*
 * The location as text, owned by the caller; read from the file if one is named.
 * HF_EINVAL: none, or two.
 */
struct hf_err *hf_place_location(const struct hf_place *place, char **out) HF_MUST;

/* True when the password need not be asked for, because some source of it is named. */
bool hf_place_has_password(const struct hf_cli *cli, const struct hf_place *place);

/* "Key = value" in place: the key ends with a NUL and is in lower case; returns the value. */
char *hf_option_split(char *s);

/* Opens the store at `location` with the extended options of the command line. */
struct hf_err *hf_place_store(
	struct hf_cli *cli, const char *location, struct hf_store **out) HF_MUST;

/* What the command line says about writing. */
struct hf_repo_options hf_place_options(const struct hf_cli *cli, const struct hf_place *place);

/*
 * The steps of hf_place_open(), for who takes them in different processes: whether there is a
 * repository at `location`, and opening it with a password that is known.
 */
struct hf_err *hf_place_look(struct hf_cli *cli, const char *location) HF_MUST;
struct hf_err *hf_place_unlock(struct hf_cli *cli, const struct hf_place *place,
	const char *location, const struct hf_secret *password, struct hf_repo **out) HF_MUST;

/*
 * Opens the repository: looks whether there is one, gets the password (asking up to three times
 * on a terminal), and says so. HF_ENOREPO, HF_EAUTH lead to exit codes of their own.
 */
struct hf_err *hf_place_open(
	struct hf_cli *cli, const struct hf_place *place, struct hf_repo **out) HF_MUST;

#endif
