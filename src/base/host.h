/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host and its users are called: for people who read a snapshot, a key or a lock. */
#ifndef HF_BASE_HOST_H
#define HF_BASE_HOST_H

#include <sys/types.h>

/* The name of this host, "" if it has none. The caller frees it. Any thread. */
char *hf_host_name(void);

/* The account name of `uid`, or its number in digits. The caller frees it. Any thread. */
char *hf_user_name(uid_t uid);

/*
 * Names the space in which a process number means one process: this boot of this kernel, and
 * the pid namespace. Two processes that get the same text can ask the kernel for each other by
 * number; equal host names are no such proof, because containers share them. "" if it cannot be
 * told. The caller frees it. Any thread.
 */
char *hf_pid_space(void);

#endif
