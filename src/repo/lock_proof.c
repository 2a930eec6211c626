/* SPDX-License-Identifier: BSD-2-Clause */
#include "repo/lock_proof.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/syscall.h>

/* Seconds. */
#define STALE        1800.0 /* S: restic's age of a stale lock */
#define WATCH_RESTIC 1860.0 /* it stops itself at 22.5 minutes without a refresh */
#define AFTER_FENCE  180.0  /* of ours: the grace of a child, and two minutes to spare */
#define FENCE        900.0
#define TWO_LOOKS    360.0 /* between the sightings of an exclusive lock */
#define HOST_AGE     600.0

const char *
hf_proof_text(enum hf_proof proof)
{
	static const char *const texts[] = {
		"none", "kernel", "process", "host", "watched", "clocks"};

	return texts[proof];
}

/* How long the holder of this lock could leave it unchanged and still act. */
static double
watch_time(const struct hf_judge *j, const struct hf_lock_info *info)
{
	if (info == NULL || !info->is_ours)
		return WATCH_RESTIC * j->scale;
	/* Whatever stands in the file, nobody waits for longer than for restic. */
	if (!(info->fence_s > 0 && info->fence_s <= STALE))
		return (FENCE + AFTER_FENCE) * j->scale;
	return info->fence_s + AFTER_FENCE * j->scale;
}

static bool
is_our_host(const struct hf_judge *j, const struct hf_lock_info *info)
{
	size_t len = strlen(j->hostname);

	if (len == 0 || strncmp(info->hostname, j->hostname, len) != 0)
		return false;
	return info->hostname[len] == '\0' || (info->is_ours && info->hostname[len] == ' ');
}

/* P1 and P2, both ways. */
static void
ask_kernel(const struct hf_judge *j, const struct hf_id *id, const struct hf_lock_info *info,
	struct hf_verdict *v)
{
	struct hf_name name = {HF_LOCK, *id};

	if (info->is_held && strcmp(info->proc.boot, j->self.boot) == 0 &&
		j->self.boot[0] != '\0') {
		switch (hf_store_held(hf_repo_store(j->repo), &name)) {
		case HF_HELD_YES:
			v->is_alive = true;
			return;
		case HF_HELD_NO:
			v->proof = HF_PROOF_KERNEL;
			return;
		case HF_HELD_UNKNOWN:
			break;
		}
	}
	switch (hf_proc_life(&info->proc, &j->self)) {
	case HF_LIFE_ALIVE:
		v->is_alive = true;
		break;
	case HF_LIFE_DEAD:
		v->proof = HF_PROOF_PROCESS;
		break;
	case HF_LIFE_UNKNOWN:
		v->other_boot = is_our_host(j, info) && info->proc.boot[0] != '\0' &&
				strcmp(info->proc.boot, j->self.boot) != 0;
		break;
	}
}

static double
age_by_wall(const struct hf_judge *j, const struct hf_lock_info *info)
{
	int64_t now_s = j->clocks->wall(j->clocks->arg) / HF_SECOND;

	return (double)(now_s - info->time.sec);
}

/* P3: nobody of that number here, where all processes of this kernel have a number. */
static bool
host_proves(const struct hf_judge *j, const struct hf_lock_info *info)
{
	if (!j->trusts_hosts || info->is_ours || !is_our_host(j, info))
		return false;
	if (!hf_proc_is_initial(&j->self) || age_by_wall(j, info) < HOST_AGE * j->scale)
		return false;
	if (info->pid <= 0 || info->pid > INT32_MAX)
		return false;
	hf_autofd int fd = (int)syscall(SYS_pidfd_open, (pid_t)info->pid, 0);
	return fd < 0 && errno == ESRCH;
}

/* P5. A lock from the future is not old by our clock, and neither is one without a time. */
static bool
clocks_prove(
	const struct hf_judge *j, const struct hf_lock_info *info, const struct hf_verdict *v)
{
	double stale = STALE * j->scale;

	if (info == NULL || hf_time_is_zero(&info->time) || isnan(v->store_age_s))
		return false;
	if (age_by_wall(j, info) <= stale || v->store_age_s <= stale)
		return false;
	return !info->is_exclusive || v->watched_s >= TWO_LOOKS * j->scale;
}

struct hf_verdict
hf_judge_lock(const struct hf_judge *j, const struct hf_id *id, const struct hf_lock_info *info)
{
	struct hf_verdict v = {.watch_s = watch_time(j, info), .store_age_s = NAN};
	struct hf_name name = {HF_LOCK, *id};

	v.watched_s = hf_watch_seen_for(j->watch, id);
	hf_err_free(hf_store_age(hf_repo_store(j->repo), &name, &v.store_age_s));
	if (info != NULL && info->is_ours)
		ask_kernel(j, id, info, &v);
	if (v.is_alive || v.proof != HF_PROOF_NONE)
		return v;
	if (info != NULL && host_proves(j, info))
		v.proof = HF_PROOF_HOST;
	else if (v.watched_s >= v.watch_s)
		v.proof = HF_PROOF_WATCHED;
	else if (clocks_prove(j, info, &v))
		v.proof = HF_PROOF_CLOCKS;
	return v;
}

char *
hf_verdict_text(const struct hf_verdict *v)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(256);

	if (v->proof != HF_PROOF_NONE)
		hf_buf_addf(&text, "dead (%s)", hf_proof_text(v->proof));
	else if (v->is_alive)
		hf_buf_add_str(&text, "alive");
	else {
		hf_buf_add_str(&text, "unknown, unchanged for ");
		hf_duration_add(&text, (int64_t)v->watched_s * HF_SECOND);
		hf_buf_add_str(&text, " of ");
		hf_duration_add(&text, (int64_t)v->watch_s * HF_SECOND);
		if (v->other_boot)
			hf_buf_add_str(&text, ", from an earlier boot");
	}
	return hf_str_dup(hf_bytes_str(hf_buf_bytes(&text)));
}
