/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that we talk with over its standard input and output: `ssh` and the like. It is
 * started with a list of arguments, never by a shell, with all signals as they are by default,
 * and nothing of ours is open in it.
 *
 * It gets a process group of its own, so that Ctrl-C on the terminal reaches us and not it: we
 * end what we are doing with its help. While it connects it may have to ask for a password,
 * though, which only the group in the foreground can do. So it begins there, if we are there, and
 * hf_child_settle() takes the foreground back as soon as there is nothing more to ask.
 */
#ifndef HF_NET_CHILD_H
#define HF_NET_CHILD_H

#include <sys/types.h>

#include "base/err.h"

enum hf_child_terminal {
	HF_CHILD_MAY_ASK, /* in the foreground until hf_child_settle(), if we are */
	HF_CHILD_ALONE,   /* has no terminal at all, and fails where it would have to ask */
};

struct hf_child {
	pid_t pid;    /* also the number of its group; 0: none */
	int pidfd;    /* readable when it has ended */
	int talk;     /* a socket: its standard input and output; or -1 */
	int err;      /* what it says on standard error; or -1 */
	int terminal; /* in the foreground of which it is; or -1 */
};

/* Starts argv[0], searched in $PATH. On failure *out is nothing to be ended. */
struct hf_err *hf_child_start(
	const char *const *argv, enum hf_child_terminal terminal, struct hf_child *out) HF_MUST;

/* The foreground is ours again. */
void hf_child_settle(struct hf_child *c);

/* Tells it that nothing more comes; what it still says can be read. */
void hf_child_hang_up(struct hf_child *c);

/* Kills it and its group. Any thread, but not once hf_child_end() has begun. */
void hf_child_kill(const struct hf_child *c);

/*
 * Hangs up, waits `grace_s` for its end, kills it if that does not come, and closes everything.
 * Returns its status as waitpid() does, -1 if somebody else has taken it.
 */
int hf_child_end(struct hf_child *c, double grace_s);

/* Its status if it ends within that time, -1 if not; hf_child_end() is still to be called. */
int hf_child_peek(const struct hf_child *c, int ms);

/* "exit status 255", "signal 9", for messages. */
struct hf_child_text {
	char s[32];
};
struct hf_child_text hf_child_status_text(int status);

#endif
