/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * version. Programs that drive restic read its version number from here, so under the name
 * `restic` the line begins as theirs does, with the version whose behaviour is followed.
 */
#include <sys/utsname.h>

#include "cli/commands.h"

#define RESTIC_VERSION "0.19.1"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* Go's name of the machine, which is what people compare. */
static const char *
machine(void)
{
	static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"},
		{"i686", "386"}, {"armv7l", "arm"}, {"ppc64le", "ppc64le"}, {"s390x", "s390x"},
		{"riscv64", "riscv64"}};
	static struct utsname u;

	if (uname(&u) != 0)
		return "unknown";
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(u.machine, names[i][0]) == 0)
			return names[i][1];
	return u.machine;
}

static void
print_json(struct hf_cli *cli)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(4096);
	struct hf_jout o = {.buf = &json};

	hf_jout_object(&o);
	hf_jout_key(&o, "message_type");
	hf_jout_str(&o, hf_str("version"));
	hf_jout_key(&o, "version");
	hf_jout_str(&o, hf_str(cli->is_restic ? RESTIC_VERSION : HF_VERSION));
	hf_jout_key(&o, "go_version");
	hf_jout_str(&o, hf_str(cli->is_restic ? "holdfast " HF_VERSION : COMPILER));
	hf_jout_key(&o, "go_os");
	hf_jout_str(&o, hf_str("linux"));
	hf_jout_key(&o, "go_arch");
	hf_jout_str(&o, hf_str(machine()));
	hf_jout_object_end(&o);
	hf_out_json(cli->out, &json);
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	(void)opts;
	(void)args;
	if (cli->global.is_json)
		print_json(cli);
	else if (cli->is_restic)
		hf_say(cli->out, HF_SAY_DATA,
			"restic " RESTIC_VERSION " compiled with holdfast " HF_VERSION
			" on linux/%s",
			machine());
	else
		hf_say(cli->out, HF_SAY_DATA,
			"holdfast " HF_VERSION " compiled with " COMPILER " on linux/%s",
			machine());
	return NULL;
}

const struct hf_command hf_cmd_version = {
	.name = "version",
	.usage = "",
	.summary = "Print version information",
	.text = "Prints the version of the program and how it was compiled.",
	.run = run,
};
