/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands in a lock file. */
#include "repo/lock_file.h"

#include <stdio.h>

#include "base/host.h"
#include "base/io.h"
#include "codec/json.h"

enum { FORMAT = 1 };

static const char decoration[] = " [holdfast]";

void
hf_lock_info_clear(struct hf_lock_info *info)
{
	free(info->hostname);
	free(info->username);
	free(info->role);
	free(info->prog);
	free(info->note);
	*info = (struct hf_lock_info){0};
}

/* ---- reading ---- */

static void
read_text(struct hf_json *j, char **out)
{
	free(*out);
	*out = hf_str_dup(hf_json_str(j));
}

/* Texts of fixed size: a longer one is no id, boot or ticket of ours, and stays empty. */
static void
read_word(struct hf_json *j, char *out, size_t size)
{
	struct hf_str s = hf_json_str(j);

	memset(out, 0, size);
	if (s.len < size)
		memcpy(out, s.p, s.len);
}

static void
read_prev(struct hf_json *j, struct hf_id *out)
{
	if (!hf_id_parse(hf_json_str(j), out))
		*out = (struct hf_id){0};
}

static void
read_proc(struct hf_json *j, struct hf_proc *out)
{
	struct hf_str key;

	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		if (hf_json_key_is(key, "pid"))
			out->pid = hf_json_i64(j);
		else if (hf_json_key_is(key, "start"))
			out->start = hf_json_u64(j, UINT64_MAX);
		else if (hf_json_key_is(key, "boot"))
			read_word(j, out->boot, sizeof out->boot);
		else if (hf_json_key_is(key, "pidns"))
			out->pidns = hf_json_u64(j, UINT64_MAX);
		else if (hf_json_key_is(key, "timens"))
			out->timens = hf_json_u64(j, UINT64_MAX);
		else
			hf_json_skip(j);
	}
}

static bool
read_times(struct hf_json *j, struct hf_str key, struct hf_lock_info *out)
{
	if (hf_json_key_is(key, "ttl"))
		out->ttl_s = hf_json_double(j);
	else if (hf_json_key_is(key, "fence"))
		out->fence_s = hf_json_double(j);
	else if (hf_json_key_is(key, "every"))
		out->every_s = hf_json_double(j);
	else if (hf_json_key_is(key, "since"))
		out->since = hf_json_time(j);
	else
		return false;
	return true;
}

static void
read_ours(struct hf_json *j, struct hf_lock_info *out)
{
	struct hf_str key;

	hf_json_object(j);
	while (hf_json_key(j, &key)) {
		if (hf_json_key_is(key, "v"))
			out->is_ours = hf_json_u64(j, UINT32_MAX) >= FORMAT;
		else if (hf_json_key_is(key, "holder"))
			read_word(j, out->holder, sizeof out->holder);
		else if (hf_json_key_is(key, "ticket"))
			read_word(j, out->ticket, sizeof out->ticket);
		else if (hf_json_key_is(key, "seq"))
			out->seq = hf_json_u64(j, UINT64_MAX);
		else if (hf_json_key_is(key, "prev"))
			read_prev(j, &out->prev);
		else if (hf_json_key_is(key, "role"))
			read_text(j, &out->role);
		else if (hf_json_key_is(key, "intent"))
			out->wants_exclusive = hf_str_is(hf_json_str(j), "exclusive");
		else if (hf_json_key_is(key, "claim"))
			out->is_claim = hf_json_bool(j);
		else if (hf_json_key_is(key, "proc"))
			read_proc(j, &out->proc);
		else if (hf_json_key_is(key, "klock"))
			out->is_held = hf_json_bool(j);
		else if (hf_json_key_is(key, "prog"))
			read_text(j, &out->prog);
		else if (hf_json_key_is(key, "note"))
			read_text(j, &out->note);
		else if (!read_times(j, key, out))
			hf_json_skip(j);
	}
}

static bool
read_field(struct hf_json *j, struct hf_str key, struct hf_lock_info *out)
{
	if (hf_json_key_is(key, "time"))
		out->time = hf_json_time(j);
	else if (hf_json_key_is(key, "exclusive"))
		out->is_exclusive = hf_json_bool(j);
	else if (hf_json_key_is(key, "hostname"))
		read_text(j, &out->hostname);
	else if (hf_json_key_is(key, "username"))
		read_text(j, &out->username);
	else if (hf_json_key_is(key, "pid"))
		out->pid = hf_json_i64(j);
	else if (hf_json_key_is(key, "uid"))
		out->uid = (uint32_t)hf_json_u64(j, UINT32_MAX);
	else if (hf_json_key_is(key, "gid"))
		out->gid = (uint32_t)hf_json_u64(j, UINT32_MAX);
	else if (hf_json_key_is(key, "holdfast"))
		read_ours(j, out);
	else
		return false;
	return true;
}

static char *
empty(void)
{
	return hf_str_dup(hf_str(""));
}

struct hf_err *
hf_lock_parse(struct hf_bytes json, struct hf_lock_info *out)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(3 * json.len + 16);
	hf_auto(hf_lock_info) info = {
		.time = HF_TIME_ZERO,
		.since = HF_TIME_ZERO,
		.hostname = empty(),
		.username = empty(),
		.role = empty(),
		.prog = empty(),
		.note = empty(),
	};
	struct hf_json j;
	struct hf_str key;

	hf_json_init(&j, json, &scratch);
	hf_json_object(&j);
	while (hf_json_key(&j, &key))
		if (!read_field(&j, key, &info))
			hf_json_skip(&j);
	HF_TRY(hf_json_end(&j));
	/* An intent is what somebody has who is not exclusive yet; a claim is by one who will be. */
	info.wants_exclusive &= !info.is_exclusive;
	info.is_claim &= info.is_exclusive;
	*out = info;
	info = (struct hf_lock_info){0};
	return NULL;
}

struct hf_err *
hf_lock_load(struct hf_repo *repo, const struct hf_id *id, struct hf_lock_info *out)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_LOCK_FILE);
	struct hf_name name = {HF_LOCK, *id};

	HF_TRY(hf_repo_load(repo, &name, &json));
	return hf_err_in(hf_lock_parse(hf_buf_bytes(&json), out), "%s", hf_name_text(&name).s);
}

/* ---- writing ---- */

static void
write_proc(struct hf_jout *o, const struct hf_proc *p)
{
	hf_jout_key(o, "proc");
	hf_jout_object(o);
	hf_jout_key(o, "pid");
	hf_jout_i64(o, p->pid);
	hf_jout_field_u64(o, "start", p->start);
	hf_jout_field_str(o, "boot", p->boot);
	hf_jout_field_u64(o, "pidns", p->pidns);
	hf_jout_field_u64(o, "timens", p->timens);
	hf_jout_object_end(o);
}

static void
write_ours(struct hf_jout *o, const struct hf_lock_info *info)
{
	hf_jout_key(o, "holdfast");
	hf_jout_object(o);
	hf_jout_field_u64(o, "v", FORMAT);
	hf_jout_field_str(o, "holder", info->holder);
	hf_jout_field_u64(o, "seq", info->seq);
	if (!hf_id_is_zero(&info->prev))
		hf_jout_field_str(o, "prev", hf_id_hex(&info->prev).s);
	hf_jout_key(o, "since");
	hf_jout_time(o, &info->since);
	hf_jout_field_str(o, "role", info->role);
	hf_jout_field_str(o, "intent",
		info->is_exclusive || info->wants_exclusive ? "exclusive" : "shared");
	if (info->is_claim) {
		hf_jout_key(o, "claim");
		hf_jout_bool(o, true);
	}
	hf_jout_field_str(o, "ticket", info->ticket);
	hf_jout_field_double(o, "ttl", info->ttl_s);
	hf_jout_field_double(o, "fence", info->fence_s);
	hf_jout_field_double(o, "every", info->every_s);
	write_proc(o, &info->proc);
	hf_jout_key(o, "klock");
	hf_jout_bool(o, info->is_held);
	hf_jout_field_str(o, "prog", info->prog);
	if (info->note[0] != '\0')
		hf_jout_field_str(o, "note", info->note);
	hf_jout_object_end(o);
}

void
hf_lock_write(struct hf_buf *out, const struct hf_lock_info *info)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	hf_jout_key(&o, "time");
	hf_jout_time(&o, &info->time);
	hf_jout_key(&o, "exclusive");
	hf_jout_bool(&o, info->is_exclusive);
	hf_jout_field_str(&o, "hostname", info->hostname);
	hf_jout_field_str(&o, "username", info->username);
	hf_jout_key(&o, "pid");
	hf_jout_i64(&o, info->pid);
	if (info->uid != 0)
		hf_jout_field_u64(&o, "uid", info->uid);
	if (info->gid != 0)
		hf_jout_field_u64(&o, "gid", info->gid);
	if (info->is_ours)
		write_ours(&o, info);
	hf_jout_object_end(&o);
}

/* ---- what it means ---- */

void
hf_lock_info_self(struct hf_lock_info *out, bool plain_host)
{
	hf_autofree char *host = hf_host_name();
	hf_auto(hf_buf) shown = HF_BUF_MAX(1024);
	uint8_t holder[HF_HOLDER_HEX / 2];

	hf_buf_add_str(&shown, host);
	if (!plain_host)
		hf_buf_add_str(&shown, decoration);
	*out = (struct hf_lock_info){
		.time = hf_time_now(),
		.since = hf_time_now(),
		.hostname = hf_str_dup(hf_bytes_str(hf_buf_bytes(&shown))),
		.username = hf_user_name(getuid()),
		.pid = getpid(),
		.uid = getuid(),
		.gid = getgid(),
		.is_ours = true,
		.role = empty(),
		.prog = hf_str_dup(hf_str("holdfast " HF_VERSION)),
		.note = empty(),
		.proc = hf_proc_self(),
	};
	hf_random(holder, sizeof holder);
	for (size_t i = 0; i < sizeof holder; i++)
		snprintf(out->holder + 2 * i, 3, "%02x", holder[i]);
}

void
hf_lock_info_label(struct hf_lock_info *info, const char *role, const char *note)
{
	free(info->role);
	free(info->note);
	info->role = hf_str_dup(hf_str(role != NULL ? role : ""));
	info->note = hf_str_dup(hf_str(note != NULL ? note : ""));
}

/* What two holders at once would do the same work twice, or against each other. */
static bool
is_for_one(const char *role)
{
	return role != NULL && strcmp(role, "prune") == 0;
}

static bool
collides(const struct hf_lock_info *a, const struct hf_lock_info *b)
{
	return a->is_exclusive || b->is_exclusive ||
	       (is_for_one(a->role) && is_for_one(b->role));
}

bool
hf_lock_yields(const struct hf_lock_info *wish, const struct hf_lock_info *other)
{
	return other->is_ours && strcmp(wish->ticket, other->ticket) < 0;
}

bool
hf_lock_excludes(const struct hf_lock_info *wish, const struct hf_lock_info *other)
{
	if (other->wants_exclusive || other->is_claim)
		return !hf_lock_yields(wish, other) || (other->is_claim && !wish->is_exclusive);
	return collides(wish, other);
}

bool
hf_lock_threatens(const struct hf_lock_info *ours, const struct hf_lock_info *other)
{
	return !other->wants_exclusive && !other->is_claim && collides(ours, other);
}

char *
hf_lock_who(const struct hf_lock_info *info)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(4096);

	hf_buf_addf(&text, "PID %lld on %s by %s", (long long)info->pid, info->hostname,
		info->username);
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(&text)));
}
