/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wrapper that makes calls to another store go wrong, for tests: the calls that a plan concerns
 * are counted from 1 over all threads, and the plan says what happens to which.
 *
 * The program takes a plan as extended option, so that whole commands can be tested:
 *	holdfast -o fault.plan=fail@7 backup /home
 * A second option binds it to the existence of a file, so that a network can be cut and healed
 * while a command runs; alone, it lets every call fail:
 *	holdfast -o fault.while=/tmp/cut with-lock -- sleep 60
 */
#ifndef HF_STORE_FAULT_H
#define HF_STORE_FAULT_H

#include "store/store.h"

enum hf_fault_kind {
	HF_FAULT_NONE,
	HF_FAULT_FAIL,  /* the call does nothing and fails with `code` */
	HF_FAULT_LOST,  /* the call is carried out, but reports failure: a lost answer */
	HF_FAULT_DELAY, /* the call is late by `delay_ms` */
	HF_FAULT_SHORT, /* a get says HF_ECORRUPT after half of the bytes */
	HF_FAULT_HALF, /* a put leaves half a file behind under a name that is no id, and fails */
	HF_FAULT_FLIP, /* a get delivers, or a put stores, one wrong bit and success */
	HF_FAULT_KILL, /* the process is killed instead of the call, as by a power cut */
};

enum hf_fault_op {
	HF_FAULT_CREATE,
	HF_FAULT_PUT,
	HF_FAULT_GET,
	HF_FAULT_STAT,
	HF_FAULT_LIST,
	HF_FAULT_DEL,
};

/*
 * What happens to call number `first` and, when `lasts`, to all after it. Only calls that are
 * both in `kinds` and in `ops` are counted.
 */
struct hf_fault_plan {
	enum hf_fault_kind kind;
	enum hf_code code; /* 0 for HF_EIO */
	uint64_t first;
	bool lasts;
	unsigned delay_ms;
	unsigned kinds; /* bit mask 1 << enum hf_kind of files it concerns; 0 for all */
	unsigned ops;   /* bit mask 1 << enum hf_fault_op; 0 for all */
	/*
	 * Or NULL: only while there is a file at this path, and only then are calls counted. A
	 * delay ends with it. Copied.
	 */
	const char *while_file;
};

/* Wraps `inner`, which it takes over. */
struct hf_store *hf_store_fault(struct hf_store *inner, const struct hf_fault_plan *plan);

/* How many calls that the plan concerns have been made so far. */
uint64_t hf_store_fault_calls(const struct hf_store *s);

/*
 * Reads a plan from text: what @ number, `+` if it lasts, then words after colons, which are
 * milliseconds, kinds of files, operations, or `fatal` (HF_EFATAL instead of HF_EIO):
 *	fail@7	lost@7	fail@7+	delay@7:250	flip@3:pack	fail@1+:put:index:fatal
 */
struct hf_err *hf_fault_parse(const char *text, struct hf_fault_plan *out) HF_MUST;

#endif
