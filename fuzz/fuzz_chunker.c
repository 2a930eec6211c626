/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data made of pieces that the input describes, cut by every sweep that this machine has and by
 * the byte-by-byte reference. Each 4 bytes of the input are one piece: what it is, its length in
 * steps of 61 bytes (2), and a value. The first 8 choose the polynomial.
 */
#include <assert.h>

#include "../tests/unit/chunker_ref.h"
#include "fuzz.h"

#include "codec/chunker.h"
#include "codec/sweep.h"

enum { ROOM = HF_CHUNK_MIN + (192 << 10) };

static size_t
make(const uint8_t *d, size_t size, uint8_t *out)
{
	size_t n = HF_CHUNK_MIN - HF_CHUNK_WINDOW;

	/* What nobody looks at. */
	memset(out, 0x55, n);
	for (; size >= 4; d += 4, size -= 4) {
		size_t len = 61 * (d[1] | (size_t)d[2] << 8) + d[0] / 4;
		uint32_t x = d[3] + 1u;

		len = len < ROOM - n ? len : ROOM - n;
		for (size_t i = 0; i < len; i++) {
			x = x * 1103515245 + 12345;
			if (d[0] % 4 == 0)
				out[n++] = d[3];
			else if (d[0] % 4 == 1)
				out[n++] = 0;
			else
				out[n++] = (uint8_t)(x >> 16);
		}
	}
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_poly p = 0;
	size_t n_sweeps;
	const struct hf_sweep *sweeps = hf_sweeps(&n_sweeps);
	struct ref r;

	if (size < 8)
		return 0;
	memcpy(&p, data, 8);
	p = (p & ((1ULL << 53) - 1)) | 1ULL << 53;
	(void)hf_poly_is_valid(p);
	hf_autofree uint8_t *made = malloc(ROOM);

	assert(made != NULL);
	size_t n = make(data + 8, size - 8, made);
	hf_autofree uint8_t *exact = malloc(n); /* so that ASan sees a read too far */

	assert(exact != NULL);
	memcpy(exact, made, n);
	ref_init(&r, p);
	hf_autoptr(hf_chunker) c = hf_chunker_new(p);
	size_t want = ref_cut(&r, (struct hf_bytes){exact, n});

	for (size_t i = 0; i < n_sweeps; i++) {
		c->sweep = &sweeps[i];
		assert(hf_chunker_cut(c, (struct hf_bytes){exact, n}, 0) == want);
		/* The same in two pieces. */
		size_t half = HF_CHUNK_MIN - 100 + (n - HF_CHUNK_MIN + 100) / 3;
		size_t got =
			half < n ? hf_chunker_cut(c, (struct hf_bytes){exact, half}, 0) : 0;

		if (got == 0)
			got = hf_chunker_cut(
				c, (struct hf_bytes){exact, n}, half < n ? half : 0);
		assert(got == want);
	}
	return 0;
}
