/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/call.h"

#include <math.h>

struct entry {
	struct hf_id id;
	uint64_t size;
};

static struct hf_around *
around_of(struct hf_store *s)
{
	return hf_container_of(s, struct hf_around, store);
}

/* ---- inwards ---- */

static struct hf_err *
see(void *arg, const struct hf_name *name, uint64_t size)
{
	struct hf_call *c = arg;

	c->n_files++;
	if (c->kept == NULL)
		return c->fn(c->arg, name, size);
	hf_buf_add(c->kept, &(struct entry){name->id, size}, sizeof(struct entry));
	return hf_buf_ok(c->kept);
}

static struct hf_err *
run_put(struct hf_call *c, struct hf_store *inner)
{
	struct hf_err *e = c->fd != NULL ? inner->ops->put_held(inner, &c->name, c->data, c->fd)
					 : inner->ops->put(inner, &c->name, c->data);

	c->n_bytes = e == NULL ? c->data.len : 0;
	return e;
}

/* Counts what goes to a sink. */
struct counter {
	struct hf_sink sink, *to;
	size_t n;
};

static void
count_begin(struct hf_sink *sink)
{
	struct counter *c = hf_container_of(sink, struct counter, sink);

	c->n = 0;
	c->to->begin(c->to);
}

static struct hf_err *
count_take(struct hf_sink *sink, struct hf_bytes bytes)
{
	struct counter *c = hf_container_of(sink, struct counter, sink);

	c->n += bytes.len;
	return c->to->take(c->to, bytes);
}

static struct hf_err *
run_get(struct hf_call *c, struct hf_store *inner)
{
	struct counter counter = {{count_begin, count_take}, c->sink, 0};
	struct hf_err *e;

	if (c->sink != NULL) {
		e = inner->ops->pour(inner, &c->name, c->off, c->len, &counter.sink);
		c->n_bytes = counter.n;
	} else {
		c->out->len = c->out_len;
		e = inner->ops->get(inner, &c->name, c->off, c->len, c->out);
		c->n_bytes = c->out->len - c->out_len;
	}
	if (e == NULL && c->len != SIZE_MAX && c->n_bytes != c->len)
		e = hf_err(HF_ECORRUPT, "%zu bytes came instead of %zu", c->n_bytes, c->len);
	return e;
}

static struct hf_err *
run_list(struct hf_call *c, struct hf_store *inner)
{
	c->n_files = 0;
	if (c->kept != NULL)
		hf_buf_reset(c->kept);
	return hf_store_list_op(inner, c->name.kind, see, c, c->no_sizes);
}

struct hf_err *
hf_call_run(struct hf_call *c, struct hf_store *inner)
{
	switch (c->op) {
	case HF_OP_CREATE:
		return inner->ops->create(inner);
	case HF_OP_PUT:
		return run_put(c, inner);
	case HF_OP_GET:
		return run_get(c, inner);
	case HF_OP_STAT:
		return inner->ops->stat(inner, &c->name, c->size);
	case HF_OP_LIST:
		return run_list(c, inner);
	case HF_OP_DEL:
		return inner->ops->del(inner, &c->name);
	case HF_OP_AGE:
		return inner->ops->age(inner, &c->name, c->age_s);
	case HF_OP_WARM:
		return inner->ops->warm(inner, &c->name, c->is_warm);
	}
	abort();
}

struct hf_err *
hf_call_pass(const struct hf_call *c, struct hf_store *inner)
{
	if (c->op != HF_OP_PUT && c->op != HF_OP_DEL)
		return NULL;
	return hf_store_pass(inner, &c->name, c->op == HF_OP_DEL, c->data.len);
}

/* ---- outwards ---- */

static struct hf_err *
go(struct hf_store *s, struct hf_call *c)
{
	struct hf_around *a = around_of(s);

	return a->around(a, c);
}

static struct hf_err *
around_create(struct hf_store *s)
{
	return go(s, &(struct hf_call){.op = HF_OP_CREATE});
}

static struct hf_err *
around_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	return go(s, &(struct hf_call){.op = HF_OP_PUT, .name = *name, .data = data});
}

static struct hf_err *
around_put_held(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd)
{
	return go(s, &(struct hf_call){.op = HF_OP_PUT, .name = *name, .data = data, .fd = fd});
}

static struct hf_err *
around_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	return go(s, &(struct hf_call){.op = HF_OP_GET,
			     .name = *name,
			     .off = off,
			     .len = len,
			     .out = out,
			     .out_len = out->len});
}

static struct hf_err *
around_pour(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_sink *sink)
{
	return go(s,
		&(struct hf_call){
			.op = HF_OP_GET, .name = *name, .off = off, .len = len, .sink = sink});
}

static struct hf_err *
around_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	return go(s, &(struct hf_call){.op = HF_OP_STAT, .name = *name, .size = size});
}

struct hf_err *
hf_call_tell(const struct hf_buf *kept, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	for (size_t at = 0; at < kept->len; at += sizeof(struct entry)) {
		struct hf_name name = {.kind = kind};
		struct entry entry;

		memcpy(&entry, kept->p + at, sizeof entry);
		name.id = entry.id;
		HF_TRY(fn(arg, &name, entry.size));
	}
	return NULL;
}

static struct hf_err *
list_through(
	struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg, bool no_sizes)
{
	hf_auto(hf_buf) kept = HF_BUF_SPOOL(HF_CALL_MAX_LIST);
	bool keeps = around_of(s)->keeps_lists;

	HF_TRY(go(s, &(struct hf_call){.op = HF_OP_LIST,
			     .name = {.kind = kind},
			     .no_sizes = no_sizes,
			     .fn = fn,
			     .arg = arg,
			     .kept = keeps ? &kept : NULL}));
	return hf_call_tell(&kept, kind, fn, arg);
}

static struct hf_err *
around_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list_through(s, kind, fn, arg, false);
}

static struct hf_err *
around_names(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list_through(s, kind, fn, arg, true);
}

static struct hf_err *
around_del(struct hf_store *s, const struct hf_name *name)
{
	return go(s, &(struct hf_call){.op = HF_OP_DEL, .name = *name});
}

static struct hf_err *
around_age(struct hf_store *s, const struct hf_name *name, double *seconds)
{
	*seconds = NAN;
	if (around_of(s)->inner->ops->age == NULL)
		return NULL;
	return go(s, &(struct hf_call){.op = HF_OP_AGE, .name = *name, .age_s = seconds});
}

static struct hf_err *
around_warm(struct hf_store *s, const struct hf_name *name, bool *is_warm)
{
	if (around_of(s)->inner->ops->warm == NULL)
		return NULL;
	return go(s, &(struct hf_call){.op = HF_OP_WARM, .name = *name, .is_warm = is_warm});
}

static enum hf_held
around_held(struct hf_store *s, const struct hf_name *name)
{
	return hf_store_held(around_of(s)->inner, name);
}

static void
around_free(struct hf_store *s)
{
	struct hf_around *a = around_of(s);

	if (a->quit != NULL)
		a->quit(a);
	hf_store_free(a->inner);
	a->free(a);
}

void
hf_around_init(struct hf_around *a, struct hf_store *inner)
{
	static const struct hf_store_ops ops = {
		.create = around_create,
		.put = around_put,
		.get = around_get,
		.pour = around_pour,
		.stat = around_stat,
		.list = around_list,
		.del = around_del,
		.free = around_free,
		.age = around_age,
		.put_held = around_put_held,
		.held = around_held,
		.warm = around_warm,
		.names = around_names,
	};

	hf_store_wrap(&a->store, &ops, inner);
	a->inner = inner;
}
