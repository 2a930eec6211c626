/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of stores have in common. */
#ifndef HF_TESTS_UNIT_LISTED_H
#define HF_TESTS_UNIT_LISTED_H

#include "store/store.h"

/* For hf_store_list() and hf_store_names(): counts what is listed in the size_t `arg`. */
static inline struct hf_err *
count_listed(void *arg, const struct hf_name *name, uint64_t size)
{
	(void)name;
	(void)size;
	++*(size_t *)arg;
	return NULL;
}

#endif
