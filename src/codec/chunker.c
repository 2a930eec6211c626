/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/chunker.h"

#include <assert.h>

enum {
	DEG = 53,
	SHIFT = DEG - 8,
	WINDOW = HF_CHUNK_WINDOW,
};

static const uint64_t SPLIT_MASK = (1 << 20) - 1;

struct hf_chunker {
	uint64_t out[256]; /* the fingerprint of a byte and 63 zero bytes after it */
	uint64_t mod
		[256]; /* what the top 8 bits become when they are shifted out, and themselves */
};

/* a * x^8 + byte, mod p, for a of a lower degree than p. */
static uint64_t
append(uint64_t a, uint8_t byte, hf_poly p)
{
	for (int bit = 7; bit >= 0; bit--) {
		a = a << 1 | (byte >> bit & 1);
		if (a >> DEG & 1)
			a ^= p;
	}
	return a;
}

struct hf_chunker *
hf_chunker_new(hf_poly p)
{
	struct hf_chunker *c = hf_new(struct hf_chunker);

	assert(p >> DEG == 1);
	for (unsigned b = 0; b < 256; b++) {
		uint64_t h = append(0, (uint8_t)b, p);

		for (int i = 1; i < WINDOW; i++)
			h = append(h, 0, p);
		c->out[b] = h;
		c->mod[b] = append((uint64_t)b << SHIFT, 0, p) | (uint64_t)b << DEG;
	}
	return c;
}

void
hf_chunker_free(struct hf_chunker *c)
{
	free(c);
}

static inline uint64_t
roll(const struct hf_chunker *c, uint64_t digest, uint8_t leaving, uint8_t coming)
{
	digest ^= c->out[leaving];
	return (digest << 8 | coming) ^ c->mod[digest >> SHIFT];
}

uint64_t
hf_chunker_digest(const struct hf_chunker *c, const uint8_t *p)
{
	uint64_t digest = 0;

	for (int i = -WINDOW; i < 0; i++)
		digest = roll(c, digest, 0, p[i]);
	return digest;
}

/* The first place in [from, to] to cut before, 0 if there is none. */
static size_t
search(const struct hf_chunker *c, const uint8_t *p, size_t from, size_t to)
{
	uint64_t digest = hf_chunker_digest(c, p + from);

	for (size_t i = from;; i++) {
		if ((digest & SPLIT_MASK) == 0)
			return i;
		if (i == to)
			return 0;
		digest = roll(c, digest, p[i - WINDOW], p[i]);
	}
}

size_t
hf_chunker_cut(const struct hf_chunker *c, struct hf_bytes buf, size_t from)
{
	size_t first = from < HF_CHUNK_MIN ? HF_CHUNK_MIN : from + 1;
	size_t last = buf.len < HF_CHUNK_MAX ? buf.len : HF_CHUNK_MAX;
	size_t cut = first <= last ? search(c, buf.p, first, last) : 0;

	return cut == 0 && last == HF_CHUNK_MAX ? HF_CHUNK_MAX : cut;
}
