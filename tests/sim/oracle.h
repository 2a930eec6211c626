/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The invariants. What is checked is not what the lease code believes but what is so: by true time,
 * and by what really is in the store.
 *
 *  I1  No two holders exclude each other while both are within their lease, unless somebody has
 *      removed a live lock by force.
 *  I2  No change but a pack goes out, or takes effect, behind the fence, by true time.
 *  I3  A lease whose file was gone for a moment is never extended again by a later file, and by
 *      none at all if its holder has deleted the last one itself.
 *  I4  A backup that was reported good can be read: at every deletion, and in the end.
 *  I5  Who has given a lock back, or has not got it, leaves no file; what lands later or stays
 *      after a crash is removed by the next who want the lock.
 *  I6  Somebody always gets the lock; who waits long enough to be exclusive gets it too.
 *  I7  No lock is removed as stale whose holder could still act, and everything has an end.
 */
#ifndef HF_TESTS_SIM_ORACLE_H
#define HF_TESTS_SIM_ORACLE_H

#include "sim/world.h"

/* A lock file of this claim has got its stamp, and will be tried. */
void oracle_stamped(struct claim *c, const struct hf_id *id);

/* A change passed the gate. Returns until when it may take effect. */
int64_t oracle_sent(struct actor *a, const struct hf_name *name, bool is_del);

/* A put took effect. */
void oracle_landed(const struct hf_name *name, struct claim *c, int64_t latest);

/* An actor tries to delete a lock file. NULL: it is not its own. */
struct put *oracle_tries(struct actor *a, const struct hf_id *id);

/* A file went away; `by` NULL: by force. */
void oracle_deleted(const struct hf_name *name, struct claim *c, struct actor *by);

/* The lease counts from another base now. */
void oracle_extended(struct claim *c);

/* Given back, or not acquired. */
void oracle_over(struct claim *c);

/* I1, now. */
void oracle_holders(void);

/* What happens to packs and snapshots; set by the scenario that has them. */
extern void (*oracle_data_deleted)(const struct hf_name *name);

#endif
