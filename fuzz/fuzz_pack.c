/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The plaintext of a pack's header, behind eight bytes for the number that the lengths must add up
 * to. What is accepted must give the same bytes again.
 */
#include "fuzz.h"

#include "base/endian.h"
#include "repo/pack.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_auto(hf_pack_entries) l = {0};
	hf_auto(hf_buf) again = HF_BUF_MAX(HF_PACK_MAX_HEADER);

	if (size < 8)
		return 0;
	struct hf_bytes plain = {data + 8, size - 8};
	struct hf_err *e = hf_pack_header_parse(plain, hf_get_le64(data), &l);
	if (e != NULL) {
		hf_err_free(e);
		return 0;
	}
	hf_pack_header_add(&again, &l);
	if (again.len != plain.len)
		abort();
	if (plain.len > 0 && memcmp(again.p, plain.p, plain.len) != 0)
		abort();
	if (hf_pack_size(l.v, l.len) != hf_get_le64(data) + plain.len + 36)
		abort();
	return 0;
}
