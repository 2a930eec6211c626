/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The body of hf_romix() for one number of lanes. romix.c includes this file once per number,
 * with these macros set, and it takes them away again:
 *
 *	LANES      lanes side by side in one vector
 *	NAME(x)    x with a suffix of its own
 *	TARGET     attribute that allows the instructions wanted
 *	DIAG(a, b, c, d)  the shuffle that moves within each group of four words
 *
 * A Salsa20 block is held as its four diagonals, one vector each, so that a quarter-round works
 * on whole vectors and the step from columns to rows is a rotation of three of them.
 */

typedef uint32_t NAME(vec) __attribute__((vector_size(16 * LANES)));

struct NAME(block) {
	NAME(vec) row[4];
};

#define ROTL(x, n) ((x) << (n) | (x) >> (32 - (n)))

/* Salsa20/8 of x ^= in. */
TARGET static inline __attribute__((always_inline)) void
NAME(salsa)(struct NAME(block) * x, const struct NAME(block) * in)
{
	NAME(vec) a = x->row[0] ^ in->row[0];
	NAME(vec) b = x->row[1] ^ in->row[1];
	NAME(vec) c = x->row[2] ^ in->row[2];
	NAME(vec) d = x->row[3] ^ in->row[3];
	NAME(vec) t;
	const NAME(vec) a0 = a, b0 = b, c0 = c, d0 = d;

	for (int i = 0; i < 8; i += 2) {
		t = a + d;
		b ^= ROTL(t, 7);
		t = b + a;
		c ^= ROTL(t, 9);
		t = c + b;
		d ^= ROTL(t, 13);
		t = d + c;
		a ^= ROTL(t, 18);
		b = DIAG(b, 3, 0, 1, 2);
		c = DIAG(c, 2, 3, 0, 1);
		d = DIAG(d, 1, 2, 3, 0);
		t = a + b;
		d ^= ROTL(t, 7);
		t = d + a;
		c ^= ROTL(t, 9);
		t = c + d;
		b ^= ROTL(t, 13);
		t = b + c;
		a ^= ROTL(t, 18);
		b = DIAG(b, 1, 2, 3, 0);
		c = DIAG(c, 2, 3, 0, 1);
		d = DIAG(d, 3, 0, 1, 2);
	}
	x->row[0] = a + a0;
	x->row[1] = b + b0;
	x->row[2] = c + c0;
	x->row[3] = d + d0;
}

/* scryptBlockMix: the even results are the first half of the output, the odd ones the second. */
TARGET static void
NAME(mix)(const struct NAME(block) * in, struct NAME(block) * out, size_t r)
{
	struct NAME(block) x = in[2 * r - 1];

	for (size_t i = 0; i < r; i++) {
		NAME(salsa)(&x, &in[2 * i]);
		out[i] = x;
		NAME(salsa)(&x, &in[2 * i + 1]);
		out[r + i] = x;
	}
}

/* One vector put together from the same 16 bytes of each lane's memory. */
TARGET static inline __attribute__((always_inline)) NAME(vec)
	NAME(gather)(const struct quad *const v[LANES], size_t at)
{
	union {
		struct quad q[LANES];
		NAME(vec) v;
	} u;

	for (int l = 0; l < LANES; l++)
		u.q[l] = v[l][at];
	return u.v;
}

/* Block `i` of `in`, with what the lanes look up. */
TARGET static inline __attribute__((always_inline)) struct NAME(block) NAME(look_up)(
	const struct NAME(block) * in, const struct quad *const v[LANES], size_t i)
{
	struct NAME(block) b = in[i];

	for (int k = 0; k < 4; k++)
		b.row[k] ^= NAME(gather)(v, 4 * i + k);
	return b;
}

/* The same of in ^ v, where the blocks of `v` lie somewhere else for each lane. */
TARGET static void
NAME(mix_with)(const struct NAME(block) * in, const struct quad *const v[LANES],
	struct NAME(block) * out, size_t r)
{
	struct NAME(block) x = NAME(look_up)(in, v, 2 * r - 1);

	for (size_t i = 0; i < r; i++) {
		struct NAME(block) even = NAME(look_up)(in, v, 2 * i);

		NAME(salsa)(&x, &even);
		out[i] = x;
		struct NAME(block) odd = NAME(look_up)(in, v, 2 * i + 1);

		NAME(salsa)(&x, &odd);
		out[r + i] = x;
	}
}

/* Keeps the state of each lane in its memory. */
TARGET static void
NAME(keep)(const struct NAME(block) * x, struct quad *const v[LANES], size_t at, size_t r)
{
	for (size_t i = 0; i < 2 * r; i++) {
		union {
			struct NAME(block) b;
			struct quad q[4][LANES];
		} u = {.b = x[i]};

		for (int l = 0; l < LANES; l++)
			for (int k = 0; k < 4; k++)
				v[l][at + 4 * i + k] = u.q[k][l];
	}
}

/* Where each lane looks next: Integerify of its state, modulo N. */
TARGET static void
NAME(next)(const struct NAME(block) * x, struct quad *const v[LANES], uint64_t n, size_t r,
	const struct quad *out[LANES])
{
	const struct NAME(block) *last = &x[2 * r - 1];

	for (int l = 0; l < LANES; l++) {
		uint64_t j = last->row[0][4 * l] & (n - 1);

		out[l] = v[l] + j * 8 * r;
		for (size_t i = 0; i < 8 * r; i += 4)
			__builtin_prefetch(&out[l][i]);
	}
}

/* `x` holds the lanes' blocks, `y` is as large, `v` is the memory of each. */
TARGET static void
NAME(romix)(void *x, void *y, struct quad *const v[LANES], uint64_t n, size_t r)
{
	for (uint64_t i = 0; i < n; i += 2) {
		NAME(keep)(x, v, i * 8 * r, r);
		NAME(mix)(x, y, r);
		NAME(keep)(y, v, (i + 1) * 8 * r, r);
		NAME(mix)(y, x, r);
	}
	for (uint64_t i = 0; i < n; i += 2) {
		const struct quad *at[LANES];

		NAME(next)(x, v, n, r, at);
		NAME(mix_with)(x, at, y, r);
		NAME(next)(y, v, n, r, at);
		NAME(mix_with)(y, at, x, r);
	}
}

#undef LANES
#undef NAME
#undef TARGET
#undef DIAG
#undef ROTL
