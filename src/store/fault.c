/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/io.h"

struct fault {
	struct hf_store store;
	struct hf_store *inner; /* owned */
	struct hf_fault_plan plan;
	char *while_file; /* or NULL */
	atomic_uint_fast64_t calls;
};

/* What happens to one call, and which it is. */
struct strike {
	enum hf_fault_kind kind;
	uint64_t call;
};

static struct fault *
fault_of(struct hf_store *s)
{
	return hf_container_of(s, struct fault, store);
}

static bool
is_on(const struct fault *f)
{
	return f->while_file == NULL || access(f->while_file, F_OK) == 0;
}

static void
sleep_ms(const struct fault *f, unsigned ms)
{
	enum { STEP = 20 };

	while (ms > 0 && is_on(f)) {
		unsigned part = ms < STEP ? ms : STEP;
		struct timespec left = {0, (long)part * 1000000};

		while (nanosleep(&left, &left) != 0)
			continue;
		ms -= part;
	}
}

/* Counts a call. What can be done before it, without knowing which it is, is done here. */
static struct strike
strike(struct fault *f, enum hf_fault_op op, unsigned kinds)
{
	const struct hf_fault_plan *p = &f->plan;
	struct strike none = {HF_FAULT_NONE, 0};

	if ((p->kinds != 0 && (p->kinds & kinds) == 0) ||
		(p->ops != 0 && (p->ops & 1u << op) == 0) || !is_on(f))
		return none;
	uint64_t call = atomic_fetch_add(&f->calls, 1) + 1;
	if (p->lasts ? call < p->first : call != p->first)
		return none;
	if (p->kind == HF_FAULT_DELAY)
		sleep_ms(f, p->delay_ms);
	if (p->kind == HF_FAULT_KILL)
		kill(getpid(), SIGKILL);
	return (struct strike){p->kind, call};
}

static struct hf_err *
injected(struct fault *f, struct strike k)
{
	return hf_err(f->plan.code != 0 ? f->plan.code : HF_EIO, "injected fault at call %llu",
		(unsigned long long)k.call);
}

/* The answer to a call that was carried out with result `e`. */
static struct hf_err *
answer(struct fault *f, struct strike k, struct hf_err *e)
{
	return e == NULL && k.kind == HF_FAULT_LOST ? injected(f, k) : e;
}

static struct hf_err *
fault_create(struct hf_store *s)
{
	struct fault *f = fault_of(s);
	struct strike k = strike(f, HF_FAULT_CREATE, 0);

	if (k.kind == HF_FAULT_FAIL)
		return injected(f, k);
	return answer(f, k, f->inner->ops->create(f->inner));
}

/* What a put leaves that was cut off by a crash. Stores that are no folders leave nothing. */
static void
leave_half(struct fault *f, const struct hf_name *name, struct hf_bytes data)
{
	hf_autofree char *path = NULL;

	if (asprintf(&path, "%s/%s-tmp-1", f->inner->url, hf_name_text(name).s) < 0)
		return;
	hf_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		hf_err_free(hf_write_full(fd, data.p, data.len / 2));
}

/* With `fd`, the file is kept open there, marked. */
static struct hf_err *
put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd)
{
	struct fault *f = fault_of(s);
	struct strike k = strike(f, HF_FAULT_PUT, 1u << name->kind);

	if (k.kind == HF_FAULT_HALF)
		leave_half(f, name, data);
	if (k.kind == HF_FAULT_FAIL || k.kind == HF_FAULT_HALF)
		return injected(f, k);
	struct hf_err *e = answer(f, k,
		fd != NULL ? f->inner->ops->put_held(f->inner, name, data, fd)
			   : f->inner->ops->put(f->inner, name, data));
	/* A lost answer is lost with all that came with it. */
	if (e != NULL && fd != NULL && *fd >= 0)
		close(hf_steal_fd(fd));
	return e;
}

static struct hf_err *
fault_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	return put(s, name, data, NULL);
}

static struct hf_err *
fault_put_held(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd)
{
	return put(s, name, data, fd);
}

static struct hf_err *
fault_age(struct hf_store *s, const struct hf_name *name, double *seconds)
{
	struct fault *f = fault_of(s);
	struct strike k = strike(f, HF_FAULT_STAT, 1u << name->kind);

	if (k.kind == HF_FAULT_FAIL)
		return injected(f, k);
	return answer(f, k, hf_store_age(f->inner, name, seconds));
}

static enum hf_held
fault_held(struct hf_store *s, const struct hf_name *name)
{
	return hf_store_held(fault_of(s)->inner, name);
}

static struct hf_err *
fault_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct fault *f = fault_of(s);
	struct strike k = strike(f, HF_FAULT_GET, 1u << name->kind);
	size_t before = out->len;

	if (k.kind == HF_FAULT_FAIL)
		return injected(f, k);
	HF_TRY(f->inner->ops->get(f->inner, name, off, len, out));
	size_t half = (out->len - before) / 2;
	if (k.kind == HF_FAULT_SHORT) {
		out->len = before + half;
		return hf_err(HF_ECORRUPT, "injected end of file after %zu bytes", half);
	}
	if (k.kind == HF_FAULT_FLIP && out->len > before)
		out->p[before + half] ^= 1;
	return answer(f, k, NULL);
}

static struct hf_err *
fault_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	struct fault *f = fault_of(s);
	struct strike k = strike(f, HF_FAULT_STAT, 1u << name->kind);

	if (k.kind == HF_FAULT_FAIL)
		return injected(f, k);
	return answer(f, k, f->inner->ops->stat(f->inner, name, size));
}

static struct hf_err *
fault_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	struct fault *f = fault_of(s);
	struct strike k = strike(f, HF_FAULT_LIST, 1u << kind);

	if (k.kind == HF_FAULT_FAIL)
		return injected(f, k);
	return answer(f, k, f->inner->ops->list(f->inner, kind, fn, arg));
}

static struct hf_err *
fault_del(struct hf_store *s, const struct hf_name *name)
{
	struct fault *f = fault_of(s);
	struct strike k = strike(f, HF_FAULT_DEL, 1u << name->kind);

	if (k.kind == HF_FAULT_FAIL)
		return injected(f, k);
	return answer(f, k, f->inner->ops->del(f->inner, name));
}

static void
fault_free(struct hf_store *s)
{
	struct fault *f = fault_of(s);

	hf_store_free(f->inner);
	free(f->while_file);
	free(f);
}

struct hf_store *
hf_store_fault(struct hf_store *inner, const struct hf_fault_plan *plan)
{
	static const struct hf_store_ops ops = {fault_create, fault_put, fault_get, fault_stat,
		fault_list, fault_del, fault_free, fault_age, fault_put_held, fault_held};
	struct fault *f = hf_new(struct fault);

	hf_store_wrap(&f->store, &ops, inner);
	f->inner = inner;
	f->plan = *plan;
	f->plan.while_file = NULL;
	if (plan->while_file != NULL)
		f->while_file = hf_str_dup(hf_str(plan->while_file));
	atomic_init(&f->calls, 0);
	return &f->store;
}

uint64_t
hf_store_fault_calls(const struct hf_store *s)
{
	const struct fault *f =
		(const struct fault *)((const char *)s - offsetof(struct fault, store));

	return atomic_load(&f->calls);
}

/* ---- plans as text ---- */

static const char *const kind_words[] = {
	[HF_FAULT_FAIL] = "fail",
	[HF_FAULT_LOST] = "lost",
	[HF_FAULT_DELAY] = "delay",
	[HF_FAULT_SHORT] = "short",
	[HF_FAULT_HALF] = "half",
	[HF_FAULT_FLIP] = "flip",
	[HF_FAULT_KILL] = "kill",
};

static const char *const op_words[] = {
	[HF_FAULT_CREATE] = "create",
	[HF_FAULT_PUT] = "put",
	[HF_FAULT_GET] = "get",
	[HF_FAULT_STAT] = "stat",
	[HF_FAULT_LIST] = "list",
	[HF_FAULT_DEL] = "del",
};

/* The place of `word` in the list, or `n`. */
static unsigned
find_word(struct hf_str word, const char *const *words, unsigned n)
{
	unsigned i = 0;

	while (i < n && (words[i] == NULL || !hf_str_is(word, words[i])))
		i++;
	return i;
}

static bool
is_number(struct hf_str s, unsigned *out)
{
	unsigned n = 0;

	if (s.len == 0 || s.len > 9)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.p[i] - '0');
	}
	*out = n;
	return true;
}

/* What stands before the first `end` or all of it; *rest is moved behind it. */
static struct hf_str
cut(struct hf_str *rest, char end)
{
	const char *p = rest->len > 0 ? memchr(rest->p, end, rest->len) : NULL;
	size_t len = p != NULL ? (size_t)(p - rest->p) : rest->len;
	struct hf_str word = {rest->p, len};
	size_t used = p != NULL ? len + 1 : len;

	*rest = (struct hf_str){rest->p + used, rest->len - used};
	return word;
}

static bool
take_word(struct hf_fault_plan *plan, struct hf_str word)
{
	unsigned op = find_word(word, op_words, sizeof op_words / sizeof *op_words);

	if (op < sizeof op_words / sizeof *op_words) {
		plan->ops |= 1u << op;
		return true;
	}
	for (unsigned kind = 0; kind < HF_KINDS; kind++) {
		if (hf_str_is(word, hf_kind_text(kind))) {
			plan->kinds |= 1u << kind;
			return true;
		}
	}
	if (hf_str_is(word, "fatal")) {
		plan->code = HF_EFATAL;
		return true;
	}
	return is_number(word, &plan->delay_ms);
}

struct hf_err *
hf_fault_parse(const char *text, struct hf_fault_plan *out)
{
	struct hf_fault_plan plan = {.code = HF_EIO};
	struct hf_str rest = hf_str(text);
	struct hf_str what = cut(&rest, '@'), number = cut(&rest, ':');
	unsigned n_kinds = sizeof kind_words / sizeof *kind_words;
	unsigned kind = find_word(what, kind_words, n_kinds), first = 0;

	if (number.len > 0 && number.p[number.len - 1] == '+') {
		plan.lasts = true;
		number.len--;
	}
	if (kind == n_kinds || !is_number(number, &first) || first == 0)
		return hf_err(HF_EINVAL, "plan of faults \"%s\": not of the form fail@7", text);
	while (rest.len > 0) {
		struct hf_str word = cut(&rest, ':');

		if (!take_word(&plan, word))
			return hf_err(HF_EINVAL, "plan of faults \"%s\": what is \"%.*s\"?",
				text, (int)word.len, word.p);
	}
	plan.kind = kind;
	plan.first = first;
	*out = plan;
	return NULL;
}
