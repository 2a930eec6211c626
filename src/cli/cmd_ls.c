/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ls: the files and folders of a snapshot, depth first. Trees are read one per level, so that the
 * memory needed grows with depth and not with the number of files; only --sort keeps a line for
 * each of them.
 */
#include "base/path.h"
#include "cli/commands.h"
#include "cli/node_line.h"
#include "cli/session.h"
#include "cli/snaplist.h"
#include "engine/treewalk.h"

enum sort { BY_NAME, BY_SIZE, BY_MTIME, BY_ATIME, BY_CTIME, BY_EXTENSION };

struct ls_options {
	struct hf_filter_opts filter;
	bool is_long, is_recursive, is_human, is_ncdu, is_reversed;
	unsigned sort;
	char *format;
};

#define T struct ls_options
static const struct hf_opt options[] = {
	HF_OPT_FILTERS(T, filter, 'H'),
	{"long", 'l', HF_OPT_FLAG(T, is_long),
		.help = "show mode, owner, size and time as well"},
	{"recursive", 0, HF_OPT_FLAG(T, is_recursive),
		.help = "include files in subfolders of the listed folders"},
	{"human-readable", 0, HF_OPT_FLAG(T, is_human), .help = "print sizes with units"},
	{"sort", 's', HF_OPT_WORD(T, sort), .arg = "mode",
		.words = "name|size|time=mtime|atime|ctime|extension",
		.help = "sort by (name|size|time=mtime|atime|ctime|extension)"},
	{"reverse", 0, HF_OPT_FLAG(T, is_reversed), .help = "reverse the order"},
	{"format", 0, .is_ours = true, HF_OPT_STRING(T, format), .arg = "format",
		.help = "print each item in this form, such as '{mode} {size:10} {path}{NL}'"},
	{"ncdu", 0, HF_OPT_FLAG(T, is_ncdu), .help = "print what `ncdu -f -` reads"},
};
#undef T

/* A line that waits to be sorted. */
struct line {
	char *text, *path;
	size_t len; /* of the text */
	uint64_t size;
	struct hf_time time;
};

struct ls {
	struct hf_cli *cli;
	const struct ls_options *o;
	struct hf_template *format; /* or NULL */
	struct hf_strings dirs;     /* cleaned */
	struct line *lines;
	size_t n_lines, cap_lines;
	unsigned depth; /* of ncdu's brackets */
};

static void
ls_clear(struct ls *l)
{
	for (size_t i = 0; i < l->n_lines; i++) {
		free(l->lines[i].text);
		free(l->lines[i].path);
	}
	free(l->lines);
	hf_template_free(l->format);
	hf_strings_clear(&l->dirs);
}

/* True when `path` is `dir` or lies in it. */
static bool
is_within(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return *path == '/';
	return strncmp(dir, path, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static void
add_json(struct hf_buf *out, struct hf_str path, const struct hf_node *n)
{
	struct hf_jout o = {.buf = out};

	hf_jout_object(&o);
	hf_jout_key(&o, "name");
	hf_jout_str(&o, n->name);
	hf_jout_key(&o, "type");
	hf_jout_str(&o, hf_str(hf_node_type_text(n->type)));
	hf_jout_key(&o, "path");
	hf_jout_str(&o, path);
	hf_jout_key(&o, "uid");
	hf_jout_u64(&o, n->uid);
	hf_jout_key(&o, "gid");
	hf_jout_u64(&o, n->gid);
	if (n->type == HF_NODE_FILE) {
		hf_jout_key(&o, "size");
		hf_jout_u64(&o, n->size);
	}
	if (n->mode != 0) {
		hf_jout_key(&o, "mode");
		hf_jout_u64(&o, n->mode);
	}
	hf_jout_key(&o, "permissions");
	hf_jout_str(&o, hf_str(hf_mode_text(n->mode).s));
	hf_jout_key(&o, "mtime");
	hf_jout_time(&o, &n->mtime);
	hf_jout_key(&o, "atime");
	hf_jout_time(&o, &n->atime);
	hf_jout_key(&o, "ctime");
	hf_jout_time(&o, &n->ctime);
	if (n->inode != 0) {
		hf_jout_key(&o, "inode");
		hf_jout_u64(&o, n->inode);
	}
	hf_jout_key(&o, "message_type");
	hf_jout_str(&o, hf_str("node"));
	hf_jout_key(&o, "struct_type");
	hf_jout_str(&o, hf_str("node"));
	hf_jout_object_end(&o);
}

static void
add_ncdu(struct ls *l, struct hf_buf *out, const struct hf_node *n)
{
	bool is_dir = n->type == HF_NODE_DIR;
	struct hf_jout o = {.buf = out};
	struct {
		const char *key;
		uint64_t value;
	} before[] = {{"asize", n->size}, {"dsize", (n->size + 511) / 512 * 512},
		{"dev", n->device_id}, {"ino", n->inode}, {"nlink", n->links}},
	  after[] = {{"uid", n->uid}, {"gid", n->gid}, {"mode", hf_mode_perm(n->mode)},
		  {"mtime", n->mtime.sec < 0 ? 0 : (uint64_t)n->mtime.sec}};

	hf_buf_addf(out, ",\n%*s", 2 * (int)l->depth, "");
	if (is_dir)
		hf_buf_addf(out, "[\n%*s", 2 * (int)++l->depth, "");
	hf_jout_object(&o);
	hf_jout_key(&o, "name");
	hf_jout_str(&o, n->name);
	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		hf_jout_key(&o, before[i].key);
		hf_jout_u64(&o, before[i].value);
	}
	hf_jout_key(&o, "notreg");
	hf_jout_bool(&o, !is_dir && n->type != HF_NODE_FILE);
	for (size_t i = 0; i < sizeof after / sizeof after[0]; i++) {
		hf_jout_key(&o, after[i].key);
		hf_jout_u64(&o, after[i].value);
	}
	hf_jout_object_end(&o);
}

static void
keep_line(struct ls *l, const struct hf_buf *text, struct hf_str path, const struct hf_node *n)
{
	const struct hf_time *times[] = {[BY_ATIME] = &n->atime, [BY_CTIME] = &n->ctime};
	unsigned sort = l->o->sort;

	if (l->n_lines == l->cap_lines) {
		l->cap_lines = l->cap_lines != 0 ? 2 * l->cap_lines : 1024;
		l->lines = reallocarray(l->lines, l->cap_lines, sizeof *l->lines);
		if (l->lines == NULL)
			abort();
	}
	l->lines[l->n_lines++] = (struct line){
		.text = hf_str_dup(hf_bytes_str(hf_buf_bytes(text))),
		.len = text->len,
		.path = hf_str_dup(path),
		.size = n->size,
		.time = sort == BY_ATIME || sort == BY_CTIME ? *times[sort] : n->mtime,
	};
}

static void
print_text(struct ls *l, struct hf_bytes text)
{
	hf_out_write(l->cli->out, text);
	if (l->format == NULL)
		hf_out_write(l->cli->out, hf_str_bytes(hf_str("\n")));
}

static void
add_formatted(struct ls *l, struct hf_buf *out, struct hf_str path, const struct hf_node *n)
{
	struct hf_node_values values = {path, n, HF_BUF_MAX(64 << 20)};

	hf_template_add(
		l->format, hf_node_value, &values, hf_out_is_terminal(l->cli->out), out);
	hf_buf_clear(&values.text);
}

/* `is_shown` is false for the folders on the way to one that the user named. */
static struct hf_err *
visit(struct ls *l, struct hf_str path, const struct hf_node *n, bool is_shown)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(64 << 20);

	if (l->o->is_ncdu)
		add_ncdu(l, &text, n);
	else if (!is_shown)
		return NULL;
	else if (l->cli->global.is_json)
		add_json(&text, path, n);
	else if (l->format != NULL)
		add_formatted(l, &text, path, n);
	else
		hf_node_line(&text, path, n, l->o->is_long, l->o->is_human,
			hf_out_is_terminal(l->cli->out));
	HF_TRY(hf_buf_ok(&text));
	if (l->o->is_ncdu)
		hf_out_write(l->cli->out, hf_buf_bytes(&text));
	else if (l->o->sort != BY_NAME || l->o->is_reversed)
		keep_line(l, &text, path, n);
	else
		print_text(l, hf_buf_bytes(&text));
	return NULL;
}

static void
leave(struct ls *l)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	if (!l->o->is_ncdu)
		return;
	hf_buf_addf(&text, "\n%*s]", 2 * (int)--l->depth, "");
	hf_out_write(l->cli->out, hf_buf_bytes(&text));
}

/* Prints a node if it is wanted, and tells whether to go into it. */
static struct hf_err *
visit_node(void *arg, const char *path, const struct hf_node *n, enum hf_walk_next *next)
{
	struct ls *l = arg;
	bool is_shown = l->dirs.len == 0, is_near = l->dirs.len == 0;

	for (size_t i = 0; i < l->dirs.len; i++) {
		is_shown = is_shown || is_within(l->dirs.v[i], path);
		is_near = is_near || is_within(path, l->dirs.v[i]);
	}
	if (is_shown || is_near)
		HF_TRY(visit(l, hf_str(path), n, is_shown));
	if (is_near || (is_shown && l->o->is_recursive))
		return NULL;
	*next = HF_WALK_SKIP;
	if (is_shown && n->type == HF_NODE_DIR)
		leave(l);
	return NULL;
}

static struct hf_err *
leave_folder(void *arg, const char *path)
{
	(void)path;
	leave(arg);
	return NULL;
}

static const char *
extension(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(path, '.');

	return dot != NULL && (slash == NULL || dot > slash) ? dot : "";
}

static int
compare_lines(const void *x, const void *y, void *arg)
{
	const struct line *a = x, *b = y;
	unsigned sort = *(const unsigned *)arg;
	int order = 0;

	if (sort == BY_SIZE)
		order = (a->size > b->size) - (a->size < b->size);
	else if (sort == BY_EXTENSION)
		order = strcmp(extension(a->path), extension(b->path));
	else
		order = hf_time_cmp(&a->time, &b->time);
	return order != 0 ? order : strcmp(a->path, b->path);
}

static void
print_sorted(struct ls *l)
{
	unsigned sort = l->o->sort;

	/* By name they have come in order already: that of the trees. */
	if (sort != BY_NAME && l->n_lines > 0)
		qsort_r(l->lines, l->n_lines, sizeof *l->lines, compare_lines, &sort);
	for (size_t i = 0; i < l->n_lines; i++) {
		const struct line *line = &l->lines[l->o->is_reversed ? l->n_lines - 1 - i : i];

		print_text(l, (struct hf_bytes){(const uint8_t *)line->text, line->len});
	}
}

static void
print_head(struct ls *l, const struct hf_snapshot *sn, const struct hf_args *args)
{
	struct hf_hex hex = hf_id_hex(&sn->id);
	hf_auto(hf_buf) text = HF_BUF_MAX(64 << 20);
	struct hf_jout o = {.buf = &text};

	if (l->o->is_ncdu) {
		hf_buf_add_str(&text, "[1, 2, ");
		hf_jout_object(&o);
		hf_snapshot_fields(&o, sn);
		hf_jout_object_end(&o);
		hf_buf_add_str(&text, ", [{\"name\":\"/\"}");
		hf_out_write(l->cli->out, hf_buf_bytes(&text));
		l->depth = 1;
	} else if (l->cli->global.is_json) {
		hf_jout_object(&o);
		hf_snapshot_fields(&o, sn);
		hf_jout_key(&o, "id");
		hf_jout_str(&o, hf_str(hex.s));
		hf_jout_key(&o, "short_id");
		hf_jout_str(&o, (struct hf_str){hex.s, 8});
		hf_jout_key(&o, "message_type");
		hf_jout_str(&o, hf_str("snapshot"));
		hf_jout_key(&o, "struct_type");
		hf_jout_str(&o, hf_str("snapshot"));
		hf_jout_object_end(&o);
		hf_out_json(l->cli->out, &text);
	} else if (l->format == NULL) {
		hf_snapshot_sentence(&text, sn);
		hf_buf_add_str(&text, " filtered by [");
		for (size_t i = 1; i < args->len; i++)
			hf_buf_addf(&text, "%s%s", i > 1 ? " " : "", args->v[i]);
		hf_say(l->cli->out, HF_SAY_NORMAL, "%.*s]:", (int)text.len,
			(const char *)text.p);
	}
}

static struct hf_err *
check_args(struct ls *l, const struct hf_args *args)
{
	if (args->len == 0)
		return hf_err(HF_EINVAL, "no snapshot ID specified, specify snapshot ID or use "
					 "special ID 'latest'");
	if (l->o->is_ncdu && l->cli->global.is_json)
		return hf_err(HF_EINVAL, "only either '--json' or '--ncdu' can be specified");
	if (l->o->is_ncdu && (l->o->sort != BY_NAME || l->o->is_reversed))
		return hf_err(HF_EINVAL, "--%s and --ncdu are mutually exclusive",
			l->o->sort != BY_NAME ? "sort" : "reverse");
	if (l->o->format != NULL) {
		if (l->o->is_ncdu || l->cli->global.is_json || l->o->is_long)
			return hf_err(HF_EINVAL, "--format does not go together with --json, "
						 "--ncdu or --long");
		HF_TRY(hf_template_parse(l->o->format, hf_node_keys, &l->format));
	}
	for (size_t i = 1; i < args->len; i++) {
		hf_autofree char *dir = hf_path_clean(args->v[i]);

		if (args->v[i][0] != '/')
			return hf_err(HF_EINVAL, "All path filters must be absolute, starting "
						 "with a forward slash '/'");
		hf_strings_add(&l->dirs, dir);
	}
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(hf_session) session = {0};
	hf_auto(ls) l = {.cli = cli, .o = opts};
	struct hf_walker walker = {.arg = &l, .node = visit_node, .leave = leave_folder};
	hf_autoptr(hf_reader) reader = NULL;
	hf_autoptr(hf_snapshot) sn = NULL;
	hf_autofree char *subfolder = NULL;
	struct hf_id root;

	HF_TRY(check_args(&l, args));
	cli->early = hf_early_for(args->v[0]);
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(hf_session_snapshot(&session, &l.o->filter, args->v[0], &sn, &subfolder));
	HF_TRY(hf_session_load_index(&session));
	HF_TRY(hf_session_tree(&session, sn, subfolder, &root));
	reader = hf_reader_new(session.repo, session.index);
	print_head(&l, sn, args);
	HF_TRY(hf_walk(reader, &root, "/", &walker, &cli->stop));
	print_sorted(&l);
	if (l.o->is_ncdu)
		hf_out_write(cli->out, hf_str_bytes(hf_str("\n]\n]\n")));
	return NULL;
}

const struct hf_command hf_cmd_ls = {
	.name = "ls",
	.usage = "[flags] snapshotID [dir...]",
	.summary = "List files in a snapshot",
	.text = "Lists the files and folders in a snapshot. \"latest\" is the newest snapshot "
		"that\n"
		"the filters let through. With folders, given as absolute paths, only what "
		"lies\n"
		"directly in them is listed, or everything below them with --recursive.",
	HF_COMMAND_OPTS(options, struct ls_options),
	.run = run,
};
