/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands in a lock file, and when nobody stands behind it any more. */
#include <errno.h>
#include <signal.h>

#include "base/host.h"
#include "codec/json.h"
#include "repo/lock.h"

void
hf_lock_info_clear(struct hf_lock_info *info)
{
	free(info->hostname);
	free(info->username);
	free(info->pid_space);
	*info = (struct hf_lock_info){0};
}

static void
read_text(struct hf_json *j, char **out)
{
	free(*out);
	*out = hf_str_dup(hf_json_str(j));
}

struct hf_err *
hf_lock_parse(struct hf_bytes json, struct hf_lock_info *out)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(3 * json.len + 16);
	hf_auto(hf_lock_info) info = {
		.time = HF_TIME_ZERO,
		.hostname = hf_str_dup(hf_str("")),
		.username = hf_str_dup(hf_str("")),
		.pid_space = hf_str_dup(hf_str("")),
	};
	struct hf_json j;
	struct hf_str key;

	hf_json_init(&j, json, &scratch);
	hf_json_object(&j);
	while (hf_json_key(&j, &key)) {
		if (hf_json_key_is(key, "time"))
			info.time = hf_json_time(&j);
		else if (hf_json_key_is(key, "exclusive"))
			info.is_exclusive = hf_json_bool(&j);
		else if (hf_json_key_is(key, "hostname"))
			read_text(&j, &info.hostname);
		else if (hf_json_key_is(key, "username"))
			read_text(&j, &info.username);
		else if (hf_json_key_is(key, "pid"))
			info.pid = hf_json_i64(&j);
		else if (hf_json_key_is(key, "uid"))
			info.uid = (uint32_t)hf_json_u64(&j, UINT32_MAX);
		else if (hf_json_key_is(key, "gid"))
			info.gid = (uint32_t)hf_json_u64(&j, UINT32_MAX);
		else if (hf_json_key_is(key, "holdfast_pid_space"))
			read_text(&j, &info.pid_space);
		else
			hf_json_skip(&j);
	}
	HF_TRY(hf_json_end(&j));
	*out = info;
	info = (struct hf_lock_info){0};
	return NULL;
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
	hf_jout_key(&o, "hostname");
	hf_jout_str(&o, hf_str(info->hostname));
	hf_jout_key(&o, "username");
	hf_jout_str(&o, hf_str(info->username));
	hf_jout_key(&o, "pid");
	hf_jout_i64(&o, info->pid);
	if (info->uid != 0) {
		hf_jout_key(&o, "uid");
		hf_jout_u64(&o, info->uid);
	}
	if (info->gid != 0) {
		hf_jout_key(&o, "gid");
		hf_jout_u64(&o, info->gid);
	}
	/* Ours alone; restic passes over fields that it does not know. */
	if (info->pid_space[0] != '\0') {
		hf_jout_key(&o, "holdfast_pid_space");
		hf_jout_str(&o, hf_str(info->pid_space));
	}
	hf_jout_object_end(&o);
}

void
hf_lock_info_self(struct hf_lock_info *out)
{
	*out = (struct hf_lock_info){
		.time = hf_time_now(),
		.hostname = hf_host_name(),
		.username = hf_user_name(getuid()),
		.pid = getpid(),
		.uid = getuid(),
		.gid = getgid(),
		.pid_space = hf_pid_space(),
	};
}

/* Signal 0 only asks. Not being allowed to ask means that there is somebody. */
static bool
is_gone(int64_t pid)
{
	return pid > 0 && pid <= INT32_MAX && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

bool
hf_lock_is_orphan(const struct hf_lock_info *info, const struct hf_lock_info *self)
{
	return info->pid_space[0] != '\0' && strcmp(info->pid_space, self->pid_space) == 0 &&
	       strcmp(info->hostname, self->hostname) == 0 && is_gone(info->pid);
}

/* The weaker rule of restic, for who says `unlock`: the host's name is proof enough. */
static bool
is_stale(const struct hf_lock_info *info, const struct hf_lock_info *self)
{
	if (self->time.sec - info->time.sec > HF_LOCK_STALE_S)
		return true;
	if (info->pid_space[0] != '\0')
		return hf_lock_is_orphan(info, self);
	return strcmp(info->hostname, self->hostname) == 0 && is_gone(info->pid);
}

/* True also when the lock cannot be read: then it stays. */
static bool
is_in_use(struct hf_repo *repo, const struct hf_name *name, const struct hf_lock_info *self)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_LOCK_FILE);
	hf_auto(hf_lock_info) info = {0};
	struct hf_err *e = hf_repo_load(repo, name, &json);

	if (e == NULL)
		e = hf_lock_parse(hf_buf_bytes(&json), &info);
	hf_autoptr(hf_err) unreadable = e;
	return unreadable != NULL || !is_stale(&info, self);
}

struct hf_err *
hf_lock_remove_stale(struct hf_repo *repo, bool all, size_t *removed)
{
	hf_autofree struct hf_id *ids = NULL;
	hf_auto(hf_lock_info) self = {0};
	size_t n, count = 0;

	hf_lock_info_self(&self);
	HF_TRY(hf_repo_list(repo, HF_LOCK, &ids, NULL, &n));
	for (size_t i = 0; i < n; i++) {
		struct hf_name name = {HF_LOCK, ids[i]};

		if (!all && is_in_use(repo, &name, &self))
			continue;
		struct hf_err *e = hf_store_del(hf_repo_store(repo), &name);
		count += e == NULL;
		HF_TRY(hf_err_in(hf_err_ignore(e, HF_ENOTFOUND), "deleting lock %.8s",
			hf_id_hex(&ids[i]).s));
	}
	*removed = count;
	return NULL;
}
