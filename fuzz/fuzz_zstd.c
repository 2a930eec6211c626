/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of any bytes. Both ways of reading must agree: what one accepts has the length and the
 * bytes that the other one finds. The first two bytes choose the announced length.
 */
#include <assert.h>

#include "fuzz.h"

#include "codec/zstd.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);
	hf_auto(hf_buf) all = HF_BUF_MAX(1 << 20);

	if (size < 2)
		return 0;
	size_t len = (size_t)data[0] | (size_t)data[1] << 8;
	struct hf_bytes in = {data + 2, size - 2};
	hf_autofree uint8_t *out = malloc(len + 1);

	assert(out != NULL);
	struct hf_err *e = hf_zstd_unpack_all(z, in, &all);

	if (e == NULL && all.len < 65536) {
		hf_autofree uint8_t *exact = malloc(all.len + 1);

		assert(exact != NULL);
		struct hf_err *again = hf_zstd_unpack(z, in, exact, all.len);

		assert(again == NULL);
		assert(all.len == 0 || memcmp(exact, all.p, all.len) == 0);
	}
	struct hf_err *given = hf_zstd_unpack(z, in, out, len);

	if (given == NULL && e == NULL)
		assert(all.len == len && (len == 0 || memcmp(out, all.p, len) == 0));
	hf_err_free(given);
	hf_err_free(e);
	return 0;
}
