/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock files: our own, and what a listing says about those of others. */
#include <math.h>

#include "codec/sha256.h"
#include "repo/lease_i.h"

enum { DELETE_TRIES = 3 }; /* at the end */

/* ---- sets of ids ---- */

static bool
is_in(const struct hf_buf *ids, const struct hf_id *id)
{
	size_t n = ids->len / sizeof *id;

	return hf_id_find((const void *)ids->p, n, id) < n;
}

/* Before anything is tried under that name: it may be there although nobody says so. */
struct hf_err *
lease_own(struct hf_lease *l, const struct hf_id *id)
{
	pthread_mutex_lock(&l->lock);
	hf_buf_add(&l->names, id, sizeof *id);
	struct hf_err *e = hf_buf_ok(&l->names);
	pthread_mutex_unlock(&l->lock);
	return e;
}

static void
forget(struct hf_lease *l, const struct hf_id *id)
{
	pthread_mutex_lock(&l->lock);
	struct hf_id *v = (void *)l->names.p;
	size_t kept = 0;
	for (size_t i = 0; i < l->names.len / sizeof *v; i++)
		if (!hf_id_eq(&v[i], id))
			v[kept++] = v[i];
	l->names.len = kept * sizeof *v;
	pthread_mutex_unlock(&l->lock);
}

static void
doubt(struct hf_lease *l, const struct hf_id *id)
{
	struct doubt d = {*id, lease_boot(l)};

	pthread_mutex_lock(&l->lock);
	hf_buf_add(&l->doubts, &d, sizeof d);
	pthread_mutex_unlock(&l->lock);
}

/* Whether a file that is not there may still come. No request takes as long as a lease. */
static bool
may_come(struct hf_lease *l, const struct hf_id *id)
{
	int64_t old = lease_boot(l) - hf_ns(l->pace.fence);
	bool found = false;

	pthread_mutex_lock(&l->lock);
	struct doubt *v = (void *)l->doubts.p;
	size_t kept = 0;
	for (size_t i = 0; i < l->doubts.len / sizeof *v; i++) {
		if (v[i].since < old)
			continue;
		found |= hf_id_eq(&v[i].id, id);
		v[kept++] = v[i];
	}
	l->doubts.len = kept * sizeof *v;
	pthread_mutex_unlock(&l->lock);
	return found;
}

/* ---- our files ---- */

struct hf_err *
lease_write(struct hf_lease *l, struct own_file *out)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_LOCK_FILE);
	hf_auto(hf_buf) sealed = HF_BUF_MAX(HF_MAX_LOCK_FILE);
	struct hf_store *store = hf_repo_store(l->repo);
	struct hf_name name = {.kind = HF_LOCK};
	int64_t wall = l->clocks->wall(l->clocks->arg);

	*out = (struct own_file){.fd = -1};
	l->info.time = hf_time_local(
		(struct timespec){(time_t)(wall / HF_SECOND), (long)(wall % HF_SECOND)});
	l->info.is_held = hf_store_can_hold(store);
	hf_lock_write(&json, &l->info);
	HF_TRY(hf_buf_ok(&json));
	HF_TRY(hf_repo_seal(l->repo, HF_LOCK, hf_buf_bytes(&json), &sealed));
	name.id = hf_sha256(hf_buf_bytes(&sealed));
	/* An answer that is lost, or late, hides a file that is there. */
	HF_TRY(lease_own(l, &name.id));
	struct hf_err *e = hf_store_put_held(store, &name, hf_buf_bytes(&sealed), &out->fd);
	if (e != NULL) {
		doubt(l, &name.id);
		return hf_err_in(e, "saving the lock");
	}
	out->id = name.id;
	return NULL;
}

static struct hf_err *
delete_name(struct hf_lease *l, const struct hf_id *id)
{
	struct hf_name name = {HF_LOCK, *id};

	bool is_doubtful =
		may_come(l, id); /* now: this host may sleep before it has the answer */
	struct hf_err *e = hf_store_del(hf_repo_store(l->repo), &name);
	bool is_absent = e != NULL && hf_err_code(e) == HF_ENOTFOUND;

	HF_TRY(hf_err_ignore(e, HF_ENOTFOUND));
	if (!is_absent || !is_doubtful)
		forget(l, id);
	return NULL;
}

struct hf_err *
lease_delete(struct hf_lease *l, struct own_file *file)
{
	struct hf_err *e = hf_id_is_zero(&file->id) ? NULL : delete_name(l, &file->id);

	/* The mark goes after the name: as long as the file can be seen, somebody stands behind it. */
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct own_file){.fd = -1};
	return e;
}

/* A copy of the names, since calls to the store are made without the lock. */
static struct hf_id *
copy_names(struct hf_lease *l, size_t *n)
{
	struct hf_id *v;

	pthread_mutex_lock(&l->lock);
	*n = l->names.len / sizeof *v;
	v = hf_alloc_(*n + 1, sizeof *v);
	if (*n > 0)
		memcpy(v, l->names.p, l->names.len);
	pthread_mutex_unlock(&l->lock);
	return v;
}

static struct hf_err *
delete_all_once(struct hf_lease *l)
{
	size_t n;
	hf_autofree struct hf_id *v = copy_names(l, &n);
	struct hf_err *first = NULL;

	for (size_t i = 0; i < n; i++) {
		struct hf_err *e = delete_name(l, &v[i]);

		if (first == NULL)
			first = e;
		else
			hf_err_free(e);
	}
	return first;
}

struct hf_err *
lease_delete_all(struct hf_lease *l)
{
	struct hf_err *e = delete_all_once(l);

	for (int i = 1; i < DELETE_TRIES && e != NULL && hf_err_code(e) == HF_EIO; i++) {
		hf_err_free(e);
		lease_pause(l, l->pace.again * i);
		e = delete_all_once(l);
	}
	return e;
}

void
lease_delete_ghosts(struct hf_lease *l)
{
	size_t n;
	hf_autofree struct hf_id *v = copy_names(l, &n);

	for (size_t i = 0; i < n; i++)
		if (!hf_id_eq(&v[i], &l->file.id) && !hf_id_eq(&v[i], &l->waiting.id))
			hf_err_free(delete_name(l, &v[i]));
}

/* ---- looking ---- */

void
sight_clear(struct sight *s)
{
	hf_lock_info_clear(&s->rival);
	*s = (struct sight){0};
}

struct looking {
	struct hf_lease *l;
	bool (*is_rival)(const struct hf_lock_info *, const struct hf_lock_info *);
	bool skips_bad;
	struct sight *out;
};

static void
remember(struct hf_lease *l, const struct hf_id *id)
{
	pthread_mutex_lock(&l->lock);
	hf_buf_add(&l->known, id, sizeof *id); /* when it is full, it is read each time */
	pthread_mutex_unlock(&l->lock);
}

/* Reads one lock of another. */
static struct hf_err *
look_at(struct looking *k, const struct hf_id *id)
{
	hf_auto(hf_lock_info) other = {0};

	HF_TRY(hf_lock_load(k->l->repo, id, &other));
	/* Of the process whose lease this one has adopted: a file that it did not live to delete. */
	if (other.is_ours && strcmp(other.holder, k->l->info.holder) == 0)
		return lease_own(k->l, id);
	if (!k->is_rival(&k->l->info, &other)) {
		remember(k->l, id);
		return NULL;
	}
	if (!k->out->has_rival) {
		k->out->has_rival = true;
		k->out->rival_id = *id;
		k->out->rival = other;
		other = (struct hf_lock_info){0};
	}
	return NULL;
}

static bool
is_of_interest(struct looking *k, const struct hf_id *id, uint64_t size)
{
	struct hf_lease *l = k->l;

	/* An empty file is what an interrupted upload leaves on some stores. */
	if (size == 0)
		return false;
	pthread_mutex_lock(&l->lock);
	bool is_new = !is_in(&l->names, id) && !is_in(&l->known, id);
	pthread_mutex_unlock(&l->lock);
	return is_new;
}

/*
 * What cannot be read is no reason to keep a reader or a backup out for longer than its owner could
 * have lived; by the store's clock, since the file itself says nothing.
 */
static bool
is_old_junk(struct looking *k, const struct hf_id *id)
{
	struct hf_name name = {HF_LOCK, *id};
	double age = NAN;

	if (k->l->info.is_exclusive)
		return false;
	hf_err_free(hf_store_age(hf_repo_store(k->l->repo), &name, &age));
	if (isnan(age) || age < k->l->pace.stale)
		return false;
	remember(k->l, id);
	lease_tell(k->l, (struct hf_lease_event){.kind = HF_LEASE_EV_IGNORED, .id = *id});
	return true;
}

/* Keeps the first error that is no mere vanishing. Takes `e`. */
static void
keep(struct looking *k, const struct hf_id *id, struct hf_err *e, struct hf_err **first)
{
	bool is_bad = hf_err_code(e) == HF_ECORRUPT;

	if (hf_err_code(e) == HF_ENOTFOUND) {
		k->out->moved = true;
	} else if (*first == NULL && !(is_bad && (k->skips_bad || is_old_junk(k, id)))) {
		*first = e;
		return;
	}
	hf_err_free(e);
}

struct hf_err *
lease_look(struct hf_lease *l, const struct hf_id *first, const struct hf_id *second,
	bool (*is_rival)(const struct hf_lock_info *, const struct hf_lock_info *),
	bool skips_bad, struct sight *out)
{
	struct looking k = {l, is_rival, skips_bad, out};
	hf_autofree struct hf_id *ids = NULL;
	hf_autofree uint64_t *sizes = NULL;
	hf_autoptr(hf_err) unreadable = NULL;
	size_t n;

	sight_clear(out);
	HF_TRY(hf_repo_list(l->repo, HF_LOCK, &ids, &sizes, &n));
	hf_watch_saw(l->o.watch, ids, n);
	for (size_t i = 0; i < n; i++) {
		out->has_first |= first != NULL && hf_id_eq(&ids[i], first);
		out->has_second |= second != NULL && hf_id_eq(&ids[i], second);
		if (!is_of_interest(&k, &ids[i], sizes[i]))
			continue;
		struct hf_err *e = look_at(&k, &ids[i]);
		if (e != NULL)
			keep(&k, &ids[i], e, &unreadable);
	}
	return out->has_rival ? NULL : hf_steal(unreadable);
}
