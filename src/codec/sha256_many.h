/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SHA-256 of many byte strings at once, for whoever has several of them at hand: the steps of one
 * hash wait for each other, those of different ones do not (ADR 17).
 *
 *	while there is a string:
 *		if hf_many_is_full(m): hf_many_end(m, …), and use what came
 *		hf_many_add(m, …)
 *	while hf_many_end(m, …): use what came
 *
 * Strings of different lengths do as well as those of one: when one has come to its end, the others
 * have come as far, and the next one goes on beside them. They come out roughly in the order of
 * their lengths, not in the order in which they were added.
 */
#ifndef HF_CODEC_SHA256_MANY_H
#define HF_CODEC_SHA256_MANY_H

#include "base/id.h"

/* How it is computed; which one is the fastest is measured once per process. */
enum hf_many_way {
	HF_MANY_FASTEST,
	HF_MANY_SIXTEEN, /* AVX-512 */
	HF_MANY_PAIRS,   /* the SHA instructions of x86, two strings at a time */
	HF_MANY_SINGLE,  /* libcrypto, one after the other */
};

/* Belongs to one thread at a time. */
struct hf_many;
struct hf_many *hf_many_new(void);
void hf_many_free(struct hf_many *m);
HF_AUTOPTR(hf_many)

/* One that is computed in this way; NULL: this machine cannot. For tests and measurements. */
struct hf_many *hf_many_new_of(enum hf_many_way way);

/* Never more than so many are in flight. */
enum { HF_MANY_MAX = 16 };

/* How many are in flight when it is full, and fast. */
unsigned hf_many_width(const struct hf_many *m);

/* Then one has to be ended before the next one is added. */
bool hf_many_is_full(const struct hf_many *m);

/* The bytes stay where they are, and as they are, until this one is ended. `tag` is the caller's. */
void hf_many_add(struct hf_many *m, struct hf_bytes bytes, void *tag);

/* Goes on until one is done, and tells its hash. False: there was none in flight. */
bool hf_many_end(struct hf_many *m, struct hf_id *id, void **tag);

/*
 * A long string beside the others, one at a time, whose bytes need not stay as they are: it goes on
 * to certain places of it, and what lies before such a place may be overwritten. For a pack that is
 * hashed before each of the blobs in it is opened in place. One chain is one chain: it is no faster
 * than hf_sha256(), but where others go in pairs, one of those that are in flight goes on beside it.
 *
 * hf_many_long() begins; hf_many_long_to() goes on to the byte `end` at least; hf_many_long_end()
 * goes on to the end.
 */
void hf_many_long(struct hf_many *m, struct hf_bytes bytes);
void hf_many_long_to(struct hf_many *m, uint64_t end);
struct hf_id hf_many_long_end(struct hf_many *m);

#endif
