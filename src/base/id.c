/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/id.h"

struct hf_hex
hf_id_hex(const struct hf_id *id)
{
	static const char digit[] = "0123456789abcdef";
	struct hf_hex h;

	for (size_t i = 0; i < HF_ID_LEN; i++) {
		h.s[2 * i] = digit[id->b[i] >> 4];
		h.s[2 * i + 1] = digit[id->b[i] & 15];
	}
	h.s[HF_ID_HEX] = 0;
	return h;
}

static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
hf_id_parse(struct hf_str s, struct hf_id *out)
{
	struct hf_id id;

	if (s.len != HF_ID_HEX)
		return false;
	for (size_t i = 0; i < HF_ID_LEN; i++) {
		int hi = nibble(s.p[2 * i]), lo = nibble(s.p[2 * i + 1]);

		if ((hi | lo) < 0)
			return false;
		id.b[i] = (uint8_t)(hi << 4 | lo);
	}
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
