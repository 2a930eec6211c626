/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sessions of an SFTP store: one that is always there, and others for the data of packs.
 *
 * The first one, the main session, is opened with the store and may ask for a password. All that is
 * small goes through it: locks above all, which therefore never wait behind data, whatever the line
 * is like. When data are about to flow, another session is opened beside it, and more when that has
 * more to do than one connection carries (BUSY), in the background and without a terminal: `ssh` does
 * that without asking as soon as there is a key, an agent or a shared connection. What is large waits
 * for the first of them, since it would take far longer on the main session, of which data may fill
 * only a part (MAIN_WINDOW). Where none can be had, and for what is small, there is the main session.
 *
 * A session that has ended is replaced at the next call that wants it.
 */
#ifndef HF_STORE_SFTP_POOL_H
#define HF_STORE_SFTP_POOL_H

#include "base/stop.h"
#include "base/strings.h"
#include "net/sftp.h"

struct hf_sftp_pool;

struct hf_sftp_pool_setup {
	const struct hf_strings *command; /* copied */
	unsigned more;                    /* sessions for data beside the main one, at most */
	double stuck_s;
	struct hf_stop *stop; /* ends connecting and, a moment later, requests; or NULL */
	void (*say)(void *arg, const char *line);
	void *arg;
};

/* Opens the main session. Fails as hf_sftp_open(). */
struct hf_err *hf_sftp_pool_open(
	const struct hf_sftp_pool_setup *setup, struct hf_sftp_pool **out) HF_MUST;
void hf_sftp_pool_free(struct hf_sftp_pool *p); /* NULL is fine */
HF_AUTOPTR(hf_sftp_pool)

/* A session that is in use; hf_sftp_use_clear() gives it back. */
struct hf_sftp_use {
	struct hf_sftp *session;
	struct hf_sftp_pool *pool;
	struct hf_sftp_member *member;
};
void hf_sftp_use_clear(struct hf_sftp_use *u);

/*
 * The main session. HF_EIO: it had ended and there is no new one. `no_stop`: one is opened even when
 * the user wants to stop.
 */
struct hf_err *hf_sftp_pool_main(
	struct hf_sftp_pool *p, bool no_stop, struct hf_sftp_use *out) HF_MUST;

/* Data will soon be wanted: opens the first session for them in the background. */
void hf_sftp_pool_expect(struct hf_sftp_pool *p);

/* A session for `size` bytes of data. Likewise. */
struct hf_err *hf_sftp_pool_data(
	struct hf_sftp_pool *p, size_t size, struct hf_sftp_use *out) HF_MUST;

#endif
