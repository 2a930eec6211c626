/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a repository on an SFTP server is, and the program that leads there. By restic's rules. */
#ifndef HF_STORE_SFTP_PLACE_H
#define HF_STORE_SFTP_PLACE_H

#include "base/strings.h"

struct hf_sftp_place {
	char *user, *port; /* "": not given */
	char *host;
	char *path; /* cleaned; a relative one is below the folder in which the server begins */
};

void hf_sftp_place_clear(struct hf_sftp_place *p);

/*
 * Reads what follows "sftp:", one of
 *	[user@]host:path		the path as the server is to see it
 *	//[user@]host[:port]/path	without the slash: relative; //path is absolute
 * A user may contain one @ in the first form; the second has percent escapes. HF_EINVAL: it is
 * neither, the path begins with a tilde, or host or user with a dash, which ssh would take for an
 * option.
 */
struct hf_err *hf_sftp_place_parse(const char *text, struct hf_sftp_place *out) HF_MUST;

/*
 * The words of the command: those of `command` alone if that is not NULL, else
 *	ssh HOST [-p PORT] [-l USER] ARGS -s sftp
 * HF_EINVAL: both are given, one of them cannot be split into words, or there is no host.
 */
struct hf_err *hf_sftp_place_command(const struct hf_sftp_place *p, const char *command,
	const char *args, struct hf_strings *out) HF_MUST;

#endif
