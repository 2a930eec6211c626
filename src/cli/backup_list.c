/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/backup_list.h"

#include <pthread.h>

#include "cli/format.h"
#include "engine/hardlinks.h"

struct hf_backup_list {
	struct hf_out *out;
	const char *filter;
	pthread_mutex_t lock; /* guards what follows */
	struct hf_hardlinks hardlinks;
};

struct hf_err *
hf_backup_list_check(bool is_list, const char *filter)
{
	if (filter != NULL && !is_list)
		return hf_err(HF_EINVAL, "--filter chooses what --list lists, which was not "
					 "given");
	for (const char *s = filter; s != NULL && *s != '\0'; s++)
		if (strchr(HF_BACKUP_STATUS, *s) == NULL)
			return hf_err(HF_EINVAL,
				"--filter: no item has the status %c; there are %s", *s,
				HF_BACKUP_STATUS);
	return NULL;
}

struct hf_backup_list *
hf_backup_list_new(struct hf_out *out, const char *filter)
{
	struct hf_backup_list *l = hf_new(struct hf_backup_list);

	l->out = out;
	l->filter = filter;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void
hf_backup_list_free(struct hf_backup_list *l)
{
	if (l == NULL)
		return;
	hf_hardlinks_clear(&l->hardlinks);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* One more name of a file that has been listed under another. */
static bool
is_second_name(struct hf_backup_list *l, const struct hf_backup_item *item)
{
	if (item->links < 2)
		return false;
	pthread_mutex_lock(&l->lock);
	bool is_second = hf_hardlinks_meet(&l->hardlinks, item->inode, item->device,
				 item->links, "") != NULL;
	pthread_mutex_unlock(&l->lock);
	return is_second;
}

static char
status_of_file(struct hf_backup_list *l, const struct hf_backup_item *item)
{
	static const char letters[] = {
		[HF_BACKUP_NEW] = 'A', [HF_BACKUP_UNCHANGED] = 'U', [HF_BACKUP_MODIFIED] = 'M'};

	if (item->is_stdin)
		return 'i';
	bool is_second = is_second_name(l, item); /* in any case, as it counts them */
	if (item->has_changed)
		return 'C';
	return is_second ? 'h' : letters[item->action];
}

void
hf_backup_list_item(
	struct hf_backup_list *l, const char *path, const struct hf_backup_item *item)
{
	static const char letters[] = {[HF_NODE_DIR] = 'd',
		[HF_NODE_SYMLINK] = 's',
		[HF_NODE_DEV] = 'b',
		[HF_NODE_CHARDEV] = 'c',
		[HF_NODE_FIFO] = 'f'};

	if (l == NULL)
		return;
	if (item->type == HF_NODE_FILE)
		hf_backup_list_path(l, status_of_file(l, item), path);
	else if (item->type < sizeof letters && letters[item->type] != 0)
		hf_backup_list_path(l, letters[item->type], path);
}

void
hf_backup_list_path(struct hf_backup_list *l, char status, const char *path)
{
	size_t len = strlen(path);
	hf_auto(hf_buf) line = HF_BUF_MAX(1 << 20);

	if (l == NULL || (l->filter != NULL && strchr(l->filter, status) == NULL))
		return;
	if (len > 1 && path[len - 1] == '/')
		len--;
	hf_buf_addf(&line, "%c ", status);
	hf_format_name(&line, (struct hf_str){path, len});
	hf_say_err(l->out, "%.*s", (int)line.len, (const char *)line.p);
}
