/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals. They are blocked in all threads and taken by one:
 *
 *	SIGINT, SIGTERM  the first sets the wish to stop, the second ends the program at once (130)
 *	SIGUSR1          asks for one report of progress
 *	SIGHUP           ignored: restic sends it to a lock's holder to see whether it lives
 *	SIGPIPE          ignored: a reader that went away shows as EPIPE
 *	SIGXFSZ          ignored: a limit on the size of files shows as EFBIG
 */
#ifndef HF_CLI_SIGNALS_H
#define HF_CLI_SIGNALS_H

#include <signal.h>

#include "base/stop.h"

struct hf_signals;

/* Blocks the signals and starts the thread. Called before any other thread exists. */
struct hf_err *hf_signals_new(struct hf_stop *stop, struct hf_signals **out) HF_MUST;
void hf_signals_free(struct hf_signals *s); /* ends the thread */
HF_AUTOPTR(hf_signals)

/* What to do on SIGUSR1, on the signal thread; NULL: nothing. Waits while the old one runs. */
void hf_signals_on_report(struct hf_signals *s, void (*fn)(void *arg), void *arg);

/* The mask that a child process must have: what was in force before hf_signals_new(); NULL for NULL. */
const sigset_t *hf_signals_child_mask(const struct hf_signals *s);

#endif
