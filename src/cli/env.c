/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Variables are looked up when they are needed. Kept are the passwords, and which RESTIC_ variables
 * do not count: that can no longer be seen once a HOLDFAST_ password has been taken away.
 */
#include "cli/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *const secret_names[] = {
	"PASSWORD",
	"PASSWORD2",
	"FROM_PASSWORD",
	"NEW_PASSWORD",
	"REST_PASSWORD",
};
enum { N_SECRETS = sizeof secret_names / sizeof secret_names[0] };

/*
 * The variables of which restic takes one or refuses two: those that say the same thing of the same
 * repository, and all of one way to name a source repository against all of the older way.
 */
enum place { MAIN, FROM, SECOND };
enum thing { LOCATION, PASSWORD, HINT };
static const struct rival {
	const char *name;
	enum place place;
	enum thing thing;
} rivals[] = {
	{"REPOSITORY", MAIN, LOCATION},
	{"REPOSITORY_FILE", MAIN, LOCATION},
	{"PASSWORD", MAIN, PASSWORD},
	{"PASSWORD_FILE", MAIN, PASSWORD},
	{"PASSWORD_COMMAND", MAIN, PASSWORD},
	{"FROM_REPOSITORY", FROM, LOCATION},
	{"FROM_REPOSITORY_FILE", FROM, LOCATION},
	{"FROM_PASSWORD", FROM, PASSWORD},
	{"FROM_PASSWORD_FILE", FROM, PASSWORD},
	{"FROM_PASSWORD_COMMAND", FROM, PASSWORD},
	{"FROM_KEY_HINT", FROM, HINT},
	{"REPOSITORY2", SECOND, LOCATION},
	{"REPOSITORY_FILE2", SECOND, LOCATION},
	{"PASSWORD2", SECOND, PASSWORD},
	{"PASSWORD_FILE2", SECOND, PASSWORD},
	{"PASSWORD_COMMAND2", SECOND, PASSWORD},
	{"KEY_HINT2", SECOND, HINT},
};
enum { N_RIVALS = sizeof rivals / sizeof rivals[0] };

struct hf_env {
	struct hf_secret secrets[N_SECRETS]; /* p is NULL when the variable was not set */
	bool is_passed_over[N_RIVALS];       /* RESTIC_: a rival of it is set with HOLDFAST_ */
};

static const char *
get_prefixed(const char *prefix, const char *name)
{
	char full[96];
	const char *value;

	snprintf(full, sizeof full, "%s%s", prefix, name);
	value = getenv(full);
	return value != NULL && *value != '\0' ? value : NULL;
}

static bool
exclude_each_other(const struct rival *a, const struct rival *b)
{
	if (a->place == b->place)
		return a->thing == b->thing;
	return a->place != MAIN && b->place != MAIN;
}

static void
find_passed_over(struct hf_env *env)
{
	for (size_t i = 0; i < N_RIVALS; i++) {
		if (get_prefixed("HOLDFAST_", rivals[i].name) == NULL)
			continue;
		for (size_t k = 0; k < N_RIVALS; k++)
			if (exclude_each_other(&rivals[i], &rivals[k]))
				env->is_passed_over[k] = true;
	}
}

const char *
hf_env_get(const struct hf_env *env, const char *name)
{
	const char *value = get_prefixed("HOLDFAST_", name);

	if (value != NULL)
		return value;
	for (size_t i = 0; i < N_RIVALS; i++)
		if (env->is_passed_over[i] && strcmp(rivals[i].name, name) == 0)
			return NULL;
	return get_prefixed("RESTIC_", name);
}

char *
hf_env_cwd(void)
{
	const char *pwd = getenv("PWD");
	struct stat a, b;

	if (pwd != NULL && *pwd == '/' && stat(pwd, &a) == 0 && stat(".", &b) == 0 &&
		a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return hf_str_dup(hf_str(pwd));
	return getcwd(NULL, 0);
}

/* getenv() points into the memory that /proc/PID/environ shows; so that is what gets wiped. */
static void
wipe(const char *prefix, const char *name)
{
	char full[96];
	char *value;

	snprintf(full, sizeof full, "%s%s", prefix, name);
	while ((value = getenv(full)) != NULL) {
		explicit_bzero(value, strlen(value));
		unsetenv(full);
	}
}

struct hf_env *
hf_env_take(void)
{
	struct hf_env *env = hf_new(struct hf_env);

	find_passed_over(env);
	for (size_t i = 0; i < N_SECRETS; i++) {
		const char *value = hf_env_get(env, secret_names[i]);

		if (value != NULL)
			hf_secret_set(&env->secrets[i], hf_str_bytes(hf_str(value)));
		wipe("HOLDFAST_", secret_names[i]);
		wipe("RESTIC_", secret_names[i]);
	}
	return env;
}

void
hf_env_free(struct hf_env *env)
{
	if (env == NULL)
		return;
	for (size_t i = 0; i < N_SECRETS; i++)
		hf_secret_clear(&env->secrets[i]);
	free(env);
}

const struct hf_secret *
hf_env_secret(const struct hf_env *env, const char *name)
{
	for (size_t i = 0; i < N_SECRETS; i++)
		if (strcmp(secret_names[i], name) == 0)
			return env->secrets[i].p != NULL ? &env->secrets[i] : NULL;
	return NULL;
}

const char *
hf_env_find(const struct hf_env *env, const char *full)
{
	const char *value;

	if (strncmp(full, "RESTIC_", 7) == 0) {
		const struct hf_secret *secret = hf_env_secret(env, full + 7);

		/* There is a byte of zero behind it. */
		return secret != NULL ? (const char *)secret->p : hf_env_get(env, full + 7);
	}
	value = getenv(full);
	return value != NULL && *value != '\0' ? value : NULL;
}

char *
hf_env_state(const char *name)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool is_ours = xdg != NULL && *xdg == '/';
	char *path;

	if (!is_ours && (home == NULL || *home != '/'))
		return NULL;
	if (asprintf(&path, "%s%s/holdfast/%s", is_ours ? xdg : home,
		    is_ours ? "" : "/.local/state", name) < 0)
		abort();
	return path;
}
