/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host has, and what it and its users are called. */
#ifndef HF_BASE_HOST_H
#define HF_BASE_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The name of this host, "" if it has none. The caller frees it. Any thread. */
char *hf_host_name(void);

/* The account name of `uid`, or its number in digits. The caller frees it. Any thread. */
char *hf_user_name(uid_t uid);

/* The number of a user or group. False: there is none of that name. Any thread. */
bool hf_user_id(const char *name, uint32_t *id);
bool hf_group_id(const char *name, uint32_t *id);

/* How many processors there are to be used, at least one. Any thread. */
unsigned hf_cpus(void);

#endif
