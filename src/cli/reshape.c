/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/reshape.h"

#include "cli/snaplist.h"
#include "engine/resnap.h"

struct hf_err *
hf_reshape_open(struct hf_reshape *r, bool is_exclusive, const struct hf_filter_opts *filter,
	const struct hf_args *ids, struct hf_snapshots *out)
{
	enum hf_session_lock lock = r->is_dry_run  ? HF_SESSION_UNLOCKED
				    : is_exclusive ? HF_SESSION_EXCLUSIVE
						   : HF_SESSION_SHARED;

	HF_TRY(hf_session_open(r->cli, lock, false, r->session));
	if (lock == HF_SESSION_SHARED)
		hf_session_goes_on(r->session);
	HF_TRY(hf_session_snapshots(r->session, filter, ids, out));
	return hf_session_load_index(r->session);
}

/* "would set time to 2024-01-02 ..." */
static void
say_time(struct hf_reshape *r, const char *what)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(256);

	if (r->new_time == NULL)
		return;
	hf_go_time(&text, r->new_time);
	hf_say(r->cli->out, HF_SAY_NORMAL, "%s %.*s", what, (int)text.len,
		(const char *)text.p);
}

static void
say_plan(struct hf_reshape *r)
{
	hf_say(r->cli->out, HF_SAY_NORMAL, "would save new snapshot");
	if (r->forgets)
		hf_say(r->cli->out, HF_SAY_NORMAL, "would remove old snapshot");
	say_time(r, "would set time to");
	if (r->new_host != NULL)
		hf_say(r->cli->out, HF_SAY_NORMAL, "would set hostname to %s", r->new_host);
}

/* Nothing is left of it. */
static struct hf_err *
remove_empty(struct hf_reshape *r, const struct hf_snapshot *s)
{
	struct hf_name name = {HF_SNAPSHOT, s->id};

	if (r->keeps_when_nothing)
		return NULL;
	if (r->is_dry_run) {
		r->n_changed++;
		hf_say(r->cli->out, HF_SAY_NORMAL, "would delete empty snapshot");
		return NULL;
	}
	HF_TRY(hf_validate(r->session->repo, r->session->lease, NULL));
	HF_TRY(hf_store_del(hf_repo_store(r->session->repo), &name));
	r->n_changed++;
	hf_say(r->cli->out, HF_SAY_NORMAL, "removed empty snapshot %.8s", hf_id_hex(&s->id).s);
	return NULL;
}

static bool
has_changed(const struct hf_reshape *r, const struct hf_snapshot *s, const struct hf_id *tree,
	const struct hf_retree_sum *sum)
{
	if (!s->has_tree || !hf_id_eq(&s->tree, tree))
		return true;
	if (r->new_host != NULL || r->new_time != NULL)
		return true;
	return sum != NULL &&
	       (!s->has_summary || s->summary.total_files_processed != sum->files ||
		       s->summary.total_bytes_processed != sum->bytes);
}

/* Makes the new snapshot out of the old one. */
static void
change(struct hf_reshape *r, struct hf_snapshot *s, const struct hf_id *tree,
	const struct hf_retree_sum *sum)
{
	s->original = s->id;
	s->tree = *tree;
	s->has_tree = true;
	if (sum != NULL) {
		s->has_summary = true;
		s->summary.total_files_processed = sum->files;
		s->summary.total_bytes_processed = sum->bytes;
	}
	if (!r->forgets && !hf_strings_has(&s->tags, r->tag))
		hf_strings_add(&s->tags, r->tag);
	if (r->new_time != NULL) {
		say_time(r, "setting time to");
		s->time = *r->new_time;
	}
	if (r->new_host != NULL) {
		hf_say(r->cli->out, HF_SAY_NORMAL, "setting host to %s", r->new_host);
		free(s->hostname);
		s->hostname = hf_str_dup(hf_str(r->new_host));
	}
}

static struct hf_err *
save(struct hf_reshape *r, struct hf_snapshot *s)
{
	struct hf_session *of = r->session;
	size_t first = r->first_fresh;

	r->first_fresh = hf_index_packs(of->index);
	if (r->forgets && r->proves)
		return hf_resnap_proven(
			of->repo, of->lease, of->index, s, first, &r->cli->stop);
	return hf_resnap(of->repo, of->lease, of->index, s, r->forgets);
}

struct hf_err *
hf_reshape(struct hf_reshape *r, struct hf_snapshot *s, const struct hf_id *tree,
	const struct hf_retree_sum *sum)
{
	const struct hf_id old = s->id;

	HF_TRY(hf_retree_commit(r->retree));
	if (hf_id_is_zero(tree))
		return remove_empty(r, s);
	if (!has_changed(r, s, tree, sum))
		return NULL;
	if (r->is_dry_run) {
		r->n_changed++;
		say_plan(r);
		return NULL;
	}
	change(r, s, tree, sum);
	HF_TRY(save(r, s));
	r->n_changed++;
	hf_say(r->cli->out, HF_SAY_NORMAL, "saved new snapshot %.8s", hf_id_hex(&s->id).s);
	if (r->forgets)
		hf_say(r->cli->out, HF_SAY_NORMAL, "removed old snapshot %.8s",
			hf_id_hex(&old).s);
	return NULL;
}

/* Says how many snapshots were modified. */
static void
say_end(struct hf_reshape *r)
{
	hf_say(r->cli->out, HF_SAY_NORMAL, "%s", "");
	if (r->n_changed == 0)
		hf_say(r->cli->out, HF_SAY_NORMAL, "no snapshots %s modified",
			r->is_dry_run ? "would be" : "were");
	else
		hf_say(r->cli->out, HF_SAY_NORMAL, "%s %zu snapshots",
			r->is_dry_run ? "would modify" : "modified", r->n_changed);
}

static void
new_retree(struct hf_reshape *r, const struct hf_retree_rules *rules)
{
	const struct hf_retree_options how = {
		.repo = r->session->repo,
		.ix = r->session->index,
		.lease = r->session->lease,
		.trail = r->session->trail,
		.stop = &r->cli->stop,
		.is_dry_run = r->is_dry_run,
	};

	hf_retree_free(r->retree);
	r->retree = hf_retree_new(&how, rules);
	r->first_fresh = hf_index_packs(r->session->index);
}

/*
 * After a loss: a new lock, and an index and trees without what nobody vouches for. The snapshots
 * that are still to come are as they were, or gone, and then there is nothing to be done with them.
 */
static struct hf_err *
begin_again(struct hf_reshape *r, const struct hf_retree_rules *rules,
	struct hf_snapshots *list, size_t from, const struct hf_err *why)
{
	struct hf_session *s = r->session;

	hf_say_err(r->cli->out, "Warning: %s\nWarning: going on under a new lock",
		hf_err_text(why));
	HF_TRY(hf_session_regain(s));
	for (size_t i = from; i < list->len; i++) {
		if (list->v[i] == NULL)
			continue;
		struct hf_id id = list->v[i]->id;

		hf_snapshot_free(hf_steal(list->v[i]));
		struct hf_err *e = hf_snapshot_load(s->repo, &id, &list->v[i]);

		if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
			hf_say_err(r->cli->out, "Warning: snapshot %.8s is not there any more",
				hf_id_hex(&id).s);
		HF_TRY(hf_err_ignore(e, HF_ENOTFOUND));
	}
	HF_TRY(hf_session_load_index(s));
	new_retree(r, rules);
	return NULL;
}

/* One go at those from *next on; *next is then the one that has not been dealt with. */
static struct hf_err *
each(struct hf_reshape *r, struct hf_snapshots *list, size_t *next, hf_reshape_fn *one,
	void *arg)
{
	for (; *next < list->len; ++*next) {
		struct hf_snapshot *s = list->v[*next];

		HF_TRY(hf_stop_check(&r->cli->stop));
		if (s == NULL)
			continue;
		const struct hf_id id = s->id;
		HF_TRY(hf_err_in(one(arg, r, s), "unable to rewrite snapshot ID \"%.8s\"",
			hf_id_hex(&id).s));
	}
	return NULL;
}

struct hf_err *
hf_reshape_all(struct hf_reshape *r, const struct hf_retree_rules *rules,
	struct hf_snapshots *list, hf_reshape_fn *one, void *arg)
{
	size_t next = 0;

	new_retree(r, rules);
	struct hf_err *e = each(r, list, &next, one, arg);
	for (int i = 1; e != NULL && hf_err_code(e) == HF_ELOST && r->session->trail != NULL &&
			i < HF_SESSION_ROUNDS;
		i++) {
		struct hf_err *again = begin_again(r, rules, list, next, e);

		hf_err_free(e);
		e = again != NULL ? again : each(r, list, &next, one, arg);
	}
	hf_retree_free(hf_steal(r->retree));
	HF_TRY(e);
	/* What was read was proven, and what was saved validated. */
	r->session->is_settled = r->session->trail != NULL;
	say_end(r);
	return NULL;
}
