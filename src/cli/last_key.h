/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which key has opened a repository far away the last time: it is asked for together with the
 * config, without a list of keys, and nobody has to wait for the derivation of others. Only its
 * name is kept, in $XDG_STATE_HOME/holdfast/keys, under a hash of the location (without a password
 * in it): whoever removes a key has removed it. What is kept may be wrong, or lost.
 */
#ifndef HF_CLI_LAST_KEY_H
#define HF_CLI_LAST_KEY_H

#include "store/store.h"

/* Its id in hexadecimal digits, which the caller frees; NULL: nothing is known. */
char *hf_last_key(const struct hf_store *store);

/* Keeps it, if it is another one than `known` (hf_last_key()'s, or NULL). */
void hf_last_key_keep(const struct hf_store *store, const char *known, const struct hf_id *key);

#endif
