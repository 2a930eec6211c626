/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshots: lists them. */
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/snaplist.h"
#include "cli/template.h"

struct snapshots_options {
	struct hf_filter_opts filter;
	bool is_compact, wants_last;
	int64_t latest;
	char *group_by, *format;
};

#define T struct snapshots_options
static const struct hf_opt options[] = {
	HF_OPT_FILTERS(T, filter, 'H'),
	{"compact", 'c', HF_OPT_FLAG(T, is_compact), .help = "print a shorter table"},
	{"group-by", 'g', HF_OPT_STRING(T, group_by), .arg = "group",
		.help = "group snapshots by host, paths and/or tags, separated by comma"},
	{"latest", 0, HF_OPT_INT(T, latest), .arg = "n",
		.help = "only show the last n snapshots of each host and set of paths"},
	{"format", 0, .is_ours = true, HF_OPT_STRING(T, format), .arg = "format",
		.help = "print each snapshot in this form, such as '{short_id} {time} "
			"{hostname}{NL}'"},
	{"last", 0, HF_OPT_FLAG(T, wants_last), .help = "", .instead = "use --latest 1"},
};
#undef T

/* Keeps the newest `most` snapshots of each combination that `by` distinguishes. */
static void
keep_latest(struct hf_group_of *g, unsigned by, size_t most)
{
	struct hf_snapshots all = {hf_alloc_(g->len + 1, sizeof *all.v), g->len};
	hf_auto(hf_groups) parts = {0};
	bool *keep = hf_alloc_(g->len + 1, sizeof *keep);
	size_t len = 0;

	for (size_t i = 0; i < g->len; i++)
		memcpy(&all.v[i], &g->v[i], sizeof all.v[i]);
	hf_groups_make(&all, by, &parts);
	for (size_t i = 0; i < g->len; i++)
		for (size_t p = 0; p < parts.len; p++)
			for (size_t k = parts.v[p].len > most ? parts.v[p].len - most : 0;
				k < parts.v[p].len; k++)
				keep[i] = keep[i] || parts.v[p].v[k] == g->v[i];
	for (size_t i = 0; i < g->len; i++)
		if (keep[i])
			g->v[len++] = g->v[i];
	g->len = len;
	free(all.v);
	free(keep);
}

static void
print_json(struct hf_cli *cli, const struct hf_groups *groups)
{
	hf_auto(hf_buf) json = HF_BUF_SPOOL(SIZE_MAX / 2);
	struct hf_jout o = {.buf = &json};

	hf_jout_array(&o);
	for (size_t i = 0; i < groups->len; i++) {
		const struct hf_group_of *g = &groups->v[i];

		if (groups->by != 0) {
			hf_jout_object(&o);
			hf_jout_key(&o, "group_key");
			hf_group_key_json(&o, g, groups->by);
			hf_jout_key(&o, "snapshots");
			hf_jout_array(&o);
		}
		for (size_t k = 0; k < g->len; k++)
			hf_snapshot_json(&o, g->v[k]);
		if (groups->by != 0) {
			hf_jout_array_end(&o);
			hf_jout_object_end(&o);
		}
	}
	hf_jout_array_end(&o);
	hf_out_json(cli->out, &json);
}

enum key {
	ID,
	SHORT_ID,
	TIME,
	ISOTIME,
	HOSTNAME,
	USERNAME,
	TAGS,
	PATHS,
	TREE,
	PARENT,
	PROGRAM
};

static const struct hf_template_key keys[] = {
	[ID] = {"id"},
	[SHORT_ID] = {"short_id"},
	[TIME] = {"time", HF_TEMPLATE_TIME},
	[ISOTIME] = {"isotime"},
	[HOSTNAME] = {"hostname"},
	[USERNAME] = {"username"},
	[TAGS] = {"tags"},
	[PATHS] = {"paths"},
	[TREE] = {"tree"},
	[PARENT] = {"parent"},
	[PROGRAM] = {"program_version"},
	{NULL},
};

struct values {
	const struct hf_snapshot *sn;
	struct hf_buf text;
};

static void
add_joined(struct hf_buf *out, const struct hf_strings *list)
{
	for (size_t i = 0; i < list->len; i++)
		hf_buf_addf(out, "%s%s", i > 0 ? "," : "", list->v[i]);
}

/* What has to be made, in v->text. */
static struct hf_str
made_text(struct values *v, enum key key)
{
	const struct hf_snapshot *sn = v->sn;
	const struct hf_id *id = key == TREE     ? &sn->tree
				 : key == PARENT ? &sn->parent
						 : &sn->id;

	if (key == ISOTIME)
		hf_time_add(&v->text, &sn->time);
	else if (key == TAGS || key == PATHS)
		add_joined(&v->text, key == TAGS ? &sn->tags : &sn->paths);
	else if (!hf_id_is_zero(id))
		hf_buf_add_str(&v->text, hf_id_hex(id).s);
	return (struct hf_str){(const char *)v->text.p, key == SHORT_ID ? 8 : v->text.len};
}

static void
value(void *values, size_t key, struct hf_template_value *out)
{
	struct values *v = values;

	hf_buf_reset(&v->text);
	if (key == TIME)
		out->time = v->sn->time;
	else if (key == HOSTNAME)
		out->text = hf_str(v->sn->hostname);
	else if (key == USERNAME)
		out->text = hf_str(v->sn->username);
	else if (key == PROGRAM)
		out->text = hf_str(v->sn->program_version);
	else
		out->text = made_text(v, (enum key)key);
}

static struct hf_err *
print_formatted(
	struct hf_cli *cli, const struct hf_template *format, const struct hf_groups *groups)
{
	hf_auto(hf_buf) line = HF_BUF_MAX(64 << 20);
	struct values v = {.text = HF_BUF_MAX(64 << 20)};

	for (size_t i = 0; i < groups->len; i++) {
		for (size_t k = 0; k < groups->v[i].len; k++) {
			v.sn = groups->v[i].v[k];
			hf_buf_reset(&line);
			hf_template_add(format, value, &v, hf_out_is_terminal(cli->out), &line);
			hf_out_write(cli->out, hf_buf_bytes(&line));
		}
	}
	hf_buf_clear(&v.text);
	return hf_buf_ok(&line);
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct snapshots_options *o = opts;
	int64_t latest = o->latest == 0 && o->wants_last ? 1 : o->latest;
	hf_auto(hf_session) session = {0};
	hf_auto(hf_snapshots) list = {0};
	hf_auto(hf_groups) groups = {0};
	hf_autoptr(hf_template) format = NULL;
	unsigned by = 0;

	if (o->format != NULL) {
		if (cli->global.is_json || o->is_compact)
			return hf_err(HF_EINVAL,
				"--format does not go together with --json or --compact");
		HF_TRY(hf_template_parse(o->format, keys, &format));
	}
	if (o->group_by != NULL)
		HF_TRY(hf_group_parse(o->group_by, &by));
	cli->early = HF_EARLY_SNAPSHOTS;
	HF_TRY(hf_session_open(cli, HF_SESSION_SHARED, true, &session));
	HF_TRY(hf_session_snapshots(&session, &o->filter, args, &list));
	hf_groups_make(&list, by, &groups);
	for (size_t i = 0; i < groups.len && latest > 0; i++)
		keep_latest(
			&groups.v[i], by != 0 ? 0 : HF_BY_HOST | HF_BY_PATHS, (size_t)latest);
	if (cli->global.is_json) {
		print_json(cli, &groups);
		return NULL;
	}
	if (format != NULL)
		return print_formatted(cli, format, &groups);
	for (size_t i = 0; i < groups.len; i++) {
		hf_group_header(cli->out, &groups.v[i], by);
		hf_snapshots_print(
			cli->out, groups.v[i].v, groups.v[i].len, NULL, o->is_compact);
	}
	return NULL;
}

const struct hf_command hf_cmd_snapshots = {
	.name = "snapshots",
	.usage = "[flags] [snapshotID ...]",
	.summary = "List all snapshots",
	.text = "Lists the snapshots in the repository, oldest first: all of them, those that\n"
		"the filters let through, or those named.",
	HF_COMMAND_OPTS(options, struct snapshots_options),
	.run = run,
};
