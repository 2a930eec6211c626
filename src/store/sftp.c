/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/sftp_i.h"

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/time.h"
#include "store/sftp_place.h"

enum {
	LOCK_S = 40,
	INDEX_EARLY = 512 << 10, /* what a backup of some thousand blobs adds */
	DATA_SESSIONS = 3,       /* beside the main one, at most */
};

char *
sftp_path_of(const struct sftp *s, const char *name, const char *suffix)
{
	char *path;

	if (asprintf(&path, "%s%s%s", s->root, name, suffix) < 0)
		abort();
	return path;
}

struct hf_err *
sftp_at(const struct sftp *s, const char *name, struct hf_err *e)
{
	return hf_err_in(
		e, "%s%s%s", s->store.url, name != NULL ? "/" : "", name != NULL ? name : "");
}

struct hf_sftp_how
sftp_how_for(enum hf_kind kind)
{
	if (kind == HF_INDEX)
		return (struct hf_sftp_how){.is_urgent = true, .early = INDEX_EARLY};
	if (kind != HF_LOCK)
		return (struct hf_sftp_how){.is_urgent = kind != HF_PACK};
	return (struct hf_sftp_how){.is_urgent = true,
		.no_stop = true,
		.within_s = SFTP_LOCK_REQUEST_S,
		.until = hf_clock() + LOCK_S};
}

struct hf_err *
sftp_session_for(
	struct sftp *s, const struct hf_name *name, size_t size, struct hf_sftp_use *out)
{
	if (name->kind == HF_PACK)
		return hf_sftp_pool_data(s->pool, size, out);
	return hf_sftp_pool_main(s->pool, name->kind == HF_LOCK, out);
}

/* ---- modes ---- */

static void
learn_sharing(struct sftp *s, const struct hf_sftp_attrs *config)
{
	if (config->has_mode)
		atomic_store(&s->sharing,
			config->mode & S_IRGRP ? SFTP_SHARING_YES : SFTP_SHARING_NO);
}

struct hf_err *
sftp_is_shared(
	struct sftp *s, struct hf_sftp *session, const struct hf_sftp_how *how, bool *out)
{
	struct hf_sftp_attrs attrs;

	if (atomic_load(&s->sharing) == SFTP_SHARING_UNKNOWN) {
		hf_autofree char *path = sftp_path_of(s, "config", "");
		struct hf_err *e = hf_sftp_stat(session, path, how, &attrs);

		if (e == NULL)
			learn_sharing(s, &attrs);
		HF_TRY(sftp_at(s, "config", hf_err_ignore(e, HF_ENOTFOUND)));
	}
	*out = atomic_load(&s->sharing) == SFTP_SHARING_YES;
	return NULL;
}

/* ---- reading ---- */

/* hf_store_look_fn: a lock waits no longer for the config than for anything else. */
static struct hf_err *
look_for_config(struct hf_store *store, enum hf_kind kind)
{
	struct sftp *s = sftp_of(store);
	const struct hf_sftp_how how = sftp_how_for(kind);
	hf_autofree char *path = sftp_path_of(s, "config", "");
	SFTP_USE use = {.session = NULL};
	struct hf_sftp_attrs attrs;

	HF_TRY(sftp_at(s, NULL, hf_sftp_pool_main(s->pool, how.no_stop, &use)));
	return sftp_at(s, "config", hf_sftp_stat(use.session, path, &how, &attrs));
}

static struct hf_err *
get_at(struct sftp *s, const struct hf_name *name, const char *path, uint64_t off, size_t len,
	struct hf_buf *out)
{
	const struct hf_sftp_how how = sftp_how_for(name->kind);
	SFTP_USE use = {.session = NULL};

	HF_TRY(sftp_session_for(s, name, len, &use));
	struct hf_sftp_attrs attrs = {0};
	HF_TRY(hf_sftp_read_file(use.session, path, off, len, &how, out, &attrs));
	hf_store_saw(&s->store, name, true);
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
	hf_autofree char *path = sftp_path_of(s, text.s, "");

	struct hf_err *e = get_at(s, name, path, off, len, out);

	if (hf_store_asks_again(store, name->kind, look_for_config, &e))
		e = get_at(s, name, path, off, len, out);
	return sftp_at(s, text.s, e);
}

static struct hf_err *
stat_at(struct sftp *s, struct hf_sftp *session, const char *name,
	const struct hf_sftp_how *how, struct hf_sftp_attrs *out)
{
	hf_autofree char *path = sftp_path_of(s, name, "");

	HF_TRY(sftp_at(s, name, hf_sftp_stat(session, path, how, out)));
	if (out->has_mode && !S_ISREG(out->mode))
		return sftp_at(s, name, hf_err(HF_EFATAL, "not a regular file"));
	if (!out->has_size)
		return sftp_at(s, name, hf_err(HF_EFATAL, "the server does not tell its size"));
	return NULL;
}

static struct hf_err *
stat_once(struct sftp *s, const struct hf_name *name, uint64_t *size)
{
	const struct hf_sftp_how how = sftp_how_for(name->kind);
	struct hf_sftp_attrs attrs;
	SFTP_USE use = {.session = NULL};

	HF_TRY(sftp_at(s, NULL, hf_sftp_pool_main(s->pool, how.no_stop, &use)));
	HF_TRY(stat_at(s, use.session, hf_name_text(name).s, &how, &attrs));
	hf_store_saw(&s->store, name, true);
	if (name->kind == HF_CONFIG)
		learn_sharing(s, &attrs);
	*size = attrs.size;
	return NULL;
}

static struct hf_err *
sftp_stat(struct hf_store *store, const struct hf_name *name, uint64_t *size)
{
	struct sftp *s = sftp_of(store);
	struct hf_err *e = stat_once(s, name, size);

	if (hf_store_asks_again(store, name->kind, look_for_config, &e))
		e = stat_once(s, name, size);
	return e;
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

/* *is_there: one of the folders is. */
static struct hf_err *
list_once(struct sftp *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg, bool *is_there)
{
	const struct hf_sftp_how how = sftp_how_for(kind);
	hf_auto(hf_strings) folders = {0}, paths = {0};
	SFTP_USE use = {.session = NULL};
	size_t bad = 0, missing = 0;

	HF_TRY(sftp_at(s, NULL, hf_sftp_pool_main(s->pool, how.no_stop, &use)));
	if (kind == HF_INDEX)
		hf_sftp_pool_expect(s->pool); /* who lists it wants what it leads to */
	if (kind == HF_PACK)
		sftp_pack_folders(&folders);
	else
		hf_strings_add(&folders, hf_kind_folder(kind));
	for (size_t i = 0; i < folders.len; i++) {
		hf_autofree char *path = sftp_path_of(s, folders.v[i], "");

		hf_strings_add(&paths, path);
	}
	struct listing l = {s, use.session, kind, &how, fn, arg, false};
	struct hf_err *e = hf_sftp_list(use.session, (const char *const *)paths.v, paths.len,
		&how, list_file, &l, &missing, &bad);
	*is_there = missing < folders.len;
	return l.is_passed ? e : sftp_at(s, folders.v[bad], e);
}

static struct hf_err *
sftp_list(struct hf_store *store, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	struct sftp *s = sftp_of(store);
	bool is_there;

	if (kind == HF_CONFIG)
		return hf_store_list_config(store, fn, arg);
	HF_TRY(list_once(s, kind, fn, arg, &is_there));
	if (is_there || !hf_store_doubts(store, kind))
		return NULL;
	HF_TRY(hf_store_find_config(store, kind, look_for_config));
	return list_once(s, kind, fn, arg, &is_there);
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
	SFTP_USE use = {.session = NULL};

	HF_TRY(sftp_at(s, NULL, hf_sftp_pool_open(&setup, &s->pool)));
	HF_TRY(sftp_at(s, NULL, hf_sftp_pool_main(s->pool, false, &use)));
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
		.pipelines = true,
		/* A server that is stuck is stuck here, too. */
		.within_s = fmin(SFTP_CHANGE_S, o->stuck_s)};
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
