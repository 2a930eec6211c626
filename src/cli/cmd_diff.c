/* SPDX-License-Identifier: BSD-2-Clause */
/* diff: what is different between two snapshots, or between folders of theirs. */
#include <inttypes.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/session.h"
#include "engine/diff.h"

enum { MAX_LINE = 64 << 20 };

struct diff_options {
	bool with_metadata;
};

static const struct hf_opt options[] = {
	{"metadata", 0, HF_OPT_FLAG(struct diff_options, with_metadata),
		.help = "print changes of nothing but metadata as well"},
};

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
print_json(struct hf_cli *cli, const struct hf_args *args, const struct hf_diff_result *r)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(MAX_LINE);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_field_str(&o, "message_type", "statistics");
	hf_jout_field_str(&o, "source_snapshot", args->v[0]);
	hf_jout_field_str(&o, "target_snapshot", args->v[1]);
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

/* ---- the command ---- */

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

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct diff_options *o = opts;
	const struct hf_differ differ = {cli, o->with_metadata, print_change, print_error};
	hf_auto(hf_session) session = {0};
	hf_auto(end) a = {0};
	hf_auto(end) b = {0};
	struct hf_diff_result result;

	if (args->len != 2)
		return hf_err(HF_EINVAL, "specify two snapshot IDs");
	cli->early = hf_early_for(args->v[0]);
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(find_end(&session, args->v[0], &a));
	HF_TRY(find_end(&session, args->v[1], &b));
	if (!cli->global.is_json)
		hf_say(cli->out, HF_SAY_NORMAL, "comparing snapshot %.8s to %.8s:\n\n",
			hf_id_hex(&a.snapshot->id).s, hf_id_hex(&b.snapshot->id).s);
	HF_TRY(hf_session_load_index(&session));
	HF_TRY(hf_session_tree(&session, a.snapshot, a.subfolder, &a.tree));
	HF_TRY(hf_session_tree(&session, b.snapshot, b.subfolder, &b.tree));
	HF_TRY(hf_diff(
		session.repo, session.index, &a.tree, &b.tree, &differ, &cli->stop, &result));
	if (cli->global.is_json)
		print_json(cli, args, &result);
	else
		print_text(cli->out, &result);
	if (result.errors > 0)
		return hf_err(HF_ECORRUPT, "the comparison is not whole: %" PRIu64 " errors",
			result.errors);
	return NULL;
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
