/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * find: in which snapshots there are files of a name, or files and folders that use a blob, a tree
 * or a pack. All that is found is printed at once; nothing is kept.
 */
#include <inttypes.h>

#include "base/utf8.h"
#include "base/when.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/message.h"
#include "cli/node_line.h"
#include "cli/session.h"
#include "codec/quote.h"
#include "engine/find.h"

enum { MAX_LINE = 64 << 20 };

struct find_options {
	struct hf_filter_opts filter;
	char *oldest, *newest;
	struct hf_strings snapshots;
	bool folds_case, is_long, is_human, is_reversed;
	bool is_blob, is_tree, is_pack, shows_pack;
};

#define T struct find_options
static const struct hf_opt options[] = {
	{"oldest", 'O', HF_OPT_STRING(T, oldest), .arg = "time",
		.help = "only what was modified then or later, such as '2012-11-01 22:08'"},
	{"newest", 'N', HF_OPT_STRING(T, newest), .arg = "time",
		.help = "only what was modified then or earlier"},
	{"snapshot", 's', HF_OPT_LIST(T, snapshots), .arg = "id",
		.help = "search in this snapshot"},
	{"blob", 0, HF_OPT_FLAG(T, is_blob), .help = "the patterns are IDs of blobs"},
	{"tree", 0, HF_OPT_FLAG(T, is_tree), .help = "the patterns are IDs of trees"},
	{"pack", 0, HF_OPT_FLAG(T, is_pack), .help = "the patterns are IDs of packs"},
	{"show-pack-id", 0, HF_OPT_FLAG(T, shows_pack),
		.help = "say in which pack blobs or trees are as well"},
	{"ignore-case", 'i', HF_OPT_FLAG(T, folds_case),
		.help = "upper and lower case are the same"},
	{"reverse", 'R', HF_OPT_FLAG(T, is_reversed),
		.help = "begin with the oldest snapshot instead of the newest"},
	{"long", 'l', HF_OPT_FLAG(T, is_long),
		.help = "show mode, owner, size and time as well"},
	{"human-readable", 0, HF_OPT_FLAG(T, is_human), .help = "print sizes with units"},
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

struct find {
	struct hf_cli *cli;
	const struct find_options *o;
	struct hf_strings patterns;
	struct hf_time times[2]; /* oldest, newest */
	bool has_time[2];
	struct hf_find *search;
	struct hf_id snapshot; /* of the last hit by name; zero before there was one */
	uint64_t hits;         /* in it; or all, when it is IDs that are looked for */
	uint64_t errors;
};

static void
find_clear(struct find *f)
{
	hf_strings_clear(&f->patterns);
	hf_find_free(f->search);
}

static void
print(struct find *f, const struct hf_buf *text)
{
	hf_out_write(f->cli->out, hf_buf_bytes(text));
}

/* ---- JSON ---- */

static void
add_time(struct hf_jout *o, const char *key, const struct hf_time *t)
{
	hf_jout_key(o, key);
	hf_jout_time(o, t);
}

static void
add_text(struct hf_jout *o, const char *key, struct hf_str s)
{
	if (s.len == 0)
		return;
	hf_jout_key(o, key);
	hf_jout_str(o, s);
}

/* The fields of a tree's node, without those that are of no use here. */
static void
add_node(struct hf_buf *out, const char *path, const struct hf_node *n)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "path", path);
	hf_jout_field_str(&o, "permissions", hf_mode_text(n->mode).s);
	hf_jout_field_str(&o, "type", hf_node_type_text(n->type));
	hf_msg_nonzero(&o, "mode", n->mode);
	add_time(&o, "mtime", &n->mtime);
	add_time(&o, "atime", &n->atime);
	add_time(&o, "ctime", &n->ctime);
	hf_jout_field_u64(&o, "uid", n->uid);
	hf_jout_field_u64(&o, "gid", n->gid);
	add_text(&o, "user", n->user);
	add_text(&o, "group", n->group);
	hf_msg_nonzero(&o, "inode", n->inode);
	hf_msg_nonzero(&o, "device_id", n->device_id);
	hf_msg_nonzero(&o, "size", n->size);
	hf_msg_nonzero(&o, "links", n->links);
	add_text(&o, "linktarget", n->linktarget);
	add_text(&o, "error", n->error);
	hf_jout_object_end(&o);
}

static void
add_object(struct hf_buf *out, const struct hf_find_hit *hit)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "object_type", hit->type == HF_TREE ? "tree" : "blob");
	hf_jout_key(&o, "id");
	hf_jout_id(&o, hit->id);
	hf_jout_field_str(&o, "path", hit->path);
	if (hit->tree != NULL) {
		hf_jout_key(&o, "parent_tree");
		hf_jout_id(&o, hit->tree);
	}
	hf_jout_key(&o, "snapshot");
	hf_jout_id(&o, &hit->snapshot->id);
	add_time(&o, "time", &hit->snapshot->time);
	hf_jout_object_end(&o);
}

/* Ends the object of the snapshot that the last hits were in. */
static void
end_snapshot(struct find *f, struct hf_buf *out)
{
	hf_buf_addf(out, "],\"hits\":%" PRIu64 ",\"snapshot\":\"%s\"}", f->hits,
		hf_id_hex(&f->snapshot).s);
}

/* One array is written in pieces: of objects, or of snapshots with their matches. */
static void
add_hit_json(struct find *f, struct hf_buf *out, const struct hf_find_hit *hit)
{
	bool is_by_name = hf_find_is_by_name(f->search);
	bool is_first = hf_id_is_zero(&f->snapshot);

	if (is_by_name && (is_first || !hf_id_eq(&f->snapshot, &hit->snapshot->id))) {
		if (!is_first)
			end_snapshot(f, out);
		hf_buf_add_str(out, is_first ? "[{\"matches\":[" : ",{\"matches\":[");
		f->snapshot = hit->snapshot->id;
		f->hits = 0;
	} else if (!is_by_name && f->hits == 0) {
		hf_buf_add_str(out, "[");
	}
	if (f->hits++ > 0)
		hf_buf_add_str(out, ",");
	if (is_by_name)
		add_node(out, hit->path, hit->node);
	else
		add_object(out, hit);
}

static void
print_json_end(struct find *f)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1024);

	if (!f->cli->global.is_json)
		return;
	if (f->hits == 0)
		hf_buf_add_str(&text, "[");
	else if (hf_find_is_by_name(f->search))
		end_snapshot(f, &text);
	hf_buf_add_str(&text, "]\n");
	print(f, &text);
}

/* ---- text ---- */

/* "1a2b3c4d" and the time of a snapshot between two texts. */
static void
add_snapshot(struct hf_buf *out, const char *before, const struct hf_snapshot *s,
	const char *between, const char *behind)
{
	hf_buf_addf(out, "%s%.8s%s%s%s\n", before, hf_id_hex(&s->id).s, between,
		hf_format_time(&s->time).s, behind);
}

static void
add_path(struct find *f, struct hf_buf *out, const char *path)
{
	if (hf_out_is_terminal(f->cli->out))
		hf_format_name(out, hf_str(path));
	else
		hf_buf_add_str(out, path);
	hf_buf_add_char(out, '\n');
}

static void
add_object_text(struct find *f, struct hf_buf *out, const struct hf_find_hit *hit)
{
	bool is_tree = hit->type == HF_TREE;

	hf_buf_addf(out, "Found %s %s\n", is_tree ? "tree" : "blob", hf_id_hex(hit->id).s);
	hf_buf_add_str(out, is_tree ? " ... path " : " ... in file ");
	add_path(f, out, hit->path);
	if (!is_tree)
		hf_buf_addf(out, "     (tree %s)\n", hf_id_hex(hit->tree).s);
	add_snapshot(out, " ... in snapshot ", hit->snapshot, " (", ")");
}

static void
add_hit_text(struct find *f, struct hf_buf *out, const struct hf_find_hit *hit)
{
	bool is_first = hf_id_is_zero(&f->snapshot);

	if (!hf_find_is_by_name(f->search)) {
		add_object_text(f, out, hit);
		return;
	}
	if (is_first || !hf_id_eq(&f->snapshot, &hit->snapshot->id)) {
		f->snapshot = hit->snapshot->id;
		if (hf_out_says(f->cli->out, HF_SAY_NORMAL))
			add_snapshot(out,
				is_first ? "Found matching entries in snapshot "
					 : "\nFound matching entries in snapshot ",
				hit->snapshot, " from ", "");
	}
	hf_node_line(out, hf_str(hit->path), hit->node, f->o->is_long, f->o->is_human,
		hf_out_is_terminal(f->cli->out));
	hf_buf_add_char(out, '\n');
}

/* ---- what the search calls ---- */

static struct hf_err *
on_found(void *arg, const struct hf_find_hit *hit)
{
	struct find *f = arg;
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_LINE);

	if (f->cli->global.is_json)
		add_hit_json(f, &text, hit);
	else
		add_hit_text(f, &text, hit);
	HF_TRY(hf_buf_ok(&text));
	print(f, &text);
	return NULL;
}

static void
on_error(void *arg, const struct hf_snapshot *s, const char *path, struct hf_err *e)
{
	struct find *f = arg;
	hf_autofree char *shown = hf_shown_name(hf_str(path));

	f->errors++;
	e = hf_err_in(e, "snapshot %.8s", hf_id_hex(&s->id).s);
	if (f->cli->global.is_json)
		hf_msg_error(f->cli, "find", path, e);
	else
		hf_say_err(f->cli->out, "Unable to look into %s: %s", shown, hf_err_text(e));
	hf_err_free(e);
}

static void
on_bad_pack(void *arg, const struct hf_id *pack, struct hf_err *e)
{
	struct find *f = arg;

	hf_say_err(f->cli->out,
		"pack %s cannot be read, getting its blobs from the repository index: %s",
		hf_id_hex(pack).s, hf_err_text(e));
	hf_err_free(e);
}

/* ---- the packs of what was looked for ---- */

static void
print_pack(struct find *f, struct hf_index *ix, enum hf_blob_type type,
	const struct hf_find_object *object)
{
	struct hf_blob blob = {object->id, type};
	struct hf_hex hex = hf_id_hex(&object->id);
	struct hf_location at;

	if (!object->has_id) {
		hf_auto(hf_buf) quoted = HF_BUF_MAX(1 << 20);

		hf_quote(&quoted, hf_str(object->text));
		hf_say(f->cli->out, HF_SAY_DATA,
			"Note: cannot find pack for object '%s', unable to parse ID: invalid "
			"length for ID: \"%.*s\"",
			object->text, (int)quoted.len, (const char *)quoted.p);
	} else if (!hf_index_find(ix, &blob, 0, &at)) {
		/* Restic has the two in this order. */
		hf_say(f->cli->out, HF_SAY_DATA,
			"Object %s with type %.8s not found in the index",
			hf_blob_type_text(type), hex.s);
	} else {
		struct hf_hex pack = hf_id_hex(&at.pack);

		hf_say(f->cli->out, HF_SAY_DATA, "Object belongs to pack %s", pack.s);
		hf_say(f->cli->out, HF_SAY_DATA,
			" ... Pack %.8s: <Blob (%s) %.8s, offset %" PRIu32 ", length %" PRIu32
			", uncompressed length %" PRIu32 ">",
			pack.s, hf_blob_type_text(type), hex.s, at.offset, at.length,
			at.raw_length);
	}
}

static void
print_packs(struct find *f, struct hf_index *ix)
{
	struct hf_find_object object;

	for (enum hf_blob_type t = HF_DATA; t <= HF_TREE; t++) {
		for (size_t i = 0; hf_find_object(f->search, t, i, &object); i++)
			print_pack(f, ix, t, &object);
	}
}

/* ---- the command ---- */

static struct hf_err *
parse_time(const char *text, struct hf_time *out, bool *is_given)
{
	static const char *const forms[] = {"Y-m-d", "Y-m-d H:M", "Y-m-d H:M:S",
		"Y-m-d H:M:S z", "Y-m-d H:M:S Z", "d.m.Y", "d.m.Y H:M", "d.m.Y H:M:S",
		"d.m.Y H:M:S z", "d.m.Y H:M:S Z", "a b e H:M:S z Z Y"};
	hf_auto(hf_buf) quoted = HF_BUF_MAX(1 << 20);

	if (text == NULL || *text == '\0')
		return NULL;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (hf_when_parse(forms[i], hf_str(text), out)) {
			*is_given = !hf_time_is_zero(out);
			return NULL;
		}
	}
	hf_quote(&quoted, hf_str(text));
	return hf_err(HF_EINVAL, "unable to parse time: \"%.*s\"", (int)quoted.len,
		(const char *)quoted.p);
}

static struct hf_err *
check_args(struct find *f, const struct hf_args *args)
{
	const struct find_options *o = f->o;

	if (args->len == 0)
		return hf_err(HF_EINVAL, "wrong number of arguments");
	HF_TRY(parse_time(o->oldest, &f->times[0], &f->has_time[0]));
	HF_TRY(parse_time(o->newest, &f->times[1], &f->has_time[1]));
	if (f->has_time[0] && f->has_time[1] && hf_time_cmp(&f->times[0], &f->times[1]) > 0)
		return hf_err(HF_EINVAL, "--oldest must specify a time before --newest");
	if (o->is_blob + o->is_tree + o->is_pack > 1)
		return hf_err(HF_EINVAL, "cannot have several ID types");
	return NULL;
}

/* With --ignore-case an ID may be in capitals. */
static void
add_pattern(struct find *f, const char *text)
{
	hf_auto(hf_buf) lower = HF_BUF_MAX(3 * strlen(text) + 1);
	struct hf_str s = hf_str(text);
	int32_t cp;

	while (s.len > 0 && f->o->folds_case) {
		size_t n = hf_utf8_next(s, &cp);

		hf_utf8_add(&lower, cp < 0 ? 0xFFFD : hf_utf8_lower(cp));
		s.p += n;
		s.len -= n;
	}
	if (f->o->folds_case)
		hf_strings_add_str(&f->patterns, hf_bytes_str(hf_buf_bytes(&lower)));
	else
		hf_strings_add(&f->patterns, text);
}

static struct hf_err *
search_packs(struct find *f, struct hf_session *s, struct hf_reader *r)
{
	hf_auto(hf_strings) missing = {0};
	hf_auto(hf_buf) list = HF_BUF_MAX(1 << 20);

	HF_TRY(hf_find_by_pack(
		r, s->repo, s->index, &f->patterns, &missing, on_bad_pack, f, &f->search));
	for (size_t i = 0; i < missing.len; i++)
		hf_buf_addf(&list, "%s%s", i > 0 ? " " : "", missing.v[i]);
	if (missing.len > 0)
		hf_say_err(f->cli->out,
			"some pack files are missing from the repository, getting their blobs "
			"from the repository index: [%.*s]\n\n",
			(int)list.len, (const char *)list.p);
	return NULL;
}

static struct hf_err *
load_snapshots(struct find *f, struct hf_session *s, struct hf_snapshots *out)
{
	const struct hf_strings *texts = &f->o->snapshots;
	hf_auto(hf_args) ids = {hf_alloc_(texts->len + 1, sizeof *ids.v), texts->len};

	for (size_t i = 0; i < texts->len; i++)
		ids.v[i] = texts->v[i];
	return hf_session_snapshots(s, &f->o->filter, &ids, out);
}

static int
oldest_first(const void *a, const void *b)
{
	const struct hf_snapshot *x = *(struct hf_snapshot *const *)a;
	const struct hf_snapshot *y = *(struct hf_snapshot *const *)b;
	int c = hf_time_cmp(&x->time, &y->time);

	return c != 0 ? c : hf_id_cmp(&x->id, &y->id);
}

static struct hf_err *
search_all(struct find *f, struct hf_reader *r, const struct hf_snapshots *list)
{
	const struct hf_finder finder = {f, on_found, on_error};

	if (list->len > 0)
		qsort(list->v, list->len, sizeof *list->v, oldest_first);
	for (size_t i = 0; i < list->len; i++) {
		size_t n = f->o->is_reversed ? i : list->len - 1 - i;

		HF_TRY(hf_find_in(f->search, r, list->v[n], &finder, &f->cli->stop));
	}
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(hf_session) session = {0};
	hf_auto(hf_snapshots) list = {0};
	hf_auto(find) f = {.cli = cli, .o = opts};
	hf_autoptr(hf_reader) reader = NULL;
	const struct find_options *o = f.o;

	HF_TRY(check_args(&f, args));
	for (size_t i = 0; i < args->len; i++)
		add_pattern(&f, args->v[i]);
	if (o->is_blob || o->is_tree)
		f.search = hf_find_by_id(o->is_tree ? HF_TREE : HF_DATA, &f.patterns);
	else if (!o->is_pack)
		HF_TRY(hf_find_by_name(&f.patterns, o->folds_case,
			f.has_time[0] ? &f.times[0] : NULL, f.has_time[1] ? &f.times[1] : NULL,
			&f.search));
	cli->early = HF_EARLY_SNAPSHOTS | HF_EARLY_INDEX;
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(load_snapshots(&f, &session, &list));
	HF_TRY(hf_session_load_index(&session));
	reader = hf_reader_new(session.repo, session.index);
	if (o->is_pack)
		HF_TRY(search_packs(&f, &session, reader));
	HF_TRY(search_all(&f, reader, &list));
	print_json_end(&f);
	if (o->shows_pack)
		print_packs(&f, session.index);
	if (f.errors > 0)
		return hf_err(
			HF_ECORRUPT, "%" PRIu64 " folders could not be searched", f.errors);
	return NULL;
}

const struct hf_command hf_cmd_find = {
	.name = "find",
	.usage = "[flags] PATTERN...",
	.summary = "Find a file, a directory or restic IDs",
	.text = "Looks in all snapshots, or those that the filters let through, for files and\n"
		"folders that one of the patterns matches; or for the files that a blob is\n"
		"in, the folders that have a tree, and all that lies in a pack. The newest\n"
		"snapshot comes first.",
	HF_COMMAND_OPTS(options, struct find_options),
	.run = run,
};
