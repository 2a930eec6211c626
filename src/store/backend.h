/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a kind of place is to hf_store_open(), and what backends share. A backend defines one
 * `const struct hf_backend` and adds a line to the table in open.c.
 */
#ifndef HF_STORE_BACKEND_H
#define HF_STORE_BACKEND_H

#include "store/open.h"

/*
 * A request about a lock is over after so many seconds, however it ends: the lease counts on it
 * (T_try in locking-design). Other requests are given up when nothing has moved for hf_open's
 * stuck_s, so that every call ends by itself.
 */
#define HF_LOCK_CALL_S 45.0

/*
 * An extended option of a backend, and what it is for, in restic's words where it has it too. What
 * stands behind a newline is ours to add.
 */
struct hf_backend_option {
	const char *name, *text;
	bool is_ours; /* restic does not have it */
};

struct hf_backend {
	const char *scheme; /* "sftp": places begin with "sftp:", options with "sftp." */
	const struct hf_backend_option *options; /* besides "connections"; ends with {NULL} */
	unsigned connections;                    /* unless the user says otherwise */
	bool is_local; /* nothing between us and it that could come back by itself */
	/*
	 * It calls hf_pace_wait() or hf_pace_take() for o->upload and o->download as bytes go, or
	 * before a change whose end a lease counts on, but not for HF_LOCK, which never waits
	 * behind data. Otherwise a wrapper waits for the bytes of whole calls.
	 */
	bool paces;
	/*
	 * `place` is what follows the scheme and its colon. The store's url has no password
	 * (hf_place_shown()). `connections` is what the store declares, and what a pool of
	 * connections is dimensioned by: no more data calls are made at once, but calls about
	 * HF_LOCK come in addition, must not wait for data, and are over within HF_LOCK_CALL_S.
	 */
	struct hf_err *(*open)(const char *place, const struct hf_open *o, unsigned connections,
		struct hf_store **out);
};

/*
 * That something is not there is also what is said by a server whose disk is not mounted, and by a proxy
 * that has lost its server. But who takes a list of snapshots for empty deletes everything, and who takes
 * an index file for gone forgets what is in it. So backends believe it only where the config, once seen
 * (s->has_config), is found, and then ask again: it may have come back in between.
 *
 * True: that there is nothing of this kind is to be doubted so. A key that is gone does no harm.
 */
bool hf_store_doubts(struct hf_store *s, enum hf_kind kind);

/* Backends say so whenever they have found or written a file, or are about to delete it. */
void hf_store_saw(struct hf_store *s, const struct hf_name *name, bool is_there);

/* Looks for the config in the time, and in the way, that a call about `kind` has. HF_ENOTFOUND: no. */
typedef struct hf_err *hf_store_look_fn(struct hf_store *s, enum hf_kind kind);

/* NULL: it is there. HF_EIO: it is gone, too. Others: it cannot be known. */
struct hf_err *hf_store_find_config(
	struct hf_store *s, enum hf_kind kind, hf_store_look_fn *look) HF_MUST;

/*
 * What a get or stat that ended with *e is to do: true, the same once more; false, return *e, which
 * says more now if it was in doubt.
 */
bool hf_store_asks_again(
	struct hf_store *s, enum hf_kind kind, hf_store_look_fn *look, struct hf_err **e);

/* The variable `name` of the environment, or NULL. */
const char *hf_open_env(const struct hf_open *o, const char *name);

/*
 * Options, by their full names ("sftp.command"). Each leaves *out as it is if the option was not
 * given. HF_EINVAL: the value makes no sense; the text is "option KEY=VALUE: what is wrong".
 */
const char *hf_option_find(const struct hf_open *o, const char *key); /* NULL: not given */
void hf_option_string(const struct hf_open *o, const char *key, const char **out);
struct hf_err *hf_option_uint(const struct hf_open *o, const char *key, unsigned min,
	unsigned max, unsigned *out) HF_MUST;
struct hf_err *hf_option_bool(const struct hf_open *o, const char *key, bool *out) HF_MUST;
/* A duration such as 90s or 1h30m, not negative. */
struct hf_err *hf_option_seconds(const struct hf_open *o, const char *key, double *out) HF_MUST;

/*
 * `url` for messages: what stands between the first colon of user:password@ and the @ becomes
 * "***", as in restic. The caller frees it.
 */
char *hf_place_shown(const char *url);

#endif
