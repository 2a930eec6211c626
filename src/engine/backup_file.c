/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading files: cut into chunks, each saved as a blob. A file of one chunk, which most are, is
 * saved where it was read. Of a longer one the chunks are given to whoever is free, if there is a
 * spare piece of memory for the next; the last one done completes the file.
 *
 * Holes of sparse files are not read: where a chunk begins in a hole that is long enough, its
 * content is known, 512 KiB of zeros, because that is where the chunker would cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
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

/* The folder is told that this file is complete, or that nothing came of it. */
static struct hf_err *
job_end(struct worker *w, struct file_job *job)
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

/* The file's path on disk, in w->path. */
static const char *
disk_path(struct worker *w, const struct file_job *job)
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

static void
report_file(struct worker *w, const struct file_job *job, struct hf_err *e)
{
	const char *path = disk_path(w, job);

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

static void
tell_start(struct worker *w, const struct file_job *job)
{
	const struct hf_backup_events *ev = w->b->ev;

	if (ev->file_start != NULL)
		ev->file_start(ev->arg, snap_path(w, job->dir, hf_str(job->name)));
}

static void
tell_end(struct worker *w, const struct file_job *job)
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

/* w->json is the node of a file that is complete. Takes the job. */
static struct hf_err *
complete(struct worker *w, struct file_job *job, uint64_t size, struct hf_backup_item *item)
{
	item->action = action_of(w, job);
	tell_end(w, job);
	struct hf_err *e = file_done(w, job->dir, job->place, hf_str(job->name), size, item);

	if (e != NULL) {
		file_job_free(job);
		return e;
	}
	return job_end(w, job);
}

static struct file *
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

/* One less is left of a long file; the last completes it. `f` may be gone then. */
static struct hf_err *
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
		tell_end(w, job);
		e = job_end(w, job);
	} else {
		assemble(w, f);
		e = complete(w, job, f->size, &item);
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

static struct hf_err *
save_data(struct worker *w, struct hf_bytes data, struct hf_id *id, uint64_t *size,
	uint64_t *stored)
{
	HF_TRY(hf_sealer_save(w->sealer, HF_DATA, data, id, stored));
	count(&w->b->progress->bytes_done, data.len);
	*size = *stored > 0 ? data.len : 0;
	return NULL;
}

/* Saves one chunk of a long file on this thread. Does not count down. */
static struct hf_err *
save_chunk(struct worker *w, struct file *f, uint64_t number, struct hf_bytes data)
{
	struct hf_id id;
	uint64_t size, stored;

	HF_TRY(save_data(w, data, &id, &size, &stored));
	count(&f->data_size, size);
	count(&f->data_size_in_repo, stored);
	pthread_mutex_lock(&f->lock);
	memcpy(f->ids.p + number * sizeof id, &id, sizeof id);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static struct hf_err *
do_chunk(struct worker *w, struct chunk *c)
{
	struct file *f = c->file;
	struct hf_err *e = check_stop(w->b);

	if (e == NULL)
		e = save_chunk(w, f, c->number, (struct hf_bytes){c->p, c->len});
	chunk_put(w->b, c);
	if (e != NULL) {
		file_drop(f);
		return e;
	}
	return file_release(w, f);
}

/* Where a file is being read. */
struct reading {
	struct worker *w;
	int fd;
	bool is_pipe;  /* no offsets, no holes */
	read_fn *read; /* instead of the descriptor; or NULL */
	void *read_arg;
	uint64_t off;        /* of the first byte in the chunk's memory */
	size_t len;          /* bytes there */
	size_t searched;     /* of them without a cut */
	bool at_end;         /* there are no more */
	uint64_t hole_end;   /* we know of zeros from `off` up to here */
	uint64_t data_until; /* and that there is no hole from `off` up to here */
	uint64_t total;
	uint64_t n_chunks;
	struct file_job *job; /* owned until a file takes it */
	struct file *file;    /* when there is more than one chunk; one hold on it */
	bool has_changed;     /* others wrote to it */
	struct hf_err *bad;   /* why it cannot be read; all other errors end the run */
	double start;
};

static bool
fill(struct reading *r)
{
	size_t got, room = HF_CHUNK_MAX - r->len;
	uint8_t *p = r->w->chunk->p + r->len;

	if (room > READ_STEP)
		room = READ_STEP;
	r->bad = r->read != NULL ? r->read(r->read_arg, p, room, &got)
		 : r->is_pipe    ? hf_read_full(r->fd, p, room, &got)
				 : hf_pread_full(r->fd, p, room, r->off + r->len, &got);
	if (r->bad != NULL)
		return false;
	r->len += got;
	r->at_end = got < room;
	return true;
}

/* The place for one more chunk's id, and a file if this is not the only chunk. */
static struct hf_err *
add_chunk(struct reading *r)
{
	static const struct hf_id none;

	if (r->file == NULL)
		r->file = file_new(hf_steal(r->job), r->start);
	pthread_mutex_lock(&r->file->lock);
	hf_buf_add(&r->file->ids, &none, sizeof none);
	struct hf_err *e = hf_buf_ok(&r->file->ids);
	pthread_mutex_unlock(&r->file->lock);
	return e;
}

/* Gives the first `cut` bytes to another thread if there is memory to go on with, or saves them. */
static struct hf_err *
emit(struct reading *r, size_t cut)
{
	struct worker *w = r->w;
	struct chunk *full = w->chunk, *next;
	size_t rest = r->len - cut;

	HF_TRY(check_stop(w->b));
	HF_TRY(add_chunk(r));
	uint64_t number = r->n_chunks++;
	next = chunk_try_get(w->b);
	if (next != NULL) {
		memcpy(next->p, full->p + cut, rest);
		w->chunk = next;
		full->file = r->file;
		full->number = number;
		full->len = cut;
		count(&r->file->left, 1);
		push_chunk(w->b, full);
	} else {
		HF_TRY(save_chunk(w, r->file, number, (struct hf_bytes){full->p, cut}));
		memmove(full->p, full->p + cut, rest);
	}
	r->len = rest;
	r->off += cut;
	r->total += cut;
	r->searched = 0;
	return NULL;
}

/* Whether the next chunk is one of zeros that need not be read. Asks the kernel once per hole. */
static bool
is_in_hole(struct reading *r, uint64_t size)
{
	if (r->is_pipe || r->off + HF_CHUNK_MIN > size)
		return false;
	if (r->off >= r->hole_end && r->off >= r->data_until) {
		off_t data = lseek(r->fd, (off_t)r->off, SEEK_DATA);
		off_t hole = lseek(r->fd, (off_t)r->off, SEEK_HOLE);

		if (data < 0 && errno == ENXIO)
			data = (off_t)size;
		if (data >= 0 && (uint64_t)data > r->off)
			r->hole_end = (uint64_t)data;
		else if (hole >= 0 && (uint64_t)hole > r->off)
			r->data_until = (uint64_t)hole;
		else
			r->data_until = UINT64_MAX; /* the file system cannot tell */
	}
	return r->off + HF_CHUNK_MIN <= r->hole_end;
}

/* Goes through chunks of zeros as far as the hole reaches. What was read ahead of it is zeros. */
static struct hf_err *
skip_hole(struct reading *r, uint64_t size)
{
	struct worker *w = r->w;
	struct hf_id zeros;
	bool is_known = false;

	while (is_in_hole(r, size)) {
		HF_TRY(check_stop(w->b));
		HF_TRY(add_chunk(r));
		if (!is_known) {
			memset(w->chunk->p, 0, HF_CHUNK_MIN);
			HF_TRY(save_chunk(w, r->file, r->n_chunks,
				(struct hf_bytes){w->chunk->p, HF_CHUNK_MIN}));
			memcpy(&zeros, r->file->ids.p + r->n_chunks * sizeof zeros,
				sizeof zeros);
			is_known = true;
		} else {
			count(&w->b->progress->bytes_done, HF_CHUNK_MIN);
			memcpy(r->file->ids.p + r->n_chunks * sizeof zeros, &zeros,
				sizeof zeros);
		}
		r->n_chunks++;
		r->off += HF_CHUNK_MIN;
		r->total += HF_CHUNK_MIN;
		r->len = r->searched = 0;
		r->at_end = false;
	}
	return NULL;
}

/* Reads up to the end and gives away all chunks but one that is also the last, which stays. */
static struct hf_err *
read_chunks(struct reading *r, const struct stat *st)
{
	bool is_sparse = !r->is_pipe && (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;

	for (;;) {
		if (is_sparse && r->searched == 0)
			HF_TRY(skip_hole(r, (uint64_t)st->st_size));
		if (!r->at_end && r->len < HF_CHUNK_MAX && !fill(r))
			return NULL;
		size_t cut = hf_chunker_cut(r->w->b->chunker,
			(struct hf_bytes){r->w->chunk->p, r->len}, r->searched);

		r->searched = r->len;
		if (cut == 0 && !r->at_end)
			continue;
		if (cut == 0)
			cut = r->len;
		if (cut == r->len && r->at_end && r->file == NULL)
			return NULL;
		if (cut > 0)
			HF_TRY(emit(r, cut));
		if (r->at_end && r->len == 0)
			return NULL;
	}
}

static void
start_item(const struct reading *r, const struct hf_node *node, struct hf_backup_item *out)
{
	item_of(node, out);
	out->is_stdin = r->is_pipe && r->read == NULL;
	out->has_changed = r->has_changed;
}

/* A file of at most one chunk, which is still in memory. Takes the job. */
static struct hf_err *
finish_short(struct reading *r, struct hf_node *node)
{
	struct worker *w = r->w;
	struct hf_backup_item item;
	struct hf_id id;

	start_item(r, node, &item);
	node->size = r->len;
	node->has_content = true;
	if (r->len > 0) {
		HF_TRY(save_data(w, (struct hf_bytes){w->chunk->p, r->len}, &id,
			&item.data_size, &item.data_size_in_repo));
		node->content = &id;
		node->n_content = 1;
	}
	item.duration_s = hf_clock() - r->start;
	hf_buf_reset(&w->json);
	hf_node_add(&w->json, node);
	r->len = 0;
	return complete(w, hf_steal(r->job), node->size, &item);
}

static struct hf_err *
finish_long(struct reading *r, struct hf_node *node)
{
	struct worker *w = r->w;
	struct file *f = hf_steal(r->file);

	start_item(r, node, &f->item);
	node->size = f->size = r->total;
	node->has_content = true;
	hf_buf_reset(&w->json);
	hf_node_add(&w->json, node);
	f->node_len = w->json.len - 2; /* without the "]}" after an empty list */
	f->node = hf_str_dup((struct hf_str){(char *)w->json.p, f->node_len});
	return file_release(w, f);
}

/* A file that others wrote to meanwhile is saved as it was read, and the user hears of it. */
static bool
has_changed(const struct reading *r, const struct stat *before)
{
	const struct timespec *m = &before->st_mtim, *c = &before->st_ctim;
	uint64_t size = r->file != NULL ? r->total : r->len;
	enum hf_files_changed how = r->w->b->o->files_changed;
	struct stat now;

	if (r->is_pipe || how == HF_CHANGED_DISABLED || fstat(r->fd, &now) < 0)
		return false;
	return (uint64_t)now.st_size != size || now.st_mtim.tv_sec != m->tv_sec ||
	       now.st_mtim.tv_nsec != m->tv_nsec ||
	       (how == HF_CHANGED_CTIME &&
		       (now.st_ctim.tv_sec != c->tv_sec || now.st_ctim.tv_nsec != c->tv_nsec));
}

static void
look_for_changes(struct reading *r, const struct stat *before)
{
	const struct hf_backup_events *ev = r->w->b->ev;
	const struct file_job *job = r->file != NULL ? r->file->job : r->job;

	r->has_changed = has_changed(r, before);
	if (r->has_changed && ev->changed != NULL)
		ev->changed(ev->arg, disk_path(r->w, job));
}

static struct hf_err *
open_job(struct file_job *job, struct stat *st)
{
	if (job->fd < 0) {
		job->fd = job->path != NULL ? open_quietly(AT_FDCWD, job->path, 0)
					    : open_quietly(job->dir->fd, job->name, 0);
		if (job->fd < 0)
			return hf_err_errno(errno, "opening the file");
	}
	if (fstat(job->fd, st) < 0)
		return hf_err_errno(errno, "stat");
	if (!job->is_stdin && !S_ISREG(st->st_mode))
		return hf_err(HF_EFATAL, "changed its type, refusing to archive");
	return NULL;
}

/* The node as the open file shows it. */
static void
make_node(struct worker *w, struct file_job *job, const struct stat *st, struct hf_node *node)
{
	if (job->is_stdin) {
		*node = job->stdin_node;
		return;
	}
	hf_meta_node(w->meta, hf_str(job->name), st, node);
	struct hf_err *e = hf_meta_xattrs(w->meta, job->fd, NULL, node);
	if (e != NULL)
		report_file(w, job, hf_err_in(e, "incomplete metadata"));
}

/* Reading failed: what was given away is of no use, the folder is told that nothing came of it. */
static struct hf_err *
give_up(struct reading *r)
{
	struct worker *w = r->w;
	struct file *f = hf_steal(r->file);

	if (f != NULL) {
		report_file(w, f->job, hf_steal(r->bad));
		atomic_store(&f->is_bad, true);
		return file_release(w, f);
	}
	struct file_job *job = hf_steal(r->job);
	report_file(w, job, hf_steal(r->bad));
	tell_end(w, job);
	return job_end(w, job);
}

static void
reading_clear(struct reading *r)
{
	file_drop(r->file);
	file_job_free(r->job);
	hf_err_free(r->bad);
}

static struct hf_err *
read_file(struct reading *r)
{
	struct worker *w = r->w;
	struct file_job *job = r->job;
	struct hf_node node;
	struct stat st;

	tell_start(w, job);
	r->bad = open_job(job, &st);
	hf_autofd int fd = job->is_stdin ? -1 : job->fd;
	r->fd = job->fd;
	if (r->bad != NULL)
		return give_up(r);
	make_node(w, job, &st, &node);
	HF_TRY(read_chunks(r, &st));
	if (r->bad == NULL && r->is_pipe && r->total + r->len == 0)
		r->bad = hf_err(HF_EINVAL, "no data read");
	if (r->bad != NULL)
		return give_up(r);
	look_for_changes(r, &st);
	return r->file != NULL ? finish_long(r, &node) : finish_short(r, &node);
}

struct hf_err *
read_stream(struct worker *w, struct file_job *job, read_fn *read, void *arg)
{
	struct reading r = {.w = w,
		.job = job,
		.fd = -1,
		.start = hf_clock(),
		.is_pipe = true,
		.read = read,
		.read_arg = arg};
	struct hf_node node = job->stdin_node;
	struct stat st = {0};

	tell_start(w, job);
	struct hf_err *e = read_chunks(&r, &st);
	if (e == NULL)
		e = hf_steal(r.bad);
	if (e == NULL)
		e = r.file != NULL ? finish_long(&r, &node) : finish_short(&r, &node);
	reading_clear(&r); /* has nothing left unless the run failed */
	return e;
}

static struct hf_err *
do_file(struct worker *w, struct file_job *job)
{
	struct reading r = {.w = w, .job = job, .start = hf_clock(), .is_pipe = job->is_stdin};
	struct hf_err *e = read_file(&r);

	reading_clear(&r); /* has nothing left unless the run failed */
	return e;
}

struct hf_err *
work_loop(void *backup)
{
	struct backup *b = backup;
	hf_autoptr(worker) w = worker_new(b);
	struct file_job *job;
	struct chunk *c;

	w->chunk = chunk_new();
	while (take_work(b, &c, &job)) {
		if (c != NULL) {
			HF_TRY(do_chunk(w, c));
			continue;
		}
		struct hf_err *e = do_file(w, job);

		read_end(b);
		HF_TRY(e);
	}
	return NULL;
}
