/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/endian.h"
#include "base/time.h"
#include "codec/sha256.h"
#include "repo/saver_i.h"

enum {
	INDEX_BLOBS = 50000,
	/* Bytes over the size of packs that the last two may come to, at most. */
	LAST_MORE = 4 << 20,
	INDEX_AGE_S = 600,
	MAX_UPLOADS = 128, /* threads, however many connections there may be */
	SPARE_BUILDERS = 1,
};

void
builder_free(void *arg)
{
	struct builder *b = arg;

	if (b == NULL)
		return;
	hf_buf_clear(&b->bytes);
	hf_pack_entries_clear(&b->entries);
	free(b);
}

/* Fresh packs come from the spares: their memory is already mapped and touched. */
struct builder *
builder_get(struct hf_saver *s)
{
	pthread_mutex_lock(&s->lock);
	struct builder *b = s->spares;
	if (b != NULL) {
		s->spares = b->next;
		s->n_spares--;
	}
	pthread_mutex_unlock(&s->lock);
	if (b != NULL)
		return b;
	b = hf_new(struct builder);
	b->bytes = (struct hf_buf){.max = SIZE_MAX / 2, .spill = PACK_SPILL};
	return b;
}

static void
builder_put(struct hf_saver *s, struct builder *b)
{
	hf_buf_reset(&b->bytes);
	b->entries.len = 0;
	pthread_mutex_lock(&s->lock);
	bool keep = s->n_spares < SPARE_BUILDERS && !b->bytes.in_file;
	if (keep) {
		b->next = s->spares;
		s->spares = b;
		s->n_spares++;
	}
	pthread_mutex_unlock(&s->lock);
	if (!keep)
		builder_free(b);
}

bool
builder_is_full(const struct hf_saver *s, const struct builder *b)
{
	return b->bytes.len >= s->pack_size || b->entries.len >= HF_PACK_MAX_ENTRIES;
}

struct hf_err *
builder_add(struct builder *b, struct hf_bytes sealed, const struct hf_pack_entry *e)
{
	struct hf_pack_entry at = *e;

	if (b->bytes.len + sealed.len > UINT32_MAX)
		return hf_err(HF_EFATAL, "blob %s does not fit into a pack",
			hf_id_hex(&e->blob.id).s);
	at.offset = (uint32_t)b->bytes.len;
	HF_TRY(hf_buf_reserve(&b->bytes, sealed.len));
	hf_buf_add(&b->bytes, sealed.p, sealed.len);
	hf_pack_entries_add(&b->entries, &at);
	return NULL;
}

/* Appends the sealed header and its length: the pack is complete. */
static struct hf_err *
builder_seal(struct builder *b, struct hf_aead *aead, bool verify)
{
	hf_auto(hf_buf) head = HF_BUF_MAX(HF_PACK_MAX_HEADER),
			again = HF_BUF_MAX(HF_PACK_MAX_HEADER);

	hf_pack_header_add(&head, &b->entries);
	HF_TRY(hf_buf_ok(&head));
	size_t sealed = head.len + HF_SEAL_OVERHEAD;
	HF_TRY(hf_buf_reserve(&b->bytes, sealed + 4));
	uint8_t *p = b->bytes.p + b->bytes.len;
	hf_aead_seal(aead, hf_buf_bytes(&head), p);
	hf_put_le32(p + sealed, (uint32_t)sealed);
	b->bytes.len += sealed + 4;
	if (!verify)
		return NULL;
	HF_TRY(hf_buf_resize(&again, head.len));
	if (!hf_aead_open(aead, (struct hf_bytes){p, sealed}, again.p) ||
		memcmp(again.p, head.p, head.len) != 0)
		return hf_err(HF_ECORRUPT, "a pack header did not open as it was sealed: "
					   "this machine computes wrongly");
	return NULL;
}

/*
 * Unless somebody has, in the time that `has_looked` goes by. HF_ELOST: it is gone. When it cannot be
 * found out now, the look behind the snapshot decides.
 */
static struct hf_err *
look_for_lock(struct hf_saver *s, bool (*has_looked)(struct hf_lease *))
{
	if (s->lease == NULL || has_looked(s->lease))
		return NULL;
	struct hf_err *e = hf_lease_verify(s->lease);

	if (e == NULL || hf_err_code(e) == HF_ELOST)
		return e;
	hf_err_free(e);
	return NULL;
}

/*
 * Writes the packs that wait as one index file. Only with s->lock free. Behind the last one, whoever
 * writes it, hf_saver_flush() looks for the lock; for those in between a refresh has to do, which has
 * the same listings.
 */
static struct hf_err *
save_index(struct hf_saver *s, struct hf_index_pack *packs, size_t n)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_INDEX_FILE);
	struct hf_id id;

	hf_index_json(&json, packs, n);
	HF_TRY(hf_buf_ok(&json));
	if (s->is_dry_run)
		return NULL;
	/*
	 * Looked for before as well, unless the refreshes have: who took us for dead may have
	 * condemned these packs, and an index file that names them would lead others astray until
	 * it is repaired.
	 */
	HF_TRY(look_for_lock(s, hf_lease_looked_lately));
	HF_TRY(hf_repo_save(s->repo, HF_INDEX, hf_buf_bytes(&json), &id));
	hf_index_add_file(s->ix, &id);
	hf_trail_file(s->trail, &id, packs, n, hf_lease_looks(s->lease));
	atomic_store(&s->must_look, true);
	hf_trail_confirm(s->trail, hf_lease_seen(s->lease));
	return NULL;
}

static void
free_index_packs(struct hf_index_pack *packs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hf_pack_entries_clear(&packs[i].entries);
	free(packs);
}

/* Takes what waits for an index file if it is much, or old, or `all`, and writes it. */
static struct hf_err *
flush_index(struct hf_saver *s, bool all)
{
	pthread_mutex_lock(&s->lock);
	bool due = all || s->unsaved_blobs >= INDEX_BLOBS ||
		   (s->n_unsaved > 0 && hf_clock() - s->unsaved_since > INDEX_AGE_S);
	struct hf_index_pack *packs = s->unsaved;
	size_t n = s->n_unsaved;
	if (due) {
		s->unsaved = NULL;
		s->n_unsaved = s->cap_unsaved = s->unsaved_blobs = 0;
	}
	pthread_mutex_unlock(&s->lock);
	if (!due || n == 0)
		return NULL;
	struct hf_err *e = save_index(s, packs, n);

	free_index_packs(packs, n);
	return e;
}

static void
remember_pack(struct hf_saver *s, const struct hf_id *id, struct builder *b)
{
	pthread_mutex_lock(&s->lock);
	if (s->n_unsaved == s->cap_unsaved) {
		s->cap_unsaved = s->cap_unsaved ? 2 * s->cap_unsaved : 64;
		s->unsaved = hf_realloc_array(s->unsaved, s->cap_unsaved, sizeof s->unsaved[0]);
	}
	if (s->n_unsaved == 0)
		s->unsaved_since = hf_clock();
	s->unsaved_blobs += b->entries.len;
	s->unsaved[s->n_unsaved++] = (struct hf_index_pack){.id = *id, .entries = b->entries};
	b->entries = (struct hf_pack_entries){0};
	pthread_mutex_unlock(&s->lock);
}

static struct hf_err *
upload_pack(struct hf_saver *s, struct hf_aead *aead, struct builder *b)
{
	HF_TRY(builder_seal(b, aead, !hf_repo_opts(s->repo)->no_extra_verify));
	struct hf_name name = {.kind = HF_PACK,
		.id = hf_sha256(hf_buf_bytes(&b->bytes)),
		.is_meta = b->entries.len > 0 && b->entries.v[0].blob.type == HF_TREE};

	if (!s->is_dry_run) {
		/* Before: it may be there also when the answer is lost. */
		hf_trail_pack(s->trail, &name.id);
		HF_TRY(hf_store_put(hf_repo_store(s->repo), &name, hf_buf_bytes(&b->bytes)));
	}
	hf_index_add_pack(s->ix, &name.id, b->entries.v, b->entries.len);
	remember_pack(s, &name.id, b);
	return flush_index(s, false);
}

static struct hf_err *
upload_loop(void *arg)
{
	struct hf_saver *s = arg;
	hf_autoptr(hf_aead) aead = hf_aead_new(hf_repo_key(s->repo));
	struct builder *b;

	while ((b = hf_queue_pop(s->packs)) != NULL) {
		struct hf_err *e = upload_pack(s, aead, b);

		builder_put(s, b);
		pthread_mutex_lock(&s->lock);
		s->n_full--;
		pthread_cond_signal(&s->room);
		pthread_mutex_unlock(&s->lock);
		HF_TRY(e);
	}
	return NULL;
}

static void
upload_stop(void *arg)
{
	struct hf_saver *s = arg;

	hf_queue_close(s->packs); /* those who add packs notice */
	pthread_mutex_lock(&s->lock);
	s->is_stopped = true;
	pthread_cond_broadcast(&s->room);
	pthread_mutex_unlock(&s->lock);
}

struct hf_err *
saver_queue_pack(struct hf_saver *s, struct builder *b)
{
	pthread_mutex_lock(&s->lock);
	while (s->n_full >= s->max_full && !s->is_stopped)
		pthread_cond_wait(&s->room, &s->lock);
	s->n_full++;
	pthread_mutex_unlock(&s->lock);
	if (hf_queue_push(s->packs, b))
		return NULL;
	builder_free(b);
	return hf_err(HF_ECANCELED, "uploading has stopped");
}

struct hf_err *
hf_saver_new(struct hf_repo *repo, struct hf_index *ix, const struct hf_saver_options *options,
	struct hf_saver **out)
{
	hf_autoptr(hf_saver) s = hf_new(struct hf_saver);
	unsigned allowed = hf_store_connections(hf_repo_store(repo));
	unsigned connections = allowed < MAX_UPLOADS ? allowed : MAX_UPLOADS;

	s->repo = repo;
	s->ix = ix;
	s->lease = options->lease;
	s->trail = options->trail;
	s->is_dry_run = options->is_dry_run;
	s->loose = options->loose;
	if (s->loose != NULL)
		hf_index_set_loose(ix, s->loose);
	s->pack_size = hf_repo_opts(repo)->pack_size;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->room, NULL);
	for (int t = 0; t < 2; t++)
		for (int i = 0; i < OPEN_PACKS; i++)
			pthread_mutex_init(&s->slots[t][i].lock, NULL);
	s->max_full = connections;
	s->packs = hf_queue_new(connections, builder_free);
	s->threads = hf_group_new(upload_stop, s);
	for (unsigned i = 0; i < connections; i++)
		HF_TRY(hf_group_go(s->threads, "upload", upload_loop, s));
	*out = hf_steal(s);
	return NULL;
}

void
hf_saver_free(struct hf_saver *s)
{
	if (s == NULL)
		return;
	hf_queue_close(s->packs);
	hf_group_free(s->threads);
	hf_queue_free(s->packs);
	for (int t = 0; t < 2; t++)
		for (int i = 0; i < OPEN_PACKS; i++) {
			builder_free(s->slots[t][i].open);
			pthread_mutex_destroy(&s->slots[t][i].lock);
		}
	for (struct builder *b = s->spares, *next; b != NULL; b = next) {
		next = b->next;
		builder_free(b);
	}
	free_index_packs(s->unsaved, s->n_unsaved);
	pthread_cond_destroy(&s->room);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Appends the blobs of `b` to `to`. */
static struct hf_err *
merge(struct builder *to, const struct builder *b)
{
	for (size_t i = 0; i < b->entries.len; i++) {
		const struct hf_pack_entry *e = &b->entries.v[i];
		struct hf_bytes sealed = {b->bytes.p + e->offset, e->length};

		HF_TRY(builder_add(to, sealed, e));
	}
	return NULL;
}

/* A quarter too much is one request less here and for each reader; the last blob of a pack can add more. */
static bool
fit_together(const struct hf_saver *s, const struct builder *a, const struct builder *b)
{
	size_t more = s->pack_size / 4 < LAST_MORE ? s->pack_size / 4 : LAST_MORE;

	return a->bytes.len + b->bytes.len < s->pack_size + more &&
	       a->entries.len + b->entries.len <= HF_PACK_MAX_ENTRIES;
}

static struct hf_err *
flush_slots(struct hf_saver *s, struct slot slots[OPEN_PACKS])
{
	struct builder *a = hf_steal(slots[0].open), *b = hf_steal(slots[1].open);

	if (a != NULL && b != NULL && fit_together(s, a, b)) {
		struct hf_err *e = merge(a, b);

		builder_free(hf_steal(b));
		if (e != NULL) {
			builder_free(a);
			return e;
		}
	}
	struct hf_err *e = a != NULL ? saver_queue_pack(s, a) : NULL;
	if (e != NULL) {
		builder_free(b);
		return e;
	}
	return b != NULL ? saver_queue_pack(s, b) : NULL;
}

static struct hf_err *
end_index(struct hf_saver *s)
{
	HF_TRY(flush_index(s, true));
	if (!atomic_load(&s->must_look))
		return NULL;
	HF_TRY(look_for_lock(s, hf_lease_looked_just_now));
	hf_trail_confirm(s->trail, hf_lease_seen(s->lease));
	return NULL;
}

struct hf_err *
hf_saver_flush(struct hf_saver *s)
{
	struct hf_err *e = flush_slots(s, s->slots[HF_DATA]);

	if (e == NULL)
		e = flush_slots(s, s->slots[HF_TREE]);
	hf_queue_close(s->packs);
	struct hf_err *upload = hf_group_wait(s->threads);
	if (upload != NULL) { /* the cause; e is only its echo */
		hf_err_free(e);
		e = upload;
	}
	if (e == NULL)
		return end_index(s);
	/*
	 * On a full disk a small file may still find room, and then the next run continues after
	 * the packs that are there. Without an index it would store them all a second time.
	 */
	hf_err_free(flush_index(s, true));
	return e;
}

struct hf_saver_stats
hf_saver_stats(const struct hf_saver *s)
{
	return (struct hf_saver_stats){
		.data_blobs = atomic_load(&s->blobs[HF_DATA]),
		.tree_blobs = atomic_load(&s->blobs[HF_TREE]),
		.data_bytes = atomic_load(&s->bytes[HF_DATA]),
		.tree_bytes = atomic_load(&s->bytes[HF_TREE]),
		.data_bytes_packed = atomic_load(&s->packed[HF_DATA]),
		.tree_bytes_packed = atomic_load(&s->packed[HF_TREE]),
	};
}
