/* SPDX-License-Identifier: BSD-2-Clause */
/* locks: who holds the repository. Takes no lock, and needs nothing but the right to read. */
#include <math.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/session.h"
#include "cli/table.h"

struct locks_options {
	bool is_check;
	double wait_free_s;
};

static const struct hf_opt options[] = {
	{"check", 0, HF_OPT_FLAG(struct locks_options, is_check),
		.help = "exit with 11 if an exclusive lock could not be had now"},
	{"wait-free", 0, HF_OPT_SECONDS(struct locks_options, wait_free_s), .arg = "duration",
		.help = "wait up to so long until an exclusive lock could be had; exit with 11 "
			"otherwise"},
};

/* Seconds since `t`, as it may be shown: "41s", "3m", "2h", "3d". */
static struct hf_text
age_text(const struct hf_time *t)
{
	struct hf_time now = hf_time_now();
	long long s = now.sec - t->sec;
	struct hf_text text;

	if (s < 0)
		snprintf(text.s, sizeof text.s, "in %llds", -s);
	else if (s < 120)
		snprintf(text.s, sizeof text.s, "%llds", s);
	else if (s < 2 * 3600)
		snprintf(text.s, sizeof text.s, "%lldm", s / 60);
	else if (s < 48 * 3600)
		snprintf(text.s, sizeof text.s, "%lldh", s / 3600);
	else
		snprintf(text.s, sizeof text.s, "%lldd", s / 86400);
	return text;
}

static bool
is_waiting(const struct hf_lock_info *info)
{
	return info->wants_exclusive || info->is_claim;
}

static const char *
role_text(const struct hf_lock_entry *e)
{
	if (e->error != NULL)
		return "(invalid)";
	if (!e->info.is_ours)
		return "(restic)";
	return e->info.role;
}

static void
add_row(struct hf_table *t, const struct hf_lock_entry *e)
{
	hf_autofree char *verdict = hf_verdict_text(&e->verdict);
	hf_auto(hf_buf) text = HF_BUF_MAX(4096);
	const struct hf_lock_info *i = &e->info;
	struct hf_hex hex = hf_id_hex(&e->id);

	hex.s[8] = '\0';
	hf_table_add(t, hex.s);
	hf_table_add(t, e->error != NULL ? "?" : i->is_exclusive ? "X" : "S");
	hf_buf_addf(&text, "%s%s", role_text(e), is_waiting(i) ? " (waits)" : "");
	hf_buf_add(&text, "", 1);
	hf_table_add(t, (const char *)text.p);
	hf_buf_reset(&text);
	if (e->error == NULL)
		hf_buf_addf(
			&text, "%s@%s pid %lld", i->username, i->hostname, (long long)i->pid);
	hf_buf_add(&text, "", 1);
	hf_table_add(t, (const char *)text.p);
	hf_table_add(t, i->is_ours ? hf_format_time(&i->since).s : "");
	hf_table_add(t, e->error == NULL ? age_text(&i->time).s : "");
	hf_buf_reset(&text);
	if (i->is_ours)
		hf_buf_addf(&text, "%.3gs", i->every_s);
	hf_buf_add(&text, "", 1);
	hf_table_add(t, (const char *)text.p);
	hf_table_add(t, verdict);
	hf_table_add(t, i->note != NULL ? i->note : "");
}

static void
print_table(struct hf_cli *cli, const struct hf_lock_list *list)
{
	static const char *const headers[] = {"ID", "Mode", "Role", "Holder", "Since",
		"Refreshed", "Every", "Liveness", "Note"};
	size_t n = sizeof headers / sizeof headers[0];
	hf_autoptr(hf_table) t = hf_table_new(headers, n);

	if (list->len == 0) {
		hf_say(cli->out, HF_SAY_DATA, "no locks");
		return;
	}
	for (size_t i = 0; i < list->len; i++)
		add_row(t, &list->v[i]);
	hf_table_print(t, false, cli->out);
	hf_say(cli->out, HF_SAY_DATA, "%zu locks", list->len);
}

static void
add_seconds(struct hf_jout *o, const char *key, double s)
{
	hf_jout_key(o, key);
	if (isnan(s))
		hf_jout_null(o);
	else
		hf_jout_double(o, s);
}

static void
add_holder(struct hf_jout *o, const struct hf_lock_info *i)
{
	hf_jout_key(o, "time");
	hf_jout_time(o, &i->time);
	hf_jout_key(o, "exclusive");
	hf_jout_bool(o, i->is_exclusive);
	hf_jout_field_str(o, "hostname", i->hostname);
	hf_jout_field_str(o, "username", i->username);
	hf_jout_key(o, "pid");
	hf_jout_i64(o, i->pid);
	hf_jout_field_u64(o, "uid", i->uid);
	hf_jout_field_u64(o, "gid", i->gid);
	if (!i->is_ours)
		return;
	hf_jout_key(o, "since");
	hf_jout_time(o, &i->since);
	hf_jout_field_str(o, "holder", i->holder);
	hf_jout_field_str(o, "role", i->role);
	hf_jout_field_str(o, "note", i->note);
	hf_jout_key(o, "waits");
	hf_jout_bool(o, is_waiting(i));
	hf_jout_field_u64(o, "seq", i->seq);
	add_seconds(o, "every_s", i->every_s);
	add_seconds(o, "fence_s", i->fence_s);
}

static void
print_json(struct hf_cli *cli, const struct hf_lock_list *list)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(64 << 20);
	struct hf_jout o = {.buf = &json};

	hf_jout_array(&o);
	for (size_t i = 0; i < list->len; i++) {
		const struct hf_lock_entry *e = &list->v[i];
		const struct hf_verdict *v = &e->verdict;

		hf_jout_object(&o);
		hf_jout_key(&o, "id");
		hf_jout_id(&o, &e->id);
		hf_jout_field_str(&o, "kind",
			e->error != NULL  ? "invalid"
			: e->info.is_ours ? "holdfast"
					  : "restic");
		if (e->error != NULL)
			hf_jout_field_str(&o, "error", hf_err_text(e->error));
		else
			add_holder(&o, &e->info);
		hf_jout_field_str(&o, "liveness",
			v->is_alive                 ? "alive"
			: v->proof != HF_PROOF_NONE ? "dead"
						    : "unknown");
		hf_jout_field_str(&o, "proof", hf_proof_text(v->proof));
		add_seconds(&o, "watched_s", v->watched_s);
		add_seconds(&o, "watch_s", v->watch_s);
		add_seconds(&o, "store_age_s", v->store_age_s);
		hf_jout_object_end(&o);
	}
	hf_jout_array_end(&o);
	hf_out_json(cli->out, &json);
}

/* What would keep an exclusive lock away: dead locks would be removed. */
static size_t
count_blockers(const struct hf_lock_list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->len; i++)
		n += list->v[i].verdict.proof == HF_PROOF_NONE;
	return n;
}

/* Lists until nothing is in the way, or the time is over. */
static struct hf_err *
list_until(struct hf_session *s, double wait_s, struct hf_lock_list *list)
{
	struct hf_judge judge = hf_lease_setup_judge(&s->setup, s->repo);
	double end = hf_clock() + wait_s;

	for (;;) {
		hf_lock_list_clear(list);
		HF_TRY(hf_lock_list(&judge, list));
		if (count_blockers(list) == 0 || hf_clock() >= end)
			return NULL;
		double left = end - hf_clock();
		HF_TRY(hf_stop_wait(&s->cli->stop, left < 1 ? left : 1));
	}
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct locks_options *o = opts;
	hf_auto(hf_session) session = {0};
	hf_auto(hf_lock_list) list = {0};
	size_t n;

	if (args->len > 0)
		return hf_err(HF_EINVAL, "the locks command takes no arguments");
	HF_TRY(hf_session_open(cli, HF_SESSION_UNLOCKED, true, &session));
	HF_TRY(list_until(&session, o->wait_free_s, &list));
	if (cli->global.is_json)
		print_json(cli, &list);
	else
		print_table(cli, &list);
	n = count_blockers(&list);
	if (n > 0 && (o->is_check || o->wait_free_s > 0))
		return hf_err(HF_ELOCKED, "%zu locks keep an exclusive lock away", n);
	return NULL;
}

const struct hf_command hf_cmd_locks = {
	.name = "locks",
	.usage = "[flags]",
	.summary = "Show who holds locks on the repository",
	.text = "Shows the locks on the repository: who holds them, as what, since when, and\n"
		"whether the holder lives. Takes no lock itself.",
	HF_COMMAND_OPTS(options, struct locks_options),
	.run = run,
};
