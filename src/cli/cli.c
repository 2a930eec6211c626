/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From argv to the command and back to the exit code. The command's name is found first, with the
 * global options only; then everything is parsed again with the command's own table.
 */
#include "cli/cli.h"

#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include "cli/fail.h"
#include "cli/features.h"
#include "cli/job.h"

enum { HELP_WIDTH = 96 };

static void
note(void *arg, const char *text)
{
	struct hf_cli *cli = arg;

	hf_say_err(cli->out, "%s", text);
}

/* Matches "key list" against the words "key" and "list". */
static bool
matches(const char *name, const struct hf_args *args, size_t *n_words)
{
	size_t n = 0;

	while (*name != '\0') {
		size_t len = strcspn(name, " ");

		if (n >= args->len || strlen(args->v[n]) != len ||
			memcmp(args->v[n], name, len) != 0)
			return false;
		n++;
		name += len;
		name += strspn(name, " ");
	}
	*n_words = n;
	return true;
}

const struct hf_command *
hf_cli_find(
	const struct hf_command *const *commands, const struct hf_args *args, size_t *n_words)
{
	const struct hf_command *best = NULL;
	size_t n, best_n = 0;

	for (; *commands != NULL; commands++) {
		if (matches((*commands)->name, args, &n) && n > best_n) {
			best = *commands;
			best_n = n;
		}
	}
	*n_words = best_n;
	return best;
}

/* Whether it is one of the commands "GROUP word"; of all commands for NULL. */
static bool
is_listed(const struct hf_command *c, const char *group)
{
	size_t len = group != NULL ? strlen(group) : 0;

	return !c->is_hidden &&
	       (group == NULL || (strncmp(c->name, group, len) == 0 && c->name[len] == ' '));
}

static void
add_commands(struct hf_cli *cli, const char *group, struct hf_buf *out)
{
	size_t width = 0;

	for (size_t i = 0; cli->commands[i] != NULL; i++)
		if (is_listed(cli->commands[i], group) &&
			strlen(cli->commands[i]->name) > width)
			width = strlen(cli->commands[i]->name);
	if (width > 0)
		hf_buf_add_str(out, "\nCommands:\n");
	for (size_t i = 0; cli->commands[i] != NULL; i++)
		if (is_listed(cli->commands[i], group))
			hf_buf_addf(out, "  %-*s  %s\n", (int)width, cli->commands[i]->name,
				cli->commands[i]->summary);
}

static void
add_overview(struct hf_cli *cli, struct hf_buf *out)
{
	hf_buf_addf(out,
		"%s keeps many revisions of files and folders in an encrypted repository.\n\n"
		"Usage:\n  %s [command] [flags]\n",
		cli->program, cli->program);
	add_commands(cli, NULL, out);
}

void
hf_cli_help(struct hf_cli *cli, const struct hf_command *command)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	if (command == NULL) {
		add_overview(cli, &text);
	} else {
		hf_buf_addf(&text, "%s\n\n", command->text);
		hf_buf_addf(&text, "Usage:\n  %s %s%s%s\n", cli->program, command->name,
			*command->usage != '\0' ? " " : "", command->usage);
		add_commands(cli, command->name, &text);
		if (command->n_opts > 0) {
			struct hf_opts own = {
				command->opts, command->n_opts, NULL, NULL, cli->is_restic};

			hf_buf_add_str(&text, "\nFlags:\n");
			hf_opt_help(&own, HELP_WIDTH, &text);
		}
	}
	hf_buf_add_str(&text, "\nGlobal flags:\n");
	hf_opt_help(&cli->global_opts, HELP_WIDTH, &text);
	hf_out_write(cli->out, hf_buf_bytes(&text));
	if (command == NULL)
		hf_say(cli->out, HF_SAY_DATA, "\n\"%s help COMMAND\" explains a command.",
			cli->program);
}

static struct hf_err *
unknown_command(struct hf_cli *cli, const struct hf_args *args)
{
	if (args->len == 0)
		return hf_err(HF_EINVAL, "no command was given");
	return hf_err(HF_EINVAL, "unknown command \"%s\" for \"%s\"", args->v[0], cli->program);
}

/*
 * Finds the command. Options of a command may stand before its name, and whether a word behind
 * them is a value is not known yet: the first word that names a command is taken for it, and
 * run() looks again when it knows.
 */
static struct hf_err *
find_command(struct hf_cli *cli, int argc, char **argv)
{
	hf_auto(hf_args) args = {0};
	size_t n_words;

	struct hf_err *e =
		hf_opt_parse(&cli->global_opts, 1, argc, argv, true, NULL, NULL, &args);
	cli->shows_rc = cli->global.shows_rc; /* should the second pass come to no end */
	HF_TRY(e);
	for (size_t i = 0; i < args.len && cli->command == NULL; i++) {
		struct hf_args rest = {args.v + i, args.len - i};

		cli->command = hf_cli_find(cli->commands, &rest, &n_words);
	}
	if (args.len > 0 && cli->command == NULL)
		return unknown_command(cli, &args);
	/* What the first pass put into lists would stand there twice after the second. */
	hf_opt_clear(&cli->global_opts);
	memset(cli->global_opts.given, 0, cli->global_opts.n * sizeof(bool));
	return NULL;
}

static void
reset_global(struct hf_cli *cli)
{
	cli->global = (struct hf_global){.password_fd = -1};
	hf_opt_defaults(&cli->global_opts);
}

static struct hf_err *
set_levels(struct hf_cli *cli)
{
	const struct hf_global *g = &cli->global;
	unsigned level = g->is_quiet ? 0 : g->verbose >= 2 ? 3 : g->verbose == 1 ? 2 : 1;

	hf_out_set_level(cli->out, level, g->is_json);
	if (g->is_quiet && g->verbose > 0)
		return hf_err(HF_EINVAL,
			"--quiet and --verbose cannot be specified at the same time");
	return NULL;
}

static const char *
get_env(const void *arg, const char *name)
{
	return hf_env_get(arg, name);
}

static struct hf_err *
run(struct hf_cli *cli, int argc, char **argv)
{
	hf_auto(hf_args) args = {0}, words = {0};
	hf_autofree void *opts = NULL;
	hf_autofree bool *given = NULL;
	size_t n_words = 0;
	struct hf_opts tables[2];
	struct hf_err *e;

	HF_TRY(find_command(cli, argc, argv));
	HF_TRY(hf_features_check(cli));
	if (cli->command == NULL || !cli->command->is_single)
		HF_TRY(hf_signals_new(&cli->stop, &cli->signals));
	reset_global(cli);
	if (cli->command != NULL) {
		opts = hf_alloc_(1, cli->command->opts_size + 1);
		given = hf_alloc_(cli->command->n_opts + 1, sizeof *given);
		cli->own_opts = (struct hf_opts){
			cli->command->opts, cli->command->n_opts, opts, given, cli->is_restic};
		hf_opt_defaults(&cli->own_opts);
	}
	/* The command's own letters go first: `forget -H` is not a host. */
	tables[0] = cli->own_opts;
	tables[1] = cli->global_opts;
	e = hf_opt_parse(tables, 2, argc, argv, false, note, cli, &words);
	if (e == NULL)
		cli->shows_rc = cli->global.shows_rc;
	if (e == NULL && cli->command != NULL &&
		hf_cli_find(cli->commands, &words, &n_words) != cli->command)
		e = unknown_command(cli, &words);
	if (e == NULL && (cli->global.wants_help || cli->command == NULL)) {
		hf_cli_help(cli, cli->command);
		hf_opt_clear(&cli->own_opts);
		return NULL;
	}
	if (e == NULL)
		e = hf_opt_env(tables, 2, get_env, cli->env);
	if (e == NULL)
		e = set_levels(cli);
	if (cli->command != NULL && cli->command->is_raw)
		hf_out_keep_clean(cli->out);
	if (e == NULL) {
		args.v = hf_alloc_(words.len + 1, sizeof *args.v);
		while (n_words + args.len < words.len) {
			args.v[args.len] = words.v[n_words + args.len];
			args.len++;
		}
		e = cli->command->run(cli, opts, &args);
		if (e == NULL && cli->is_lock_lost)
			e = hf_err(HF_ELOST, "the lock on the repository was lost while the "
					     "command ran; what it found may not be whole");
	}
	hf_opt_clear(&cli->own_opts);
	return e;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/*
 * Whoever starts us with standard streams closed gets /dev/null there. Otherwise the next file to
 * be opened would take their place, and a message could end up in a pack.
 */
static void
fill_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			_exit(HF_EXIT_ERROR);
}

/*
 * Buffers of packs and chunks are few, long-lived and large. By default glibc learns from the first
 * one freed to keep such pieces in its arenas, one per thread, and a run ends with twice the memory
 * that it uses. A fixed limit gives each back to the kernel when it is freed.
 */
static void
keep_memory_small(void)
{
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, 512 << 10);
#endif
}

/* In Borg's words, which programs look for. It says "signal" of codes that stand for one. */
static void
show_rc(struct hf_cli *cli, int code)
{
	int rc = cli->exit_signal != 0 ? 128 + cli->exit_signal : code;
	const char *class = rc == HF_EXIT_OK        ? "success"
			    : rc == HF_EXIT_PARTIAL ? "warning"
			    : rc >= 128             ? "signal"
						    : "error";

	hf_say_err(cli->out, "terminating with %s status, rc %d", class, rc);
}

/* The commands that exist under restic's name; the array is owned. */
static const struct hf_command **
only_restics(const struct hf_command *const *commands)
{
	size_t n = 0, len = 0;

	while (commands[n] != NULL)
		n++;
	const struct hf_command **out = hf_alloc_(n + 1, sizeof *out);
	for (size_t i = 0; i < n; i++)
		if (!commands[i]->is_ours)
			out[len++] = commands[i];
	return out;
}

int
hf_cli_main(int argc, char **argv, const struct hf_command *const *commands)
{
	struct hf_cli cli = {.commands = commands};
	hf_autoptr(hf_env) env = hf_env_take();
	hf_autoptr(hf_out) out = NULL;
	hf_autofree bool *given = hf_alloc_(hf_n_global_opts, sizeof *given);
	hf_autofree const struct hf_command **restics = NULL;
	struct hf_err *e;
	int code;

	fill_descriptors();
	keep_memory_small();
	setlocale(LC_CTYPE, "C.UTF-8"); /* nothing else: numbers and times stay as they are */
	cli.is_restic = argc > 0 && strcmp(base_name(argv[0]), "restic") == 0;
	cli.program = cli.is_restic ? "restic" : "holdfast";
	if (cli.is_restic)
		cli.commands = restics = only_restics(commands);
	cli.env = env;
	out = hf_out_new(STDOUT_FILENO, STDERR_FILENO, &cli.stop);
	cli.out = out;
	cli.global_opts = (struct hf_opts){
		hf_global_opts, hf_n_global_opts, &cli.global, given, cli.is_restic};
	hf_buf_set_tmpdir(getenv("TMPDIR"));

	e = run(&cli, argc > 0 ? argc - 1 : 0, argv + (argc > 0));
	if (e == NULL)
		e = hf_out_flush(out);
	code = hf_fail_report(&cli, e);
	hf_opt_clear(&cli.global_opts);
	hf_signals_free(cli.signals);
	if (cli.shows_rc)
		show_rc(&cli, code);
	if (cli.exit_signal != 0)
		hf_job_die(cli.exit_signal);
	return code;
}
