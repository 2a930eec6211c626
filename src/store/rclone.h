/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A repository on what rclone reaches (restic-format 13.6): `rclone:remote:path` starts
 * `rclone serve restic --stdio --b2-hard-delete remote:path` and speaks the REST protocol with it,
 * as HTTP/2 over its standard input and output. Options:
 *	rclone.program=WORDS	instead of `rclone`
 *	rclone.args=WORDS	instead of what stands between program and place
 *	rclone.timeout=TIME	how long it may take to answer for the first time (1m)
 * What it says on standard error is said to the user, after "rclone: ". It ends with the store;
 * ends it earlier, everything fails with HF_EFATAL.
 *
 * Nothing is promised: whether a file that was written is durable, and shows in a listing, depends
 * on what is behind it.
 */
#ifndef HF_STORE_RCLONE_H
#define HF_STORE_RCLONE_H

#include "store/backend.h"

extern const struct hf_backend hf_backend_rclone;

#endif
