/* SPDX-License-Identifier: BSD-2-Clause */
/* features: restic's feature flags. */
#include "cli/commands.h"
#include "cli/features.h"
#include "cli/table.h"

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	static const char *const headers[] = {"Name", "Type", "Default", "Description"};
	hf_autoptr(hf_table) table = NULL;

	(void)opts;
	if (args->len > 0)
		return hf_err(HF_EINVAL, "the feature command expects no arguments");
	table = hf_table_new(headers, sizeof headers / sizeof headers[0]);
	for (size_t i = 0; i < hf_n_features; i++) {
		hf_table_add(table, hf_features[i].name);
		hf_table_add(table, hf_features[i].phase);
		hf_table_add(table, hf_features[i].is_on ? "true" : "false");
		hf_table_add(table, hf_features[i].text);
	}
	hf_say(cli->out, HF_SAY_DATA, "All Feature Flags:");
	hf_table_print(table, false, cli->out);
	return NULL;
}

const struct hf_command hf_cmd_features = {
	.name = "features",
	.usage = "[flags]",
	.summary = "List restic's feature flags",
	.text = "Lists the feature flags of restic and whether what they stand for is done.\n"
		"$RESTIC_FEATURES switches s3-restore alone; what else it would change is "
		"told.",
	.run = run,
};
