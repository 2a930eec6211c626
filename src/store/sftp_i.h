/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the SFTP store share: sftp.c opens, reads and lists, sftp_put.c makes folders,
 * writes and deletes.
 */
#ifndef HF_STORE_SFTP_I_H
#define HF_STORE_SFTP_I_H

#include <pthread.h>

#include "net/sftp_file.h"
#include "store/sftp.h"
#include "store/sftp_pool.h"

enum {
	SFTP_CHANGE_S = 60, /* a change, however many requests that takes */
	SFTP_LOCK_REQUEST_S = 15,
};

/* Whether files are for the group, too: read off the mode of `config` when that is first seen. */
enum sftp_sharing { SFTP_SHARING_UNKNOWN, SFTP_SHARING_NO, SFTP_SHARING_YES };

struct sftp {
	struct hf_store store;
	char *root; /* with a slash at its end; "" for where the server begins */
	char *program;
	struct hf_sftp_pool *pool;
	void (*say)(void *, const char *);
	void *say_arg;
	atomic_int sharing;

	pthread_mutex_t lock;        /* guards what follows */
	struct hf_strings left_over; /* temporary files that could not be removed */
};

static inline struct sftp *
sftp_of(struct hf_store *s)
{
	return hf_container_of(s, struct sftp, store);
}

#define SFTP_USE __attribute__((cleanup(hf_sftp_use_clear))) struct hf_sftp_use

/* A path on the server: root, "data/3f/", an id, and a suffix. The caller frees it. */
char *sftp_path_of(const struct sftp *s, const char *name, const char *suffix);

/* "sftp:host:/srv/repo/keys/3f2a…: ...": which file is meant; NULL: none. Takes `e`; NULL stays NULL. */
struct hf_err *sftp_at(const struct sftp *s, const char *name, struct hf_err *e) HF_MUST;

/*
 * How a call about that kind of file is carried out. Locks wait for no data, and a lease counts on
 * every try to be over soon (locking-design, T_try). They go on when the user wants to stop, since a
 * lock is to be given back.
 */
struct hf_sftp_how sftp_how_for(enum hf_kind kind);

/* The session for `size` bytes of a file. */
struct hf_err *sftp_session_for(struct sftp *s, const struct hf_name *name, size_t size,
	struct hf_sftp_use *out) HF_MUST;

/* Looks at `config`, if nobody has yet; where there is none nobody shares. */
struct hf_err *sftp_is_shared(struct sftp *s, struct hf_sftp *session,
	const struct hf_sftp_how *how, bool *out) HF_MUST;

/* ---- sftp_put.c ---- */

/* The names of the folders that packs are in. */
void sftp_pack_folders(struct hf_strings *out);

struct hf_err *sftp_create(struct hf_store *store) HF_MUST;
struct hf_err *sftp_put(
	struct hf_store *store, const struct hf_name *name, struct hf_bytes data) HF_MUST;
struct hf_err *sftp_del(struct hf_store *store, const struct hf_name *name) HF_MUST;

#endif
