/* SPDX-License-Identifier: BSD-2-Clause */
/* The name of a blob or a file: 32 bytes, a SHA-256. Written as 64 lower-case hex digits. */
#ifndef HF_BASE_ID_H
#define HF_BASE_ID_H

#include <string.h>

#include "base/buf.h"

enum { HF_ID_LEN = 32, HF_ID_HEX = 64 };

struct hf_id {
	uint8_t b[HF_ID_LEN];
};

/* An id as text, by value, so that hf_id_hex(&id).s can stand in an argument list. */
struct hf_hex {
	char s[HF_ID_HEX + 1];
};

struct hf_hex hf_id_hex(const struct hf_id *id);

/* Exactly 64 hex digits, either case. False: it is something else, *out is untouched. */
bool hf_id_parse(struct hf_str s, struct hf_id *out);

static inline bool
hf_id_eq(const struct hf_id *a, const struct hf_id *b)
{
	return memcmp(a->b, b->b, HF_ID_LEN) == 0;
}

static inline int
hf_id_cmp(const struct hf_id *a, const struct hf_id *b)
{
	return memcmp(a->b, b->b, HF_ID_LEN);
}

bool hf_id_is_zero(const struct hf_id *id);

/* The place of `id` among `n` in any order; `n`: it is not there. For short lists. */
size_t hf_id_find(const struct hf_id *v, size_t n, const struct hf_id *id);

/* For long ones: puts `n` ids in order, and finds the place of one in a list that is. */
void hf_id_sort(struct hf_id *v, size_t n);
size_t hf_id_search(const struct hf_id *v, size_t n, const struct hf_id *id); /* `n`: none */

#endif
