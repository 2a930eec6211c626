/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/node_line.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "cli/format.h"

static uint32_t
type_bits(enum hf_node_type type)
{
	switch (type) {
	case HF_NODE_DIR:
		return UINT32_C(1) << 31;
	case HF_NODE_SYMLINK:
		return 1 << 27;
	case HF_NODE_DEV:
		return 1 << 26;
	case HF_NODE_CHARDEV:
		return 1 << 26 | 1 << 21;
	case HF_NODE_FIFO:
		return 1 << 25;
	case HF_NODE_SOCKET:
		return 1 << 24;
	default:
		return 0;
	}
}

static void
add_name(struct hf_buf *out, struct hf_str name, bool is_shown)
{
	if (is_shown)
		hf_format_name(out, name);
	else
		hf_buf_add(out, name.p, name.len);
}

void
hf_node_line(struct hf_buf *out, struct hf_str path, const struct hf_node *n, bool is_long,
	bool is_human, bool is_shown)
{
	if (is_long) {
		hf_buf_addf(out, "%s %5u %5u ", hf_mode_text(n->mode | type_bits(n->type)).s,
			n->uid, n->gid);
		if (is_human)
			hf_buf_add_str(out, hf_format_bytes(n->size).s);
		else
			hf_buf_addf(out, "%6" PRIu64, n->size);
		hf_buf_addf(out, " %s ", hf_format_time(&n->mtime).s);
	}
	add_name(out, path, is_shown);
	if (is_long && n->type == HF_NODE_SYMLINK) {
		hf_buf_add_str(out, " -> ");
		add_name(out, n->linktarget, is_shown);
	}
}

/* ---- templates ---- */

enum key {
	PATH,
	NAME,
	TYPE,
	MODE,
	SIZE,
	UID,
	GID,
	USER,
	GROUP,
	LINKTARGET,
	SOURCE,
	EXTRA,
	MTIME,
	ATIME,
	CTIME,
	ISOMTIME,
	ISOATIME,
	ISOCTIME,
	INODE,
	LINKS,
};

const struct hf_template_key hf_node_keys[] = {
	[PATH] = {"path"},
	[NAME] = {"name"},
	[TYPE] = {"type"},
	[MODE] = {"mode"},
	[SIZE] = {"size", HF_TEMPLATE_NUMBER},
	[UID] = {"uid", HF_TEMPLATE_NUMBER},
	[GID] = {"gid", HF_TEMPLATE_NUMBER},
	[USER] = {"user"},
	[GROUP] = {"group"},
	[LINKTARGET] = {"linktarget"},
	[SOURCE] = {"source"},
	[EXTRA] = {"extra"},
	[MTIME] = {"mtime", HF_TEMPLATE_TIME},
	[ATIME] = {"atime", HF_TEMPLATE_TIME},
	[CTIME] = {"ctime", HF_TEMPLATE_TIME},
	[ISOMTIME] = {"isomtime"},
	[ISOATIME] = {"isoatime"},
	[ISOCTIME] = {"isoctime"},
	[INODE] = {"inode", HF_TEMPLATE_NUMBER},
	[LINKS] = {"links", HF_TEMPLATE_NUMBER},
	{NULL},
};

/* As `ls -l` has it, not as Go does. */
static void
add_mode(struct hf_buf *out, const struct hf_node *n)
{
	static const char types[] = {[HF_NODE_INVALID] = '?',
		[HF_NODE_FILE] = '-',
		[HF_NODE_DIR] = 'd',
		[HF_NODE_SYMLINK] = 'l',
		[HF_NODE_DEV] = 'b',
		[HF_NODE_CHARDEV] = 'c',
		[HF_NODE_FIFO] = 'p',
		[HF_NODE_SOCKET] = 's',
		[HF_NODE_IRREGULAR] = '?'};
	static const char bits[] = "rwxrwxrwx";
	mode_t mode = hf_mode_perm(n->mode);
	char text[11] = {types[n->type]};

	for (unsigned i = 0; i < 9; i++)
		text[1 + i] = (mode & (0400U >> i)) != 0 ? bits[i] : '-';
	if ((mode & S_ISUID) != 0)
		text[3] = (mode & 0100) != 0 ? 's' : 'S';
	if ((mode & S_ISGID) != 0)
		text[6] = (mode & 0010) != 0 ? 's' : 'S';
	if ((mode & S_ISVTX) != 0)
		text[9] = (mode & 0001) != 0 ? 't' : 'T';
	hf_buf_add_str(out, text);
}

/* A name, or the number where the snapshot has no name. */
static struct hf_str
owner(struct hf_buf *text, struct hf_str name, uint32_t id)
{
	if (name.len > 0)
		return name;
	hf_buf_addf(text, "%u", id);
	return hf_bytes_str(hf_buf_bytes(text));
}

static struct hf_str
made_text(struct hf_node_values *v, enum key key)
{
	const struct hf_node *n = v->node;

	if (key == MODE || key == TYPE)
		add_mode(&v->text, n);
	else if (key == ISOMTIME || key == ISOATIME || key == ISOCTIME)
		hf_time_add(&v->text, key == ISOMTIME   ? &n->mtime
				      : key == ISOATIME ? &n->atime
							: &n->ctime);
	if (key == EXTRA && n->type == HF_NODE_SYMLINK) {
		hf_buf_add_str(&v->text, " -> ");
		hf_buf_add(&v->text, n->linktarget.p, n->linktarget.len);
	}
	return (struct hf_str){(const char *)v->text.p, key == TYPE ? 1 : v->text.len};
}

void
hf_node_value(void *values, size_t key, struct hf_template_value *out)
{
	struct hf_node_values *v = values;
	const struct hf_node *n = v->node;

	hf_buf_reset(&v->text);
	switch ((enum key)key) {
	case PATH:
		out->text = v->path;
		break;
	case NAME:
		out->text = n->name;
		break;
	case LINKTARGET:
	case SOURCE:
		out->text = n->linktarget;
		break;
	case USER:
		out->text = owner(&v->text, n->user, n->uid);
		break;
	case GROUP:
		out->text = owner(&v->text, n->group, n->gid);
		break;
	case TYPE:
	case MODE:
	case EXTRA:
	case ISOMTIME:
	case ISOATIME:
	case ISOCTIME:
		out->text = made_text(v, (enum key)key);
		break;
	case SIZE:
		out->number = n->size;
		break;
	case UID:
		out->number = n->uid;
		break;
	case GID:
		out->number = n->gid;
		break;
	case INODE:
		out->number = n->inode;
		break;
	case LINKS:
		out->number = n->links;
		break;
	case MTIME:
		out->time = n->mtime;
		break;
	case ATIME:
		out->time = n->atime;
		break;
	case CTIME:
		out->time = n->ctime;
		break;
	}
}
