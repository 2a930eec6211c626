/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pack files (restic-format 4): sealed blobs one after the other, the sealed header, and the
 * header's length. A pack is built in memory, or in a spilled buffer when packs are large.
 */
#ifndef HF_REPO_PACK_H
#define HF_REPO_PACK_H

#include "codec/aead.h"
#include "repo/blob.h"
#include "repo/repo.h"

enum {
	HF_PACK_MAX_HEADER = 16 << 20,
	HF_PACK_MAX_ENTRIES = 409199,
	HF_PACK_MIN_FILE = 73,
};

/* Bytes of header that an entry needs; with 36 more (seal, length) for the whole header. */
static inline size_t
hf_pack_entry_len(const struct hf_pack_entry *e)
{
	return e->raw_length != 0 ? 41 : 37;
}

/* The size that a pack file with exactly these entries has. */
uint64_t hf_pack_size(const struct hf_pack_entry *entries, size_t n);

/* A list of entries that grows; owned by whoever has it. */
struct hf_pack_entries {
	struct hf_pack_entry *v;
	size_t len, cap;
};

void hf_pack_entries_clear(struct hf_pack_entries *l);
void hf_pack_entries_reset(struct hf_pack_entries *l); /* empties it, keeps the memory */
void hf_pack_entries_add(struct hf_pack_entries *l, const struct hf_pack_entry *e);

/* Appends the plaintext of the header of `entries` to `out`. */
void hf_pack_header_add(struct hf_buf *out, const struct hf_pack_entries *entries);

/*
 * Reads a header's plaintext; offsets are computed from the lengths and must stay below `blobs`
 * bytes in total. Replaces what *out holds. HF_ECORRUPT: unknown type, cut entry, lengths that do
 * not add up to `blobs`.
 */
struct hf_err *hf_pack_header_parse(
	struct hf_bytes plain, uint64_t blobs, struct hf_pack_entries *out) HF_MUST;

/*
 * Reads the entries of a whole pack file in memory, or of a pack in the store of which `size` is
 * known (two reads at most). HF_ECORRUPT: says what is wrong.
 */
struct hf_err *hf_pack_entries_of(
	struct hf_aead *aead, struct hf_bytes file, struct hf_pack_entries *out) HF_MUST;
struct hf_err *hf_pack_entries_load(struct hf_repo *repo, struct hf_aead *aead,
	const struct hf_id *pack, uint64_t size, struct hf_pack_entries *out) HF_MUST;

/*
 * The steps of the above. The length of the sealed header from the last four bytes of a file of
 * `size` bytes, checked against every limit; and the entries, when `tail` is the end of the file
 * with the whole header in it (HF_EINVAL: it is not).
 */
struct hf_err *hf_pack_header_len(
	const uint8_t last[static 4], uint64_t size, uint32_t *len) HF_MUST;
struct hf_err *hf_pack_header_open(struct hf_aead *aead, struct hf_bytes tail, uint64_t size,
	struct hf_pack_entries *out) HF_MUST;

#endif
