/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/features.h"

#include "base/text.h"
#include "codec/quote.h"

static void
set_s3_restore(struct hf_cli *cli, bool is_on)
{
	cli->has_s3_restore = is_on;
}

/* Those of restic 0.19.1, whose `features` prints them so. */
const struct hf_feature hf_features[] = {
	{"backend-error-redesign", "beta", true,
		"enforce timeouts for stuck HTTP requests and use new backend error handling "
		"design."},
	{"deprecate-legacy-index", "stable", true,
		"disable support for index format used by restic 0.1.0. Use `restic repair "
		"index` to update the index if necessary."},
	{"deprecate-s3-legacy-layout", "stable", true,
		"disable support for S3 legacy layout used up to restic 0.7.0. Use restic "
		"0.17.3 to migrate if necessary."},
	{"device-id-for-hardlinks", "alpha", false,
		"store deviceID only for hardlinks to reduce metadata changes for example when "
		"using btrfs subvolumes. Will be removed in a future restic version after "
		"repository format 3 is available"},
	{"explicit-s3-anonymous-auth", "stable", true,
		"forbid anonymous S3 authentication unless `-o s3.unsafe-anonymous-auth=true` "
		"is "
		"set"},
	{"s3-restore", "alpha", false,
		"restore S3 objects from cold storage classes when `-o s3.enable-restore=true` "
		"is "
		"set",
		.set = set_s3_restore},
	{"safe-forget-keep-tags", "stable", true,
		"prevent deleting all snapshots if the tag passed to `forget --keep-tags "
		"tagname` does not exist"},
};
const size_t hf_n_features = sizeof hf_features / sizeof hf_features[0];

/* "name=value", or "name" for true. */
static struct hf_err *
check_one(struct hf_cli *cli, const char *word)
{
	hf_auto(hf_buf) quoted = HF_BUF_MAX(64 << 10);
	const char *mark = strchr(word, '=');
	struct hf_str name = {word, mark != NULL ? (size_t)(mark - word) : strlen(word)};
	bool is_on = true;

	if (mark != NULL && !hf_text_bool(mark + 1, &is_on)) {
		hf_quote(&quoted, hf_str(mark + 1));
		return hf_err(HF_EINVAL,
			"failed to parse value \"%.*s\" for feature flag %.*s: it is neither "
			"true nor false",
			(int)quoted.len, (const char *)quoted.p, (int)name.len, name.p);
	}
	for (size_t i = 0; i < hf_n_features; i++) {
		const struct hf_feature *f = &hf_features[i];

		if (!hf_str_is(name, f->name))
			continue;
		if (strcmp(f->phase, "stable") == 0)
			hf_say_err(cli->out,
				"feature flag \"%s\" is always enabled and will be removed in "
				"a "
				"future release",
				f->name);
		else if (f->set != NULL)
			f->set(cli, is_on);
		else if (is_on != f->is_on)
			hf_say_err(cli->out, "feature flag \"%s\" is always %s in holdfast",
				f->name, f->is_on ? "enabled" : "disabled");
		return NULL;
	}
	hf_quote(&quoted, name);
	return hf_err(HF_EINVAL, "unknown feature flag \"%.*s\"", (int)quoted.len,
		(const char *)quoted.p);
}

struct hf_err *
hf_features_check(struct hf_cli *cli)
{
	const char *given = hf_env_get(cli->env, "FEATURES");
	hf_autofree char *text = NULL;
	char *next;

	if (given == NULL || *given == '\0')
		return NULL;
	next = text = hf_str_dup(hf_str(given));
	while (next != NULL)
		HF_TRY(check_one(cli, strsep(&next, ",")));
	return NULL;
}
