/* SPDX-License-Identifier: BSD-2-Clause */
/* Folders while they are being saved, and how they are finished, bottom-up. */
#include <unistd.h>

#include "engine/backup_i.h"

struct dir *
dir_new(struct dir *up, uint64_t place, struct hf_str name)
{
	struct dir *d = hf_new(struct dir);

	d->up = up;
	d->place = place;
	d->name = hf_str_dup(name);
	d->fd = -1;
	d->text = d->entries = DIR_BUF;
	d->start = hf_clock();
	atomic_init(&d->left, 1);
	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void
dir_free(struct dir *d)
{
	if (d == NULL)
		return;
	if (d->fd >= 0)
		close(d->fd);
	hf_buf_clear(&d->text);
	hf_buf_clear(&d->entries);
	pthread_mutex_destroy(&d->lock);
	free(d->name);
	free(d->base);
	free(d->open_path);
	free(d->old_node);
	free(d->node);
	catalog_free(d->catalog);
	free(d);
}

uint64_t
dir_add_place(struct dir *d)
{
	static const struct entry none;

	pthread_mutex_lock(&d->lock);
	uint64_t place = d->entries.len / sizeof none;
	hf_buf_add(&d->entries, &none, sizeof none);
	pthread_mutex_unlock(&d->lock);
	return place;
}

int
dir_fd_use(struct dir *d)
{
	pthread_mutex_lock(&d->lock);
	d->fd_users++;
	int fd = d->fd;
	pthread_mutex_unlock(&d->lock);
	return fd;
}

void
dir_fd_release(struct dir *d)
{
	int fd = -1;

	pthread_mutex_lock(&d->lock);
	if (--d->fd_users == 0) {
		fd = d->fd;
		d->fd = -1;
	}
	pthread_mutex_unlock(&d->lock);
	if (fd >= 0)
		close(fd);
}

void
dir_path(const struct dir *d, struct hf_buf *out)
{
	if (d->base != NULL) {
		hf_buf_add_str(out, d->base);
		return;
	}
	if (d->up != NULL)
		dir_path(d->up, out);
	if (out->len == 0 || out->p[out->len - 1] != '/')
		hf_buf_add_char(out, '/');
	hf_buf_add_str(out, d->name);
}

void
dir_snap_path(const struct dir *d, struct hf_buf *out)
{
	if (d->up == NULL)
		return;
	dir_snap_path(d->up, out);
	hf_buf_add_char(out, '/');
	hf_buf_add_str(out, d->name);
}

struct hf_err *
dir_set(struct dir *d, uint64_t place, struct hf_bytes json)
{
	pthread_mutex_lock(&d->lock);
	struct entry e = {d->text.len, json.len};
	hf_buf_add(&d->text, json.p, json.len);
	struct hf_err *err = hf_buf_ok(&d->text);
	if (err == NULL)
		err = hf_buf_ok(&d->entries);
	if (err == NULL)
		memcpy(d->entries.p + place * sizeof e, &e, sizeof e);
	pthread_mutex_unlock(&d->lock);
	return hf_err_in(err, "folder %s", d->name);
}

/* Puts the entries together in w->tree. Nobody else has `d` any more. */
static struct hf_err *
assemble(struct worker *w, const struct dir *d)
{
	size_t n = d->entries.len / sizeof(struct entry);
	bool is_first = true;

	hf_buf_reset(&w->tree);
	hf_buf_add_str(&w->tree, "{\"nodes\":[");
	for (size_t i = 0; i < n; i++) {
		struct entry e;

		memcpy(&e, d->entries.p + i * sizeof e, sizeof e);
		if (e.len == 0)
			continue;
		if (!is_first)
			hf_buf_add_char(&w->tree, ',');
		is_first = false;
		hf_buf_add(&w->tree, d->text.p + e.off, e.len);
	}
	hf_buf_add_str(&w->tree, "]}\n");
	return hf_buf_ok(&w->tree);
}

/* The id stands at the end of the node's JSON, before a quote and a brace. */
void
node_set_subtree(char *node, size_t len, const struct hf_id *id)
{
	memcpy(node + len - 2 - HF_ID_HEX, hf_id_hex(id).s, HF_ID_HEX);
}

static void
tell(struct worker *w, struct dir *d, struct hf_backup_item *item)
{
	struct backup *b = w->b;

	if (d->old_node == NULL)
		item->action = HF_BACKUP_NEW;
	else if (d->old_node_len == d->node_len &&
		 memcmp(d->old_node, d->node, d->node_len) == 0)
		item->action = HF_BACKUP_UNCHANGED;
	else
		item->action = HF_BACKUP_MODIFIED;
	count(&b->dir_counts[item->action], 1);
	count(&b->progress->dirs_done, 1);
	if (b->ev->item == NULL || !b->ev->wants_items)
		return;
	item->type = HF_NODE_DIR;
	item->duration_s = hf_clock() - d->start;
	hf_buf_reset(&w->snap);
	dir_snap_path(d, &w->snap);
	hf_buf_add(&w->snap, "/", 2);
	b->ev->item(b->ev->arg, (const char *)w->snap.p, item);
}

/* Saves the tree of a folder of which nothing is left, and puts its node into the one above. */
static struct hf_err *
finish(struct worker *w, struct dir *d)
{
	struct hf_backup_item item = {0};
	struct hf_id id;
	uint64_t stored;

	if (d->catalog != NULL)
		return catalog_finish(w, d);
	HF_TRY(assemble(w, d));
	HF_TRY(hf_sealer_save(w->sealer, HF_TREE, hf_buf_bytes(&w->tree), &id, &stored));
	if (d->up == NULL) {
		w->b->root = id;
		return NULL;
	}
	if (stored > 0)
		item = (struct hf_backup_item){
			.meta_size = w->tree.len, .meta_size_in_repo = stored};
	node_set_subtree(d->node, d->node_len, &id);
	tell(w, d, &item);
	return dir_set(d->up, d->place, (struct hf_bytes){(uint8_t *)d->node, d->node_len});
}

/*
 * Counts down; the folder itself if nothing is left of it, which is then the caller's to end. A
 * folder of which something was dropped is void, and with it all above.
 */
static struct dir *
count_down(struct dir *d, bool is_dropped)
{
	if (is_dropped)
		atomic_store(&d->is_void, true);
	return atomic_fetch_sub(&d->left, 1) == 1 ? d : NULL;
}

struct hf_err *
dir_release(struct worker *w, struct dir *d)
{
	while (d != NULL && count_down(d, false) != NULL) {
		struct dir *up = d->up;
		struct hf_err *e = NULL;

		if (atomic_load(&d->is_void)) {
			dir_free(d);
			dir_drop(up);
			return NULL;
		}
		if (d->node != NULL || up == NULL)
			e = finish(w, d);
		dir_free(d);
		if (e != NULL) {
			dir_drop(up);
			return e;
		}
		d = up;
	}
	return NULL;
}

void
dir_drop(struct dir *d)
{
	while (d != NULL && count_down(d, true) != NULL) {
		struct dir *up = d->up;

		dir_free(d);
		d = up;
	}
}
