/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/depot.h"

#include <stdio.h>

#include "sim/oracle.h"

enum { MAX_FILES = 256, MAX_FAILURES = 2, LANDS_LATE = 10 };

/* No call takes no time: who asks again until a moment comes would ask for ever. */
#define TAKES (HF_SECOND / 1000000)

/* How long a caller waits for an answer that does not come. */
#define PATIENCE (45 * HF_SECOND)

static struct depot_file files[MAX_FILES];
static unsigned n_files;

static struct handle {
	struct hf_store store;
	unsigned actor;
} * handles[MAX_ACTORS];

/* ---- the core ---- */

struct depot_file *
depot_find(const struct hf_name *name)
{
	for (unsigned i = 0; i < n_files; i++)
		if (files[i].name.kind == name->kind && hf_id_eq(&files[i].name.id, &name->id))
			return &files[i];
	return NULL;
}

struct depot_file *
depot_nth(enum hf_kind kind, unsigned n)
{
	for (unsigned i = 0; i < n_files; i++)
		if (files[i].name.kind == kind && n-- == 0)
			return &files[i];
	return NULL;
}

static void
drop(struct depot_file *f)
{
	free(f->data);
	*f = files[--n_files];
}

/* Takes `data`. */
static void
land(const struct hf_name *name, uint8_t *data, size_t len, struct claim *claim)
{
	struct depot_file *f = depot_find(name);

	if (f == NULL) {
		if (n_files == MAX_FILES)
			abort();
		f = &files[n_files++];
	} else {
		free(f->data);
	}
	*f = (struct depot_file){
		.name = *name, .data = data, .len = len, .born = world.now, .claim = claim};
}

void
depot_remove(struct depot_file *f, struct actor *by)
{
	struct hf_name name = f->name;
	struct claim *claim = f->claim;

	drop(f);
	oracle_deleted(&name, claim, by);
}

void
depot_begin(void)
{
	for (unsigned i = n_files; i-- > 0;)
		if (files[i].name.kind != HF_CONFIG && files[i].name.kind != HF_KEY)
			drop(&files[i]);
}

void
depot_promise(void)
{
	for (unsigned i = 0; i < MAX_ACTORS; i++) {
		hf_store_set_gate(&handles[i]->store, NULL);
		handles[i]->store.promises = world.lists_at_once ? HF_LISTS_AT_ONCE : 0;
		handles[i]->store.within_s = world.within_s;
	}
}

void
depot_free(void)
{
	while (n_files > 0)
		drop(&files[0]);
}

/* ---- the way there and back ---- */

static struct actor *
actor_of(struct hf_store *s)
{
	return &world.actors[hf_container_of(s, struct handle, store)->actor];
}

static const char *
short_name(const struct hf_name *name)
{
	static char text[32];

	snprintf(
		text, sizeof text, "%s %.6s", hf_kind_text(name->kind), hf_id_hex(&name->id).s);
	return text;
}

/* Outside of a run the store is plain. */
static bool
is_plain(void)
{
	return world.running == NULL;
}

static struct hf_err *
no_answer(void)
{
	return hf_err(HF_EIO, "no answer");
}

static struct hf_err *
dead(void)
{
	return hf_err(HF_EFATAL, "the process is dead");
}

/* Often none at all, so that much happens at the same moment, in any order. */
static int64_t
delay(void)
{
	return dice_say(400) ? 0 : dice_below(world.delay + 1);
}

/* Until the moment in the store. */
static struct hf_err *
go(struct actor *a)
{
	world_point();
	world_sleep(delay());
	if (a->is_dead)
		return dead();
	if (a->host->cut_until > world.now) {
		int64_t left = a->host->cut_until - world.now;

		world_sleep(left < PATIENCE ? left : PATIENCE);
		return a->is_dead ? dead() : no_answer();
	}
	return NULL;
}

/* From there on; `e` is what the store says. */
static struct hf_err *
come(struct actor *a, struct hf_err *e)
{
	world_sleep(delay() + TAKES);
	world_point();
	if (a->is_dead || a->host->cut_until > world.now) {
		hf_err_free(e);
		return a->is_dead ? dead() : no_answer();
	}
	return e;
}

static struct hf_err *
lose(struct actor *a, int64_t after)
{
	world_sleep(after);
	world_point();
	return a->is_dead ? dead() : no_answer();
}

/* ---- put ---- */

static void
arrive(struct event *ev)
{
	TRACE("%s of %s lands%s", short_name(&ev->name), ev->actor->name,
		ev->is_late ? ", late" : "");
	land(&ev->name, hf_steal(ev->data), ev->len, ev->claim);
	oracle_landed(&ev->name, ev->claim, ev->latest);
}

/*
 * The request is on its way, and nothing that happens to its host keeps it from landing. A change
 * that went through a gate is over in time; locks do not ask, and may come much later.
 */
static struct hf_err *
send(struct actor *a, const struct hf_name *name, struct hf_bytes data, int64_t latest)
{
	int64_t most = name->kind == HF_LOCK ? LANDS_LATE * MINUTE : hf_ns(world.within_s);
	bool is_late = dice_say(world.lates), is_lost = dice_say(world.loses);
	int64_t takes = is_late ? dice_below(most) : delay();

	if (takes > most)
		takes = most;
	struct event *ev = world_at(world.now + takes, arrive, a);
	ev->name = *name;
	ev->data = hf_alloc_(data.len + 1, 1);
	ev->len = data.len;
	memcpy(ev->data, data.p, data.len);
	ev->claim = world.running->claim;
	ev->is_late = is_late;
	ev->latest = latest;
	if (is_late || is_lost)
		return lose(a, dice_below(PATIENCE));
	world_sleep(takes + 1);
	return come(a, NULL);
}

/* The last look at the gate, and what an operating system may do right after it. */
static struct hf_err *
pass_again(struct actor *a, struct hf_store *s, const struct hf_name *name, bool is_del,
	size_t size, int64_t *latest)
{
	HF_TRY(hf_store_pass(s, name, is_del, size));
	if (a->is_dead)
		return dead();
	*latest = oracle_sent(a, name, is_del);
	if (dice_say(world.zombies)) {
		TRACE("stops after the gate");
		*latest = NEVER;
		world_sleep(dice_below(50 * MINUTE));
		if (a->is_dead)
			return dead();
	}
	return NULL;
}

static struct hf_err *
depot_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	struct actor *a = actor_of(s);
	int64_t latest = NEVER;

	if (is_plain()) {
		uint8_t *copy = hf_alloc_(data.len + 1, 1);

		memcpy(copy, data.p, data.len);
		land(name, copy, data.len, NULL);
		return NULL;
	}
	if (a->is_dead)
		return dead();
	if (name->kind == HF_LOCK)
		oracle_stamped(world.running->claim, &name->id);
	TRACE("put %s", short_name(name));
	HF_TRY(go(a));
	if (dice_say(world.fails))
		return lose(a, dice_below(PATIENCE));
	if (name->kind != HF_LOCK)
		HF_TRY(pass_again(a, s, name, false, data.len, &latest));
	return send(a, name, data, latest);
}

/* ---- the rest ---- */

static struct hf_err *
absent(void)
{
	return hf_err(HF_ENOTFOUND, "no such file");
}

static struct hf_err *
depot_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	struct actor *a = actor_of(s);

	if (!is_plain()) {
		HF_TRY(go(a));
		if (dice_say(world.fails / 2))
			return lose(a, dice_below(PATIENCE));
	}
	struct depot_file *f = depot_find(name);
	struct hf_err *e = NULL;
	if (f == NULL)
		e = absent();
	else if (off > f->len || (len != SIZE_MAX && len > f->len - off))
		e = hf_err(HF_ECORRUPT, "the file is too short");
	else
		hf_buf_add(out, f->data + off, len == SIZE_MAX ? f->len - off : len);
	return is_plain() ? e : come(a, e);
}

static struct hf_err *
depot_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	struct actor *a = actor_of(s);

	if (!is_plain())
		HF_TRY(go(a));
	struct depot_file *f = depot_find(name);
	struct hf_err *e = f == NULL ? absent() : NULL;
	if (f != NULL)
		*size = f->len;
	return is_plain() ? e : come(a, e);
}

/* What is young may be seen by one reader and not by another; who has seen it goes on to. */
static bool
is_visible(const struct depot_file *f, const struct actor *a)
{
	uint64_t h = f->name.id.b[0] + 256u * f->name.id.b[1] + 65536u * f->name.id.b[2];

	if (world.lag == 0)
		return true;
	h = (h + a->index * 7919u) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
	return world.now - f->born >= (int64_t)(h % (uint64_t)world.lag);
}

/*
 * Entry by entry, as a folder is read: the names are those of the beginning, or came while it was
 * read; what is gone by the time of its turn may be left out or not.
 */
static struct hf_err *
depot_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	struct actor *a = actor_of(s);
	struct hf_name names[MAX_FILES];
	uint64_t sizes[MAX_FILES];
	unsigned n = 0, at;
	bool is_slow = !is_plain() && dice_say(300);

	if (!is_plain()) {
		HF_TRY(go(a));
		if (dice_say(world.fails / 2))
			return lose(a, dice_below(PATIENCE));
	}
	for (unsigned i = 0; i < n_files; i++)
		if (files[i].name.kind == kind && (is_plain() || is_visible(&files[i], a))) {
			names[n] = files[i].name;
			sizes[n++] = files[i].len;
		}
	at = n > 0 ? (unsigned)dice_below(n) : 0;
	for (unsigned i = 0; i < n; i++) {
		unsigned k = (i + at) % n;

		if (is_slow)
			world_sleep(delay());
		if (a->is_dead)
			return dead();
		if (depot_find(&names[k]) != NULL || (is_slow && dice_say(300)))
			HF_TRY(fn(arg, &names[k], sizes[k]));
	}
	TRACE("list %s: %u", hf_kind_folder(kind), n);
	return is_plain() ? NULL : come(a, NULL);
}

static struct hf_err *
depot_del(struct hf_store *s, const struct hf_name *name)
{
	struct actor *a = actor_of(s);
	int64_t latest = NEVER;
	struct depot_file *f;
	struct put *own;

	if (a->is_dead)
		return dead();
	TRACE("delete %s", short_name(name));
	own = name->kind == HF_LOCK ? oracle_tries(a, &name->id) : NULL;
	struct hf_err *e = go(a);
	f = depot_find(name);
	if (e != NULL) {
		if (f != NULL && f->claim != NULL && !a->is_dead)
			f->claim->is_cut = true;
		return e;
	}
	/* One's own locks can be deleted in the end, or nobody could promise to leave none. */
	bool may_fail = own == NULL || own->failures < MAX_FAILURES;
	bool is_lost = may_fail && dice_say(world.loses);
	bool has_failed = may_fail && dice_say(world.fails);
	if (own != NULL)
		own->failures += is_lost || has_failed;
	if (has_failed)
		return lose(a, dice_below(PATIENCE));
	if (name->kind != HF_LOCK)
		HF_TRY(pass_again(a, s, name, true, 0, &latest));
	f = depot_find(name);
	TRACE("%s is %s", short_name(name), f != NULL ? "deleted" : "not there to delete");
	if (f != NULL)
		depot_remove(f, a);
	else
		e = absent();
	if (is_lost) {
		hf_err_free(e);
		return lose(a, dice_below(PATIENCE));
	}
	return come(a, e);
}

static struct hf_err *
depot_age(struct hf_store *s, const struct hf_name *name, double *seconds)
{
	struct actor *a = actor_of(s);

	HF_TRY(go(a));
	struct depot_file *f = depot_find(name);
	struct hf_err *e = f == NULL ? absent() : NULL;
	if (f != NULL)
		*seconds = (double)(world.now - f->born) / 1e9;
	return come(a, e);
}

static struct hf_err *
depot_create(struct hf_store *s)
{
	(void)s;
	return NULL;
}

static void
depot_close(struct hf_store *s)
{
	struct handle *h = hf_container_of(s, struct handle, store);

	handles[h->actor] = NULL;
	free(h);
}

struct hf_store *
depot_handle(unsigned actor)
{
	static const struct hf_store_ops ops = {
		.create = depot_create,
		.put = depot_put,
		.get = depot_get,
		.stat = depot_stat,
		.list = depot_list,
		.del = depot_del,
		.free = depot_close,
		.age = depot_age,
	};
	static char url[] = "sim:";
	struct handle *h = hf_new(struct handle);

	h->store = (struct hf_store){.ops = &ops, .url = url, .connections = 2};
	h->actor = actor;
	handles[actor] = h;
	return &h->store;
}
