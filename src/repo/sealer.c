/* SPDX-License-Identifier: BSD-2-Clause */
/* What becomes of a blob on the thread of who saves it: hashed, compressed, sealed, proven, appended. */
#include "base/io.h"
#include "codec/sha256.h"
#include "repo/saver_i.h"

struct hf_sealer {
	struct hf_saver *saver; /* borrowed */
	struct hf_aead *aead;
	struct hf_zstd *zstd;
	struct hf_buf sealed, opened;
	uint64_t coin; /* random bits not yet used, with a 1 above them */
};

struct hf_sealer *
hf_sealer_new(struct hf_saver *s)
{
	struct hf_sealer *z = hf_new(struct hf_sealer);

	z->saver = s;
	z->aead = hf_aead_new(hf_repo_key(s->repo));
	z->zstd = hf_zstd_new(hf_repo_opts(s->repo)->compression);
	z->sealed = z->opened = (struct hf_buf){.max = SIZE_MAX / 2, .spill = PACK_SPILL};
	return z;
}

void
hf_sealer_free(struct hf_sealer *z)
{
	if (z == NULL)
		return;
	hf_buf_clear(&z->sealed);
	hf_buf_clear(&z->opened);
	hf_zstd_free(z->zstd);
	hf_aead_free(z->aead);
	free(z);
}

/*
 * Compresses into the buffer where the blob will be sealed, behind the room for the IV. Data that
 * does not get smaller is stored plain; trees never are, because restic's prune would rewrite a
 * pack with a plain tree each time it runs.
 */
static struct hf_err *
compress(struct hf_sealer *z, enum hf_blob_type type, struct hf_bytes plain,
	struct hf_bytes *payload, uint32_t *raw_length)
{
	const struct hf_repo *repo = z->saver->repo;
	bool is_wanted = type == HF_TREE || hf_repo_opts(repo)->compression != HF_COMPRESS_OFF;
	size_t len = 0;

	*payload = plain;
	*raw_length = 0;
	z->sealed.len = 0;
	if (hf_repo_config(repo)->version < 2 || plain.len == 0 || !is_wanted)
		return hf_buf_resize(&z->sealed, plain.len + HF_SEAL_OVERHEAD);
	HF_TRY(hf_buf_resize(&z->sealed, hf_zstd_bound(plain.len) + HF_SEAL_OVERHEAD));
	HF_TRY(hf_zstd_pack(z->zstd, plain, z->sealed.p + 16, &len));
	if (type == HF_DATA && len >= plain.len)
		return NULL;
	*payload = (struct hf_bytes){z->sealed.p + 16, len};
	*raw_length = (uint32_t)plain.len;
	return NULL;
}

/*
 * What was sealed must open to what was given, or the machine is not to be trusted with it. With
 * `is_packed`, what was given is the compressed form.
 */
static struct hf_err *
verify(struct hf_sealer *z, const struct hf_pack_entry *e, struct hf_bytes given,
	bool is_packed)
{
	struct hf_bytes sealed = {z->sealed.p, e->length};
	bool is_same;

	z->opened.len = 0;
	HF_TRY(hf_buf_resize(&z->opened, e->length));
	is_same = hf_aead_open(z->aead, sealed, z->opened.p);
	if (is_same && e->raw_length != 0 && !is_packed) {
		struct hf_bytes packed = {z->opened.p, e->length - HF_SEAL_OVERHEAD};

		HF_TRY(hf_zstd_compare(z->zstd, packed, given, &is_same));
	} else if (is_same && given.len > 0) {
		is_same = memcmp(z->opened.p, given.p, given.len) == 0;
	}
	if (is_same)
		return NULL;
	return hf_err(HF_ECORRUPT,
		"blob %s did not open as it was sealed: this machine computes wrongly",
		hf_id_hex(&e->blob.id).s);
}

static unsigned
toss(struct hf_sealer *z)
{
	if (z->coin <= 1) {
		hf_random(&z->coin, sizeof z->coin);
		z->coin |= UINT64_C(1) << 63;
	}
	unsigned bit = z->coin & 1;
	z->coin >>= 1;
	return bit;
}

/* Appends to one of the open packs; hands on the pack when that makes it full. */
static struct hf_err *
append(struct hf_sealer *z, const struct hf_pack_entry *e, struct hf_bytes sealed)
{
	struct hf_saver *s = z->saver;
	struct slot *slot = &s->slots[e->blob.type][toss(z) % OPEN_PACKS];
	struct builder *full = NULL;

	if (e->length >= s->pack_size) { /* a pack of its own */
		full = builder_get(s);
		struct hf_err *err = builder_add(full, sealed, e);
		if (err != NULL) {
			builder_free(full);
			return err;
		}
		return saver_queue_pack(s, full);
	}
	pthread_mutex_lock(&slot->lock);
	if (slot->open == NULL)
		slot->open = builder_get(s);
	struct hf_err *err = builder_add(slot->open, sealed, e);
	if (err == NULL && builder_is_full(s, slot->open))
		full = hf_steal(slot->open);
	pthread_mutex_unlock(&slot->lock);
	HF_TRY(err);
	return full != NULL ? saver_queue_pack(s, full) : NULL;
}

static void
count(struct hf_saver *s, const struct hf_pack_entry *e)
{
	uint64_t cost = e->length + hf_pack_entry_len(e);
	enum hf_blob_type type = e->blob.type;

	atomic_fetch_add_explicit(&s->blobs[type], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->bytes[type], hf_entry_size(e), memory_order_relaxed);
	atomic_fetch_add_explicit(&s->packed[type], cost, memory_order_relaxed);
}

static struct hf_err *
check_size(const struct hf_pack_entry *e, size_t len)
{
	if (len > UINT32_MAX - (1 << 24))
		return hf_err(HF_EFATAL, "a %s of %zu bytes is more than a repository can hold",
			hf_blob_type_text(e->blob.type), len);
	return NULL;
}

/* Seals the payload, proves it by what was given, appends it and counts it. */
static struct hf_err *
finish(struct hf_sealer *z, struct hf_pack_entry *e, struct hf_bytes payload,
	struct hf_bytes given, bool is_packed)
{
	e->length = (uint32_t)payload.len + HF_SEAL_OVERHEAD;
	hf_aead_seal(z->aead, payload, z->sealed.p);
	if (!hf_repo_opts(z->saver->repo)->no_extra_verify)
		HF_TRY(verify(z, e, given, is_packed));
	HF_TRY(append(z, e, (struct hf_bytes){z->sealed.p, e->length}));
	count(z->saver, e);
	return NULL;
}

/* The blob of which `e` has the name, and gets the rest. */
static struct hf_err *
save(struct hf_sealer *z, struct hf_pack_entry *e, struct hf_bytes plain)
{
	struct hf_bytes payload;

	HF_TRY(check_size(e, plain.len));
	HF_TRY(compress(z, e->blob.type, plain, &payload, &e->raw_length));
	return finish(z, e, payload, plain, false);
}

struct hf_err *
hf_sealer_save(struct hf_sealer *z, enum hf_blob_type type, struct hf_bytes plain,
	struct hf_id *id, uint64_t *stored)
{
	const struct hf_blob blob = {.id = hf_sha256(plain), .type = type};

	*id = blob.id;
	return hf_sealer_save_named(z, &blob, plain, stored);
}

struct hf_err *
hf_sealer_save_named(struct hf_sealer *z, const struct hf_blob *blob, struct hf_bytes plain,
	uint64_t *stored)
{
	struct hf_pack_entry e = {.blob = *blob};

	if (stored != NULL)
		*stored = 0;
	if (hf_index_claim(z->saver->ix, blob) != HF_CLAIM_NEW)
		return NULL;
	if (z->saver->loose != NULL)
		return hf_loose_add(z->saver->loose, z->saver->ix, blob, plain);
	HF_TRY(save(z, &e, plain));
	if (stored != NULL)
		*stored = e.length + hf_pack_entry_len(&e);
	return NULL;
}

struct hf_err *
hf_sealer_save_packed(struct hf_sealer *z, const struct hf_blob *blob, struct hf_bytes packed,
	uint32_t raw_length)
{
	struct hf_pack_entry e = {.blob = *blob, .raw_length = raw_length};

	if (hf_index_claim(z->saver->ix, blob) != HF_CLAIM_NEW)
		return NULL;
	HF_TRY(check_size(&e, packed.len));
	z->sealed.len = 0;
	HF_TRY(hf_buf_resize(&z->sealed, packed.len + HF_SEAL_OVERHEAD));
	return finish(z, &e, packed, packed, true);
}

struct hf_err *
hf_sealer_move(struct hf_sealer *z, const struct hf_pack_entry *e, struct hf_bytes sealed)
{
	HF_TRY(append(z, e, sealed));
	count(z->saver, e);
	return NULL;
}

struct hf_err *
hf_sealer_remake(struct hf_sealer *z, const struct hf_blob *blob, struct hf_bytes plain)
{
	struct hf_pack_entry e = {.blob = *blob};

	return save(z, &e, plain);
}
