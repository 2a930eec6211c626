/* SPDX-License-Identifier: BSD-2-Clause */
/* init: makes a repository. */
#include "cli/commands.h"
#include "cli/last_key.h"
#include "cli/place.h"
#include "store/backend.h"

struct init_options {
	struct hf_from_opts from;
	bool copies_chunker;
	char *version;
};

static const struct hf_opt options[] = {
	{"repository-version", 0, HF_OPT_STRING(struct init_options, version), .arg = "version",
		.def = "stable",
		.help = "format version of the repository: a number, latest or stable"},
	{"copy-chunker-params", 0, HF_OPT_FLAG(struct init_options, copies_chunker),
		.help = "cut files as the source repository does, so that `copy` finds "
			"equal parts"},
	HF_OPT_FROM(struct init_options, from, "to take the chunker parameters from"),
};

static struct hf_err *
parse_version(const char *text, unsigned *out)
{
	uint64_t v = 2;

	if (strcmp(text, "latest") != 0 && strcmp(text, "stable") != 0 && *text != '\0' &&
		!hf_parse_uint(text, UINT32_MAX, &v))
		return hf_err(HF_EINVAL, "invalid repository version");
	if (v < 1 || v > 2)
		return hf_err(
			HF_EINVAL, "only repository versions between 1 and 2 are allowed");
	*out = (unsigned)v;
	return NULL;
}

/* The polynomial of the source, or 0 for a new one. */
static struct hf_err *
find_polynomial(struct hf_cli *cli, const struct init_options *o, hf_poly *out)
{
	hf_autoptr(hf_repo) source = NULL;
	struct hf_place place;

	*out = 0;
	if (!o->copies_chunker && hf_from_is_named(&o->from))
		return hf_err(HF_EINVAL, "Secondary repository must only be specified when "
					 "copying the chunker parameters");
	if (!o->copies_chunker)
		return NULL;
	HF_TRY(hf_place_from(&o->from, &place));
	HF_TRY(hf_place_open(cli, &place, &source));
	*out = hf_repo_config(source)->polynomial;
	return NULL;
}

static void
report(struct hf_cli *cli, const struct hf_repo *repo, bool is_copied)
{
	const struct hf_config *config = hf_repo_config(repo);
	const char *url = hf_store_url(hf_repo_store(repo));
	hf_auto(hf_buf) json = HF_BUF_MAX(1 << 20);
	struct hf_jout o = {.buf = &json};

	if (cli->global.is_json) {
		hf_jout_object(&o);
		hf_jout_key(&o, "message_type");
		hf_jout_str(&o, hf_str("initialized"));
		hf_jout_key(&o, "id");
		hf_jout_id(&o, &config->id);
		hf_jout_key(&o, "repository");
		hf_jout_str(&o, hf_str(url));
		hf_jout_object_end(&o);
		hf_out_json(cli->out, &json);
		return;
	}
	hf_say(cli->out, HF_SAY_NORMAL, "created restic repository %.10s at %s",
		hf_id_hex(&config->id).s, url);
	if (is_copied)
		hf_say(cli->out, HF_SAY_NORMAL,
			" with chunker parameters copied from secondary repository");
	hf_say(cli->out, HF_SAY_NORMAL,
		"\nPlease note that knowledge of your password is required to access\n"
		"the repository. Losing your password means that your data is\n"
		"irrecoverably lost.");
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct init_options *o = opts;
	struct hf_place place = hf_place_main(cli);
	struct hf_repo_options repo_options = hf_place_options(cli, &place);
	hf_auto(hf_secret) password = {0};
	hf_autofree char *location = NULL, *shown = NULL;
	hf_autoptr(hf_repo) repo = NULL;
	struct hf_store *store;
	unsigned version;
	hf_poly polynomial;
	bool has;

	if (args->len > 0)
		return hf_err(HF_EINVAL,
			"the init command expects no arguments, only options - "
			"please see `%s help init` for usage and flags",
			cli->program);
	HF_TRY(parse_version(o->version, &version));
	HF_TRY(find_polynomial(cli, o, &polynomial));
	HF_TRY(hf_place_location(&place, &location));
	HF_TRY(hf_place_store(cli, location, &store));
	hf_autoptr(hf_store) owned = store;

	HF_TRY(hf_password_resolve(cli, &place.password, &password, &has));
	if (!has)
		HF_TRY(hf_password_ask_new(
			cli, "enter password for new repository: ", &password));
	shown = hf_place_shown(location);
	HF_TRY(hf_err_in(hf_repo_init(hf_steal(owned), &password, version, polynomial,
				 &repo_options, &repo),
		"create repository at %s failed", shown));
	hf_last_key_keep(hf_repo_store(repo), NULL, hf_repo_key_id(repo));
	report(cli, repo, o->copies_chunker);
	return NULL;
}

const struct hf_command hf_cmd_init = {
	.name = "init",
	.usage = "[flags]",
	.summary = "Make a new repository",
	.text = "Makes a new repository at the place that -r names. Its data is encrypted "
		"under\n"
		"a key that only the password opens: without the password it is lost.",
	HF_COMMAND_OPTS(options, struct init_options),
	.run = run,
};
