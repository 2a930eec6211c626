/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking, renewing and giving back the lock. The order of every renewal is: write the new file,
 * see that the old one is still there, delete the old one. At any moment at least one file of
 * ours can be listed, and whoever deleted the old one before the second step is noticed: then
 * somebody believed us dead and may have gone ahead.
 */
#include "repo/lock.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/group.h"
#include "codec/sha256.h"

enum {
	READ_TRIES = 4,  /* for locks that cannot be read */
	MOVED_TRIES = 20 /* for locks that vanish while they are read */
};

enum state { IS_HELD, IS_LATE, IS_REMOVED };

struct hf_lock {
	struct hf_repo *repo; /* borrowed */
	struct hf_lock_pace pace;
	struct hf_lock_info info; /* what the file says; owned */
	struct hf_id id;          /* of our file; all zero: there is none */
	struct hf_buf known;      /* ids of locks that were read and do not exclude us */
	struct hf_buf leftovers;  /* ids of our old files that could not be deleted */

	/* When the file that we hold on to was begun, by both clocks, in ms. */
	atomic_int_least64_t wall_ms, boot_ms;
	atomic_int state;

	struct hf_group *group;
	pthread_mutex_t mutex;
	pthread_cond_t wakes;
	bool ends; /* under the mutex */
};

static int64_t
clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Sleeps, but not after `stop` was set. */
static struct hf_err *
pause_s(double seconds, struct hf_stop *stop)
{
	double end = hf_clock() + seconds, left;

	while ((left = end - hf_clock()) > 0) {
		double part = left < 0.1 ? left : 0.1;
		struct timespec ts = {.tv_nsec = (long)(part * 1e9)};

		HF_TRY(hf_stop_check(stop));
		nanosleep(&ts, NULL);
	}
	return hf_stop_check(stop);
}

/* ---- the others ---- */

static bool
is_in(const struct hf_buf *ids, const struct hf_id *id)
{
	const struct hf_id *v = (const void *)ids->p;

	for (size_t i = 0; i < ids->len / sizeof *v; i++) {
		if (hf_id_eq(&v[i], id))
			return true;
	}
	return false;
}

/* Wrappers read these lines; restic's `main` adds the last one. */
static struct hf_err *
locked_by(const struct hf_lock_info *other, const struct hf_id *id)
{
	hf_auto(hf_buf) since = HF_BUF_MAX(64);
	hf_auto(hf_buf) age = HF_BUF_MAX(64);
	struct hf_time now = hf_time_now();

	hf_time_add(&since, &other->time);
	hf_duration_add(
		&age, (now.sec - other->time.sec) * 1000000000 + now.nsec - other->time.nsec);
	HF_TRY(hf_buf_ok(&since));
	since.p[10] = ' '; /* "2006-01-02T15:04:05…" */
	return hf_err(HF_ELOCKED,
		"repository is already locked %sby PID %lld on %s by %s (UID %u, GID %u)\n"
		"lock was created at %.19s (%.*s ago)\nstorage ID %.8s\n"
		"the `unlock` command can be used to remove stale locks",
		other->is_exclusive ? "exclusively " : "", (long long)other->pid,
		other->hostname, other->username, other->uid, other->gid, (const char *)since.p,
		(int)age.len, (const char *)age.p, hf_id_hex(id).s);
}

/* Looks at one lock. HF_ELOCKED: it excludes ours. */
static struct hf_err *
look_at(struct hf_lock *l, const struct hf_id *id)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_LOCK_FILE);
	hf_auto(hf_lock_info) other = {0};
	struct hf_name name = {HF_LOCK, *id};

	HF_TRY(hf_repo_load(l->repo, &name, &json));
	HF_TRY(hf_err_in(
		hf_lock_parse(hf_buf_bytes(&json), &other), "%s", hf_name_text(&name).s));
	if (hf_lock_is_orphan(&other, &l->info)) {
		struct hf_err *e = hf_store_del(hf_repo_store(l->repo), &name);

		if (e == NULL || hf_err_code(e) == HF_ENOTFOUND) {
			hf_err_free(e);
			return NULL;
		}
		hf_err_free(e); /* who may not delete it has to respect it */
	}
	if (l->info.is_exclusive || other.is_exclusive)
		return locked_by(&other, id);
	hf_buf_add(&l->known, id, sizeof *id);
	return hf_buf_ok(&l->known);
}

/*
 * Looks at all locks once. A lock that vanishes between listing and reading may have been
 * renewed under a new name that the listing did not show: *moved tells to list again. Of
 * several errors a conflict is the one that matters.
 */
static struct hf_err *
look_once(struct hf_lock *l, bool *moved)
{
	hf_autofree struct hf_id *ids = NULL;
	hf_autofree uint64_t *sizes = NULL;
	hf_autoptr(hf_err) unreadable = NULL;
	size_t n;

	*moved = false;
	HF_TRY(hf_repo_list(l->repo, HF_LOCK, &ids, &sizes, &n));
	for (size_t i = 0; i < n; i++) {
		/* An empty file is what an interrupted upload leaves on some stores. */
		if (sizes[i] == 0 || hf_id_eq(&ids[i], &l->id) || is_in(&l->known, &ids[i]))
			continue;
		struct hf_err *e = look_at(l, &ids[i]);

		if (e == NULL)
			continue;
		if (hf_err_code(e) == HF_ELOCKED)
			return e;
		if (hf_err_code(e) == HF_ENOTFOUND)
			*moved = true;
		else if (unreadable == NULL)
			unreadable = hf_steal(e);
		hf_err_free(e);
	}
	return hf_steal(unreadable);
}

/* The last word on locks that could not be read. Takes `e`. */
static struct hf_err *
unreadable_locks(struct hf_err *e)
{
	hf_autoptr(hf_err) cause = e;

	if (hf_err_code(cause) != HF_ECORRUPT)
		return hf_steal(cause);
	return hf_err(HF_ECORRUPT,
		"invalid lock file: %s\n\nthe `unlock --remove-all` command can be used to "
		"remove "
		"invalid locks. Make sure that no other process is accessing the repository "
		"when "
		"running the command",
		hf_err_text(cause));
}

static struct hf_err *
look_for_others(struct hf_lock *l, struct hf_stop *stop)
{
	double pause = l->pace.unreadable;
	int reads = 0, moves = 0;

	for (;;) {
		bool moved;
		struct hf_err *e = look_once(l, &moved);

		if (e == NULL && !moved)
			return NULL;
		if (e != NULL && hf_err_code(e) == HF_ELOCKED)
			return e;
		if (e == NULL) {
			if (++moves == MOVED_TRIES)
				return hf_err(HF_EIO, "the locks do not keep still");
			HF_TRY(pause_s(l->pace.settle, stop));
			continue;
		}
		if (++reads == READ_TRIES)
			return unreadable_locks(e);
		hf_err_free(e);
		HF_TRY(pause_s(pause, stop));
		pause *= 2;
	}
}

/* ---- our file ---- */

static void
delete_quietly(struct hf_lock *l, const struct hf_id *id)
{
	struct hf_name name = {HF_LOCK, *id};

	hf_err_free(hf_store_del(hf_repo_store(l->repo), &name));
}

/*
 * Writes a file with the present time. What a lost answer hides is deleted as far as possible.
 */
static struct hf_err *
write_file(struct hf_lock *l, struct hf_id *id)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_LOCK_FILE);
	hf_auto(hf_buf) sealed = HF_BUF_MAX(HF_MAX_LOCK_FILE);
	struct hf_name name = {.kind = HF_LOCK};

	l->info.time = hf_time_now();
	hf_lock_write(&json, &l->info);
	HF_TRY(hf_buf_ok(&json));
	HF_TRY(hf_repo_seal(l->repo, HF_LOCK, hf_buf_bytes(&json), &sealed));
	name.id = hf_sha256(hf_buf_bytes(&sealed));
	struct hf_err *e = hf_store_put(hf_repo_store(l->repo), &name, hf_buf_bytes(&sealed));
	if (e != NULL) {
		delete_quietly(l, &name.id);
		return hf_err_in(e, "saving the lock");
	}
	*id = name.id;
	return NULL;
}

static void
set_renewed(struct hf_lock *l, int64_t wall_ms, int64_t boot_ms)
{
	atomic_store(&l->wall_ms, wall_ms);
	atomic_store(&l->boot_ms, boot_ms);
}

/*
 * The clock that ran further counts: the one that others compare our file with, or the one that
 * nobody can set.
 */
static bool
is_late(struct hf_lock *l)
{
	int64_t wall = clock_ms(CLOCK_REALTIME) - atomic_load(&l->wall_ms);
	int64_t boot = clock_ms(CLOCK_BOOTTIME) - atomic_load(&l->boot_ms);

	return (double)(wall > boot ? wall : boot) >= l->pace.lost * 1000;
}

static void
set_state(struct hf_lock *l, enum state state)
{
	int held = IS_HELD;

	atomic_compare_exchange_strong(&l->state, &held, state); /* the first reason stays */
}

static void
delete_leftovers(struct hf_lock *l)
{
	struct hf_id *v = (void *)l->leftovers.p;
	size_t kept = 0;

	for (size_t i = 0; i < l->leftovers.len / sizeof *v; i++) {
		struct hf_name name = {HF_LOCK, v[i]};
		hf_autoptr(hf_err) e = hf_store_del(hf_repo_store(l->repo), &name);

		if (e != NULL && hf_err_code(e) != HF_ENOTFOUND)
			v[kept++] = v[i];
	}
	l->leftovers.len = kept * sizeof *v;
}

static struct hf_err *
renew(struct hf_lock *l)
{
	int64_t wall_ms = clock_ms(CLOCK_REALTIME), boot_ms = clock_ms(CLOCK_BOOTTIME);
	struct hf_name old = {HF_LOCK, l->id};
	struct hf_id id;
	uint64_t size;

	HF_TRY(write_file(l, &id));
	struct hf_err *e = hf_store_stat(hf_repo_store(l->repo), &old, &size);
	if (e != NULL) {
		if (hf_err_code(e) == HF_ENOTFOUND)
			set_state(l, IS_REMOVED);
		delete_quietly(l, &id);
		return e;
	}
	if (is_late(l)) { /* it took too long: LOST is final */
		set_state(l, IS_LATE);
		delete_quietly(l, &id);
		return NULL;
	}
	hf_buf_add(&l->leftovers, &l->id, sizeof l->id);
	l->id = id;
	set_renewed(l, wall_ms, boot_ms);
	delete_leftovers(l);
	return NULL;
}

/* Waits a second, or less at a quick pace. False: the lock is to be released. */
static bool
wait_a_tick(struct hf_lock *l)
{
	double tick = l->pace.renew / 5 < 1 ? l->pace.renew / 5 : 1;
	struct timespec until;
	bool ends;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(tick * 1e9);
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&l->mutex);
	while (!l->ends) {
		if (pthread_cond_timedwait(&l->wakes, &l->mutex, &until) == ETIMEDOUT)
			break;
	}
	ends = l->ends;
	pthread_mutex_unlock(&l->mutex);
	return !ends;
}

/* Sleeping systems do not count their sleep here, so that the clock is read at every tick. */
static struct hf_err *
renew_loop(void *arg)
{
	struct hf_lock *l = arg;
	double next = hf_clock() + l->pace.renew;

	while (wait_a_tick(l) && atomic_load(&l->state) == IS_HELD) {
		if (is_late(l)) {
			set_state(l, IS_LATE);
			break;
		}
		if (hf_clock() < next)
			continue;
		hf_autoptr(hf_err) e = renew(l);
		next = hf_clock() + (e == NULL ? l->pace.renew : l->pace.renew / 5);
	}
	return NULL;
}

struct hf_err *
hf_lock_check(struct hf_lock *lock)
{
	if (lock == NULL)
		return NULL;
	/* The thread may not have run yet since the system woke up. */
	if (is_late(lock))
		set_state(lock, IS_LATE);
	switch (atomic_load(&lock->state)) {
	case IS_HELD:
		return NULL;
	case IS_REMOVED:
		return hf_err(HF_ELOCKED, "failed to refresh lock in time: lock file was "
					  "removed in the meantime");
	default:
		return hf_err(HF_ELOCKED, "failed to refresh lock in time");
	}
}

/* ---- acquire and release ---- */

static void
lock_free(struct hf_lock *l)
{
	if (l == NULL)
		return;
	hf_group_free(l->group);
	hf_lock_info_clear(&l->info);
	hf_buf_clear(&l->known);
	hf_buf_clear(&l->leftovers);
	pthread_cond_destroy(&l->wakes);
	pthread_mutex_destroy(&l->mutex);
	free(l);
}

static struct hf_lock *
lock_new(struct hf_repo *repo, enum hf_lock_mode mode, const struct hf_lock_pace *pace)
{
	struct hf_lock *l = hf_new(struct hf_lock);
	pthread_condattr_t attr;

	l->repo = repo;
	l->pace = *pace;
	l->known = (struct hf_buf)HF_BUF_MAX(1 << 20);
	l->leftovers = (struct hf_buf)HF_BUF_MAX(1 << 20);
	hf_lock_info_self(&l->info);
	l->info.is_exclusive = mode == HF_LOCK_EXCLUSIVE;
	l->group = hf_group_new(NULL, NULL); /* its thread returns no error */
	pthread_mutex_init(&l->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wakes, &attr);
	pthread_condattr_destroy(&attr);
	return l;
}

/*
 * Two that come at the same time see each other at the second look, if not at the first: each
 * has written its file before.
 */
static struct hf_err *
try_once(struct hf_lock *l, struct hf_stop *stop)
{
	int64_t wall_ms, boot_ms;

	HF_TRY(look_for_others(l, stop));
	wall_ms = clock_ms(CLOCK_REALTIME);
	boot_ms = clock_ms(CLOCK_BOOTTIME);
	HF_TRY(write_file(l, &l->id));
	set_renewed(l, wall_ms, boot_ms);
	/*
	 * Of two who want a lock, the one whose file came second sees the first, provided that
	 * listings show what is there. Where they do, waiting adds nothing. A folder is read
	 * entry by entry, though, and a holder that renews its lock just then might slip
	 * through one reading; so it is read twice.
	 */
	bool is_sure = hf_store_lists_at_once(hf_repo_store(l->repo));
	struct hf_err *e = is_sure ? look_for_others(l, stop) : pause_s(l->pace.settle, stop);
	if (e == NULL)
		e = look_for_others(l, stop);
	if (e == NULL)
		return NULL;
	delete_quietly(l, &l->id);
	l->id = (struct hf_id){0};
	return e;
}

static struct hf_err *
try_until(struct hf_lock *l, double wait_s, struct hf_stop *stop, hf_lock_wait_fn *on_wait,
	void *arg)
{
	double end = hf_clock() + wait_s, pause = l->pace.retry, left;
	struct hf_err *e = try_once(l, stop);
	hf_auto(hf_buf) text = HF_BUF_MAX(128);

	if (e != NULL && hf_err_code(e) == HF_ELOCKED && wait_s > 0 && on_wait != NULL) {
		hf_buf_add_str(&text, "repo already locked, waiting up to ");
		hf_duration_add(&text, (int64_t)(wait_s * 1e9));
		hf_buf_add_str(&text, " for the lock");
		hf_buf_add(&text, "", 1);
		on_wait(arg, (const char *)text.p);
	}
	while (e != NULL && hf_err_code(e) == HF_ELOCKED && (left = end - hf_clock()) > 0) {
		hf_err_free(e);
		HF_TRY(pause_s(pause < left ? pause : left, stop));
		e = try_once(l, stop);
		pause = 2 * pause < l->pace.retry_max ? 2 * pause : l->pace.retry_max;
	}
	return e;
}

struct hf_err *
hf_lock_acquire_at(struct hf_repo *repo, enum hf_lock_mode mode, double wait_s,
	const struct hf_lock_pace *pace, struct hf_stop *stop, hf_lock_wait_fn *on_wait,
	void *arg, struct hf_lock **out)
{
	struct hf_lock *l = lock_new(repo, mode, pace);
	struct hf_err *e = try_until(l, wait_s, stop, on_wait, arg);

	*out = NULL;
	if (e == NULL) {
		e = hf_group_go(l->group, "lock", renew_loop, l);
		if (e != NULL)
			delete_quietly(l, &l->id);
	}
	if (e != NULL) {
		lock_free(l);
		return hf_err_code(e) == HF_ECANCELED
			       ? e
			       : hf_err_in(e, "unable to create lock in backend");
	}
	*out = l;
	return NULL;
}

struct hf_err *
hf_lock_acquire(struct hf_repo *repo, enum hf_lock_mode mode, double wait_s,
	struct hf_stop *stop, hf_lock_wait_fn *on_wait, void *arg, struct hf_lock **out)
{
	return hf_lock_acquire_at(repo, mode, wait_s, &HF_LOCK_PACE, stop, on_wait, arg, out);
}

struct hf_err *
hf_lock_release(struct hf_lock *lock)
{
	if (lock == NULL)
		return NULL;
	pthread_mutex_lock(&lock->mutex);
	lock->ends = true;
	pthread_cond_signal(&lock->wakes);
	pthread_mutex_unlock(&lock->mutex);
	hf_err_free(hf_group_wait(lock->group));

	struct hf_name name = {HF_LOCK, lock->id};
	delete_leftovers(lock);
	struct hf_err *e = hf_store_del(hf_repo_store(lock->repo), &name);
	lock_free(lock);
	return hf_err_in(hf_err_ignore(e, HF_ENOTFOUND), "deleting our lock");
}
