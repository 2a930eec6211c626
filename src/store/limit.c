/* SPDX-License-Identifier: BSD-2-Clause */
#include "store/limit.h"

#include "store/call.h"

struct limit {
	struct hf_around around;
	struct hf_pace *upload, *download; /* borrowed, or NULL */
	struct hf_stop *stop;
};

static struct hf_err *
limit_around(struct hf_around *a, struct hf_call *c)
{
	struct limit *l = hf_container_of(a, struct limit, around);

	if (hf_call_is_lock(c))
		return hf_call_run(c, a->inner);
	if (c->op == HF_OP_PUT && l->upload != NULL) {
		HF_TRY(hf_pace_wait(l->upload, c->data.len, l->stop));
		HF_TRY(hf_call_pass(c, a->inner));
	}
	HF_TRY(hf_call_run(c, a->inner));
	return c->op == HF_OP_GET ? hf_pace_wait(l->download, c->n_bytes, l->stop) : NULL;
}

static void
limit_free(struct hf_around *a)
{
	free(hf_container_of(a, struct limit, around));
}

struct hf_store *
hf_store_limit(struct hf_store *inner, struct hf_pace *upload, struct hf_pace *download,
	struct hf_stop *stop)
{
	struct limit *l = hf_new(struct limit);

	hf_around_init(&l->around, inner);
	l->around.around = limit_around;
	l->around.free = limit_free;
	l->upload = upload;
	l->download = download;
	l->stop = stop;
	return &l->around.store;
}
