/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/io.h"
#include "store/call.h"

struct fault {
	struct hf_around around;
	struct hf_fault_plan plan;
	char *while_file; /* or NULL */
	atomic_uint_fast64_t calls;
};

/* What happens to one call, and which it is. */
struct strike {
	enum hf_fault_kind kind;
	uint64_t call;
};

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

/* What a put leaves that was cut off by a crash. Stores that are no folders leave nothing. */
static void
leave_half(struct fault *f, const struct hf_name *name, struct hf_bytes data)
{
	hf_autofree char *path = NULL;

	if (asprintf(&path, "%s/%s-tmp-1", f->around.inner->url, hf_name_text(name).s) < 0)
		return;
	hf_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		hf_err_free(hf_write_full(fd, data.p, data.len / 2));
}

/* What a get brought is cut, or one bit of it is wrong. */
static struct hf_err *
spoil(const struct hf_call *c, struct strike k)
{
	size_t half = (c->out->len - c->out_len) / 2;

	if (k.kind == HF_FAULT_SHORT) {
		c->out->len = c->out_len + half;
		return hf_err(HF_ECORRUPT, "injected end of file after %zu bytes", half);
	}
	if (k.kind == HF_FAULT_FLIP && c->out->len > c->out_len)
		c->out->p[c->out_len + half] ^= 1;
	return NULL;
}

/* What a put is to store, with one bit wrong. */
static struct hf_bytes
flipped(struct hf_buf *b, struct hf_bytes data)
{
	hf_buf_add(b, data.p, data.len);
	if (!b->is_full && b->len > 0)
		b->p[b->len / 2] ^= 1;
	return hf_buf_bytes(b);
}

static struct hf_err *
fault_around(struct hf_around *a, struct hf_call *c)
{
	static const enum hf_fault_op ops[] = {
		[HF_OP_CREATE] = HF_FAULT_CREATE,
		[HF_OP_PUT] = HF_FAULT_PUT,
		[HF_OP_GET] = HF_FAULT_GET,
		[HF_OP_STAT] = HF_FAULT_STAT,
		[HF_OP_LIST] = HF_FAULT_LIST,
		[HF_OP_DEL] = HF_FAULT_DEL,
		[HF_OP_AGE] = HF_FAULT_STAT,
		[HF_OP_WARM] = HF_FAULT_STAT,
	};
	struct fault *f = hf_container_of(a, struct fault, around);
	struct strike k = strike(f, ops[c->op], c->op == HF_OP_CREATE ? 0 : 1u << c->name.kind);
	bool is_half = c->op == HF_OP_PUT && k.kind == HF_FAULT_HALF;

	if (is_half)
		leave_half(f, &c->name, c->data);
	if (k.kind == HF_FAULT_FAIL || is_half)
		return injected(f, k);
	hf_auto(hf_buf) wrong = HF_BUF_SPOOL(SIZE_MAX / 2);
	if (c->op == HF_OP_PUT && k.kind == HF_FAULT_FLIP)
		c->data = flipped(&wrong, c->data);
	struct hf_err *e = hf_call_run(c, a->inner);
	if (e == NULL && c->op == HF_OP_GET)
		e = spoil(c, k);
	e = answer(f, k, e);
	/* A lost answer is lost with all that came with it. */
	if (e != NULL && c->fd != NULL && *c->fd >= 0)
		close(hf_steal_fd(c->fd));
	return e;
}

static void
fault_free(struct hf_around *a)
{
	struct fault *f = hf_container_of(a, struct fault, around);

	free(f->while_file);
	free(f);
}

struct hf_store *
hf_store_fault(struct hf_store *inner, const struct hf_fault_plan *plan)
{
	struct fault *f = hf_new(struct fault);

	hf_around_init(&f->around, inner);
	f->around.store.pours = false; /* what came is spoiled as a whole */
	f->around.around = fault_around;
	f->around.free = fault_free;
	f->plan = *plan;
	f->plan.while_file = NULL;
	if (plan->while_file != NULL)
		f->while_file = hf_str_dup(hf_str(plan->while_file));
	atomic_init(&f->calls, 0);
	return &f->around.store;
}

uint64_t
hf_store_fault_calls(const struct hf_store *s)
{
	const struct fault *f =
		(const struct fault *)((const char *)s - offsetof(struct fault, around.store));

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
