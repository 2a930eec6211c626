/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wrapper that makes calls to another store go wrong, for tests: each call has a number,
 * counted from 1 over all threads, and a plan says what happens to which.
 */
#ifndef HF_STORE_FAULT_H
#define HF_STORE_FAULT_H

#include "store/store.h"

enum hf_fault_kind {
	HF_FAULT_NONE,
	HF_FAULT_FAIL,  /* the call does nothing and fails with `code` */
	HF_FAULT_LOST,  /* the call is carried out, but reports failure: a lost answer */
	HF_FAULT_DELAY, /* the call is late by `delay_ms` */
	HF_FAULT_SHORT, /* a get delivers half of the bytes and says HF_ECORRUPT */
	HF_FAULT_HALF, /* a put leaves half a file behind under a name that is no id, and fails */
	HF_FAULT_FLIP, /* a get delivers one wrong bit and success */
};

/* What happens to call number `first` and, when `lasts`, to all after it. */
struct hf_fault_plan {
	enum hf_fault_kind kind;
	enum hf_code code;
	uint64_t first;
	bool lasts;
	unsigned delay_ms;
	unsigned kinds; /* bit mask 1 << enum hf_kind of files it concerns; 0 for all */
};

/* Wraps `inner`, which it takes over. */
struct hf_store *hf_store_fault(struct hf_store *inner, const struct hf_fault_plan *plan);

/* How many calls have been made so far. */
uint64_t hf_store_fault_calls(const struct hf_store *s);

/*
 * Reads a plan from text, "fail@7", "lost@7", "fail@7+" (lasting), "delay@7:250", "flip@3:pack":
 * the form in which the tests hand it to the program.
 */
struct hf_err *hf_fault_parse(const char *text, struct hf_fault_plan *out) HF_MUST;

#endif
