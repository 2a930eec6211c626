/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session with an SFTP server behind a program's standard input and output (net/child.h).
 *
 * Any number of threads send requests and wait for their answers; many may be under way at once,
 * of one thread too, which is what makes a line with a long round trip useful. A thread of the
 * session's own reads all answers and hands each to its request by the number. An answer to a
 * request that nobody made, or one that cannot be read, ends the session: after that nothing can
 * be relied on.
 *
 * Nothing waits for ever. A request is stuck when `stuck_s` have passed since it was made and
 * since anything at all moved, or four times as long since it was made. A stuck request ends the
 * session, too: the program is killed, and every request fails with HF_EIO and says why. A session
 * that has ended stays so; who wants to go on opens another.
 *
 * When the user wants to stop, a request may run on for about 2 s, and then fails with HF_ECANCELED;
 * those that are made all the same (no_stop) go on as before, for which the session is kept. Where a
 * server has said nothing for so long, later requests have no 2 s of their own.
 */
#ifndef HF_NET_SFTP_H
#define HF_NET_SFTP_H

#include "base/buf.h"
#include "net/child.h"
#include "net/sftp_wire.h"

struct hf_sftp;

struct hf_sftp_setup {
	const char *const *argv; /* borrowed for the call */
	enum hf_child_terminal terminal;
	double connect_s, stuck_s;
	/*
	 * Bytes of files that may be under way at once, asked for or sent and not yet answered. What
	 * is urgent waits behind so much at most.
	 */
	size_t window;
	/* What the program says on standard error, by the line, on a thread of the session's. */
	void (*say)(void *arg, const char *line);
	void *arg; /* of both functions */
	/* Or NULL: the user wants to stop, and will go on wanting it; called with a lock held. */
	bool (*gives_up)(void *arg);
	bool no_stop; /* connecting goes on all the same */
};

/* Extensions, as bits. */
enum {
	HF_SFTP_HAS_POSIX_RENAME = 1,
	HF_SFTP_HAS_FSYNC = 2,
	HF_SFTP_HAS_LIMITS = 4,
	HF_SFTP_HAS_STATVFS = 8,
};

/*
 * Starts the program and agrees with the server on version 3. HF_EIO: no answer in time, or the
 * program ended; what it said last is in the text. HF_EFATAL: it cannot be started, or what
 * answers is no server of SFTP 3.
 */
struct hf_err *hf_sftp_open(const struct hf_sftp_setup *setup, struct hf_sftp **out) HF_MUST;

/* Sends nothing more, so that the server ends the session. hf_sftp_free() is still to be called. */
void hf_sftp_hang_up(struct hf_sftp *s);

/* Ends the session and the program; no request may be under way. NULL is fine. */
void hf_sftp_free(struct hf_sftp *s);
HF_AUTOPTR(hf_sftp)

bool hf_sftp_is_alive(struct hf_sftp *s);
unsigned hf_sftp_extensions(const struct hf_sftp *s);

/* Bytes of files under way. */
size_t hf_sftp_load(struct hf_sftp *s);

/*
 * The longest pieces of a file that this server reads and writes, and how many files and folders
 * one operation may have open there.
 */
size_t hf_sftp_read_size(struct hf_sftp *s);
size_t hf_sftp_write_size(struct hf_sftp *s);
size_t hf_sftp_handles(struct hf_sftp *s);

/*
 * One request and its answer. The fields up to the blank line are for reading once
 * hf_sftp_wait() has returned NULL.
 */
struct hf_sftp_call {
	enum hf_sftp_type type; /* of the answer */
	uint32_t status;        /* STATUS */
	struct hf_sftp_attrs attrs;
	size_t got; /* bytes of a DATA, which are where `room` points */
	uint32_t n_names;
	/* A HANDLE, the names of a NAME, the server's words of a STATUS, the rest of others. */
	struct hf_buf bytes;

	uint8_t *room; /* for a READ: where the answer goes, and how much fits */
	size_t room_len;
	size_t weight; /* of this request in the window */
	bool no_stop;
	struct hf_sftp *session; /* NULL: not under way */
	uint32_t id;
	bool is_done;
	void *waiter;
};

/* What there is to say about a request beside its bytes. */
struct hf_sftp_ask {
	bool is_urgent;       /* does not wait for room in the window */
	bool no_stop;         /* is not given up when the user wants to stop */
	double within_s;      /* above 0: to send it takes no longer; else stuck_s counts */
	struct hf_bytes more; /* WRITE: the data, which end the packet; borrowed for the call */
};

/*
 * Sends a request: `request` is one of hf_sftp_begin(), not yet finished. The call is under way
 * until hf_sftp_wait() or hf_sftp_drop(), one of which must be called in the end; it must not be
 * moved meanwhile. HF_EIO: the session has ended; HF_ECANCELED: the user wants to stop. Then nothing
 * is under way.
 */
struct hf_err *hf_sftp_send(struct hf_sftp *s, struct hf_sftp_call *call,
	struct hf_buf *request, const struct hf_sftp_ask *ask) HF_MUST;

/*
 * Waits for the answer; NULL when there is one, whatever it says. `within_s` above 0 stands for
 * stuck_s. A call that is not under way has its answer, or none. HF_ECANCELED: nobody waits for the
 * answer any longer, but what was asked for may still be done.
 */
struct hf_err *hf_sftp_wait(struct hf_sftp_call *call, double within_s) HF_MUST;

/* Sends a request the answer to which nobody wants to know. */
void hf_sftp_tell(struct hf_sftp *s, struct hf_buf *request);

/* Forgets the answer, which may not have come yet, and frees what the call holds. */
void hf_sftp_call_clear(struct hf_sftp_call *call);

/*
 * The error of an answer that is a STATUS other than OK, or that is of another type than `type`;
 * NULL when it is as wanted. HF_ENOTFOUND: no such file. HF_EEXISTS. HF_EFATAL: no permission, no
 * space, not supported. HF_EIO: anything else.
 */
struct hf_err *hf_sftp_result(const struct hf_sftp_call *call, enum hf_sftp_type type) HF_MUST;

#endif
