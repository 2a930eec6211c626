/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The environment. Every variable RESTIC_X that restic knows works here as RESTIC_X and as
 * HOLDFAST_X, and the latter wins: over RESTIC_X, and where variables exclude each other, such as
 * PASSWORD, PASSWORD_FILE and PASSWORD_COMMAND, over all of these with RESTIC_. Passwords, also
 * those passed over, are taken out of the environment before anything else happens, so that neither
 * /proc nor a child process shows them.
 */
#ifndef HF_CLI_ENV_H
#define HF_CLI_ENV_H

#include "base/secret.h"

struct hf_env;

/*
 * Moves the passwords out of the environment and wipes their bytes there. Called once, by main(),
 * before the first thread.
 */
struct hf_env *hf_env_take(void);
void hf_env_free(struct hf_env *env); /* wipes them */
HF_AUTOPTR(hf_env)

/*
 * HOLDFAST_`name` if it is set and not empty, else RESTIC_`name` unless it is passed over, else
 * NULL. Does not find the passwords, which are no longer there.
 */
const char *hf_env_get(const struct hf_env *env, const char *name);

/*
 * Any variable, by its full name: one of restic's ("RESTIC_REST_PASSWORD") as hf_env_get() does, or
 * as the password that it was; others as they are. NULL: not set, or empty.
 */
const char *hf_env_find(const struct hf_env *env, const char *full);

/* The password that stood in variable `name` ("PASSWORD", "FROM_PASSWORD", …), or NULL. */
const struct hf_secret *hf_env_secret(const struct hf_env *env, const char *name);

/*
 * The working folder as the user sees it: $PWD if that is true, else what the kernel says. The
 * caller frees it. NULL: there is none.
 */
char *hf_env_cwd(void);

/* Where what the program learns under that name is kept, or NULL. The caller frees it. */
char *hf_env_state(const char *name);

#endif
