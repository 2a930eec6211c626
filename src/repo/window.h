/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees of a store far away, when nothing of them is kept on this machine: who walks a snapshot
 * reads trees one after the other, and trees that were saved together lie together. So what lies
 * around a tree is read along with it, and kept for a while in a few windows that all threads
 * share. Windows grow while much of them is used, and shrink when it is not, so that a walk through
 * scattered trees costs little more than their own bytes.
 *
 *  (1) What comes out of a window is what the store sent, no more: who reads it proves it.
 *  (2) A window is loaded by one thread; others who want it wait for it.
 */
#ifndef HF_REPO_WINDOW_H
#define HF_REPO_WINDOW_H

#include "store/store.h"

/* Holds at most eight windows of 2 MiB, each with one blob that may be longer at its end. */
struct hf_windows;

struct hf_windows *hf_windows_new(void);
void hf_windows_free(struct hf_windows *w);
HF_AUTOPTR(hf_windows)

/* As hf_store_get() for a pack of `size` bytes: appends `len` bytes from `off` on. */
struct hf_err *hf_windows_get(struct hf_windows *w, struct hf_store *store,
	const struct hf_name *pack, uint64_t size, uint64_t off, size_t len,
	struct hf_buf *out) HF_MUST;

#endif
