/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wrapper that keeps limits of bytes per second (base/pace.h) for stores that do not keep them
 * themselves while bytes go: it waits for a whole file before it is sent, or after a range has
 * come. Lists and answers without content are not counted, and calls about locks never wait. A put
 * asks the gate once more after the wait.
 */
#ifndef HF_STORE_LIMIT_H
#define HF_STORE_LIMIT_H

#include "base/pace.h"
#include "store/store.h"

/*
 * Wraps `inner`, which it takes over. Limits may be NULL; they and `stop` are borrowed. A call that
 * is interrupted by `stop` while it waits returns HF_ECANCELED.
 */
struct hf_store *hf_store_limit(struct hf_store *inner, struct hf_pace *upload,
	struct hf_pace *download, struct hf_stop *stop);

#endif
