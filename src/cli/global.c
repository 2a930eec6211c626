/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that every command takes. */
#include "cli/cli.h"

#define G struct hf_global

const struct hf_opt hf_global_opts[] = {
	{"repo", 'r', HF_OPT_STRING(G, repo), .arg = "repository", .env = "REPOSITORY",
		.help = "repository to back up to or restore from"},
	{"repository-file", 0, HF_OPT_STRING(G, repository_file), .arg = "file",
		.env = "REPOSITORY_FILE", .help = "file to read the repository location from"},
	{"password-file", 'p', HF_OPT_STRING(G, password_file), .arg = "file",
		.env = "PASSWORD_FILE", .help = "file to read the repository password from"},
	{"password-command", 0, HF_OPT_STRING(G, password_command), .arg = "command",
		.env = "PASSWORD_COMMAND",
		.help = "command that prints the repository password; split into words as "
			"a shell does, but run without one"},
	{"password-fd", 0, .is_ours = true, HF_OPT_INT(G, password_fd), .arg = "number",
		.help = "open file descriptor to read the repository password from"},
	{"insecure-no-password", 0, HF_OPT_FLAG(G, insecure_no_password),
		.help = "use an empty password for the repository; must be given to every "
			"command (insecure)"},
	{"key-hint", 0, HF_OPT_STRING(G, key_hint), .arg = "key", .env = "KEY_HINT",
		.help = "ID of the key to try first"},
	{"json", 0, HF_OPT_FLAG(G, is_json), .help = "print JSON, for the commands that can"},
	{"quiet", 'q', HF_OPT_FLAG(G, is_quiet), .help = "print results and errors only"},
	{"verbose", 'v', HF_OPT_COUNT(G, verbose),
		.help = "print more; give it twice, or as --verbose=2, for the most"},
	{"no-lock", 0, HF_OPT_FLAG(G, no_lock),
		.help = "do not lock the repository; this allows some operations on "
			"read-only repositories"},
	{"retry-lock", 0, HF_OPT_SECONDS(G, retry_lock_s), .arg = "duration",
		.help = "how long to try when the repository is locked, such as 5m or 2h "
			"(default: once)"},
	{"lock-wait", 0, .is_ours = true, HF_OPT_SECONDS(G, retry_lock_s), .arg = "duration",
		.help = "another name of --retry-lock"},
	{"lock-wait-claim", 0, .is_ours = true, HF_OPT_FLAG(G, lock_wait_claim),
		.help = "while waiting for an exclusive lock, let nobody else in"},
	{"log-format", 0, .is_ours = true, HF_OPT_WORD(G, log_format), .arg = "format",
		.words = "none|json|logfmt", .env = "LOG_FORMAT",
		.help = "write what happens to the lock to standard error, one line per event"},
	{"compression", 0, HF_OPT_WORD(G, compression), .arg = "mode",
		.words = "auto|off|fastest|better|max", .env = "COMPRESSION",
		.help = "compression mode, for repositories of format version 2"},
	{"pack-size", 0, HF_OPT_UINT(G, pack_size), .arg = "size", .env = "PACK_SIZE",
		.help = "target size of pack files in MiB; they may become larger"},
	{"no-extra-verify", 0, HF_OPT_FLAG(G, no_extra_verify),
		.help = "do not verify once more what is about to be written"},
	{"cache-dir", 0, HF_OPT_STRING(G, cache_dir), .arg = "directory", .env = "CACHE_DIR",
		.help = "directory of the local cache"},
	{"cache-limit", 0, .is_ours = true, HF_OPT_SIZE(G, cache_limit), .arg = "size",
		.env = "CACHE_LIMIT",
		.help = "what the local caches may take together; what was not used for "
			"longest "
			"goes first. Else a quarter of the free space of the disk, and 20G at "
			"most"},
	{"cache-min-free", 0, .is_ours = true, HF_OPT_SIZE(G, cache_floor), .arg = "size",
		.env = "CACHE_MIN_FREE",
		.help = "what the local cache leaves free on its disk. Else the twentieth part "
			"of "
			"it, and 1G at most"},
	{"no-cache", 0, HF_OPT_FLAG(G, no_cache), .help = "do not use a local cache"},
	{"cleanup-cache", 0, HF_OPT_FLAG(G, cleanup_cache),
		.help = "remove old cache directories"},
	{"limit-upload", 0, HF_OPT_INT(G, limit_upload), .arg = "rate",
		.help = "limit uploads to this rate in KiB/s"},
	{"limit-download", 0, HF_OPT_INT(G, limit_download), .arg = "rate",
		.help = "limit downloads to this rate in KiB/s"},
	{"option", 'o', HF_OPT_COMMA_LIST(G, options), .arg = "key=value",
		.help = "set an extended option of the place where the repository is"},
	{"cacert", 0, HF_OPT_COMMA_LIST(G, cacert), .arg = "file", .env = "CACERT",
		.help = "file with root certificates, instead of those of the system"},
	{"tls-client-cert", 0, HF_OPT_STRING(G, tls_client_cert), .arg = "file",
		.env = "TLS_CLIENT_CERT",
		.help = "file with a TLS client certificate and its private key, as PEM"},
	{"insecure-tls", 0, HF_OPT_FLAG(G, insecure_tls),
		.help = "do not verify the TLS certificate of the server (insecure)"},
	{"http-user-agent", 0, HF_OPT_STRING(G, http_user_agent), .arg = "text",
		.env = "HTTP_USER_AGENT", .help = "user agent of HTTP requests"},
	{"stuck-request-timeout", 0, HF_OPT_SECONDS(G, stuck_request_timeout_s),
		.arg = "duration", .def = "5m",
		.help = "how long a request may stand still before it is tried again"},
	{"show-rc", 0, .is_ours = true, HF_OPT_FLAG(G, shows_rc),
		.help = "at the end, write the exit code to standard error"},
	{"help", 'h', HF_OPT_FLAG(G, wants_help), .help = "show the help of a command"},
};

const size_t hf_n_global_opts = sizeof hf_global_opts / sizeof hf_global_opts[0];
