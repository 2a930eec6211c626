/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a password comes from. At most one of a file, a command and a file descriptor is named;
 * then the environment; then the user is asked, on the terminal if standard input is one, else
 * one line of standard input is read.
 *
 * Passwords are held in struct hf_secret from the first byte on, never printed, and never handed
 * to a child process.
 */
#ifndef HF_CLI_PASSWORD_H
#define HF_CLI_PASSWORD_H

#include "cli/cli.h"

struct hf_password_source {
	const char *file, *command; /* or NULL */
	int64_t fd;                 /* or -1 */
	bool is_none;               /* --insecure-no-password */
	const char *env;            /* "PASSWORD", "FROM_PASSWORD" */
};

/*
 * Reads the password without asking anybody. *has is false when no source is named: then the
 * caller asks. HF_EINVAL: sources exclude each other, or the command does.
 */
struct hf_err *hf_password_resolve(struct hf_cli *cli, const struct hf_password_source *source,
	struct hf_secret *out, bool *has) HF_MUST;

/*
 * Asks with `prompt`, or reads a line of standard input when that is no terminal. HF_EINVAL: the
 * password is empty. HF_ECANCELED: interrupted.
 */
struct hf_err *hf_password_ask(
	struct hf_cli *cli, const char *prompt, struct hf_secret *out) HF_MUST;

/* Asks twice on a terminal, first with `prompt`, and the two must agree. */
struct hf_err *hf_password_ask_new(
	struct hf_cli *cli, const char *prompt, struct hf_secret *out) HF_MUST;

/* The password in a file, "-" for standard input; it may be empty. */
struct hf_err *hf_password_file(
	struct hf_cli *cli, const char *path, struct hf_secret *out) HF_MUST;

/* Whether there is a user who can be asked. */
bool hf_is_interactive(void);

/* Asks something that is no secret, on the terminal, and appends the answer. */
struct hf_err *hf_ask(struct hf_cli *cli, const char *question, struct hf_buf *answer) HF_MUST;

#endif
