/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/zstd.h"

#include "base/endian.h"

#include <zstd.h>

enum {
	WINDOW_LOG_READ = 27,
	PIECE = 128
		<< 10, /* frames up to that are decompressed without a window of their own */
	FIRST_ROOM = 128 << 10, /* the largest block: what one step can give */
	TRUST_RATIO = 64,       /* believed of an announced size; more memory must be earned */
};

/*
 * Levels of libzstd: the fastest ones whose result is not larger than that of restic 0.19 in the
 * mode of the same name. Measured with 248 MB of Linux source (15092 blobs) and 548 MB of shared
 * libraries (918 blobs); data blobs in MB:
 *
 *	mode      level   source, restic   libraries, restic
 *	fastest       2    67.1     69.7      193.4     201.5
 *	auto          3    64.6     65.3      184.8     189.2
 *	better        5    60.7     62.3      178.0     186.1
 *	max           9    58.6     59.1      172.2     174.7
 *
 * One level less is larger than restic's for one of the two, except for max, where level 8 is
 * within half a percent. None has a window above 2^23 (the levels up to 18 stop at 2^22), so that
 * no limit need be set.
 */
static const int levels[] = {
	[HF_COMPRESS_AUTO] = 3,
	[HF_COMPRESS_OFF] = 3,
	[HF_COMPRESS_FASTEST] = 2,
	[HF_COMPRESS_BETTER] = 5,
	[HF_COMPRESS_MAX] = 9,
};

/*
 * For what is longer than LARGE, libzstd doubles the tables of level 3, which then have less room in a
 * processor's second cache. Halved again they make it compress such blobs by a seventh faster (276
 * instead of 243 MB/s), to 0.7 to 1.1 % more: libraries are at 0.986 of restic's size instead of 0.976.
 * Halved once more, they would be at 1.000.
 */
enum {
	LARGE = 256 << 10,
	LARGE_LEVEL = 3,
	LARGE_HASH_LOG = 16,  /* 17 */
	LARGE_CHAIN_LOG = 15, /* 16 */
};

struct hf_zstd {
	ZSTD_CCtx *c;         /* made at the first use */
	bool is_large;        /* what it is set for */
	ZSTD_DCtx *d;         /* the same */
	uint8_t *piece;       /* PIECE bytes, made at the first use */
	struct hf_bytes rest; /* of what hf_zstd_more() reads */
	bool is_inside;       /* a frame */
	int level;
	int window_log; /* 0: the level's */
};

struct hf_zstd *
hf_zstd_new(enum hf_compression mode)
{
	struct hf_zstd *z = hf_new(struct hf_zstd);

	z->level = levels[mode];
	return z;
}

void
hf_zstd_free(struct hf_zstd *z)
{
	if (z == NULL)
		return;
	ZSTD_freeCCtx(z->c);
	ZSTD_freeDCtx(z->d);
	free(z->piece);
	free(z);
}

void
hf_zstd_window(struct hf_zstd *z, int log)
{
	z->window_log = log;
}

size_t
hf_zstd_bound(size_t n)
{
	return ZSTD_compressBound(n);
}

/* The parameters stay set from one frame to the next. */
static struct hf_err *
compressor(struct hf_zstd *z)
{
	if (z->c != NULL)
		return NULL;
	ZSTD_CCtx *c = ZSTD_createCCtx();

	if (c == NULL)
		return hf_err(HF_EFATAL, "out of memory for a compressor");
	ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, z->level);
	ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, z->window_log);
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 1);
	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 0);
	ZSTD_CCtx_setParameter(c, ZSTD_c_dictIDFlag, 0);
	z->c = c;
	return NULL;
}

static struct hf_err *
decompressor(struct hf_zstd *z)
{
	if (z->d != NULL)
		return NULL;
	ZSTD_DCtx *d = ZSTD_createDCtx();

	if (d == NULL)
		return hf_err(HF_EFATAL, "out of memory for a decompressor");
	ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, WINDOW_LOG_READ);
	z->d = d;
	return NULL;
}

/* Chooses the tables for `len` bytes; 0 is the level's own choice. */
static void
set_tables(struct hf_zstd *z, size_t len)
{
	bool is_large = z->level == LARGE_LEVEL && len > LARGE;

	if (is_large == z->is_large)
		return;
	z->is_large = is_large;
	ZSTD_CCtx_setParameter(z->c, ZSTD_c_hashLog, is_large ? LARGE_HASH_LOG : 0);
	ZSTD_CCtx_setParameter(z->c, ZSTD_c_chainLog, is_large ? LARGE_CHAIN_LOG : 0);
}

struct hf_err *
hf_zstd_pack(struct hf_zstd *z, struct hf_bytes in, uint8_t *out, size_t *out_len)
{
	HF_TRY(compressor(z));
	set_tables(z, in.len);
	size_t n = ZSTD_compress2(z->c, out, hf_zstd_bound(in.len), in.p, in.len);

	if (ZSTD_isError(n))
		return hf_err(HF_EFATAL, "compressing: %s", ZSTD_getErrorName(n));
	*out_len = n;
	return NULL;
}

static struct hf_err *
corrupt(size_t n)
{
	return hf_err(HF_ECORRUPT, "decompressing: %s", ZSTD_getErrorName(n));
}

/*
 * True when a frame of today's format or a skippable one begins here. libzstd may have been built
 * with decoders for the formats before 0.8, which nothing in a repository uses.
 */
static bool
is_frame(struct hf_bytes in)
{
	if (in.len < 4)
		return false;
	uint32_t magic = hf_get_le32(in.p);

	return magic == ZSTD_MAGICNUMBER ||
	       (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

struct hf_err *
hf_zstd_unpack(struct hf_zstd *z, struct hf_bytes in, uint8_t *out, size_t len)
{
	size_t done = 0;

	HF_TRY(decompressor(z));
	do {
		if (!is_frame(in))
			return hf_err(HF_ECORRUPT, "decompressing: not a zstd frame");
		size_t size = ZSTD_findFrameCompressedSize(in.p, in.len);

		if (ZSTD_isError(size))
			return corrupt(size);
		size_t n = ZSTD_decompressDCtx(z->d, out + done, len - done, in.p, size);

		if (ZSTD_isError(n))
			return corrupt(n);
		done += n;
		in.p += size;
		in.len -= size;
	} while (in.len > 0);
	if (done != len)
		return hf_err(
			HF_ECORRUPT, "decompressing: %zu bytes instead of %zu", done, len);
	return NULL;
}

struct hf_err *
hf_zstd_compare(struct hf_zstd *z, struct hf_bytes in, struct hf_bytes plain, bool *is_same)
{
	ZSTD_inBuffer from = {in.p, in.len, 0};
	size_t left = 1, done = 0;

	HF_TRY(decompressor(z));
	if (z->piece == NULL)
		z->piece = hf_alloc_(PIECE, 1);
	ZSTD_DCtx_reset(z->d, ZSTD_reset_session_only);
	*is_same = false;
	while (left != 0) {
		ZSTD_outBuffer to = {z->piece, PIECE, 0};
		size_t before = from.pos;

		left = ZSTD_decompressStream(z->d, &to, &from);
		if (ZSTD_isError(left) || to.pos > plain.len - done ||
			(to.pos > 0 && memcmp(z->piece, plain.p + done, to.pos) != 0))
			return NULL;
		done += to.pos;
		if (left != 0 && to.pos == 0 && from.pos == before)
			return NULL;
	}
	*is_same = done == plain.len && from.pos == in.len;
	return NULL;
}

/* One frame, as far as the buffer may grow; *used is its length. */
static struct hf_err *
unpack_frame(struct hf_zstd *z, struct hf_bytes in, struct hf_buf *out, size_t *used)
{
	unsigned long long size = ZSTD_getFrameContentSize(in.p, in.len);
	ZSTD_inBuffer from = {in.p, in.len, 0};
	size_t left = 1;
	size_t room = FIRST_ROOM;

	/* All at once, without a window of its own, if that is not too good to be true. */
	if (size != ZSTD_CONTENTSIZE_UNKNOWN && size != ZSTD_CONTENTSIZE_ERROR &&
		size / TRUST_RATIO <= in.len && size > 0)
		room = (size_t)size;
	ZSTD_DCtx_reset(z->d, ZSTD_reset_session_only);
	while (left != 0) {
		size_t most = out->max - out->len;

		HF_TRY(hf_buf_reserve(out, room < most ? room : most));
		ZSTD_outBuffer to = {out->p, out->cap, out->len};
		size_t before = from.pos;

		left = ZSTD_decompressStream(z->d, &to, &from);
		if (ZSTD_isError(left))
			return corrupt(left);
		bool is_stuck = to.pos == out->len && from.pos == before;

		out->len = to.pos;
		if (left != 0 && is_stuck && out->len == out->max)
			return hf_err(
				HF_ECORRUPT, "decompressing: more than %zu bytes", out->max);
		if (left != 0 && is_stuck)
			return hf_err(HF_ECORRUPT, "decompressing: the frame is cut");
		room = FIRST_ROOM;
	}
	*used = from.pos;
	return NULL;
}

struct hf_err *
hf_zstd_unpack_all(struct hf_zstd *z, struct hf_bytes in, struct hf_buf *out)
{
	HF_TRY(decompressor(z));
	do {
		size_t used = 0;

		if (!is_frame(in))
			return hf_err(HF_ECORRUPT, "decompressing: not a zstd frame");
		HF_TRY(unpack_frame(z, in, out, &used));
		in.p += used;
		in.len -= used;
	} while (in.len > 0);
	return NULL;
}

struct hf_err *
hf_zstd_begin(struct hf_zstd *z, struct hf_bytes in)
{
	HF_TRY(decompressor(z));
	ZSTD_DCtx_reset(z->d, ZSTD_reset_session_only);
	z->rest = in;
	z->is_inside = false;
	return NULL;
}

struct hf_err *
hf_zstd_more(struct hf_zstd *z, uint8_t *out, size_t room, size_t *got)
{
	ZSTD_outBuffer to = {out, room, 0};

	while (to.pos < room && (z->is_inside || z->rest.len > 0)) {
		ZSTD_inBuffer from = {z->rest.p, z->rest.len, 0};
		size_t before = to.pos;

		if (!z->is_inside && !is_frame(z->rest))
			return hf_err(HF_ECORRUPT, "decompressing: not a zstd frame");
		size_t left = ZSTD_decompressStream(z->d, &to, &from);
		if (ZSTD_isError(left))
			return corrupt(left);
		if (left != 0 && to.pos == before && from.pos == 0)
			return hf_err(HF_ECORRUPT, "decompressing: the frame is cut");
		z->is_inside = left != 0;
		z->rest.p += from.pos;
		z->rest.len -= from.pos;
	}
	*got = to.pos;
	return NULL;
}

void
hf_zstd_end(struct hf_zstd *z)
{
	ZSTD_freeDCtx(hf_steal(z->d));
}
