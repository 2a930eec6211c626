/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * With the SHA instructions of x86 the rounds are ours, twice in one function, so that the two
 * streams' instructions can overlap. Elsewhere libcrypto does one after the other.
 */
#include "codec/sha256_lanes.h"

#include <endian.h>
#include <pthread.h>

#include "codec/sha256.h"
#include "codec/sha256_x86.h"

enum { BLOCK = 64 };

struct hf_lane {
	struct hf_sha256 *slow; /* in use when the processor cannot; else NULL */
	uint32_t state[8];      /* in the order that hf_sha256_x86() wants */
	uint64_t len;           /* bytes added */
	uint8_t part[BLOCK];    /* len % BLOCK of them wait here */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_fast; /* written once */

static void
look(void)
{
	is_fast = hf_sha256_x86_works();
}

static void
begin(struct hf_lane *l)
{
	/* The initial value of FIPS 180-4 as F E B A, H G D C. */
	static const uint32_t first[8] = {0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667,
		0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372};

	memcpy(l->state, first, sizeof first);
	l->len = 0;
}

struct hf_lane *
hf_lane_new(void)
{
	struct hf_lane *l = hf_new(struct hf_lane);

	pthread_once(&once, look);
	if (!is_fast)
		l->slow = hf_sha256_new();
	begin(l);
	return l;
}

void
hf_lane_free(struct hf_lane *l)
{
	if (l == NULL)
		return;
	hf_sha256_free(l->slow);
	free(l);
}

/* Completes the block that waits, if there is one; what is left of `in` begins at a block. */
static void
fill_part(struct hf_lane *l, struct hf_bytes *in)
{
	size_t have = l->len % BLOCK, take = BLOCK - have;

	if (have == 0 || in->len == 0)
		return;
	if (take > in->len)
		take = in->len;
	memcpy(l->part + have, in->p, take);
	l->len += take;
	in->p += take;
	in->len -= take;
	if (have + take == BLOCK)
		hf_sha256_x86(l->state, l->part, 1);
}

static void
keep_part(struct hf_lane *l, struct hf_bytes in)
{
	if (in.len > 0)
		memcpy(l->part, in.p, in.len);
	l->len += in.len;
}

static void
skip_blocks(struct hf_lane *l, struct hf_bytes *in, size_t n)
{
	in->p += n * BLOCK;
	in->len -= n * BLOCK;
	l->len += n * BLOCK;
}

void
hf_lanes_add(struct hf_lane *a, struct hf_bytes in_a, struct hf_lane *b, struct hf_bytes in_b)
{
	if (a->slow != NULL) {
		hf_sha256_add(a->slow, in_a);
		hf_sha256_add(b->slow, in_b);
		return;
	}
	fill_part(a, &in_a);
	fill_part(b, &in_b);
	size_t n_a = in_a.len / BLOCK, n_b = in_b.len / BLOCK, both = n_a < n_b ? n_a : n_b;

	if (both > 0) {
		hf_sha256_x86_two(a->state, in_a.p, b->state, in_b.p, both);
		skip_blocks(a, &in_a, both);
		skip_blocks(b, &in_b, both);
	}
	if (n_a > both) {
		hf_sha256_x86(a->state, in_a.p, n_a - both);
		skip_blocks(a, &in_a, n_a - both);
	}
	if (n_b > both) {
		hf_sha256_x86(b->state, in_b.p, n_b - both);
		skip_blocks(b, &in_b, n_b - both);
	}
	/* Whoever has not filled its waiting block has nothing left. */
	keep_part(a, in_a);
	keep_part(b, in_b);
}

static void
put_be32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof v);
}

struct hf_id
hf_lane_end(struct hf_lane *l)
{
	static const uint8_t place[8] = {3, 2, 7, 6, 1, 0, 5, 4}; /* of A to H in the state */
	uint64_t bits = l->len * 8;
	size_t have = l->len % BLOCK;
	struct hf_id id;

	if (l->slow != NULL)
		return hf_sha256_end(l->slow);
	l->part[have++] = 0x80;
	if (have > BLOCK - 8) {
		memset(l->part + have, 0, BLOCK - have);
		hf_sha256_x86(l->state, l->part, 1);
		have = 0;
	}
	memset(l->part + have, 0, BLOCK - 8 - have);
	put_be32(l->part + BLOCK - 8, (uint32_t)(bits >> 32));
	put_be32(l->part + BLOCK - 4, (uint32_t)bits);
	hf_sha256_x86(l->state, l->part, 1);
	for (size_t i = 0; i < 8; i++)
		put_be32(id.b + 4 * i, l->state[place[i]]);
	begin(l);
	return id;
}
