/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lanes are independent, so the same instruction can work on two or four of them. The memory
 * of each lane is its own: what a lane looks up is one run of 128 * r bytes.
 */
#include "codec/romix.h"

#include "base/endian.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

/* Four words of one lane: a quarter of a Salsa20 block. */
struct quad {
	uint32_t w[4];
} __attribute__((aligned(16)));

/*
 * Every fourth row is not kept but made again from the one before when it is wanted: a quarter of
 * the memory for an eighth of the work. The rows kept lie close together.
 */
static inline bool
is_kept(uint64_t j)
{
	return j % 4 != 3;
}

static inline uint64_t
row_place(uint64_t j)
{
	return j / 4 * 3 + j % 4;
}

#define LANES   1
#define NAME(x) x##_1
#define TARGET
#define DIAG(v, a, b, c, d) __builtin_shufflevector(v, v, a, b, c, d)
#include "codec/romix_lanes.inc"

#if defined(__x86_64__)
#define LANES               1
#define NAME(x)             x##_1r
#define TARGET              __attribute__((target("avx512vl")))
#define DIAG(v, a, b, c, d) __builtin_shufflevector(v, v, a, b, c, d)
#include "codec/romix_lanes.inc"

#define LANES   2
#define NAME(x) x##_2
#define TARGET  __attribute__((target("avx2")))
#define DIAG(v, a, b, c, d)                                                                    \
	__builtin_shufflevector(v, v, a, b, c, d, 4 + a, 4 + b, 4 + c, 4 + d)
#include "codec/romix_lanes.inc"

#define LANES   4
#define NAME(x) x##_4
#define TARGET  __attribute__((target("avx512f")))
#define DIAG(v, a, b, c, d)                                                                    \
	__builtin_shufflevector(v, v, a, b, c, d, 4 + a, 4 + b, 4 + c, 4 + d, 8 + a, 8 + b,    \
		8 + c, 8 + d, 12 + a, 12 + b, 12 + c, 12 + d)
#include "codec/romix_lanes.inc"
#endif

typedef void romix_fn(void *x, void *y, void *s, struct quad *const *v, uint64_t n, size_t r);

struct choice {
	romix_fn *fn;
	unsigned lanes;
};

/* What this machine has for that many lanes. */
static struct choice
choose(unsigned n_lanes)
{
#if defined(__x86_64__)
	bool has_rotation = __builtin_cpu_supports("avx512vl");

	if (n_lanes > 2 && has_rotation)
		return (struct choice){romix_4, 4};
	if (n_lanes > 1 && __builtin_cpu_supports("avx2"))
		return (struct choice){romix_2, 2};
	if (has_rotation)
		return (struct choice){romix_1r, 1};
#endif
	(void)n_lanes;
	return (struct choice){romix_1, 1};
}

unsigned
hf_romix_lanes(void)
{
	return choose(HF_ROMIX_LANES_MAX).lanes;
}

/* The place of each word of a Salsa20 block: its diagonals one after the other. */
static const uint8_t order[16] = {0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11};

static void
import(const uint8_t *b, struct quad *x, unsigned lane, unsigned lanes, size_t r)
{
	for (size_t i = 0; i < 32 * r; i++)
		x[i / 4 * lanes + lane].w[i % 4] =
			hf_get_le32(b + 64 * (i / 16) + 4 * order[i % 16]);
}

static void export(const struct quad *x, uint8_t *b, unsigned lane, unsigned lanes, size_t r)
{
	for (size_t i = 0; i < 32 * r; i++)
		hf_put_le32(b + 64 * (i / 16) + 4 * order[i % 16],
			x[i / 4 * lanes + lane].w[i % 4]);
}

struct hf_err *
hf_romix(uint8_t *b, unsigned n_lanes, uint64_t n, uint64_t r)
{
	struct choice how = choose(n_lanes);
	size_t block = 128 * r;
	size_t per_lane = block * (n - n / 4);
	size_t size = per_lane * n_lanes + 5 * block * how.lanes;
	uint8_t *m = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		return hf_err(HF_EFATAL, "out of memory for %zu bytes of scrypt", size);
	/* Large pages, as the lookups go everywhere. */
	uint8_t *base = m + (HUGE_PAGE - (uintptr_t)m % HUGE_PAGE) % HUGE_PAGE;

	madvise(base, size, MADV_HUGEPAGE);
	struct quad *v[HF_ROMIX_LANES_MAX];
	struct quad *x = (struct quad *)(base + per_lane * n_lanes);
	struct quad *y = x + block / sizeof *x * how.lanes;
	struct quad *s = y + block / sizeof *x * how.lanes;

	/* A place that is left over does what the last lane does. */
	for (unsigned l = 0; l < how.lanes; l++) {
		unsigned same = l < n_lanes ? l : n_lanes - 1;

		v[l] = (struct quad *)(base + per_lane * same);
		import(b + block * same, x, l, how.lanes, r);
	}
	how.fn(x, y, s, v, n, r);
	for (unsigned l = 0; l < n_lanes; l++)
		export(x, b + block * l, l, how.lanes, r);
	explicit_bzero(x, 5 * block * how.lanes);
	munmap(m, size + HUGE_PAGE); /* the kernel wipes it before anybody else gets it */
	return NULL;
}
