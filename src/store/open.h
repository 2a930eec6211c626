/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the text that a user gives with -r to a store, with everything that a store needs to know
 * from outside: only cli/ reads the environment, and it says here what it found.
 */
#ifndef HF_STORE_OPEN_H
#define HF_STORE_OPEN_H

#include "base/pace.h"
#include "store/trace.h"

/* One `-o key=value`. */
struct hf_option {
	const char *key, *value;
};

/*
 * Zeroed, it is a valid answer to all questions. Strings and lists are borrowed during the call to
 * hf_store_open() only: backends copy what they need later. What the other pointers point to, and
 * the functions, outlive the store; functions are called from any thread.
 */
struct hf_open {
	const struct hf_option *options;
	size_t n_options;

	/*
	 * The environment: `name` as restic documents it ("RESTIC_REST_USERNAME",
	 * "AWS_ACCESS_KEY_ID", "HOME"); for names that begin with RESTIC_ the caller has its own
	 * idea of precedence. NULL: not set, or empty. Called during hf_store_open() only. A NULL
	 * function is an empty environment.
	 */
	const char *(*env)(void *arg, const char *name);
	void *env_arg;

	const char *const *cacerts; /* files with root certificates, instead of the system's */
	size_t n_cacerts;
	const char *tls_client_cert; /* file with certificate and private key as PEM, or NULL */
	bool insecure_tls;           /* certificates are not verified */
	const char *user_agent;      /* of HTTP requests; NULL: the program's own */

	bool has_s3_restore; /* restic's feature flag s3-restore is on */

	/*
	 * A request in which for so many seconds no byte goes either way is given up with HF_EIO;
	 * 0: 300. It is the backend that sees bytes, so it is the backend that counts.
	 */
	double stuck_s;

	struct hf_pace *upload, *download; /* limits, or NULL */
	struct hf_stop *stop;              /* ends waiting, not what is under way; or NULL */

	/*
	 * A line for the user without newline: a call that will be repeated, in restic's words, or
	 * what ssh says on its standard error.
	 */
	void (*say)(void *arg, const char *line);
	void *say_arg;

	/* So many packs come out of an archive, and are waited for. Argument: say_arg. */
	void (*say_thaw)(void *arg, size_t n_packs);

	hf_trace_fn *trace; /* NULL: no tracing */
	void *trace_arg;
};

/*
 * Opens the place named by `url`: `/path`, `relative/path`, `local:path`, or the scheme of a
 * backend, a colon, and what the backend makes of the rest. As in restic, a path with a colon in it
 * needs `local:` unless it begins with a slash or `../`. Options:
 *	SCHEME.connections=N	calls at once, 1 to 1000
 *	SCHEME.*		as the backend says
 *	retry.limit=DURATION	how long a call that failed is repeated; 0: never. Default: 15m,
 *				for a folder of this machine 0
 *	retry.pause=DURATION	the first pause, doubled each time; default: 1s
 *	trace.file=PATH		known here, and opened by the caller: see `trace`
 *	fault.plan=TEXT		makes calls go wrong, for tests (fault.h); also fault.while
 * Those of other schemes than the url's are not looked at: scripts pass the options of all their
 * repositories to every call. Does not look whether a repository is there. HF_EINVAL: a place of a
 * kind that this version cannot reach or that nobody knows, an option that nobody knows, or one
 * given twice with different values. No text ever shows what may be a password in `url`.
 */
struct hf_err *hf_store_open(
	const char *url, const struct hf_open *o, struct hf_store **out) HF_MUST;

/* Tells all options that a user may give; `is_ours`: restic does not have it. In no order. */
typedef void hf_store_option_fn(void *arg, const char *key, const char *text, bool is_ours);
void hf_store_options(hf_store_option_fn *fn, void *arg);

#endif
