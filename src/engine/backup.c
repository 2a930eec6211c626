/* SPDX-License-Identifier: BSD-2-Clause */
/* A backup from beginning to end. The parts are listed in backup_i.h. */
#include "engine/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>

#include "base/host.h"
#include "base/path.h"
#include "engine/backup_i.h"
#include "engine/resnap.h"

enum {
	MAX_ROUNDS = 5, /* of a backup whose lock is lost again and again */
};

/* Folders wait with open descriptors; the usual 1,024 are few, and more may be had for asking. */
static void
allow_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

static unsigned
processors(void)
{
	unsigned n = hf_cpus();

	return n > 32 ? 32 : n;
}

static unsigned
larger(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static void
backup_clear(struct backup *b)
{
	while (b->n_dirs > 0) {
		struct dir *d = b->dirs[--b->n_dirs];

		dir_fd_release(d->up);
		dir_drop(d);
	}
	for (; b->n_files > 0; b->n_files--, b->files_head++)
		file_job_free(b->files[b->files_head % MAX_FILES_WAITING]);
	for (struct chunk *c = b->chunks, *next; c != NULL; c = next) {
		next = c->next;
		file_drop(c->file);
		chunk_free(c);
	}
	for (struct chunk *c = b->spares, *next; c != NULL; c = next) {
		next = c->next;
		chunk_free(c);
	}
	hf_saver_free(b->saver);
	hf_chunker_free(b->chunker);
	hf_target_clear(&b->targets);
	free(b->cwd);
	pthread_cond_destroy(&b->dir_cond);
	pthread_cond_destroy(&b->work_cond);
	pthread_cond_destroy(&b->room_cond);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static void
backup_freep(struct backup **b)
{
	if (*b != NULL)
		backup_clear(*b);
}

static struct backup *
backup_new(struct hf_repo *repo, struct hf_index *ix, const struct hf_backup_options *o,
	const struct hf_backup_events *ev, struct hf_backup_progress *progress)
{
	struct backup *b = hf_new(struct backup);

	b->repo = repo;
	b->ix = ix;
	b->o = o;
	b->ev = ev;
	b->progress = progress;
	b->chunker = hf_chunker_new(hf_repo_config(repo)->polynomial);
	b->chunks_tail = &b->chunks;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->dir_cond, NULL);
	pthread_cond_init(&b->work_cond, NULL);
	pthread_cond_init(&b->room_cond, NULL);
	return b;
}

static struct hf_err *
start_threads(struct backup *b, struct hf_group *g)
{
	unsigned walkers = larger(2, processors());
	unsigned wish = b->o->read_concurrency > 0 ? b->o->read_concurrency : 2;
	unsigned workers = larger(processors(), wish < MAX_WORKERS ? wish : MAX_WORKERS);

	for (unsigned i = 0; i < workers * CHUNKS_PER_WORKER; i++)
		chunk_put(b, chunk_new());
	for (unsigned i = 0; i < workers; i++)
		HF_TRY(hf_group_go(g, "work", work_loop, b));
	for (unsigned i = 0; i < walkers && !b->o->use_stdin; i++)
		HF_TRY(hf_group_go(g, "walk", walk_loop, b));
	if (!b->o->no_scan && !b->o->use_stdin)
		HF_TRY(hf_group_go(g, "scan", scan_loop, b));
	return NULL;
}

/* The targets are this thread's work; it may push before the first walker is there. */
static struct hf_err *
walk(struct backup *b, struct hf_group *g)
{
	walk_begin(b);
	struct hf_err *e = start_threads(b, g);
	if (e == NULL) {
		hf_autoptr(worker) w = worker_new(b);

		e = b->o->archive != NULL ? walk_archive(w)
		    : b->o->use_stdin     ? walk_stdin(w)
					  : walk_targets(w);
	}
	walk_end(b);
	if (e != NULL)
		stop_all(b);
	struct hf_err *first = hf_group_wait(g);
	if (first == NULL)
		return e;
	/* Of several errors the one that is not an echo of another is the cause. */
	if (e != NULL && hf_err_code(e) != HF_ECANCELED) {
		hf_err_free(first);
		return e;
	}
	hf_err_free(e);
	return first;
}

/* What goes from one round to the next. */
struct rounds {
	struct hf_lease *lease;  /* borrowed, always the present one */
	struct hf_index *ix;     /* the caller's, then our own */
	struct hf_index *before; /* that of the round before */
	struct hf_index *own_ix, *own_before;
	struct hf_trail *trail;
	bool has_tree; /* a round has saved all of it: */
	struct hf_id tree;
	struct hf_summary summary; /* of the first round that did */
	struct hf_suspects suspects;
	struct hf_saver_stats stats; /* of all rounds before */
	bool is_hopeless;            /* what is missing cannot be had again */
};

static void
rounds_clear(struct rounds *r)
{
	hf_index_free(r->own_ix);
	hf_index_free(r->own_before);
	hf_trail_free(r->trail);
	hf_suspects_clear(&r->suspects);
}

static void
fill_summary(const struct backup *b, struct hf_summary *s)
{
	struct hf_saver_stats stats = hf_saver_stats(b->saver);

	*s = (struct hf_summary){
		.backup_start = b->o->backup_start,
		.backup_end = hf_time_now(),
		.files_new = atomic_load(&b->file_counts[HF_BACKUP_NEW]),
		.files_changed = atomic_load(&b->file_counts[HF_BACKUP_MODIFIED]),
		.files_unmodified = atomic_load(&b->file_counts[HF_BACKUP_UNCHANGED]),
		.dirs_new = atomic_load(&b->dir_counts[HF_BACKUP_NEW]),
		.dirs_changed = atomic_load(&b->dir_counts[HF_BACKUP_MODIFIED]),
		.dirs_unmodified = atomic_load(&b->dir_counts[HF_BACKUP_UNCHANGED]),
		.data_blobs = stats.data_blobs,
		.tree_blobs = stats.tree_blobs,
		.data_added = stats.data_bytes + stats.tree_bytes,
		.data_added_packed = stats.data_bytes_packed + stats.tree_bytes_packed,
		.total_bytes_processed = atomic_load(&b->total_bytes),
	};
	s->total_files_processed = s->files_new + s->files_changed + s->files_unmodified;
}

/* Of what went on in all rounds, of which this is the last. */
static void
sum_up(const struct backup *b, const struct rounds *rounds, struct hf_summary *s)
{
	fill_summary(b, s);
	if (rounds->has_tree) {
		struct hf_summary last = *s;

		*s = rounds->summary;
		s->data_blobs = last.data_blobs;
		s->tree_blobs = last.tree_blobs;
		s->data_added = last.data_added;
		s->data_added_packed = last.data_added_packed;
		s->backup_end = last.backup_end;
	}
	s->data_blobs += rounds->stats.data_blobs;
	s->tree_blobs += rounds->stats.tree_blobs;
	s->data_added += rounds->stats.data_bytes + rounds->stats.tree_bytes;
	s->data_added_packed +=
		rounds->stats.data_bytes_packed + rounds->stats.tree_bytes_packed;
}

static void
add_all(struct hf_strings *to, const struct hf_strings *from)
{
	for (size_t i = 0; from != NULL && i < from->len; i++)
		hf_strings_add(to, from->v[i]);
}

static void
add_paths(const struct backup *b, struct hf_strings *paths)
{
	const struct hf_backup_options *o = b->o;

	if (o->use_stdin) {
		hf_autofree char *path = hf_path_join("/", o->stdin_filename);

		hf_strings_add(paths, path);
		return;
	}
	for (size_t i = 0; i < o->n_targets; i++) {
		hf_autofree char *path = hf_path_abs(b->cwd, o->targets[i]);

		hf_strings_add(paths, path);
	}
}

static void
set_text(char **to, const char *text)
{
	free(*to);
	*to = hf_str_dup(hf_str(text != NULL ? text : ""));
}

static struct hf_err *
save_snapshot(struct backup *b, const struct rounds *rounds, struct hf_backup_result *r)
{
	const struct hf_backup_options *o = b->o;
	hf_autoptr(hf_snapshot) sn = hf_snapshot_new();

	sn->time = o->time;
	if (o->parent != NULL)
		sn->parent = o->parent->id;
	sn->tree = b->root;
	sn->has_tree = true;
	add_paths(b, &sn->paths);
	set_text(&sn->hostname, o->hostname);
	set_text(&sn->username, o->username);
	sn->uid = o->uid;
	sn->gid = o->gid;
	add_all(&sn->excludes, o->excludes);
	add_all(&sn->tags, o->tags);
	set_text(&sn->program_version, o->program_version);
	sn->has_summary = true;
	sum_up(b, rounds, &sn->summary);
	r->summary = sn->summary;
	if (o->is_dry_run)
		return NULL;
	struct hf_err *e = hf_snapshot_save(b->repo, sn);
	r->snapshot = sn->id; /* it may be there also when the answer was lost */
	HF_TRY(e);
	return hf_validate(b->repo, b->lease, b->ix);
}

/* All blobs are passed in: makes them durable, and only then the snapshot. */
static struct hf_err *
commit(struct backup *b, const struct rounds *rounds, struct hf_backup_result *r)
{
	const struct hf_snapshot *parent = b->o->parent;

	HF_TRY(hf_saver_flush(b->saver));
	/* All was read when the wish to stop came: it holds until there is a snapshot. */
	HF_TRY(hf_stop_check(b->o->stop));
	if (b->o->before_commit != NULL && !b->is_old_ours) /* it has had its say */
		HF_TRY(b->o->before_commit(b->o->before_commit_arg));
	r->tree = b->root;
	r->is_skipped = b->o->skip_if_unchanged && parent != NULL && parent->has_tree &&
			hf_id_eq(&parent->tree, &b->root);
	if (!r->is_skipped)
		return save_snapshot(b, rounds, r);
	sum_up(b, rounds, &r->summary);
	return NULL;
}

/* No snapshot; but what is uploaded shall be known to the next run. */
static struct hf_err *
abandon(struct backup *b, struct hf_err *e)
{
	struct hf_err *upload = hf_saver_flush(b->saver);

	if (upload == NULL)
		return e;
	if (hf_err_code(e) == HF_ECANCELED && hf_stop_is_set(b->o->stop) == false) {
		hf_err_free(e); /* it was the uploads that failed first */
		return upload;
	}
	hf_err_free(upload);
	return e;
}

static void
set_old_tree(struct backup *b, const struct rounds *rounds)
{
	const struct hf_snapshot *parent = b->o->parent;

	b->has_old_tree = rounds->has_tree || (parent != NULL && parent->has_tree);
	b->is_old_ours = rounds->has_tree;
	if (rounds->has_tree)
		b->old_tree = rounds->tree;
	else if (b->has_old_tree)
		b->old_tree = parent->tree;
}

/* Keeps what the next round can use, should this one have been in vain. */
static void
remember(struct rounds *rounds, const struct backup *b, const struct hf_backup_result *r)
{
	struct hf_saver_stats s = hf_saver_stats(b->saver);

	rounds->stats.data_blobs += s.data_blobs;
	rounds->stats.tree_blobs += s.tree_blobs;
	rounds->stats.data_bytes += s.data_bytes;
	rounds->stats.tree_bytes += s.tree_bytes;
	rounds->stats.data_bytes_packed += s.data_bytes_packed;
	rounds->stats.tree_bytes_packed += s.tree_bytes_packed;
	if (!hf_id_is_zero(&r->snapshot))
		hf_suspects_add(&rounds->suspects, &r->snapshot);
	if (!hf_id_is_zero(&b->root) && !rounds->has_tree) {
		rounds->has_tree = true;
		rounds->tree = b->root;
		fill_summary(b, &rounds->summary);
	}
}

/* One go at the whole of it. */
static struct hf_err *
run_round(struct hf_repo *repo, struct rounds *rounds, const struct hf_backup_options *options,
	const struct hf_backup_events *events, struct hf_backup_progress *progress,
	struct hf_backup_result *out)
{
	__attribute__((cleanup(backup_freep))) struct backup *b =
		backup_new(repo, rounds->ix, options, events, progress);
	struct hf_saver_options so = {
		.is_dry_run = options->is_dry_run,
		.loose = options->loose,
		.lease = rounds->lease,
		.trail = rounds->trail,
	};
	hf_autoptr(hf_group) g = hf_group_new(stop_all, b);

	b->lease = rounds->lease;
	set_old_tree(b, rounds);
	b->cwd = options->cwd != NULL ? hf_str_dup(hf_str(options->cwd)) : getcwd(NULL, 0);
	if (b->cwd == NULL)
		return hf_err_errno(errno, "finding the working folder");
	if (!options->use_stdin)
		HF_TRY(hf_targets_build(options->targets, options->n_targets, &b->targets));
	HF_TRY(hf_saver_new(repo, rounds->ix, &so, &b->saver));
	struct hf_err *e = options->use_stdin && rounds->has_tree
				   ? resave_all(b, rounds->before, &rounds->tree)
				   : walk(b, g);
	rounds->is_hopeless = e != NULL && options->use_stdin;
	if (e != NULL)
		e = abandon(b, e);
	else
		e = commit(b, rounds, out);
	if (e != NULL && hf_err_code(e) == HF_ELOST)
		remember(rounds, b, out);
	return e;
}

/* A file of the index that is listed but not there: the new lock is lost, too. Takes `e`. */
static struct hf_err *
lost_again(struct rounds *rounds, struct hf_err *e)
{
	struct hf_err *lost = hf_lease_verify(rounds->lease);

	if (lost == NULL || hf_err_code(lost) != HF_ELOST) {
		hf_err_free(lost);
		return e;
	}
	hf_err_free(e);
	return lost;
}

/*
 * A new lock, and an index without anything that nobody vouches for: what others may have deleted
 * meanwhile is not in it, and will be stored again, in packs of other names.
 */
static struct hf_err *
begin_again(struct hf_repo *repo, struct rounds *rounds, const struct hf_backup_options *o)
{
	hf_trail_lost(rounds->trail, hf_lease_seen(rounds->lease));
	HF_TRY(o->regain(o->regain_arg, &rounds->lease));
	HF_TRY(hf_trail_repair(rounds->trail, repo));
	rounds->before = rounds->ix;
	hf_index_free(rounds->own_before);
	rounds->own_before = rounds->own_ix;
	rounds->own_ix = rounds->ix = hf_index_new();
	hf_index_distrust(rounds->ix, rounds->trail);
	struct hf_err *e = hf_index_load(repo, rounds->ix, o->stop, NULL, NULL);
	return e != NULL && hf_err_code(e) == HF_ENOTFOUND ? lost_again(rounds, e) : e;
}

/* A pipe cannot be read twice; what came out of it may be there, though. */
static bool
can_repeat(const struct hf_backup_options *o, const struct rounds *rounds,
	const struct hf_err *e, unsigned round)
{
	return e != NULL && hf_err_code(e) == HF_ELOST && o->regain != NULL &&
	       !rounds->is_hopeless && (!o->use_stdin || rounds->has_tree) &&
	       round < MAX_ROUNDS;
}

struct hf_err *
hf_backup(struct hf_repo *repo, struct hf_index *ix, const struct hf_backup_options *options,
	const struct hf_backup_events *events, struct hf_backup_progress *progress,
	struct hf_backup_result *out)
{
	__attribute__((cleanup(rounds_clear))) struct rounds rounds = {
		.lease = options->lease, .ix = ix, .trail = hf_trail_new()};
	struct hf_backup_events quiet = *events;
	struct hf_backup_result r = {0};

	allow_descriptors();
	struct hf_err *e = run_round(repo, &rounds, options, events, progress, &r);
	quiet.wants_items = false; /* they have been told */
	quiet.excluded = NULL;
	for (unsigned round = 1; can_repeat(options, &rounds, e, round); round++) {
		if (events->recovers != NULL)
			events->recovers(events->arg, round, e);
		hf_err_free(e);
		r = (struct hf_backup_result){0};
		e = begin_again(repo, &rounds, options);
		if (e == NULL)
			e = run_round(repo, &rounds, options, &quiet, progress, &r);
	}
	hf_suspects_delete(&rounds.suspects, repo, rounds.lease);
	HF_TRY(e);
	*out = r;
	return NULL;
}
