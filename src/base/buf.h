/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes: slices that are read, and one buffer that grows.
 *
 * A slice (struct hf_bytes, struct hf_str) is passed by value, owns nothing and dies with what it
 * points into. Names of files are bytes, so hf_str promises neither UTF-8 nor a NUL at the end.
 *
 * A buffer is born with a maximum that it never exceeds: whoever creates it says how much a
 * hostile repository may make it hold. Below its spill limit it lives on the heap. Beyond, it
 * moves into an unlinked file in the directory for temporary files, mapped into memory: the
 * pointer works as before, but the kernel may write the pages out, so that a folder of millions
 * of entries costs address space and disk, not memory.
 */
#ifndef HF_BASE_BUF_H
#define HF_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct hf_bytes {
	const uint8_t *p;
	size_t len;
};

static inline bool
hf_bytes_eq(struct hf_bytes a, struct hf_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

struct hf_str {
	const char *p;
	size_t len;
};

/* The slice of a string literal or of any NUL-terminated string. */
static inline struct hf_str
hf_str(const char *s)
{
	return (struct hf_str){s, strlen(s)};
}

static inline bool
hf_str_eq(struct hf_str a, struct hf_str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool
hf_str_is(struct hf_str a, const char *b)
{
	return hf_str_eq(a, hf_str(b));
}

/* Order of memcmp; of two where one is the beginning of the other, the shorter comes first. */
int hf_str_cmp(struct hf_str a, struct hf_str b);

/* A NUL-terminated copy on the heap. The caller frees it. */
char *hf_str_dup(struct hf_str s);

/* The formatted text; the caller's. Short ones: it aborts when there is no memory (ADR 9). */
__attribute__((format(printf, 1, 0))) char *hf_str_vprintf(const char *fmt, va_list ap);

static inline struct hf_bytes
hf_str_bytes(struct hf_str s)
{
	return (struct hf_bytes){(const uint8_t *)s.p, s.len};
}

static inline struct hf_str
hf_bytes_str(struct hf_bytes b)
{
	return (struct hf_str){(const char *)b.p, b.len};
}

/*
 * The fields are for reading: p and len are the content. A zeroed buffer with `max` set is valid
 * and empty. Not to be copied by value while it holds something.
 */
struct hf_buf {
	uint8_t *p;
	size_t len;
	size_t cap;
	size_t max;   /* never holds more than this */
	size_t spill; /* moves to a file beyond this capacity; 0: never */
	bool in_file;
	bool is_full; /* an append did not fit or memory was short; see hf_buf_ok() */
};

/* Buffers that stay on the heap, and buffers that move to a file beyond HF_BUF_SPILL bytes. */
#define HF_BUF_MAX(m)                                                                          \
	{                                                                                      \
		.max = (m)                                                                     \
	}
#define HF_BUF_SPOOL(m)                                                                        \
	{                                                                                      \
		.max = (m), .spill = HF_BUF_SPILL                                              \
	}
enum { HF_BUF_SPILL = 16 << 20 };

/* Frees the content; max and spill stay, so the buffer can be used again. */
void hf_buf_clear(struct hf_buf *b);

/* Forgets the content and keeps the memory. */
static inline void
hf_buf_reset(struct hf_buf *b)
{
	b->len = 0;
	b->is_full = false;
}

/*
 * Makes room for `n` bytes after the content, so that they can be written at b->p + b->len.
 * HF_EFATAL: that would exceed the maximum, or there is neither memory nor room for a file.
 */
struct hf_err *hf_buf_reserve(struct hf_buf *b, size_t n) HF_MUST;

/*
 * Wishes for room for `n` bytes, in a buffer that will be used over and over, in large pages: a small
 * one costs more time when it is first touched than what is done with it. Whoever uses the buffer
 * asks for the room that he needs all the same.
 */
void hf_buf_expect(struct hf_buf *b, size_t n);

/* Sets the length to `n` bytes, with room for them; new bytes have any value. */
struct hf_err *hf_buf_resize(struct hf_buf *b, size_t n) HF_MUST;

/*
 * Appends. What does not fit is dropped and remembered: after any number of appends, one
 * hf_buf_ok() tells whether all of them succeeded.
 */
void hf_buf_add(struct hf_buf *b, const void *p, size_t n);
void hf_buf_add_str(struct hf_buf *b, const char *s);
void hf_buf_addf(struct hf_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void
hf_buf_add_char(struct hf_buf *b, char c)
{
	if (__builtin_expect(b->len < b->cap && !b->is_full, 1))
		b->p[b->len++] = (uint8_t)c;
	else
		hf_buf_add(b, &c, 1);
}

/* NULL, or HF_EFATAL when an append since the last reset did not fit. */
struct hf_err *hf_buf_ok(const struct hf_buf *b) HF_MUST;

static inline struct hf_bytes
hf_buf_bytes(const struct hf_buf *b)
{
	return (struct hf_bytes){b->p, b->len};
}

/*
 * Where buffers that spill put their files. Called at most once, by main() before the first
 * thread; `dir` must live as long as the program. Unset, NULL or empty: /tmp.
 */
void hf_buf_set_tmpdir(const char *dir);

#endif
