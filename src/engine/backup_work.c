/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handing out work. Three kinds wait under one lock: folders for the walkers, files and chunks for
 * the workers. Chunks come first, because files wait for them; nobody ever waits for room while
 * others wait for him: walkers wait for workers only, and a worker without a spare chunk saves the
 * one it has.
 */
#include "engine/backup_i.h"

struct hf_err *
check_stop(struct backup *b)
{
	HF_TRY(hf_stop_check(b->o->stop));
	if (atomic_load_explicit(&b->is_stopped, memory_order_relaxed))
		return hf_err(HF_ECANCELED, "stopped");
	return NULL;
}

void
stop_all(void *backup)
{
	struct backup *b = backup;

	pthread_mutex_lock(&b->lock);
	atomic_store(&b->is_stopped, true);
	pthread_cond_broadcast(&b->dir_cond);
	pthread_cond_broadcast(&b->work_cond);
	pthread_cond_broadcast(&b->room_cond);
	pthread_mutex_unlock(&b->lock);
}

bool
push_dir(struct backup *b, struct dir *d)
{
	pthread_mutex_lock(&b->lock);
	bool has_room = b->n_dirs < MAX_DIRS_WAITING;
	if (has_room) {
		b->dirs[b->n_dirs++] = d;
		pthread_cond_signal(&b->dir_cond);
	}
	pthread_mutex_unlock(&b->lock);
	return has_room;
}

struct dir *
take_dir(struct backup *b)
{
	struct dir *d = NULL;

	pthread_mutex_lock(&b->lock);
	while (b->n_dirs == 0 && b->walking > 0 && !atomic_load(&b->is_stopped))
		pthread_cond_wait(&b->dir_cond, &b->lock);
	if (b->n_dirs > 0 && !atomic_load(&b->is_stopped)) {
		d = b->dirs[--b->n_dirs];
		b->walking++;
	}
	pthread_mutex_unlock(&b->lock);
	return d;
}

void
walk_begin(struct backup *b)
{
	pthread_mutex_lock(&b->lock);
	b->walking++;
	pthread_mutex_unlock(&b->lock);
}

void
walk_end(struct backup *b)
{
	pthread_mutex_lock(&b->lock);
	if (--b->walking == 0 && b->n_dirs == 0) {
		pthread_cond_broadcast(&b->dir_cond);
		pthread_cond_broadcast(&b->work_cond);
	}
	pthread_mutex_unlock(&b->lock);
}

struct hf_err *
push_file(struct backup *b, struct file_job *job)
{
	pthread_mutex_lock(&b->lock);
	while (b->n_files == MAX_FILES_WAITING && !atomic_load(&b->is_stopped))
		pthread_cond_wait(&b->room_cond, &b->lock);
	bool is_stopped = atomic_load(&b->is_stopped);
	if (!is_stopped) {
		b->files[(b->files_head + b->n_files++) % MAX_FILES_WAITING] = job;
		pthread_cond_signal(&b->work_cond);
	}
	pthread_mutex_unlock(&b->lock);
	if (!is_stopped)
		return NULL;
	file_job_free(job);
	return hf_err(HF_ECANCELED, "stopped");
}

/* With b->lock held: something may still be pushed. */
static bool
is_work_coming(const struct backup *b)
{
	return b->walking > 0 || b->n_dirs > 0 || b->reading > 0;
}

/* With b->lock held: the first that waits, and up to n - 1 behind it; or NULL. */
static struct chunk *
take_chunks(struct backup *b, unsigned n)
{
	struct chunk *first = b->chunks, **end = &b->chunks;

	while (n-- > 0 && *end != NULL)
		end = &(*end)->next;
	if (*end == NULL)
		b->chunks_tail = &b->chunks;
	b->chunks = *end;
	*end = NULL;
	return first;
}

struct chunk *
chunk_try_take(struct backup *b)
{
	pthread_mutex_lock(&b->lock);
	struct chunk *c = take_chunks(b, 1);
	pthread_mutex_unlock(&b->lock);
	return c;
}

bool
take_work(struct backup *b, struct chunk **chunks, struct file_job **job)
{
	*chunks = NULL;
	*job = NULL;
	pthread_mutex_lock(&b->lock);
	while (b->chunks == NULL && b->n_files == 0 && is_work_coming(b) &&
		!atomic_load(&b->is_stopped))
		pthread_cond_wait(&b->work_cond, &b->lock);
	if (atomic_load(&b->is_stopped)) {
		/* what waits is freed at the end of the run */
	} else if (b->chunks != NULL) {
		*chunks = take_chunks(b, CHUNKS_AT_ONCE);
	} else if (b->n_files > 0) {
		*job = b->files[b->files_head];
		b->files_head = (b->files_head + 1) % MAX_FILES_WAITING;
		b->reading++;
		if (b->n_files-- == MAX_FILES_WAITING / 2 + 1)
			pthread_cond_broadcast(&b->room_cond);
	}
	pthread_mutex_unlock(&b->lock);
	return *chunks != NULL || *job != NULL;
}

void
read_end(struct backup *b)
{
	pthread_mutex_lock(&b->lock);
	if (--b->reading == 0 && !is_work_coming(b))
		pthread_cond_broadcast(&b->work_cond);
	pthread_mutex_unlock(&b->lock);
}

struct chunk *
chunk_new(void)
{
	struct chunk *c = hf_new(struct chunk);

	c->p = hf_realloc_array(NULL, HF_CHUNK_MAX, 1);
	return c;
}

void
chunk_free(struct chunk *c)
{
	if (c == NULL)
		return;
	free(c->p);
	free(c);
}

struct chunk *
chunk_try_get(struct backup *b)
{
	pthread_mutex_lock(&b->lock);
	struct chunk *c = b->spares;
	if (c != NULL)
		b->spares = c->next;
	pthread_mutex_unlock(&b->lock);
	return c;
}

void
chunk_put(struct backup *b, struct chunk *c)
{
	pthread_mutex_lock(&b->lock);
	c->file = NULL;
	c->next = b->spares;
	b->spares = c;
	pthread_mutex_unlock(&b->lock);
}

void
push_chunk(struct backup *b, struct chunk *c)
{
	c->next = NULL;
	pthread_mutex_lock(&b->lock);
	*b->chunks_tail = c;
	b->chunks_tail = &c->next;
	pthread_cond_signal(&b->work_cond);
	pthread_mutex_unlock(&b->lock);
}

struct worker *
worker_new(struct backup *b)
{
	struct worker *w = hf_new(struct worker);

	w->b = b;
	w->sealer = hf_sealer_new(b->saver);
	w->reader = hf_reader_new(b->repo, b->ix);
	w->meta = hf_meta_new(b->o->with_atime);
	w->many = hf_many_new();
	w->path = w->snap = (struct hf_buf)HF_BUF_MAX(64 << 20);
	w->json = w->tree = DIR_BUF;
	return w;
}

void
worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	chunk_free(w->chunk);
	hf_sealer_free(w->sealer);
	hf_reader_free(w->reader);
	hf_meta_free(w->meta);
	hf_many_free(w->many);
	hf_buf_clear(&w->path);
	hf_buf_clear(&w->snap);
	hf_buf_clear(&w->json);
	hf_buf_clear(&w->tree);
	free(w);
}

void
report(struct worker *w, const char *path, struct hf_err *e)
{
	const struct hf_backup_events *ev = w->b->ev;

	count(&w->b->progress->errors, 1);
	if (ev->error != NULL)
		ev->error(ev->arg, path, "archival", e);
	hf_err_free(e);
}

void
report_odd(struct worker *w, const char *path, struct hf_err *e)
{
	const struct hf_backup_events *ev = w->b->ev;

	if (ev->warning != NULL)
		ev->warning(ev->arg, path, e);
	hf_err_free(e);
}
