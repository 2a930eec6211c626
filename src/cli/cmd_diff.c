/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diff: what is different between two snapshots, or between folders of theirs, or between one and
 * the files that are there now. For the latter the second snapshot is made and not stored.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/path.h"
#include "cli/backup_report.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/select.h"
#include "cli/session.h"
#include "cli/sources.h"
#include "engine/diff.h"
#include "engine/treewalk.h"

enum { MAX_LINE = 64 << 20 };

struct diff_options {
	bool with_metadata;
	bool is_live, force, ignore_inode, ignore_ctime, with_atime;
	struct hf_select_opts select;
};

#define T struct diff_options
static const struct hf_opt options[] = {
	{"metadata", 0, HF_OPT_FLAG(T, with_metadata),
		.help = "print changes of nothing but metadata as well"},
	{"live", 0, .is_ours = true, HF_OPT_FLAG(T, is_live),
		.help = "compare the snapshot with the files that are there now, as if they "
			"were "
			"backed up: those that it is of, or what the other arguments name; a "
			"folder of it with the folder of that path, or another. All other "
			"options but --metadata belong to this one"},
	HF_OPT_SELECT(T, select, true),
	{"force", 'f', .is_ours = true, HF_OPT_FLAG(T, force),
		.help = "read all files, also those of which the metadata are what they were"},
	{"ignore-ctime", 0, .is_ours = true, HF_OPT_FLAG(T, ignore_ctime),
		.env = "IGNORE_CTIME",
		.help = "files of which only the ctime differs are not read"},
	{"ignore-inode", 0, .is_ours = true, HF_OPT_FLAG(T, ignore_inode),
		.env = "IGNORE_INODE",
		.help = "files of which only inode number or ctime differ are not read"},
	{"with-atime", 0, .is_ours = true, HF_OPT_FLAG(T, with_atime),
		.help = "compare access times with --metadata"},
};
#undef T

/* ---- what the comparison calls ---- */

static struct hf_err *
print_change(void *arg, const char *path, const char *how)
{
	struct hf_cli *cli = arg;
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_LINE);
	struct hf_jout o = {.buf = &text};

	if (cli->global.is_quiet)
		return NULL;
	if (cli->global.is_json) {
		hf_jout_object(&o);
		hf_jout_field_str(&o, "message_type", "change");
		hf_jout_field_str(&o, "path", path);
		hf_jout_field_str(&o, "modifier", how);
		hf_jout_object_end(&o);
	} else {
		hf_buf_addf(&text, "%-5s", how);
		if (hf_out_is_terminal(cli->out))
			hf_format_name(&text, hf_str(path));
		else
			hf_buf_add_str(&text, path);
	}
	hf_buf_add_char(&text, '\n');
	HF_TRY(hf_buf_ok(&text));
	hf_out_write(cli->out, hf_buf_bytes(&text));
	return NULL;
}

static void
print_error(void *arg, struct hf_err *e)
{
	struct hf_cli *cli = arg;

	hf_say_err(cli->out, "error: %s", hf_err_text(e));
	hf_err_free(e);
}

/* ---- the sums ---- */

static void
add_stat(struct hf_jout *o, const char *key, const struct hf_diff_stat *s)
{
	hf_jout_key(o, key);
	hf_jout_object(o);
	hf_jout_field_u64(o, "files", s->files);
	hf_jout_field_u64(o, "dirs", s->dirs);
	hf_jout_field_u64(o, "others", s->others);
	hf_jout_field_u64(o, "data_blobs", s->data_blobs);
	hf_jout_field_u64(o, "tree_blobs", s->tree_blobs);
	hf_jout_field_u64(o, "bytes", s->bytes);
	hf_jout_object_end(o);
}

static void
print_json(struct hf_cli *cli, const struct hf_args *args, bool is_live,
	const struct hf_diff_result *r)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_LINE);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "statistics");
	hf_jout_field_str(&o, "source_snapshot", args->v[0]);
	hf_jout_field_str(&o, "target_snapshot", is_live ? "live" : args->v[1]);
	hf_jout_field_u64(&o, "changed_files", r->changed_files);
	add_stat(&o, "added", &r->added);
	add_stat(&o, "removed", &r->removed);
	hf_jout_object_end(&o);
	hf_out_json(cli->out, &json);
}

static void
print_text(struct hf_out *out, const struct hf_diff_result *r)
{
	const struct hf_diff_stat *a = &r->added, *b = &r->removed;

	hf_say(out, HF_SAY_DATA, "%s", "");
	hf_say(out, HF_SAY_DATA,
		"Files:       %5" PRIu64 " new, %5" PRIu64 " removed, %5" PRIu64 " changed",
		a->files, b->files, r->changed_files);
	hf_say(out, HF_SAY_DATA, "Dirs:        %5" PRIu64 " new, %5" PRIu64 " removed", a->dirs,
		b->dirs);
	hf_say(out, HF_SAY_DATA, "Others:      %5" PRIu64 " new, %5" PRIu64 " removed",
		a->others, b->others);
	hf_say(out, HF_SAY_DATA, "Data Blobs:  %5" PRIu64 " new, %5" PRIu64 " removed",
		a->data_blobs, b->data_blobs);
	hf_say(out, HF_SAY_DATA, "Tree Blobs:  %5" PRIu64 " new, %5" PRIu64 " removed",
		a->tree_blobs, b->tree_blobs);
	hf_say(out, HF_SAY_DATA, "  Added:   %-5s", hf_format_bytes(a->bytes).s);
	hf_say(out, HF_SAY_DATA, "  Removed: %-5s", hf_format_bytes(b->bytes).s);
}

/* ---- the two ends ---- */

struct end {
	struct hf_snapshot *snapshot;
	char *subfolder;
	struct hf_id tree;
};

static void
end_clear(struct end *e)
{
	hf_snapshot_free(e->snapshot);
	free(e->subfolder);
}

/* restic takes no "latest" here, and whoever calls us by its name gets its answer. */
static struct hf_err *
find_end(struct hf_session *s, const char *text, struct end *out)
{
	static const struct hf_filter_opts any = {0};
	size_t n = strcspn(text, ":");

	if (s->cli->is_restic && n == strlen("latest") && strncmp(text, "latest", n) == 0)
		return hf_err(HF_ENOTFOUND, "no matching ID found for prefix \"latest\"");
	return hf_session_snapshot(s, &any, text, &out->snapshot, &out->subfolder);
}

static void
say_ends(struct hf_cli *cli, const struct end *a, const char *b, int len)
{
	if (!cli->global.is_json)
		hf_say(cli->out, HF_SAY_NORMAL, "comparing snapshot %.8s to %.*s:\n\n",
			hf_id_hex(&a->snapshot->id).s, len, b);
}

static struct hf_err *
compare(struct hf_session *s, const struct diff_options *o, const struct hf_args *args,
	const struct hf_id *before, const struct hf_id *after)
{
	struct hf_cli *cli = s->cli;
	const struct hf_differ differ = {cli, o->with_metadata, print_change, print_error};
	struct hf_diff_result result;

	HF_TRY(hf_diff(s->repo, s->index, before, after, &differ, &cli->stop, &result));
	if (cli->global.is_json)
		print_json(cli, args, o->is_live, &result);
	else
		print_text(cli->out, &result);
	if (result.errors > 0)
		return hf_err(HF_ECORRUPT, "the comparison is not whole: %" PRIu64 " errors",
			result.errors);
	return NULL;
}

static struct hf_err *
compare_two(struct hf_session *s, const struct diff_options *o, const struct hf_args *args)
{
	hf_auto(end) a = {0};
	hf_auto(end) b = {0};

	HF_TRY(find_end(s, args->v[0], &a));
	HF_TRY(find_end(s, args->v[1], &b));
	say_ends(s->cli, &a, hf_id_hex(&b.snapshot->id).s, 8);
	HF_TRY(hf_session_load_index(s));
	HF_TRY(hf_session_tree(s, a.snapshot, a.subfolder, &a.tree));
	HF_TRY(hf_session_tree(s, b.snapshot, b.subfolder, &b.tree));
	return compare(s, o, args, &a.tree, &b.tree);
}

/* ---- the files that are there now ---- */

struct live {
	char *cwd;
	struct hf_strings targets;
	struct hf_select select;
	bool is_partial; /* not everything could be read */
};

static void
live_clear(struct live *l)
{
	free(l->cwd);
	hf_strings_clear(&l->targets);
	hf_select_clear(&l->select);
}

/*
 * What the snapshot is of. Where it was made of relative paths it has other names for them, and all
 * of it would seem to be gone and come back.
 */
static struct hf_err *
add_own_path(struct hf_session *s, const struct end *a, const char *path, struct live *l)
{
	hf_autoptr(hf_reader) reader = hf_reader_new(s->repo, s->index);
	hf_autoptr(hf_tree) tree = NULL;
	const struct hf_node *node;
	struct stat st;

	if (strcmp(path, "/") != 0) {
		struct hf_err *e = hf_walk_find(reader, &a->snapshot->tree, path, &tree, &node);

		if (e != NULL && hf_err_code(e) == HF_ENOTFOUND) {
			hf_err_free(e);
			return hf_err(HF_EINVAL,
				"%s stands in snapshot %.8s under another name: say what is "
				"to be compared, as backup was told",
				path, hf_id_hex(&a->snapshot->id).s);
		}
		HF_TRY(e);
	}
	if (lstat(path, &st) == 0) {
		hf_strings_add(&l->targets, path);
	} else if (errno != ENOENT && errno != ENOTDIR) {
		hf_say_err(s->cli->out, "%s cannot be accessed, skipping", path);
		l->is_partial = true;
	}
	return NULL;
}

static struct hf_err *
find_targets(
	struct hf_session *s, const struct end *a, const struct hf_args *args, struct live *l)
{
	static const struct hf_strings none;
	static const struct hf_source_lists no_lists = {&none, &none, &none};
	const struct hf_args rest = {args->v + 1, args->len - 1};
	const struct hf_strings *own = &a->snapshot->paths;

	if (a->subfolder != NULL) {
		hf_autofree char *path = hf_path_abs(
			rest.len > 0 ? l->cwd : "/", rest.len > 0 ? rest.v[0] : a->subfolder);

		if (rest.len > 1)
			return hf_err(HF_EINVAL,
				"a folder of a snapshot is compared with one folder");
		hf_strings_add(&l->targets, path);
		return NULL;
	}
	if (rest.len > 0)
		return hf_sources_collect(
			s->cli, &no_lists, &rest, &l->targets, &l->is_partial);
	for (size_t i = 0; i < own->len; i++)
		HF_TRY(add_own_path(s, a, own->v[i], l));
	if (l->targets.len == 0)
		return hf_err(HF_ENOTFOUND, "nothing of what snapshot %.8s is of is there",
			hf_id_hex(&a->snapshot->id).s);
	return NULL;
}

/* The tree that a backup of the targets would have now; what is new of it is in `loose`. */
static struct hf_err *
make_tree(struct hf_session *s, const struct diff_options *o, const struct end *a,
	struct live *l, struct hf_loose *loose, struct hf_id *out)
{
	struct hf_backup_progress progress = {0};
	hf_autoptr(hf_backup_report) report = hf_backup_report_new(s->cli, &progress, NULL);
	const struct hf_backup_events all = hf_backup_report_events(report);
	const struct hf_backup_events events = {
		.arg = all.arg,
		.error = all.error,
		.warning = all.warning,
		.changed = all.changed,
	};
	struct hf_backup_options engine = {
		.targets = (const char *const *)l->targets.v,
		.n_targets = l->targets.len,
		.cwd = l->cwd,
		.parent = o->force ? NULL : a->snapshot,
		.ignore_inode = o->ignore_inode,
		.ignore_ctime = o->ignore_ctime || o->ignore_inode,
		.with_atime = o->with_atime,
		.is_dry_run = true,
		.loose = loose,
		.no_scan = true,
		.stop = &s->cli->stop,
	};
	struct hf_backup_result r;

	hf_select_apply(&l->select, &engine);
	HF_TRY(hf_backup(s->repo, s->index, &engine, &events, &progress, &r));
	if (l->is_partial || hf_backup_report_has_errors(report))
		s->cli->warning = "at least one source file could not be read";
	*out = r.tree;
	return NULL;
}

static struct hf_err *
compare_live(struct hf_session *s, const struct diff_options *o, const struct hf_args *args)
{
	hf_autoptr(hf_loose) loose = hf_loose_new();
	hf_auto(live) l = {.cwd = hf_env_cwd()};
	hf_auto(end) a = {0};
	struct hf_id tree;

	HF_TRY(hf_select_compile(&o->select, &l.select));
	l.select.cache = s->cache.path;
	HF_TRY(find_end(s, args->v[0], &a));
	say_ends(s->cli, &a, "what is there now", INT_MAX);
	HF_TRY(hf_session_load_index(s));
	HF_TRY(hf_session_tree(s, a.snapshot, a.subfolder, &a.tree));
	HF_TRY(find_targets(s, &a, args, &l));
	HF_TRY(make_tree(s, o, &a, &l, loose, &tree));
	if (a.subfolder != NULL) {
		hf_autoptr(hf_reader) reader = hf_reader_new(s->repo, s->index);

		HF_TRY(hf_walk_folder(reader, &tree, l.targets.v[0], &tree));
	}
	return compare(s, o, args, &a.tree, &tree);
}

/* ---- the command ---- */

static struct hf_err *
check_args(struct hf_cli *cli, const struct diff_options *o, const struct hf_args *args)
{
	if (o->is_live)
		return args->len == 0 ? hf_err(HF_EINVAL, "specify a snapshot ID") : NULL;
	for (size_t i = 0; i < cli->own_opts.n; i++)
		if (cli->own_opts.given[i] && cli->own_opts.v[i].is_ours)
			return hf_err(HF_EINVAL, "--%s is for --live", cli->own_opts.v[i].name);
	return args->len != 2 ? hf_err(HF_EINVAL, "specify two snapshot IDs") : NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct diff_options *o = opts;
	hf_auto(hf_session) session = {0};

	HF_TRY(check_args(cli, o, args));
	cli->early = hf_early_for(args->v[0]);
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	return o->is_live ? compare_live(&session, o, args) : compare_two(&session, o, args);
}

const struct hf_command hf_cmd_diff = {
	.name = "diff",
	.usage = "[flags] snapshotID[:folder] snapshotID[:folder]",
	.summary = "Show what differs between two snapshots",
	.text = "Compares two snapshots, or a folder in one with a folder in the other. "
		"Before\n"
		"each path stands what happened to it from the first to the second:\n"
		"\n"
		"  +  it was added\n"
		"  -  it was removed\n"
		"  M  the content of the file was changed\n"
		"  U  only its metadata were changed (with --metadata)\n"
		"  T  it became something else, such as a link instead of a file\n"
		"  ?  the content was changed, and nothing else: probably damage of the disk",
	HF_COMMAND_OPTS(options, struct diff_options),
	.run = run,
};
