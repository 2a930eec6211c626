/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast the codec layer is, beside a reference that is measured in the same run: the two take
 * turns, and the best time of each counts, so that what else the machine does matters little.
 *
 *	bench_codec [FILE]      FILE is what zstd gets to compress; else this program itself
 *
 * One line per primitive: name, size of one call, speed, and speed as a multiple of the reference.
 */
#include "codec/aead.h"
#include "codec/chunker.h"
#include "codec/kdf.h"
#include "codec/sha256.h"
#include "codec/sha256_many.h"
#include "codec/sweep.h"
#include "codec/zstd.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <time.h>
#include <zstd.h>

enum { ROUNDS = 7, DATA = 64 << 20, SLICE = 1 << 20 };

struct bench {
	uint8_t *in;                       /* DATA bytes, random */
	uint8_t *out;                      /* DATA bytes and what sealing and compressing add */
	uint8_t *text;                     /* SLICE bytes of a file */
	size_t n;                          /* bytes per call */
	struct hf_aead *aead, *plain_aead; /* the fastest; libcrypto's */
	struct hf_zstd *zstd;
	struct hf_chunker *chunker;
	size_t packed; /* length of the last frame */
	size_t looked; /* bytes that the chunker fingerprinted */
	struct hf_kdf kdf;
	unsigned threads;
	struct hf_many *many;
};

typedef void bench_fn(struct bench *b);

static double
seconds(bench_fn *fn, struct bench *b, unsigned calls)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = 0; i < calls; i++)
		fn(b);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
}

/* The best times per call of `fn` and `ref`, about 50 ms each per round. */
static void
measure(struct bench *b, bench_fn *fn, bench_fn *ref, double best[static 2])
{
	bench_fn *both[2] = {fn, ref};
	unsigned calls[2];

	for (int k = 0; k < 2; k++) {
		double once = seconds(both[k], b, 1);

		once = seconds(both[k], b, 1); /* the first one warmed up */
		calls[k] = once > 0.05 ? 1 : (unsigned)(0.05 / (once + 1e-8)) + 1;
		best[k] = once;
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int k = 0; k < 2; k++) {
			double t = seconds(both[k], b, calls[k]) / calls[k];

			best[k] = t < best[k] ? t : best[k];
		}
}

static void
report(struct bench *b, const char *name, bench_fn *fn, const char *ref_name, bench_fn *ref)
{
	double best[2];

	measure(b, fn, ref, best);
	printf("%-16s %8zu B %9.2f GB/s %8.2f x %s\n", name, b->n, (double)b->n / best[0] / 1e9,
		best[1] / best[0], ref_name);
	fflush(stdout);
}

static void
check(struct hf_err *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "bench_codec: %s\n", hf_err_text(e));
	exit(1);
}

static void
run_copy(struct bench *b)
{
	memcpy(b->out, b->in, b->n);
	__asm__ volatile("" ::: "memory");
}

static void
run_sha256(struct bench *b)
{
	memcpy(b->out, hf_sha256((struct hf_bytes){b->in, b->n}).b, HF_ID_LEN);
}

static void
run_sha256_plain(struct bench *b)
{
	SHA256(b->in, b->n, b->out);
}

enum { STRINGS = 48 }; /* of n bytes each */

static void
run_many(struct bench *b)
{
	struct hf_id id;
	void *tag;

	for (size_t i = 0; i < STRINGS; i++) {
		if (hf_many_is_full(b->many))
			hf_many_end(b->many, &id, &tag);
		hf_many_add(b->many, (struct hf_bytes){b->in + i * b->n, b->n}, NULL);
	}
	while (hf_many_end(b->many, &id, &tag))
		;
}

static void
run_many_plain(struct bench *b)
{
	for (size_t i = 0; i < STRINGS; i++)
		SHA256(b->in + i * b->n, b->n, b->out);
}

static void
run_seal(struct bench *b)
{
	hf_aead_seal(b->aead, (struct hf_bytes){b->in, b->n}, b->out);
}

static void
open_by(struct bench *b, struct hf_aead *aead)
{
	struct hf_bytes sealed = {b->out, b->n + HF_SEAL_OVERHEAD};

	if (!hf_aead_open(aead, sealed, b->out + DATA / 2))
		abort();
}

static void
run_open(struct bench *b)
{
	open_by(b, b->aead);
}

static void
run_seal_plain(struct bench *b)
{
	hf_aead_seal(b->plain_aead, (struct hf_bytes){b->in, b->n}, b->out);
}

static void
run_open_plain(struct bench *b)
{
	open_by(b, b->plain_aead);
}

static void
run_pack(struct bench *b)
{
	check(hf_zstd_pack(b->zstd, (struct hf_bytes){b->text, b->n}, b->out, &b->packed));
}

static void
run_pack_plain(struct bench *b)
{
	b->packed = ZSTD_compress(b->out, DATA, b->text, b->n, 3);
}

static void
run_unpack(struct bench *b)
{
	check(hf_zstd_unpack(
		b->zstd, (struct hf_bytes){b->out, b->packed}, b->out + DATA / 2, b->n));
}

static void
run_unpack_plain(struct bench *b)
{
	ZSTD_decompress(b->out + DATA / 2, b->n, b->out, b->packed);
}

static void
run_chunker(struct bench *b)
{
	b->looked = 0;
	for (size_t at = 0; DATA - at > HF_CHUNK_MIN;) {
		size_t rest = DATA - at < HF_CHUNK_MAX ? DATA - at : HF_CHUNK_MAX;
		size_t n = hf_chunker_cut(b->chunker, (struct hf_bytes){b->in + at, rest}, 0);

		n = n != 0 ? n : rest;
		b->looked += n - HF_CHUNK_MIN;
		at += n;
	}
}

static size_t
one_lane(const struct hf_chunker *c, const uint8_t *p, size_t from, size_t to)
{
	uint64_t digest = hf_chunker_digest(c, p + from);

	for (size_t i = from;; i++) {
		if ((digest & HF_SPLIT_MASK) == 0 || i == to)
			return i;
		digest = hf_chunker_roll(c, digest, p[i - HF_CHUNK_WINDOW], p[i]);
	}
}

static void
run_one_lane(struct bench *b)
{
	for (size_t at = 0; DATA - at > HF_CHUNK_MIN;) {
		size_t rest = DATA - at < HF_CHUNK_MAX ? DATA - at : HF_CHUNK_MAX;

		at += one_lane(b->chunker, b->in + at, HF_CHUNK_MIN, rest);
	}
}

static const uint8_t salt[HF_KDF_SALT] = "salt";

static void
run_scrypt(struct bench *b)
{
	check(hf_scrypt(&b->kdf, hf_str_bytes(hf_str("password")),
		(struct hf_bytes){salt, sizeof salt}, b->threads, b->out, HF_KEY_LEN));
}

static void
run_evp_scrypt(struct bench *b)
{
	if (EVP_PBE_scrypt("password", 8, salt, sizeof salt, b->kdf.n, b->kdf.r, b->kdf.p,
		    1 << 30, b->out, HF_KEY_LEN) != 1)
		abort();
}

static void
bench_scrypt(struct bench *b, uint64_t n, uint64_t p, unsigned threads)
{
	double best[2];

	b->kdf = (struct hf_kdf){n, 8, p};
	b->threads = threads;
	measure(b, run_scrypt, run_evp_scrypt, best);
	printf("scrypt           N=%llu r=8 p=%llu, %u threads %9.1f ms %8.2f x libcrypto's\n",
		(unsigned long long)n, (unsigned long long)p, threads, best[0] * 1e3,
		best[1] / best[0]);
	fflush(stdout);
}

static void
bench_zstd(struct bench *b)
{
	static const struct {
		const char *name;
		enum hf_compression mode;
	} modes[] = {
		{"zstd fastest", HF_COMPRESS_FASTEST},
		{"zstd auto", HF_COMPRESS_AUTO},
		{"zstd better", HF_COMPRESS_BETTER},
		{"zstd max", HF_COMPRESS_MAX},
	};
	static const size_t sizes[] = {1000, 16384, SLICE};

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
			b->n = sizes[s];
			b->zstd = hf_zstd_new(modes[m].mode);
			report(b, modes[m].name, run_pack, "ZSTD_compress(3)", run_pack_plain);
			run_pack(b);
			if (modes[m].mode == HF_COMPRESS_AUTO)
				report(b, "unzstd", run_unpack, "ZSTD_decompress()",
					run_unpack_plain);
			hf_zstd_free(b->zstd);
		}
}

static void
bench_seal(struct bench *b)
{
	static const size_t sizes[] = {100, 16384, SLICE};
	struct hf_key key = {{1}, {2}, {3}};

	b->aead = hf_aead_new(&key);
	b->plain_aead = hf_aead_new_of(&key, HF_AEAD_LIBCRYPTO);
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		b->n = sizes[s];
		report(b, "sha256", run_sha256, "SHA256()", run_sha256_plain);
		report(b, "seal", run_seal, "libcrypto", run_seal_plain);
		run_seal(b);
		report(b, "open", run_open, "libcrypto", run_open_plain);
	}
	hf_aead_free(b->aead);
	hf_aead_free(b->plain_aead);
}

static void
bench_many(struct bench *b)
{
	static const struct {
		const char *name;
		enum hf_many_way way;
	} ways[] = {
		{"sha256 many", HF_MANY_FASTEST},
		{"sha256 sixteen", HF_MANY_SIXTEEN},
		{"sha256 pairs", HF_MANY_PAIRS},
	};
	static const size_t sizes[] = {100, 16384, SLICE};

	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
			double best[2];

			b->n = sizes[s];
			b->many = hf_many_new_of(ways[w].way);
			if (b->many == NULL)
				continue;
			measure(b, run_many, run_many_plain, best);
			printf("%-16s %8zu B %9.2f GB/s %8.2f x SHA256()\n", ways[w].name, b->n,
				STRINGS * (double)b->n / best[0] / 1e9, best[1] / best[0]);
			fflush(stdout);
			hf_many_free(b->many);
		}
}

static void
bench_chunker(struct bench *b)
{
	size_t n;
	const struct hf_sweep *sweeps = hf_sweeps(&n);

	b->n = DATA;
	b->chunker = hf_chunker_new(0x3DA3358B4DC173);
	for (size_t i = 0; i < n; i++) {
		char name[32];
		double best[2];

		snprintf(name, sizeof name, "chunker %s", sweeps[i].name);
		b->chunker->sweep = &sweeps[i];
		measure(b, run_chunker, run_one_lane, best);
		printf("%-16s %8zu B %9.2f GB/s %8.2f x one lane   (%.2f GB/s looked at)\n",
			name, b->n, DATA / best[0] / 1e9, best[1] / best[0],
			(double)b->looked / best[0] / 1e9);
		fflush(stdout);
	}
	hf_chunker_free(b->chunker);
}

int
main(int argc, char **argv)
{
	struct bench b = {
		.in = malloc(DATA), .out = malloc(DATA + SLICE), .text = malloc(SLICE)};
	hf_autofd int fd = open(argc > 1 ? argv[1] : "/proc/self/exe", O_RDONLY | O_CLOEXEC);
	uint64_t x = 1;
	ssize_t n = 0;

	if (b.in == NULL || b.out == NULL || b.text == NULL || fd < 0)
		abort();
	for (size_t i = 0; i < DATA; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(b.in + i, &x, 8);
	}
	memset(b.out, 0, DATA + SLICE);
	for (size_t at = 0; at < SLICE; at += (size_t)n) { /* over and over if it is short */
		n = read(fd, b.text + at, SLICE - at);
		if (n == 0)
			n = lseek(fd, 0, SEEK_SET);
		if (n < 0)
			abort();
	}
	b.n = SLICE;
	report(&b, "memcpy", run_copy, "itself", run_copy);
	bench_seal(&b);
	bench_many(&b);
	bench_chunker(&b);
	bench_zstd(&b);
	bench_scrypt(&b, 32768, 1, 1);
	bench_scrypt(&b, 32768, 4, 1);
	bench_scrypt(&b, HF_KDF_DEFAULT.n, HF_KDF_DEFAULT.p, 1);
	bench_scrypt(&b, HF_KDF_DEFAULT.n, HF_KDF_DEFAULT.p, 0);
	bench_scrypt(&b, 131072, 1, 0);
	free(b.in);
	free(b.out);
	free(b.text);
	return 0;
}
