/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one does with files on an SFTP server, each a function that waits until it is done. Data go
 * in pieces, as many at a time as the session's window holds.
 *
 * Errors are those of hf_sftp_send(), hf_sftp_wait() and hf_sftp_result(), without the path.
 */
#ifndef HF_NET_SFTP_FILE_H
#define HF_NET_SFTP_FILE_H

#include "net/sftp.h"

/* How an operation is carried out. */
struct hf_sftp_how {
	bool is_urgent;  /* waits for no data of others */
	bool no_stop;    /* is not given up when the user wants to stop */
	double within_s; /* for the requests of the operation, each; 0: stuck_s */
	/* hf_clock(): nothing is asked for later, nor waited for; 0: no such time. */
	double until;
	/* So much of a file is asked for before its size is known, when all of it is read; 0: a piece. */
	size_t early;
};

/* A file or folder that is open there. */
struct hf_sftp_handle {
	size_t len;
	uint8_t b[HF_SFTP_MAX_HANDLE];
};

struct hf_err *hf_sftp_open_file(struct hf_sftp *s, const char *path, uint32_t flags,
	uint32_t mode, const struct hf_sftp_how *how, struct hf_sftp_handle *out) HF_MUST;

/* Closes it without waiting: for what was only read. */
void hf_sftp_drop_file(struct hf_sftp *s, const struct hf_sftp_handle *handle);

/*
 * Writes all of `data` from byte 0 on, sees to it that it is on disk, if the server has the
 * extension, and closes the handle in any case: one round trip, as far as the window holds the
 * data, since a server deals with the requests about one file in their order (the draft, 4).
 */
struct hf_err *hf_sftp_fill_file(struct hf_sftp *s, const struct hf_sftp_handle *handle,
	struct hf_bytes data, const struct hf_sftp_how *how) HF_MUST;

/*
 * Appends `len` bytes from byte `off` on of the file at `path`; SIZE_MAX: up to its end. As
 * hf_store_get(): HF_ECORRUPT when the file is too short, HF_EFATAL when it is no file. `attrs` may
 * be NULL.
 */
struct hf_err *hf_sftp_read_file(struct hf_sftp *s, const char *path, uint64_t off, size_t len,
	const struct hf_sftp_how *how, struct hf_buf *out, struct hf_sftp_attrs *attrs) HF_MUST;

/* Follows links. */
struct hf_err *hf_sftp_stat(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how,
	struct hf_sftp_attrs *out) HF_MUST;

struct hf_err *hf_sftp_chmod(struct hf_sftp *s, const char *path, uint32_t mode,
	const struct hf_sftp_how *how) HF_MUST;
/* Without waiting, whatever comes of it. */
void hf_sftp_chmod_later(struct hf_sftp *s, const char *path, uint32_t mode);

struct hf_err *hf_sftp_remove(
	struct hf_sftp *s, const char *path, const struct hf_sftp_how *how) HF_MUST;

/*
 * Makes the names in a folder survive a power cut, where the server is able to. In two steps for who
 * knows beforehand that he will change it: hf_sftp_ask_folder() asks for the folder without
 * waiting, hf_sftp_sync_asked() takes one round trip if the answer has come meanwhile. What was
 * asked for must not be moved, and is let go of by hf_sftp_folder_clear(), before the session.
 */
struct hf_sftp_folder {
	struct hf_sftp *s; /* NULL: was not asked for */
	struct hf_sftp_how how;
	struct hf_sftp_call call;
};
void hf_sftp_ask_folder(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how,
	struct hf_sftp_folder *out);
struct hf_err *hf_sftp_sync_asked(struct hf_sftp_folder *f) HF_MUST;
void hf_sftp_folder_clear(struct hf_sftp_folder *f);
struct hf_err *hf_sftp_sync_folder(
	struct hf_sftp *s, const char *path, const struct hf_sftp_how *how) HF_MUST;

/*
 * Gives `from` the name `to`. With posix-rename@openssh.com it takes, in one step, the place of what
 * has that name; elsewhere that is HF_EEXISTS.
 */
struct hf_err *hf_sftp_rename(struct hf_sftp *s, const char *from, const char *to,
	const struct hf_sftp_how *how) HF_MUST;

/* The same, but nothing is replaced anywhere: HF_EEXISTS (the draft, 6.5; OpenSSH makes a link). */
struct hf_err *hf_sftp_rename_new(struct hf_sftp *s, const char *from, const char *to,
	const struct hf_sftp_how *how) HF_MUST;

/*
 * After that: moves the old file aside, and back if it was in vain. For a moment there is none of
 * that name.
 */
struct hf_err *hf_sftp_rename_over(struct hf_sftp *s, const char *from, const char *to,
	const struct hf_sftp_how *how) HF_MUST;

/* How much fits where `path` is. HF_ENOTFOUND: the server does not say. */
struct hf_err *hf_sftp_space(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how,
	struct hf_sftp_space *out) HF_MUST;

/*
 * Lists `n` folders, as many of them at a time as the server allows: calls fn(arg, index of the
 * folder, name, attributes) for all that is in them but "." and "..", in any order. A missing
 * folder is an empty one; *missing is how many there were. An error from `fn` ends the listing and is
 * returned as it is. *bad is the folder that another error is about.
 */
typedef struct hf_err *hf_sftp_entry_fn(
	void *arg, size_t folder, struct hf_str name, const struct hf_sftp_attrs *attrs);
struct hf_err *hf_sftp_list(struct hf_sftp *s, const char *const *folders, size_t n,
	const struct hf_sftp_how *how, hf_sftp_entry_fn *fn, void *arg, size_t *missing,
	size_t *bad) HF_MUST;

/* Makes `n` folders that do not depend on each other, all at once. Those that exist are fine. */
struct hf_err *hf_sftp_mkdirs(struct hf_sftp *s, const char *const *folders, size_t n,
	uint32_t mode, const struct hf_sftp_how *how, size_t *bad) HF_MUST;

#endif
