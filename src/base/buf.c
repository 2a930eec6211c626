/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE_PAGE = 2 << 20 }; /* where pages have 4 KiB; elsewhere nothing is lost */

/* Written once before the first thread starts, see the header. */
static const char *tmpdir = "/tmp";

void
hf_buf_set_tmpdir(const char *dir)
{
	tmpdir = dir != NULL && *dir != '\0' ? dir : "/tmp";
}

int
hf_str_cmp(struct hf_str a, struct hf_str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

char *
hf_str_dup(struct hf_str s)
{
	char *d = hf_alloc_(s.len + 1, 1);

	if (s.len > 0)
		memcpy(d, s.p, s.len);
	return d;
}

char *
hf_str_vprintf(const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	return text;
}

void
hf_buf_clear(struct hf_buf *b)
{
	if (b->in_file)
		munmap(b->p, b->cap);
	else
		free(b->p);
	*b = (struct hf_buf){.max = b->max, .spill = b->spill};
}

static int
open_unlinked(void)
{
	int fd = open(tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	hf_autofree char *path = NULL;

	if (asprintf(&path, "%s/holdfast-XXXXXX", tmpdir) < 0)
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* Whatever it is, nothing helps: not even ENOENT means here what it means elsewhere. */
static struct hf_err *
no_file(int en, size_t cap)
{
	char text[128];

	return hf_err(HF_EFATAL, "temporary file of %zu bytes in %s: %s", cap, tmpdir,
		strerror_r(en, text, sizeof text));
}

/*
 * The file is allocated, not only enlarged: a mapped page without room on disk would be a
 * SIGBUS much later, where nobody can tell which file or why.
 */
static struct hf_err *
grow_in_file(struct hf_buf *b, size_t cap)
{
	hf_autofd int fd = open_unlinked();

	if (fd < 0)
		return no_file(errno, cap);
	int en = posix_fallocate(fd, 0, (off_t)cap);
	if (en != 0)
		return no_file(en, cap);
	uint8_t *p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return no_file(errno, cap);
	if (b->len > 0)
		memcpy(p, b->p, b->len);
	if (b->in_file)
		munmap(b->p, b->cap);
	else
		free(b->p);
	b->p = p;
	b->cap = cap;
	b->in_file = true;
	return NULL;
}

struct hf_err *
hf_buf_reserve(struct hf_buf *b, size_t n)
{
	/* Even for no bytes there is a place afterwards: NULL + 0 is undefined. */
	if (n <= b->cap - b->len && (b->p != NULL || b->max == 0))
		return NULL;
	if (n > b->max || b->len > b->max - n)
		return hf_err(HF_EFATAL, "more than %zu bytes where that is the limit", b->max);
	size_t need = b->len + n;
	size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;

	if (cap < need)
		cap = need;
	if (cap < 64)
		cap = b->max < 64 ? b->max : 64;
	if (b->spill != 0 && cap > b->spill)
		return grow_in_file(b, cap);
	uint8_t *p = realloc(b->p, cap);
	if (p == NULL)
		return hf_err(HF_EFATAL, "out of memory for %zu bytes", cap);
	b->p = p;
	b->cap = cap;
	return NULL;
}

void
hf_buf_expect(struct hf_buf *b, size_t n)
{
	hf_autoptr(hf_err) e = hf_buf_reserve(b, n);

	if (e != NULL)
		return;
	uintptr_t first = ((uintptr_t)b->p + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
	uintptr_t end = ((uintptr_t)b->p + b->cap) & ~(uintptr_t)(LARGE_PAGE - 1);

	if (first < end && !b->in_file)
		(void)madvise((void *)first, end - first, MADV_HUGEPAGE);
}

struct hf_err *
hf_buf_resize(struct hf_buf *b, size_t n)
{
	if (n > b->len)
		HF_TRY(hf_buf_reserve(b, n - b->len));
	b->len = n;
	return NULL;
}

void
hf_buf_add(struct hf_buf *b, const void *p, size_t n)
{
	if (b->is_full || n == 0)
		return;
	if (n > b->cap - b->len) {
		struct hf_err *e = hf_buf_reserve(b, n);

		if (e != NULL) {
			hf_err_free(e);
			b->is_full = true;
			return;
		}
	}
	memcpy(b->p + b->len, p, n);
	b->len += n;
}

void
hf_buf_add_str(struct hf_buf *b, const char *s)
{
	hf_buf_add(b, s, strlen(s));
}

void
hf_buf_addf(struct hf_buf *b, const char *fmt, ...)
{
	va_list ap;
	hf_autofree char *s = NULL;

	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		b->is_full = true;
	else
		hf_buf_add(b, s, (size_t)n);
}

struct hf_err *
hf_buf_ok(const struct hf_buf *b)
{
	if (!b->is_full)
		return NULL;
	if (b->spill != 0)
		return hf_err(HF_EFATAL,
			"more than %zu bytes, or no memory or room in %s for them", b->max,
			tmpdir);
	return hf_err(HF_EFATAL, "more than %zu bytes, or no memory for them", b->max);
}
