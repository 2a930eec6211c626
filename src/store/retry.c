/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/retry.h"

#include <stdio.h>

#include "base/clocks.h"
#include "base/io.h"
#include "base/time.h"
#include "store/call.h"

#define PAUSE_S     1.0
#define PAUSE_MAX_S 60.0
#define LOCK_S      10.0

struct retry {
	struct hf_around around;
	struct hf_retry o;
};

/* The tries of one call. */
struct tries {
	double begin, pause_s;
	unsigned failed;
	bool came_short;
};

/* ---- words ---- */

/* As restic writes it: "Save(<data/3f2a9c01ab>)". */
static void
add_call(struct hf_buf *b, const struct hf_call *c)
{
	static const char *const words[] = {
		[HF_OP_CREATE] = "Create",
		[HF_OP_PUT] = "Save",
		[HF_OP_GET] = "Load",
		[HF_OP_STAT] = "Stat",
		[HF_OP_LIST] = "List",
		[HF_OP_DEL] = "Remove",
		[HF_OP_AGE] = "Stat",
		[HF_OP_WARM] = "Warmup",
	};
	const char *kind = c->name.kind == HF_PACK ? "data" : hf_kind_text(c->name.kind);
	struct hf_hex id = hf_id_hex(&c->name.id);

	hf_buf_addf(b, "%s(", words[c->op]);
	if (c->op == HF_OP_LIST)
		hf_buf_add_str(b, kind);
	else if (c->op != HF_OP_CREATE)
		hf_buf_addf(b, "<%s/%.10s>", kind, c->name.kind == HF_CONFIG ? "" : id.s);
	if (c->op == HF_OP_GET)
		hf_buf_addf(b, ", %zu, %llu", c->len == SIZE_MAX ? 0 : c->len,
			(unsigned long long)c->off);
	hf_buf_add_char(b, ')');
}

static void
say(struct retry *r, const struct hf_call *c, const struct tries *t, double wait_s,
	const struct hf_err *e)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 10);

	if (r->o.say == NULL)
		return;
	add_call(&b, c);
	if (e != NULL) {
		hf_buf_add_str(&b, " returned error, retrying after ");
		hf_duration_add(&b, (int64_t)(wait_s * 1e3) * 1000000);
		hf_buf_addf(&b, ": %s", hf_err_text(e));
	} else {
		hf_buf_addf(&b, " operation successful after %u retries", t->failed);
	}
	hf_autofree char *line = hf_str_dup(hf_bytes_str(hf_buf_bytes(&b)));
	r->o.say(r->o.say_arg, line);
}

/* ---- repeating ---- */

/* Half to one and a half times as long. */
static double
jitter(double seconds)
{
	uint32_t chance;

	hf_random(&chance, sizeof chance);
	return seconds * (0.5 + chance / 4294967296.0);
}

/*
 * The pause before the next try. False: it would begin too late. What the server asks for is obeyed
 * as far as there is time; one that wants to be left alone for longer gets no visit too early.
 */
static bool
next_pause(const struct retry *r, const struct hf_call *c, struct tries *t,
	const struct hf_err *e, double *wait_s)
{
	bool is_lock = hf_call_is_lock(c);
	double limit = is_lock && r->o.limit_s > LOCK_S ? LOCK_S : r->o.limit_s;
	double wait = jitter(t->pause_s), asked = hf_err_wait(e);

	t->pause_s = t->pause_s * 2 < PAUSE_MAX_S ? t->pause_s * 2 : PAUSE_MAX_S;
	*wait_s = wait > asked ? wait : asked;
	/* A try may have taken longer than all; a lease would not wait for a second one. */
	return hf_clock() + *wait_s - t->begin <= limit ||
	       (t->failed == 1 && !is_lock && asked <= limit);
}

static struct hf_err *
give_up(struct hf_err *e, const struct tries *t)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64);
	double asked = hf_err_wait(e);

	if (asked > t->pause_s) {
		hf_buf_add_str(&b, ", asked to wait for ");
		hf_duration_add(&b, (int64_t)(asked < 1e9 ? asked : 1e9) * HF_SECOND);
	}
	return hf_err_in(
		e, "giving up after %u tries%.*s", t->failed, (int)b.len, (const char *)b.p);
}

/*
 * After a run that ended with *e: whether there is to be another, after a pause that is over
 * then. *e is freed in that case, or is what to return.
 */
static bool
goes_on(struct retry *r, const struct hf_call *c, struct tries *t, struct hf_err **e)
{
	bool is_short = *e != NULL && c->op == HF_OP_GET && hf_err_code(*e) == HF_ECORRUPT;
	double wait_s = 0;

	if (*e == NULL && t->failed > 0)
		say(r, c, t, 0, NULL);
	if (*e == NULL || (!is_short && hf_err_code(*e) != HF_EIO) || hf_stop_is_set(r->o.stop))
		return false;
	if (is_short && t->came_short)
		return false;
	t->came_short |= is_short;
	t->failed++;
	if (!is_short && !next_pause(r, c, t, *e, &wait_s)) {
		*e = give_up(*e, t);
		return false;
	}
	say(r, c, t, wait_s, *e);
	hf_err_free(*e);
	*e = hf_stop_wait(r->o.stop, wait_s);
	return *e == NULL;
}

/*
 * Whether the file of a put that failed is there all the same. Of what is named by its content,
 * name and size are proof enough, since no store shows files in part.
 */
static bool
is_there(const struct hf_call *c, struct hf_store *inner)
{
	uint64_t size;

	if (c->name.kind == HF_CONFIG || hf_store_promises(inner, HF_REPLACES_ATOMICALLY))
		return false;
	hf_autoptr(hf_err) e = inner->ops->stat(inner, &c->name, &size);
	return e == NULL && size == c->data.len;
}

static struct hf_err *
repeat(struct hf_call *c, struct hf_store *inner)
{
	if (c->op == HF_OP_PUT && is_there(c, inner))
		return NULL;
	HF_TRY(hf_call_pass(c, inner));
	struct hf_err *e = hf_call_run(c, inner);
	return c->op == HF_OP_DEL ? hf_err_ignore(e, HF_ENOTFOUND) : e;
}

static struct hf_err *
retry_around(struct hf_around *a, struct hf_call *c)
{
	struct retry *r = hf_container_of(a, struct retry, around);
	struct tries t = {.begin = hf_clock(), .pause_s = r->o.pause_s};
	struct hf_err *e = hf_call_run(c, a->inner);

	while (goes_on(r, c, &t, &e))
		e = repeat(c, a->inner);
	return e;
}

static void
retry_free(struct hf_around *a)
{
	free(hf_container_of(a, struct retry, around));
}

struct hf_store *
hf_store_retry(struct hf_store *inner, const struct hf_retry *options)
{
	struct retry *r = hf_new(struct retry);

	hf_around_init(&r->around, inner);
	r->around.around = retry_around;
	r->around.free = retry_free;
	r->around.keeps_lists = true;
	r->o = *options;
	if (r->o.pause_s <= 0)
		r->o.pause_s = PAUSE_S;
	if (r->o.limit_s <= 0)
		r->o.limit_s = HF_RETRY_LIMIT_S;
	return &r->around.store;
}
