/* SPDX-License-Identifier: BSD-2-Clause */
/* generate: completions of shells, and short manual pages made of what the program knows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/io.h"
#include "base/path.h"
#include "cli/commands.h"
#include "cli/completions.h"

enum { MAX_FILE = 1 << 20 };

struct generate_options {
	char *man, *bash, *fish, *zsh, *powershell;
};

#define T struct generate_options
static const struct hf_opt options[] = {
	{"man", 0, HF_OPT_STRING(T, man), .arg = "directory",
		.help = "write manual pages into this folder"},
	{"bash-completion", 0, HF_OPT_STRING(T, bash), .arg = "file",
		.help = "write the completion of bash (`-` for standard output)"},
	{"fish-completion", 0, HF_OPT_STRING(T, fish), .arg = "file",
		.help = "write the completion of fish (`-` for standard output)"},
	{"zsh-completion", 0, HF_OPT_STRING(T, zsh), .arg = "file",
		.help = "write the completion of zsh (`-` for standard output)"},
	{"powershell-completion", 0, HF_OPT_STRING(T, powershell), .arg = "file",
		.help = "write the completion of PowerShell (`-` for standard output)"},
};
#undef T

/* ---- files ---- */

static struct hf_err *
write_file(struct hf_cli *cli, const char *path, const struct hf_buf *text)
{
	hf_autofd int fd = -1;

	HF_TRY(hf_buf_ok(text));
	if (strcmp(path, "-") == 0) {
		hf_out_write(cli->out, hf_buf_bytes(text));
		return NULL;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return hf_err_errno(errno, "%s", path);
	return hf_err_in(hf_write_full(fd, text->p, text->len), "%s", path);
}

/* Puts the program's name into a script. */
static void
fill(struct hf_buf *out, const char *script, const char *program)
{
	static const char mark[] = "@PROGRAM@", mark2[] = "@NAME@";

	while (*script != '\0') {
		if (strncmp(script, mark, strlen(mark)) == 0) {
			hf_buf_add_str(out, program);
			script += strlen(mark);
		} else if (strncmp(script, mark2, strlen(mark2)) == 0) {
			hf_buf_add_str(out, program);
			script += strlen(mark2);
		} else {
			hf_buf_add_char(out, *script++);
		}
	}
}

static struct hf_err *
write_completion(struct hf_cli *cli, const char *shell, const char *script, const char *path)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_FILE);

	if (!hf_is_set(path))
		return NULL;
	hf_say(cli->out, HF_SAY_TERMINAL, "writing %s completion file to %s", shell, path);
	fill(&text, script, cli->program);
	return write_file(cli, path, &text);
}

/* ---- manual pages ---- */

/* Text in which nothing may look like a request of roff. */
static void
add_roff(struct hf_buf *out, const char *s)
{
	bool is_start = true;

	for (; *s != '\0'; s++) {
		if (is_start && (*s == '.' || *s == '\''))
			hf_buf_add_str(out, "\\&");
		if (*s == '\\')
			hf_buf_add_str(out, "\\e");
		else if (*s == '-')
			hf_buf_add_str(out, "\\-");
		else
			hf_buf_add_char(out, *s);
		is_start = *s == '\n';
	}
}

static void
add_options(struct hf_buf *out, const char *heading, const struct hf_opts *opts)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_FILE);

	if (opts->n == 0)
		return;
	hf_opt_help(opts, 96, &text);
	hf_buf_add_char(&text, '\0');
	hf_buf_addf(out, ".SH %s\n.nf\n", heading);
	add_roff(out, text.is_full ? "" : (const char *)text.p);
	hf_buf_add_str(out, ".fi\n");
}

/* "restic-key-add" */
static char *
page_name(const struct hf_cli *cli, const struct hf_command *command)
{
	char *name;

	if (asprintf(&name, "%s%s%s", cli->program, command != NULL ? "-" : "",
		    command != NULL ? command->name : "") < 0)
		abort();
	for (char *s = name; *s != '\0'; s++)
		if (*s == ' ')
			*s = '-';
	return name;
}

/* The page of a command, or of all of them for NULL. */
static void
add_page(struct hf_cli *cli, const struct hf_command *command, const char *name,
	struct hf_buf *out)
{
	struct hf_opts own = {0};

	if (command != NULL)
		own = (struct hf_opts){
			command->opts, command->n_opts, NULL, NULL, cli->is_restic};
	hf_buf_addf(out, ".TH \"%s\" 1 \"\" \"holdfast " HF_VERSION "\"\n.SH NAME\n", name);
	add_roff(out, name);
	hf_buf_add_str(out, " \\- ");
	add_roff(out, command != NULL ? command->summary : "backup program");
	hf_buf_add_str(out, "\n.SH SYNOPSIS\n");
	add_roff(out, cli->program);
	hf_buf_add_char(out, ' ');
	add_roff(out, command != NULL ? command->name : "[command]");
	hf_buf_add_char(out, ' ');
	add_roff(out, command != NULL ? command->usage : "[flags]");
	hf_buf_add_str(out, "\n.SH DESCRIPTION\n.nf\n");
	add_roff(out, command != NULL ? command->text
				      : "Keeps many revisions of files and folders in an "
					"encrypted repository.");
	hf_buf_add_str(out, "\n.fi\n");
	add_options(out, "OPTIONS", &own);
	add_options(out, "GLOBAL OPTIONS", &cli->global_opts);
}

static struct hf_err *
write_page(struct hf_cli *cli, const struct hf_command *command, const char *folder)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_FILE);
	hf_autofree char *name = page_name(cli, command);
	hf_autofree char *file = NULL, *path = NULL;

	add_page(cli, command, name, &text);
	if (asprintf(&file, "%s.1", name) < 0)
		abort();
	path = hf_path_join(folder, file);
	return write_file(cli, path, &text);
}

static struct hf_err *
write_pages(struct hf_cli *cli, const char *folder)
{
	if (!hf_is_set(folder))
		return NULL;
	hf_say(cli->out, HF_SAY_NORMAL, "writing man pages to directory %s", folder);
	HF_TRY(write_page(cli, NULL, folder));
	for (size_t i = 0; cli->commands[i] != NULL; i++)
		if (!cli->commands[i]->is_hidden)
			HF_TRY(write_page(cli, cli->commands[i], folder));
	return NULL;
}

/* ---- the command ---- */

static bool
is_stdout(const char *path)
{
	return path != NULL && strcmp(path, "-") == 0;
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	const struct generate_options *o = opts;

	if (args->len > 0)
		return hf_err(HF_EINVAL,
			"the generate command expects no arguments, only options - please see "
			"`%s help generate` for usage and flags",
			cli->program);
	HF_TRY(write_pages(cli, o->man));
	if (is_stdout(o->bash) + is_stdout(o->fish) + is_stdout(o->zsh) +
			is_stdout(o->powershell) >
		1)
		return hf_err(HF_EINVAL,
			"the generate command can generate shell completions to "
			"stdout for single shell only");
	HF_TRY(write_completion(cli, "bash", hf_completion_bash, o->bash));
	HF_TRY(write_completion(cli, "fish", hf_completion_fish, o->fish));
	HF_TRY(write_completion(cli, "zsh", hf_completion_zsh, o->zsh));
	HF_TRY(write_completion(cli, "powershell", hf_completion_powershell, o->powershell));
	if (!hf_is_set(o->man) && !hf_is_set(o->bash) && !hf_is_set(o->fish) &&
		!hf_is_set(o->zsh) && !hf_is_set(o->powershell))
		return hf_err(HF_EINVAL,
			"nothing to do, please specify at least one output file/dir");
	return NULL;
}

const struct hf_command hf_cmd_generate = {
	.name = "generate",
	.usage = "[flags]",
	.summary = "Write completions of shells and manual pages",
	.text = "Writes the completions of bash, fish, zsh and PowerShell, which ask the "
		"program\n"
		"itself what a word could become, and short manual pages of what the program\n"
		"knows of its commands.",
	HF_COMMAND_OPTS(options, struct generate_options),
	.run = run,
};
