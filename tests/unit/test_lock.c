/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock: who excludes whom, what others read, renewal, and how it is lost. */
#include "repo/lock.h"

#include <pthread.h>
#include <regex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/host.h"
#include "codec/sha256.h"
#include "harness/test.h"
#include "store/mem.h"

/* A store in memory with a switch for what the lock does with it. */
struct gate {
	struct hf_store store;
	struct hf_store *inner;
	atomic_bool fails;   /* writing and asking fail */
	atomic_int ghosts;   /* so many listings show a lock that is not there */
	atomic_bool no_dels; /* deleting fails */
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
	if (gate_of(s)->fails)
		return hf_err(HF_EIO, "no way");
	return hf_store_put(gate_of(s)->inner, name, data);
}

static struct hf_err *
gate_get(struct hf_store *s, const struct hf_name *name, uint64_t off, size_t len,
	struct hf_buf *out)
{
	return hf_store_get(gate_of(s)->inner, name, off, len, out);
}

static struct hf_err *
gate_stat(struct hf_store *s, const struct hf_name *name, uint64_t *size)
{
	if (gate_of(s)->fails)
		return hf_err(HF_EIO, "no way");
	return hf_store_stat(gate_of(s)->inner, name, size);
}

static struct hf_err *
gate_list(struct hf_store *s, enum hf_kind kind, hf_store_list_fn *fn, void *arg)
{
	struct hf_name ghost = {HF_LOCK, {{7}}};

	if (kind == HF_LOCK && gate_of(s)->ghosts > 0) {
		gate_of(s)->ghosts--;
		HF_TRY(fn(arg, &ghost, 100));
	}
	return hf_store_list(gate_of(s)->inner, kind, fn, arg);
}

static struct hf_err *
gate_del(struct hf_store *s, const struct hf_name *name)
{
	if (gate_of(s)->no_dels)
		return hf_err(HF_EFATAL, "append only");
	return hf_store_del(gate_of(s)->inner, name);
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
};

static char gate_url[] = "gate:";

static struct hf_repo *
make_repo(struct gate **out)
{
	struct gate *g = hf_new(struct gate);
	hf_auto(hf_secret) password = {0};
	struct hf_repo *repo;

	g->store = (struct hf_store){.ops = &gate_ops, .url = gate_url, .connections = 2};
	g->inner = hf_store_mem();
	hf_secret_set(&password, hf_str_bytes(hf_str("pw")));
	REQUIRE_OK(hf_repo_init(&g->store, &password, 2, 0, NULL, &repo));
	*out = g;
	return repo;
}

/* Nothing takes long; renewal only where a test wants it. */
static const struct hf_lock_pace quick = {0.01, 0.01, 0.02, 0.1, 1000, 2000};

static struct hf_err *
take(struct hf_repo *repo, enum hf_lock_mode mode, struct hf_lock **out)
{
	return hf_lock_acquire_at(repo, mode, 0, &quick, NULL, NULL, NULL, out);
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

/* The lock file of a process `pid` in some pid space. */
static struct hf_id
plant_of(struct hf_repo *repo, const char *host, int64_t pid, const char *space)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	hf_auto(hf_lock_info) info = {0};

	hf_lock_info_self(&info);
	free(info.hostname);
	free(info.pid_space);
	info.hostname = hf_str_dup(hf_str(host));
	info.pid_space = hf_str_dup(hf_str(space));
	info.pid = pid;
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
	CHECK_STR(info.pid_space, "");
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

TEST(shared_with_shared_exclusive_with_none)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lock *a = NULL, *b = NULL, *c = NULL;

	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &a));
	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &b));
	CHECK_EQ(count_locks(repo, NULL), 2);
	CHECK_ERR_TEXT(take(repo, HF_LOCK_EXCLUSIVE, &c), HF_ELOCKED,
		"repository is already locked by PID");
	CHECK(c == NULL);
	CHECK_EQ(count_locks(repo, NULL), 2);
	CHECK_OK(hf_lock_check(a));
	CHECK_OK(hf_lock_release(a));
	CHECK_OK(hf_lock_release(b));
	CHECK_EQ(count_locks(repo, NULL), 0);

	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &c));
	CHECK_ERR_TEXT(take(repo, HF_LOCK_SHARED, &a), HF_ELOCKED,
		"repository is already locked exclusively by PID");
	CHECK_ERR(take(repo, HF_LOCK_EXCLUSIVE, &a), HF_ELOCKED);
	CHECK_OK(hf_lock_release(c));
	CHECK_EQ(count_locks(repo, NULL), 0);
	CHECK_OK(hf_lock_release(NULL));
	CHECK_OK(hf_lock_check(NULL));
}

TEST(conflict_text_is_restics)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lock *l;
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
			   "the `unlock` command can be used to remove stale locks$",
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
	hf_autofree char *host = hf_host_name(), *space = hf_pid_space();
	struct hf_name name = {.kind = HF_LOCK};
	struct hf_lock *l;
	pid_t dead = dead_pid();

	if (space[0] == '\0')
		SKIP("the pid space has no name here");
	plant_of(repo, host, dead, space);
	REQUIRE_OK(take(repo, HF_LOCK_SHARED, &l));
	CHECK_EQ(count_locks(repo, NULL), 1);
	CHECK_OK(hf_lock_release(l));

	/* Each of these lacks one part of the proof. */
	const struct {
		const char *host, *space;
		pid_t pid;
	} alive[] = {
		{host, space, getpid()},
		{host, space, 1}, /* may belong to somebody else */
		{host, "", dead},
		{host, "another boot/pid:[1]", dead},
		{"another", space, dead},
	};
	for (size_t i = 0; i < sizeof alive / sizeof alive[0]; i++) {
		name.id = plant_of(repo, alive[i].host, alive[i].pid, alive[i].space);
		CHECK_ERR(take(repo, HF_LOCK_SHARED, &l), HF_ELOCKED);
		REQUIRE_OK(hf_store_del(hf_repo_store(repo), &name));
	}

	/* Dead, but not ours to delete. */
	plant_of(repo, host, dead, space);
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
	struct hf_lock *l;

	REQUIRE_OK(hf_store_put(g->inner, &empty, nothing)); /* an interrupted upload */
	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &l));
	CHECK_OK(hf_lock_release(l));

	REQUIRE_OK(hf_store_put(g->inner, &name, junk));
	double begin = hf_clock();
	CHECK_ERR_TEXT(take(repo, HF_LOCK_SHARED, &l), HF_ECORRUPT, "unlock --remove-all");
	CHECK(hf_clock() - begin >= 0.07); /* 10 + 20 + 40 ms */
	CHECK_EQ(count_locks(repo, NULL), 2);

	/* A conflict is the better answer. */
	plant_of(repo, "another", 1, "");
	CHECK_ERR(take(repo, HF_LOCK_SHARED, &l), HF_ELOCKED);
}

TEST(vanishing_locks_are_listed_again)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lock *l;

	g->ghosts = 3;
	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &l));
	CHECK_EQ(g->ghosts, 0);
	CHECK_OK(hf_lock_release(l));
	g->ghosts = 1000;
	CHECK_ERR(take(repo, HF_LOCK_EXCLUSIVE, &l), HF_EIO);
}

static void
sleep_s(double s)
{
	struct timespec ts = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

	nanosleep(&ts, NULL);
}

/* Renewed every 50 ms, lost after a second. */
static const struct hf_lock_pace lively = {0.01, 0.01, 0.02, 0.1, 0.05, 1};

TEST(renewal_replaces_the_file)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lock *l;
	struct hf_id before, after;

	REQUIRE_OK(hf_lock_acquire_at(repo, HF_LOCK_SHARED, 0, &lively, NULL, NULL, NULL, &l));
	CHECK_EQ(count_locks(repo, &before), 1);
	sleep_s(2);
	CHECK_OK(hf_lock_check(l)); /* twice the time after which it would be lost */
	CHECK(count_locks(repo, &after) >= 1);
	CHECK(!hf_id_eq(&before, &after));

	g->no_dels = true; /* what cannot be deleted is deleted later */
	sleep_s(0.4);
	g->no_dels = false;
	CHECK(count_locks(repo, NULL) > 1);
	CHECK_OK(hf_lock_check(l));
	CHECK_OK(hf_lock_release(l));
	CHECK_EQ(count_locks(repo, NULL), 0);
}

TEST(lock_is_lost_without_renewal)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lock *l;

	REQUIRE_OK(hf_lock_acquire_at(repo, HF_LOCK_SHARED, 0, &lively, NULL, NULL, NULL, &l));
	g->fails = true;
	sleep_s(0.3);
	CHECK_OK(hf_lock_check(l));
	sleep_s(1);
	CHECK_ERR_TEXT(hf_lock_check(l), HF_ELOCKED, "failed to refresh lock in time");
	g->fails = false;
	sleep_s(0.3);
	CHECK_ERR(hf_lock_check(l), HF_ELOCKED); /* for ever */
	CHECK_OK(hf_lock_release(l));
	CHECK_EQ(count_locks(repo, NULL), 0);
}

TEST(lock_is_lost_when_somebody_removes_it)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	struct hf_lock *l;
	size_t removed;

	REQUIRE_OK(hf_lock_acquire_at(repo, HF_LOCK_SHARED, 0, &lively, NULL, NULL, NULL, &l));
	REQUIRE_OK(hf_lock_remove_stale(repo, true, &removed));
	CHECK(removed >= 1);
	sleep_s(0.5);
	CHECK_ERR_TEXT(hf_lock_check(l), HF_ELOCKED, "removed in the meantime");
	CHECK_EQ(count_locks(repo, NULL), 0);
	CHECK_OK(hf_lock_release(l));
}

static void
note_text(void *arg, const char *text)
{
	hf_buf_add_str(arg, text);
}

static void *
release_later(void *lock)
{
	sleep_s(0.3);
	CHECK_OK(hf_lock_release(lock));
	return NULL;
}

TEST(waiting_for_a_lock)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	hf_auto(hf_buf) said = HF_BUF_MAX(4096);
	struct hf_lock *l, *other;
	pthread_t thread;

	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &other));
	double begin = hf_clock();
	CHECK_ERR(hf_lock_acquire_at(
			  repo, HF_LOCK_SHARED, 0.2, &quick, NULL, note_text, &said, &l),
		HF_ELOCKED);
	CHECK(hf_clock() - begin >= 0.2);
	CHECK(hf_clock() - begin < 2);

	hf_buf_reset(&said);
	REQUIRE_EQ(pthread_create(&thread, NULL, release_later, other), 0);
	REQUIRE_OK(hf_lock_acquire_at(
		repo, HF_LOCK_SHARED, 300, &quick, NULL, note_text, &said, &l));
	pthread_join(thread, NULL);
	hf_buf_add(&said, "", 1);
	CHECK_STR((const char *)said.p, "repo already locked, waiting up to 5m0s for the lock");
	CHECK_OK(hf_lock_release(l));
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
	struct hf_lock *l, *other;
	pthread_t thread;

	REQUIRE_OK(take(repo, HF_LOCK_EXCLUSIVE, &other));
	REQUIRE_EQ(pthread_create(&thread, NULL, stop_later, &stop), 0);
	CHECK_ERR(hf_lock_acquire_at(repo, HF_LOCK_SHARED, 300, &quick, &stop, NULL, NULL, &l),
		HF_ECANCELED);
	pthread_join(thread, NULL);
	CHECK_OK(hf_lock_release(other));

	/* Set between our file and the second look: the file goes. */
	CHECK_ERR(hf_lock_acquire_at(repo, HF_LOCK_SHARED, 0, &quick, &stop, NULL, NULL, &l),
		HF_ECANCELED);
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
	static const struct hf_lock_pace pace = {0.03, 0.01, 0.02, 0.1, 1000, 2000};
	struct race *r = arg;
	struct hf_lock *l;

	for (int i = 0; i < 20; i++) {
		struct hf_err *e = hf_lock_acquire_at(
			r->repo, HF_LOCK_EXCLUSIVE, 0, &pace, NULL, NULL, NULL, &l);

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
		CHECK_OK(hf_lock_release(l));
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

TEST(unlock_removes_what_is_stale)
{
	struct gate *g;
	hf_autoptr(hf_repo) repo = make_repo(&g);
	hf_autofree char *host = hf_host_name();
	struct hf_bytes junk = {(const uint8_t *)"junk", 4};
	struct hf_name name = {HF_LOCK, hf_sha256(junk)};
	size_t removed;

	plant_of(repo, "another", 1, "");
	plant_of(repo, host, getpid(), "");
	REQUIRE_OK(hf_store_put(g->inner, &name, junk));
	REQUIRE_OK(hf_lock_remove_stale(repo, false, &removed));
	CHECK_EQ(removed, 0);

	plant_of(repo, host, dead_pid(), "");
	plant(repo, "{\"time\":\"2026-01-02T03:04:05Z\",\"hostname\":\"another\",\"pid\":1}");
	REQUIRE_OK(hf_lock_remove_stale(repo, false, &removed));
	CHECK_EQ(removed, 2);
	CHECK_EQ(count_locks(repo, NULL), 3);
	REQUIRE_OK(hf_lock_remove_stale(repo, true, &removed));
	CHECK_EQ(removed, 3);
}
