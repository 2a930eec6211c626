/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all commands share: the table entry that describes a command, the global options, and the
 * object that is handed to it. One command is one file cmd_NAME.c that defines one
 * `const struct hf_command hf_cmd_NAME`; main.c lists them.
 */
#ifndef HF_CLI_CLI_H
#define HF_CLI_CLI_H

#include "base/pace.h"
#include "cli/env.h"
#include "cli/opt.h"
#include "cli/out.h"
#include "cli/signals.h"

struct hf_global {
	char *repo, *repository_file;
	char *password_file, *password_command, *key_hint;
	int64_t password_fd; /* -1: none */
	bool insecure_no_password;
	bool is_json, is_quiet, wants_help;
	bool shows_rc;
	unsigned verbose;
	bool no_lock;
	double retry_lock_s;
	bool lock_wait_claim;
	unsigned log_format; /* enum hf_log_format */
	bool no_cache, cleanup_cache;
	char *cache_dir;
	uint64_t cache_limit, cache_floor; /* bytes; 0: by the disk */
	unsigned compression;              /* enum hf_compression */
	uint64_t pack_size;                /* MiB; 0: default */
	bool no_extra_verify;
	int64_t limit_upload, limit_download; /* KiB/s; 0: none */
	struct hf_strings options;            /* -o key=value */
	struct hf_strings cacert;
	char *tls_client_cert, *http_user_agent;
	bool insecure_tls;
	double stuck_request_timeout_s;
};

struct hf_cli;

struct hf_command {
	const char *name; /* "ls", "key list" */
	/*
	 * What follows the name: "[flags] snapshotID [dir...]". Completions go by it: they know
	 * snapshotID, keyID, command, FILE, dir, and words between `[` and `]` with `|`.
	 */
	const char *usage;
	const char *summary; /* one line */
	const char *text;    /* paragraphs for --help */
	const struct hf_opt *opts;
	size_t n_opts;
	size_t opts_size; /* of the struct that `opts` fill; it begins zeroed */
	bool is_hidden;
	bool is_ours; /* restic has nothing like it: under its name there is no such command */
	bool is_raw;  /* its standard output is the content of a file, and nothing else */
	/*
	 * It starts processes before there are threads, and takes signals itself: cli->signals is
	 * NULL, and nothing has been done about any signal.
	 */
	bool is_single;
	/* `opts` is that struct. The error is reported and turned into the exit code by the caller. */
	struct hf_err *(*run)(struct hf_cli *cli, void *opts, const struct hf_args *args);
};

#define HF_COMMAND_OPTS(table, T)                                                              \
	.opts = (table), .n_opts = sizeof(table) / sizeof((table)[0]), .opts_size = sizeof(T)

struct hf_cli {
	const char *program; /* "holdfast", or "restic" when called by that name */
	bool is_restic;
	const struct hf_command *const *commands; /* ends with NULL */
	const struct hf_command *command;
	struct hf_global global;
	struct hf_opts global_opts, own_opts;
	struct hf_env *env;
	struct hf_out *out;
	struct hf_signals *signals; /* NULL: the command is_single */
	struct hf_stop stop;
	struct hf_pace upload, download; /* shared by all stores; used where there is a rate */
	int trace_fd;        /* of `-o trace.file`, opened with the first store; 0: not yet */
	bool has_s3_restore; /* restic's feature flag of that name is on */
	/* What the command will list when it has opened the repository: bits of cli/session.h. */
	unsigned early;
	/* Set by a command that worked but not wholly: the exit code is 3 and this is said. */
	const char *warning;
	/* The lock was lost and what was done under it has not been validated: exit code 13. */
	bool is_lock_lost;
	/* Set by a command that passes on how another one ended: the exit code if it is not 0, and
	 * the signal by which this process ends, or 0. */
	int exit_code, exit_signal;
	bool shows_rc; /* say the exit code at the end, whatever becomes of the options */
};

/* True for an option or a variable that was given, and not as an empty text. */
static inline bool
hf_is_set(const char *s)
{
	return s != NULL && *s != '\0';
}

/* Runs the program with these commands and returns its exit code. */
int hf_cli_main(int argc, char **argv, const struct hf_command *const *commands);

/* Prints the help of a command, or the overview for NULL. */
void hf_cli_help(struct hf_cli *cli, const struct hf_command *command);

/* The command of that name (`args` may say it in two words), and how many words it took. */
const struct hf_command *hf_cli_find(
	const struct hf_command *const *commands, const struct hf_args *args, size_t *n_words);

/* The global options' table. */
extern const struct hf_opt hf_global_opts[];
extern const size_t hf_n_global_opts;

/* The three snapshot filters, for the table of a command; `f` is a struct hf_filter_opts in T. */
struct hf_filter_opts {
	struct hf_strings hosts, tags, paths;
};
#define HF_OPT_FILTERS(T, f, host_letter)                                                      \
	{"host", host_letter, HF_OPT_LIST(T, f.hosts), .arg = "host",                          \
		.help = "only consider snapshots of this host; an empty name unsets the "      \
			"default",                                                             \
		.env = "HOST"},                                                                \
		{"tag", 0, HF_OPT_LIST(T, f.tags), .arg = "tag[,tag,...]",                     \
			.help = "only consider snapshots that have all of these tags"},        \
	{                                                                                      \
		"path", 0, HF_OPT_LIST(T, f.paths),                                            \
			.arg = "path",                                                         \
			.help = "only consider snapshots that contain this absolute path"      \
	}

#endif
