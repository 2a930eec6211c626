/* SPDX-License-Identifier: BSD-2-Clause */
/* list: the ids of all objects of one kind, in the order of the ids. */
#include "cli/commands.h"
#include "cli/session.h"

static const struct {
	const char *word;
	enum hf_kind kind;
} kinds[] = {
	{"packs", HF_PACK},
	{"index", HF_INDEX},
	{"snapshots", HF_SNAPSHOT},
	{"keys", HF_KEY},
	{"locks", HF_LOCK},
};

static struct hf_err *
list_blobs(struct hf_session *s)
{
	size_t n;

	HF_TRY(hf_session_load_index(s));
	n = hf_index_len(s->index);
	for (size_t i = 0; i < n; i++) {
		struct hf_location at;
		struct hf_blob blob;

		HF_TRY(hf_stop_check(&s->cli->stop));
		if (hf_index_entry(s->index, i, &blob, &at))
			hf_say(s->cli->out, HF_SAY_DATA, "%s %s", hf_blob_type_text(blob.type),
				hf_id_hex(&blob.id).s);
	}
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(hf_session) session = {0};
	hf_autofree struct hf_id *ids = NULL;
	bool is_blobs;
	size_t k = 0, n;

	(void)opts;
	if (args->len != 1)
		return hf_err(HF_EINVAL, "type not specified");
	is_blobs = strcmp(args->v[0], "blobs") == 0;
	while (k < sizeof kinds / sizeof kinds[0] && strcmp(args->v[0], kinds[k].word) != 0)
		k++;
	if (k == sizeof kinds / sizeof kinds[0] && !is_blobs)
		return hf_err(HF_EINVAL,
			"invalid argument \"%s\", must be one of "
			"[blobs|packs|index|snapshots|keys|locks]",
			args->v[0]);
	HF_TRY(hf_session_open(cli,
		!is_blobs && kinds[k].kind == HF_LOCK ? HF_SESSION_UNLOCKED : HF_SESSION_SHARED,
		true, &session));
	if (is_blobs)
		return list_blobs(&session);
	HF_TRY(hf_repo_list(session.repo, kinds[k].kind, &ids, NULL, &n));
	for (size_t i = 0; i < n; i++)
		hf_say(cli->out, HF_SAY_DATA, "%s", hf_id_hex(&ids[i]).s);
	return NULL;
}

const struct hf_command hf_cmd_list = {
	.name = "list",
	.usage = "[flags] [blobs|packs|index|snapshots|keys|locks]",
	.summary = "List objects in the repository",
	.text = "Lists the IDs of all objects of one kind, one per line; of blobs also "
		"whether\n"
		"they hold data or a tree.",
	.run = run,
};
