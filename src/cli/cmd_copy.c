/* SPDX-License-Identifier: BSD-2-Clause */
/* copy: brings snapshots from one repository into another. */
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/place.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/snaplist.h"
#include "engine/copy.h"
#include "engine/resnap.h"

/* A batch ends when it is that large, in packs of the target, and has taken that long (restic's). */
#define BATCH_PACKS   100
#define BATCH_SECONDS 60.0

struct copy_options {
	struct hf_from_opts from;
	struct hf_filter_opts filter;
};

#define T struct copy_options
static const struct hf_opt options[] = {
	HF_OPT_FROM(T, from, "to copy snapshots from"),
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

struct copy {
	struct hf_cli *cli;
	const struct copy_options *o;
	const struct hf_args *args;
	struct hf_session from, to;
	struct hf_snapshots source, there; /* there: those of the target */
	size_t next;                       /* of the source */
	struct hf_snapshot **batch;        /* borrowed; found and copied, not yet saved */
	size_t n_batch;
	struct hf_suspects suspects;
};

static void
copy_clear(struct copy *c)
{
	hf_snapshots_clear(&c->source);
	hf_snapshots_clear(&c->there);
	free(c->batch);
	hf_suspects_clear(&c->suspects);
	hf_session_clear(&c->to);
	hf_session_clear(&c->from);
}

/* ---- what is there already ---- */

/* The snapshot of the target that `s` was copied to, or NULL. */
static const struct hf_snapshot *
find_copy(const struct copy *c, const struct hf_snapshot *s)
{
	const struct hf_id *first = hf_id_is_zero(&s->original) ? &s->id : &s->original;

	for (size_t i = 0; i < c->there.len; i++) {
		const struct hf_snapshot *t = c->there.v[i];

		if ((hf_id_eq(&t->original, first) || hf_id_eq(&t->id, first)) &&
			!hf_suspects_has(&c->suspects, &t->id) && hf_copy_is_same(t, s))
			return t;
	}
	return NULL;
}

/* The next snapshot that is not there; NULL: no more. */
static struct hf_snapshot *
next_snapshot(struct copy *c)
{
	while (c->next < c->source.len) {
		struct hf_snapshot *s = c->source.v[c->next++];
		const struct hf_snapshot *t = find_copy(c, s);

		if (t == NULL)
			return s;
		hf_snapshot_say(c->cli->out, HF_SAY_VERBOSE, s);
		hf_say(c->cli->out, HF_SAY_VERBOSE,
			"skipping source snapshot %.8s, was already copied to snapshot %.8s",
			hf_id_hex(&s->id).s, hf_id_hex(&t->id).s);
	}
	return NULL;
}

/* ---- copying ---- */

static struct hf_err *
copy_tree(struct copy *c, struct hf_copy *engine, const struct hf_snapshot *s, uint64_t *bytes)
{
	struct hf_copy_progress progress = {0};
	struct hf_copy_found found;
	struct hf_bar bar;

	hf_snapshot_say(c->cli->out, HF_SAY_NORMAL, s);
	hf_say(c->cli->out, HF_SAY_NORMAL, "  copy started, this may take a while...");
	HF_TRY(hf_err_in(
		hf_copy_find(engine, s, &found), "snapshot %.8s", hf_id_hex(&s->id).s));
	hf_say(c->cli->out, HF_SAY_VERBOSE,
		"  copy %llu blobs with disk size %s in %llu packfiles",
		(unsigned long long)found.blobs, hf_format_bytes(found.bytes).s,
		(unsigned long long)found.packs);
	hf_bar_start(&bar, c->cli, "packs copied", &progress.packs_done, &progress.packs);
	struct hf_err *e = hf_copy_blobs(engine, &progress);
	hf_bar_stop(&bar);
	*bytes += found.bytes;
	return hf_err_in(e, "snapshot %.8s", hf_id_hex(&s->id).s);
}

/* All that the batch needs is durable. What is saved is told when nobody can have spoilt it. */
static struct hf_err *
save_batch(struct copy *c, struct hf_copy *engine)
{
	hf_autofree struct hf_id *sources = hf_alloc_(c->n_batch + 1, sizeof *sources);
	size_t n = 0, n_suspects = c->suspects.n;
	struct hf_err *e = NULL;

	for (; n < c->n_batch && e == NULL; n++) {
		sources[n] = c->batch[n]->id;
		e = hf_copy_save(engine, c->batch[n]);
		if (!hf_id_eq(
			    &c->batch[n]->id, &sources[n])) /* also when the answer was lost */
			hf_suspects_add(&c->suspects, &c->batch[n]->id);
		if (e != NULL)
			break;
	}
	struct hf_err *lost = hf_validate(c->to.repo, c->to.lease, c->to.index);
	if (lost != NULL) {
		hf_err_free(e);
		return lost;
	}
	c->suspects.n = n_suspects;
	for (size_t i = 0; i < n; i++)
		hf_say(c->cli->out, HF_SAY_NORMAL,
			"snapshot %.8s saved, copied from source snapshot %.8s",
			hf_id_hex(&c->batch[i]->id).s, hf_id_hex(&sources[i]).s);
	return e;
}

/* Snapshots until there is enough for a batch; then all of them are saved. */
static struct hf_err *
copy_batch(struct copy *c, struct hf_copy *engine)
{
	uint64_t bytes = 0, enough = BATCH_PACKS * hf_repo_opts(c->to.repo)->pack_size;
	double start = hf_clock();
	struct hf_err *e = NULL;

	c->n_batch = 0;
	while (e == NULL && (bytes < enough || hf_clock() - start < BATCH_SECONDS)) {
		struct hf_snapshot *s = next_snapshot(c);

		if (s == NULL)
			break;
		e = copy_tree(c, engine, s, &bytes);
		if (e == NULL)
			c->batch[c->n_batch++] = s;
	}
	/* Also after an error: what was copied before it is whole, and need not be copied again. */
	struct hf_err *failed = hf_copy_commit(engine);
	if (failed == NULL && c->n_batch > 1)
		hf_say(c->cli->out, HF_SAY_NORMAL, "%s", "");
	if (failed == NULL && c->n_batch > 0 && (e == NULL || hf_err_code(e) != HF_ELOST))
		failed = save_batch(c, engine);
	if (e == NULL)
		return failed;
	hf_err_free(failed);
	return e;
}

/* What all of them need, where it may have to be ordered out of an archive first. */
static struct hf_err *
order_all(struct copy *c, const struct hf_copy_options *o)
{
	hf_autofree struct hf_snapshot **v = hf_alloc_(c->source.len + 1, sizeof *v);
	size_t n = 0;

	for (size_t i = 0; i < c->source.len; i++)
		if (find_copy(c, c->source.v[i]) == NULL)
			v[n++] = c->source.v[i];
	return hf_copy_order(o, v, n);
}

static struct hf_err *
copy_all(struct copy *c)
{
	const struct hf_copy_options o = {
		.from = c->from.repo,
		.to = c->to.repo,
		.from_ix = c->from.index,
		.to_ix = c->to.index,
		.lease = c->to.lease,
		.trail = c->to.trail,
		.stop = &c->cli->stop,
	};
	hf_autoptr(hf_copy) engine = hf_copy_new(&o);

	HF_TRY(order_all(c, &o));
	free(c->batch);
	c->batch = hf_alloc_(c->source.len + 1, sizeof(struct hf_snapshot *));
	do {
		HF_TRY(hf_stop_check(&c->cli->stop));
		HF_TRY(copy_batch(c, engine));
	} while (c->n_batch > 0);
	return NULL;
}

/* ---- the two repositories ---- */

/* In the older options, --repo2 is the target and -r the source. */
static struct hf_err *
open_both(struct copy *c)
{
	const struct hf_from_opts *from = &c->o->from;
	struct hf_place own = hf_place_main(c->cli), other;

	HF_TRY(hf_place_from(from, &other));
	bool is_old = !hf_is_set(from->repo) && !hf_is_set(from->repository_file);
	if (is_old)
		other.prompt = "enter password for destination repository: ";
	HF_TRY(hf_session_open_at(
		c->cli, is_old ? &own : &other, HF_SESSION_SHARED, true, &c->from));
	HF_TRY(hf_session_open_at(
		c->cli, is_old ? &other : &own, HF_SESSION_SHARED, false, &c->to));
	hf_session_goes_on(&c->to);
	return NULL;
}

/* Everything that is read before anything is copied; again after a loss of the target's lock. */
static struct hf_err *
load(struct copy *c)
{
	const struct hf_args none = {0};

	hf_snapshots_clear(&c->source);
	hf_snapshots_clear(&c->there);
	c->next = 0;
	HF_TRY(hf_session_snapshots(&c->to, &c->o->filter, &none, &c->there));
	HF_TRY(hf_session_snapshots(&c->from, &c->o->filter, c->args, &c->source));
	if (c->from.index == NULL)
		HF_TRY(hf_session_load_index(&c->from));
	return hf_session_load_index(&c->to);
}

static struct hf_err *
begin_again(struct copy *c, const struct hf_err *why)
{
	hf_say_err(c->cli->out, "Warning: %s\nWarning: copying again under a new lock",
		hf_err_text(why));
	return hf_session_regain(&c->to);
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	__attribute__((cleanup(copy_clear))) struct copy c = {
		.cli = cli, .o = opts, .args = args};
	struct hf_err *e;

	hf_out_speak(cli->out);
	HF_TRY(open_both(&c));
	e = load(&c);
	if (e == NULL)
		e = copy_all(&c);
	for (int i = 1; i < HF_SESSION_ROUNDS && e != NULL && hf_err_code(e) == HF_ELOST; i++) {
		struct hf_err *again = begin_again(&c, e);

		hf_err_free(e);
		e = again;
		if (e == NULL)
			e = load(&c);
		if (e == NULL)
			e = copy_all(&c);
	}
	hf_suspects_delete(&c.suspects, c.to.repo, c.to.lease);
	/* Every blob was proven, and every snapshot validated. */
	c.from.is_settled = c.to.is_settled = e == NULL;
	return e != NULL ? e : hf_session_unread(&c.from);
}

const struct hf_command hf_cmd_copy = {
	.name = "copy",
	.usage = "[flags] [snapshotID ...]",
	.summary = "Copy snapshots from one repository to another",
	.text = "Copies snapshots from the repository that --from-repo names to that of -r,\n"
		"with the data that is not there: those that are named, or all that the\n"
		"filters let through. What was copied before is passed over.\n"
		"\n"
		"Files are not cut anew. For data of both to be alike, the target must have\n"
		"been made with `init --copy-chunker-params`.",
	HF_COMMAND_OPTS(options, struct copy_options),
	.run = run,
};
