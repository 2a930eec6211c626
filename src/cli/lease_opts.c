/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/lease_opts.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "base/host.h"
#include "base/path.h"
#include "base/time.h"
#include "cli/format.h"
#include "cli/lease_log.h"
#include "cli/place.h"

static bool
parse_scale(const char *s, struct hf_lock_options *out)
{
	char *end;
	double n = strtod(s, &end);

	if (end == s || *end != '\0' || !isfinite(n) || n <= 0 || n > 1000)
		return false;
	out->scale = n;
	return true;
}

static bool
parse_settle(const char *s, struct hf_lock_options *out)
{
	double n;

	if (!hf_duration_parse(s, &n) || n <= 0 || n > 600)
		return false;
	out->settle = n;
	return true;
}

static bool
parse_bool(const char *s, bool *out)
{
	*out = strcmp(s, "yes") == 0 || strcmp(s, "true") == 0;
	return *out || strcmp(s, "no") == 0 || strcmp(s, "false") == 0;
}

static bool
parse_trust(const char *s, struct hf_lock_options *out)
{
	return parse_bool(s, &out->trusts_hosts);
}

static bool
parse_plain(const char *s, struct hf_lock_options *out)
{
	return parse_bool(s, &out->plain_host);
}

static const struct {
	const char *key, *text;
	bool (*parse)(const char *value, struct hf_lock_options *out);
} options[] = {
	{"lock.plain-hostname", "write host names into locks as restic does (default: no)",
		parse_plain},
	{"lock.scale", "multiply all times of locks by this, for tests (default: 1)",
		parse_scale},
	{"lock.settle",
		"how long a list may lag where the store promises nothing better "
		"(default: 10s)",
		parse_settle},
	{"lock.trust-hostname",
		"a lock of restic is dead if its host has our name and there is no such "
		"process "
		"here (default: no)",
		parse_trust},
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static struct hf_err *
take_option(const char *key, const char *value, struct hf_lock_options *out)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		if (strcmp(options[i].key, key) != 0)
			continue;
		return options[i].parse(value, out)
			       ? NULL
			       : hf_err(HF_EINVAL, "option %s=%s makes no sense", key, value);
	}
	return hf_err(HF_EINVAL, "option %s is not known", key);
}

void
hf_extended_options(hf_store_option_fn *fn, void *arg)
{
	hf_store_options(fn, arg);
	for (size_t i = 0; i < N_OPTIONS; i++)
		fn(arg, options[i].key, options[i].text, true);
}

struct hf_err *
hf_lock_options(const struct hf_cli *cli, struct hf_lock_options *out)
{
	const struct hf_strings *given = &cli->global.options;

	*out = (struct hf_lock_options){.scale = 1, .settle = hf_lease_pace.settle};
	for (size_t i = 0; i < given->len; i++) {
		hf_autofree char *key = hf_str_dup(hf_str(given->v[i]));
		const char *value = hf_option_split(key);

		if (strncmp(key, "lock.", 5) == 0)
			HF_TRY(take_option(key, value, out));
	}
	return NULL;
}

struct hf_err *
hf_lease_setup(struct hf_cli *cli, struct hf_repo *repo, struct hf_lease_setup *out)
{
	hf_autofree char *dir = hf_env_state("seen");
	struct hf_lock_options o;

	*out = (struct hf_lease_setup){0};
	HF_TRY(hf_lock_options(cli, &o));
	out->pace = hf_lease_pace_scaled(o.scale);
	out->pace.settle = o.settle * o.scale;
	out->watch = hf_watch_new(dir, &hf_repo_config(repo)->id, &hf_clocks_kernel);
	out->hostname = hf_host_name();
	out->options = (struct hf_lease_options){
		.role = cli->command->name,
		.wait_s = cli->global.retry_lock_s,
		.claims_early = cli->global.lock_wait_claim,
		.plain_host = o.plain_host,
		.trusts_hosts = o.trusts_hosts,
		.pace = &out->pace,
		.scale = o.scale,
		.clocks = &hf_clocks_kernel,
		.watch = out->watch,
		.stop = &cli->stop,
		.on_event = hf_lease_log,
		.arg = cli,
	};
	return NULL;
}

struct hf_judge
hf_lease_setup_judge(struct hf_lease_setup *setup, struct hf_repo *repo)
{
	return (struct hf_judge){
		.repo = repo,
		.watch = setup->watch,
		.clocks = setup->options.clocks,
		.self = hf_proc_self(),
		.hostname = setup->hostname,
		.trusts_hosts = setup->options.trusts_hosts,
		.scale = setup->options.scale,
	};
}

void
hf_lease_setup_clear(struct hf_lease_setup *s)
{
	hf_watch_free(s->watch);
	free(s->hostname);
	*s = (struct hf_lease_setup){0};
}

/* ---- events as text ---- */

static void
say_wait(const struct hf_lease_event *ev, struct hf_buf *out)
{
	hf_buf_add_str(out, "repo already locked");
	if (ev->other != NULL) {
		hf_autofree char *who = hf_lock_who(ev->other);

		hf_buf_addf(out, " by %s", who);
	}
	hf_buf_addf(out, ", waiting up to %s for the lock", hf_format_duration(ev->seconds).s);
}

static void
say_removed(const struct hf_lease_event *ev, struct hf_buf *out)
{
	hf_autofree char *who = ev->other != NULL ? hf_lock_who(ev->other) : NULL;
	hf_autofree char *verdict = ev->verdict != NULL ? hf_verdict_text(ev->verdict) : NULL;

	hf_buf_addf(out, "removed stale lock %.8s%s%s: %s", hf_id_hex(&ev->id).s,
		who != NULL ? " of " : "", who != NULL ? who : "",
		verdict != NULL ? verdict : "dead");
}

static void
say_failed(const struct hf_lease_event *ev, struct hf_buf *out)
{
	hf_buf_addf(out, "refreshing the lock failed (attempt %u): %s", ev->n,
		ev->error != NULL ? hf_err_text(ev->error) : "unknown error");
}

bool
hf_lease_event_say(const struct hf_lease_event *ev, unsigned *n_waits, struct hf_buf *out,
	enum hf_say *level, bool *is_warning)
{
	*level = HF_SAY_NORMAL;
	*is_warning = true;
	switch (ev->kind) {
	case HF_LEASE_EV_WAIT:
		*is_warning = false;
		*level = (*n_waits)++ == 0 ? HF_SAY_NORMAL : HF_SAY_DEBUG;
		say_wait(ev, out);
		return true;
	case HF_LEASE_EV_REFRESHED:
		*is_warning = false;
		*level = HF_SAY_DEBUG;
		hf_buf_addf(out, "refreshed the lock, now %.8s", hf_id_hex(&ev->id).s);
		return true;
	case HF_LEASE_EV_FAILED:
		*level = HF_SAY_VERBOSE;
		say_failed(ev, out);
		return true;
	case HF_LEASE_EV_SUSPECT:
		hf_buf_addf(out, "Warning: the lock could not be refreshed for %s; %s left",
			hf_format_duration(ev->seconds).s,
			hf_format_duration(ev->fence_in_s).s);
		return true;
	case HF_LEASE_EV_RECOVERED:
		hf_buf_add_str(out, "the lock was refreshed again, nothing was lost");
		return true;
	case HF_LEASE_EV_REMOVED:
		say_removed(ev, out);
		return true;
	case HF_LEASE_EV_IGNORED:
		hf_buf_addf(out, "Warning: lock %.8s cannot be read and is passed over",
			hf_id_hex(&ev->id).s);
		return true;
	default:
		return false; /* the caller has his own words for them */
	}
}
