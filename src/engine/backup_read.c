/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading files: cut into chunks, each saved as a blob. A file of one chunk, which most are, is
 * saved where it was read. Of a longer one the chunks are given to whoever is free, if there is a
 * spare piece of memory for the next.
 *
 * Holes of sparse files are not read: where a chunk begins in a hole that is long enough, its
 * content is known, 512 KiB of zeros, because that is where the chunker would cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "engine/backup_i.h"

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

/* The first `len` bytes become the file's next chunk; and there is a file, if this is not the only one. */
static struct hf_err *
add_chunk(struct reading *r, size_t len)
{
	static const struct hf_id none;
	struct chunk *c = r->w->chunk;

	if (r->file == NULL)
		r->file = file_new(hf_steal(r->job), r->start);
	c->file = r->file;
	c->len = len;
	pthread_mutex_lock(&r->file->lock);
	c->number = r->file->ids.len / sizeof none;
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
	HF_TRY(add_chunk(r, cut));
	next = chunk_try_get(w->b);
	if (next != NULL) {
		memcpy(next->p, full->p + cut, rest);
		w->chunk = next;
		count(&r->file->left, 1);
		push_chunk(w->b, full);
	} else {
		HF_TRY(file_save_chunk(w, full));
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
	struct chunk *c = w->chunk;
	struct hf_id zeros;
	bool is_known = false;

	while (is_in_hole(r, size)) {
		HF_TRY(check_stop(w->b));
		HF_TRY(add_chunk(r, HF_CHUNK_MIN));
		if (!is_known) {
			memset(c->p, 0, HF_CHUNK_MIN);
			HF_TRY(file_save_chunk(w, c));
			zeros = c->id;
			is_known = true;
		} else {
			count(&w->b->progress->bytes_done, HF_CHUNK_MIN);
			memcpy(r->file->ids.p + c->number * sizeof zeros, &zeros, sizeof zeros);
		}
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
	return file_complete(w, hf_steal(r->job), node->size, &item);
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
		ev->changed(ev->arg, file_disk_path(r->w, job));
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
		file_report(w, job, hf_err_in(e, "incomplete metadata"));
}

/* Reading failed: what was given away is of no use, the folder is told that nothing came of it. */
static struct hf_err *
give_up(struct reading *r)
{
	struct worker *w = r->w;
	struct file *f = hf_steal(r->file);

	if (f != NULL) {
		file_report(w, f->job, hf_steal(r->bad));
		atomic_store(&f->is_bad, true);
		return file_release(w, f);
	}
	struct file_job *job = hf_steal(r->job);
	file_report(w, job, hf_steal(r->bad));
	file_tell_end(w, job);
	return file_job_end(w, job);
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

	file_tell_start(w, job);
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

	file_tell_start(w, job);
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
			HF_TRY(do_chunks(w, c));
			continue;
		}
		struct hf_err *e = do_file(w, job);

		read_end(b);
		HF_TRY(e);
	}
	return NULL;
}
