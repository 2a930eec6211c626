/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/place.h"

#include "cli/last_key.h"
#include "cli/session.h"
#include "cli/words.h"
#include "store/early.h"

enum { MAX_LOCATION = 64 << 10, TRIES = 3 };

struct hf_place
hf_place_main(const struct hf_cli *cli)
{
	const struct hf_global *g = &cli->global;

	return (struct hf_place){
		.repo = g->repo,
		.repository_file = g->repository_file,
		.password = {g->password_file, g->password_command, g->password_fd,
			g->insecure_no_password, "PASSWORD"},
		.key_hint = g->key_hint,
		.prompt = "enter password for repository: ",
		.missing = "Please specify repository location (-r or --repository-file)",
		.ambiguous = "Options -r and --repository-file are mutually exclusive, please "
			     "specify only one",
	};
}

bool
hf_from_is_named(const struct hf_from_opts *f)
{
	return hf_is_set(f->repo) || hf_is_set(f->repository_file) || hf_is_set(f->repo2) ||
	       hf_is_set(f->repository_file2);
}

struct hf_err *
hf_place_from(const struct hf_from_opts *f, struct hf_place *out)
{
	bool has_from = hf_is_set(f->repo) || hf_is_set(f->repository_file) ||
			hf_is_set(f->password_file) || hf_is_set(f->password_command) ||
			hf_is_set(f->key_hint) || f->insecure_no_password;
	bool has_old = hf_is_set(f->repo2) || hf_is_set(f->repository_file2) ||
		       hf_is_set(f->password_file2) || hf_is_set(f->password_command2) ||
		       hf_is_set(f->key_hint2);

	if (!hf_from_is_named(f))
		return hf_err(HF_EINVAL,
			"Please specify a source repository location (--from-repo "
			"or --from-repository-file)");
	if (has_from && has_old)
		return hf_err(HF_EINVAL, "Option groups repo2 and from-repo are mutually "
					 "exclusive, please specify only one");
	if (has_from)
		*out = (struct hf_place){
			.repo = f->repo,
			.repository_file = f->repository_file,
			.password = {f->password_file, f->password_command, -1,
				f->insecure_no_password, "FROM_PASSWORD"},
			.key_hint = f->key_hint,
			.prompt = "enter password for source repository: ",
			.ambiguous =
				"Options --from-repo and --from-repository-file are mutually "
				"exclusive, please specify only one",
		};
	else
		*out = (struct hf_place){
			.repo = f->repo2,
			.repository_file = f->repository_file2,
			.password = {f->password_file2, f->password_command2, -1, false,
				"PASSWORD2"},
			.key_hint = f->key_hint2,
			.prompt = "enter password for secondary repository: ",
			.ambiguous = "Options --repo2 and --repository-file2 are mutually "
				     "exclusive, please specify only one",
		};
	return NULL;
}

struct hf_err *
hf_place_location(const struct hf_place *place, char **out)
{
	hf_auto(hf_buf) text = HF_BUF_MAX(MAX_LOCATION);
	struct hf_str trimmed;

	if (!hf_is_set(place->repo) && !hf_is_set(place->repository_file))
		return hf_err(HF_EINVAL, "%s", place->missing);
	if (!hf_is_set(place->repository_file)) {
		*out = hf_str_dup(hf_str(place->repo));
		return NULL;
	}
	if (hf_is_set(place->repo))
		return hf_err(HF_EINVAL, "%s", place->ambiguous);
	HF_TRY(hf_text_read(place->repository_file, &text));
	trimmed = hf_text_trim(hf_bytes_str(hf_buf_bytes(&text)));
	if (trimmed.len == 0)
		return hf_err(HF_EINVAL, "%s is empty", place->repository_file);
	*out = hf_str_dup(trimmed);
	return NULL;
}

bool
hf_place_has_password(const struct hf_cli *cli, const struct hf_place *place)
{
	const struct hf_password_source *p = &place->password;

	return p->is_none || hf_is_set(p->file) || hf_is_set(p->command) || p->fd >= 0 ||
	       hf_env_secret(cli->env, p->env) != NULL;
}

struct hf_repo_options
hf_place_options(const struct hf_cli *cli, const struct hf_place *place)
{
	return (struct hf_repo_options){
		.compression = (enum hf_compression)cli->global.compression,
		.pack_size = cli->global.pack_size << 20,
		.no_extra_verify = cli->global.no_extra_verify,
		.key_hint = hf_is_set(place->key_hint) ? place->key_hint : NULL,
	};
}

/*
 * Looks for a repository before anybody types a password for it. What is read is kept in `config`:
 * to ask a server for it twice would be one request too many.
 */
static struct hf_err *
look_for_config(struct hf_store *store, struct hf_buf *config)
{
	struct hf_name name = {.kind = HF_CONFIG};
	hf_autoptr(hf_err) e = hf_store_get(store, &name, 0, SIZE_MAX, config);

	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND)
		return hf_err(HF_ENOREPO,
			"repository does not exist: unable to open config file: %s",
			hf_err_text(e));
	if (e != NULL)
		return hf_err_in(hf_steal(e), "unable to open config file");
	if (config->len == 0)
		return hf_err(HF_ECORRUPT, "config file has zero size, invalid repository?");
	return NULL;
}

struct hf_err *
hf_place_look(struct hf_cli *cli, const char *location)
{
	hf_autoptr(hf_store) store = NULL;
	hf_auto(hf_buf) config = HF_BUF_MAX(HF_MAX_CONFIG_FILE);

	HF_TRY(hf_place_store(cli, location, &store));
	return look_for_config(store, &config);
}

void
hf_ask_early(struct hf_store *store, unsigned what)
{
	struct hf_early calls[2];
	size_t n = 0;

	if (what & HF_EARLY_SNAPSHOTS)
		calls[n++] = hf_early_list(HF_SNAPSHOT);
	if (what & HF_EARLY_INDEX)
		calls[n++] = hf_early_list(HF_INDEX);
	hf_store_early(store, calls, n);
}

/*
 * Asks for all that is wanted next and does not need the key, together with the config. Not when a
 * person is to type the password first.
 */
static void
ask_with_config(const struct hf_cli *cli, const struct hf_place *place, struct hf_store *store)
{
	struct hf_early key = hf_early_list(HF_KEY), locks = hf_early_list(HF_LOCK);

	if (!hf_place_has_password(cli, place))
		return;
	if (hf_is_set(place->key_hint) && hf_id_parse(hf_str(place->key_hint), &key.name.id)) {
		key.is_list = false;
		key.max = HF_MAX_KEY_FILE;
	}
	hf_store_early(store, &key, 1);
	if (place->is_locked)
		hf_store_early(store, &locks, 1);
	hf_ask_early(store, place->early);
}

/* Opens the repository in *store, or at `location` if that is NULL; *store is NULL afterwards. */
static struct hf_err *
open_repo(struct hf_cli *cli, const struct hf_place *place, const char *location,
	struct hf_store **store, struct hf_bytes config, const struct hf_secret *password,
	struct hf_repo **out)
{
	struct hf_repo_options options = hf_place_options(cli, place);

	options.config = config;

	if (*store == NULL)
		HF_TRY(hf_place_store(cli, location, store));
	return hf_repo_open(hf_steal(*store), password, &options, out);
}

/* The place with the key that opened it the last time as a hint; *known keeps it. */
static struct hf_place
with_last_key(const struct hf_place *place, const struct hf_store *store, char **known)
{
	struct hf_place with = *place;

	*known = hf_last_key(store);
	if (!hf_is_set(place->key_hint))
		with.key_hint = *known;
	return with;
}

struct hf_err *
hf_place_unlock(struct hf_cli *cli, const struct hf_place *place, const char *location,
	const struct hf_secret *password, struct hf_repo **out)
{
	hf_autoptr(hf_store) store = NULL;
	hf_auto(hf_buf) config = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	hf_autofree char *known = NULL;

	HF_TRY(hf_place_store(cli, location, &store));
	struct hf_place with = with_last_key(place, store, &known);
	ask_with_config(cli, &with, store);
	HF_TRY(look_for_config(store, &config));
	HF_TRY(open_repo(cli, &with, location, &store, hf_buf_bytes(&config), password, out));
	hf_last_key_keep(hf_repo_store(*out), known, hf_repo_key_id(*out));
	return NULL;
}

/* `store` is where it has been looked for the repository; a wrong password costs it. */
static struct hf_err *
unlock(struct hf_cli *cli, const struct hf_place *place, const char *location,
	struct hf_store **store, struct hf_bytes config, struct hf_repo **out)
{
	hf_auto(hf_secret) password = {0};
	unsigned tries = hf_is_interactive() ? TRIES : 1;
	bool has;

	HF_TRY(hf_password_resolve(cli, &place->password, &password, &has));
	if (has)
		return open_repo(cli, place, location, store, config, &password, out);
	for (;;) {
		struct hf_err *e = hf_password_ask(cli, place->prompt, &password);

		if (e == NULL)
			e = open_repo(cli, place, location, store, config, &password, out);
		if (e == NULL || --tries == 0 ||
			(hf_err_code(e) != HF_EAUTH && hf_err_code(e) != HF_EINVAL))
			return e;
		hf_say_err(cli->out, "%s. Try again", hf_err_text(e));
		hf_err_free(e);
	}
}

static void
say_opened(struct hf_cli *cli, const struct hf_repo *repo)
{
	static const char *const words[] = {"auto", "off", "fastest", "better", "max"};
	const struct hf_config *c = hf_repo_config(repo);

	hf_say(cli->out, HF_SAY_TERMINAL, "repository %.8s opened (version %u%s%s)",
		hf_id_hex(&c->id).s, c->version, c->version >= 2 ? ", compression level " : "",
		c->version >= 2 ? words[hf_repo_opts(repo)->compression] : "");
}

struct hf_err *
hf_place_open(struct hf_cli *cli, const struct hf_place *place, struct hf_repo **out)
{
	hf_autofree char *location = NULL;
	hf_autoptr(hf_store) store = NULL;
	hf_autoptr(hf_repo) repo = NULL;
	hf_auto(hf_buf) config = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	hf_autofree char *known = NULL;

	HF_TRY(hf_place_location(place, &location));
	HF_TRY(hf_place_store(cli, location, &store));
	struct hf_place with = with_last_key(place, store, &known);
	ask_with_config(cli, &with, store);
	HF_TRY(look_for_config(store, &config));
	HF_TRY(unlock(cli, &with, location, &store, hf_buf_bytes(&config), &repo));
	hf_last_key_keep(hf_repo_store(repo), known, hf_repo_key_id(repo));
	say_opened(cli, repo);
	*out = hf_steal(repo);
	return NULL;
}
