/* SPDX-License-Identifier: BSD-2-Clause */
/* How far something is that is done in phases, one after the other, which its header lists. */
#ifndef HF_ENGINE_PHASES_H
#define HF_ENGINE_PHASES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HF_MAX_PHASES 16

struct hf_phases {
	void (*begins)(void *arg, unsigned phase); /* on the thread that does it; or NULL */
	void *arg;
	/* By phase; read relaxed, from any thread. */
	atomic_uint_fast64_t done[HF_MAX_PHASES], total[HF_MAX_PHASES];
};

/* Begins a phase, in which there are so many things to do; the result counts those that are done. */
static inline atomic_uint_fast64_t *
hf_phase_begin(struct hf_phases *p, unsigned phase, uint64_t total)
{
	atomic_store(&p->total[phase], total);
	if (p->begins != NULL)
		p->begins(p->arg, phase);
	return &p->done[phase];
}

#endif
