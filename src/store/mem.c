/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One array of files, sorted by name, under one lock. Functions of callers are never called with
 * the lock held, so a listing works on a copy of the names.
 */
#include "store/mem.h"

#include <pthread.h>

struct file {
	struct hf_name name;
	uint8_t *data;
	size_t size;
};

struct mem {
	struct hf_store store;
	pthread_mutex_t lock; /* guards what follows */
	struct file *files;
	size_t n_files, cap;
};

static struct mem *
lock(struct hf_store *s)
{
	struct mem *m = hf_container_of(s, struct mem, store);

	pthread_mutex_lock(&m->lock);
	return m;
}

static void
unlock(struct mem **m)
{
	pthread_mutex_unlock(&(*m)->lock);
}

/* Declares `m`, locked until the end of the scope. */
#define LOCKED(m, s) __attribute__((cleanup(unlock))) struct mem *m = lock(s)

static int
compare(const struct hf_name *a, const struct hf_name *b)
{
	return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1) : hf_id_cmp(&a->id, &b->id);
}

/* The place of `name`, or where it would have to be inserted. */
static size_t
place(const struct mem *m, const struct hf_name *name)
{
	size_t low = 0, high = m->n_files;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&m->files[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct file *
find(struct mem *m, const struct hf_name *name)
{
	size_t i = place(m, name);

	return i < m->n_files && compare(&m->files[i].name, name) == 0 ? &m->files[i] : NULL;
}

static struct hf_err *
absent(void)
{
	return hf_err(HF_ENOTFOUND, "no such file");
}

static struct hf_err *
mem_create(struct hf_store *s)
{
	(void)s;
	return NULL;
}

static struct hf_err *
mem_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	LOCKED(m, s);
	hf_autofree uint8_t *copy = malloc(data.len + 1);
	struct file *f = find(m, name);

	if (copy == NULL)
		return hf_err(HF_EFATAL, "no memory for %zu bytes", data.len);
	if (name->is_new && f != NULL &&
		(f->size != data.len || memcmp(f->data, data.p, data.len) != 0))
		return hf_err(HF_EEXISTS, "the file exists already");
	if (data.len > 0)
		memcpy(copy, data.p, data.len);
	if (f == NULL && m->n_files == m->cap) {
		size_t cap = m->cap * 2 + 16;
		struct file *files = reallocarray(m->files, cap, sizeof *files);

		if (files == NULL)
			return hf_err(HF_EFATAL, "no memory for %zu files", cap);
		m->files = files;
		m->cap = cap;
	}
	if (f == NULL) {
		f = &m->files[place(m, name)];
		memmove(f + 1, f, (size_t)(m->files + m->n_files++ - f) * sizeof *f);
	} else {
		free(f->data);
	}
	*f = (struct file){*name, hf_steal(copy), data.len};
	return NULL;
}

static struct hf_err *
mem_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	LOCKED(m, s);
	struct file *f = find(m, name);

	if (f == NULL)
		return absent();
	if (off > f->size || (len != SIZE_MAX && len > f->size - off))
		return hf_err(HF_ECORRUPT, "the file has only %zu bytes", f->size);
	if (len == SIZE_MAX)
		len = f->size - off;
	HF_TRY(hf_buf_reserve(out, len));
	hf_buf_add(out, f->data + off, len);
	return NULL;
}

static struct hf_err *
mem_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	LOCKED(m, s);
	struct file *f = find(m, name);

	if (f == NULL)
		return absent();
	*size = f->size;
	return NULL;
}

/* Names and sizes of one kind; the content stays where it is. */
static struct file *
copy_list(struct hf_store *s, enum hf_kind kind, size_t *n)
{
	LOCKED(m, s);
	struct file *copy = hf_alloc_(m->n_files + 1, sizeof *copy);

	*n = 0;
	for (size_t i = 0; i < m->n_files; i++)
		if (m->files[i].name.kind == kind)
			copy[(*n)++] = m->files[i];
	return copy;
}

static struct hf_err *
mem_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	size_t n;
	hf_autofree struct file *files = copy_list(s, kind, &n);

	for (size_t i = 0; i < n; i++)
		HF_TRY(fn(arg, &files[i].name, files[i].size));
	return NULL;
}

static struct hf_err *
mem_del(struct hf_store *s, const struct hf_name *name)
{
	LOCKED(m, s);
	struct file *f = find(m, name);

	if (f == NULL)
		return absent();
	free(f->data);
	memmove(f, f + 1, (size_t)(m->files + --m->n_files - f) * sizeof *f);
	return NULL;
}

static void
mem_free(struct hf_store *s)
{
	struct mem *m = hf_container_of(s, struct mem, store);

	for (size_t i = 0; i < m->n_files; i++)
		free(m->files[i].data);
	free(m->files);
	pthread_mutex_destroy(&m->lock);
	free(m->store.url);
	free(m);
}

/* In pieces that fit nothing. */
static struct hf_err *
mem_pour(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_sink *sink)
{
	enum { PIECE = 9999 };
	hf_auto(hf_buf) all = HF_BUF_MAX(SIZE_MAX / 2);

	HF_TRY(mem_get(s, name, off, len, &all));
	sink->begin(sink);
	for (size_t at = 0; at < all.len; at += PIECE) {
		size_t n = all.len - at < PIECE ? all.len - at : PIECE;

		HF_TRY(sink->take(sink, (struct hf_bytes){all.p + at, n}));
	}
	return NULL;
}

struct hf_store *
hf_store_mem(void)
{
	static const struct hf_store_ops ops = {
		.create = mem_create,
		.put = mem_put,
		.get = mem_get,
		.pour = mem_pour,
		.stat = mem_stat,
		.list = mem_list,
		.del = mem_del,
		.free = mem_free,
	};
	struct mem *m = hf_new(struct mem);

	m->store = (struct hf_store){.ops = &ops,
		.url = hf_str_dup(hf_str("mem:")),
		.connections = 2,
		.pours = true,
		.promises = HF_REPLACES_ATOMICALLY | HF_LISTS_AT_ONCE | HF_CREATES_IF_ABSENT};
	pthread_mutex_init(&m->lock, NULL);
	return &m->store;
}
