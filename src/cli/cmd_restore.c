/* SPDX-License-Identifier: BSD-2-Clause */
/* restore: from a snapshot to files. */
#include "base/path.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/patterns.h"
#include "cli/restore_report.h"
#include "cli/session.h"
#include "cli/snaplist.h"

struct restore_options {
	struct hf_filter_opts filter;
	struct hf_pattern_opts exclude, include;
	struct hf_strings exclude_xattr, include_xattr;
	char *target;
	unsigned overwrite; /* enum hf_overwrite */
	bool should_delete, is_dry_run, is_sparse, should_verify, by_name;
};

#define T struct restore_options
static const struct hf_opt options[] = {
	{"target", 't', HF_OPT_STRING(T, target), .arg = "folder",
		.help = "folder to restore to"},
	HF_OPT_INCLUDES(T, include),
	HF_OPT_EXCLUDES(T, exclude),
	{"include-xattr", 0, HF_OPT_LIST(T, include_xattr), .arg = "pattern",
		.help = "restore only extended attributes whose names match such a pattern"},
	{"exclude-xattr", 0, HF_OPT_LIST(T, exclude_xattr), .arg = "pattern",
		.help = "restore no extended attributes whose names match this pattern"},
	{"overwrite", 0, HF_OPT_WORD(T, overwrite), .arg = "mode",
		.words = "always|if-changed|if-newer|never", .def = "always",
		.help = "when to overwrite files that exist"},
	{"delete", 0, HF_OPT_FLAG(T, should_delete),
		.help = "delete what the snapshot does not have from restored folders; "
			"`--dry-run -vv` shows what that would be"},
	{"dry-run", 0, HF_OPT_FLAG(T, is_dry_run),
		.help = "write nothing, only show what would be done"},
	{"verify", 0, HF_OPT_FLAG(T, should_verify),
		.help = "read the restored files again and compare"},
	{"sparse", 0, HF_OPT_FLAG(T, is_sparse), .help = "restore runs of zeros as holes"},
	{"ownership-by-name", 0, HF_OPT_FLAG(T, by_name),
		.help = "restore owners by name instead of number (except in ACLs)"},
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

struct restore {
	struct hf_cli *cli;
	const struct restore_options *o;
	struct hf_patterns exclude, include;
	struct hf_filter *exclude_xattr, *include_xattr;
};

static void
restore_clear(struct restore *r)
{
	hf_patterns_clear(&r->exclude);
	hf_patterns_clear(&r->include);
	hf_filter_free(r->exclude_xattr);
	hf_filter_free(r->include_xattr);
}

static void
select_item(void *arg, const char *path, bool is_dir, bool *is_selected, bool *child_may_be)
{
	const struct restore *r = arg;

	hf_patterns_select(&r->include, &r->exclude, path, is_dir, is_selected, child_may_be);
}

static bool
select_xattr(void *arg, const char *name)
{
	const struct restore *r = arg;

	if (r->include_xattr != NULL)
		return hf_filter_match(r->include_xattr, name);
	return !hf_filter_match(r->exclude_xattr, name);
}

static struct hf_err *
compile(struct restore *r)
{
	const struct restore_options *o = r->o;

	HF_TRY(hf_patterns_compile(&o->exclude, "exclude", &r->exclude));
	HF_TRY(hf_patterns_compile(&o->include, "include", &r->include));
	if (o->exclude_xattr.len > 0)
		HF_TRY(hf_err_in(hf_filter_new(&o->exclude_xattr, false, &r->exclude_xattr),
			"--exclude-xattr"));
	if (o->include_xattr.len > 0)
		HF_TRY(hf_err_in(hf_filter_new(&o->include_xattr, false, &r->include_xattr),
			"--include-xattr"));
	return NULL;
}

static struct hf_err *
check_options(const struct restore *r, const struct hf_args *args)
{
	const struct restore_options *o = r->o;
	bool has_excludes = !hf_patterns_are_empty(&r->exclude);
	bool has_includes = !hf_patterns_are_empty(&r->include);
	hf_autofree char *target = NULL;

	if (args->len == 0)
		return hf_err(HF_EINVAL, "no snapshot ID specified");
	if (args->len > 1)
		return hf_err(HF_EINVAL, "more than one snapshot ID specified: %s %s%s",
			args->v[0], args->v[1], args->len > 2 ? " ..." : "");
	if (o->target == NULL || *o->target == '\0')
		return hf_err(HF_EINVAL, "please specify a directory to restore to (--target)");
	if (has_excludes && has_includes)
		return hf_err(HF_EINVAL, "exclude and include patterns are mutually exclusive");
	if (r->exclude_xattr != NULL && r->include_xattr != NULL)
		return hf_err(
			HF_EINVAL, "exclude and include xattr patterns are mutually exclusive");
	if (o->is_dry_run && o->should_verify)
		return hf_err(HF_EINVAL, "--dry-run and --verify are mutually exclusive");
	target = hf_path_clean(o->target);
	if (o->should_delete && strcmp(target, "/") == 0 && !has_excludes && !has_includes)
		return hf_err(HF_EINVAL,
			"'--target / --delete' must be combined with an include "
			"or exclude filter");
	return NULL;
}

static struct hf_err *
count_errors(const struct hf_restore_progress *p)
{
	unsigned long long n = atomic_load(&p->errors);

	return n > 0 ? hf_err(HF_EFATAL, "There were %llu errors", n) : NULL;
}

static struct hf_err *
verify(struct restore *r, struct hf_restore *engine, const struct hf_id *tree)
{
	const struct hf_restore_progress *p = hf_restore_progress(engine);
	double start_s = hf_clock();
	struct hf_bar bar = {0};
	struct hf_err *e;

	hf_say(r->cli->out, HF_SAY_NORMAL, "verifying files in %s", r->o->target);
	if (hf_out_says(r->cli->out, HF_SAY_TERMINAL))
		hf_bar_start(&bar, r->cli, "files verified", &p->files_verified,
			&p->files_to_verify);
	e = hf_restore_verify(engine, tree);
	hf_bar_stop(&bar);
	HF_TRY(e);
	HF_TRY(count_errors(p));
	hf_say(r->cli->out, HF_SAY_NORMAL, "finished verifying %llu files in %s (took %s)",
		(unsigned long long)atomic_load(&p->files_verified), r->o->target,
		hf_format_duration((double)(uint64_t)((hf_clock() - start_s) * 1e3 + 0.5) / 1e3)
			.s);
	return NULL;
}

static struct hf_err *
restore(struct restore *r, struct hf_session *s, const struct hf_id *tree)
{
	const struct restore_options *o = r->o;
	bool has_patterns =
		!hf_patterns_are_empty(&r->exclude) || !hf_patterns_are_empty(&r->include);
	hf_autofree char *cwd = hf_env_cwd();
	hf_autofree char *target = hf_path_abs(cwd != NULL ? cwd : "/", o->target);
	struct hf_restore_options engine_options = {
		.target = target,
		.overwrite = (enum hf_overwrite)o->overwrite,
		.should_delete = o->should_delete,
		.is_sparse = o->is_sparse,
		.is_dry_run = o->is_dry_run,
		.by_name = o->by_name,
		.can_verify = o->should_verify,
		.select = has_patterns ? select_item : NULL,
		.select_arg = r,
		.select_xattr = r->exclude_xattr != NULL || r->include_xattr != NULL
					? select_xattr
					: NULL,
		.xattr_arg = r,
		.stop = &r->cli->stop,
	};
	struct hf_restore_report report = {.cli = r->cli};
	struct hf_restore_events events = hf_restore_report_events(&report);
	hf_autoptr(hf_restore) engine =
		hf_restore_new(s->repo, s->index, &engine_options, &events);
	struct hf_err *e;

	hf_restore_report_start(&report, hf_restore_progress(engine));
	e = hf_restore_run(engine, tree);
	hf_restore_report_stop(&report, e == NULL);
	HF_TRY(e);
	HF_TRY(count_errors(hf_restore_progress(engine)));
	return o->should_verify ? verify(r, engine, tree) : NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(restore) r = {.cli = cli, .o = opts};
	hf_auto(hf_session) session = {0};
	hf_autoptr(hf_snapshot) sn = NULL;
	hf_autofree char *subfolder = NULL;
	hf_auto(hf_buf) sentence = HF_BUF_MAX(1 << 20);
	struct hf_id tree;

	HF_TRY(compile(&r));
	HF_TRY(check_options(&r, args));
	cli->early = hf_early_for(args->v[0]);
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(hf_err_in(
		hf_session_snapshot(&session, &r.o->filter, args->v[0], &sn, &subfolder),
		"failed to find snapshot"));
	HF_TRY(hf_session_load_index(&session));
	HF_TRY(hf_session_tree(&session, sn, subfolder, &tree));
	hf_snapshot_sentence(&sentence, sn);
	hf_say(cli->out, HF_SAY_NORMAL, "restoring %.*s to %s", (int)sentence.len,
		(const char *)sentence.p, r.o->target);
	return restore(&r, &session, &tree);
}

const struct hf_command hf_cmd_restore = {
	.name = "restore",
	.usage = "[flags] snapshotID",
	.summary = "Restore files from a snapshot",
	.text = "Restores the files of a snapshot, or of a folder in it (ID:folder), into the\n"
		"target. What is there already and right is left alone.",
	HF_COMMAND_OPTS(options, struct restore_options),
	.run = run,
};
