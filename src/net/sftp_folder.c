/* SPDX-License-Identifier: BSD-2-Clause */
/* Folders: many of them at the same time. */
#include <sys/stat.h>

#include "net/sftp_file_i.h"

enum {
	READDIRS = 2,      /* at first: the second answer says that there is no more */
	MAX_READDIRS = 16, /* in a folder that turns out to be large */
	FOLDERS = 256,     /* listed at the same time */
};

/* A folder was not made; NULL if that is because it is there. Takes `e`. */
static struct hf_err *
is_there(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how, struct hf_err *e)
{
	struct hf_sftp_attrs attrs;

	if (hf_err_code(e) == HF_ENOTFOUND)
		return e;
	hf_autoptr(hf_err) none = hf_sftp_stat(s, path, how, &attrs);
	if (none != NULL || (attrs.has_mode && !S_ISDIR(attrs.mode)))
		return e;
	hf_err_free(e);
	return NULL;
}

static struct hf_err *
send_mkdir(struct hf_sftp *s, const char *path, uint32_t mode, const struct hf_sftp_how *how,
	struct hf_sftp_call *call)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_MKDIR, path);
	hf_sftp_add_mode(&b, mode);
	return send(s, call, &b, how);
}

static struct hf_err *
make_all(struct hf_sftp *s, const char *const *folders, size_t n, uint32_t mode,
	const struct hf_sftp_how *how, struct hf_sftp_call *calls, size_t *bad)
{
	for (*bad = 0; *bad < n; ++*bad)
		HF_TRY(send_mkdir(s, folders[*bad], mode, how, &calls[*bad]));
	for (*bad = 0; *bad < n; ++*bad) {
		struct hf_err *e = await(&calls[*bad], HF_SFTP_STATUS, how);

		/* What a group may do is more than the umask of some servers leaves. */
		if (e == NULL && (mode & 077) != 0)
			hf_sftp_chmod_later(s, folders[*bad], mode);
		if (e != NULL)
			HF_TRY(is_there(s, folders[*bad], how, e));
	}
	return NULL;
}

struct hf_err *
hf_sftp_mkdirs(struct hf_sftp *s, const char *const *folders, size_t n, uint32_t mode,
	const struct hf_sftp_how *how, size_t *bad)
{
	hf_autofree struct hf_sftp_call *calls = hf_alloc_(n + 1, sizeof *calls);
	struct hf_err *e = make_all(s, folders, n, mode, how, calls, bad);

	for (size_t i = 0; i < n; i++)
		hf_sftp_call_clear(&calls[i]);
	return e;
}

/* One of the folders that are being listed. */
struct folder {
	const char *path;
	size_t index;
	bool is_open;
	struct hf_sftp_handle handle;
	struct hf_sftp_call calls[MAX_READDIRS]; /* [0] also opens it */
	size_t first, n;                         /* of those that are under way */
};

struct listing {
	struct hf_sftp *s;
	const struct hf_sftp_how *how;
	hf_sftp_entry_fn *fn;
	void *arg;
	size_t missing;
};

static struct hf_err *
start_folder(struct listing *l, struct folder *f)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_OPENDIR, f->path);
	return send(l->s, &f->calls[0], &b, l->how);
}

static struct hf_err *
ask_names(struct listing *l, struct folder *f)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_handle(&b, HF_SFTP_READDIR, &f->handle);
	HF_TRY(send(l->s, &f->calls[(f->first + f->n) % MAX_READDIRS], &b, l->how));
	f->n++;
	return NULL;
}

static struct hf_err *
enter_folder(struct listing *l, struct folder *f)
{
	struct hf_err *e = await(&f->calls[0], HF_SFTP_HANDLE, l->how);

	if (e != NULL) {
		l->missing++;
		return hf_err_ignore(e, HF_ENOTFOUND);
	}
	HF_TRY(take_handle(&f->calls[0], &f->handle));
	f->is_open = true;
	for (size_t i = 0; i < READDIRS; i++)
		HF_TRY(ask_names(l, f));
	return NULL;
}

static struct hf_err *
deliver(struct listing *l, const struct folder *f, const struct hf_sftp_call *call)
{
	struct hf_bytes names = hf_buf_bytes(&call->bytes);
	struct hf_sftp_attrs attrs;
	struct hf_str name;

	while (hf_sftp_next_name(&names, &name, &attrs)) {
		if (hf_str_is(name, ".") || hf_str_is(name, ".."))
			continue;
		HF_TRY(l->fn(l->arg, f->index, name, &attrs));
	}
	return NULL;
}

static struct hf_err *
finish_folder(struct listing *l, struct folder *f)
{
	size_t depth = READDIRS, n_answers = 0;

	while (f->is_open) {
		struct hf_sftp_call *call = &f->calls[f->first];

		HF_TRY(wait_for(call, l->how));
		f->first = (f->first + 1) % MAX_READDIRS;
		f->n--;
		if (call->type == HF_SFTP_STATUS && call->status == HF_SFTP_EOF)
			break;
		HF_TRY(hf_sftp_result(call, HF_SFTP_NAME));
		HF_TRY(deliver(l, f, call));
		/* What was asked for at first is enough for most; after that it is a large one. */
		if (++n_answers < READDIRS)
			continue;
		if (depth < MAX_READDIRS)
			depth *= 2;
		while (f->n < depth)
			HF_TRY(ask_names(l, f));
	}
	return NULL;
}

static void
leave_folder(struct listing *l, struct folder *f)
{
	if (f->is_open)
		hf_sftp_drop_file(l->s, &f->handle);
	f->is_open = false;
	for (size_t i = 0; i < MAX_READDIRS; i++)
		hf_sftp_call_clear(&f->calls[i]);
}

static struct hf_err *
list_folder(struct listing *l, struct folder *f)
{
	struct hf_err *e = finish_folder(l, f);

	leave_folder(l, f);
	return e;
}

typedef struct hf_err *step_fn(struct listing *l, struct folder *f);

/* The same step for all of them before the next one: that is what makes it fast. */
static struct hf_err *
list_batch(struct listing *l, struct folder *v, size_t n, size_t *bad)
{
	static step_fn *const steps[] = {start_folder, enter_folder, list_folder};
	struct hf_err *e = NULL;

	for (size_t step = 0; step < 3; step++)
		for (size_t i = 0; i < n && e == NULL; i++) {
			*bad = v[i].index;
			e = steps[step](l, &v[i]);
		}
	for (size_t i = 0; i < n; i++)
		leave_folder(l, &v[i]);
	return e;
}

struct hf_err *
hf_sftp_list(struct hf_sftp *s, const char *const *folders, size_t n,
	const struct hf_sftp_how *how, hf_sftp_entry_fn *fn, void *arg, size_t *missing,
	size_t *bad)
{
	struct listing l = {.s = s, .how = how, .fn = fn, .arg = arg};
	size_t step = hf_sftp_handles(s) < FOLDERS ? hf_sftp_handles(s) : FOLDERS;
	struct hf_err *e = NULL;

	for (size_t at = 0; at < n && e == NULL; at += step) {
		size_t len = n - at < step ? n - at : step;
		hf_autofree struct folder *v = hf_alloc_(len, sizeof *v);

		for (size_t i = 0; i < len; i++) {
			v[i].path = folders[at + i];
			v[i].index = at + i;
		}
		e = list_batch(&l, v, len, bad);
	}
	*missing = l.missing;
	return e;
}
