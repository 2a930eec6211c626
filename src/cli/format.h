/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers, times and names as people read them. The forms are restic's, since programs parse them. */
#ifndef HF_CLI_FORMAT_H
#define HF_CLI_FORMAT_H

#include "base/time.h"

/* A short text, by value, so that hf_format_bytes(n).s can stand in an argument list. */
struct hf_text {
	char s[48];
};

struct hf_text hf_format_bytes(uint64_t n);                /* "17 B", "1.234 GiB" */
struct hf_text hf_format_percent(uint64_t n, uint64_t of); /* "12.34%", "" of 0, at most 100 */
struct hf_text hf_format_seconds(uint64_t s);              /* "0:05", "1:02:03" */
struct hf_text hf_format_duration(double s);            /* Go's: "350ms", "1.5s", "2m3.25s" */
struct hf_text hf_format_time(const struct hf_time *t); /* local, "2006-01-02 15:04:05" */

/* The zone's name as Go gives it: "UTC" or TZ's value if set, else "local time". */
const char *hf_format_zone(void);

/*
 * Appends a name as it may be shown on a terminal: unchanged if all of it is printable, else
 * in double quotes with Go's escapes.
 */
void hf_format_name(struct hf_buf *out, struct hf_str name);

/* The same as a string that the caller frees. */
char *hf_shown_name(struct hf_str name);

/*
 * Appends text with the control characters that a terminal would obey written as \xNN; newlines
 * and tabs stay.
 */
void hf_format_safe(struct hf_buf *out, struct hf_str text);

/* Bytes of `s` that fit into `columns` columns of a terminal. */
size_t hf_format_fit(struct hf_str s, size_t columns);

#endif
