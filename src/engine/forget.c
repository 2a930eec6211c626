/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/forget.h"

#include "base/when.h"

enum {
	MAX_NUMBER = 1000000000, /* of years or days in a span; far beyond any calendar */
	MAX_TEXT = 1 << 20,
	FEW_GROUPS = 3, /* with fewer of one snapshot each it may well be meant so */
};

static const char *const names[] = {"latest", "hourly", "daily", "weekly", "monthly", "yearly"};
static const char *const reasons[] = {"last", "hourly", "daily", "weekly", "monthly", "yearly"};

/* The number at *s, behind which it moves. False: there is none. */
static bool
take_number(const char **s, int64_t *out)
{
	const char *p = *s + (**s == '-');
	int64_t n = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		n = n > MAX_NUMBER / 10 ? MAX_NUMBER : 10 * n + (*p - '0');
	*out = **s == '-' ? -n : n;
	*s = p;
	return true;
}

struct hf_err *
hf_span_parse(const char *text, struct hf_span *out)
{
	static const char blanks[] = " \t\n\v\f\r";
	struct hf_span s = {0};
	int64_t n;

	text += strspn(text, blanks);
	for (; text[strspn(text, blanks)] != '\0'; text++) {
		if (!take_number(&text, &n))
			return hf_err(HF_EINVAL, "no number found");
		switch (*text) {
		case 'y':
			s.years = n;
			break;
		case 'm':
			s.months = n;
			break;
		case 'd':
			s.days = n;
			break;
		case 'h':
			s.hours = n;
			break;
		default:
			if (text[strspn(text, blanks)] == '\0')
				return hf_err(HF_EINVAL, "no unit found after number %lld",
					(long long)n);
			return hf_err(HF_EINVAL, "invalid unit '%c' found after number %lld",
				*text, (long long)n);
		}
	}
	*out = s;
	return NULL;
}

void
hf_span_add(struct hf_buf *out, const struct hf_span *s)
{
	const struct {
		int64_t n;
		char unit;
	} parts[] = {{s->years, 'y'}, {s->months, 'm'}, {s->days, 'd'}, {s->hours, 'h'}};

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		if (parts[i].n != 0)
			hf_buf_addf(out, "%lld%c", (long long)parts[i].n, parts[i].unit);
}

bool
hf_keep_policy_is_empty(const struct hf_keep_policy *p)
{
	for (int i = 0; i < HF_KEEP_KINDS; i++)
		if (p->count[i] != 0 || !hf_span_is_zero(&p->within[i]))
			return false;
	return p->tags == NULL || p->tags->len == 0;
}

static void
add_counts(struct hf_buf *out, const struct hf_keep_policy *p)
{
	const char *comma = "";

	for (int i = 0; i < HF_KEEP_KINDS; i++) {
		if (p->count[i] == 0)
			continue;
		hf_buf_add_str(out, comma);
		if (p->count[i] == HF_KEEP_ALL)
			hf_buf_addf(out, "all %s", names[i]);
		else
			hf_buf_addf(out, "%lld %s", (long long)p->count[i], names[i]);
		comma = ", ";
	}
	if (*comma != '\0')
		hf_buf_add_str(out, " snapshots");
}

static void
add_spans(struct hf_buf *out, const struct hf_keep_policy *p)
{
	for (int i = HF_KEEP_HOURLY; i < HF_KEEP_KINDS; i++) {
		if (hf_span_is_zero(&p->within[i]))
			continue;
		hf_buf_addf(out, "%s%s snapshots within ", out->len > 0 ? ", " : "", names[i]);
		hf_span_add(out, &p->within[i]);
	}
}

void
hf_keep_policy_add(struct hf_buf *out, const struct hf_keep_policy *p)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_TEXT);

	add_counts(&text, p);
	add_spans(&text, p);
	if (p->tags != NULL && p->tags->len > 0) {
		hf_buf_add_str(&text, text.len > 0 ? " and " : "");
		hf_buf_add_str(&text, "all snapshots with tags [");
		for (size_t i = 0; i < p->tags->len; i++) {
			hf_buf_add_str(&text, i > 0 ? " " : "");
			hf_tags_add(&text, p->tags->v[i]);
		}
		hf_buf_add_char(&text, ']');
	}
	if (!hf_span_is_zero(&p->within[HF_KEEP_LAST])) {
		hf_buf_add_str(&text, text.len > 0 ? " and " : "");
		hf_buf_add_str(&text, "all snapshots within ");
		hf_span_add(&text, &p->within[HF_KEEP_LAST]);
		hf_buf_add_str(&text, " of the newest");
	}
	hf_buf_add_str(out, text.len > 0 ? "keep " : "remove");
	hf_buf_add(out, text.p, text.len);
}

/* The number of the week by ISO 8601, with the year that it belongs to, as YYYYWW. */
static int64_t
iso_week(int64_t face)
{
	int64_t days = face >= 0 ? face / 86400 : -((-face + 86399) / 86400);
	int64_t monday = days - ((days + 3) % 7 + 7) % 7; /* day 0 was a Thursday */
	time_t thursday = (time_t)((monday + 3) * 86400); /* is in the same year as its week */
	struct tm tm;

	if (gmtime_r(&thursday, &tm) == NULL)
		return 0;
	return ((int64_t)tm.tm_year + 1900) * 100 + tm.tm_yday / 7 + 1;
}

/* What two snapshots of the same hour, day, ... have in common, by their own clocks. */
static int64_t
bucket(enum hf_keep_every every, const struct hf_time *t, size_t nr)
{
	time_t face = (time_t)(t->sec + t->zone_s);
	struct tm tm;

	if (gmtime_r(&face, &tm) == NULL)
		return 0;
	int64_t year = (int64_t)tm.tm_year + 1900, month = year * 100 + tm.tm_mon + 1;

	switch (every) {
	case HF_KEEP_LAST:
		return (int64_t)nr;
	case HF_KEEP_HOURLY:
		return (month * 100 + tm.tm_mday) * 100 + tm.tm_hour;
	case HF_KEEP_DAILY:
		return month * 100 + tm.tm_mday;
	case HF_KEEP_WEEKLY:
		return iso_week(face);
	case HF_KEEP_MONTHLY:
		return month;
	case HF_KEEP_YEARLY:
		return year;
	}
	return 0;
}

/* What a policy has counted so far. */
struct counting {
	int64_t left[HF_KEEP_KINDS], last[HF_KEEP_KINDS]; /* by number */
	int64_t last_within[HF_KEEP_KINDS];
	struct hf_time since[HF_KEEP_KINDS]; /* for those within a span */
};

static void
begin(struct counting *c, const struct hf_keep_policy *p, const struct hf_snapshot *const *v,
	size_t n, const struct hf_time *now)
{
	struct hf_time newest = HF_TIME_ZERO;

	for (size_t i = n; i-- > 0;)
		if (hf_time_cmp(&v[i]->time, &newest) > 0 && hf_time_cmp(&v[i]->time, now) < 0)
			newest = v[i]->time;
	for (int k = 0; k < HF_KEEP_KINDS; k++) {
		const struct hf_span *s = &p->within[k];

		c->left[k] = p->count[k];
		c->last[k] = c->last_within[k] = -1;
		c->since[k] =
			hf_when_add(&newest, (int)-s->years, (int)-s->months, (int)-s->days);
		c->since[k].sec -= 3600 * s->hours;
	}
}

static void
keep(struct hf_keep_verdict *v, struct hf_buf *reason)
{
	hf_buf_add_char(reason, '\0');
	hf_strings_add(&v->reasons, reason->is_full ? "a rule" : (const char *)reason->p);
	hf_buf_reset(reason);
	v->is_kept = true;
}

static void
keep_tags(const struct hf_keep_policy *p, const struct hf_snapshot *s,
	struct hf_keep_verdict *v, struct hf_buf *reason)
{
	for (size_t i = 0; p->tags != NULL && i < p->tags->len; i++) {
		if (!hf_snapshot_has_tags(s, p->tags->v[i]))
			continue;
		hf_buf_add_str(reason, "has tags ");
		hf_tags_add(reason, p->tags->v[i]);
		keep(v, reason);
	}
}

static void
keep_counted(struct counting *c, const struct hf_time *t, size_t nr, bool is_oldest,
	struct hf_keep_verdict *v, struct hf_buf *reason)
{
	for (int k = 0; k < HF_KEEP_KINDS; k++) {
		if (c->left[k] == 0)
			continue;
		int64_t value = bucket((enum hf_keep_every)k, t, nr);
		bool is_new = value != c->last[k];

		if (!is_new && !is_oldest)
			continue;
		c->last[k] = value;
		if (c->left[k] > 0)
			c->left[k]--;
		hf_buf_addf(reason, "%s%s snapshot", is_new ? "" : "oldest ", reasons[k]);
		keep(v, reason);
	}
}

static void
keep_within(struct counting *c, const struct hf_keep_policy *p, const struct hf_time *t,
	size_t nr, bool is_oldest, struct hf_keep_verdict *v, struct hf_buf *reason)
{
	for (int k = HF_KEEP_HOURLY; k < HF_KEEP_KINDS; k++) {
		if (hf_span_is_zero(&p->within[k]) || hf_time_cmp(t, &c->since[k]) <= 0)
			continue;
		int64_t value = bucket((enum hf_keep_every)k, t, nr);
		bool is_new = value != c->last_within[k];

		if (!is_new && !is_oldest)
			continue;
		c->last_within[k] = value;
		hf_buf_addf(reason, "%s%s within ", is_new ? "" : "oldest ", reasons[k]);
		hf_span_add(reason, &p->within[k]);
		keep(v, reason);
	}
}

void
hf_keep_apply(const struct hf_keep_policy *p, const struct hf_snapshot *const *v, size_t n,
	const struct hf_time *now, struct hf_keep_verdict *out)
{
	hf_auto(hf_buf) reason = HF_BUF_MAX(MAX_TEXT);
	const struct hf_span *within = &p->within[HF_KEEP_LAST];
	struct counting c;

	begin(&c, p, v, n, now);
	for (size_t i = 0; i < n; i++) {
		const struct hf_time *t = &v[i]->time;

		keep_tags(p, v[i], &out[i], &reason);
		if (!hf_span_is_zero(within) && hf_time_cmp(t, &c.since[HF_KEEP_LAST]) > 0) {
			hf_buf_add_str(&reason, "within ");
			hf_span_add(&reason, within);
			keep(&out[i], &reason);
		}
		keep_counted(&c, t, i, i == n - 1, &out[i], &reason);
		keep_within(&c, p, t, i, i == n - 1, &out[i], &reason);
	}
}

const char *
hf_keep_accident(const struct hf_keep_policy *p, const size_t *group_sizes, size_t n_groups)
{
	size_t n_single = 0;

	if (p->count[HF_KEEP_LAST] == HF_KEEP_ALL)
		return "--keep-last unlimited keeps every snapshot, whatever the other rules "
		       "say";
	for (size_t i = 0; i < n_groups; i++)
		n_single += group_sizes[i] == 1;
	if (n_groups > FEW_GROUPS && 2 * n_single > n_groups)
		return "most groups have a single snapshot, and the policy keeps the newest of "
		       "each\nif paths or names of hosts change all the time, --group-by host "
		       "or "
		       "--group-by '' puts them together";
	return "";
}

bool
hf_keep_has_ended(const struct hf_time *newest, const struct hf_time *newest_of_all)
{
	return newest_of_all->sec - newest->sec > HF_ENDED_DAYS * INT64_C(86400);
}
