/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "repo/raw.h"

static const struct hf_name config = {.kind = HF_CONFIG};

/* A copy that only we can read; the key is needed to open it all the same. */
static struct hf_err *
keep_copy(struct hf_bytes old, const char *tmp, char **dir, char **copy)
{
	hf_autofree char *path = hf_path_join(tmp, "restic-migrate-upgrade-repo-v2-XXXXXX");

	if (mkdtemp(path) == NULL)
		return hf_err_errno(errno, "create temp dir %s", path);
	*dir = hf_steal(path);
	*copy = hf_path_join(*dir, "config");
	hf_autofd int fd = open(*copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return hf_err_errno(errno, "write config file backup to %s", *copy);
	HF_TRY(hf_err_in(hf_write_full(fd, old.p, old.len), "%s", *copy));
	if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
		return hf_err_errno(errno, "%s", *copy);
	return NULL;
}

/* The config is what is expected. */
static struct hf_err *
look(struct hf_store *store, struct hf_bytes want)
{
	hf_auto(hf_buf) is = HF_BUF_MAX(HF_MAX_CONFIG_FILE);

	HF_TRY(hf_store_get(store, &config, 0, SIZE_MAX, &is));
	if (!hf_bytes_eq(hf_buf_bytes(&is), want))
		return hf_err(HF_ECORRUPT, "the config is not what was written");
	return NULL;
}

/* What has been written is read again: nothing works without it. */
static struct hf_err *
write_new(struct hf_store *store, struct hf_bytes new)
{
	if (!hf_store_promises(store, HF_REPLACES_ATOMICALLY))
		HF_TRY(hf_err_in(hf_store_del(store, &config), "remove config failed"));
	HF_TRY(hf_err_in(hf_store_put(store, &config, new), "save new config file failed"));
	return look(store, new);
}

/* Takes `e`, which says why. *is_back: the old config is there. */
static struct hf_err *
put_back(struct hf_store *store, struct hf_bytes old, struct hf_err *e, bool *is_back)
{
	hf_autoptr(hf_err) why = e;
	hf_autoptr(hf_err) differs = look(store, old);

	*is_back = differs == NULL;
	if (*is_back)
		return hf_err(hf_err_code(why),
			"error uploading config (%s), the old one is "
			"still there",
			hf_err_text(why));
	if (!hf_store_promises(store, HF_REPLACES_ATOMICALLY))
		hf_err_free(hf_store_del(store, &config));
	hf_autoptr(hf_err) again = hf_store_put(store, &config, old);
	*is_back = again == NULL;
	if (*is_back)
		return hf_err(hf_err_code(why),
			"error uploading config (%s), re-uploaded old config was successful",
			hf_err_text(why));
	return hf_err(hf_err_code(why),
		"error uploading config (%s), re-uploading old config failed as well (%s)",
		hf_err_text(why), hf_err_text(again));
}

struct hf_err *
hf_upgrade(struct hf_repo *repo, const char *tmp, char **copy)
{
	struct hf_store *store = hf_repo_store(repo);
	hf_auto(hf_buf) old = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	hf_auto(hf_buf) new = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	hf_autofree char *dir = NULL;
	bool is_back = true;

	*copy = NULL;
	if (hf_repo_config(repo)->version != 1)
		return hf_err(HF_EINVAL,
			"repository has version %u, only upgrades from version 1 are supported",
			hf_repo_config(repo)->version);
	HF_TRY(hf_err_in(hf_raw_load(store, &config, &old), "load config file failed"));
	HF_TRY(hf_repo_seal_config(repo, 2, &new));
	struct hf_err *e = keep_copy(hf_buf_bytes(&old), tmp, &dir, copy);
	if (e == NULL) {
		e = write_new(store, hf_buf_bytes(&new));
		if (e != NULL)
			e = put_back(store, hf_buf_bytes(&old), e, &is_back);
	}
	if (!is_back)
		return e;
	if (*copy != NULL)
		(void)unlink(*copy);
	if (dir != NULL)
		(void)rmdir(dir);
	free(hf_steal(*copy));
	return e;
}
