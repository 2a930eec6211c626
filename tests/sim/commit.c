/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A backup and a prune, reduced to what they write: packs that name their blobs, index files,
 * snapshots that name the blobs that they need. Index and trail are the program's own; the order
 * of things is that of engine/backup.c, and of model/commit.pml for the prune.
 */
#include "repo/trail.h"
#include "sim/cast.h"

enum {
	MAX_GOOD = 16,
	MAX_ROUNDS = 5, /* of a backup, as there */
	SHARED = 2,     /* blobs that every backup needs; they are in old packs already */
	OWN = 2,        /* and that it has alone */
	NEEDS = SHARED + OWN,
	TRIES = 4,
	MAX_CONDEMNED = 64,
};

unsigned commits_good;
static bool commits_hurt; /* a prune died half-way: its index is to be repaired by hand */
static struct {
	struct hf_id snapshot;
	struct hf_id blobs[NEEDS];
} good[MAX_GOOD];

static struct hf_id
blob_of(unsigned actor, unsigned n)
{
	return (struct hf_id){{1, (uint8_t)actor, (uint8_t)n}};
}

/* ---- what is so ---- */

static bool
holds_blob(const struct depot_file *f, const struct hf_id *blob)
{
	for (size_t i = 0; i + sizeof *blob <= f->len; i += sizeof *blob)
		if (memcmp(f->data + i, blob, sizeof *blob) == 0)
			return true;
	return false;
}

static bool
is_there(const struct hf_id *blob)
{
	struct depot_file *f;

	for (unsigned i = 0; (f = depot_nth(HF_PACK, i)) != NULL; i++)
		if (holds_blob(f, blob))
			return true;
	return false;
}

static void
check_good(const struct hf_name *name)
{
	for (unsigned i = 0; i < commits_good && name->kind == HF_PACK; i++)
		for (unsigned k = 0; k < NEEDS; k++)
			if (depot_find(&(struct hf_name){HF_SNAPSHOT, good[i].snapshot}) !=
					NULL &&
				!is_there(&good[i].blobs[k]))
				world_fail("I4: a good backup has lost its blob %u %s %.6s", k,
					hf_id_is_zero(&name->id) ? "before it is reported"
								 : "with pack",
					hf_id_hex(&name->id).s);
}

/* Found by way of an index file, in a pack that is there. */
static bool
is_readable(struct hf_index *ix, const struct hf_id *blob)
{
	struct hf_blob b = {*blob, HF_DATA};
	struct hf_location at;

	for (unsigned nth = 0; hf_index_find(ix, &b, nth, &at); nth++)
		if (depot_find(&(struct hf_name){HF_PACK, at.pack}) != NULL)
			return true;
	return false;
}

static void
add_file_to(struct hf_index *ix, struct hf_repo *repo, const struct depot_file *f)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	struct hf_err *e = hf_repo_load(repo, &f->name, &json);

	if (e == NULL)
		e = hf_index_parse(ix, hf_buf_bytes(&json), 1);
	if (e != NULL)
		abort();
}

void
commit_check(void)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct depot_file *f;

	oracle_data_deleted = NULL;
	for (unsigned i = 0; (f = depot_nth(HF_INDEX, i)) != NULL; i++)
		add_file_to(ix, world.actors[0].repo, f);
	for (unsigned i = 0; i < commits_good; i++) {
		if (depot_find(&(struct hf_name){HF_SNAPSHOT, good[i].snapshot}) == NULL)
			world_fail("I4: a good backup is gone");
		for (unsigned k = 0; k < NEEDS; k++)
			if (!commits_hurt && !is_readable(ix, &good[i].blobs[k]))
				world_fail("I4: blob %u of a good backup cannot be found", k);
	}
}

static void
random_id(struct hf_id *id)
{
	for (size_t i = 0; i < sizeof *id; i++)
		id->b[i] = (uint8_t)dice();
}

/* ---- packs and index files ---- */

static struct hf_err *
save_index(struct hf_repo *repo, const struct hf_id *packs, const struct hf_id *blobs, size_t n,
	struct hf_id *file)
{
	struct hf_index_pack v[NEEDS + 1] = {0};
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	struct hf_err *e = NULL;

	for (size_t i = 0; i < n; i++) {
		TRACE("  index: blob %u of %u in %.6s", blobs[i].b[2], blobs[i].b[1],
			hf_id_hex(&packs[i]).s);
		struct hf_pack_entry entry = {{blobs[i], HF_DATA}, 0, 64, 0};

		v[i].id = packs[i];
		hf_pack_entries_add(&v[i].entries, &entry);
	}
	hf_index_json(&json, v, n);
	for (int i = 0; i < TRIES; i++) {
		hf_err_free(e);
		e = hf_repo_save(repo, HF_INDEX, hf_buf_bytes(&json), file);
		if (e == NULL || hf_err_code(e) != HF_EIO)
			break;
	}
	for (size_t i = 0; i < n; i++)
		hf_pack_entries_clear(&v[i].entries);
	return e;
}

static struct hf_err *
put(struct hf_repo *repo, const struct hf_name *name, struct hf_bytes data)
{
	struct hf_err *e = NULL;

	for (int i = 0; i < TRIES; i++) {
		hf_err_free(e);
		e = hf_store_put(hf_repo_store(repo), name, data);
		if (e == NULL || hf_err_code(e) != HF_EIO)
			break;
	}
	return e;
}

/* Old packs with what every backup needs, in an index; no snapshot wants them yet. */
void
commit_begin(void)
{
	struct hf_repo *repo = world.actors[0].repo;
	struct hf_id packs[SHARED], blobs[SHARED], file;
	struct hf_err *e = NULL;

	commits_good = 0;
	commits_hurt = false;
	oracle_data_deleted = check_good;
	for (unsigned i = 0; i < SHARED && e == NULL; i++) {
		random_id(&packs[i]);
		blobs[i] = blob_of(0, i);
		e = put(repo, &(struct hf_name){HF_PACK, packs[i]},
			(struct hf_bytes){blobs[i].b, sizeof blobs[i]});
	}
	if (e == NULL)
		e = save_index(repo, packs, blobs, SHARED, &file);
	if (e != NULL)
		abort();
}

/* ---- backup ---- */

struct backup {
	struct actor *a;
	const struct plan *p;
	struct claim *claim;
	struct hf_index *ix;
	struct hf_trail *trail;
	struct hf_id blobs[NEEDS];
	struct hf_id packs[NEEDS]; /* those that an earlier round has uploaded */
	struct hf_id suspects[MAX_ROUNDS];
	unsigned n_suspects;
};

/* What the index does not know, in a pack each, and an index file that names them. */
static struct hf_err *
upload(struct backup *b)
{
	struct hf_id packs[NEEDS], blobs[NEEDS], file;
	size_t n = 0;

	for (unsigned i = 0; i < NEEDS; i++) {
		struct hf_blob blob = {b->blobs[i], HF_DATA};
		struct hf_location at;
		uint64_t size;

		if (hf_index_find(b->ix, &blob, 0, &at))
			continue;
		struct hf_name name = {HF_PACK, b->packs[i]};
		hf_autoptr(hf_err) gone =
			hf_store_stat(hf_repo_store(b->a->repo), &name, &size);
		if (gone != NULL || world.mutation != MUT_TRUSTS_PACKS) {
			random_id(&name.id);
			/* Before: it may be there also when the answer is lost. */
			hf_trail_pack(b->trail, &name.id);
			HF_TRY(put(b->a->repo, &name,
				(struct hf_bytes){blob.id.b, sizeof blob.id}));
		}
		b->packs[i] = packs[n] = name.id;
		blobs[n++] = blob.id;
		world_sleep(dice_below(b->p->hold));
	}
	if (n == 0)
		return NULL;
	HF_TRY(save_index(b->a->repo, packs, blobs, n, &file));
	hf_index_add_file(b->ix, &file);
	struct hf_index_pack named[NEEDS] = {0};
	for (size_t i = 0; i < n; i++)
		named[i].id = packs[i];
	hf_trail_file(b->trail, &file, named, n, hf_lease_looks(b->claim->lease));
	/* As behind the last index file, or as behind one in between. */
	hf_autoptr(hf_err) e = dice_below(2) < 1 ? hf_lease_verify(b->claim->lease) : NULL;
	hf_trail_confirm(b->trail, hf_lease_seen(b->claim->lease));
	return e != NULL && hf_err_code(e) == HF_ELOST ? hf_steal(e) : NULL;
}

static struct hf_err *
validate(struct backup *b)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	HF_TRY(hf_lease_validate(b->claim->lease));
	HF_TRY(hf_repo_list(b->a->repo, HF_INDEX, &ids, NULL, &n));
	if (hf_index_lost(b->ix, ids, n) > 0)
		return hf_err(HF_ELOST, "index files were removed");
	return NULL;
}

static struct hf_err *
one_round(struct backup *b, struct hf_id *snapshot)
{
	struct hf_name name = {.kind = HF_SNAPSHOT};
	struct hf_err *e = NULL;

	b->ix = hf_index_new();
	hf_index_distrust(b->ix, world.mutation == MUT_TRUSTS_PACKS ? NULL : b->trail);
	HF_TRY(hf_index_load(b->a->repo, b->ix, &b->a->stop, NULL, NULL));
	world_sleep(dice_below(b->p->hold));
	HF_TRY(upload(b));
	if (world.mutation == MUT_EARLY_LOOK)
		HF_TRY(validate(b));
	random_id(&name.id);
	HF_TRY(put(
		b->a->repo, &name, (struct hf_bytes){(const void *)b->blobs, sizeof b->blobs}));
	*snapshot = b->suspects[b->n_suspects++] = name.id;
	world_sleep(dice_below(b->p->hold));
	for (int i = 0; i < TRIES; i++) {
		if (world.mutation == MUT_EARLY_LOOK || world.mutation == MUT_NO_VALIDATION)
			return NULL;
		hf_err_free(e);
		e = validate(b);
		if (e == NULL || hf_err_code(e) != HF_EIO)
			break;
	}
	return e;
}

/* A new lock before the old one is given back, as cli/session.c does. */
static struct hf_err *
begin_again(struct backup *b)
{
	struct claim *old = b->claim, *next;

	hf_index_free(b->ix);
	b->ix = NULL;
	if (world.mutation != MUT_LATER_CHAIN)
		hf_trail_lost(b->trail, hf_lease_seen(old->lease));
	HF_TRY(claim_take(b->a, false, b->p, &next));
	b->claim = next;
	if (world.mutation == MUT_LATER_CHAIN)
		hf_trail_confirm(b->trail, UINT64_MAX); /* the new lock is there, after all */
	hf_err_free(claim_give_back(old));
	return hf_trail_repair(b->trail, b->a->repo);
}

static void
delete_suspects(struct backup *b, const struct hf_id *keep)
{
	for (unsigned i = 0; i < b->n_suspects; i++) {
		struct hf_name name = {HF_SNAPSHOT, b->suspects[i]};

		if (keep != NULL && hf_id_eq(keep, &name.id))
			continue;
		hf_lease_disown(b->claim->lease, &name);
		b->a->disowned = name.id;
		hf_err_free(hf_store_del(hf_repo_store(b->a->repo), &name));
	}
}

static void
report_good(struct backup *b, const struct hf_id *snapshot)
{
	TRACE("reports a good backup, snapshot %.6s", hf_id_hex(snapshot).s);
	if (b->a->is_dead || commits_good == MAX_GOOD)
		return;
	memcpy(good[commits_good].blobs, b->blobs, sizeof b->blobs);
	good[commits_good++].snapshot = *snapshot;
	check_good(&(struct hf_name){.kind = HF_PACK});
}

static void
back_up(struct backup *b)
{
	struct hf_id snapshot;
	struct hf_err *e = one_round(b, &snapshot);

	for (int i = 1; e != NULL && hf_err_code(e) == HF_ELOST && i < MAX_ROUNDS; i++) {
		TRACE("begins again: %s", hf_err_text(e));
		hf_err_free(e);
		e = begin_again(b);
		if (e == NULL)
			e = one_round(b, &snapshot);
	}
	if (e == NULL)
		report_good(b, &snapshot);
	else
		TRACE("backup fails: %s", hf_err_text(e));
	delete_suspects(b, e == NULL ? &snapshot : NULL);
	hf_err_free(e);
}

void
backup_main(struct actor *a)
{
	struct backup b = {.a = a, .p = a->plan, .trail = hf_trail_new()};

	for (unsigned i = 0; i < NEEDS; i++)
		b.blobs[i] = blob_of(i < SHARED && a->index == 0 ? 0 : a->index + 1, i);
	world_sleep(b.p->start);
	struct hf_err *e = claim_take(a, false, b.p, &b.claim);
	if (e == NULL) {
		back_up(&b);
		e = claim_give_back(b.claim);
	}
	hf_err_free(e);
	hf_index_free(b.ix);
	hf_trail_free(b.trail);
}

/* ---- prune ---- */

struct prune {
	struct actor *a;
	const struct plan *p;
	struct claim *claim;
	struct hf_id condemned[MAX_CONDEMNED];
	unsigned n;
	struct hf_id lost_packs[MAX_CONDEMNED], lost_blobs[MAX_CONDEMNED]; /* unindexed */
	unsigned n_lost;
	struct hf_id *used; /* blobs */
	size_t n_used;
};

static bool
is_used(const struct prune *p, const struct hf_id *blob)
{
	for (size_t i = 0; i < p->n_used; i++)
		if (hf_id_eq(&p->used[i], blob))
			return true;
	return false;
}

static void
condemn(struct prune *p, const struct hf_id *pack)
{
	if (p->n < MAX_CONDEMNED)
		p->condemned[p->n++] = *pack;
}

static struct hf_err *
find_used(struct prune *p)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	HF_TRY(hf_repo_list(p->a->repo, HF_SNAPSHOT, &ids, NULL, &n));
	free(p->used);
	p->n_used = 0;
	p->used = hf_alloc_(n * NEEDS + 1, sizeof *p->used);
	for (size_t i = 0; i < n; i++) {
		hf_auto(hf_buf) data = HF_BUF_MAX(1 << 16);
		struct hf_name name = {HF_SNAPSHOT, ids[i]};
		struct hf_err *e =
			hf_store_get(hf_repo_store(p->a->repo), &name, 0, SIZE_MAX, &data);

		if (e != NULL) {
			HF_TRY(hf_err_ignore(e, HF_ENOTFOUND));
			continue;
		}
		memcpy(&p->used[p->n_used], data.p, data.len);
		p->n_used += data.len / sizeof *p->used;
	}
	return NULL;
}

/* Packs that no index names. */
static struct hf_err *
find_unindexed(struct prune *p, struct hf_index *ix)
{
	hf_autofree struct hf_id *ids = NULL;
	uint32_t number;
	size_t n;

	HF_TRY(hf_repo_list(p->a->repo, HF_PACK, &ids, NULL, &n));
	for (size_t i = 0; i < n; i++)
		if (!hf_index_find_pack(ix, &ids[i], &number))
			condemn(p, &ids[i]);
	return NULL;
}

/* Takes out of one index file the packs that are not needed. */
static struct hf_err *
clean_file(struct prune *p, const struct hf_id *file)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_name name = {HF_INDEX, *file};
	struct hf_id packs[NEEDS], blobs[NEEDS], id;
	unsigned kept = 0, dropped = 0;

	HF_TRY(hf_repo_load(p->a->repo, &name, &json));
	HF_TRY(hf_index_parse(ix, hf_buf_bytes(&json), 1));
	for (size_t i = 0; i < hf_index_len(ix) && kept < NEEDS; i++) {
		struct hf_blob blob;
		struct hf_location at;

		if (!hf_index_entry(ix, i, &blob, &at))
			continue;
		if (!is_used(p, &blob.id)) {
			condemn(p, &at.pack);
			if (p->n_lost < MAX_CONDEMNED) {
				p->lost_packs[p->n_lost] = at.pack;
				p->lost_blobs[p->n_lost++] = blob.id;
			}
			dropped++;
			continue;
		}
		packs[kept] = at.pack;
		blobs[kept++] = blob.id;
	}
	if (dropped == 0)
		return NULL;
	if (kept > 0)
		HF_TRY(save_index(p->a->repo, packs, blobs, kept, &id));
	return hf_err_ignore(hf_store_del(hf_repo_store(p->a->repo), &name), HF_ENOTFOUND);
}

/* Unindexed before deleted, and in between a look at the own lock (D5). */
static struct hf_err *
prune(struct prune *p)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	hf_autofree struct hf_id *files = NULL;
	struct hf_location at;
	size_t n;

	HF_TRY(hf_repo_list(p->a->repo, HF_INDEX, &files, NULL, &n));
	HF_TRY(hf_index_load(p->a->repo, ix, &p->a->stop, NULL, NULL));
	HF_TRY(find_unindexed(p, ix));
	HF_TRY(find_used(p));
	/* Another prune may have taken it out, and not yet put it back. */
	for (size_t i = 0; i < p->n_used; i++)
		if (!hf_index_find(ix, &(struct hf_blob){p->used[i], HF_DATA}, 0, &at))
			return hf_err(HF_ECORRUPT, "the index lacks what a snapshot needs");
	world_sleep(dice_below(p->p->hold));
	for (size_t i = 0; i < n; i++)
		HF_TRY(clean_file(p, &files[i]));
	world_sleep(dice_below(p->p->hold));
	for (unsigned i = 0; i < p->n; i++) {
		struct hf_name name = {HF_PACK, p->condemned[i]};

		if (i % 3 == 0 && world.mutation != MUT_RASH_PRUNE)
			HF_TRY(hf_lease_verify(p->claim->lease));
		HF_TRY(hf_err_ignore(
			hf_store_del(hf_repo_store(p->a->repo), &name), HF_ENOTFOUND));
	}
	return NULL;
}

/*
 * What was taken out of the index before the lock was lost may be needed by a backup that came
 * since: it goes back in, under a new lock.
 */
static struct hf_err *
put_back(struct prune *p)
{
	HF_TRY(find_used(p));
	for (unsigned i = 0; i < p->n_lost; i++) {
		struct hf_name name = {HF_PACK, p->lost_packs[i]};
		struct hf_id file;
		uint64_t size;

		if (!is_used(p, &p->lost_blobs[i]))
			continue;
		struct hf_err *e = hf_store_stat(hf_repo_store(p->a->repo), &name, &size);
		if (e == NULL)
			e = save_index(p->a->repo, &name.id, &p->lost_blobs[i], 1, &file);
		HF_TRY(hf_err_ignore(e, HF_ENOTFOUND));
	}
	return NULL;
}

static void
recover(struct prune *p)
{
	for (int i = 0; i < 2 * TRIES && p->n_lost > 0 && !p->a->is_dead; i++) {
		struct hf_err *e = claim_take(p->a, false, p->p, &p->claim);

		if (e == NULL) {
			e = put_back(p);
			if (e == NULL)
				p->n_lost = 0;
			hf_err_free(e);
			e = claim_give_back(p->claim);
		}
		hf_err_free(e);
	}
	commits_hurt |= p->n_lost > 0;
}

void
prune_main(struct actor *a)
{
	struct prune p = {.a = a, .p = a->plan};

	world_sleep(p.p->start);
	for (unsigned round = 0; round < p.p->rounds && !a->is_dead; round++) {
		struct hf_err *e = claim_take(a, true, p.p, &p.claim);

		p.n = p.n_lost = 0;
		if (e == NULL) {
			e = prune(&p);
			TRACE("prune ends: %s", e != NULL ? hf_err_text(e) : "good");
			if (e == NULL)
				p.n_lost = 0;
			hf_err_free(e);
			e = claim_give_back(p.claim);
			recover(&p);
		}
		hf_err_free(e);
		free(hf_steal(p.used));
		world_sleep(dice_below(p.p->pause + 1));
	}
}
