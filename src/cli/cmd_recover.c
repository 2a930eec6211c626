/* SPDX-License-Identifier: BSD-2-Clause */
/* recover: a snapshot of what no snapshot has. */
#include <unistd.h>

#include "base/host.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/repair.h"
#include "engine/recover.h"

struct recover {
	struct hf_cli *cli;
	struct hf_session session;
	struct hf_snapshots list;
	struct hf_recover *engine;
	struct hf_id *roots;
	size_t n_roots;
};

static void
recover_clear(struct recover *r)
{
	hf_recover_free(r->engine);
	hf_snapshots_clear(&r->list);
	hf_session_clear(&r->session);
	free(r->roots);
}

static void
bad_tree(void *arg, const struct hf_id *tree, const struct hf_err *e)
{
	struct hf_cli *cli = arg;

	hf_say_err(cli->out, "unable to load tree %.8s: %s", hf_id_hex(tree).s, hf_err_text(e));
}

static struct hf_err *
read_trees(struct recover *r)
{
	struct hf_cli *cli = r->cli;
	const struct hf_recover_options o = {
		.repo = r->session.repo,
		.ix = r->session.index,
		.lease = r->session.lease,
		.stop = &cli->stop,
		.bad_tree = bad_tree,
		.arg = cli,
	};
	atomic_uint_fast64_t done = 0, all;
	struct hf_bar bar;

	r->engine = hf_recover_new(&o);
	atomic_init(&all, hf_recover_trees(r->engine));
	hf_say(cli->out, HF_SAY_NORMAL, "load %llu trees", (unsigned long long)all);
	hf_bar_start(&bar, cli, "trees loaded", &done, &all);
	struct hf_err *e = hf_recover_read(r->engine, &done);
	hf_bar_stop(&bar);
	return e;
}

static struct hf_err *
find_roots(struct recover *r)
{
	hf_say(r->cli->out, HF_SAY_NORMAL, "load index files");
	HF_TRY(hf_session_load_index(&r->session));
	HF_TRY(read_trees(r));
	hf_say(r->cli->out, HF_SAY_NORMAL, "load snapshots");
	for (size_t i = 0; i < r->list.len; i++)
		hf_recover_known(r->engine, &r->list.v[i]->tree);
	hf_say(r->cli->out, HF_SAY_NORMAL, "done");
	hf_recover_roots(r->engine, &r->roots, &r->n_roots);
	for (size_t i = 0; i < r->n_roots; i++)
		hf_say(r->cli->out, HF_SAY_VERBOSE, "found root tree %.8s",
			hf_id_hex(&r->roots[i]).s);
	hf_say(r->cli->out, HF_SAY_DATA, "\nfound %zu unreferenced roots", r->n_roots);
	return NULL;
}

static struct hf_err *
save(struct recover *r)
{
	hf_autoptr(hf_snapshot) s = hf_snapshot_new();

	s->time = hf_time_now();
	hf_strings_add(&s->paths, "/recover");
	hf_strings_add(&s->tags, "recovered");
	free(s->hostname);
	s->hostname = hf_host_name();
	free(s->username);
	s->username = hf_user_name(getuid());
	s->uid = getuid();
	s->gid = getgid();
	HF_TRY(hf_err_in(hf_recover_save(r->engine, r->roots, r->n_roots, s),
		"unable to save snapshot"));
	hf_say(r->cli->out, HF_SAY_DATA, "saved new snapshot %.8s", hf_id_hex(&s->id).s);
	return NULL;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	__attribute__((cleanup(recover_clear))) struct recover r = {.cli = cli};
	const struct hf_filter_opts all = {0};
	const struct hf_args none = {0};

	(void)opts;
	(void)args; /* as restic, which looks at none */
	hf_out_speak(cli->out);
	HF_TRY(hf_session_open(cli, HF_SESSION_EXCLUSIVE, false, &r.session));
	HF_TRY(hf_session_snapshots(&r.session, &all, &none, &r.list));
	hf_say(cli->out, HF_SAY_NORMAL, "ensuring index is complete");
	HF_TRY(hf_repair_index_session(&r.session, &(struct hf_repair_index_options){0}));
	HF_TRY(find_roots(&r));
	if (r.n_roots > 0)
		return save(&r);
	hf_say(cli->out, HF_SAY_NORMAL, "no snapshot to write.");
	return NULL;
}

const struct hf_command hf_cmd_recover = {
	.name = "recover",
	.usage = "[flags]",
	.summary = "Recover data from the repository not referenced by snapshots",
	.text = "Looks for folders that neither a snapshot nor another folder refers to, and\n"
		"makes one snapshot of them all, in which each is a folder named by the\n"
		"beginning of its ID: what a `forget` by mistake has removed, as long as "
		"there\n"
		"was no `prune`.",
	.run = run,
};
