/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside a session: sftp.c makes requests and waits for them, sftp_reader.c is the thread that reads
 * the answers.
 *
 * A request has a slot from before its first byte is sent until its answer is here; its number is
 * the slot's index and, above it, a count, so that a slot's next request has another number.
 */
#ifndef HF_NET_SFTP_I_H
#define HF_NET_SFTP_I_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clocks.h"
#include "net/sftp.h"

enum {
	SFTP_SLOT_BITS = 10,
	SFTP_SLOTS = 1 << SFTP_SLOT_BITS,
	SFTP_ROOM = 2 * (HF_SFTP_MAX_PACKET + 4), /* of the reader */
	SFTP_LINE = 500,                          /* of standard error; what is longer is cut */
};

struct sftp_slot {
	bool is_used;
	uint32_t id;
	struct hf_sftp_call *call; /* NULL: nobody wants the answer */
	size_t weight;
	int64_t sent;
};

struct hf_sftp {
	struct hf_child child;
	char *program;
	size_t window;
	int64_t stuck;
	void (*say)(void *, const char *);
	bool (*gives_up)(void *); /* or NULL */
	void *arg;
	pthread_t reader;
	unsigned extensions; /* written before is_ready */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	bool is_writing; /* one packet after the other */
	pthread_cond_t is_quiet;
	int64_t stopped; /* when gives_up() was first seen to say so, or 0 */
	bool is_silent;  /* since then a request has been given up, and nothing was heard */
	bool is_ready, is_dead, is_closing;
	enum hf_code code; /* why it is dead */
	char *why;
	struct sftp_slot slots[SFTP_SLOTS];
	unsigned n_free;
	uint32_t count, next_slot, limits_id;
	size_t under_way;
	struct hf_sftp_limits limits;

	_Atomic int64_t moved; /* when a byte last went either way */

	/* The reader's alone. */
	uint8_t *in;
	size_t in_len;
	char line[SFTP_LINE + 1], last_line[SFTP_LINE + 1];
	size_t line_len;
};

static inline int64_t
sftp_now(void)
{
	return hf_clocks_kernel.awake(NULL);
}

/* The session is over; the first reason counts. The first one with the lock held. */
void sftp_end_locked(struct hf_sftp *s, enum hf_code code, const char *why);
void sftp_end(struct hf_sftp *s, enum hf_code code, const char *why);

/* With the lock held: its request has been answered, or was never sent. */
void sftp_free_slot(struct hf_sftp *s, struct sftp_slot *slot);

/* With the lock held: the call is done, and whoever waits for it learns that. */
void sftp_wake(struct hf_sftp_call *call);

/* The reader's thread, for a struct hf_sftp. */
void *sftp_read_answers(void *arg);

#endif
