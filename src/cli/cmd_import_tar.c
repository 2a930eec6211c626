/* SPDX-License-Identifier: BSD-2-Clause */
/* import-tar: a snapshot of what is in a tar archive, as Borg has it. */
#include "base/host.h"
#include "base/path.h"
#include "cli/backup_report.h"
#include "cli/commands.h"
#include "cli/place.h"
#include "cli/session.h"
#include "cli/tar_stream.h"
#include "cli/words.h"

struct import_options {
	char *host, *time, *tar_filter, *filter;
	struct hf_strings tags;
	bool ignore_zeros, is_dry_run, with_atime, is_list;
};

#define T struct import_options
static const struct hf_opt options[] = {
	{"dry-run", 'n', HF_OPT_FLAG(T, is_dry_run),
		.help = "write nothing, only show what would be done"},
	{"host", 'H', HF_OPT_STRING(T, host), .arg = "hostname", .env = "HOST",
		.help = "host name to write into the snapshot"},
	{"tag", 0, HF_OPT_LIST(T, tags), .arg = "tag[,tag,...]",
		.help = "tags to write into the snapshot"},
	{"time", 0, HF_OPT_STRING(T, time), .arg = "time",
		.help = "time of the snapshot, such as '2012-11-01 22:08:41' (default: now)"},
	{"ignore-zeros", 0, HF_OPT_FLAG(T, ignore_zeros),
		.help = "go on behind the end of an archive, for several in one file"},
	HF_OPT_TAR_FILTER(T, tar_filter),
	{"list", 0, HF_OPT_FLAG(T, is_list),
		.help = "write a line for every file, folder and so on to standard error"},
	{"filter", 0, HF_OPT_STRING(T, filter), .arg = "letters",
		.help = "list only what has one of these letters"},
	{"with-atime", 0, HF_OPT_FLAG(T, with_atime), .help = "keep access times"},
};
#undef T

struct import {
	struct hf_cli *cli;
	const struct import_options *o;
	const char *file;
	struct hf_strings tags;
	struct hf_time now, time;
	char *host, *user;
	char *source; /* what the snapshot calls the archive */
	struct hf_tar_stream stream;
};

static void
import_clear(struct import *m)
{
	hf_tar_stream_clear(&m->stream);
	hf_strings_clear(&m->tags);
	free(m->host);
	free(m->user);
	free(m->source);
}

static struct hf_err *
read_options(struct import *m, const struct hf_args *args)
{
	const struct import_options *o = m->o;
	struct hf_place place = hf_place_main(m->cli);
	hf_autofree char *cwd = hf_env_cwd();

	if (args->len != 1)
		return hf_err(HF_EINVAL, "one archive must be named (- is standard input)");
	m->file = args->v[0];
	if (strcmp(m->file, "-") == 0 && !hf_place_has_password(m->cli, &place))
		return hf_err(HF_EINVAL, "cannot read both password and data from stdin");
	HF_TRY(hf_backup_list_check(o->is_list, o->filter));
	m->now = m->time = hf_time_now();
	if (hf_is_set(o->time))
		HF_TRY(hf_time_option(o->time, &m->time));
	hf_tags_split(&o->tags, &m->tags);
	m->host = hf_is_set(o->host) ? hf_str_dup(hf_str(o->host)) : hf_host_name();
	m->user = hf_user_name(getuid());
	m->source = strcmp(m->file, "-") == 0 ? hf_str_dup(hf_str("stdin"))
					      : hf_path_abs(cwd != NULL ? cwd : "/", m->file);
	return NULL;
}

/* The program between has its say before there is a snapshot. */
static struct hf_err *
finish_stream(void *arg)
{
	struct import *m = arg;

	return hf_tar_stream_finish(&m->stream);
}

/* What a program gave us may be no archive because it failed. Takes both. */
static struct hf_err *
better(struct hf_err *ours, struct hf_err *theirs)
{
	hf_err_free(theirs != NULL ? ours : NULL);
	return theirs != NULL ? theirs : ours;
}

static struct hf_err *
save(struct import *m, struct hf_session *s)
{
	const struct import_options *o = m->o;
	struct hf_archive_options archive = {.ignore_zeros = o->ignore_zeros,
		.is_plain = strcmp(o->tar_filter, "auto") != 0};
	struct hf_backup_options engine = {
		.is_dry_run = o->is_dry_run,
		.no_scan = true,
		.with_atime = o->with_atime,
		.use_stdin = true,
		.stdin_fd = m->stream.fd,
		.stdin_filename = m->source,
		.archive = &archive,
		.before_commit = finish_stream,
		.before_commit_arg = m,
		.time = m->time,
		.backup_start = m->now,
		.hostname = m->host,
		.username = m->user,
		.uid = getuid(),
		.gid = getgid(),
		.tags = &m->tags,
		.program_version = HF_PROGRAM_VERSION,
		.lease = s->lease,
		.regain = hf_session_regain_for,
		.regain_arg = s,
		.stop = &m->cli->stop,
	};
	struct hf_backup_progress progress = {0};
	hf_autoptr(hf_backup_list) list = o->is_list && !m->cli->global.is_json
						  ? hf_backup_list_new(m->cli->out, o->filter)
						  : NULL;
	hf_autoptr(hf_backup_report) report = hf_backup_report_new(m->cli, &progress, list);
	struct hf_backup_events events = hf_backup_report_events(report);
	struct hf_backup_result result;
	struct hf_err *e;

	hf_backup_report_start(report);
	e = hf_backup(s->repo, s->index, &engine, &events, &progress, &result);
	hf_backup_report_stop(report);
	if (e != NULL && hf_err_code(e) == HF_ECORRUPT && m->stream.pid != 0)
		e = better(e, finish_stream(m));
	HF_TRY(hf_err_in(e, "cannot import %s", m->file));
	/* It was validated after it was there; what happens to the lock now is no matter. */
	s->is_settled = !hf_id_is_zero(&result.snapshot);
	hf_backup_report_finish(report, &result, o->is_dry_run);
	if (hf_backup_report_has_errors(report))
		m->cli->warning = "at least one entry has come without all of its metadata";
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(import) m = {.cli = cli, .o = opts, .stream = HF_TAR_STREAM};
	hf_auto(hf_session) session = {0};

	HF_TRY(read_options(&m, args));
	HF_TRY(hf_tar_stream_open(cli, m.file, m.o->tar_filter, &m.stream));
	cli->early = HF_EARLY_INDEX;
	HF_TRY(hf_session_open(cli, m.o->is_dry_run ? HF_SESSION_UNLOCKED : HF_SESSION_SHARED,
		false, &session));
	HF_TRY(hf_session_load_index(&session));
	return save(&m, &session);
}

const struct hf_command hf_cmd_import_tar = {
	.name = "import-tar",
	.usage = "[flags] FILE",
	.summary = "Make a snapshot of what is in a tar archive",
	.text = "Makes a snapshot of the files and folders in a tar archive, or in one that "
		"comes\n"
		"from standard input (-), as if it had been unpacked and backed up.",
	HF_COMMAND_OPTS(options, struct import_options),
	.is_ours = true,
	.run = run,
};
