/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wrapper that lets only so many calls through at once as the store inside has connections
 * (`X.connections`). Calls about locks come in addition and never wait: a lease must not be lost
 * because packs are under way (locking-design, D10). Changes ask the gate once more after the
 * wait.
 */
#ifndef HF_STORE_SEMA_H
#define HF_STORE_SEMA_H

#include "store/store.h"

/* Wraps `inner`, which it takes over. */
struct hf_store *hf_store_sema(struct hf_store *inner);

#endif
