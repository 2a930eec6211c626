/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Backups whose lock is stolen. A thief sits in front of the store: at its N-th call it removes all
 * locks and prunes, as somebody would who took the backup for dead. Whatever N is, the backup ends
 * well, with one snapshot and nothing missing (docs/locking-design.md, D4; model/commit.pml).
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "engine/backup.h"
#include "engine/check.h"
#include "harness/test.h"
#include "store/mem.h"
#include "unit/handmade.h"

enum plunder {
	TAKES_LOCKS,     /* and nothing else */
	TAKES_UNINDEXED, /* packs that no index names; so does restic's prune */
	TAKES_UNUSED,    /* everything, index files too, unless there is a snapshot */
};

struct thief {
	struct hf_store store;
	struct hf_store *inner;
	struct hf_repo *repo; /* over this store */
	enum plunder plunder;
	unsigned comes_at, leaves_at; /* calls: condemns, and deletes what is condemned */
	atomic_uint calls;
	atomic_bool is_at_it; /* its own calls do not count */
	struct hf_name *condemned;
	size_t n_condemned;
	struct hf_id own_lock;
	bool is_twice; /* comes again after as many calls */
};

static struct thief *
thief_of(struct hf_store *s)
{
	return hf_container_of(s, struct thief, store);
}

struct names {
	struct hf_name *v;
	size_t len;
};

static struct hf_err *
add_name(void *arg, const struct hf_name *name, uint64_t size)
{
	struct names *n = arg;

	(void)size;
	n->v = hf_realloc_array(n->v, n->len + 1, sizeof *n->v);
	n->v[n->len++] = *name;
	return NULL;
}

static struct names
names_of(struct thief *t, enum hf_kind kind)
{
	struct names n = {0};

	REQUIRE_OK(hf_store_list(t->inner, kind, add_name, &n));
	return n;
}

static void
condemn(struct thief *t, const struct hf_name *name)
{
	t->condemned = hf_realloc_array(t->condemned, t->n_condemned + 1, sizeof *name);
	t->condemned[t->n_condemned++] = *name;
}

static void
condemn_unindexed(struct thief *t)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct names packs = names_of(t, HF_PACK);
	uint32_t number;

	REQUIRE_OK(hf_index_load(t->repo, ix, NULL, NULL, NULL));
	for (size_t i = 0; i < packs.len; i++)
		if (!hf_index_find_pack(ix, &packs.v[i].id, &number))
			condemn(t, &packs.v[i]);
	free(packs.v);
}

static void
condemn_unused(struct thief *t)
{
	struct names snapshots = names_of(t, HF_SNAPSHOT), index = names_of(t, HF_INDEX),
		     packs = names_of(t, HF_PACK);

	for (size_t i = 0; i < index.len && snapshots.len == 0; i++)
		condemn(t, &index.v[i]);
	for (size_t i = 0; i < packs.len && snapshots.len == 0; i++)
		condemn(t, &packs.v[i]);
	free(snapshots.v);
	free(index.v);
	free(packs.v);
}

/* Removes all locks, puts up one of its own, and decides what has to go. */
static void
come(struct thief *t)
{
	static const char lock[] = "{\"time\":\"2026-01-02T03:04:05Z\",\"exclusive\":true,"
				   "\"hostname\":\"thief\",\"pid\":1}";
	struct names locks = names_of(t, HF_LOCK);

	for (size_t i = 0; i < locks.len; i++)
		hf_err_free(hf_store_del(t->inner, &locks.v[i]));
	free(locks.v);
	hf_store_set_gate(&t->store, NULL);
	REQUIRE_OK(hf_repo_save(t->repo, HF_LOCK, hf_str_bytes(hf_str(lock)), &t->own_lock));
	if (t->plunder == TAKES_UNINDEXED)
		condemn_unindexed(t);
	if (t->plunder == TAKES_UNUSED)
		condemn_unused(t);
}

static void
leave(struct thief *t)
{
	struct hf_name lock = {HF_LOCK, t->own_lock};

	for (size_t i = 0; i < t->n_condemned; i++)
		hf_err_free(hf_store_del(t->inner, &t->condemned[i]));
	t->n_condemned = 0;
	hf_err_free(hf_store_del(t->inner, &lock));
	if (t->is_twice) {
		unsigned n = t->comes_at;

		t->is_twice = false;
		t->comes_at += n + 5;
		t->leaves_at += n + 5;
	}
}

/* Whichever thread makes the call. The gate is set again: coming takes it away for a moment. */
static void
count(struct thief *t)
{
	if (atomic_load(&t->is_at_it))
		return;
	unsigned n = atomic_fetch_add(&t->calls, 1) + 1;
	if (n != t->comes_at && n != t->leaves_at)
		return;
	struct hf_gate *gate = t->store.gate;
	atomic_store(&t->is_at_it, true);
	if (n == t->comes_at)
		come(t);
	else
		leave(t);
	t->store.gate = gate;
	atomic_store(&t->is_at_it, false);
}

static struct hf_err *
thief_create(struct hf_store *s)
{
	return hf_store_create(thief_of(s)->inner);
}

static struct hf_err *
thief_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	count(thief_of(s));
	return hf_store_put(thief_of(s)->inner, name, data);
}

static struct hf_err *
thief_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	count(thief_of(s));
	return hf_store_get(thief_of(s)->inner, name, off, len, out);
}

static struct hf_err *
thief_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	count(thief_of(s));
	return hf_store_stat(thief_of(s)->inner, name, size);
}

static struct hf_err *
thief_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	count(thief_of(s));
	return hf_store_list(thief_of(s)->inner, kind, fn, arg);
}

static struct hf_err *
thief_del(struct hf_store *s, const struct hf_name *name)
{
	count(thief_of(s));
	return hf_store_del(thief_of(s)->inner, name);
}

static void
thief_free(struct hf_store *s)
{
	struct thief *t = thief_of(s);

	hf_store_free(t->inner);
	free(t->condemned);
	free(t);
}

static const struct hf_store_ops thief_ops = {
	.create = thief_create,
	.put = thief_put,
	.get = thief_get,
	.stat = thief_stat,
	.list = thief_list,
	.del = thief_del,
	.free = thief_free,
};

static char thief_url[] = "thief:";

static const struct hf_lease_pace quick = {
	.every = 1000,
	.suspect = 1500,
	.fence = 2000,
	.stale = 4000,
	.give_up = 1000,
	.overlap = 0.005,
	.settle = 0.005,
	.conflict = 0.02,
	.unreadable = 0.005,
	.retry = 0.005,
	.retry_max = 0.02,
	.again = 0.005,
};

/* One repository, one backup. */
struct bed {
	struct thief *thief;
	struct hf_repo *repo;
	struct hf_lease *lease;
	unsigned recovered;
	bool uses_pipe; /* one file comes out of a pipe, in place of the folder */
};

static struct thief *
thief_new(void)
{
	struct thief *t = hf_new(struct thief);

	/* One connection: which call is the N-th should depend on as little as possible. */
	t->store = (struct hf_store){.ops = &thief_ops,
		.url = thief_url,
		.connections = 1,
		.promises = HF_LISTS_AT_ONCE};
	t->inner = hf_store_mem();
	return t;
}

static struct hf_err *
take(struct bed *b, struct hf_lease **out)
{
	struct hf_lease_options o = {
		.mode = HF_LOCK_SHARED, .role = "backup", .pace = &quick, .wait_s = 20};

	HF_TRY(hf_lease_acquire(b->repo, &o, out));
	hf_store_set_gate(hf_repo_store(b->repo), hf_lease_gate(*out));
	return NULL;
}

static struct hf_err *
regain(void *arg, struct hf_lease **out)
{
	struct bed *b = arg;
	struct hf_lease *lost = b->lease;

	b->recovered++;
	HF_TRY(take(b, &b->lease));
	hf_err_free(hf_lease_release(lost));
	*out = b->lease;
	return NULL;
}

static void
bed_init(struct bed *b)
{
	*b = (struct bed){.thief = thief_new()};
	b->repo = made_repo_with_packs(&b->thief->store, 2, 4 << 20);
	b->thief->repo = b->repo;
}

static void
ignore_events(void *arg, const char *path, const char *during, const struct hf_err *e)
{
	(void)arg;
	CHECK_STR(hf_err_text(e), path);
	CHECK_STR(during, "");
}

static struct hf_err *
backup(struct bed *b)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_backup_events events = {.error = ignore_events};
	struct hf_backup_progress progress = {0};
	struct hf_backup_result result;
	const char *target = "data";
	struct hf_backup_options o = {
		.targets = &target,
		.n_targets = 1,
		.no_scan = true,
		.time = {.sec = 1767323045},
		.regain = regain,
		.regain_arg = b,
	};

	REQUIRE_OK(take(b, &b->lease));
	struct hf_err *e = hf_index_load(b->repo, ix, NULL, NULL, NULL);
	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND) { /* as cli/session.c does */
		hf_err_free(e);
		CHECK_ERR(hf_lease_verify(b->lease), HF_ELOST);
		REQUIRE_OK(regain(b, &b->lease));
		hf_index_free(hf_steal(ix));
		ix = hf_index_new();
		e = hf_index_load(b->repo, ix, NULL, NULL, NULL);
	}
	o.lease = b->lease;
	hf_autofd int pipe_fd = b->uses_pipe ? open("data/f0", O_RDONLY | O_CLOEXEC) : -1;
	if (b->uses_pipe) {
		o.use_stdin = true;
		o.stdin_fd = pipe_fd;
		o.stdin_filename = "folder/dump";
	}
	if (e == NULL)
		e = hf_backup(b->repo, ix, &o, &events, &progress, &result);
	atomic_store(&b->thief->is_at_it, true); /* the rest is not its business */
	hf_store_set_gate(hf_repo_store(b->repo), NULL);
	struct hf_err *release = hf_lease_release(b->lease);
	if (e == NULL && b->recovered > 0)
		CHECK_EQ(result.summary.total_files_processed, b->uses_pipe ? 1 : 6);
	hf_err_free(release);
	return e;
}

static void
found(void *arg, const struct hf_check_finding *f)
{
	(void)arg;
	if (hf_check_is_damage(f->kind))
		fprintf(stderr, "# found: %s\n", f->text);
}

/* Everything that the repository promises is there. */
static void
must_be_whole(struct bed *b, size_t n_snapshots)
{
	struct hf_check_options o = {.data = {.kind = HF_SUBSET_ALL}};
	struct hf_check_events events = {.found = found};
	struct hf_check_result r = {0};
	struct names snapshots = names_of(b->thief, HF_SNAPSHOT);

	CHECK_EQ(snapshots.len, n_snapshots);
	free(snapshots.v);
	REQUIRE_OK(hf_check(b->repo, &o, &events, NULL, NULL, &r));
	CHECK_EQ(r.damages, 0);
	hf_check_result_clear(&r);
}

static void
put_data(void)
{
	uint8_t *p = malloc(3 << 19);

	REQUIRE(p != NULL);
	REQUIRE(chdir(test_tmpdir()) == 0);
	REQUIRE(mkdir("data", 0755) == 0 && mkdir("data/sub", 0755) == 0);
	for (int i = 0; i < 6; i++) {
		char path[32];

		snprintf(path, sizeof path, "data/%sf%d", i % 2 ? "sub/" : "", i);
		hf_random(p, 3 << 19);
		hf_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		REQUIRE(fd >= 0);
		REQUIRE_OK(hf_write_full(fd, p, i == 5 ? 100 : 3 << 19));
	}
	free(p);
}

/* Forgets all snapshots, so that what they needed is garbage that the index still has. */
static void
forget_all(struct bed *b)
{
	struct names snapshots = names_of(b->thief, HF_SNAPSHOT);

	for (size_t i = 0; i < snapshots.len; i++)
		REQUIRE_OK(hf_store_del(b->thief->inner, &snapshots.v[i]));
	free(snapshots.v);
}

/* The thief comes at every call in turn, and stays for `stay` of them. Returns how many there are. */
static unsigned
steal_everywhere(enum plunder plunder, unsigned stay, bool has_garbage, bool is_twice)
{
	unsigned recovered = 0;

	put_data();
	for (unsigned n = 1;; n++) {
		struct bed b;

		bed_init(&b);
		if (has_garbage) {
			atomic_store(&b.thief->is_at_it, true);
			REQUIRE_OK(backup(&b));
			forget_all(&b);
		}
		atomic_store(&b.thief->is_at_it, false);
		atomic_store(&b.thief->calls, 0);
		b.thief->plunder = plunder;
		b.thief->comes_at = n;
		b.thief->leaves_at = n + stay;
		b.thief->is_twice = is_twice;
		struct hf_err *e = backup(&b);
		unsigned calls = atomic_load(&b.thief->calls);
		if (e != NULL)
			fprintf(stderr, "# call %u: %s\n", n, hf_err_text(e));
		CHECK_OK(e);
		if (calls >= b.thief->comes_at && calls < b.thief->leaves_at)
			leave(b.thief);
		must_be_whole(&b, 1);
		recovered += b.recovered;
		hf_repo_free(b.repo);
		if (calls < n)
			break;
	}
	return recovered;
}

TEST_WITHIN(locks_are_taken, 120)
{
	CHECK(steal_everywhere(TAKES_LOCKS, 1, false, false) > 0);
}

TEST_WITHIN(packs_that_no_index_names_yet_are_pruned, 120)
{
	CHECK(steal_everywhere(TAKES_UNINDEXED, 1, false, false) > 0);
}

TEST_WITHIN(they_are_pruned_some_calls_later, 120)
{
	CHECK(steal_everywhere(TAKES_UNINDEXED, 4, false, false) > 0);
}

TEST_WITHIN(what_the_backup_relies_on_is_pruned, 120)
{
	CHECK(steal_everywhere(TAKES_UNUSED, 1, true, false) > 0);
}

TEST_WITHIN(the_thief_comes_twice, 120)
{
	CHECK(steal_everywhere(TAKES_UNINDEXED, 2, true, true) > 0);
}

/* A pipe cannot be read again: it ends well, or it is told that it did not, and there is nothing. */
static void
steal_from_pipe(enum plunder plunder, unsigned *saved, unsigned *told)
{
	*saved = *told = 0;
	put_data();
	for (unsigned n = 1;; n++) {
		struct bed b;

		bed_init(&b);
		b.uses_pipe = true;
		b.thief->plunder = plunder;
		b.thief->comes_at = n;
		b.thief->leaves_at = n + 1;
		struct hf_err *e = backup(&b);
		unsigned calls = atomic_load(&b.thief->calls);
		if (calls == n)
			leave(b.thief);
		if (e != NULL)
			CHECK_EQ(hf_err_code(e), HF_ELOST);
		must_be_whole(&b, e == NULL ? 1 : 0);
		*saved += e == NULL && b.recovered > 0;
		*told += e != NULL;
		hf_err_free(e);
		hf_repo_free(b.repo);
		if (calls < n)
			break;
	}
}

TEST_WITHIN(locks_of_a_pipe_are_taken, 120)
{
	unsigned saved, told;

	steal_from_pipe(TAKES_LOCKS, &saved, &told);
	CHECK(saved > 0);
}

TEST_WITHIN(packs_of_a_pipe_are_pruned, 120)
{
	unsigned saved, told;

	steal_from_pipe(TAKES_UNINDEXED, &saved, &told);
	CHECK(saved > 0 && told > 0);
}
