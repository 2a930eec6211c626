/* SPDX-License-Identifier: BSD-2-Clause */
/* Polynomials over GF(2), bit i for x^i: which of them make a fingerprint (restic-format 8.5). */
#include "codec/chunker.h"

#include <sys/random.h>

enum { DEG = 53 };

static int
degree(hf_poly p)
{
	return p == 0 ? -1 : 63 - __builtin_clzll(p);
}

static hf_poly
mod(hf_poly a, hf_poly p)
{
	int d = degree(p);

	for (int n = degree(a); n >= d; n = degree(a))
		a ^= p << (n - d);
	return a;
}

/* a * b mod p, for a and b of a lower degree than p. */
static hf_poly
mul_mod(hf_poly a, hf_poly b, hf_poly p)
{
	int d = degree(p);
	hf_poly sum = 0;

	for (; b != 0; b >>= 1) {
		if (b & 1)
			sum ^= a;
		a <<= 1;
		if (a >> d & 1)
			a ^= p;
	}
	return sum;
}

static hf_poly
gcd(hf_poly a, hf_poly b)
{
	while (b != 0) {
		hf_poly rest = mod(a, b);

		a = b;
		b = rest;
	}
	return a;
}

/* Ben-Or: x^(2^i) - x is the product of all irreducible polynomials whose degree divides i. */
bool
hf_poly_is_valid(hf_poly p)
{
	if (degree(p) != DEG)
		return false;
	hf_poly x = 2;
	hf_poly power = x;

	for (int i = 1; i <= DEG / 2; i++) {
		power = mul_mod(power, power, p);
		if (gcd(p, power ^ x) != 1)
			return false;
	}
	return true;
}

/* One in 26 or so of the candidates is irreducible. */
hf_poly
hf_poly_random(void)
{
	const hf_poly top = 1ULL << DEG;
	hf_poly p;

	do {
		if (getrandom(&p, sizeof p, 0) != sizeof p)
			abort();
		p = (p & (top - 1)) | top | 1;
	} while (!hf_poly_is_valid(p));
	return p;
}
