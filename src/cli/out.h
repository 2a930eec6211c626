/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that the program prints. Standard output is buffered here and nowhere else; an error in
 * writing it (a reader that went away) is kept, sets the wish to stop, and is told at the end, so
 * that a command cleans up after itself in any case. Standard error takes messages for people and
 * the status lines, which live at the bottom of a terminal and vanish while something else is
 * printed.
 *
 * How much is said is the verbosity: 0 with --quiet, 1, 2 with -v, 3 with -vv. Under --json
 * nothing is said but JSON and what stands in the data.
 *
 * All functions may be called from any thread.
 */
#ifndef HF_CLI_OUT_H
#define HF_CLI_OUT_H

#include "base/buf.h"
#include "base/stop.h"
#include "codec/json.h"

struct hf_out;

/* `stop` is set when standard output breaks; it outlives the object. */
struct hf_out *hf_out_new(int out_fd, int err_fd, struct hf_stop *stop);
void hf_out_free(struct hf_out *o); /* does not flush */
HF_AUTOPTR(hf_out)

void hf_out_set_level(struct hf_out *o, unsigned verbosity, bool is_json);

/* From now on standard output is somebody's file: all but HF_SAY_DATA goes to standard error. */
void hf_out_keep_clean(struct hf_out *o);
/*
 * For commands that have no JSON: what they say is said under --json as well. Errors are JSON all
 * the same.
 */
void hf_out_speak(struct hf_out *o);
unsigned hf_out_level(const struct hf_out *o); /* 0 … 3, whatever is_json says */
bool hf_out_is_json(const struct hf_out *o);

bool hf_out_is_terminal(const struct hf_out *o); /* standard output is one */
bool hf_out_has_status(const struct hf_out *o);  /* standard error can show status lines */

/* When a line is said. */
enum hf_say {
	HF_SAY_DATA,     /* always: it is what the user asked for */
	HF_SAY_TERMINAL, /* from verbosity 1 on, and only on a terminal */
	HF_SAY_NORMAL,   /* from verbosity 1 on */
	HF_SAY_VERBOSE,  /* from 2 on */
	HF_SAY_DEBUG,    /* from 3 on */
};
bool hf_out_says(const struct hf_out *o, enum hf_say level);

/*
 * Prints one line (the newline is added if it is missing). On a terminal control characters are
 * escaped.
 */
void hf_say(struct hf_out *o, enum hf_say level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same on standard error, always. */
void hf_say_err(struct hf_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints bytes as they are. */
void hf_out_write(struct hf_out *o, struct hf_bytes b);

/* Prints a finished JSON document and a newline: to standard output, or to standard error. */
void hf_out_json(struct hf_out *o, const struct hf_buf *json);
void hf_err_json(struct hf_out *o, const struct hf_buf *json);

/*
 * Shows the lines in `text`, separated by newlines, as status; empty text removes it. Does nothing
 * unless hf_out_has_status(). Lines are cut to the width of the terminal.
 */
void hf_out_status(struct hf_out *o, struct hf_str text);

/* Writes out what is buffered. HF_EIO: standard output is broken, now or before. */
struct hf_err *hf_out_flush(struct hf_out *o) HF_MUST;

/* The errno value of the first failed write; 0: all is well. */
int hf_out_errno(struct hf_out *o);

#endif
