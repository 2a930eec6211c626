/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors are values.  A function that can fail returns NULL on success or an error that the
 * caller now owns and must return, wrap, report or free; the compiler refuses to drop it.
 */
#ifndef HF_BASE_ERR_H
#define HF_BASE_ERR_H

#include <stdbool.h>

#include "base/auto.h"

#define HF_MUST __attribute__((warn_unused_result))

/* What a caller can decide on.  Everything else belongs in the text. */
enum hf_code {
	HF_EIO = 1,   /* the world failed; trying again may help */
	HF_EFATAL,    /* the world failed; trying again will not help */
	HF_ENOTFOUND, /* no such object, snapshot, path or key */
	HF_EEXISTS,   /* it is there already */
	HF_ECORRUPT,  /* bytes that do not verify: hash, MAC or syntax */
	HF_EAUTH,     /* no key of the repository opens with the password */
	HF_ENOREPO,   /* there is no repository at that place */
	HF_ELOCKED,   /* somebody else holds a lock that excludes ours */
	HF_ELOST,     /* our own lock was lost: what was done under it may not be whole */
	HF_EINVAL,    /* the user asked for something that makes no sense */
	HF_ECANCELED, /* stopped on purpose: signal, or a sibling failed */
};

struct hf_err;

/* A new error with a text.  Never fails: without memory it returns a static error. */
struct hf_err *hf_err(enum hf_code code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull)) HF_MUST;

/*
 * As hf_err(), code and tail of the text from errno value `en`: ENOENT is HF_ENOTFOUND, EEXIST is
 * HF_EEXISTS, what no repetition cures (ENOSPC, EDQUOT, EACCES, EPERM, EROFS, ...) is HF_EFATAL,
 * the rest HF_EIO.
 */
struct hf_err *hf_err_errno(int en, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull)) HF_MUST;

/*
 * Puts "context: " before the text of `e` and returns it; NULL stays NULL, so that
 *	return hf_err_in(hf_store_get(s, name, buf), "reading %s", name->hex);
 * needs no test.  Say what was attempted, not that it failed.
 */
struct hf_err *hf_err_in(struct hf_err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3))) HF_MUST;

/* Frees `e` and returns NULL if its code is `code`, else returns it as it is. */
struct hf_err *hf_err_ignore(struct hf_err *e, enum hf_code code) HF_MUST;

/*
 * Says how many seconds the other side wants to be left alone before another try (Retry-After);
 * returns `e`. And what was said, 0 if nothing; `e` may not be NULL there.
 */
struct hf_err *hf_err_later(struct hf_err *e, double seconds) HF_MUST;
double hf_err_wait(const struct hf_err *e);

enum hf_code hf_err_code(const struct hf_err *e); /* `e` may not be NULL */
const char *hf_err_text(const struct hf_err *e);  /* one line, no newline; dies with `e` */
void hf_err_free(struct hf_err *e);               /* NULL is fine */
HF_AUTOPTR(hf_err)

/* The only macro in holdfast that hides a return. */
#define HF_TRY(expr)                                                                           \
	do {                                                                                   \
		struct hf_err *try_ = (expr);                                                  \
		if (__builtin_expect(try_ != NULL, 0))                                         \
			return try_;                                                           \
	} while (0)

#endif
