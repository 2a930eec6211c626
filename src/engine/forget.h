/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which snapshots a policy keeps, and why. Nothing is read or written here: snapshots in, verdicts
 * out. The rules are restic's (restic-format 12.1), reason by reason.
 *
 * A snapshot is kept if any rule keeps it. The newest come first, and each rule that counts takes
 * one of each hour, day, week (ISO), month or year of the clock on which the snapshot was made. As
 * long as such a rule has something left to count, it keeps the oldest snapshot too, so that the
 * history does not become shorter than it need be.
 */
#ifndef HF_ENGINE_FORGET_H
#define HF_ENGINE_FORGET_H

#include "repo/snapshot.h"

enum hf_keep_every {
	HF_KEEP_LAST,
	HF_KEEP_HOURLY,
	HF_KEEP_DAILY,
	HF_KEEP_WEEKLY,
	HF_KEEP_MONTHLY,
	HF_KEEP_YEARLY,
};
enum { HF_KEEP_KINDS = HF_KEEP_YEARLY + 1 };

/* "1y5m7d2h": a time on the calendar, but for the hours. */
struct hf_span {
	int64_t years, months, days, hours;
};

/*
 * Reads what --keep-within takes. HF_EINVAL with restic's words: no number, no unit, or an unknown
 * one. Negative numbers are read.
 */
struct hf_err *hf_span_parse(const char *text, struct hf_span *out) HF_MUST;
void hf_span_add(struct hf_buf *out, const struct hf_span *s); /* "" if it is zero */

static inline bool
hf_span_is_zero(const struct hf_span *s)
{
	return s->years == 0 && s->months == 0 && s->days == 0 && s->hours == 0;
}

#define HF_KEEP_ALL (-1)

/* All zero: keeps nothing. */
struct hf_keep_policy {
	int64_t count[HF_KEEP_KINDS]; /* or HF_KEEP_ALL */
	/* Newer than the newest snapshot less so much: [HF_KEEP_LAST] all, the others one of each. */
	struct hf_span within[HF_KEEP_KINDS];
	const struct hf_strings *tags; /* lists "a,b", of which one must fit; or NULL */
};

bool hf_keep_policy_is_empty(const struct hf_keep_policy *p);

/* Appends the policy as restic words it: "keep 2 latest, 7 daily snapshots". */
void hf_keep_policy_add(struct hf_buf *out, const struct hf_keep_policy *p);

struct hf_keep_verdict {
	bool is_kept;
	struct hf_strings
		reasons; /* why, in restic's words and order; empty if it is not kept */
};

/*
 * Judges `n` snapshots of one group, the newest first, into out[0 … n - 1], which is zeroed before
 * and cleared by the caller. Snapshots that are not before `now` do not count as the newest.
 */
void hf_keep_apply(const struct hf_keep_policy *p, const struct hf_snapshot *const *v, size_t n,
	const struct hf_time *now, struct hf_keep_verdict *out);

/*
 * Why the policy kept everything, if that looks like an accident: "" if it does not, or something
 * is removed. `group_sizes` are the numbers of snapshots in the groups, all of which are kept.
 */
const char *hf_keep_accident(
	const struct hf_keep_policy *p, const size_t *group_sizes, size_t n_groups);

/*
 * Whether a group seems to have ended: a host that is no more, a path that was renamed. All rules
 * count from the group's own newest snapshot, so that what they keep of it now they keep for ever.
 */
enum { HF_ENDED_DAYS = 90 };
bool hf_keep_has_ended(const struct hf_time *newest, const struct hf_time *newest_of_all);

#endif
