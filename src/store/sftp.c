/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/sftp.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/time.h"
#include "net/sftp_file.h"
#include "store/sftp_place.h"
#include "store/sftp_pool.h"

enum {
	TEMP_TRIES = 100,
	CHANGE_S = 60, /* a rename or a removal, behind MAIN_WINDOW on a slow line at most */
	LOCK_S = 40,
	LOCK_REQUEST_S = 15,
	FOLDERS = 256,
	DATA_SESSIONS = 3,   /* beside the main one, at most */
	MAX_LEFT_OVER = 100, /* temporary files that are remembered */
};

/* Whether files are for the group, too: read off the mode of `config` when that is first seen. */
enum sharing { SHARING_UNKNOWN, SHARING_NO, SHARING_YES };

struct sftp {
	struct hf_store store;
	char *root; /* with a slash at its end; "" for where the server begins */
	char *program;
	struct hf_sftp_pool *pool;
	void (*say)(void *, const char *);
	void *say_arg;
	atomic_int sharing;

	pthread_mutex_t lock; /* guards what follows */
	struct hf_strings left_over;
};

/* A path on the server: root, "data/3f/", an id, and a suffix. */
static char *
path_of(const struct sftp *s, const char *name, const char *suffix)
{
	char *path;

	if (asprintf(&path, "%s%s%s", s->root, name, suffix) < 0)
		abort();
	return path;
}

static struct sftp *
sftp_of(struct hf_store *s)
{
	return hf_container_of(s, struct sftp, store);
}

/* "sftp:host:/srv/repo/keys/3f2a…: ...": which file is meant. NULL stays NULL. */
static struct hf_err *
at(const struct sftp *s, const char *name, struct hf_err *e)
{
	return hf_err_in(
		e, "%s%s%s", s->store.url, name != NULL ? "/" : "", name != NULL ? name : "");
}

#define USE __attribute__((cleanup(hf_sftp_use_clear))) struct hf_sftp_use

#define FOLDER __attribute__((cleanup(hf_sftp_folder_clear))) struct hf_sftp_folder

static const struct hf_sftp_how at_once = {.is_urgent = true};
/* What is only tried, after something else has failed. */
static const struct hf_sftp_how quickly = {.is_urgent = true, .within_s = LOCK_REQUEST_S};

/*
 * How a call about that kind of file is carried out. Locks wait for no data, and a lease counts on
 * every try to be over soon (locking-design, T_try).
 */
static struct hf_sftp_how
how_for(enum hf_kind kind)
{
	if (kind != HF_LOCK)
		return (struct hf_sftp_how){.is_urgent = kind != HF_PACK};
	return (struct hf_sftp_how){true, LOCK_REQUEST_S, hf_clock() + LOCK_S};
}

/* The same for the request that changes something, which the gate of a lease has let through. */
static struct hf_sftp_how
in_time(struct hf_sftp_how how)
{
	how.is_urgent = true;
	if (how.within_s <= 0)
		how.within_s = CHANGE_S;
	return how;
}

/* The session for the data of a file. */
static struct hf_err *
session_for(struct sftp *s, const struct hf_name *name, size_t size, struct hf_sftp_use *out)
{
	if (name->kind == HF_PACK)
		return hf_sftp_pool_data(s->pool, size, out);
	return hf_sftp_pool_main(s->pool, out);
}

/* ---- modes ---- */

static void
learn_sharing(struct sftp *s, const struct hf_sftp_attrs *config)
{
	if (config->has_mode)
		atomic_store(&s->sharing, config->mode & S_IRGRP ? SHARING_YES : SHARING_NO);
}

/* Looks at `config`, if nobody has yet; where there is none nobody shares. */
static struct hf_err *
is_shared(struct sftp *s, struct hf_sftp *session, const struct hf_sftp_how *how, bool *out)
{
	struct hf_sftp_attrs attrs;

	if (atomic_load(&s->sharing) == SHARING_UNKNOWN) {
		hf_autofree char *path = path_of(s, "config", "");
		struct hf_err *e = hf_sftp_stat(session, path, how, &attrs);

		if (e == NULL)
			learn_sharing(s, &attrs);
		HF_TRY(at(s, "config", hf_err_ignore(e, HF_ENOTFOUND)));
	}
	*out = atomic_load(&s->sharing) == SHARING_YES;
	return NULL;
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
		hf_autofree char *path = path_of(s, names->v[i], "");

		hf_strings_add(&paths, path);
	}
	struct hf_err *e = hf_sftp_mkdirs(
		session, (const char *const *)paths.v, paths.len, mode, &at_once, &bad);
	return at(s, names->v[bad < names->len ? bad : 0], e);
}

/* The names of the folders of packs, "data/00" to "data/ff". */
static void
name_pack_folders(struct hf_strings *out)
{
	for (unsigned i = 0; i < FOLDERS; i++) {
		char name[sizeof "data/ff"];

		snprintf(name, sizeof name, "data/%02x", i & 0xff);
		hf_strings_add(out, name);
	}
}

static struct hf_err *
sftp_create(struct hf_store *store)
{
	struct sftp *s = sftp_of(store);
	hf_auto(hf_strings) kinds = {0}, packs = {0};
	hf_autofree char *root = root_folder(s), *data = path_of(s, "data", "");
	USE use = {.session = NULL};
	bool shared;

	HF_TRY(at(s, NULL, hf_sftp_pool_main(s->pool, &use)));
	HF_TRY(is_shared(s, use.session, &at_once, &shared));
	uint32_t mode = shared ? 0770 : 0700;
	HF_TRY(at(s, NULL, make_folders(use.session, root, mode, &at_once)));
	for (unsigned kind = 0; kind < HF_KINDS; kind++)
		if (hf_kind_folder(kind) != NULL)
			hf_strings_add(&kinds, hf_kind_folder(kind));
	name_pack_folders(&packs);
	HF_TRY(make_many(s, use.session, &kinds, mode));
	HF_TRY(make_many(s, use.session, &packs, mode));
	HF_TRY(at(s, "data", hf_sftp_sync_folder(use.session, data, &at_once)));
	return at(s, NULL, hf_sftp_sync_folder(use.session, root, &at_once));
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

	return e == NULL && found.len == data.len &&
	       (data.len == 0 || memcmp(found.p, data.p, data.len) == 0);
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
	const struct hf_sftp_how change = in_time(*how);

	HF_TRY(hf_store_pass(&s->store, name, false, data.len));
	struct hf_err *e = hf_sftp_rename(session, temp, path, &change);
	if (e == NULL || hf_err_code(e) != HF_EEXISTS)
		return hf_err_in(e, "renaming");
	hf_err_free(e);
	if (is_the_same(session, path, data, how)) {
		remove_temp(s, session, temp);
		return NULL;
	}
	HF_TRY(hf_store_pass(&s->store, name, false, data.len));
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

static struct hf_err *
put_at(struct sftp *s, const struct hf_name *name, struct hf_bytes data, const char *path)
{
	hf_autofree char *temp = NULL;
	const struct hf_sftp_how how = how_for(name->kind);
	USE use = {.session = NULL}, first = {.session = NULL}, last = {.session = NULL};
	FOLDER folder = {.s = NULL};
	bool shared, made = false;

	HF_TRY(session_for(s, name, data.len, &use));
	HF_TRY(hf_sftp_pool_main(s->pool, &first));
	HF_TRY(is_shared(s, first.session, &how, &shared));
	remove_left_over(s, use.session);
	ask_folder(first.session, path, how, &folder);
	struct hf_err *e = fill_temp(use.session, path, data, shared, &how, &temp, &made);
	if (made)
		hf_sftp_folder_clear(&folder); /* it was not there when it was asked for */
	e = explain_failure(use.session, path, data.len, e);
	if (e == NULL)
		e = hf_sftp_pool_main(s->pool, &last);
	if (e == NULL)
		e = rename_temp(s, last.session, name, data, temp, path, &how);
	if (e == NULL)
		e = settle(last.session, path, shared, &how, &folder);
	if (e != NULL && temp != NULL) /* no longer there if the rename was done */
		remove_temp(s, last.session != NULL ? last.session : use.session, temp);
	return e;
}

static struct hf_err *
sftp_put(struct hf_store *store, const struct hf_name *name, struct hf_bytes data)
{
	struct sftp *s = sftp_of(store);
	struct hf_name_text text = hf_name_text(name);
	hf_autofree char *path = path_of(s, text.s, "");

	return at(s, text.s, put_at(s, name, data, path));
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
	const struct hf_sftp_how how = how_for(name->kind), change = in_time(how);
	bool lasts = name->kind != HF_PACK && name->kind != HF_LOCK;
	USE use = {.session = NULL};
	FOLDER folder = {.s = NULL};

	HF_TRY(hf_sftp_pool_main(s->pool, &use));
	if (lasts)
		ask_folder(use.session, path, how, &folder);
	struct hf_err *e = hf_sftp_remove(use.session, path, &change);
	HF_TRY(remove_read_only(use.session, path, &change, e));
	return lasts ? hf_sftp_sync_asked(&folder) : NULL;
}

static struct hf_err *
sftp_del(struct hf_store *store, const struct hf_name *name)
{
	struct sftp *s = sftp_of(store);
	struct hf_name_text text = hf_name_text(name);
	hf_autofree char *path = path_of(s, text.s, "");

	return at(s, text.s, del_at(s, name, path));
}

/* ---- reading ---- */

static struct hf_err *
get_at(struct sftp *s, const struct hf_name *name, const char *path, uint64_t off, size_t len,
	struct hf_buf *out)
{
	const struct hf_sftp_how how = how_for(name->kind);
	USE use = {.session = NULL};

	HF_TRY(session_for(s, name, len, &use));
	struct hf_sftp_attrs attrs = {0};
	HF_TRY(hf_sftp_read_file(use.session, path, off, len, &how, out, &attrs));
	if (name->kind == HF_CONFIG)
		learn_sharing(s, &attrs);
	return NULL;
}

static struct hf_err *
sftp_get(struct hf_store *store, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct sftp *s = sftp_of(store);
	struct hf_name_text text = hf_name_text(name);
	hf_autofree char *path = path_of(s, text.s, "");

	return at(s, text.s, get_at(s, name, path, off, len, out));
}

static struct hf_err *
stat_at(struct sftp *s, struct hf_sftp *session, const char *name,
	const struct hf_sftp_how *how, struct hf_sftp_attrs *out)
{
	hf_autofree char *path = path_of(s, name, "");

	HF_TRY(at(s, name, hf_sftp_stat(session, path, how, out)));
	if (out->has_mode && !S_ISREG(out->mode))
		return at(s, name, hf_err(HF_EFATAL, "not a regular file"));
	if (!out->has_size)
		return at(s, name, hf_err(HF_EFATAL, "the server does not tell its size"));
	return NULL;
}

static struct hf_err *
sftp_stat(struct hf_store *store, const struct hf_name *name, uint64_t *size)
{
	struct sftp *s = sftp_of(store);
	const struct hf_sftp_how how = how_for(name->kind);
	struct hf_sftp_attrs attrs;
	USE use = {.session = NULL};

	HF_TRY(at(s, NULL, hf_sftp_pool_main(s->pool, &use)));
	HF_TRY(stat_at(s, use.session, hf_name_text(name).s, &how, &attrs));
	if (name->kind == HF_CONFIG)
		learn_sharing(s, &attrs);
	*size = attrs.size;
	return NULL;
}

/* ---- listing ---- */

struct listing {
	struct sftp *s;
	struct hf_sftp *session;
	enum hf_kind kind;
	const struct hf_sftp_how *how;
	hf_store_list_fn *fn;
	void *arg;
	bool is_passed; /* the error is not about the folder */
};

/* Passes a file on if it is one that get() would find. */
static struct hf_err *
list_file(void *arg, size_t folder, struct hf_str file, const struct hf_sftp_attrs *attrs)
{
	struct listing *l = arg;
	struct hf_sftp_attrs found = *attrs;
	struct hf_name name;

	if (!hf_name_of_file(l->kind, file, &name))
		return NULL;
	if (l->kind == HF_PACK && name.id.b[0] != folder)
		return NULL;
	l->is_passed = true;
	/* A link, or a server that says little. */
	if (!attrs->has_mode || !attrs->has_size || S_ISLNK(attrs->mode)) {
		struct hf_err *e =
			stat_at(l->s, l->session, hf_name_text(&name).s, l->how, &found);

		if (e != NULL &&
			(hf_err_code(e) == HF_ENOTFOUND || hf_err_code(e) == HF_EFATAL)) {
			hf_err_free(e);
			l->is_passed = false;
			return NULL;
		}
		HF_TRY(e);
	}
	struct hf_err *e = NULL;
	if (!found.has_mode || S_ISREG(found.mode))
		e = l->fn(l->arg, &name, found.size);
	l->is_passed = e != NULL;
	return e;
}

static struct hf_err *
sftp_list(struct hf_store *store, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	struct sftp *s = sftp_of(store);
	const struct hf_sftp_how how = how_for(kind);
	hf_auto(hf_strings) folders = {0}, paths = {0};
	USE use = {.session = NULL};
	size_t bad = 0;

	if (kind == HF_CONFIG)
		return hf_store_list_config(store, fn, arg);
	HF_TRY(at(s, NULL, hf_sftp_pool_main(s->pool, &use)));
	if (kind == HF_INDEX)
		hf_sftp_pool_expect(s->pool); /* who lists it wants what it leads to */
	if (kind == HF_PACK)
		name_pack_folders(&folders);
	else
		hf_strings_add(&folders, hf_kind_folder(kind));
	for (size_t i = 0; i < folders.len; i++) {
		hf_autofree char *path = path_of(s, folders.v[i], "");

		hf_strings_add(&paths, path);
	}
	struct listing l = {s, use.session, kind, &how, fn, arg, false};
	struct hf_err *e = hf_sftp_list(use.session, (const char *const *)paths.v, paths.len,
		&how, list_file, &l, &bad);
	return l.is_passed ? e : at(s, folders.v[bad], e);
}

/* ---- the rest ---- */

static void
sftp_free(struct hf_store *store)
{
	struct sftp *s = sftp_of(store);

	hf_sftp_pool_free(s->pool);
	hf_strings_clear(&s->left_over);
	pthread_mutex_destroy(&s->lock);
	free(s->program);
	free(s->root);
	free(s->store.url);
	free(s);
}

static void
say(void *arg, const char *line)
{
	struct sftp *s = arg;
	hf_autofree char *text = NULL;

	if (s->say == NULL)
		return;
	if (asprintf(&text, "subprocess %s: %s", s->program, line) < 0)
		abort();
	s->say(s->say_arg, text);
}

static unsigned
promises(const struct hf_sftp *session)
{
	unsigned has = hf_sftp_extensions(session), all = 0;

	if (has & HF_SFTP_HAS_POSIX_RENAME)
		all |= HF_REPLACES_ATOMICALLY;
	if (has & HF_SFTP_HAS_FSYNC)
		all |= HF_IS_DURABLE;
	if (has & HF_SFTP_HAS_POSIX_RENAME && has & HF_SFTP_HAS_FSYNC)
		all |= HF_LISTS_AT_ONCE;
	return all;
}

static unsigned
data_sessions(unsigned connections)
{
	return connections - 1 < DATA_SESSIONS ? connections - 1 : DATA_SESSIONS;
}

static struct hf_err *
connect_store(struct sftp *s, const struct hf_open *o, const struct hf_strings *command)
{
	struct hf_sftp_pool_setup setup = {.command = command,
		.more = data_sessions(s->store.connections),
		.stuck_s = o->stuck_s,
		.stop = o->stop,
		.say = say,
		.arg = s};
	USE use = {.session = NULL};

	HF_TRY(at(s, NULL, hf_sftp_pool_open(&setup, &s->pool)));
	HF_TRY(at(s, NULL, hf_sftp_pool_main(s->pool, &use)));
	atomic_store(&s->store.promises, promises(use.session));
	return NULL;
}

static char *
root_of(const char *path)
{
	char *root;

	if (strcmp(path, ".") == 0)
		return hf_str_dup(hf_str(""));
	if (asprintf(&root, "%s%s", path, strcmp(path, "/") == 0 ? "" : "/") < 0)
		abort();
	return root;
}

static struct hf_err *
sftp_open(
	const char *text, const struct hf_open *o, unsigned connections, struct hf_store **out)
{
	static const struct hf_store_ops ops = {.create = sftp_create,
		.put = sftp_put,
		.get = sftp_get,
		.stat = sftp_stat,
		.list = sftp_list,
		.del = sftp_del,
		.free = sftp_free};
	hf_auto(hf_sftp_place) place = {.user = NULL};
	hf_auto(hf_strings) command = {0};
	hf_autofree char *url = NULL;

	HF_TRY(hf_sftp_place_parse(text, &place));
	HF_TRY(hf_sftp_place_command(&place, hf_option_find(o, "sftp.command"),
		hf_option_find(o, "sftp.args"), &command));
	if (asprintf(&url, "sftp:%s", text) < 0)
		abort();
	struct sftp *new = hf_new(struct sftp);
	hf_autoptr(hf_store) s = &new->store;
	new->store = (struct hf_store){.ops = &ops,
		.url = hf_place_shown(url),
		.connections = connections,
		.within_s = CHANGE_S};
	new->root = root_of(place.path);
	new->program = hf_str_dup(hf_str(command.v[0]));
	new->say = o->say;
	new->say_arg = o->say_arg;
	pthread_mutex_init(&new->lock, NULL);
	HF_TRY(connect_store(new, o, &command));
	*out = hf_steal(s);
	return NULL;
}

static const struct hf_backend_option options[] = {
	{"args", "specify arguments for ssh"},
	{"command", "specify command to create sftp connection"},
	{NULL},
};

const struct hf_backend hf_backend_sftp = {
	.scheme = "sftp",
	.options = options,
	.connections = 5,
	.open = sftp_open,
};
