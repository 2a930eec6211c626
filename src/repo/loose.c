/* SPDX-License-Identifier: BSD-2-Clause */
/* A location has 32 bits for an offset, which is the number of the tree here. */
#include "repo/loose.h"

#include <pthread.h>

struct hf_loose {
	pthread_mutex_t lock;
	struct hf_buf bytes;  /* of the trees */
	struct hf_buf places; /* uint64_t: where each begins */
};

enum { MAX_TREES = 1 << 28 };

struct hf_loose *
hf_loose_new(void)
{
	struct hf_loose *l = hf_new(struct hf_loose);

	pthread_mutex_init(&l->lock, NULL);
	l->bytes = (struct hf_buf)HF_BUF_SPOOL(SIZE_MAX / 2);
	l->places = (struct hf_buf)HF_BUF_SPOOL(MAX_TREES * sizeof(uint64_t));
	return l;
}

void
hf_loose_free(struct hf_loose *l)
{
	if (l == NULL)
		return;
	hf_buf_clear(&l->bytes);
	hf_buf_clear(&l->places);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct hf_err *
keep_tree(struct hf_loose *l, struct hf_bytes plain, uint32_t *number)
{
	uint64_t place = l->bytes.len;

	*number = (uint32_t)(l->places.len / sizeof place);
	hf_buf_add(&l->places, &place, sizeof place);
	hf_buf_add(&l->bytes, plain.p, plain.len);
	HF_TRY(hf_buf_ok(&l->places));
	return hf_buf_ok(&l->bytes);
}

struct hf_err *
hf_loose_add(struct hf_loose *l, struct hf_index *ix, const struct hf_blob *blob,
	struct hf_bytes plain)
{
	static const struct hf_id no_pack;
	struct hf_pack_entry e = {
		.blob = *blob, .length = (uint32_t)plain.len + HF_SEAL_OVERHEAD};

	if (blob->type == HF_TREE) {
		pthread_mutex_lock(&l->lock);
		struct hf_err *err = keep_tree(l, plain, &e.offset);
		pthread_mutex_unlock(&l->lock);
		HF_TRY(err);
	}
	hf_index_add_pack(ix, &no_pack, &e, 1);
	return NULL;
}

bool
hf_loose_is(const struct hf_location *at)
{
	return hf_id_is_zero(&at->pack);
}

struct hf_err *
hf_loose_tree(struct hf_loose *l, const struct hf_location *at, struct hf_buf *out)
{
	uint64_t place;

	pthread_mutex_lock(&l->lock);
	memcpy(&place, l->places.p + at->offset * sizeof place, sizeof place);
	hf_buf_add(out, l->bytes.p + place, (size_t)hf_location_size(at));
	pthread_mutex_unlock(&l->lock);
	return hf_buf_ok(out);
}
