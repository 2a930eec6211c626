/* SPDX-License-Identifier: BSD-2-Clause */
/* backup: makes a snapshot. */
#include <errno.h>
#include <signal.h>

#include "base/host.h"
#include "base/path.h"
#include "cli/backup_report.h"
#include "cli/commands.h"
#include "cli/place.h"
#include "cli/select.h"
#include "cli/session.h"
#include "cli/snaplist.h"
#include "cli/sources.h"
#include "cli/spawn.h"
#include "cli/words.h"

struct backup_options {
	char *parent, *group_by, *host, *time, *stdin_filename;
	struct hf_strings tags;
	struct hf_select_opts select;
	struct hf_strings files_from, files_verbatim, files_raw;
	uint64_t read_concurrency;
	bool force, is_dry_run, no_scan, skip_if_unchanged;
	bool use_stdin, use_command;
	bool with_atime, ignore_inode, ignore_ctime;
	bool use_fs_snapshot, exclude_cloud_files;
	bool is_list;
	char *filter;
	unsigned files_changed; /* enum hf_files_changed */
};

#define T struct backup_options
static const struct hf_opt options[] = {
	{"dry-run", 'n', HF_OPT_FLAG(T, is_dry_run),
		.help = "write nothing, only show what would be done"},
	HF_OPT_SELECT(T, select, false),
	{"files-from", 0, HF_OPT_LIST(T, files_from), .arg = "file",
		.help = "read what to back up from this file: patterns, one per line; - is "
			"standard input"},
	{"files-from-verbatim", 0, HF_OPT_LIST(T, files_verbatim), .arg = "file",
		.help = "the same with paths, one per line, taken as they are"},
	{"files-from-raw", 0, HF_OPT_LIST(T, files_raw), .arg = "file",
		.help = "the same with paths that each end with a zero byte"},
	{"stdin", 0, HF_OPT_FLAG(T, use_stdin), .help = "back up standard input as one file"},
	{"stdin-from-command", 0, HF_OPT_FLAG(T, use_command),
		.help = "run the arguments as a command and back up its output as one file"},
	{"stdin-filename", 0, HF_OPT_STRING(T, stdin_filename), .arg = "filename",
		.def = "stdin", .help = "name of that one file in the snapshot"},
	{"host", 'H', HF_OPT_STRING(T, host), .arg = "hostname", .env = "HOST",
		.help = "host name to write into the snapshot"},
	{"tag", 0, HF_OPT_LIST(T, tags), .arg = "tag[,tag,...]",
		.help = "tags to write into the snapshot"},
	{"time", 0, HF_OPT_STRING(T, time), .arg = "time",
		.help = "time of the backup, such as '2012-11-01 22:08:41' (default: now)"},
	{"parent", 0, HF_OPT_STRING(T, parent), .arg = "snapshot",
		.help = "compare with this snapshot (default: the latest one of the group that "
			"is "
			"not newer)"},
	{"group-by", 'g', HF_OPT_STRING(T, group_by), .arg = "group", .def = "host,paths",
		.help = "what the default parent must agree in: host, paths and/or tags, "
			"separated "
			"by comma"},
	{"force", 'f', HF_OPT_FLAG(T, force),
		.help = "have no parent and read all files again"},
	{"ignore-ctime", 0, HF_OPT_FLAG(T, ignore_ctime), .env = "IGNORE_CTIME",
		.help = "files of which only the ctime differs are unchanged"},
	{"ignore-inode", 0, HF_OPT_FLAG(T, ignore_inode), .env = "IGNORE_INODE",
		.help = "files of which only inode number or ctime differ are unchanged"},
	{"skip-if-unchanged", 0, HF_OPT_FLAG(T, skip_if_unchanged),
		.help = "make no snapshot that would equal its parent"},
	{"no-scan", 0, HF_OPT_FLAG(T, no_scan), .help = "do not count files ahead"},
	{"read-concurrency", 0, HF_OPT_UINT(T, read_concurrency), .arg = "n",
		.env = "READ_CONCURRENCY", .help = "read n files at once, 2 if not given"},
	{"with-atime", 0, HF_OPT_FLAG(T, with_atime), .help = "keep access times"},
	{"list", 0, .is_ours = true, HF_OPT_FLAG(T, is_list),
		.help = "write a line for every file, folder and so on to standard error: a "
			"letter for what became of it, and its path; nothing with --json"},
	{"filter", 0, .is_ours = true, HF_OPT_STRING(T, filter), .arg = "letters",
		.help = "list only what has one of these letters"},
	{"files-changed", 0, .is_ours = true, HF_OPT_WORD(T, files_changed), .arg = "mode",
		.words = "ctime|mtime|disabled", .def = "ctime",
		.help = "what tells that a file changed while it was read"},
	{"hostname", 0, HF_OPT_STRING(T, host), .arg = "hostname", .help = "",
		.instead = "use --host"},
	{"use-fs-snapshot", 0, HF_OPT_FLAG(T, use_fs_snapshot), .help = "", .is_hidden = true},
	{"exclude-cloud-files", 0, HF_OPT_FLAG(T, exclude_cloud_files), .help = "",
		.is_hidden = true},
};
#undef T

/* Everything of one run. */
struct backup {
	struct hf_cli *cli;
	const struct backup_options *o;
	const struct hf_args *args;
	struct hf_strings targets; /* as the user wrote them */
	char *cwd;
	struct hf_strings tags;
	struct hf_select select;
	char *host, *user;
	struct hf_time now, time;
	bool is_partial; /* some targets do not exist */
	pid_t child;     /* of --stdin-from-command; 0: none, or it has ended */
	int child_fd;
};

static void
backup_clear(struct backup *b)
{
	/* First the pipe: a command that ignores the signal may stand in a write to it. */
	if (b->child_fd >= 0)
		close(b->child_fd);
	if (b->child != 0) {
		kill(b->child, SIGTERM);
		hf_err_free(hf_spawn_wait(b->child, b->args->v[0]));
	}
	hf_strings_clear(&b->targets);
	hf_strings_clear(&b->tags);
	hf_select_clear(&b->select);
	free(b->cwd);
	free(b->host);
	free(b->user);
}

static struct hf_err *
check_options(const struct backup *b)
{
	const struct backup_options *o = b->o;
	struct hf_source_lists lists = {&o->files_from, &o->files_verbatim, &o->files_raw};
	struct hf_place place = hf_place_main(b->cli);
	const char *list = o->files_from.len > 0       ? "--files-from"
			   : o->files_verbatim.len > 0 ? "--files-from-verbatim"
			   : o->files_raw.len > 0      ? "--files-from-raw"
						       : NULL;

	if (!hf_place_has_password(b->cli, &place)) {
		if (o->use_stdin)
			return hf_err(
				HF_EINVAL, "cannot read both password and data from stdin");
		if (hf_sources_use_stdin(&lists))
			return hf_err(HF_EINVAL,
				"unable to read password from stdin when data is to be read "
				"from "
				"stdin, use --password-file or $RESTIC_PASSWORD");
	}
	HF_TRY(hf_backup_list_check(o->is_list, o->filter));
	if (!o->use_stdin && !o->use_command)
		return NULL;
	if (list != NULL)
		return hf_err(HF_EINVAL, "--stdin and %s cannot be used together", list);
	if (o->use_stdin && !o->use_command && b->args->len > 0)
		return hf_err(HF_EINVAL,
			"--stdin was specified and files/dirs were listed as arguments");
	if (o->use_command && b->args->len == 0)
		return hf_err(HF_EINVAL, "--stdin-from-command: no command was given");
	return NULL;
}

static struct hf_err *
collect(struct backup *b)
{
	const struct backup_options *o = b->o;
	struct hf_source_lists lists = {&o->files_from, &o->files_verbatim, &o->files_raw};

	if (!o->use_stdin && !o->use_command)
		HF_TRY(hf_sources_collect(
			b->cli, &lists, b->args, &b->targets, &b->is_partial));
	b->now = hf_time_now();
	b->time = b->now;
	if (o->time != NULL && *o->time != '\0')
		HF_TRY(hf_time_option(o->time, &b->time));
	b->cwd = hf_env_cwd();
	b->host = o->host != NULL && *o->host != '\0' ? hf_str_dup(hf_str(o->host))
						      : hf_host_name();
	b->user = hf_user_name(getuid());
	hf_tags_split(&o->tags, &b->tags);
	if (o->use_fs_snapshot || o->exclude_cloud_files)
		hf_say_err(b->cli->out, "Warning: --use-fs-snapshot and --exclude-cloud-files "
					"have no effect on Linux");
	return hf_select_compile(&o->select, &b->select);
}

/* The snapshot to compare with; NULL: none. */
static struct hf_err *
find_parent(struct backup *b, struct hf_repo *repo, struct hf_snapshot **out)
{
	const struct backup_options *o = b->o;
	bool is_named = o->parent != NULL && *o->parent != '\0';
	hf_auto(hf_snapshot_filter) filter = {.has_until = true, .until = b->time};
	hf_auto(hf_buf) tags = HF_BUF_MAX(1 << 20);
	hf_autofree char *subfolder = NULL;
	unsigned by;
	struct hf_err *e;

	*out = NULL;
	HF_TRY(hf_group_parse(o->group_by, &by));
	if (o->force)
		return NULL;
	if ((by & HF_BY_HOST) != 0)
		hf_strings_add(&filter.hosts, b->host);
	for (size_t i = 0; i < b->targets.len && (by & HF_BY_PATHS) != 0; i++) {
		hf_autofree char *path = hf_path_abs(b->cwd, b->targets.v[i]);

		hf_strings_add(&filter.paths, path);
	}
	if ((by & HF_BY_TAGS) != 0) {
		for (size_t i = 0; i < b->tags.len; i++)
			hf_buf_addf(&tags, "%s%s", i > 0 ? "," : "", b->tags.v[i]);
		hf_buf_add_char(&tags, '\0');
		hf_strings_add(&filter.tags, (const char *)tags.p);
	}
	e = hf_snapshot_find(repo, is_named ? o->parent : "latest", &filter, out, &subfolder);
	return is_named ? e : hf_err_ignore(e, HF_ENOTFOUND);
}

static void
say_targets(struct backup *b, const char *what)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	if (!hf_out_says(b->cli->out, HF_SAY_VERBOSE))
		return;
	if (b->o->use_stdin || b->o->use_command) {
		hf_autofree char *path = hf_path_join("/", b->o->stdin_filename);

		hf_buf_add_str(&text, path);
	}
	for (size_t i = 0; i < b->targets.len; i++)
		hf_buf_addf(&text, "%s%s", i > 0 ? " " : "", b->targets.v[i]);
	hf_say(b->cli->out, HF_SAY_VERBOSE, "%s on [%.*s]", what, (int)text.len,
		(const char *)text.p);
}

/* When all output is there: a command that failed has not said what it should. */
static struct hf_err *
wait_for_command(void *arg)
{
	struct backup *b = arg;
	pid_t child = b->child;

	b->child = 0;
	return hf_err_in(hf_spawn_wait(child, b->args->v[0]), "command failed");
}

/* Counting ahead reads every folder twice, so somebody should be there to look at the totals. */
static bool
should_scan(const struct backup *b)
{
	return !b->o->no_scan &&
	       (hf_progress_is_shown(b->cli) || hf_out_says(b->cli->out, HF_SAY_VERBOSE));
}

static void
fill_options(struct backup *b, struct hf_session *s, const struct hf_snapshot *parent,
	struct hf_backup_options *out)
{
	const struct backup_options *o = b->o;

	*out = (struct hf_backup_options){
		.targets = (const char *const *)b->targets.v,
		.n_targets = b->targets.len,
		.cwd = b->cwd,
		.parent = parent,
		.ignore_inode = o->ignore_inode,
		.ignore_ctime = o->ignore_ctime || o->ignore_inode,
		.files_changed = (enum hf_files_changed)o->files_changed,
		.with_atime = o->with_atime,
		.skip_if_unchanged = o->skip_if_unchanged,
		.is_dry_run = o->is_dry_run,
		.no_scan = !should_scan(b),
		.read_concurrency = (unsigned)o->read_concurrency,
		.use_stdin = o->use_stdin || o->use_command,
		.stdin_fd = o->use_command ? b->child_fd : STDIN_FILENO,
		.stdin_filename = o->stdin_filename,
		.before_commit = o->use_command ? wait_for_command : NULL,
		.before_commit_arg = b,
		.time = b->time,
		.backup_start = b->now,
		.hostname = b->host,
		.username = b->user,
		.uid = getuid(),
		.gid = getgid(),
		.tags = &b->tags,
		.excludes = &o->select.exclude.given,
		.program_version = "holdfast " HF_VERSION,
		.lease = s->lease,
		.regain = hf_session_regain_for,
		.regain_arg = s,
		.stop = &b->cli->stop,
	};
	hf_select_apply(&b->select, out);
}

static struct hf_err *
save(struct backup *b, struct hf_session *s, const struct hf_snapshot *parent)
{
	struct hf_backup_progress progress = {0};
	hf_autoptr(hf_backup_list) list =
		b->o->is_list && !b->cli->global.is_json
			? hf_backup_list_new(b->cli->out, b->o->filter)
			: NULL;
	hf_autoptr(hf_backup_report) report = hf_backup_report_new(b->cli, &progress, list);
	struct hf_backup_events events = hf_backup_report_events(report);
	struct hf_backup_options engine;
	struct hf_backup_result result;
	struct hf_err *e;

	fill_options(b, s, parent, &engine);
	hf_backup_report_start(report);
	if (should_scan(b))
		say_targets(b, "start scan");
	say_targets(b, "start backup");
	e = hf_backup(s->repo, s->index, &engine, &events, &progress, &result);
	hf_backup_report_stop(report);
	HF_TRY(hf_err_in(e, "unable to save snapshot"));
	/* It was validated after it was there; what happens to the lock now is no matter. */
	s->is_settled = !hf_id_is_zero(&result.snapshot);
	hf_backup_report_finish(report, &result, b->o->is_dry_run);
	if (b->is_partial || hf_backup_report_has_errors(report))
		b->cli->warning = "at least one source file could not be read";
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(backup) b = {.cli = cli, .o = opts, .args = args, .child_fd = -1};
	hf_auto(hf_session) session = {0};
	hf_autoptr(hf_snapshot) parent = NULL;

	HF_TRY(check_options(&b));
	HF_TRY(collect(&b));
	hf_say(cli->out, HF_SAY_VERBOSE, "open repository");
	cli->early = HF_EARLY_INDEX;
	if (!b.o->use_stdin && !b.o->force)
		cli->early |=
			b.o->parent != NULL ? hf_early_for(b.o->parent) : HF_EARLY_SNAPSHOTS;
	HF_TRY(hf_session_open(cli, b.o->is_dry_run ? HF_SESSION_UNLOCKED : HF_SESSION_SHARED,
		false, &session));
	b.select.cache = session.cache.path;
	if (!b.o->use_stdin) {
		HF_TRY(find_parent(&b, session.repo, &parent));
		if (parent != NULL)
			hf_say(cli->out, HF_SAY_NORMAL, "using parent snapshot %.8s",
				hf_id_hex(&parent->id).s);
		else
			hf_say(cli->out, HF_SAY_NORMAL,
				"no parent snapshot found, will read all files");
	}
	hf_say(cli->out, HF_SAY_VERBOSE, "load index files");
	HF_TRY(hf_session_load_index(&session));
	if (b.o->use_stdin || b.o->use_command)
		hf_say(cli->out, HF_SAY_VERBOSE, "read data from stdin");
	if (b.o->use_command)
		HF_TRY(hf_spawn(cli, args->v, &b.child, &b.child_fd));
	return save(&b, &session, parent);
}

const struct hf_command hf_cmd_backup = {
	.name = "backup",
	.usage = "[flags] [FILE/DIR] ...",
	.summary = "Make a snapshot of files and folders",
	.text = "Makes a snapshot of the files and folders. Only what is not in the repository "
		"yet\n"
		"is added to it. What cannot be read is named and left out; the exit code is "
		"then 3.",
	HF_COMMAND_OPTS(options, struct backup_options),
	.run = run,
};
