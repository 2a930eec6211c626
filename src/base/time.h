/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instants with the zone in which they are shown, and their text as RFC 3339 in the form that
 * Go's time.RFC3339Nano gives (restic-format: up to 9 digits of fraction, trailing zeros and a
 * bare dot removed, `Z` for offset 0). The offset is kept in seconds, because historic zones have
 * them; the text shows the local clock by the full offset and the offset cut to minutes, as Go.
 */
#ifndef HF_BASE_TIME_H
#define HF_BASE_TIME_H

#include <time.h>

#include "base/buf.h"

struct hf_time {
	int64_t sec;    /* since 1970-01-01 00:00:00 UTC */
	uint32_t nsec;  /* 0 … 999,999,999 */
	int32_t zone_s; /* local minus UTC, in seconds */
};

/* Go's zero time, year 1: what a missing `time` field means. */
#define HF_TIME_ZERO ((struct hf_time){.sec = -62135596800})

static inline bool
hf_time_is_zero(const struct hf_time *t)
{
	return t->sec == -62135596800 && t->nsec == 0;
}

/* Order of instants; the zone does not matter. */
static inline int
hf_time_cmp(const struct hf_time *a, const struct hf_time *b)
{
	if (a->sec != b->sec)
		return a->sec < b->sec ? -1 : 1;
	return (a->nsec > b->nsec) - (a->nsec < b->nsec);
}

struct hf_time hf_time_now(void); /* in the local zone */

/* The instant in the local zone (TZ, /etc/localtime). Any thread; cheap for neighbouring times. */
struct hf_time hf_time_local(struct timespec ts);

/*
 * Appends the RFC 3339 text. Years outside 0000 … 9999 are put to the nearest of the two, the
 * rest of the date kept, as restic does before it writes a node. A zone of a day or more, which
 * nobody could read again, is put into UTC.
 */
void hf_time_add(struct hf_buf *out, const struct hf_time *t);

/*
 * Reads RFC 3339 as Go's JSON decoder does: `T` and `Z` in upper case only, colon in the offset,
 * a comma is taken for the dot, more than 9 digits of fraction are cut, one digit will do for the
 * hour, offsets go up to 24:60, second 60 is refused.
 * False: it is not one; *out is untouched.
 */
bool hf_time_parse(struct hf_str s, struct hf_time *out);

/* Reads the form that HTTP has for dates, "Sun, 06 Nov 1994 08:49:37 GMT". False: it is not one. */
bool hf_time_parse_http(struct hf_str s, struct hf_time *out);

/* Appends a duration in Go's form: "0s", "12.5ms", "1m30s", "86h37m30.57s". */
void hf_duration_add(struct hf_buf *out, int64_t ns);

/*
 * Reads a duration in Go's form into seconds: "90s", "1h30m", "-1.5h", "0". False: it is none, or
 * exceeds Go's 64 bits of nanoseconds.
 */
bool hf_duration_parse(const char *s, double *out);

/* Seconds on the clock that counts suspended time too; for durations and leases. */
double hf_clock(void);

#endif
