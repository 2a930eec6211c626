/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* From byte *off on, or from the file position, which then moves. */
static struct hf_err *
read_at(int fd, void *p, size_t len, const uint64_t *off, size_t *got)
{
	size_t done = 0;

	while (done < len) {
		char *to = (char *)p + done;
		ssize_t n = off == NULL ? read(fd, to, len - done)
					: pread(fd, to, len - done, (off_t)(*off + done));

		if (n == 0)
			break;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return hf_err_errno(errno, "read");
	}
	*got = done;
	return NULL;
}

static struct hf_err *
write_at(int fd, const void *p, size_t len, const uint64_t *off)
{
	for (size_t done = 0; done < len;) {
		const char *from = (const char *)p + done;
		ssize_t n = off == NULL ? write(fd, from, len - done)
					: pwrite(fd, from, len - done, (off_t)(*off + done));

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return hf_err_errno(errno, "write");
	}
	return NULL;
}

struct hf_err *
hf_read_full(int fd, void *p, size_t len, size_t *got)
{
	return read_at(fd, p, len, NULL, got);
}

struct hf_err *
hf_pread_full(int fd, void *p, size_t len, uint64_t off, size_t *got)
{
	return read_at(fd, p, len, &off, got);
}

struct hf_err *
hf_write_full(int fd, const void *p, size_t len)
{
	return write_at(fd, p, len, NULL);
}

struct hf_err *
hf_pwrite_full(int fd, const void *p, size_t len, uint64_t off)
{
	return write_at(fd, p, len, &off);
}

struct hf_err *
hf_read_all(int fd, struct hf_buf *out)
{
	for (;;) {
		size_t got, left = out->max - out->len;
		uint8_t beyond;

		if (left == 0) {
			HF_TRY(hf_read_full(fd, &beyond, 1, &got));
			return got == 0 ? NULL
					: hf_err(HF_EFATAL, "more than %zu bytes", out->max);
		}
		if (out->cap - out->len < 4096)
			HF_TRY(hf_buf_reserve(out, left < 65536 ? left : 65536));
		size_t room = out->cap - out->len;
		HF_TRY(hf_read_full(fd, out->p + out->len, room, &got));
		out->len += got;
		if (got < room)
			return NULL;
	}
}

struct hf_err *
hf_read_file(const char *path, struct hf_buf *out)
{
	hf_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return hf_err_errno(errno, "opening %s", path);
	return hf_err_in(hf_read_all(fd, out), "reading %s", path);
}

static struct hf_err *
write_new(const char *path, struct hf_bytes text)
{
	hf_autofd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return hf_err_errno(errno, "%s", path);
	return hf_err_in(hf_write_full(fd, text.p, text.len), "writing %s", path);
}

struct hf_err *
hf_note(const char *path, struct hf_bytes text)
{
	hf_autofree char *parents = hf_str_dup(hf_str(path)), *temp = NULL;

	for (char *slash = parents; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
		*slash = '\0';
		(void)mkdir(parents, 0700);
	}
	if (asprintf(&temp, "%s.%d", path, (int)getpid()) < 0)
		abort();
	(void)unlink(temp); /* of an earlier process of our number */
	struct hf_err *e = write_new(temp, text);
	if (e == NULL && rename(temp, path) != 0)
		e = hf_err_errno(errno, "%s", path);
	if (e != NULL)
		(void)unlink(temp);
	return e;
}

void
hf_random(void *p, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = getrandom((char *)p + done, len - done, 0);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			abort();
	}
}
