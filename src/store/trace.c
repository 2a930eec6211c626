/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/trace.h"

#include "base/time.h"
#include "store/call.h"

enum { MAX_LINE = 64 << 10 };

struct trace {
	struct hf_around around;
	hf_trace_fn *fn;
	void *arg;
};

static void
add_call(struct hf_buf *b, const struct hf_call *c)
{
	static const char *const words[] = {
		[HF_OP_CREATE] = "create",
		[HF_OP_PUT] = "put",
		[HF_OP_GET] = "get",
		[HF_OP_STAT] = "stat",
		[HF_OP_LIST] = "list",
		[HF_OP_DEL] = "del",
		[HF_OP_AGE] = "age",
		[HF_OP_WARM] = "warm",
	};

	hf_buf_addf(b, " %s", words[c->op]);
	if (c->op == HF_OP_CREATE)
		return;
	if (c->op == HF_OP_LIST && c->name.kind != HF_CONFIG)
		hf_buf_addf(b, " %s", hf_kind_folder(c->name.kind));
	else
		hf_buf_addf(b, " %s", hf_name_text(&c->name).s);
	if (c->op == HF_OP_GET && c->len == SIZE_MAX)
		hf_buf_addf(b, " from %llu, all:", (unsigned long long)c->off);
	else if (c->op == HF_OP_GET)
		hf_buf_addf(b, " from %llu, %zu:", (unsigned long long)c->off, c->len);
}

static void
add_result(struct hf_buf *b, const struct hf_call *c, double seconds, const struct hf_err *e)
{
	if (c->op == HF_OP_PUT)
		hf_buf_addf(b, " %zu bytes", c->data.len);
	if (c->op == HF_OP_GET)
		hf_buf_addf(b, " %zu bytes", c->n_bytes);
	if (c->op == HF_OP_STAT && e == NULL)
		hf_buf_addf(b, " %llu bytes", (unsigned long long)*c->size);
	if (c->op == HF_OP_LIST)
		hf_buf_addf(b, " %zu files", c->n_files);
	hf_buf_addf(b, " %.3f ms ", seconds * 1e3);
	if (e == NULL)
		hf_buf_add_str(b, "ok");
	else
		hf_buf_addf(b, "failed: %s", hf_err_text(e));
}

static struct hf_err *
trace_around(struct hf_around *a, struct hf_call *c)
{
	struct trace *t = hf_container_of(a, struct trace, around);
	hf_auto(hf_buf) line = HF_BUF_MAX(MAX_LINE);
	struct hf_time now = hf_time_now();
	double begin = hf_clock();
	struct hf_err *e = hf_call_run(c, a->inner);

	hf_time_add(&line, &now);
	add_call(&line, c);
	add_result(&line, c, hf_clock() - begin, e);
	hf_autofree char *text = hf_str_dup(hf_bytes_str(hf_buf_bytes(&line)));
	t->fn(t->arg, text);
	return e;
}

static void
trace_free(struct hf_around *a)
{
	free(hf_container_of(a, struct trace, around));
}

struct hf_store *
hf_store_trace(struct hf_store *inner, hf_trace_fn *fn, void *arg)
{
	struct trace *t = hf_new(struct trace);

	hf_around_init(&t->around, inner);
	t->around.around = trace_around;
	t->around.free = trace_free;
	t->fn = fn;
	t->arg = arg;
	return &t->around.store;
}
