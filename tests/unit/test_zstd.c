/* SPDX-License-Identifier: BSD-2-Clause */
/* libzstd's plain functions are the oracle in both directions; what is hostile is refused. */
#include "codec/zstd.h"
#include "harness/test.h"

#include <stdlib.h>
#include <zstd.h>

static const enum hf_compression modes[] = {HF_COMPRESS_AUTO, HF_COMPRESS_OFF,
	HF_COMPRESS_FASTEST, HF_COMPRESS_BETTER, HF_COMPRESS_MAX};

/* Text-like: words of a small vocabulary. */
static void
fill(uint8_t *p, size_t n, unsigned seed)
{
	static const char words[] = "the quick brown fox jumps over static struct return ";

	for (size_t i = 0; i < n;) {
		size_t at = (size_t)rand_r(&seed) % 40, len = 2 + (size_t)rand_r(&seed) % 10;

		for (size_t k = 0; k < len && i < n; k++)
			p[i++] = (uint8_t)words[at + k];
	}
}

TEST(zstd_round_trip)
{
	static const size_t lens[] = {0, 1, 255, 256, 1024, 1025, 65791, 65792, 524288, 524289};
	hf_autofree uint8_t *in = malloc(1 << 20);
	hf_autofree uint8_t *back = malloc(1 << 20);
	hf_autofree uint8_t *out = malloc(hf_zstd_bound(1 << 20));

	fill(in, 1 << 20, 7);
	for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
		hf_autoptr(hf_zstd) z = hf_zstd_new(modes[m]);

		for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
			struct hf_buf all = HF_BUF_MAX(lens[i]);
			size_t n;

			REQUIRE_OK(hf_zstd_pack(z, (struct hf_bytes){in, lens[i]}, out, &n));
			/* One frame with its size, no checksum, no dictionary. */
			CHECK_EQ(ZSTD_getFrameContentSize(out, n), lens[i]);
			CHECK_EQ(ZSTD_findFrameCompressedSize(out, n), n);
			CHECK_EQ(out[4] & 0x07, 0);
			CHECK_EQ(ZSTD_decompress(back, 1 << 20, out, n), lens[i]);
			CHECK_MEM(back, in, lens[i]);
			memset(back, 0, lens[i]);
			CHECK_OK(hf_zstd_unpack(z, (struct hf_bytes){out, n}, back, lens[i]));
			CHECK_MEM(back, in, lens[i]);
			CHECK_OK(hf_zstd_unpack_all(z, (struct hf_bytes){out, n}, &all));
			CHECK_EQ(all.len, lens[i]);
			CHECK_MEM(all.p, in, lens[i]);
			hf_buf_clear(&all);
		}
	}
}

/* A decoder with a window of 2^23 reads 20 MiB of every mode: streaming makes it look. */
TEST(zstd_window)
{
	enum { N = 20 << 20 };
	hf_autofree uint8_t *in = malloc(N);
	hf_autofree uint8_t *out = malloc(hf_zstd_bound(N));
	hf_autofree uint8_t *back = malloc(N);

	fill(in, N, 8);
	for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
		hf_autoptr(hf_zstd) z = hf_zstd_new(modes[m]);
		ZSTD_DCtx *d = ZSTD_createDCtx();
		size_t n, left = 1;

		REQUIRE_OK(hf_zstd_pack(z, (struct hf_bytes){in, N}, out, &n));
		ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 23);
		ZSTD_inBuffer from = {out, n, 0};

		for (size_t total = 0; left != 0;) {
			ZSTD_outBuffer to = {back, 100000, 0};

			left = ZSTD_decompressStream(d, &to, &from);
			REQUIRE(!ZSTD_isError(left));
			REQUIRE(memcmp(back, in + total, to.pos) == 0);
			total += to.pos;
		}
		ZSTD_freeDCtx(d);
	}
}

/* Frames as others write them: without a size, with a checksum, several, and skippable ones. */
static size_t
strange(const uint8_t *in, size_t len, uint8_t *out, size_t room, bool skip)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t half = len / 2, n = 0;

	ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
	if (skip) {
		memcpy(out, "\x53\x2a\x4d\x18\x05\0\0\0hello", 13);
		n = 13;
	}
	n += ZSTD_compress2(c, out + n, room - n, in, half);
	if (skip) {
		memcpy(out + n, "\x50\x2a\x4d\x18\0\0\0\0", 8);
		n += 8;
	}
	n += ZSTD_compress2(c, out + n, room - n, in + half, len - half);
	ZSTD_freeCCtx(c);
	return n;
}

TEST(zstd_strange_frames)
{
	enum { N = 300000 };
	hf_autofree uint8_t *in = malloc(N);
	hf_autofree uint8_t *back = malloc(N + 1);
	size_t room = hf_zstd_bound(N) + 1000;
	hf_autofree uint8_t *out = malloc(room);
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);

	fill(in, N, 9);
	for (int skip = 0; skip < 2; skip++) {
		struct hf_buf all = HF_BUF_MAX(N + 3);
		struct hf_buf tight = HF_BUF_MAX(N - 1);
		size_t n = strange(in, N, out, room, skip);
		struct hf_bytes b = {out, n};

		REQUIRE_EQ(ZSTD_getFrameContentSize(out + (skip ? 13 : 0), n),
			ZSTD_CONTENTSIZE_UNKNOWN);
		CHECK_OK(hf_zstd_unpack(z, b, back, N));
		CHECK_MEM(back, in, N);
		hf_buf_add(&all, "abc", 3); /* it appends */
		CHECK_OK(hf_zstd_unpack_all(z, b, &all));
		CHECK_EQ(all.len, N + 3);
		CHECK_MEM(all.p, "abc", 3);
		CHECK_MEM(all.p + 3, in, N);
		CHECK_ERR(hf_zstd_unpack(z, b, back, N - 1), HF_ECORRUPT);
		CHECK_ERR(hf_zstd_unpack(z, b, back, N + 1), HF_ECORRUPT);
		CHECK_ERR(hf_zstd_unpack_all(z, b, &tight), HF_ECORRUPT);
		hf_buf_clear(&all);
		hf_buf_clear(&tight);
		out[n - 1] ^= 1; /* the checksum of the second frame */
		CHECK_ERR(hf_zstd_unpack(z, b, back, N), HF_ECORRUPT);
		CHECK_ERR(hf_zstd_unpack_all(z, b, &all), HF_ECORRUPT);
		hf_buf_clear(&all);
	}
}

static void
refuse(struct hf_zstd *z, struct hf_bytes b, size_t len)
{
	uint8_t back[4096];
	struct hf_buf all = HF_BUF_MAX(sizeof back);

	REQUIRE(len <= sizeof back);
	CHECK_ERR(hf_zstd_unpack(z, b, back, len), HF_ECORRUPT);
	CHECK_ERR(hf_zstd_unpack_all(z, b, &all), HF_ECORRUPT);
	hf_buf_clear(&all);
}

TEST(zstd_refuses)
{
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);
	uint8_t in[1000], out[2000], back[1000];
	size_t n;

	fill(in, sizeof in, 10);
	REQUIRE_OK(hf_zstd_pack(z, (struct hf_bytes){in, sizeof in}, out, &n));
	for (size_t cut = 0; cut < n; cut++)
		refuse(z, (struct hf_bytes){out, cut}, sizeof in);
	out[n] = 0; /* something behind the frame */
	refuse(z, (struct hf_bytes){out, n + 1}, sizeof in);
	memcpy(out + n, out, 3); /* half a magic number */
	refuse(z, (struct hf_bytes){out, n + 3}, sizeof in);
	refuse(z, (struct hf_bytes){in, sizeof in}, sizeof in);
	/* A frame of format 0.7, which libzstd may know. */
	refuse(z, (struct hf_bytes){(const uint8_t *)"\x27\xb5\x2f\xfd\0\0\0\0\0\0", 10}, 0);
	/* Dictionary 1 demanded. */
	refuse(z, (struct hf_bytes){(const uint8_t *)"\x28\xb5\x2f\xfd\x21\1\0\1\0\0", 10}, 0);
	/* And it still works after all that. */
	CHECK_OK(hf_zstd_unpack(z, (struct hf_bytes){out, n}, back, sizeof in));
	CHECK_MEM(back, in, sizeof in);
}

/* 2^40 bytes announced by a frame of 16: nothing near that may be reserved. */
TEST(zstd_bomb)
{
	static const uint8_t bomb[] = {
		0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x58, 0, 0, 0, 0, 0, 1, 0, 0, 0x03, 0, 0, 'x'};
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);
	struct hf_buf all = HF_BUF_MAX(SIZE_MAX / 2);

	CHECK_ERR(
		hf_zstd_unpack_all(z, (struct hf_bytes){bomb, sizeof bomb}, &all), HF_ECORRUPT);
	CHECK(all.cap < 1 << 20);
	hf_buf_clear(&all);
	/* A window of 2^28. */
	static const uint8_t wide[] = {0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 0x0b, 0, 0, 'x'};

	CHECK_ERR(
		hf_zstd_unpack_all(z, (struct hf_bytes){wide, sizeof wide}, &all), HF_ECORRUPT);
	hf_buf_clear(&all);
}

/* All frames, skippable ones too, in pieces of any size. */
TEST(zstd_piece_by_piece)
{
	enum { N = 3 << 20 };
	hf_autofree uint8_t *in = malloc(N), *out = malloc(2 * hf_zstd_bound(N) + 16);
	hf_autofree uint8_t *back = malloc(2 * N);
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3};
	size_t n, n2, got;

	fill(in, N, 5);
	hf_zstd_window(z, 16);
	REQUIRE_OK(hf_zstd_pack(z, (struct hf_bytes){in, N}, out, &n));
	memcpy(out + n, skippable, sizeof skippable);
	n += sizeof skippable;
	REQUIRE_OK(hf_zstd_pack(z, (struct hf_bytes){in, N}, out + n, &n2));
	for (size_t room = 1000; room < 2 * N; room = room * 5 + 1) {
		size_t done = 0;

		REQUIRE_OK(hf_zstd_begin(z, (struct hf_bytes){out, n + n2}));
		do {
			size_t most = 2 * N - done < room ? 2 * N - done : room;

			REQUIRE_OK(hf_zstd_more(z, back + done, most, &got));
			done += got;
		} while (got > 0 && done < 2 * N);
		REQUIRE_OK(hf_zstd_more(z, back, 1, &got));
		CHECK_EQ(got, 0);
		CHECK_EQ(done, 2 * N);
		CHECK(memcmp(back, in, N) == 0 && memcmp(back + N, in, N) == 0);
		hf_zstd_end(z);
	}

	/* Cut, and no frame at all. */
	REQUIRE_OK(hf_zstd_begin(z, (struct hf_bytes){out, n + n2 - 1}));
	hf_autoptr(hf_err) e = NULL;
	for (got = 1; got > 0 && e == NULL;)
		e = hf_zstd_more(z, back, 100000, &got);
	CHECK_ERR_TEXT(hf_steal(e), HF_ECORRUPT, "cut");
	REQUIRE_OK(hf_zstd_begin(z, (struct hf_bytes){in, 100}));
	CHECK_ERR(hf_zstd_more(z, back, 100, &got), HF_ECORRUPT);
}
