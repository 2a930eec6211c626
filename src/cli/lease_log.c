/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/lease_log.h"

#include <math.h>

#include "cli/lease_opts.h"

/* The fields of an event, in the order in which they are written; `text` NULL means a number. */
struct field {
	const char *key;
	const char *text;
	double number;
	bool is_whole;
};

enum { MAX_FIELDS = 24 };

struct fields {
	struct field v[MAX_FIELDS];
	size_t n;
};

static void
add_text(struct fields *f, const char *key, const char *text)
{
	if (text != NULL && *text != '\0' && f->n < MAX_FIELDS)
		f->v[f->n++] = (struct field){.key = key, .text = text};
}

static void
add_number(struct fields *f, const char *key, double number)
{
	if (!isnan(number) && f->n < MAX_FIELDS)
		f->v[f->n++] = (struct field){.key = key, .number = number};
}

static void
add_count(struct fields *f, const char *key, uint64_t n)
{
	if (f->n < MAX_FIELDS)
		f->v[f->n++] =
			(struct field){.key = key, .number = (double)n, .is_whole = true};
}

/* What only some events have. */
static void
add_special(struct fields *f, const struct hf_lease_event *ev)
{
	if (ev->kind == HF_LEASE_EV_WAIT)
		add_number(f, "wait_s", ev->seconds);
	if (ev->kind == HF_LEASE_EV_REFRESHED)
		add_number(f, "took_s", ev->seconds);
	if (ev->kind == HF_LEASE_EV_SUSPECT || ev->kind == HF_LEASE_EV_FENCED)
		add_number(f, "since_s", ev->seconds);
	if (ev->kind == HF_LEASE_EV_FAILED)
		add_count(f, "attempt", ev->n);
	add_text(f, "reason", ev->reason);
	if (ev->other != NULL) {
		add_text(f, "other_host", ev->other->hostname);
		add_text(f, "other_user", ev->other->username);
		add_count(f, "other_pid", (uint64_t)ev->other->pid);
		add_text(f, "other_role", ev->other->role);
		add_text(f, "other_mode", ev->other->is_exclusive ? "exclusive" : "shared");
	}
	if (ev->verdict != NULL)
		add_text(f, "proof", hf_proof_text(ev->verdict->proof));
	if (ev->error != NULL)
		add_text(f, "error", hf_err_text(ev->error));
}

static void
write_json(const struct fields *f, struct hf_buf *out)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	for (size_t i = 0; i < f->n; i++) {
		hf_jout_key(&o, f->v[i].key);
		if (f->v[i].text != NULL)
			hf_jout_str(&o, hf_str(f->v[i].text));
		else if (f->v[i].is_whole)
			hf_jout_i64(&o, (int64_t)f->v[i].number);
		else
			hf_jout_double(&o, f->v[i].number);
	}
	hf_jout_object_end(&o);
}

static void
write_logfmt(const struct fields *f, struct hf_buf *out)
{
	struct hf_jout o = {.buf = out};

	for (size_t i = 0; i < f->n; i++) {
		hf_buf_addf(out, "%s%s=", i > 0 ? " " : "", f->v[i].key);
		o.needs_comma = false;
		if (f->v[i].text == NULL && f->v[i].is_whole)
			hf_jout_i64(&o, (int64_t)f->v[i].number);
		else if (f->v[i].text == NULL)
			hf_buf_addf(out, "%.3f", f->v[i].number);
		else if (f->v[i].text[strcspn(f->v[i].text, " \t\r\n\"=\\")] == '\0')
			hf_buf_add_str(out, f->v[i].text);
		else
			hf_jout_str(&o, hf_str(f->v[i].text));
	}
}

static void
write_line(enum hf_log_format format, const struct fields *f, struct hf_buf *out)
{
	if (format == HF_LOG_JSON)
		write_json(f, out);
	else
		write_logfmt(f, out);
}

void
hf_lease_log_line(
	enum hf_log_format format, const struct hf_lease_event *ev, struct hf_buf *out)
{
	hf_auto(hf_buf) time = HF_BUF_MAX(64);
	struct timespec ts = {(time_t)(ev->wall / HF_SECOND), (long)(ev->wall % HF_SECOND)};
	struct hf_time now = hf_time_local(ts);
	struct hf_hex id = hf_id_hex(&ev->id), repo = hf_id_hex(&ev->repo);
	struct fields f = {0};

	hf_time_add(&time, &now);
	hf_buf_add(&time, "", 1);
	add_text(&f, "time", (const char *)time.p);
	add_text(&f, "event", hf_lease_event_text(ev->kind));
	add_number(&f, "boottime_s", (double)ev->boot / 1e9);
	add_text(&f, "repository", repo.s);
	add_text(&f, "holder", ev->holder);
	if (!hf_id_is_zero(&ev->id))
		add_text(&f, "lock", id.s);
	add_count(&f, "seq", ev->seq);
	if (ev->kind != HF_LEASE_EV_START && ev->kind != HF_LEASE_EV_CONFLICT &&
		ev->kind != HF_LEASE_EV_WAIT)
		add_number(&f, "fence_in_s", ev->fence_in_s);
	add_special(&f, ev);
	write_line(format, &f, out);
}

void
hf_lease_log_more(struct hf_cli *cli, const char *event, const struct hf_log_more *more)
{
	enum hf_log_format format = (enum hf_log_format)cli->global.log_format;
	hf_auto(hf_buf) time = HF_BUF_MAX(64), line = HF_BUF_MAX(4096);
	struct hf_time now = hf_time_now();
	struct fields f = {0};

	if (format == HF_LOG_NONE)
		return;
	hf_time_add(&time, &now);
	hf_buf_add(&time, "", 1);
	add_text(&f, "time", (const char *)time.p);
	add_text(&f, "event", event);
	add_number(&f, "boottime_s", hf_clock());
	add_text(&f, "holder", more->holder);
	add_text(&f, "what", more->what);
	if (more->pid != 0)
		add_count(&f, "pid", (uint64_t)more->pid);
	if (more->round != 0)
		add_count(&f, "round", more->round);
	add_text(&f, "reason", more->reason);
	write_line(format, &f, &line);
	hf_err_json(cli->out, &line);
}

/* Words of restic that wrappers look for, or ours for what restic has no words for. */
static void
say_to_people(struct hf_cli *cli, const struct hf_lease_event *ev)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(64 << 10);
	unsigned n_waits = 0;
	enum hf_say level;
	bool is_warning;

	if (ev->kind == HF_LEASE_EV_FENCED)
		hf_say_err(cli->out,
			"Warning: the lock could not be refreshed in time; nothing "
			"is written until it is known to be whole");
	if (!hf_lease_event_say(ev, &n_waits, &text, &level, &is_warning))
		return;
	if (!is_warning)
		hf_say(cli->out, level, "%.*s", (int)text.len, (const char *)text.p);
	else if (hf_out_says(cli->out, level))
		hf_say_err(cli->out, "%.*s", (int)text.len, (const char *)text.p);
}

void
hf_lease_log(void *arg, const struct hf_lease_event *ev)
{
	struct hf_cli *cli = arg;
	enum hf_log_format format = (enum hf_log_format)cli->global.log_format;
	hf_auto(hf_buf) line = HF_BUF_MAX(64 << 10);

	if (format == HF_LOG_NONE) {
		say_to_people(cli, ev);
		return;
	}
	hf_lease_log_line(format, ev, &line);
	hf_err_json(cli->out, &line);
}
