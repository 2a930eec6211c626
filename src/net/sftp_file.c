/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <sys/stat.h>

#include "net/sftp_file_i.h"

enum {
	PIECES = 64,        /* of one file under way; the window may allow fewer */
	AT_ONCE = 32 << 20, /* asked for before the size of the file is known */
};

/* ---- one request ---- */

/* Sends the request in `b` and waits for an answer that says no more than that it is done. */
static struct hf_err *
do_it(struct hf_sftp *s, struct hf_buf *b, const struct hf_sftp_how *how)
{
	CALL call = {.session = NULL};

	HF_TRY(send(s, &call, b, how));
	return await(&call, HF_SFTP_STATUS, how);
}

static void
begin_extended(struct hf_buf *b, const char *name)
{
	hf_sftp_begin(b, HF_SFTP_EXTENDED);
	add_path(b, name);
}

/* ---- files ---- */

static struct hf_err *
open_as(struct hf_sftp *s, struct hf_buf *b, const struct hf_sftp_how *how,
	struct hf_sftp_handle *out)
{
	CALL call = {.session = NULL};

	HF_TRY(send(s, &call, b, how));
	HF_TRY(await(&call, HF_SFTP_HANDLE, how));
	return take_handle(&call, out);
}

struct hf_err *
hf_sftp_open_file(struct hf_sftp *s, const char *path, uint32_t flags, uint32_t mode,
	const struct hf_sftp_how *how, struct hf_sftp_handle *out)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_OPEN, path);
	hf_sftp_add_u32(&b, flags);
	if (flags & HF_SFTP_CREATE)
		hf_sftp_add_mode(&b, mode);
	else
		hf_sftp_add_u32(&b, 0);
	return open_as(s, &b, how, out);
}

void
hf_sftp_drop_file(struct hf_sftp *s, const struct hf_sftp_handle *handle)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_handle(&b, HF_SFTP_CLOSE, handle);
	hf_sftp_tell(s, &b);
}

/* Pieces of a file under way, the oldest first. */
struct ring {
	struct piece {
		struct hf_sftp_call call;
		size_t at, len; /* which part of the whole */
	} v[PIECES];
	size_t first, n;
};

static void
clear_ring(struct ring *r)
{
	for (size_t i = 0; i < PIECES; i++)
		hf_sftp_call_clear(&r->v[i].call);
}

#define RING __attribute__((cleanup(clear_ring))) struct ring

static struct piece *
add_piece(struct ring *r, size_t at, size_t len)
{
	struct piece *p = &r->v[(r->first + r->n++) % PIECES];

	p->at = at;
	p->len = len;
	return p;
}

static struct piece *
oldest(struct ring *r)
{
	struct piece *p = &r->v[r->first];

	r->first = (r->first + 1) % PIECES;
	r->n--;
	return p;
}

/* Sends all of `data`, and waits for answers as far as there is no room otherwise. */
static struct hf_err *
send_data(struct hf_sftp *s, const struct hf_sftp_handle *handle, struct hf_bytes data,
	const struct hf_sftp_how *how, struct ring *ring)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);
	size_t at = 0, step = hf_sftp_write_size(s);

	while (at < data.len) {
		size_t len = data.len - at < step ? data.len - at : step;

		if (ring->n == PIECES)
			HF_TRY(await(&oldest(ring)->call, HF_SFTP_STATUS, how));
		begin_handle(&b, HF_SFTP_WRITE, handle);
		hf_sftp_add_u64(&b, at);
		hf_sftp_add_u32(&b, (uint32_t)len);
		HF_TRY(send_more(s, &add_piece(ring, at, len)->call, &b,
			(struct hf_bytes){data.p + at, len}, how));
		at += len;
	}
	return NULL;
}

/*
 * Puts what was written to this handle on disk, if the server can, and closes it: together with
 * the writes in `ring` (may be NULL), whose answers count first.
 */
static struct hf_err *
finish(struct hf_sftp *s, const struct hf_sftp_handle *handle, const struct hf_sftp_how *how,
	struct ring *ring)
{
	CALL sync = {.session = NULL}, close = {.session = NULL};
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);
	bool can_sync = hf_sftp_extensions(s) & HF_SFTP_HAS_FSYNC;

	if (can_sync) {
		begin_extended(&b, "fsync@openssh.com");
		add_handle(&b, handle);
		HF_TRY(send(s, &sync, &b, how));
	}
	begin_handle(&b, HF_SFTP_CLOSE, handle);
	HF_TRY(send(s, &close, &b, how));
	while (ring != NULL && ring->n > 0)
		HF_TRY(hf_err_in(await(&oldest(ring)->call, HF_SFTP_STATUS, how), "writing"));
	if (can_sync)
		HF_TRY(hf_err_in(await(&sync, HF_SFTP_STATUS, how), "syncing"));
	return hf_err_in(await(&close, HF_SFTP_STATUS, how), "closing");
}

struct hf_err *
hf_sftp_fill_file(struct hf_sftp *s, const struct hf_sftp_handle *handle, struct hf_bytes data,
	const struct hf_sftp_how *how)
{
	RING ring = {.n = 0};
	struct hf_err *e = send_data(s, handle, data, how, &ring);

	if (e == NULL)
		return finish(s, handle, how, &ring);
	hf_sftp_drop_file(s, handle);
	return hf_err_in(e, "writing");
}

static struct hf_err *
ask_piece(struct hf_sftp *s, const struct hf_sftp_handle *handle, uint64_t off, uint8_t *room,
	size_t len, const struct hf_sftp_how *how, struct hf_sftp_call *call)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_handle(&b, HF_SFTP_READ, handle);
	hf_sftp_add_u64(&b, off);
	hf_sftp_add_u32(&b, (uint32_t)len);
	call->room = room;
	call->room_len = len;
	return send(s, call, &b, how);
}

/* Bytes from `off` on of an open file, which go to `to`. */
struct reading {
	struct hf_sftp *s;
	const struct hf_sftp_handle *handle;
	const struct hf_sftp_how *how;
	uint64_t off;
	uint8_t *to;
	size_t at, end; /* asked for so far, and how much there is to be had */
	struct ring ring;
};

static void
clear_reading(struct reading *r)
{
	clear_ring(&r->ring);
}

#define READING __attribute__((cleanup(clear_reading))) struct reading

/* Asks for as much as may be under way. */
static struct hf_err *
ask_ahead(struct reading *r)
{
	size_t step = hf_sftp_read_size(r->s);

	while (r->at < r->end && r->ring.n < PIECES) {
		size_t n = r->end - r->at < step ? r->end - r->at : step;

		HF_TRY(ask_piece(r->s, r->handle, r->off + r->at, r->to + r->at, n, r->how,
			&add_piece(&r->ring, r->at, n)->call));
		r->at += n;
	}
	return NULL;
}

/*
 * Waits for a piece, and asks again for what a server left out of it. The end comes nearer when the
 * file ends within the piece.
 */
static struct hf_err *
complete(struct reading *r, struct piece *p)
{
	size_t got = 0;

	for (;;) {
		HF_TRY(wait_for(&p->call, r->how));
		bool is_end = p->call.type == HF_SFTP_STATUS && p->call.status == HF_SFTP_EOF;

		if (!is_end)
			HF_TRY(hf_sftp_result(&p->call, HF_SFTP_DATA));
		if (is_end || p->call.got == 0) {
			if (p->at + got < r->end)
				r->end = p->at + got;
			return NULL;
		}
		got += p->call.got;
		if (got == p->len || p->at + got >= r->end)
			return NULL;
		HF_TRY(ask_piece(r->s, r->handle, r->off + p->at + got, r->to + p->at + got,
			p->len - got, r->how, &p->call));
	}
}

/* Reads all of it; r->end is lower afterwards only if the file ends there. */
static struct hf_err *
collect(struct reading *r)
{
	while (r->at < r->end || r->ring.n > 0) {
		HF_TRY(ask_ahead(r));
		struct piece *p = oldest(&r->ring);
		if (p->at < r->end)
			HF_TRY(complete(r, p));
		else
			hf_sftp_call_clear(&p->call);
	}
	return NULL;
}

/* The range that is meant, once the file is known. */
static struct hf_err *
check_range(const struct hf_sftp_attrs *attrs, uint64_t off, size_t len, uint64_t *want)
{
	if (attrs->has_mode && !S_ISREG(attrs->mode))
		return hf_err(HF_EFATAL, "not a regular file");
	if (!attrs->has_size)
		return hf_err(HF_EFATAL, "the server does not tell the size of files");
	*want = len == SIZE_MAX && off <= attrs->size ? attrs->size - off : len;
	if (off > attrs->size || *want > attrs->size - off)
		return hf_err(HF_ECORRUPT, "the file has only %llu bytes",
			(unsigned long long)attrs->size);
	if (*want > SIZE_MAX - 1)
		return hf_err(HF_EFATAL, "too large");
	return NULL;
}

/* How much is asked for before it is known how much there is. */
static size_t
early_len(const struct hf_buf *out, uint64_t off, size_t len, size_t whole)
{
	size_t early = out->max - out->len;

	if (len == SIZE_MAX && early > whole)
		early = whole;
	if (early > AT_ONCE)
		early = AT_ONCE;
	if (early > len)
		early = len;
	return off > (uint64_t)INT64_MAX - early ? 0 : early; /* no file is like that */
}

/* Reads from an open file. The beginning is asked for together with the size. */
static struct hf_err *
read_range(struct hf_sftp *s, const struct hf_sftp_handle *handle, uint64_t off, size_t len,
	const struct hf_sftp_how *how, struct hf_buf *out, struct hf_sftp_attrs *attrs)
{
	CALL stat = {.session = NULL};
	READING first = {.s = s, .handle = handle, .how = how, .off = off};
	READING rest = {.s = s, .handle = handle, .how = how};
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);
	uint64_t want;

	first.end =
		early_len(out, off, len, how->early > 0 ? how->early : hf_sftp_read_size(s));
	HF_TRY(hf_buf_reserve(out, first.end));
	first.to = out->p + out->len;
	begin_handle(&b, HF_SFTP_FSTAT, handle);
	HF_TRY(send(s, &stat, &b, how));
	HF_TRY(ask_ahead(&first));
	HF_TRY(await(&stat, HF_SFTP_ATTRS, how));
	if (attrs != NULL)
		*attrs = stat.attrs;
	HF_TRY(check_range(&stat.attrs, off, len, &want));
	if (first.end > want)
		first.end = (size_t)want;
	size_t early = first.end;
	HF_TRY(collect(&first));
	out->len += first.end;
	HF_TRY(hf_buf_reserve(out, (size_t)want - early));
	rest.off = off + early;
	rest.to = out->p + out->len;
	rest.end = (size_t)want - early;
	if (first.end == early)
		HF_TRY(collect(&rest));
	if (first.end + rest.end < want)
		return hf_err(HF_ECORRUPT, "the file became shorter");
	out->len += rest.end;
	return NULL;
}

struct hf_err *
hf_sftp_read_file(struct hf_sftp *s, const char *path, uint64_t off, size_t len,
	const struct hf_sftp_how *how, struct hf_buf *out, struct hf_sftp_attrs *attrs)
{
	struct hf_sftp_handle handle;
	size_t before = out->len;

	HF_TRY(hf_sftp_open_file(s, path, HF_SFTP_FOR_READ, 0, how, &handle));
	struct hf_err *e = read_range(s, &handle, off, len, how, out, attrs);
	hf_sftp_drop_file(s, &handle);
	if (e != NULL)
		out->len = before;
	return e;
}

/* ---- names ---- */

struct hf_err *
hf_sftp_stat(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how,
	struct hf_sftp_attrs *out)
{
	CALL call = {.session = NULL};
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_STAT, path);
	HF_TRY(send(s, &call, &b, how));
	HF_TRY(await(&call, HF_SFTP_ATTRS, how));
	*out = call.attrs;
	return NULL;
}

struct hf_err *
hf_sftp_chmod(struct hf_sftp *s, const char *path, uint32_t mode, const struct hf_sftp_how *how)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_SETSTAT, path);
	hf_sftp_add_mode(&b, mode);
	return do_it(s, &b, how);
}

void
hf_sftp_chmod_later(struct hf_sftp *s, const char *path, uint32_t mode)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_SETSTAT, path);
	hf_sftp_add_mode(&b, mode);
	hf_sftp_tell(s, &b);
}

struct hf_err *
hf_sftp_remove(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_REMOVE, path);
	return do_it(s, &b, how);
}

/* A server that cannot do it is no failure; not to know what it did is one. Takes `e`. */
static struct hf_err *
forgive(const struct hf_sftp_folder *f, struct hf_err *e)
{
	if (e == NULL || hf_err_code(e) == HF_ECANCELED || !hf_sftp_is_alive(f->s))
		return e;
	hf_err_free(e);
	return NULL;
}

void
hf_sftp_ask_folder(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how,
	struct hf_sftp_folder *out)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	*out = (struct hf_sftp_folder){.s = s, .how = *how};
	if (!(hf_sftp_extensions(s) & HF_SFTP_HAS_FSYNC))
		return;
	/* OpenSSH opens a folder like a file, for reading. A server that does not cannot sync it. */
	begin_path(&b, HF_SFTP_OPEN, path);
	hf_sftp_add_u32(&b, HF_SFTP_FOR_READ);
	hf_sftp_add_u32(&b, 0);
	hf_err_free(send(s, &out->call, &b, how));
}

/* The folder's handle, when it is there. */
static struct hf_err *
take_folder(struct hf_sftp_folder *f, struct hf_sftp_handle *out)
{
	HF_TRY(await(&f->call, HF_SFTP_HANDLE, &f->how));
	return take_handle(&f->call, out);
}

struct hf_err *
hf_sftp_sync_asked(struct hf_sftp_folder *f)
{
	struct hf_sftp_handle handle;

	if (!(hf_sftp_extensions(f->s) & HF_SFTP_HAS_FSYNC))
		return NULL;
	if (f->call.session == NULL)
		return hf_err(HF_EIO, "the folder could not be asked for");
	struct hf_err *e = take_folder(f, &handle);
	if (e == NULL)
		e = finish(f->s, &handle, &f->how, NULL);
	return forgive(f, e);
}

void
hf_sftp_folder_clear(struct hf_sftp_folder *f)
{
	struct hf_sftp_handle handle;

	/* Not used: it is not left open there. */
	if (f->call.session != NULL) {
		hf_autoptr(hf_err) e = take_folder(f, &handle);

		if (e == NULL)
			hf_sftp_drop_file(f->s, &handle);
	}
	hf_sftp_call_clear(&f->call);
	f->s = NULL;
}

struct hf_err *
hf_sftp_sync_folder(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how)
{
	struct hf_sftp_folder f;

	hf_sftp_ask_folder(s, path, how, &f);
	struct hf_err *e = hf_sftp_sync_asked(&f);
	hf_sftp_folder_clear(&f);
	return e;
}

static struct hf_err *
rename_plainly(
	struct hf_sftp *s, const char *from, const char *to, const struct hf_sftp_how *how)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	begin_path(&b, HF_SFTP_RENAME, from);
	add_path(&b, to);
	return do_it(s, &b, how);
}

struct hf_err *
hf_sftp_rename_over(
	struct hf_sftp *s, const char *from, const char *to, const struct hf_sftp_how *how)
{
	hf_autofree char *aside = NULL;

	if (asprintf(&aside, "%s-old", from) < 0)
		abort();
	HF_TRY(hf_err_ignore(rename_plainly(s, to, aside, how), HF_ENOTFOUND));
	struct hf_err *e = rename_plainly(s, from, to, how);
	/* Whatever becomes of these requests, the old file is not lost. */
	hf_err_free(
		e == NULL ? hf_sftp_remove(s, aside, how) : rename_plainly(s, aside, to, how));
	return e;
}

struct hf_err *
hf_sftp_rename_new(
	struct hf_sftp *s, const char *from, const char *to, const struct hf_sftp_how *how)
{
	struct hf_err *e = rename_plainly(s, from, to, how);
	struct hf_sftp_attrs attrs;

	if (e == NULL || hf_err_code(e) != HF_EIO)
		return e;
	/* "Failure" may mean that the new name is taken, and may mean anything else. */
	hf_autoptr(hf_err) none = hf_sftp_stat(s, to, how, &attrs);
	if (none != NULL)
		return e;
	hf_err_free(e);
	return hf_err(HF_EEXISTS, "there is a file of that name");
}

struct hf_err *
hf_sftp_rename(
	struct hf_sftp *s, const char *from, const char *to, const struct hf_sftp_how *how)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	if (!(hf_sftp_extensions(s) & HF_SFTP_HAS_POSIX_RENAME))
		return hf_sftp_rename_new(s, from, to, how);
	begin_extended(&b, "posix-rename@openssh.com");
	add_path(&b, from);
	add_path(&b, to);
	return do_it(s, &b, how);
}

struct hf_err *
hf_sftp_space(struct hf_sftp *s, const char *path, const struct hf_sftp_how *how,
	struct hf_sftp_space *out)
{
	CALL call = {.session = NULL};
	hf_auto(hf_buf) b = HF_BUF_MAX(MAX_REQUEST);

	if (!(hf_sftp_extensions(s) & HF_SFTP_HAS_STATVFS))
		return hf_err(HF_ENOTFOUND, "the server does not tell how much space is left");
	begin_extended(&b, "statvfs@openssh.com");
	add_path(&b, path);
	HF_TRY(send(s, &call, &b, how));
	HF_TRY(await(&call, HF_SFTP_EXTENDED_REPLY, how));
	if (!hf_sftp_parse_space(hf_buf_bytes(&call.bytes), out))
		return hf_err(HF_ENOTFOUND, "the server's answer about space makes no sense");
	return NULL;
}
