/* SPDX-License-Identifier: BSD-2-Clause */
/* A store in memory, for tests and as the shortest example of a backend. */
#ifndef HF_STORE_MEM_H
#define HF_STORE_MEM_H

#include "store/store.h"

struct hf_store *hf_store_mem(void);

#endif
