/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/id.h"

#include <stdlib.h>

#include "base/endian.h"

struct hf_hex
hf_id_hex(const struct hf_id *id)
{
	const uint64_t ones = 0x0101010101010101;
	struct hf_hex h;

	/* Four bytes become eight digits side by side, one in each byte of a word. */
	for (size_t i = 0; i < HF_ID_LEN; i += 4) {
		uint64_t v = hf_get_be32(id->b + i);

		v = (v << 16 | v) & 0x0000ffff0000ffff;
		v = (v << 8 | v) & 0x00ff00ff00ff00ff;
		v = (v << 4 | v) & 0x0f0f0f0f0f0f0f0f;
		uint64_t is_letter = (v + 6 * ones) >> 4 & ones;

		v += ones * '0' + is_letter * ('a' - '0' - 10);
		hf_put_be64((uint8_t *)h.s + 2 * i, v);
	}
	h.s[HF_ID_HEX] = 0;
	return h;
}

/* The value of a hex digit, with bit 4 set; 0: it is not one. */
static const uint8_t hex_value[256] = {
	['0'] = 16,
	['1'] = 17,
	['2'] = 18,
	['3'] = 19,
	['4'] = 20,
	['5'] = 21,
	['6'] = 22,
	['7'] = 23,
	['8'] = 24,
	['9'] = 25,
	['a'] = 26,
	['b'] = 27,
	['c'] = 28,
	['d'] = 29,
	['e'] = 30,
	['f'] = 31,
	['A'] = 26,
	['B'] = 27,
	['C'] = 28,
	['D'] = 29,
	['E'] = 30,
	['F'] = 31,
};

/* Without a branch per digit: an index holds millions of ids. */
bool
hf_id_parse(struct hf_str s, struct hf_id *out)
{
	struct hf_id id;
	uint8_t all = 16;

	if (s.len != HF_ID_HEX)
		return false;
	for (size_t i = 0; i < HF_ID_LEN; i++) {
		uint8_t hi = hex_value[(uint8_t)s.p[2 * i]];
		uint8_t lo = hex_value[(uint8_t)s.p[2 * i + 1]];

		all &= hi & lo;
		id.b[i] = (uint8_t)(hi << 4 | (lo & 15));
	}
	if (all != 16)
		return false;
	*out = id;
	return true;
}

bool
hf_id_is_zero(const struct hf_id *id)
{
	uint8_t any = 0;

	for (size_t i = 0; i < HF_ID_LEN; i++)
		any |= id->b[i];
	return any == 0;
}

size_t
hf_id_find(const struct hf_id *v, size_t n, const struct hf_id *id)
{
	size_t i = 0;

	while (i < n && !hf_id_eq(&v[i], id))
		i++;
	return i;
}

static int
in_order(const void *a, const void *b)
{
	return hf_id_cmp(a, b);
}

void
hf_id_sort(struct hf_id *v, size_t n)
{
	if (n > 1)
		qsort(v, n, sizeof *v, in_order);
}

size_t
hf_id_search(const struct hf_id *v, size_t n, const struct hf_id *id)
{
	const struct hf_id *found = n > 0 ? bsearch(id, v, n, sizeof *v, in_order) : NULL;

	return found != NULL ? (size_t)(found - v) : n;
}
