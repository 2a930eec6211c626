/* SPDX-License-Identifier: BSD-2-Clause */
/* Folders, files that are written and renamed into place, and files that go. */
#include <stdio.h>

#include "base/io.h"
#include "base/time.h"
#include "store/sftp_i.h"

enum {
	TEMP_TRIES = 100,
	FOLDERS = 256,
	MAX_LEFT_OVER = 100, /* temporary files that are remembered */
};

#define FOLDER __attribute__((cleanup(hf_sftp_folder_clear))) struct hf_sftp_folder

static const struct hf_sftp_how at_once = {.is_urgent = true};
/* What is only tried, after something else has failed. */
static const struct hf_sftp_how quickly = {.is_urgent = true, .within_s = SFTP_LOCK_REQUEST_S};

/*
 * How something is changed, which the gate of a lease has just let through: all requests that it may
 * take are over in the time that the gate was told.
 */
static struct hf_sftp_how
in_time(const struct sftp *s, struct hf_sftp_how how)
{
	how.is_urgent = true;
	if (how.until <= 0)
		how.until = hf_clock() + s->store.within_s;
	return how;
}

/* ---- folders ---- */

/* Cuts the last part off `path`, with its slash unless that is the root; false: there is no more. */
static bool
cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL || slash[1] == '\0')
		return false;
	slash[slash == path] = '\0';
	return true;
}

/* The folder that `path` is in, for the server. */
static char *
folder_of(const char *path)
{
	char *folder = hf_str_dup(hf_str(path));

	if (cut_last(folder))
		return folder;
	free(folder);
	return hf_str_dup(hf_str("."));
}

static struct hf_err *
make_folder(
	struct hf_sftp *session, const char *path, uint32_t mode, const struct hf_sftp_how *how)
{
	size_t bad;

	return hf_sftp_mkdirs(session, &path, 1, mode, how, &bad);
}

/* Makes the folder `path` and those above it, as far as they are missing, durably. */
static struct hf_err *
make_folders(
	struct hf_sftp *session, const char *path, uint32_t mode, const struct hf_sftp_how *how)
{
	hf_autofree char *parent = hf_str_dup(hf_str(path));
	struct hf_err *e = make_folder(session, path, mode, how);

	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND && cut_last(parent)) {
		hf_err_free(e);
		HF_TRY(make_folders(session, parent, mode, how));
		e = make_folder(session, path, mode, how);
	}
	HF_TRY(e);
	hf_autofree char *above = folder_of(path);
	return hf_sftp_sync_folder(session, above, how);
}

/* The folder of the repository, without the slash. */
static char *
root_folder(const struct sftp *s)
{
	size_t len = strlen(s->root);

	if (len == 0)
		return hf_str_dup(hf_str("."));
	return hf_str_dup((struct hf_str){s->root, len > 1 ? len - 1 : len});
}

static struct hf_err *
make_many(
	struct sftp *s, struct hf_sftp *session, const struct hf_strings *names, uint32_t mode)
{
	hf_auto(hf_strings) paths = {0};
	size_t bad = 0;

	for (size_t i = 0; i < names->len; i++) {
		hf_autofree char *path = sftp_path_of(s, names->v[i], "");

		hf_strings_add(&paths, path);
	}
	struct hf_err *e = hf_sftp_mkdirs(
		session, (const char *const *)paths.v, paths.len, mode, &at_once, &bad);
	return sftp_at(s, names->v[bad < names->len ? bad : 0], e);
}

/* The names of the folders of packs, "data/00" to "data/ff". */
void
sftp_pack_folders(struct hf_strings *out)
{
	for (unsigned i = 0; i < FOLDERS; i++) {
		char name[sizeof "data/ff"];

		snprintf(name, sizeof name, "data/%02x", i & 0xff);
		hf_strings_add(out, name);
	}
}

struct hf_err *
sftp_create(struct hf_store *store)
{
	struct sftp *s = sftp_of(store);
	hf_auto(hf_strings) kinds = {0}, packs = {0};
	hf_autofree char *root = root_folder(s), *data = sftp_path_of(s, "data", "");
	SFTP_USE use = {.session = NULL};
	bool shared;

	HF_TRY(sftp_at(s, NULL, hf_sftp_pool_main(s->pool, false, &use)));
	HF_TRY(sftp_is_shared(s, use.session, &at_once, &shared));
	uint32_t mode = shared ? 0770 : 0700;
	HF_TRY(sftp_at(s, NULL, make_folders(use.session, root, mode, &at_once)));
	for (unsigned kind = 0; kind < HF_KINDS; kind++)
		if (hf_kind_folder(kind) != NULL)
			hf_strings_add(&kinds, hf_kind_folder(kind));
	sftp_pack_folders(&packs);
	HF_TRY(make_many(s, use.session, &kinds, mode));
	HF_TRY(make_many(s, use.session, &packs, mode));
	HF_TRY(sftp_at(s, "data", hf_sftp_sync_folder(use.session, data, &at_once)));
	return sftp_at(s, NULL, hf_sftp_sync_folder(use.session, root, &at_once));
}

/* ---- writing ---- */

/* Removes a temporary file; remembers it if that cannot be done now. */
static void
remove_temp(struct sftp *s, struct hf_sftp *session, const char *path)
{
	hf_autoptr(hf_err) e = hf_sftp_remove(session, path, &quickly);

	if (e == NULL || hf_err_code(e) == HF_ENOTFOUND)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->left_over.len < MAX_LEFT_OVER)
		hf_strings_add(&s->left_over, path);
	pthread_mutex_unlock(&s->lock);
}

/* What earlier calls had to leave behind. */
static void
remove_left_over(struct sftp *s, struct hf_sftp *session)
{
	hf_auto(hf_strings) paths = {0};

	pthread_mutex_lock(&s->lock);
	paths = s->left_over;
	s->left_over = (struct hf_strings){0};
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < paths.len; i++)
		remove_temp(s, session, paths.v[i]);
}

/* A new file beside `path`; the folder is made if need be. */
static struct hf_err *
open_temp(struct hf_sftp *session, const char *path, bool shared, const struct hf_sftp_how *how,
	char **temp, bool *made, struct hf_sftp_handle *out)
{
	*made = false;
	for (int i = 0; i < TEMP_TRIES; i++) {
		uint32_t number;

		free(*temp);
		*temp = NULL;
		hf_random(&number, sizeof number);
		if (asprintf(temp, "%s-tmp-%u", path, number) < 0)
			abort();
		struct hf_err *e = hf_sftp_open_file(session, *temp,
			HF_SFTP_FOR_WRITE | HF_SFTP_CREATE | HF_SFTP_EXCLUSIVE, 0600, how, out);
		if (e == NULL)
			return NULL;
		if (hf_err_code(e) != HF_ENOTFOUND || *made)
			return hf_err_in(e, "creating");
		hf_err_free(e);
		hf_autofree char *folder = folder_of(path);
		HF_TRY(hf_err_in(make_folders(session, folder, shared ? 0770 : 0700, how),
			"making its folder"));
		*made = true;
	}
	return hf_err(HF_EEXISTS, "no free name for a temporary file");
}

/*
 * A server that fails without saying why has often no room left, and can be asked. Takes `e`.
 */
static struct hf_err *
explain_failure(struct hf_sftp *session, const char *path, size_t size, struct hf_err *e)
{
	struct hf_sftp_space space;

	if (e == NULL || hf_err_code(e) != HF_EIO || !hf_sftp_is_alive(session))
		return e;
	hf_autofree char *folder = folder_of(path);
	hf_autoptr(hf_err) unknown = hf_sftp_space(session, folder, &quickly, &space);
	if (unknown != NULL)
		return hf_err_in(e, "the server may have no space left");
	if (space.files > 0 && space.bytes >= size)
		return e;
	hf_err_free(e);
	return hf_err(HF_EFATAL,
		"no space left on the server: %llu bytes and %llu files are free there, "
		"%zu bytes are to be written",
		(unsigned long long)space.bytes, (unsigned long long)space.files, size);
}

/* The content, under a temporary name, is on disk when this returns NULL. */
static struct hf_err *
fill_temp(struct hf_sftp *session, const char *path, struct hf_bytes data, bool shared,
	const struct hf_sftp_how *how, char **temp, bool *made)
{
	struct hf_sftp_handle handle;

	HF_TRY(open_temp(session, path, shared, how, temp, made, &handle));
	return hf_sftp_fill_file(session, &handle, data, how);
}

/* Whether the file is there already with that content. */
static bool
is_the_same(struct hf_sftp *session, const char *path, struct hf_bytes data,
	const struct hf_sftp_how *how)
{
	hf_auto(hf_buf) found = HF_BUF_SPOOL(data.len);
	hf_autoptr(hf_err) e = hf_sftp_read_file(session, path, 0, SIZE_MAX, how, &found, NULL);

	return e == NULL && hf_bytes_eq(hf_buf_bytes(&found), data);
}

/*
 * Gives the finished file its name, for which the gate is asked: writing may have taken minutes.
 * Where a file cannot be replaced in one step, one that is whole is left alone: names stand for
 * contents, so that this is what comes of it when two write the same.
 */
static struct hf_err *
rename_temp(struct sftp *s, struct hf_sftp *session, const struct hf_name *name,
	struct hf_bytes data, const char *temp, const char *path, const struct hf_sftp_how *how)
{
	struct hf_sftp_how change;

	HF_TRY(hf_store_pass(&s->store, name, false, data.len));
	change = in_time(s, *how);
	struct hf_err *e = (name->is_new ? hf_sftp_rename_new : hf_sftp_rename)(
		session, temp, path, &change);
	if (e == NULL || hf_err_code(e) != HF_EEXISTS)
		return hf_err_in(e, "renaming");
	hf_err_free(e);
	if (is_the_same(session, path, data, how)) {
		remove_temp(s, session, temp);
		return NULL;
	}
	if (name->is_new)
		return hf_err(HF_EEXISTS, "there is a file of that name");
	HF_TRY(hf_store_pass(&s->store, name, false, data.len));
	change = in_time(s, *how);
	return hf_err_in(
		hf_sftp_rename_over(session, temp, path, &change), "replacing the old file");
}

/* After the rename: what makes it last. `asked` is the folder, if it has been asked for here. */
static struct hf_err *
settle(struct hf_sftp *session, const char *path, bool shared, const struct hf_sftp_how *how,
	struct hf_sftp_folder *asked)
{
	hf_autofree char *folder = folder_of(path);

	/* Only now: some servers do not rename what is read-only. Not all of them know modes. */
	hf_sftp_chmod_later(session, path, shared ? 0440 : 0400);
	struct hf_err *e = asked->s == session ? hf_sftp_sync_asked(asked)
					       : hf_sftp_sync_folder(session, folder, how);
	return hf_err_in(e, "syncing its folder");
}

/* Asks for the folder that `path` is in; it takes no data, so that it need not wait behind any. */
static void
ask_folder(struct hf_sftp *session, const char *path, struct hf_sftp_how how,
	struct hf_sftp_folder *out)
{
	hf_autofree char *folder = folder_of(path);

	how.is_urgent = true;
	hf_sftp_ask_folder(session, folder, &how, out);
}

/* The one that answers soonest, when a put has failed because of `e`. */
static struct hf_sftp *
session_to_tidy(const struct hf_sftp_use *use, const struct hf_sftp_use *first,
	const struct hf_sftp_use *last, const struct hf_err *e)
{
	if (last->session != NULL)
		return last->session;
	/* Nobody waits any longer for the data in front of it. */
	return hf_err_code(e) == HF_ECANCELED ? first->session : use->session;
}

static struct hf_err *
put_at(struct sftp *s, const struct hf_name *name, struct hf_bytes data, const char *path)
{
	hf_autofree char *temp = NULL;
	const struct hf_sftp_how how = sftp_how_for(name->kind);
	SFTP_USE use = {.session = NULL}, first = {.session = NULL}, last = {.session = NULL};
	FOLDER folder = {.s = NULL};
	bool shared, made = false;

	HF_TRY(sftp_session_for(s, name, data.len, &use));
	HF_TRY(hf_sftp_pool_main(s->pool, how.no_stop, &first));
	HF_TRY(sftp_is_shared(s, first.session, &how, &shared));
	remove_left_over(s, use.session);
	ask_folder(first.session, path, how, &folder);
	struct hf_err *e = fill_temp(use.session, path, data, shared, &how, &temp, &made);
	if (made)
		hf_sftp_folder_clear(&folder); /* it was not there when it was asked for */
	e = explain_failure(use.session, path, data.len, e);
	if (e == NULL)
		e = hf_sftp_pool_main(s->pool, how.no_stop, &last);
	if (e == NULL)
		e = rename_temp(s, last.session, name, data, temp, path, &how);
	if (e == NULL)
		e = settle(last.session, path, shared, &how, &folder);
	if (e != NULL && temp != NULL) /* no longer there if the rename was done */
		remove_temp(s, session_to_tidy(&use, &first, &last, e), temp);
	return e;
}

struct hf_err *
sftp_put(struct hf_store *store, const struct hf_name *name, struct hf_bytes data)
{
	struct sftp *s = sftp_of(store);
	struct hf_name_text text = hf_name_text(name);
	hf_autofree char *path = sftp_path_of(s, text.s, "");

	HF_TRY(sftp_at(s, text.s, put_at(s, name, data, path)));
	hf_store_saw(store, name, true);
	return NULL;
}

/* Servers on Windows do not delete what is read-only. Takes `e`, why it was not deleted. */
static struct hf_err *
remove_read_only(struct hf_sftp *session, const char *path, const struct hf_sftp_how *how,
	struct hf_err *e)
{
	if (e == NULL || hf_err_code(e) != HF_EFATAL)
		return e;
	hf_autoptr(hf_err) mode = hf_sftp_chmod(session, path, 0600, how);
	if (mode != NULL)
		return e;
	hf_autoptr(hf_err) again = hf_sftp_remove(session, path, how);
	if (again != NULL)
		return e;
	hf_err_free(e);
	return NULL;
}

static struct hf_err *
del_at(struct sftp *s, const struct hf_name *name, const char *path)
{
	const struct hf_sftp_how how = sftp_how_for(name->kind);
	bool lasts = name->kind != HF_PACK && name->kind != HF_LOCK;
	SFTP_USE use = {.session = NULL};
	FOLDER folder = {.s = NULL};

	HF_TRY(hf_sftp_pool_main(s->pool, how.no_stop, &use));
	if (lasts)
		ask_folder(use.session, path, how, &folder);
	HF_TRY(hf_store_pass(&s->store, name, true, 0)); /* connecting may have taken long */
	const struct hf_sftp_how change = in_time(s, how);
	struct hf_err *e = hf_sftp_remove(use.session, path, &change);
	HF_TRY(remove_read_only(use.session, path, &change, e));
	return lasts ? hf_sftp_sync_asked(&folder) : NULL;
}

struct hf_err *
sftp_del(struct hf_store *store, const struct hf_name *name)
{
	struct sftp *s = sftp_of(store);
	struct hf_name_text text = hf_name_text(name);
	hf_autofree char *path = sftp_path_of(s, text.s, "");

	hf_store_saw(store, name, false);
	return sftp_at(s, text.s, del_at(s, name, path));
}
