/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all backends have in common: the names of files, and the promises that need not be kept
 * by each of them.
 */
#include "store/store.h"

#include <math.h>
#include <stdio.h>

#include "base/host.h"
#include "store/backend.h"

static const struct {
	const char *text, *folder;
} kinds[HF_KINDS] = {
	[HF_CONFIG] = {"config", NULL},
	[HF_KEY] = {"key", "keys"},
	[HF_LOCK] = {"lock", "locks"},
	[HF_SNAPSHOT] = {"snapshot", "snapshots"},
	[HF_INDEX] = {"index", "index"},
	[HF_PACK] = {"pack", "data"},
};

const char *
hf_kind_text(enum hf_kind kind)
{
	return kinds[kind].text;
}

const char *
hf_kind_folder(enum hf_kind kind)
{
	return kinds[kind].folder;
}

struct hf_name_text
hf_name_text(const struct hf_name *name)
{
	struct hf_hex id = hf_id_hex(&name->id);
	struct hf_name_text t;

	if (name->kind == HF_CONFIG)
		snprintf(t.s, sizeof t.s, "config");
	else if (name->kind == HF_PACK)
		snprintf(t.s, sizeof t.s, "data/%.2s/%s", id.s, id.s);
	else
		snprintf(t.s, sizeof t.s, "%s/%s", kinds[name->kind].folder, id.s);
	return t;
}

bool
hf_name_of_file(enum hf_kind kind, struct hf_str file, struct hf_name *out)
{
	*out = (struct hf_name){.kind = kind};
	return hf_id_parse(file, &out->id) && hf_str_is(file, hf_id_hex(&out->id).s);
}

/* Says which file `e` is about; NULL stays NULL. */
static struct hf_err *
about(struct hf_err *e, const char *attempt, const struct hf_name *name)
{
	if (name->kind == HF_CONFIG)
		return hf_err_in(e, "%s config", attempt);
	return hf_err_in(
		e, "%s %s %.8s", attempt, kinds[name->kind].text, hf_id_hex(&name->id).s);
}

struct hf_err *
hf_store_create(struct hf_store *s)
{
	return hf_err_in(s->ops->create(s), "creating the folders of a repository");
}

double
hf_store_within(const struct hf_store *s, const struct hf_name *name, size_t size)
{
	double most = s->within_s > HF_WITHIN_MAX_S ? s->within_s : HF_WITHIN_MAX_S;
	double within = s->within_s;

	if (name->kind != HF_PACK && s->slowest > 0)
		within += (double)size / s->slowest;
	return within < most ? within : most;
}

struct hf_err *
hf_store_pass(struct hf_store *s, const struct hf_name *name, bool is_del, size_t size)
{
	struct hf_change change = {*name, is_del, size, hf_store_within(s, name, size)};
	struct hf_gate *gate = name->kind == HF_LOCK ? NULL : atomic_load(&s->gate);

	return gate != NULL ? gate->pass(gate, &change) : NULL;
}

void
hf_store_set_gate(struct hf_store *s, struct hf_gate *gate)
{
	for (; s != NULL; s = s->inner)
		atomic_store(&s->gate, gate);
}

static struct hf_err *
pass_nothing(struct hf_gate *gate, const struct hf_change *change)
{
	(void)gate;
	(void)change;
	return hf_err(HF_EFATAL, "this command has no lock and may not change the repository");
}

struct hf_gate hf_gate_shut = {pass_nothing};

struct hf_err *
hf_store_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	HF_TRY(about(hf_store_pass(s, name, false, data.len), "saving", name));
	return about(s->ops->put(s, name, data), "saving", name);
}

struct hf_err *
hf_store_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	size_t before = out->len;
	struct hf_err *e = s->ops->get(s, name, off, len, out);

	/* A server may send what it likes. */
	if (e == NULL && len != SIZE_MAX && out->len - before != len)
		e = hf_err(
			HF_ECORRUPT, "%zu bytes came instead of %zu", out->len - before, len);
	if (e != NULL)
		out->len = before;
	return about(e, "reading", name);
}

struct hf_err *
hf_store_pour(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_sink *sink)
{
	return about(s->ops->pour(s, name, off, len, sink), "reading", name);
}

bool
hf_store_pours(const struct hf_store *s)
{
	return s->pours;
}

struct hf_err *
hf_store_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	return about(s->ops->stat(s, name, size), "looking for", name);
}

struct hf_err *
hf_store_put_held(struct hf_store *s, const struct hf_name *name, struct hf_bytes data, int *fd)
{
	*fd = -1;
	if (s->ops->put_held == NULL || !s->can_hold)
		return hf_store_put(s, name, data);
	HF_TRY(about(hf_store_pass(s, name, false, data.len), "saving", name));
	return about(s->ops->put_held(s, name, data, fd), "saving", name);
}

enum hf_held
hf_store_held(struct hf_store *s, const struct hf_name *name)
{
	if (s->ops->held == NULL || !s->can_hold)
		return HF_HELD_UNKNOWN;
	return s->ops->held(s, name);
}

bool
hf_store_can_hold(const struct hf_store *s)
{
	return s->can_hold;
}

bool
hf_store_forget(struct hf_store *s, const struct hf_name *name)
{
	return s->ops->forget != NULL && s->ops->forget(s, name);
}

struct hf_err *
hf_store_age(struct hf_store *s, const struct hf_name *name, double *seconds)
{
	*seconds = NAN;
	if (s->ops->age == NULL)
		return NULL;
	return about(s->ops->age(s, name, seconds), "looking for", name);
}

struct hf_err *
hf_store_warm(struct hf_store *s, const struct hf_name *name, bool *is_warm)
{
	*is_warm = true;
	if (!s->thaw.orders)
		return NULL;
	while (s->ops->warm == NULL && s->inner != NULL)
		s = s->inner;
	return s->ops->warm == NULL ? NULL
				    : about(s->ops->warm(s, name, is_warm), "ordering", name);
}

const struct hf_thaw *
hf_store_thaw(const struct hf_store *s)
{
	return &s->thaw;
}

struct hf_err *
hf_store_del(struct hf_store *s, const struct hf_name *name)
{
	HF_TRY(about(hf_store_pass(s, name, true, 0), "deleting", name));
	return about(s->ops->del(s, name), "deleting", name);
}

/* Knows afterwards whether the error of a listing came from the caller's function. */
struct listing {
	hf_store_list_fn *fn;
	void *arg;
	bool is_theirs;
};

static struct hf_err *
pass_on(void *arg, const struct hf_name *name, uint64_t size)
{
	struct listing *l = arg;
	struct hf_err *e = l->fn(l->arg, name, size);

	l->is_theirs = e != NULL;
	return e;
}

static struct hf_err *
list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg, bool no_sizes)
{
	struct listing l = {fn, arg, false};
	struct hf_err *e = hf_store_list_op(s, kind, pass_on, &l, no_sizes);

	return l.is_theirs ? e : hf_err_in(e, "listing %s files", kinds[kind].text);
}

struct hf_err *
hf_store_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list(s, kind, fn, arg, false);
}

struct hf_err *
hf_store_names(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	return list(s, kind, fn, arg, true);
}

struct hf_err *
hf_store_list_config(struct hf_store *s, hf_store_list_fn *fn, void *arg)
{
	const struct hf_name name = {.kind = HF_CONFIG};
	uint64_t size;
	struct hf_err *e = s->ops->stat(s, &name, &size);

	return e != NULL ? hf_err_ignore(e, HF_ENOTFOUND) : fn(arg, &name, size);
}

void
hf_store_saw(struct hf_store *s, const struct hf_name *name, bool is_there)
{
	if (name->kind == HF_CONFIG)
		atomic_store(&s->has_config, is_there);
}

bool
hf_store_doubts(struct hf_store *s, enum hf_kind kind)
{
	return kind != HF_CONFIG && kind != HF_KEY && atomic_load(&s->has_config);
}

struct hf_err *
hf_store_find_config(struct hf_store *s, enum hf_kind kind, hf_store_look_fn *look)
{
	struct hf_err *e = look(s, kind);

	if (e == NULL || hf_err_code(e) != HF_ENOTFOUND)
		return e;
	hf_err_free(e);
	return hf_err(HF_EIO,
		"%s: nothing is there any more, not even the config; is the disk mounted?",
		s->url);
}

bool
hf_store_asks_again(
	struct hf_store *s, enum hf_kind kind, hf_store_look_fn *look, struct hf_err **e)
{
	if (*e == NULL || hf_err_code(*e) != HF_ENOTFOUND || !hf_store_doubts(s, kind))
		return false;
	hf_err_free(*e);
	*e = hf_store_find_config(s, kind, look);
	return *e == NULL;
}

const char *
hf_store_url(const struct hf_store *s)
{
	return s->url;
}

bool
hf_store_promises(const struct hf_store *s, enum hf_promise what)
{
	while (s->inner != NULL)
		s = s->inner;
	return (atomic_load(&s->promises) & what) != 0;
}

void
hf_store_wrap(struct hf_store *s, const struct hf_store_ops *ops, struct hf_store *inner)
{
	*s = (struct hf_store){.ops = ops,
		.url = inner->url,
		.connections = inner->connections,
		.can_hold = inner->can_hold,
		.pours = inner->pours,
		.is_near = inner->is_near,
		.pipelines = inner->pipelines,
		.has_copies = inner->has_copies,
		.thaw = inner->thaw,
		.within_s = inner->within_s,
		.slowest = inner->slowest,
		.inner = inner};
}

bool
hf_store_is_near(const struct hf_store *s)
{
	return s->is_near;
}

bool
hf_store_pipelines(const struct hf_store *s)
{
	return s->pipelines;
}

bool
hf_store_has_copies(const struct hf_store *s)
{
	return s->has_copies;
}

unsigned
hf_store_connections(const struct hf_store *s)
{
	return s->connections;
}

void
hf_store_free(struct hf_store *s)
{
	if (s != NULL)
		s->ops->free(s);
}

unsigned
hf_store_workers(const struct hf_store *s, unsigned max)
{
	unsigned cpus = hf_cpus(), n = s->connections;

	if (!s->is_near)
		n += cpus;
	else if (n < cpus)
		n = cpus;
	return n < 1 ? 1 : n < max ? n : max;
}
