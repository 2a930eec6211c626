/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that wait to be read, and what becomes of them: their chunks, their nodes, and what is told
 * of them. Of a file of several chunks the last one done completes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/path.h"
#include "codec/sha256.h"
#include "engine/backup_i.h"

struct file_job *
file_job_new(struct dir *d, uint64_t place, struct hf_str name)
{
	struct file_job *job = hf_alloc_(1, sizeof *job + name.len + 1);

	job->dir = d;
	job->place = place;
	job->fd = -1;
	memcpy(job->name, name.p, name.len);
	count(&d->left, 1);
	dir_fd_use(d);
	return job;
}

void
file_job_free(struct file_job *job)
{
	if (job == NULL)
		return;
	if (job->dir != NULL) {
		dir_fd_release(job->dir);
		dir_drop(job->dir);
	}
	free(job->path);
	free(job->old_node);
	free(job);
}

struct hf_err *
file_job_end(struct worker *w, struct file_job *job)
{
	struct dir *d = hf_steal(job->dir);

	file_job_free(job);
	return dir_release(w, d);
}

int
open_quietly(int dirfd, const char *path, int flags)
{
	int how = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags;
	int fd = openat(dirfd, path, how | O_NOATIME);

	if (fd < 0 && errno == EPERM) /* only owners may leave the time of access alone */
		fd = openat(dirfd, path, how);
	return fd;
}

const char *
snap_path(struct worker *w, const struct dir *d, struct hf_str name)
{
	hf_buf_reset(&w->snap);
	dir_snap_path(d, &w->snap);
	hf_buf_add_char(&w->snap, '/');
	hf_buf_add(&w->snap, name.p, name.len);
	hf_buf_add(&w->snap, "", 1);
	return (const char *)w->snap.p;
}

const char *
file_disk_path(struct worker *w, const struct file_job *job)
{
	hf_buf_reset(&w->path);
	if (job->path != NULL) { /* the folder in the snapshot is not the one on disk */
		hf_autofree char *clean = hf_path_clean(job->path);

		hf_buf_add(&w->path, clean, strlen(clean) + 1);
	} else {
		dir_path(job->dir, &w->path);
		if (w->path.len > 1)
			hf_buf_add_char(&w->path, '/');
		hf_buf_add(&w->path, job->name, strlen(job->name) + 1);
	}
	return (const char *)w->path.p;
}

void
file_report(struct worker *w, const struct file_job *job, struct hf_err *e)
{
	const char *path = file_disk_path(w, job);

	report(w, path, hf_err_in(e, "%s", path));
}

void
item_of(const struct hf_node *n, struct hf_backup_item *out)
{
	*out = (struct hf_backup_item){
		.type = n->type, .inode = n->inode, .device = n->device_id, .links = n->links};
}

struct hf_err *
file_done(struct worker *w, struct dir *d, uint64_t place, struct hf_str name, uint64_t size,
	const struct hf_backup_item *item)
{
	struct backup *b = w->b;

	HF_TRY(hf_buf_ok(&w->json));
	HF_TRY(dir_set(d, place, hf_buf_bytes(&w->json)));
	count(&b->file_counts[item->action], 1);
	count(&b->total_bytes, size);
	count(&b->progress->files_done, 1);
	if (b->ev->item != NULL && b->ev->wants_items)
		b->ev->item(b->ev->arg, snap_path(w, d, name), item);
	return NULL;
}

void
file_tell_start(struct worker *w, const struct file_job *job)
{
	const struct hf_backup_events *ev = w->b->ev;

	if (ev->file_start != NULL)
		ev->file_start(ev->arg, snap_path(w, job->dir, hf_str(job->name)));
}

void
file_tell_end(struct worker *w, const struct file_job *job)
{
	const struct hf_backup_events *ev = w->b->ev;

	if (ev->file_end != NULL)
		ev->file_end(ev->arg, snap_path(w, job->dir, hf_str(job->name)));
}

static enum hf_backup_action
action_of(const struct worker *w, const struct file_job *job)
{
	if (job->old_node == NULL)
		return HF_BACKUP_NEW;
	if (job->old_node_len == w->json.len &&
		memcmp(job->old_node, w->json.p, w->json.len) == 0)
		return HF_BACKUP_UNCHANGED;
	return HF_BACKUP_MODIFIED;
}

struct hf_err *
file_complete(
	struct worker *w, struct file_job *job, uint64_t size, struct hf_backup_item *item)
{
	item->action = action_of(w, job);
	file_tell_end(w, job);
	struct hf_err *e = file_done(w, job->dir, job->place, hf_str(job->name), size, item);

	if (e != NULL) {
		file_job_free(job);
		return e;
	}
	return file_job_end(w, job);
}

struct file *
file_new(struct file_job *job, double start)
{
	struct file *f = hf_new(struct file);

	f->job = job;
	f->start = start;
	atomic_init(&f->left, 1);
	pthread_mutex_init(&f->lock, NULL);
	f->ids = DIR_BUF;
	return f;
}

static void
file_free(struct file *f)
{
	if (f == NULL)
		return;
	file_job_free(f->job);
	pthread_mutex_destroy(&f->lock);
	hf_buf_clear(&f->ids);
	free(f->node);
	free(f);
}

/* Puts the node together: its beginning, the list of chunks, the end. */
static void
assemble(struct worker *w, struct file *f)
{
	size_t n = f->ids.len / sizeof(struct hf_id);

	hf_buf_reset(&w->json);
	hf_buf_add(&w->json, f->node, f->node_len);
	for (size_t i = 0; i < n; i++) {
		struct hf_id id;

		memcpy(&id, f->ids.p + i * sizeof id, sizeof id);
		hf_buf_add(&w->json, i > 0 ? ",\"" : "\"", i > 0 ? 2 : 1);
		hf_buf_add(&w->json, hf_id_hex(&id).s, HF_ID_HEX);
		hf_buf_add_char(&w->json, '"');
	}
	hf_buf_add(&w->json, "]}", 2);
}

struct hf_err *
file_release(struct worker *w, struct file *f)
{
	if (atomic_fetch_sub(&f->left, 1) != 1)
		return NULL;
	if (atomic_load(&f->is_void)) {
		file_free(f);
		return NULL;
	}
	struct file_job *job = hf_steal(f->job);
	struct hf_backup_item item = f->item;
	struct hf_err *e;

	item.duration_s = hf_clock() - f->start;
	item.data_size = atomic_load(&f->data_size);
	item.data_size_in_repo = atomic_load(&f->data_size_in_repo);
	if (atomic_load(&f->is_bad)) {
		file_tell_end(w, job);
		e = file_job_end(w, job);
	} else {
		assemble(w, f);
		e = file_complete(w, job, f->size, &item);
	}
	file_free(f);
	return e;
}

/* When the run fails: nothing more comes of the file, whoever lets go of it last. */
void
file_drop(struct file *f)
{
	if (f == NULL)
		return;
	atomic_store(&f->is_void, true);
	if (atomic_fetch_sub(&f->left, 1) == 1)
		file_free(f);
}

/* Saves data whose hash is known. */
static struct hf_err *
save_named(struct worker *w, const struct hf_id *id, struct hf_bytes data, uint64_t *size,
	uint64_t *stored)
{
	const struct hf_blob blob = {.id = *id, .type = HF_DATA};

	HF_TRY(hf_sealer_save_named(w->sealer, &blob, data, stored));
	count(&w->b->progress->bytes_done, data.len);
	*size = *stored > 0 ? data.len : 0;
	return NULL;
}

struct hf_err *
save_data(struct worker *w, struct hf_bytes data, struct hf_id *id, uint64_t *size,
	uint64_t *stored)
{
	*id = hf_sha256(data);
	return save_named(w, id, data, size, stored);
}

/* ---- chunks of long files ---- */

static bool
take_name(struct worker *w)
{
	struct hf_id id;
	void *tag;

	if (!hf_many_end(w->many, &id, &tag))
		return false;
	struct chunk *c = tag;
	c->id = id;
	return true;
}

/* Hashes all of a list side by side, which takes less time than one after the other (ADR 17). */
static void
name_chunks(struct worker *w, struct chunk *list)
{
	for (struct chunk *c = list; c != NULL; c = c->next) {
		if (hf_many_is_full(w->many))
			take_name(w);
		hf_many_add(w->many, (struct hf_bytes){c->p, c->len}, c);
	}
	while (take_name(w))
		continue;
}

/* Saves one that has its name. Does not count down. */
static struct hf_err *
save_chunk(struct worker *w, const struct chunk *c)
{
	struct file *f = c->file;
	uint64_t size, stored;

	HF_TRY(save_named(w, &c->id, (struct hf_bytes){c->p, c->len}, &size, &stored));
	count(&f->data_size, size);
	count(&f->data_size_in_repo, stored);
	pthread_mutex_lock(&f->lock);
	memcpy(f->ids.p + c->number * sizeof c->id, &c->id, sizeof c->id);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* Saves those of a list that were given away and have their names, but for an error `e`, which is taken. */
static struct hf_err *
end_chunks(struct worker *w, struct chunk *list, struct hf_err *e)
{
	for (struct chunk *c = list, *next; c != NULL; c = next) {
		struct file *f = c->file;

		next = c->next;
		if (e == NULL)
			e = save_chunk(w, c);
		chunk_put(w->b, c);
		if (e == NULL)
			e = file_release(w, f);
		else
			file_drop(f);
	}
	return e;
}

struct hf_err *
do_chunks(struct worker *w, struct chunk *list)
{
	struct hf_err *e = check_stop(w->b);

	if (e == NULL)
		name_chunks(w, list);
	return end_chunks(w, list, e);
}

struct hf_err *
file_save_chunk(struct worker *w, struct chunk *c)
{
	c->next = chunk_try_take(w->b);
	name_chunks(w, c);
	return end_chunks(w, c->next, save_chunk(w, c));
}
