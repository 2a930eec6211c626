/* SPDX-License-Identifier: BSD-2-Clause */
/* Many snapshots: which of them match, loading them on several threads, finding one by text. */
#include <stdatomic.h>

#include "base/group.h"
#include "codec/quote.h"
#include "repo/snapshot.h"

/* ---- filter ---- */

void
hf_snapshot_filter_clear(struct hf_snapshot_filter *f)
{
	hf_strings_clear(&f->hosts);
	hf_strings_clear(&f->tags);
	hf_strings_clear(&f->paths);
	*f = (struct hf_snapshot_filter){0};
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts the next tag off the "a, b" at *text, without blanks around it. False: no more. */
static bool
next_tag(const char **text, struct hf_str *tag)
{
	const char *p = *text, *end;

	if (p == NULL)
		return false;
	end = strchrnul(p, ',');
	*text = *end == ',' ? end + 1 : NULL;
	while (p < end && is_blank(*p))
		p++;
	while (p < end && is_blank(end[-1]))
		end--;
	*tag = (struct hf_str){p, (size_t)(end - p)};
	return true;
}

static bool
has_tag(const struct hf_snapshot *s, struct hf_str tag)
{
	for (size_t i = 0; i < s->tags.len; i++) {
		if (hf_str_is(tag, s->tags.v[i]))
			return true;
	}
	return false;
}

bool
hf_snapshot_has_tags(const struct hf_snapshot *s, const char *list)
{
	struct hf_str tag;

	while (next_tag(&list, &tag)) {
		if (tag.len == 0 && s->tags.len == 0)
			return true;
		if (!has_tag(s, tag))
			return false;
	}
	return true;
}

bool
hf_snapshot_matches(const struct hf_snapshot *s, const struct hf_snapshot_filter *f)
{
	bool is_tagged = f->tags.len == 0;

	if (f->hosts.len > 0 && !hf_strings_has(&f->hosts, s->hostname))
		return false;
	for (size_t i = 0; i < f->tags.len && !is_tagged; i++)
		is_tagged = hf_snapshot_has_tags(s, f->tags.v[i]);
	if (!is_tagged)
		return false;
	for (size_t i = 0; i < f->paths.len; i++) {
		if (!hf_strings_has(&s->paths, f->paths.v[i]))
			return false;
	}
	return !f->has_until || hf_time_cmp(&s->time, &f->until) <= 0;
}

void
hf_tags_add(struct hf_buf *out, const char *list)
{
	const char *comma = "";
	struct hf_str tag;

	hf_buf_add_char(out, '[');
	while (next_tag(&list, &tag)) {
		hf_buf_add_str(out, comma);
		hf_buf_add(out, tag.p, tag.len);
		comma = ", ";
	}
	hf_buf_add_char(out, ']');
}

/* "Paths:[/a /b] Tags:[[x, y] [z]] Hosts:[h]", as restic words it. */
static void
describe(struct hf_buf *out, const struct hf_snapshot_filter *f)
{
	hf_buf_add_str(out, "Paths:[");
	for (size_t i = 0; i < f->paths.len; i++)
		hf_buf_addf(out, "%s%s", i > 0 ? " " : "", f->paths.v[i]);
	hf_buf_add_str(out, "] Tags:[");
	for (size_t i = 0; i < f->tags.len; i++) {
		hf_buf_add_str(out, i > 0 ? " " : "");
		hf_tags_add(out, f->tags.v[i]);
	}
	hf_buf_add_str(out, "] Hosts:[");
	for (size_t i = 0; i < f->hosts.len; i++)
		hf_buf_addf(out, "%s%s", i > 0 ? " " : "", f->hosts.v[i]);
	hf_buf_add_str(out, "]");
}

/* ---- loading ---- */

void
hf_snapshots_clear(struct hf_snapshots *l)
{
	for (size_t i = 0; i < l->len; i++)
		hf_snapshot_free(l->v[i]);
	free(l->v);
	*l = (struct hf_snapshots){0};
}

/* What one of the ids came to: a snapshot, an error, or nothing. */
struct slot {
	struct hf_snapshot *snapshot;
	struct hf_err *error;
	bool is_gone; /* it was listed, and then there was no such file */
};

/* Shared by the loading threads; each takes the next id that nobody took. */
struct loader {
	struct hf_repo *repo;               /* borrowed */
	const struct hf_snapshot_filter *f; /* borrowed, may be NULL */
	struct hf_id *ids;                  /* owned */
	struct slot *slots;                 /* owned; each written by one thread */
	size_t len;
	bool keeps_errors; /* in the slots, instead of stopping at the first */
	atomic_size_t next;
};

static void
loader_clear(struct loader *l)
{
	for (size_t i = 0; i < l->len && l->slots != NULL; i++) {
		hf_snapshot_free(l->slots[i].snapshot);
		hf_err_free(l->slots[i].error);
	}
	free(l->slots);
	free(l->ids);
}

static void
loader_stop(void *arg)
{
	struct loader *l = arg;

	atomic_store(&l->next, l->len);
}

static struct hf_err *
load_slot(struct loader *l, size_t i)
{
	hf_autoptr(hf_snapshot) s = NULL;
	struct hf_err *e = hf_snapshot_load(l->repo, &l->ids[i], &s);

	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND) {
		hf_err_free(e); /* deleted since it was listed, see check_gone() */
		l->slots[i].is_gone = true;
		return NULL;
	}
	if (e != NULL && l->keeps_errors) {
		l->slots[i].error = e;
		return NULL;
	}
	HF_TRY(e);
	if (l->f == NULL || hf_snapshot_matches(s, l->f))
		l->slots[i].snapshot = hf_steal(s);
	return NULL;
}

static struct hf_err *
load_loop(void *arg)
{
	struct loader *l = arg;
	size_t i;

	while ((i = atomic_fetch_add(&l->next, 1)) < l->len)
		HF_TRY(load_slot(l, i));
	return NULL;
}

/* The time of one snapshot is one round trip, so that threads pay even on one processor. */
static struct hf_err *
load_all(struct loader *l)
{
	size_t threads = hf_store_connections(hf_repo_store(l->repo));
	hf_autoptr(hf_group) group = hf_group_new(loader_stop, l);

	threads = threads < 2 ? 2 : threads > 32 ? 32 : threads;
	for (size_t i = 0; i < threads && i < l->len; i++)
		HF_TRY(hf_group_go(group, "snapshots", load_loop, l));
	return hf_group_wait(group);
}

/*
 * What is gone is listed no more, where lists are up to date. A snapshot that a proxy in trouble calls
 * "not found" would be missing for prune, which deletes what no snapshot needs.
 */
static struct hf_err *
check_gone(struct loader *l)
{
	hf_autofree struct hf_id *now = NULL;
	size_t n_now, n_gone = 0;

	for (size_t i = 0; i < l->len; i++)
		n_gone += l->slots[i].is_gone;
	if (n_gone == 0 || !hf_store_promises(hf_repo_store(l->repo), HF_LISTS_AT_ONCE))
		return NULL;
	HF_TRY(hf_repo_list(l->repo, HF_SNAPSHOT, &now, NULL, &n_now));
	for (size_t i = 0; i < l->len; i++) {
		if (!l->slots[i].is_gone || hf_id_find(now, n_now, &l->ids[i]) == n_now)
			continue;
		struct hf_err *e =
			hf_err(HF_EIO, "snapshot %.8s is listed, but cannot be found",
				hf_id_hex(&l->ids[i]).s);
		if (!l->keeps_errors)
			return e;
		l->slots[i].error = e;
	}
	return NULL;
}

static int
by_time(const void *a, const void *b)
{
	const struct hf_snapshot *x = *(struct hf_snapshot *const *)a;
	const struct hf_snapshot *y = *(struct hf_snapshot *const *)b;
	int c = hf_time_cmp(&x->time, &y->time);

	return c != 0 ? c : hf_id_cmp(&x->id, &y->id);
}

struct hf_err *
hf_snapshots_load(struct hf_repo *repo, const struct hf_snapshot_filter *f,
	hf_snapshot_bad_fn *on_bad, void *arg, struct hf_snapshots *out)
{
	hf_auto(loader) l = {.repo = repo, .f = f, .keeps_errors = on_bad != NULL};
	hf_auto(hf_snapshots) found = {0};

	HF_TRY(hf_repo_list(repo, HF_SNAPSHOT, &l.ids, NULL, &l.len));
	l.slots = calloc(l.len + 1, sizeof *l.slots);
	found.v = calloc(l.len + 1, sizeof *found.v);
	if (l.slots == NULL || found.v == NULL)
		return hf_err(HF_EFATAL, "no memory for %zu snapshots", l.len);
	HF_TRY(load_all(&l));
	HF_TRY(check_gone(&l));
	for (size_t i = 0; i < l.len; i++) {
		if (l.slots[i].error != NULL)
			on_bad(arg, hf_id_hex(&l.ids[i]).s, hf_steal(l.slots[i].error));
		else if (l.slots[i].snapshot != NULL)
			found.v[found.len++] = hf_steal(l.slots[i].snapshot);
	}
	qsort(found.v, found.len, sizeof *found.v, by_time);
	*out = found;
	found = (struct hf_snapshots){0};
	return NULL;
}

/* ---- finding ---- */

/* Sets *out to the newest that matches, or to NULL. */
static struct hf_err *
find_latest(struct hf_repo *repo, const struct hf_snapshot_filter *f, struct hf_snapshot **out)
{
	hf_auto(hf_snapshots) all = {0};

	HF_TRY(hf_snapshots_load(repo, f, NULL, NULL, &all));
	*out = all.len > 0 ? hf_steal(all.v[all.len - 1]) : NULL;
	if (all.len > 0)
		all.len--;
	return NULL;
}

static const struct hf_snapshot_filter no_filter;

struct hf_err *
hf_snapshot_find(struct hf_repo *repo, const char *text, const struct hf_snapshot_filter *f,
	struct hf_snapshot **out, char **subfolder)
{
	const char *colon = strchrnul(text, ':');
	hf_autofree char *name = hf_str_dup((struct hf_str){text, (size_t)(colon - text)});
	hf_autoptr(hf_snapshot) s = NULL;
	struct hf_id id;

	if (strcmp(name, "latest") == 0) {
		HF_TRY(find_latest(repo, f, &s));
	} else {
		HF_TRY(hf_repo_resolve(repo, HF_SNAPSHOT, name, &id));
		HF_TRY(hf_snapshot_load(repo, &id, &s));
	}
	if (s == NULL) {
		hf_auto(hf_buf) what = HF_BUF_MAX(64 << 10);

		describe(&what, f != NULL ? f : &no_filter);
		return hf_err(HF_ENOTFOUND, "snapshot filter (%.*s): no snapshot found",
			(int)what.len, (const char *)what.p);
	}
	*subfolder = colon[0] == ':' && colon[1] != '\0' ? hf_str_dup(hf_str(colon + 1)) : NULL;
	*out = hf_steal(s);
	return NULL;
}

/* One text of a selection, to *out; NULL when it means a snapshot that is in `have` already. */
static struct hf_err *
select_one(struct hf_repo *repo, const char *text, const struct hf_snapshot_filter *f,
	const struct hf_id *ids, size_t n, const struct hf_snapshots *have,
	struct hf_snapshot **out)
{
	const char *colon = strchrnul(text, ':');
	hf_autofree char *name = hf_str_dup((struct hf_str){text, (size_t)(colon - text)});
	hf_autoptr(hf_snapshot) s = NULL;
	struct hf_id id;

	*out = NULL;
	if (strcmp(text, "latest") == 0) {
		HF_TRY(find_latest(repo, f, &s));
		if (s == NULL) {
			hf_auto(hf_buf) what = HF_BUF_MAX(64 << 10);

			describe(&what, f);
			return hf_err(HF_ENOTFOUND, "no snapshot matched given filter (%.*s)",
				(int)what.len, (const char *)what.p);
		}
		id = s->id;
	} else if (strncmp(text, "latest:", 7) != 0 && !hf_id_parse(hf_str(name), &id)) {
		HF_TRY(hf_ids_resolve(ids, n, name, &id));
	}
	if (strncmp(text, "latest:", 7) == 0 || (colon[0] != '\0' && colon[1] != '\0'))
		return hf_err(HF_EINVAL, "<snapshot>:<subfolder> syntax not allowed");
	for (size_t i = 0; i < have->len; i++) {
		if (hf_id_eq(&have->v[i]->id, &id))
			return NULL;
	}
	if (s == NULL)
		HF_TRY(hf_snapshot_load(repo, &id, &s));
	*out = hf_steal(s);
	return NULL;
}

struct hf_err *
hf_snapshots_select(struct hf_repo *repo, const struct hf_strings *texts,
	const struct hf_snapshot_filter *filter, hf_snapshot_bad_fn *on_bad, void *arg,
	struct hf_snapshots *out)
{
	const struct hf_snapshot_filter *f = filter != NULL ? filter : &no_filter;
	hf_auto(hf_snapshots) found = {0};
	hf_autofree struct hf_id *ids = NULL;
	size_t n;

	if (texts->len == 0)
		return hf_snapshots_load(repo, f, on_bad, arg, out);
	HF_TRY(hf_repo_list(repo, HF_SNAPSHOT, &ids, NULL, &n));
	found.v = calloc(texts->len, sizeof *found.v);
	if (found.v == NULL)
		return hf_err(HF_EFATAL, "no memory for %zu snapshots", texts->len);
	for (size_t i = 0; i < texts->len; i++) {
		struct hf_snapshot *s = NULL;
		struct hf_err *e = select_one(repo, texts->v[i], f, ids, n, &found, &s);

		if (e != NULL && on_bad != NULL)
			on_bad(arg, texts->v[i], e);
		else
			HF_TRY(e);
		if (s != NULL)
			found.v[found.len++] = s;
	}
	if (!hf_strings_has(texts, "latest") && f->hosts.len + f->tags.len + f->paths.len > 0) {
		struct hf_err *e = hf_err(HF_EINVAL, "explicit snapshot ids are given");

		if (on_bad == NULL)
			return hf_err_in(e, "filters");
		on_bad(arg, "filters", e);
	}
	*out = found;
	found = (struct hf_snapshots){0};
	return NULL;
}
