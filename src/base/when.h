/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times as people write them on a command line, read as Go's time.ParseInLocation reads them in
 * the local zone. A form is a text in which letters stand for parts of the time and everything else
 * for itself:
 *
 *	Y  year, four digits           H  hour, one or two digits
 *	m  month, two digits           M  minute, two digits
 *	d  day, two digits             S  second, two digits; a fraction may follow
 *	e  day, one or two digits      z  zone as +0200
 *	a  day of the week, "Mon"      Z  zone by its name, "CEST", "UTC"
 *	b  month, "Jan"
 *
 * A space stands for any number of spaces but none. Names of days and months may be in upper or
 * lower case; whether the day of the week is right is not looked at. The name of a zone counts if
 * the local zone has or ever had it; all others are taken for UTC, "GMT+3" too.
 *
 * Without a zone it is the local time. An hour that the change to summer time leaves out, or that
 * comes twice, is taken with the offset of one side of the change, the same as in Go.
 */
#ifndef HF_BASE_WHEN_H
#define HF_BASE_WHEN_H

#include "base/time.h"

/* Reads all of `s` by the form. False: it has another one, or there is no such day or time. */
bool hf_when_parse(const char *form, struct hf_str s, struct hf_time *out);

/*
 * The instant so many years, months and days after `t` (before it, where they are negative) on the
 * calendar of its zone, the same time of day; a day that the month does not have runs over into the
 * next month. The zone is the local one, with its changes of the offset, if `t` has the offset of
 * that, else a fixed one, and UTC if the offset is 0: as Go's AddDate for a time read from JSON.
 */
struct hf_time hf_when_add(const struct hf_time *t, int years, int months, int days);

#endif
