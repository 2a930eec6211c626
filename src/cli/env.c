/* SPDX-License-Identifier: BSD-2-Clause */
/* Variables are looked up when they are needed; only passwords are kept here. */
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

struct hf_env {
	struct hf_secret secrets[N_SECRETS]; /* p is NULL when the variable was not set */
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

const char *
hf_env_get(const char *name)
{
	const char *value = get_prefixed("HOLDFAST_", name);

	return value != NULL ? value : get_prefixed("RESTIC_", name);
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

	for (size_t i = 0; i < N_SECRETS; i++) {
		const char *value = hf_env_get(secret_names[i]);

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
