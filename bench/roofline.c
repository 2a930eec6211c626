/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's own limit for a backup or a check: the same bytes through nothing but the work that
 * no program can leave out, on all processors at once.
 *
 *	roofline backup FOLDER     read, SHA-256, zstd at our level, seal; per file, nothing stored
 *	roofline check FOLDER      what check --read-data must undo: open, unzstd, SHA-256
 *
 * Prints seconds of wall time and of processor time. `check` first makes the sealed pieces in
 * memory, which is not counted.
 */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/time.h"
#include "codec/aead.h"
#include "codec/sha256.h"
#include "codec/zstd.h"

enum { PIECE = 2 << 20, FDS = 64, MAX_THREADS = 64 };

struct piece {
	uint8_t *p; /* sealed(zstd(...)) */
	uint32_t len, raw;
};

static struct {
	char **files;
	size_t n, cap;
	bool is_check;
	struct piece *pieces;
	atomic_size_t n_pieces, next;
	size_t cap_pieces;
	struct hf_key key;
	atomic_uint_fast64_t bytes;
} all;

static int
on_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	if (all.n == all.cap) {
		all.cap = all.cap ? 2 * all.cap : 1024;
		all.files = hf_realloc_array(all.files, all.cap, sizeof all.files[0]);
	}
	all.files[all.n++] = hf_str_dup(hf_str(path));
	all.cap_pieces += 1 + (size_t)st->st_size / PIECE;
	return 0;
}

static void
keep(const uint8_t *sealed, size_t len, size_t raw)
{
	size_t at = atomic_fetch_add(&all.n_pieces, 1);

	all.pieces[at] =
		(struct piece){hf_realloc_array(NULL, len, 1), (uint32_t)len, (uint32_t)raw};
	memcpy(all.pieces[at].p, sealed, len);
}

/* Reads, hashes, compresses and seals one file after the other. */
static void *
forward(void *arg)
{
	hf_autoptr(hf_aead) aead = hf_aead_new(&all.key);
	hf_autoptr(hf_zstd) zstd = hf_zstd_new(HF_COMPRESS_AUTO);
	hf_autofree uint8_t *in = hf_realloc_array(NULL, PIECE, 1);
	hf_autofree uint8_t *out = hf_realloc_array(NULL, hf_zstd_bound(PIECE) + 32, 1);
	struct hf_id id;
	size_t i;

	while ((i = atomic_fetch_add(&all.next, 1)) < all.n) {
		hf_autofd int fd = open(all.files[i], O_RDONLY | O_CLOEXEC);
		size_t got = fd >= 0 ? PIECE : 0, len;

		while (got == PIECE) {
			if (hf_read_full(fd, in, PIECE, &got) != NULL || got == 0)
				break;
			id = hf_sha256((struct hf_bytes){in, got});
			if (hf_zstd_pack(zstd, (struct hf_bytes){in, got}, out + 16, &len) !=
				NULL)
				break;
			hf_aead_seal(aead, (struct hf_bytes){out + 16, len}, out);
			atomic_fetch_add(&all.bytes, got);
			if (all.is_check)
				keep(out, len + HF_SEAL_OVERHEAD, got);
		}
	}
	(void)id;
	return arg;
}

/* Opens, decompresses and hashes one piece after the other. */
static void *
backward(void *arg)
{
	hf_autoptr(hf_aead) aead = hf_aead_new(&all.key);
	hf_autoptr(hf_zstd) zstd = hf_zstd_new(HF_COMPRESS_AUTO);
	hf_autofree uint8_t *opened = hf_realloc_array(NULL, hf_zstd_bound(PIECE), 1);
	hf_autofree uint8_t *out = hf_realloc_array(NULL, PIECE, 1);
	size_t i;

	while ((i = atomic_fetch_add(&all.next, 1)) < all.n_pieces) {
		const struct piece *p = &all.pieces[i];
		struct hf_id whole = hf_sha256((struct hf_bytes){p->p, p->len}), id;

		if (!hf_aead_open(aead, (struct hf_bytes){p->p, p->len}, opened) ||
			hf_zstd_unpack(zstd, (struct hf_bytes){opened, p->len - 32}, out,
				p->raw) != NULL)
			abort();
		id = hf_sha256((struct hf_bytes){out, p->raw});
		(void)whole;
		(void)id;
	}
	return arg;
}

static void
run(void *(*fn)(void *))
{
	pthread_t t[MAX_THREADS];
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	atomic_store(&all.next, 0);
	for (long i = 0; i < n && i < MAX_THREADS; i++)
		if (pthread_create(&t[i], NULL, fn, NULL) != 0)
			abort();
	for (long i = 0; i < n && i < MAX_THREADS; i++)
		pthread_join(t[i], NULL);
}

static double
cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec) / 1e6;
}

int
main(int argc, char **argv)
{
	if (argc != 3 || nftw(argv[2], on_file, FDS, FTW_PHYS) != 0) {
		fprintf(stderr, "usage: roofline backup|check FOLDER\n");
		return 1;
	}
	all.is_check = strcmp(argv[1], "check") == 0;
	all.pieces = hf_alloc_(all.cap_pieces + 1, sizeof all.pieces[0]);
	hf_random(&all.key, sizeof all.key);
	if (all.is_check)
		run(forward);
	double wall = hf_clock(), used = cpu();

	run(all.is_check ? backward : forward);
	printf("%.3f %.3f\n", hf_clock() - wall, cpu() - used);
	return 0;
}
