/* SPDX-License-Identifier: BSD-2-Clause */
/* repair snapshots: snapshots without what is lost. */
#include "cli/commands.h"
#include "cli/reshape.h"
#include "cli/snaplist.h"
#include "codec/quote.h"

struct repair_options {
	struct hf_filter_opts filter;
	bool forgets, is_dry_run;
};

#define T struct repair_options
static const struct hf_opt options[] = {
	{"dry-run", 'n', HF_OPT_FLAG(T, is_dry_run),
		.help = "write nothing, only show what would be done"},
	{"forget", 0, HF_OPT_FLAG(T, forgets),
		.help = "remove original snapshots after creating new ones"},
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

struct repair {
	struct hf_cli *cli;
	const struct repair_options *o;
	struct hf_session session;
	struct hf_snapshots list;
	struct hf_buf content; /* the blobs of a file that are there */
	bool is_full;          /* it had no room for those of some file */
};

static void
repair_clear(struct repair *r)
{
	hf_snapshots_clear(&r->list);
	hf_session_clear(&r->session);
	hf_buf_clear(&r->content);
}

/* "  file "/a/b": removed missing content" */
static void
say_finding(struct repair *r, const char *what, const char *path, const char *finding)
{
	hf_auto(hf_buf) quoted = HF_BUF_MAX(64 << 20);

	hf_quote(&quoted, hf_str(path));
	hf_say(r->cli->out, HF_SAY_NORMAL, "  %s \"%.*s\": %s", what, (int)quoted.len,
		(const char *)quoted.p, finding);
}

/* ---- the rules ---- */

/* Leaves in the file what is there. */
static void
repair_file(struct repair *r, const char *path, struct hf_node *n)
{
	uint64_t size = 0;

	hf_buf_reset(&r->content);
	for (size_t i = 0; i < n->n_content; i++) {
		struct hf_blob blob = {n->content[i], HF_DATA};
		struct hf_location at;

		if (!hf_index_find(r->session.index, &blob, 0, &at))
			continue;
		hf_buf_add(&r->content, &blob.id, sizeof blob.id);
		size += hf_location_size(&at);
	}
	r->is_full |= r->content.is_full;
	if (r->content.len < n->n_content * sizeof(struct hf_id))
		say_finding(r, "file", path, "removed missing content");
	else if (size != n->size)
		say_finding(r, "file", path, "fixed incorrect size");
	n->n_content = r->content.len / sizeof(struct hf_id);
	n->content = (const struct hf_id *)(const void *)r->content.p;
	n->has_content = true;
	n->size = size;
}

static bool
repair_node(void *arg, const char *path, struct hf_node *n)
{
	struct repair *r = arg;

	if (n->type == HF_NODE_IRREGULAR ||
		(n->type == HF_NODE_INVALID && n->other_type.len == 0)) {
		say_finding(r, "file", path,
			n->type == HF_NODE_INVALID
				? "removed node with invalid type \"\""
				: "removed node with invalid type \"irregular\"");
		return false;
	}
	if (n->type == HF_NODE_FILE)
		repair_file(r, path, n);
	return true;
}

static enum hf_retree_failed
repair_failed(void *arg, const char *path, const struct hf_err *e)
{
	struct repair *r = arg;

	/* What may be readable in a minute is not damaged. */
	if (hf_err_code(e) != HF_ENOTFOUND && hf_err_code(e) != HF_ECORRUPT)
		return HF_RETREE_ERROR;
	if (strcmp(path, "/") == 0) {
		say_finding(r, "dir", path, "not readable");
		return HF_RETREE_GONE;
	}
	say_finding(r, "dir", path, "replaced with empty directory");
	return HF_RETREE_EMPTY;
}

/* ---- the command ---- */

static struct hf_err *
repair_one(void *arg, struct hf_reshape *reshape, struct hf_snapshot *s)
{
	struct repair *r = arg;
	struct hf_retree_sum sum;
	struct hf_id tree;

	hf_snapshot_say(r->cli->out, HF_SAY_NORMAL, s);
	HF_TRY(hf_retree(reshape->retree, &s->tree, &tree, &sum));
	if (r->is_full)
		return hf_err(HF_EFATAL, "no room for the list of a file's blobs");
	return hf_reshape(reshape, s, &tree, NULL);
}

static struct hf_err *
repair_all(struct repair *r, struct hf_reshape *reshape)
{
	const struct hf_retree_rules rules = {
		.arg = r,
		.node = repair_node,
		.failed = repair_failed,
		.may_lose = true,
	};

	return hf_reshape_all(reshape, &rules, &r->list, repair_one, r);
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct repair_options *o = opts;
	__attribute__((cleanup(repair_clear))) struct repair r = {
		.cli = cli, .o = o, .content = HF_BUF_SPOOL(HF_NODE_STORE_MAX)};
	struct hf_reshape reshape = {
		.cli = cli,
		.session = &r.session,
		.is_dry_run = o->is_dry_run,
		.forgets = o->forgets,
		.proves = true,
		.tag = "repaired",
	};

	hf_out_speak(cli->out);
	HF_TRY(hf_reshape_open(&reshape, true, &o->filter, args, &r.list));
	HF_TRY(repair_all(&r, &reshape));
	return hf_session_unread(&r.session);
}

const struct hf_command hf_cmd_repair_snapshots = {
	.name = "repair snapshots",
	.usage = "[flags] [snapshotID ...]",
	.summary = "Repair snapshots",
	.text = "Makes new snapshots out of those that are damaged: without the parts of "
		"files\n"
		"that are lost, and with empty folders for those whose contents are. The old\n"
		"ones stay unless --forget is given, but for those whose root is lost. What "
		"was\n"
		"lost and is still on disk comes back with the next `backup`, which may "
		"repair\n"
		"them all by itself. Run `repair index` first.",
	HF_COMMAND_OPTS(options, struct repair_options),
	.run = run,
};
