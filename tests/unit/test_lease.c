/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock: who excludes whom, what others read, renewal, and how it is lost. */
#include "repo/lease.h"

#include <pthread.h>
#include <regex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/host.h"
#include "codec/sha256.h"
#include "harness/test.h"
#include "store/mem.h"
#include "unit/handmade.h"

/* A store in memory with a switch for what the lock does with it. */
struct gate {
	struct hf_store store;
	struct hf_store *inner;
	atomic_uint puts, gets, lists, dels; /* calls about locks */
	atomic_int ghosts;     /* so many listings show a lock that is not there */
	atomic_bool no_dels;   /* deleting fails */
	atomic_bool no_locks;  /* everything about locks fails */
	double age;            /* of all files */
	struct hf_id goes;     /* a lock that vanishes ... */
	atomic_int goes_after; /* ... after so many listings */
};

static struct gate *
gate_of(struct hf_store *s)
{
	return hf_container_of(s, struct gate, store);
}

static struct hf_err *
gate_create(struct hf_store *s)
{
	return hf_store_create(gate_of(s)->inner);
}

static struct hf_err *
gate_put(struct hf_store *s, const struct hf_name *name, struct hf_bytes data)
{
	gate_of(s)->puts += name->kind == HF_LOCK;
	if (name->kind == HF_LOCK && gate_of(s)->no_locks)
		return hf_err(HF_EIO, "no way");
	return hf_store_put(gate_of(s)->inner, name, data);
}

static struct hf_err *
gate_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	gate_of(s)->gets += name->kind == HF_LOCK;
	return hf_store_get(gate_of(s)->inner, name, off, len, out);
}

static struct hf_err *
gate_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	return hf_store_stat(gate_of(s)->inner, name, size);
}

static struct hf_err *
gate_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	struct hf_name ghost = {HF_LOCK, {{7}}};

	gate_of(s)->lists += kind == HF_LOCK;
	if (kind == HF_LOCK && gate_of(s)->no_locks)
		return hf_err(HF_EIO, "no way");
	if (kind == HF_LOCK && gate_of(s)->goes_after > 0 && --gate_of(s)->goes_after == 0) {
		struct hf_name goes = {HF_LOCK, gate_of(s)->goes};

		HF_TRY(hf_store_del(gate_of(s)->inner, &goes));
	}
	if (kind == HF_LOCK && gate_of(s)->ghosts > 0) {
		gate_of(s)->ghosts--;
		HF_TRY(fn(arg, &ghost, 100));
	}
	return hf_store_list(gate_of(s)->inner, kind, fn, arg);
}

static struct hf_err *
gate_del(struct hf_store *s, const struct hf_name *name)
{
	gate_of(s)->dels += name->kind == HF_LOCK;
	if (gate_of(s)->no_dels)
		return hf_err(HF_EFATAL, "append only");
	return hf_store_del(gate_of(s)->inner, name);
}

static struct hf_err *
gate_age(struct hf_store *s, const struct hf_name *name, double *seconds)
{
	(void)name;
	*seconds = gate_of(s)->age;
	return NULL;
}

static void
gate_free(struct hf_store *s)
{
	hf_store_free(gate_of(s)->inner);
	free(gate_of(s));
}

static const struct hf_store_ops gate_ops = {
	.create = gate_create,
	.put = gate_put,
	.get = gate_get,
	.stat = gate_stat,
	.list = gate_list,
	.del = gate_del,
	.free = gate_free,
	.age = gate_age,
};

static char gate_url[] = "gate:";

static struct hf_repo *
make_repo(struct gate **out)
{
	struct gate *g = hf_new(struct gate);

	g->store = (struct hf_store){.ops = &gate_ops, .url = gate_url, .connections = 2};
	g->inner = hf_store_mem();
	*out = g;
	return made_repo(&g->store, 2);
}

/* Nothing takes long; a refresh only where a test wants it. */
static const struct hf_lease_pace quick = {
	.every = 1000,
	.suspect = 1500,
	.fence = 2000,
	.stale = 4000,
	.give_up = 1000,
	.overlap = 0.01,
	.settle = 0.01,
	.conflict = 0.05,
	.unreadable = 0.01,
	.retry = 0.02,
	.retry_max = 0.1,
	.again = 0.01,
};

static struct hf_lease_options
options_of(enum hf_lock_mode mode)
{
	return (struct hf_lease_options){.mode = mode, .role = "test", .pace = &quick};
}

static struct hf_err *
take(struct hf_repo *repo, enum hf_lock_mode mode, struct hf_lease **out)
{
	struct hf_lease_options o = options_of(mode);

	return hf_lease_acquire(repo, &o, out);
}

static size_t
count_locks(struct hf_repo *repo, struct hf_id *one)
{
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	REQUIRE_OK(hf_repo_list(repo, HF_LOCK, &ids, NULL, &n));
	if (one != NULL && n > 0)
		*one = ids[0];
	return n;
}

/* Stores a lock as somebody else would. */
static struct hf_id
plant(struct hf_repo *repo, const char *json)
{
	struct hf_id id;

	REQUIRE_OK(hf_repo_save(repo, HF_LOCK, hf_str_bytes(hf_str(json)), &id));
	return id;
}

/* The lock file of a process `pid` of this boot, or of another, in our pid namespace. */
static struct hf_id
plant_of(struct hf_repo *repo, int64_t pid, bool this_boot, bool is_ours)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	hf_auto(hf_lock_info) info = {0};

	hf_lock_info_self(&info, !is_ours);
	info.pid = info.proc.pid = pid;
	info.proc.start = 0;
	if (!this_boot)
		info.proc.boot[0] ^= 1;
	info.is_ours = is_ours;
	info.is_exclusive = true;
	hf_lock_write(&json, &info);
	hf_buf_add(&json, "", 1);
	return plant(repo, (const char *)json.p);
}

/* The number of a process that has ended and been waited for. */
static pid_t
dead_pid(void)
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0)
		_exit(0);
	REQUIRE_EQ(waitpid(pid, NULL, 0), pid);
	return pid;
}

TEST(lock_file_is_restics)
{
	static const char foreign[] =
		"{\"time\":\"2026-01-02T03:04:05.6+01:00\","
		"\"exclusive\":true,\"hostname\":\"h\",\"username\":\"u\","
		"\"pid\":17,\"uid\":1000,\"gid\":100}";
	hf_auto(hf_lock_info) info = {0};
	hf_auto(hf_buf) out = HF_BUF_MAX(4096);

	REQUIRE_OK(hf_lock_parse(hf_str_bytes(hf_str(foreign)), &info));
	CHECK(info.is_exclusive);
	CHECK_EQ(info.pid, 17);
	CHECK_EQ(info.uid, 1000);
	CHECK_EQ(info.gid, 100);
	CHECK_STR(info.hostname, "h");
	CHECK(!info.is_ours);
	hf_lock_write(&out, &info);
	CHECK_EQ(out.len, strlen(foreign));
	CHECK_MEM(out.p, foreign, strlen(foreign));

	hf_buf_reset(&out);
	hf_lock_info_clear(&info);
	REQUIRE_OK(hf_lock_parse(hf_str_bytes(hf_str("{\"pid\":1,\"new\":[{}]}")), &info));
	CHECK(!info.is_exclusive);
	hf_lock_write(&out, &info);
	hf_buf_add(&out, "", 1);
	CHECK_STR((const char *)out.p,
		"{\"time\":\"0001-01-01T00:00:00Z\",\"exclusive\":false,\"hostname\":\"\","
		"\"username\":\"\",\"pid\":1}");
	hf_lock_info_clear(&info);
	CHECK_ERR(hf_lock_parse(hf_str_bytes(hf_str("{\"pid\":1.5}")), &info), HF_ECORRUPT);
	CHECK_ERR(hf_lock_parse(hf_str_bytes(hf_str("")), &info), HF_ECORRUPT);
}

/* restic takes any letter case for its own fields, so that ours must not come near them. */
TEST(our_part_of_a_lock_file)
{
	hf_auto(hf_lock_info) info = {0}, again = {0};
	hf_auto(hf_buf) out = HF_BUF_MAX(8192), twice = HF_BUF_MAX(8192);

	hf_lock_info_self(&info, false);
	hf_lock_info_label(&info, "backup", "nightly /home");
	snprintf(info.ticket, sizeof info.ticket, "%024d", 7);
	info.seq = 3;
	info.prev = (struct hf_id){{9}};
	info.wants_exclusive = info.is_held = true;
	info.ttl_s = 1800;
	info.fence_s = 0.5;
	info.every_s = 120;
	hf_lock_write(&out, &info);
	REQUIRE_OK(hf_buf_ok(&out));
	REQUIRE_OK(hf_lock_parse(hf_buf_bytes(&out), &again));
	CHECK(again.is_ours && again.wants_exclusive && again.is_held && !again.is_exclusive);
	CHECK_STR(again.role, "backup");
	CHECK_STR(again.note, "nightly /home");
	CHECK_STR(again.holder, info.holder);
	CHECK_EQ(again.proc.pid, getpid());
	CHECK(again.proc.start != 0 && again.proc.pidns != 0);
	CHECK(strstr(again.hostname, " [holdfast]") != NULL);
	hf_lock_write(&twice, &again);
	CHECK_EQ(twice.len, out.len);
	CHECK_MEM(twice.p, out.p, out.len);

	/* Whatever somebody writes there. */
	hf_lock_info_clear(&again);
	REQUIRE_OK(hf_lock_parse(
		hf_str_bytes(hf_str(
			"{\"holdfast\":{\"v\":1,\"holder\":\"0123456789012345678901234567890"
			"1234\",\"prev\":\"x\",\"proc\":null,\"ttl\":1e300,\"new\":[]}}")),
		&again));
	CHECK_STR(again.holder, "");
	CHECK_EQ(again.proc.pid, 0);
}

TEST(shared_with_shared_exclusive_with_none)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *a = NULL, *b = NULL, *c = NULL;

	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &a));
	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &b));
	CHECK_EQ(count_locks(repo, NULL), 2);
	CHECK_ERR_TEXT(take(repo, HF_LOCK_EXCLUSIVE, &c), HF_ELOCKED,
		"repository is already locked by PID");
	CHECK(c == NULL);
	CHECK_EQ(count_locks(repo, NULL), 2);
	CHECK_OK(hf_lease_check(a));
	CHECK_OK(hf_lease_release(a));
	CHECK_OK(hf_lease_release(b));
	CHECK_EQ(count_locks(repo, NULL), 0);

	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &c));
	CHECK_ERR_TEXT(take(repo, HF_LOCK_SHARED, &a), HF_ELOCKED,
		"repository is already locked exclusively by PID");
	CHECK_ERR(take(repo, HF_LOCK_EXCLUSIVE, &a), HF_ELOCKED);
	CHECK_OK(hf_lease_release(c));
	CHECK_EQ(count_locks(repo, NULL), 0);
	CHECK_OK(hf_lease_release(NULL));
	CHECK_OK(hf_lease_check(NULL));
}

TEST(conflict_text_is_restics)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l;
	regex_t re;

	plant(repo, "{\"time\":\"2026-01-02T03:04:05.6+01:00\",\"exclusive\":true,"
		    "\"hostname\":\"far.example\",\"username\":\"eve\",\"pid\":17,\"uid\":1000,"
		    "\"gid\":100}");
	struct hf_err *e = take(repo, HF_LOCK_SHARED, &l);
	REQUIRE(e != NULL);
	REQUIRE_EQ(regcomp(&re,
			   "^unable to create lock in backend: repository is already locked "
			   "exclusively by PID 17 on far\\.example by eve \\(UID 1000, GID "
			   "100\\)\n"
			   "lock was created at 2026-01-02 03:04:05 "
			   "\\([0-9]+h[0-9]+m[0-9]+(\\.[0-9]+)?s ago\\)\n"
			   "storage ID [0-9a-f]{8}\n"
			   "the `unlock` command can be used to remove stale locks\n"
			   "its holder: unknown, unchanged for 0s of 31m0s$",
			   REG_EXTENDED | REG_NOSUB),
		0);
	CHECK_EQ(regexec(&re, hf_err_text(e), 0, NULL, 0), 0);
	regfree(&re);
	hf_err_free(e);
}

TEST(lock_of_a_dead_process_is_removed)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_name name = {.kind = HF_LOCK};
	struct hf_lease *l;
	pid_t dead = dead_pid();

	plant_of(repo, dead, true, true);
	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &l));
	CHECK_EQ(count_locks(repo, NULL), 1);
	CHECK_OK(hf_lease_release(l));

	/* Each of these lacks one part of the proof. */
	const struct {
		pid_t pid;
		bool this_boot, is_ours;
	} alive[] = {
		{getpid(), true, true}, {1, true, true}, /* may belong to somebody else */
		{dead, false, true},
		{dead, true, false}, /* restic's, from a host of our name */
	};
	for (size_t i = 0; i < sizeof alive / sizeof alive[0]; i++) {
		name.id = plant_of(repo, alive[i].pid, alive[i].this_boot, alive[i].is_ours);
		CHECK_ERR(take(repo, HF_LOCK_SHARED, &l), HF_ELOCKED);
		REQUIRE_OK(hf_store_del(hf_repo_store(repo), &name));
	}

	/* Dead, but not ours to delete. */
	plant_of(repo, dead, true, true);
	g->no_dels = true;
	CHECK_ERR(take(repo, HF_LOCK_SHARED, &l), HF_ELOCKED);
}

TEST(unreadable_locks_are_not_passed_over)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_bytes junk = {(const uint8_t *)"junk", 4}, nothing = {(const uint8_t *)"", 0};
	struct hf_name name = {HF_LOCK, hf_sha256(junk)};
	struct hf_name empty = {HF_LOCK, {{1}}};
	struct hf_lease *l;

	REQUIRE_OK(hf_store_put(g->inner, &empty, nothing)); /* an interrupted upload */
	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &l));
	CHECK_OK(hf_lease_release(l));

	REQUIRE_OK(hf_store_put(g->inner, &name, junk));
	double begin = hf_clock();
	CHECK_ERR_TEXT(take(repo, HF_LOCK_SHARED, &l), HF_ECORRUPT, "unlock --remove-all");
	CHECK(hf_clock() - begin >= 0.07); /* 10 + 20 + 40 ms */
	CHECK_EQ(count_locks(repo, NULL), 2);

	/* When its owner cannot live any more, it keeps out only who wants to be alone. */
	g->age = 5000;
	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &l));
	CHECK_OK(hf_lease_release(l));
	CHECK_ERR(take(repo, HF_LOCK_EXCLUSIVE, &l), HF_ECORRUPT);
	g->age = 0;

	/* A conflict is the better answer. */
	plant_of(repo, 1, false, true);
	CHECK_ERR(take(repo, HF_LOCK_SHARED, &l), HF_ELOCKED);
}

TEST(vanishing_locks_are_listed_again)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l;

	g->ghosts = 3;
	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &l));
	CHECK_EQ(g->ghosts, 0);
	CHECK_OK(hf_lease_release(l));
	g->ghosts = 1000;
	CHECK_ERR(take(repo, HF_LOCK_EXCLUSIVE, &l), HF_EIO);
}

static void
sleep_s(double s)
{
	struct timespec ts = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

	nanosleep(&ts, NULL);
}

/* Refreshed every 50 ms, fenced after a second. */
static const struct hf_lease_pace lively = {
	.every = 0.05,
	.suspect = 0.5,
	.fence = 1,
	.stale = 4,
	.give_up = 1,
	.overlap = 0.01,
	.settle = 0.01,
	.conflict = 0.1,
	.unreadable = 0.01,
	.retry = 0.02,
	.retry_max = 0.1,
	.again = 0.02,
};

static struct hf_lease *
take_lively(struct hf_repo *repo, enum hf_lock_mode mode)
{
	struct hf_lease_options o = {.mode = mode, .role = "test", .pace = &lively};
	struct hf_lease *l;

	REQUIRE_OK(hf_lease_acquire(repo, &o, &l));
	hf_store_set_gate(hf_repo_store(repo), hf_lease_gate(l));
	return l;
}

/* Waits for a state that will come. */
static void
await(struct hf_lease *l, enum hf_lease_state state)
{
	for (int i = 0; i < 2000 && hf_lease_state(l) != state; i++)
		sleep_s(0.01);
	CHECK_STR(hf_lease_state_text(hf_lease_state(l)), hf_lease_state_text(state));
}

/* ---- stores whose listings lag, as the one here: it promises nothing ---- */

/* The time of this thread's pauses, which pass at once. */
static _Thread_local bool is_paused;
static atomic_int_fast64_t paused;

static int64_t
ahead_boot(void *arg)
{
	return hf_clocks_kernel.boot(arg) + atomic_load(&paused);
}

static void
ahead_wait(void *arg, struct hf_bell *bell, int64_t until)
{
	int64_t now = ahead_boot(arg);

	if (!is_paused)
		hf_clocks_kernel.wait(arg, bell, until - atomic_load(&paused));
	else if (until > now)
		atomic_fetch_add(&paused, until - now);
}

/* The seconds of pauses until there is a lease, and then until it is validated. */
static void
count_pauses(struct hf_repo *repo, enum hf_lock_mode mode, bool only_reads, double *to_get,
	double *to_validate)
{
	struct hf_clocks clocks = hf_clocks_kernel;
	struct hf_lease_options o = {
		.mode = mode, .role = "test", .only_reads = only_reads, .clocks = &clocks};
	struct hf_lease *l;

	clocks.boot = ahead_boot;
	clocks.wait = ahead_wait;
	is_paused = true;
	atomic_store(&paused, 0);
	REQUIRE_OK(hf_lease_acquire(repo, &o, &l));
	*to_get = (double)atomic_load(&paused) / 1e9;
	CHECK_OK(hf_lease_validate(l));
	*to_validate = (double)atomic_load(&paused) / 1e9 - *to_get;
	is_paused = false;
	CHECK_OK(hf_lease_release(l));
}

TEST(who_only_reads_does_not_wait_for_listings)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	double to_get, to_validate, settle = hf_lease_pace.settle;

	count_pauses(repo, HF_LOCK_SHARED, true, &to_get, &to_validate);
	CHECK(to_get == 0);
	count_pauses(repo, HF_LOCK_SHARED, false, &to_get, &to_validate);
	CHECK(to_get > 0.99 * settle);
	CHECK(to_validate > 0.99 * settle);
	count_pauses(repo, HF_LOCK_EXCLUSIVE, false, &to_get, &to_validate);
	CHECK(to_get > 0.99 * settle);
	atomic_fetch_or(&g->store.promises, HF_LISTS_AT_ONCE);
	count_pauses(repo, HF_LOCK_EXCLUSIVE, false, &to_get, &to_validate);
	CHECK(to_get == 0);
	CHECK(to_validate == 0);
}

TEST(refresh_replaces_the_file)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l = take_lively(repo, HF_LOCK_SHARED);
	struct hf_id before, after;

	CHECK_EQ(count_locks(repo, &before), 1);
	sleep_s(2);
	CHECK_EQ(hf_lease_state(l), HF_LEASE_HELD); /* twice the time to the fence */
	CHECK_OK(hf_lease_verify(l));
	CHECK(count_locks(repo, &after) >= 1);
	CHECK(!hf_id_eq(&before, &after));

	g->no_dels = true; /* what cannot be deleted is deleted later */
	sleep_s(0.4);
	g->no_dels = false;
	CHECK(count_locks(repo, NULL) > 1);
	CHECK_EQ(hf_lease_state(l), HF_LEASE_HELD);
	CHECK_OK(hf_lease_release(l));
	CHECK_EQ(count_locks(repo, NULL), 0);
}

static struct hf_err *
put_kind(struct hf_repo *repo, enum hf_kind kind)
{
	struct hf_name name = {kind, {{(uint8_t)random(), (uint8_t)random()}}};

	return hf_store_put(hf_repo_store(repo), &name, hf_str_bytes(hf_str("x")));
}

/* What a refresh may cost: docs/locking-design.md promises it to those who pay per request. */
TEST(requests_of_a_refresh)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l = take_lively(repo, HF_LOCK_SHARED);
	unsigned puts, dels, lists, gets;

	for (int i = 0; i < 500 && g->puts < 10; i++)
		sleep_s(0.01);
	CHECK_OK(hf_lease_release(l));
	puts = g->puts;
	dels = g->dels;
	lists = g->lists;
	gets = g->gets;
	CHECK(puts >= 10);
	CHECK(dels <= puts + 1);
	CHECK(lists <=
		2 * puts + 4); /* three for each after a pause, and those of the beginning */
	CHECK_EQ(gets, 0);     /* nobody else's lock is there to be read */
}

struct writer {
	struct hf_repo *repo;
	atomic_bool is_done;
};

static void *
write_index(void *arg)
{
	struct writer *w = arg;

	CHECK_OK(put_kind(w->repo, HF_INDEX));
	atomic_store(&w->is_done, true);
	return NULL;
}

TEST(nothing_is_written_behind_the_fence)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l = take_lively(repo, HF_LOCK_SHARED);
	struct writer w = {.repo = repo};
	pthread_t thread;

	CHECK_OK(put_kind(repo, HF_INDEX));
	g->no_locks = true; /* the lock cannot be refreshed, everything else works */
	await(l, HF_LEASE_FENCED);
	CHECK_OK(hf_lease_check(l)); /* it may yet come back */
	CHECK_OK(put_kind(repo, HF_PACK));
	REQUIRE_EQ(pthread_create(&thread, NULL, write_index, &w), 0);
	sleep_s(0.3);
	CHECK(!atomic_load(&w.is_done)); /* waits at the gate */
	g->no_locks = false;
	pthread_join(thread, NULL);
	CHECK(atomic_load(&w.is_done));
	CHECK_OK(hf_lease_verify(l));
	CHECK_OK(hf_lease_release(l));
	CHECK_EQ(count_locks(repo, NULL), 0);
}

TEST(fenced_for_too_long_is_lost)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l = take_lively(repo, HF_LOCK_SHARED);

	g->no_locks = true;
	await(l, HF_LEASE_LOST);
	CHECK_ERR(hf_lease_check(l), HF_ELOST);
	CHECK_ERR(put_kind(repo, HF_INDEX), HF_ELOST);
	CHECK_ERR(put_kind(repo, HF_PACK), HF_ELOST);
	CHECK_ERR(hf_lease_verify(l), HF_ELOST);
	g->no_locks = false;
	sleep_s(0.3);
	CHECK_ERR(hf_lease_check(l), HF_ELOST); /* for ever */
	CHECK_ERR(hf_lease_release(l), HF_ELOST);
	CHECK_EQ(count_locks(repo, NULL), 0);
}

TEST(lock_is_lost_when_somebody_removes_it)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l;
	struct hf_name name = {.kind = HF_LOCK};

	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &l));
	REQUIRE_EQ(count_locks(repo, &name.id), 1);
	REQUIRE_OK(hf_store_del(g->inner, &name));
	CHECK_OK(hf_lease_check(l));             /* nobody has looked */
	CHECK_ERR(hf_lease_verify(l), HF_ELOST); /* now somebody has */
	CHECK_ERR(hf_lease_release(l), HF_ELOST);

	l = take_lively(repo, HF_LOCK_SHARED);
	for (int i = 0; i < 200 && hf_lease_state(l) != HF_LEASE_LOST; i++) {
		while (count_locks(repo, &name.id) > 0)
			hf_err_free(hf_store_del(g->inner, &name));
		sleep_s(0.01);
	}
	CHECK_ERR(hf_lease_release(l), HF_ELOST);
	CHECK_EQ(count_locks(repo, NULL), 0);
}

TEST(a_rival_who_stays_ends_a_lease_one_who_goes_does_not)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease *l;
	struct hf_name name = {.kind = HF_LOCK};

	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &l));
	name.id = plant(repo, "{\"exclusive\":true,\"hostname\":\"h\",\"pid\":1}");
	g->goes = name.id;
	g->goes_after = 2; /* listings that still show it */
	CHECK_OK(hf_lease_verify(l));
	plant(repo, "{\"exclusive\":true,\"hostname\":\"h\",\"pid\":2}");
	CHECK_ERR(hf_lease_verify(l), HF_ELOST);
	CHECK_ERR(hf_lease_release(l), HF_ELOST);
}

TEST(a_lease_goes_on_in_another_process)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lease_page page = {0};
	struct hf_lease_options o = options_of(HF_LOCK_EXCLUSIVE);
	char holder[HF_HOLDER_HEX + 1];
	struct hf_lease *dead, *l;

	o.page = &page;
	REQUIRE_OK(hf_lease_acquire(repo, &o, &dead));
	snprintf(holder, sizeof holder, "%s", hf_lease_holder(dead));
	REQUIRE_EQ(count_locks(repo, &o.adopt_id), 1);
	o.adopt_holder = holder;
	/* It died after it had put the next one, and before it saw both. */
	hf_auto(hf_lock_info) next = {0};
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 16);
	REQUIRE_OK(hf_lock_load(repo, &o.adopt_id, &next));
	next.seq++;
	hf_lock_write(&json, &next);
	hf_buf_add(&json, "", 1);
	plant(repo, (const char *)json.p);
	REQUIRE_OK(hf_lease_acquire(repo, &o, &l));
	CHECK_STR(hf_lease_holder(l), holder);
	CHECK_EQ(count_locks(repo, NULL), 1);
	CHECK_OK(hf_lease_release(l));
	CHECK_EQ(count_locks(repo, NULL), 0);
	CHECK_ERR(hf_lease_acquire(repo, &o, &l), HF_ELOST); /* it is gone */
	hf_err_free(hf_lease_release(dead));
}

static void
note_wait(void *arg, const struct hf_lease_event *ev)
{
	hf_buf_addf(arg, "%s\n", hf_lease_event_text(ev->kind));
	if (ev->kind == HF_LEASE_EV_WAIT)
		CHECK(ev->seconds == 300);
}

static void *
release_later(void *lease)
{
	sleep_s(0.3);
	CHECK_OK(hf_lease_release(lease));
	return NULL;
}

TEST(waiting_for_a_lock)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	hf_auto(hf_buf) said = HF_BUF_MAX(1 << 16);
	struct hf_lease_options o = options_of(HF_LOCK_SHARED);
	struct hf_lease *l, *other;
	pthread_t thread;

	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &other));
	o.wait_s = 0.2;
	double begin = hf_clock();
	CHECK_ERR(hf_lease_acquire(repo, &o, &l), HF_ELOCKED);
	CHECK(hf_clock() - begin >= 0.2);

	o.wait_s = 300;
	o.on_event = note_wait;
	o.arg = &said;
	REQUIRE_EQ(pthread_create(&thread, NULL, release_later, other), 0);
	REQUIRE_OK(hf_lease_acquire(repo, &o, &l));
	pthread_join(thread, NULL);
	CHECK_OK(hf_lease_release(l));
	hf_buf_add(&said, "", 1);
	const char *text = (const char *)said.p;
	CHECK(strstr(text, "lock.acquire.start\nlock.acquire.conflict\nlock.acquire.wait\n") ==
		text);
	CHECK(strstr(text, "lock.acquire.held\nlock.released\n") != NULL);
}

static void *
stop_later(void *stop)
{
	sleep_s(0.2);
	hf_stop_set(stop);
	return NULL;
}

TEST(stop_ends_the_waiting)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_stop stop = {0};
	struct hf_lease_options o = options_of(HF_LOCK_SHARED);
	struct hf_lease *l, *other;
	pthread_t thread;

	o.wait_s = 300;
	o.stop = &stop;
	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &other));
	REQUIRE_EQ(pthread_create(&thread, NULL, stop_later, &stop), 0);
	CHECK_ERR(hf_lease_acquire(repo, &o, &l), HF_ECANCELED);
	pthread_join(thread, NULL);
	CHECK_OK(hf_lease_release(other));

	/* Set between our file and the second look: the file goes. */
	CHECK_ERR(hf_lease_acquire(repo, &o, &l), HF_ECANCELED);
	CHECK_EQ(count_locks(repo, NULL), 0);
}

struct race {
	struct hf_repo *repo;
	atomic_int holders;
	atomic_int taken;
};

static void *
race_loop(void *arg)
{
	struct race *r = arg;
	struct hf_lease *l;

	for (int i = 0; i < 20; i++) {
		struct hf_err *e = take(r->repo, HF_LOCK_EXCLUSIVE, &l);

		if (e != NULL) {
			CHECK_EQ(hf_err_code(e), HF_ELOCKED);
			hf_err_free(e);
			sleep_s(0.001 * (double)(random() % 40));
			continue;
		}
		CHECK_EQ(atomic_fetch_add(&r->holders, 1), 0);
		atomic_fetch_add(&r->taken, 1);
		sleep_s(0.01);
		atomic_fetch_sub(&r->holders, 1);
		CHECK_OK(hf_lease_release(l));
	}
	return NULL;
}

TEST(never_two_exclusive_holders)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct race r = {.repo = repo};
	pthread_t threads[3];

	for (int i = 0; i < 3; i++)
		REQUIRE_EQ(pthread_create(&threads[i], NULL, race_loop, &r), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	CHECK(r.taken > 0);
	CHECK_EQ(count_locks(repo, NULL), 0);
}

/* One waits for readers to go while new ones come all the time. */
static void *
read_all_the_time(void *arg)
{
	struct race *r = arg;
	struct hf_lease *l;

	while (atomic_load(&r->taken) == 0) {
		struct hf_err *e = take(r->repo, HF_LOCK_SHARED, &l);

		if (e != NULL)
			hf_err_free(e);
		else {
			sleep_s(0.05);
			hf_err_free(hf_lease_release(l));
		}
		sleep_s(0.001);
	}
	return NULL;
}

static void
exclusive_is_not_starved(bool claims_early)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct race r = {.repo = repo};
	struct hf_lease_options o = options_of(HF_LOCK_EXCLUSIVE);
	struct hf_lease *l;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		REQUIRE_EQ(pthread_create(&threads[i], NULL, read_all_the_time, &r), 0);
	o.wait_s = 1.5;
	o.claims_early = claims_early;
	sleep_s(0.1);
	struct hf_err *e = hf_lease_acquire(repo, &o, &l);
	atomic_store(&r.taken, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	REQUIRE_OK(e);
	CHECK_OK(hf_lease_release(l));
	CHECK_EQ(count_locks(repo, NULL), 0);
}

TEST(who_waits_to_be_exclusive_is_not_starved)
{
	exclusive_is_not_starved(false);
}

TEST(who_claims_early_is_not_starved)
{
	exclusive_is_not_starved(true);
}

static struct hf_judge
judge_of(struct hf_repo *repo, struct hf_watch *watch, double scale)
{
	return (struct hf_judge){
		.repo = repo,
		.watch = watch,
		.clocks = &hf_clocks_kernel,
		.self = hf_proc_self(),
		.hostname = "",
		.scale = scale,
	};
}

/* Watched by one, found again by the next, over a file. */
TEST(watching_goes_on_in_another_process)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	hf_autofree char *dir = NULL;
	hf_auto(hf_lock_list) list = {0};
	const struct hf_id *id = &hf_repo_config(repo)->id;
	bool done;

	REQUIRE(asprintf(&dir, "%s/deep/seen", test_tmpdir()) > 0);
	plant(repo, "{\"time\":\"2026-01-02T03:04:05Z\",\"hostname\":\"another\",\"pid\":1}");
	struct hf_watch *w = hf_watch_new(dir, id, &hf_clocks_kernel);
	struct hf_judge j = judge_of(repo, w, 0.0001);
	REQUIRE_OK(hf_lock_list(&j, &list));
	REQUIRE_EQ(list.len, 1);
	CHECK_EQ(list.v[0].verdict.proof, HF_PROOF_NONE); /* the store knows no times */
	hf_watch_free(w);
	sleep_s(0.3); /* 31 min, scaled, are 0.186 s */

	w = hf_watch_new(dir, id, &hf_clocks_kernel);
	j = judge_of(repo, w, 0.0001);
	hf_lock_list_clear(&list);
	REQUIRE_OK(hf_lock_list(&j, &list));
	CHECK_EQ(list.v[0].verdict.proof, HF_PROOF_WATCHED);
	REQUIRE_OK(hf_lock_remove(&j, &list.v[0], &done));
	CHECK(done);
	REQUIRE_OK(hf_lock_remove(&j, &list.v[0], &done)); /* somebody was faster */
	CHECK(done);
	CHECK_EQ(count_locks(repo, NULL), 0);
	hf_watch_free(w);
}

static void *
verify_often(void *lease)
{
	for (int i = 0; i < 200; i++) {
		CHECK_OK(hf_lease_verify(lease));
		sleep_s(0.001);
	}
	return NULL;
}

/* Who validates looks while the lease is refreshed; both remember what they see. */
TEST(several_threads_look_at_once)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	hf_autoptr(hf_watch) watch =
		hf_watch_new(NULL, &hf_repo_config(repo)->id, &hf_clocks_kernel);
	struct hf_lease_options o = {
		.mode = HF_LOCK_SHARED, .role = "test", .pace = &lively, .watch = watch};
	struct hf_lease *l, *other;
	pthread_t threads[2];

	REQUIRE_OK(hf_lease_acquire(repo, &o, &l));
	for (int i = 0; i < 2; i++)
		REQUIRE_EQ(pthread_create(&threads[i], NULL, verify_often, l), 0);
	for (int i = 0; i < 20; i++) {
		REQUIRE_OK(take(repo, HF_LOCK_SHARED, &other));
		CHECK_OK(hf_lease_release(other));
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_OK(hf_lease_release(l));
}

/* The proof is from before the refresh. */
TEST(a_holder_that_has_refreshed_since_is_not_removed)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_judge j = judge_of(repo, NULL, 1);
	hf_auto(hf_lock_list) list = {0};
	struct hf_lease *l;
	bool done = true;

	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &l));
	REQUIRE_OK(hf_lock_list(&j, &list));
	REQUIRE_EQ(list.len, 1);
	CHECK(list.v[0].verdict.is_alive);
	list.v[0].info.seq--; /* as if the one that is there had come later */
	struct hf_id later = list.v[0].id;
	struct hf_name name = {HF_LOCK, {{5}}};
	hf_auto(hf_buf) copy = HF_BUF_MAX(1 << 16);
	struct hf_name from = {HF_LOCK, later};
	REQUIRE_OK(hf_store_get(g->inner, &from, 0, SIZE_MAX, &copy));
	REQUIRE_OK(hf_store_put(g->inner, &name, hf_buf_bytes(&copy)));
	list.v[0].id = name.id;
	REQUIRE_OK(hf_lock_remove(&j, &list.v[0], &done));
	CHECK(!done);
	CHECK_EQ(count_locks(repo, NULL), 2);
	REQUIRE_OK(hf_store_del(g->inner, &name));
	CHECK_OK(hf_lease_release(l));
}
