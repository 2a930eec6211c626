/* SPDX-License-Identifier: BSD-2-Clause */
/* tag: changes the tags of snapshots. */
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/words.h"
#include "engine/resnap.h"

struct tag_options {
	struct hf_filter_opts filter;
	struct hf_strings set, add, remove; /* lists "a,b" */
};

#define T struct tag_options
static const struct hf_opt options[] = {
	{"set", 0, HF_OPT_LIST(T, set), .arg = "tags",
		.help = "replace the tags by these: tag[,tag,...], also several times"},
	{"add", 0, HF_OPT_LIST(T, add), .arg = "tags", .help = "add these tags"},
	{"remove", 0, HF_OPT_LIST(T, remove), .arg = "tags", .help = "remove these tags"},
	HF_OPT_FILTERS(T, filter, 'H'),
};
#undef T

struct tag {
	struct hf_cli *cli;
	struct hf_session session;
	struct hf_strings set, add, remove; /* tags */
	size_t n_changed, n_failed;
};

static void
tag_clear(struct tag *t)
{
	hf_session_clear(&t->session);
	hf_strings_clear(&t->set);
	hf_strings_clear(&t->add);
	hf_strings_clear(&t->remove);
}

/* The last one takes its place, as restic has it: the order of tags is seen by who compares. */
static bool
remove_tag(struct hf_strings *tags, const char *tag)
{
	for (size_t i = 0; i < tags->len; i++) {
		if (strcmp(tags->v[i], tag) != 0)
			continue;
		free(tags->v[i]);
		tags->v[i] = tags->v[--tags->len];
		return true;
	}
	return false;
}

/* True when the tags of `s` are others now. */
static bool
change(const struct tag *t, struct hf_snapshot *s)
{
	bool is_changed = t->set.len > 0;

	if (is_changed) {
		hf_strings_clear(&s->tags);
		hf_strings_copy(&t->set, &s->tags);
		return true;
	}
	for (size_t i = 0; i < t->add.len; i++) {
		if (hf_strings_has(&s->tags, t->add.v[i]))
			continue;
		hf_strings_add(&s->tags, t->add.v[i]);
		is_changed = true;
	}
	for (size_t i = 0; i < t->remove.len; i++)
		is_changed |= remove_tag(&s->tags, t->remove.v[i]);
	return is_changed;
}

static void
say_changed(struct tag *t, const struct hf_id *old, const struct hf_id *new)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1024);
	struct hf_jout o = {.buf = &json};

	if (!t->cli->global.is_json) {
		hf_say(t->cli->out, HF_SAY_VERBOSE,
			"old snapshot ID: %s -> new snapshot ID: %s", hf_id_hex(old).s,
			hf_id_hex(new).s);
		return;
	}
	hf_jout_object(&o);
	hf_jout_key(&o, "message_type");
	hf_jout_str(&o, hf_str("changed"));
	hf_jout_key(&o, "old_snapshot_id");
	hf_jout_id(&o, old);
	hf_jout_key(&o, "new_snapshot_id");
	hf_jout_id(&o, new);
	hf_jout_object_end(&o);
	hf_out_json(t->cli->out, &json);
}

static void
say_summary(struct tag *t)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(1024);
	struct hf_jout o = {.buf = &json};

	if (!t->cli->global.is_json && t->n_changed == 0) {
		hf_say(t->cli->out, HF_SAY_NORMAL, "no snapshots were modified");
		return;
	}
	if (!t->cli->global.is_json) {
		hf_say(t->cli->out, HF_SAY_NORMAL, "modified %zu snapshots", t->n_changed);
		return;
	}
	hf_jout_object(&o);
	hf_jout_key(&o, "message_type");
	hf_jout_str(&o, hf_str("summary"));
	hf_jout_key(&o, "changed_snapshots");
	hf_jout_u64(&o, t->n_changed);
	hf_jout_object_end(&o);
	hf_out_json(t->cli->out, &json);
}

/* One snapshot. What is wrong with it is told, and the others get their turn, unless it is all lost. */
static struct hf_err *
tag_one(struct tag *t, struct hf_snapshot *s)
{
	struct hf_session *ss = &t->session;
	struct hf_id old = s->id;

	if (!change(t, s))
		return NULL;
	if (hf_id_is_zero(&s->original))
		s->original = old;
	struct hf_err *e = hf_resnap(ss->repo, ss->lease, NULL, s, true);
	if (e == NULL) {
		t->n_changed++;
		say_changed(t, &old, &s->id);
		return NULL;
	}
	if (hf_err_code(e) == HF_ELOST || hf_err_code(e) == HF_ECANCELED)
		return e;
	hf_say_err(t->cli->out,
		"unable to modify the tags for snapshot ID \"%s\", ignoring: %s",
		hf_id_hex(&old).s, hf_err_text(e));
	hf_err_free(e);
	t->n_failed++;
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct tag_options *o = opts;
	__attribute__((cleanup(tag_clear))) struct tag t = {.cli = cli};
	hf_auto(hf_snapshots) list = {0};

	if (o->set.len + o->add.len + o->remove.len == 0)
		return hf_err(HF_EINVAL, "nothing to do!");
	if (o->set.len > 0 && o->add.len + o->remove.len > 0)
		return hf_err(
			HF_EINVAL, "--set and --add/--remove cannot be given at the same time");
	hf_tags_split(&o->set, &t.set);
	hf_tags_split(&o->add, &t.add);
	hf_tags_split(&o->remove, &t.remove);
	hf_say(cli->out, HF_SAY_NORMAL, "create exclusive lock for repository");
	HF_TRY(hf_session_open(cli, HF_SESSION_EXCLUSIVE, false, &t.session));
	HF_TRY(hf_session_snapshots(&t.session, &o->filter, args, &list));
	for (size_t i = 0; i < list.len; i++) {
		HF_TRY(hf_stop_check(&cli->stop));
		HF_TRY(tag_one(&t, list.v[i]));
	}
	say_summary(&t);
	/* Restic ends with success here. */
	if (t.n_failed > 0 && !cli->is_restic)
		return hf_err(HF_EFATAL, "%zu snapshots could not be modified", t.n_failed);
	return hf_session_unread(&t.session);
}

const struct hf_command hf_cmd_tag = {
	.name = "tag",
	.usage = "[flags] [snapshotID ...]",
	.summary = "Modify tags on snapshots",
	.text = "Changes the tags of the snapshots that are named, or of all that the filters\n"
		"let through. Either all tags are replaced (--set), or some added and "
		"removed.\n"
		"A snapshot is named by its content, so each of them gets a new ID.",
	HF_COMMAND_OPTS(options, struct tag_options),
	.run = run,
};
