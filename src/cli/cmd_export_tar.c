/* SPDX-License-Identifier: BSD-2-Clause */
/* export-tar: a snapshot, or some of it, as a tar archive, as Borg has it. */
#include "base/path.h"
#include "cli/commands.h"
#include "cli/patterns.h"
#include "cli/session.h"
#include "cli/tar_stream.h"
#include "engine/dump.h"
#include "engine/treewalk.h"

struct export_options {
	struct hf_filter_opts filter;
	struct hf_pattern_opts exclude, include;
	char *tar_filter;
	uint64_t strip;
	bool is_sparse;
};

#define T struct export_options
static const struct hf_opt options[] = {
	HF_OPT_INCLUDES(T, include),
	HF_OPT_EXCLUDES(T, exclude),
	{"sparse", 0, HF_OPT_FLAG(T, is_sparse),
		.help = "leave out holes, in the form that GNU tar has for that"},
	{"strip-components", 0, HF_OPT_UINT(T, strip), .arg = "n",
		.help = "leave out so many parts at the beginning of names, and what has no "
			"more"},
	HF_OPT_TAR_FILTER(T, tar_filter),
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

struct export
{
	const struct export_options *o;
	struct hf_patterns exclude, include;
	struct hf_strings paths; /* absolute and cleaned; empty: all */
};

static void
export_clear(struct export *x)
{
	hf_patterns_clear(&x->exclude);
	hf_patterns_clear(&x->include);
	hf_strings_clear(&x->paths);
}

static void
select_item(void *arg, const char *path, bool is_dir, bool *is_selected, bool *child_may_be)
{
	const struct export *x = arg;
	bool is_within = x->paths.len == 0, is_near = false;

	for (size_t i = 0; i < x->paths.len; i++) {
		is_within = is_within || hf_path_is_below(path, x->paths.v[i]);
		is_near = is_near || hf_path_is_below(x->paths.v[i], path);
	}
	*is_selected = false;
	*child_may_be = is_near && is_dir;
	if (is_within)
		hf_patterns_select(
			&x->include, &x->exclude, path, is_dir, is_selected, child_may_be);
}

static struct hf_err *
read_options(struct export *x, const struct hf_args *args)
{
	if (args->len < 2)
		return hf_err(HF_EINVAL, "no %s specified",
			args->len == 0 ? "snapshot ID and no file to write to"
				       : "file to write to (- is standard output)");
	HF_TRY(hf_patterns_compile(&x->o->exclude, "exclude", &x->exclude));
	HF_TRY(hf_patterns_compile(&x->o->include, "include", &x->include));
	if (!hf_patterns_are_empty(&x->exclude) && !hf_patterns_are_empty(&x->include))
		return hf_err(HF_EINVAL, "exclude and include patterns are mutually exclusive");
	for (size_t i = 2; i < args->len; i++) {
		hf_autofree char *path = hf_path_join("/", args->v[i]);

		hf_strings_add(&x->paths, path);
	}
	return NULL;
}

/* Before anything is written: a path that is misspelt would be missing, and nobody would know. */
static struct hf_err *
check_paths(const struct export *x, struct hf_session *s, const struct hf_id *root)
{
	hf_autoptr(hf_reader) reader = hf_reader_new(s->repo, s->index);

	for (size_t i = 0; i < x->paths.len; i++) {
		hf_autoptr(hf_tree) tree = NULL;
		const struct hf_node *node;

		if (strcmp(x->paths.v[i], "/") != 0)
			HF_TRY(hf_walk_find(reader, root, x->paths.v[i], &tree, &node));
	}
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(export) x = {.o = opts};
	hf_auto(hf_session) session = {0};
	hf_auto(hf_tar_stream) stream = HF_TAR_STREAM;
	hf_autoptr(hf_snapshot) sn = NULL;
	hf_autofree char *subfolder = NULL;
	struct hf_tar_options engine = {.root = "/",
		.strip = x.o->strip,
		.is_whole = true,
		.is_sparse = x.o->is_sparse,
		.select = select_item,
		.select_arg = &x};
	struct hf_id root;

	HF_TRY(read_options(&x, args));
	cli->early = hf_early_for(args->v[0]);
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(hf_err_in(
		hf_session_snapshot(&session, &x.o->filter, args->v[0], &sn, &subfolder),
		"failed to find snapshot"));
	HF_TRY(hf_session_load_index(&session));
	HF_TRY(hf_session_tree(&session, sn, subfolder, &root));
	HF_TRY(check_paths(&x, &session, &root));
	HF_TRY(hf_tar_stream_create(cli, args->v[1], x.o->tar_filter, &stream));
	HF_TRY(hf_err_in(hf_dump_tar(session.repo, session.index, &root, &engine,
				 hf_tar_stream_write, &stream, &cli->stop),
		"cannot export"));
	return hf_tar_stream_finish(&stream);
}

const struct hf_command hf_cmd_export_tar = {
	.name = "export-tar",
	.usage = "[flags] snapshotID FILE [path...]",
	.summary = "Write a snapshot as a tar archive",
	.text = "Writes what is in a snapshot, or in a folder of it (ID:folder), as a tar "
		"archive to\n"
		"a file, or to standard output (-). With paths only these are written, and "
		"what is in\n"
		"them.",
	HF_COMMAND_OPTS(options, struct export_options),
	.is_raw = true,
	.is_ours = true,
	.run = run,
};
