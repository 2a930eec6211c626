/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An index file's JSON, for both versions of the repository. Whatever was added can be found, by
 * name and by number.
 */
#include "fuzz.h"

#include "repo/index.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hf_autoptr(hf_index) ix = hf_index_new();
	struct hf_location at, found;
	struct hf_blob blob;

	for (unsigned version = 1; version <= 2; version++) {
		struct hf_err *e = hf_index_parse(ix, (struct hf_bytes){data, size}, version);

		hf_err_free(e);
	}
	for (size_t i = 0; i < hf_index_len(ix); i++) {
		unsigned nth = 0;

		if (!hf_index_entry(ix, i, &blob, &at) || at.length < 32)
			abort();
		do {
			if (!hf_index_find(ix, &blob, nth++, &found))
				abort();
		} while (found.number != at.number);
	}
	return 0;
}
