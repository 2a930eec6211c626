/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * complete: what the last of some words could become, for the completions of shells. It goes by the
 * tables of commands and options, and looks into the repository for what stands in snapshots. It
 * takes no lock, repeats no request, asks nobody for anything, runs no command for a password, and
 * never fails: where something is missing it offers nothing.
 *
 * On each line of the output is one offer, perhaps with a tab and an explanation behind it, or an
 * instruction to the shell: ":files", ":folders", ":nospace" (the offers are not whole).
 */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/place.h"
#include "cli/session.h"
#include "repo/tree.h"

enum { MAX_OUT = 64 << 20, MAX_OFFERS = 100000 };

struct complete {
	struct hf_cli *cli;
	const char *const *words; /* those before the one to be completed */
	size_t n_words;
	const char *current;
	struct hf_str prefix; /* what of it stays in front of every offer: "--tag=" */
	const char *part;     /* the rest of it */

	const struct hf_command *command; /* NULL: not known yet */
	struct hf_args rest;              /* words that are no options, after the command */
	const struct hf_opt *pending;     /* whose value is to be completed */
	struct hf_buf out;
	struct hf_strings offered;
};

static void
complete_clear(struct complete *c)
{
	free(c->rest.v);
	hf_buf_clear(&c->out);
	hf_strings_clear(&c->offered);
}

/* ---- offers ---- */

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* One line, if it is what has been typed so far. */
static void
offer(struct complete *c, const char *value, const char *text)
{
	if (!begins(value, c->part) || strpbrk(value, "\t\n") != NULL)
		return;
	hf_buf_add(&c->out, c->prefix.p, c->prefix.len);
	hf_buf_add_str(&c->out, value);
	if (text != NULL && *text != '\0' && strpbrk(text, "\t\n") == NULL)
		hf_buf_addf(&c->out, "\t%s", text);
	hf_buf_add_char(&c->out, '\n');
}

/* The same for what comes up many times. */
static void
offer_once(struct complete *c, const char *value)
{
	if (*value == '\0' || c->offered.len == MAX_OFFERS ||
		hf_strings_has(&c->offered, value))
		return;
	hf_strings_add(&c->offered, value);
	offer(c, value, NULL);
}

static void
instruct(struct complete *c, const char *what)
{
	hf_buf_addf(&c->out, ":%s\n", what);
}

/* Each of "a|b=c|d ID"; what follows a `=` is another name, behind a blank stands an argument. */
static void
offer_words(struct complete *c, const char *words, size_t len)
{
	while (len > 0) {
		const char *end = memchr(words, '|', len);
		size_t whole = end != NULL ? (size_t)(end - words) : len, n = 0;

		while (n < whole && words[n] != '=' && words[n] != ' ')
			n++;
		hf_autofree char *word = hf_str_dup((struct hf_str){words, n});
		offer(c, word, NULL);
		whole += whole < len;
		words += whole;
		len -= whole;
	}
}

/* ---- options and commands ---- */

static void
offer_options(struct complete *c, const struct hf_opt *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		hf_autofree char *name = NULL;

		if (!hf_opt_is_shown(&v[i]) || (v[i].is_ours && c->cli->is_restic))
			continue;
		if (asprintf(&name, "--%s", v[i].name) < 0)
			abort();
		offer(c, name, v[i].help);
	}
}

/* The words that names of commands have behind what stands there already: "", or "key". */
static void
offer_commands(struct complete *c)
{
	for (size_t i = 0; c->cli->commands[i] != NULL; i++) {
		const struct hf_command *command = c->cli->commands[i];
		const char *name = command->name;
		bool is_it = !command->is_hidden;

		for (size_t k = 0; k < c->rest.len && is_it; k++) {
			size_t n = strcspn(name, " ");

			is_it = strlen(c->rest.v[k]) == n &&
				memcmp(c->rest.v[k], name, n) == 0 && name[n] == ' ';
			name += n + is_it;
		}
		if (!is_it)
			continue;
		hf_autofree char *word = hf_str_dup((struct hf_str){name, strcspn(name, " ")});
		if (name[strlen(word)] == ' ')
			offer_once(c, word);
		else
			offer(c, word, command->summary);
	}
}

static void
offer_option(void *arg, const char *key, const char *text, bool is_ours)
{
	struct complete *c = arg;
	hf_autofree char *value = NULL;

	if (is_ours && c->cli->is_restic)
		return;
	if (asprintf(&value, "%s=", key) < 0)
		abort();
	hf_autofree char *line = hf_str_dup((struct hf_str){text, strcspn(text, "\n")});
	offer(c, value, line);
}

/* ---- what is in the repository ---- */

/* Nothing may keep the user waiting, or come up on his terminal. */
static bool
open_repository(struct complete *c, struct hf_session *s)
{
	struct hf_global *g = &c->cli->global;
	struct hf_place place = hf_place_main(c->cli);
	const struct hf_password_source *p = &place.password;
	hf_autoptr(hf_err) e = NULL;

	if (hf_is_set(p->command) || p->fd >= 0 || (hf_is_set(p->file) && *p->file == '-') ||
		!hf_place_has_password(c->cli, &place))
		return false;
	g->is_quiet = true;
	g->stuck_request_timeout_s = 3;
	hf_strings_add(&g->options, "retry.limit=0");
	e = hf_session_open(c->cli, HF_SESSION_UNLOCKED, true, s);
	return e == NULL;
}

static void
ignore(void *arg, const char *what, struct hf_err *e)
{
	(void)arg;
	(void)what;
	hf_err_free(e);
}

static bool
load_snapshots(struct hf_session *s, struct hf_snapshots *list)
{
	static const struct hf_snapshot_filter all = {0};
	hf_autoptr(hf_err) e = hf_snapshots_load(s->repo, &all, ignore, NULL, list);

	return e == NULL;
}

static void
offer_snapshot(struct complete *c, const struct hf_snapshot *sn)
{
	struct hf_hex hex = hf_id_hex(&sn->id);
	hf_auto(hf_buf) text = HF_BUF_MAX(1 << 20);

	hf_buf_addf(&text, "%s %s", hf_format_time(&sn->time).s, sn->hostname);
	for (size_t i = 0; i < sn->paths.len; i++)
		hf_buf_addf(&text, " %s", sn->paths.v[i]);
	hf_buf_add_char(&text, '\0');
	if (strlen(c->part) <= 8)
		hex.s[8] = '\0';
	offer(c, hex.s, text.is_full ? NULL : (const char *)text.p);
}

enum wish { SNAPSHOTS, HOSTS, TAGS, PATHS };

static void
offer_of_snapshots(struct complete *c, enum wish wish)
{
	hf_auto(hf_session) s = {0};
	hf_auto(hf_snapshots) list = {0};

	if (!open_repository(c, &s) || !load_snapshots(&s, &list))
		return;
	if (wish == SNAPSHOTS && list.len > 0)
		offer(c, "latest", "the newest one");
	for (size_t i = list.len; i-- > 0;) {
		const struct hf_snapshot *sn = list.v[i];

		if (wish == SNAPSHOTS)
			offer_snapshot(c, sn);
		if (wish == HOSTS)
			offer_once(c, sn->hostname);
		for (size_t k = 0; wish == TAGS && k < sn->tags.len; k++)
			offer_once(c, sn->tags.v[k]);
		for (size_t k = 0; wish == PATHS && k < sn->paths.len; k++)
			offer_once(c, sn->paths.v[k]);
	}
}

static void
offer_keys(struct complete *c)
{
	hf_auto(hf_session) s = {0};
	hf_autofree struct hf_id *ids = NULL;
	hf_autoptr(hf_err) e = NULL;
	size_t n = 0;

	if (!open_repository(c, &s))
		return;
	e = hf_repo_list(s.repo, HF_KEY, &ids, NULL, &n);
	for (size_t i = 0; e == NULL && i < n; i++) {
		struct hf_hex hex = hf_id_hex(&ids[i]);

		if (strlen(c->part) <= 8)
			hex.s[8] = '\0';
		offer(c, hex.s, NULL);
	}
}

/* Offers the names in the folder above `path`, which stays in front of them. */
static struct hf_err *
offer_names(struct complete *c, struct hf_session *s, const char *snapshot, const char *path)
{
	static const struct hf_filter_opts any = {0};
	const char *slash = strrchr(path, '/');
	hf_autofree char *folder = hf_str_dup(
		(struct hf_str){path, slash != NULL ? (size_t)(slash + 1 - path) : 0});
	hf_autofree char *subfolder = NULL;
	hf_autoptr(hf_snapshot) sn = NULL;
	hf_autoptr(hf_reader) reader = NULL;
	hf_autoptr(hf_tree) tree = NULL;
	const struct hf_node *n;
	struct hf_id id;
	bool more;

	HF_TRY(hf_session_snapshot(s, &any, snapshot, &sn, &subfolder));
	HF_TRY(hf_session_load_index(s));
	HF_TRY(hf_session_tree(s, sn, folder, &id));
	reader = hf_reader_new(s->repo, s->index);
	HF_TRY(hf_tree_load(reader, &id, &tree));
	for (;;) {
		hf_auto(hf_buf) whole = HF_BUF_MAX(1 << 20);

		HF_TRY(hf_tree_next(tree, &n, &more));
		if (!more)
			return NULL;
		hf_buf_addf(&whole, "%s%s", *folder == '\0' ? "/" : "", folder);
		hf_buf_add(&whole, n->name.p, n->name.len);
		if (n->type == HF_NODE_DIR)
			hf_buf_add_char(&whole, '/');
		hf_buf_add_char(&whole, '\0');
		if (!whole.is_full)
			offer(c, (const char *)whole.p, hf_node_type_text(n->type));
	}
}

/* Names inside a snapshot; c->part is the path so far. */
static void
offer_inside(struct complete *c, const char *snapshot)
{
	hf_auto(hf_session) s = {0};

	if (!open_repository(c, &s))
		return;
	hf_err_free(offer_names(c, &s, snapshot, c->part));
	instruct(c, "nospace");
}

/* "1a2b", or "1a2b:/folder". */
static void
offer_snapshot_or_inside(struct complete *c)
{
	const char *mark = strchr(c->part, ':');

	if (mark == NULL) {
		offer_of_snapshots(c, SNAPSHOTS);
		return;
	}
	hf_autofree char *snapshot =
		hf_str_dup((struct hf_str){c->part, (size_t)(mark - c->part)});
	c->prefix.len += (size_t)(mark + 1 - c->part);
	c->part = mark + 1;
	offer_inside(c, snapshot);
}

/* ---- values ---- */

static bool
is_one_of(const char *text, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(text, *names) == 0)
			return true;
	return false;
}

/* What the table calls the value tells what it can be. */
static void
offer_value(struct complete *c, const struct hf_opt *o)
{
	static const char *const files[] = {"file", "filename", "repository", NULL};
	static const char *const folders[] = {"directory", "folder", NULL};
	static const char *const hosts[] = {"host", "hostname", NULL};
	static const char *const snapshots[] = {"snapshot", "id", NULL};
	const char *arg = o->arg != NULL ? o->arg : "";

	if (o->words != NULL)
		offer_words(c, o->words, strlen(o->words));
	else if (is_one_of(arg, files) || strcmp(o->name, "target") == 0)
		instruct(c, "files");
	else if (is_one_of(arg, folders))
		instruct(c, "folders");
	else if (is_one_of(arg, hosts))
		offer_of_snapshots(c, HOSTS);
	else if (is_one_of(arg, snapshots))
		offer_of_snapshots(c, SNAPSHOTS);
	else if (begins(arg, "tag"))
		offer_of_snapshots(c, TAGS);
	else if (strcmp(arg, "path") == 0)
		offer_of_snapshots(c, PATHS);
	else if (strcmp(arg, "key") == 0)
		offer_keys(c);
	else if (strcmp(arg, "group") == 0)
		offer_words(c, "host|paths|tags", strlen("host|paths|tags"));
	else if (strcmp(arg, "key=value") == 0 && strchr(c->part, '=') == NULL) {
		hf_extended_options(offer_option, c);
		instruct(c, "nospace");
	}
}

/* How long the first word of a usage is; a choice, "[pack ID|blob ID]", is one. */
static size_t
word_length(const char *usage)
{
	size_t n = strcspn(usage, " "), bracket = strcspn(usage, "]");

	return *usage == '[' && memchr(usage, '|', bracket) != NULL ? bracket + 1 : n;
}

/* The word of the usage that argument `number` is; the last one stands for all that follow. */
static struct hf_str
argument_word(const char *usage, size_t number)
{
	struct hf_str word = {"", 0};

	for (size_t i = 0; *usage != '\0';) {
		size_t n = word_length(usage);
		struct hf_str w = {usage, n};

		usage += n;
		usage += strspn(usage, " ");
		if (hf_str_is(w, "[flags]") || hf_str_is(w, "...]") || hf_str_is(w, "..."))
			continue;
		word = w;
		if (i++ == number)
			break;
	}
	return word;
}

static bool
has_word(struct hf_str s, const char *word)
{
	return memmem(s.p, s.len, word, strlen(word)) != NULL;
}

static void
offer_argument(struct complete *c)
{
	struct hf_str w = argument_word(c->command->usage, c->rest.len);

	if (w.len > 2 && w.p[0] == '[' && memchr(w.p, '|', w.len) != NULL)
		offer_words(c, w.p + 1, w.len - 1 - (w.p[w.len - 1] == ']'));
	else if (has_word(w, "snapshot"))
		offer_snapshot_or_inside(c);
	else if (has_word(w, "keyID"))
		offer_keys(c);
	else if (hf_str_is(w, "[command]"))
		offer_commands(c);
	else if (c->rest.len > 0 && has_word(argument_word(c->command->usage, 0), "snapshot"))
		offer_inside(c, c->rest.v[0]);
	else if (has_word(w, "FILE"))
		instruct(c, "files");
	else if (has_word(w, "dir") || has_word(w, "mount"))
		instruct(c, "folders");
}

/* ---- the words so far ---- */

static const struct hf_opt *
find_in(const struct hf_opt *v, size_t n, struct hf_str name, char letter)
{
	for (size_t i = 0; i < n; i++)
		if (letter != 0 ? v[i].letter == letter : hf_str_is(name, v[i].name))
			return &v[i];
	return NULL;
}

/* By name, or by letter if that is not 0. The command's own go first. */
static const struct hf_opt *
find_option(const struct complete *c, struct hf_str name, char letter)
{
	const struct hf_opt *o = NULL;

	if (c->command != NULL)
		o = find_in(c->command->opts, c->command->n_opts, name, letter);
	return o != NULL ? o : find_in(hf_global_opts, hf_n_global_opts, name, letter);
}

/* The option in `word` whose value is the next word, or NULL. */
static const struct hf_opt *
waits_for_value(const struct complete *c, const char *word)
{
	const struct hf_opt *o;

	if (word[1] == '-') {
		o = find_option(c, hf_str(word + 2), 0);
		return o != NULL && hf_opt_takes_value(o) ? o : NULL;
	}
	for (const char *s = word + 1; *s != '\0'; s++) {
		o = find_option(c, hf_str(""), *s);
		if (o == NULL || s[1] == '=')
			return NULL;
		if (hf_opt_takes_value(o))
			return s[1] == '\0' ? o : NULL;
	}
	return NULL;
}

/* A word that is no option: it may be, or go on, the name of the command. */
static void
take_word(struct complete *c, const char *word)
{
	const struct hf_command *found;
	size_t n;

	c->rest.v[c->rest.len++] = word;
	if (c->command != NULL && !c->command->is_hidden)
		return;
	found = hf_cli_find(c->cli->commands, &c->rest, &n);
	if (found == NULL || n != c->rest.len)
		return;
	c->command = found;
	/* "key" goes on, "key add" does not. */
	if (!found->is_hidden)
		c->rest.len = 0;
}

static bool
read_words(struct complete *c)
{
	bool is_ended = false;

	c->rest.v = hf_alloc_(c->n_words + 1, sizeof *c->rest.v);
	for (size_t i = 0; i < c->n_words; i++) {
		const char *word = c->words[i];

		c->pending = NULL;
		if (strcmp(word, "--") == 0 && !is_ended) {
			is_ended = true;
		} else if (is_ended || word[0] != '-' || word[1] == '\0') {
			take_word(c, word);
		} else {
			c->pending = waits_for_value(c, word);
			if (c->pending != NULL && i + 1 < c->n_words)
				i++, c->pending = NULL;
		}
	}
	return is_ended;
}

/* The repository and its password may be named in the words. */
static void
take_globals(struct complete *c)
{
	hf_auto(hf_args) args = {0};
	size_t n = c->n_words - (c->pending != NULL);
	char **argv = hf_alloc_(n + 1, sizeof *argv);
	hf_autoptr(hf_err) e = NULL;

	for (size_t i = 0; i < n; i++)
		argv[i] = hf_str_dup(hf_str(c->words[i]));
	e = hf_opt_parse(&c->cli->global_opts, 1, (int)n, argv, true, NULL, NULL, &args);
	for (size_t i = 0; i < n; i++)
		free(argv[i]);
	free(argv);
}

static void
offer_all(struct complete *c, bool is_ended)
{
	const char *mark = strchr(c->current, '=');
	const struct hf_opt *o = NULL;

	if (!is_ended && c->pending == NULL && begins(c->current, "--") && mark != NULL) {
		struct hf_str name = {c->current + 2, (size_t)(mark - c->current - 2)};

		o = find_option(c, name, 0);
		c->prefix = (struct hf_str){c->current, (size_t)(mark + 1 - c->current)};
		c->part = mark + 1;
		if (o == NULL)
			return;
	}
	if (c->pending != NULL || o != NULL) {
		offer_value(c, o != NULL ? o : c->pending);
	} else if (!is_ended && c->current[0] == '-') {
		if (c->command != NULL)
			offer_options(c, c->command->opts, c->command->n_opts);
		offer_options(c, hf_global_opts, hf_n_global_opts);
	} else if (c->command == NULL || c->command->is_hidden) {
		offer_commands(c);
	} else if (is_ended) {
		instruct(c, "files");
	} else {
		offer_argument(c);
	}
}

static struct hf_err *
run(struct hf_cli *cli, void *opts, const struct hf_args *args)
{
	hf_auto(complete) c = {
		.cli = cli,
		.words = args->v,
		.n_words = args->len > 0 ? args->len - 1 : 0,
		.current = args->len > 0 ? args->v[args->len - 1] : "",
		.out = HF_BUF_MAX(MAX_OUT),
	};
	bool is_ended;

	(void)opts;
	c.prefix = (struct hf_str){c.current, 0};
	c.part = c.current;
	is_ended = read_words(&c);
	take_globals(&c);
	offer_all(&c, is_ended);
	hf_out_write(cli->out, hf_buf_bytes(&c.out));
	return NULL;
}

const struct hf_command hf_cmd_complete = {
	.name = "complete",
	.usage = "-- [word...]",
	.summary = "Say what a word on the command line could become",
	.text = "For the completions of shells, see generate.",
	.is_hidden = true,
	.run = run,
};
