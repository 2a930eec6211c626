/* SPDX-License-Identifier: BSD-2-Clause */
/* The header of a pack that lies in the store: one read for most, two for long headers. */
#include "repo/pack.h"

/* Entries of some two hundred blobs; asking for less would not be faster anywhere. */
enum { FIRST_READ = 8 << 10 };

struct hf_err *
hf_pack_entries_load(struct hf_repo *repo, struct hf_aead *aead, const struct hf_id *pack,
	uint64_t size, struct hf_pack_entries *out)
{
	struct hf_store *store = hf_repo_store(repo);
	struct hf_name name = {HF_PACK, *pack};
	hf_auto(hf_buf) tail = HF_BUF_MAX(HF_PACK_MAX_HEADER + 4);
	size_t first = size < FIRST_READ ? (size_t)size : FIRST_READ;
	uint32_t len;

	if (size < HF_PACK_MIN_FILE)
		return hf_err(HF_ECORRUPT, "pack %.8s: file of %ju bytes is too short",
			hf_id_hex(pack).s, (uintmax_t)size);
	HF_TRY(hf_err_in(hf_store_get(store, &name, size - first, first, &tail),
		"pack %.8s: reading the header", hf_id_hex(pack).s));
	HF_TRY(hf_err_in(hf_pack_header_len(tail.p + tail.len - 4, size, &len), "pack %.8s",
		hf_id_hex(pack).s));
	if ((size_t)len + 4 > first) {
		hf_buf_reset(&tail);
		HF_TRY(hf_err_in(
			hf_store_get(store, &name, size - len - 4, (size_t)len + 4, &tail),
			"pack %.8s: reading the header", hf_id_hex(pack).s));
	}
	return hf_err_in(hf_pack_header_open(aead, hf_buf_bytes(&tail), size, out), "pack %.8s",
		hf_id_hex(pack).s);
}
