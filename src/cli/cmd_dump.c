/* SPDX-License-Identifier: BSD-2-Clause */
/* dump: the content of a file, or a folder as an archive, to standard output. */
#include <errno.h>
#include <fcntl.h>

#include "base/io.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "engine/dump.h"
#include "engine/treewalk.h"

enum archive { ARCHIVE_TAR, ARCHIVE_ZIP };

struct dump_options {
	struct hf_filter_opts filter;
	unsigned archive;
	char *target;
};

#define T struct dump_options
static const struct hf_opt options[] = {
	HF_OPT_FILTERS(T, filter, 'H'),
	{"archive", 'a', HF_OPT_WORD(T, archive), .arg = "format", .words = "tar|zip",
		.def = "tar", .help = "format in which a folder is written"},
	{"target", 't', HF_OPT_STRING(T, target), .arg = "path",
		.help = "file to write to, instead of standard output"},
};
#undef T

struct dump {
	struct hf_cli *cli;
	int fd; /* -1: standard output */
};

static void
dump_clear(struct dump *d)
{
	if (d->fd >= 0)
		close(d->fd);
}

static struct hf_err *
write_bytes(void *arg, struct hf_bytes b)
{
	struct dump *d = arg;

	if (d->fd >= 0)
		return hf_write_full(d->fd, b.p, b.len);
	hf_out_write(d->cli->out, b);
	return hf_stop_check(&d->cli->stop); /* set when nobody reads any more */
}

static struct hf_err *
open_target(struct dump *d, const char *path)
{
	if (path == NULL || *path == '\0')
		return NULL;
	d->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return d->fd < 0 ? hf_err_errno(errno, "cannot dump to file: %s", path) : NULL;
}

static struct hf_err *
dump_folder(struct dump *d, struct hf_session *s, const struct hf_id *tree, const char *root)
{
	if (d->fd < 0 && hf_out_is_terminal(d->cli->out))
		return hf_err(HF_EINVAL, "stdout is the terminal, please redirect output");
	return hf_dump_tar(s->repo, s->index, tree, &(struct hf_tar_options){.root = root},
		write_bytes, d, &d->cli->stop);
}

static struct hf_err *
dump_path(struct dump *d, struct hf_session *s, const struct hf_id *root, const char *path)
{
	hf_autoptr(hf_reader) reader = NULL;
	hf_autoptr(hf_tree) tree = NULL;
	const struct hf_node *n;

	if (strcmp(path, "/") == 0)
		return dump_folder(d, s, root, "/");
	reader = hf_reader_new(s->repo, s->index);
	HF_TRY(hf_walk_find(reader, root, path, &tree, &n));
	if (n->type == HF_NODE_FILE)
		return hf_dump_file(s->repo, s->index, n, write_bytes, d, &d->cli->stop);
	if (n->type != HF_NODE_DIR)
		return hf_err(HF_EINVAL, "\"%s\" should be a file, but is a \"%s\"", path,
			hf_node_type_text(n->type));
	if (!n->has_subtree)
		return hf_err(HF_ECORRUPT, "folder %s has no tree", path);
	return dump_folder(d, s, &n->subtree, path);
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct dump_options *o = opts;
	hf_auto(dump) d = {.cli = cli, .fd = -1};
	hf_auto(hf_session) session = {0};
	hf_autoptr(hf_snapshot) sn = NULL;
	hf_autofree char *subfolder = NULL, *path = NULL;
	struct hf_id root;

	if (args->len != 2)
		return hf_err(HF_EINVAL, "no file and no snapshot ID specified");
	if (o->archive == ARCHIVE_ZIP)
		return hf_err(
			HF_EINVAL, "zip archives cannot be written yet, use --archive tar");
	path = hf_path_join("/", args->v[1]);
	cli->early = hf_early_for(args->v[0]);
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(hf_err_in(hf_session_snapshot(&session, &o->filter, args->v[0], &sn, &subfolder),
		"failed to find snapshot"));
	HF_TRY(hf_session_load_index(&session));
	HF_TRY(hf_session_tree(&session, sn, subfolder, &root));
	HF_TRY(open_target(&d, o->target));
	return hf_err_in(dump_path(&d, &session, &root, path), "cannot dump file");
}

const struct hf_command hf_cmd_dump = {
	.name = "dump",
	.usage = "[flags] snapshotID file",
	.summary = "Print a file or folder of a snapshot to stdout",
	.text = "Prints the content of a file in a snapshot. A folder becomes a tar archive;\n"
		"\"/\" is the whole snapshot.",
	HF_COMMAND_OPTS(options, struct dump_options),
	.is_raw = true,
	.run = run,
};
