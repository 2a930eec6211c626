/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory-hard core of scrypt (RFC 7914, scryptROMix), for several lanes in one thread: as
 * many as fit into one register of the processor are computed side by side. Internal to kdf.c.
 */
#ifndef HF_CODEC_ROMIX_H
#define HF_CODEC_ROMIX_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { HF_ROMIX_LANES_MAX = 4 };

/* How many lanes cost about as much as one on this machine: 1, 2 or 4. */
unsigned hf_romix_lanes(void);

/*
 * Mixes `n_lanes` blocks (1 to hf_romix_lanes()) of 128 * r bytes each, which lie one after the
 * other at `b`, in place. N is a power of two from 2 to 2^31. Uses 96 * N * r bytes per lane;
 * the caller has checked that 128 * N * r fit. HF_EFATAL: no memory.
 */
struct hf_err *hf_romix(uint8_t *b, unsigned n_lanes, uint64_t n, uint64_t r) HF_MUST;

#endif
