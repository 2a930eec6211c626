/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zstd by libzstd, with the limits of restic-format 3.5: one frame, content size present, window
 * at most 2^23 when writing; up to 2^27 when reading, no dictionary.
 */
#ifndef HF_CODEC_ZSTD_H
#define HF_CODEC_ZSTD_H

#include "base/buf.h"

enum hf_compression {
	HF_COMPRESS_AUTO, /* the default */
	HF_COMPRESS_OFF, /* data blobs stay plain; trees and files are compressed all the same */
	HF_COMPRESS_FASTEST,
	HF_COMPRESS_BETTER,
	HF_COMPRESS_MAX,
};

/* Contexts for both directions. Belongs to one thread at a time; make one per thread. */
struct hf_zstd;
struct hf_zstd *hf_zstd_new(enum hf_compression mode);
void hf_zstd_free(struct hf_zstd *z);
HF_AUTOPTR(hf_zstd)

/* Limits the window of what it writes to 2^log bytes; before the first frame is written. */
void hf_zstd_window(struct hf_zstd *z, int log);

/* Room that the compressed form of `n` bytes can need. */
size_t hf_zstd_bound(size_t n);

/* Writes one frame to `out` (room for hf_zstd_bound(in.len)) and its length to *out_len. */
struct hf_err *hf_zstd_pack(
	struct hf_zstd *z, struct hf_bytes in, uint8_t *out, size_t *out_len) HF_MUST;

/*
 * Decompresses all frames of `in` into exactly `len` bytes at `out`. HF_ECORRUPT: not zstd, cut,
 * wrong checksum, or another length.
 */
struct hf_err *hf_zstd_unpack(
	struct hf_zstd *z, struct hf_bytes in, uint8_t *out, size_t len) HF_MUST;

/*
 * Whether the one frame `in` decompresses to exactly `plain`. Compares piece by piece, so that no
 * room for the whole is needed.
 */
struct hf_err *hf_zstd_compare(
	struct hf_zstd *z, struct hf_bytes in, struct hf_bytes plain, bool *is_same) HF_MUST;

/*
 * The same piece by piece, so that no more than a window of it is in memory. hf_zstd_begin() says
 * what comes next is `in`, which outlives it; each hf_zstd_more() writes up to `room` bytes, 0 at
 * the end. hf_zstd_end() frees the window; it may come at any time.
 */
struct hf_err *hf_zstd_begin(struct hf_zstd *z, struct hf_bytes in) HF_MUST;
struct hf_err *hf_zstd_more(struct hf_zstd *z, uint8_t *out, size_t room, size_t *got) HF_MUST;
void hf_zstd_end(struct hf_zstd *z);

/* As hf_zstd_unpack() for an unknown length: appends to `out`, whose maximum is the limit. */
struct hf_err *hf_zstd_unpack_all(
	struct hf_zstd *z, struct hf_bytes in, struct hf_buf *out) HF_MUST;

#endif
