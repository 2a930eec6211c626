/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct hf_err {
	enum hf_code code;
	double wait_s;
	char *text;
};

static char no_memory_text[] = "out of memory";
static struct hf_err no_memory = {HF_EFATAL, 0, no_memory_text};

__attribute__((format(printf, 3, 0))) static struct hf_err *
make(enum hf_code code, const char *tail, const char *fmt, va_list ap)
{
	hf_autofree char *head = NULL;
	struct hf_err *e = malloc(sizeof *e);

	if (e == NULL || vasprintf(&head, fmt, ap) < 0 ||
		asprintf(&e->text, "%s%s%s", head, tail[0] ? ": " : "", tail) < 0) {
		free(e);
		return &no_memory;
	}
	e->code = code;
	e->wait_s = 0;
	return e;
}

struct hf_err *
hf_err(enum hf_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	struct hf_err *e = make(code, "", fmt, ap);
	va_end(ap);
	return e;
}

static enum hf_code
code_of_errno(int en)
{
	switch (en) {
	case ENOENT:
		return HF_ENOTFOUND;
	case EEXIST:
		return HF_EEXISTS;
	case ENOSPC:
	case EDQUOT:
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOTDIR:
	case EISDIR:
	case ENAMETOOLONG:
	case ELOOP:
	case ENOMEM:
	case EFBIG:
		return HF_EFATAL;
	default:
		return HF_EIO;
	}
}

struct hf_err *
hf_err_errno(int en, const char *fmt, ...)
{
	enum hf_code code = code_of_errno(en);
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	struct hf_err *e = make(code, strerror_r(en, text, sizeof text), fmt, ap);
	va_end(ap);
	return e;
}

struct hf_err *
hf_err_in(struct hf_err *e, const char *fmt, ...)
{
	if (e == NULL || e == &no_memory)
		return e;
	va_list ap;

	va_start(ap, fmt);
	struct hf_err *outer = make(e->code, e->text, fmt, ap);
	va_end(ap);
	outer = hf_err_later(outer, e->wait_s);
	hf_err_free(e);
	return outer;
}

struct hf_err *
hf_err_ignore(struct hf_err *e, enum hf_code code)
{
	if (e == NULL || e->code != code)
		return e;
	hf_err_free(e);
	return NULL;
}

struct hf_err *
hf_err_later(struct hf_err *e, double seconds)
{
	if (e != NULL && e != &no_memory)
		e->wait_s = seconds;
	return e;
}

double
hf_err_wait(const struct hf_err *e)
{
	return e->wait_s;
}

enum hf_code
hf_err_code(const struct hf_err *e)
{
	return e->code;
}

const char *
hf_err_text(const struct hf_err *e)
{
	return e->text;
}

void
hf_err_free(struct hf_err *e)
{
	if (e == NULL || e == &no_memory)
		return;
	free(e->text);
	free(e);
}
