/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two ways to the same bytes: with the widest vectors of x86 (ADR 18), or with libcrypto, fetched and
 * keyed once per struct hf_aead, where only the IV changes per blob. Sealing encrypts and authenticates
 * piece by piece, so that the MAC reads the ciphertext from the nearest cache.
 */
#include "codec/aead.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include "codec/aes_x86.h"
#include "codec/poly1305_x86.h"

enum {
	IV_LEN = 16,
	MAC_LEN = 16,
	PIECE = 16 << 10, /* a multiple of the AES block and of the step of the MAC */
	IV_POOL = 16,     /* IVs per system call: one alone costs three times the MAC of it */
};

/* The way with vectors. */
struct vectors {
	struct hf_aes_x86 encrypt; /* AES-256 */
	struct hf_aes_x86 mac_k;   /* AES-128; makes the pad of the MAC */
	struct hf_poly1305 mac_r;
};

/* The way with libcrypto. */
struct contexts {
	EVP_CIPHER_CTX *ctr; /* AES-256, keyed with `encrypt` */
	EVP_CIPHER_CTX *ecb; /* AES-128, keyed with `mac_k`; makes the pad of the MAC */
	EVP_MAC_CTX *poly;
	uint8_t mac_r[16];
};

struct hf_aead {
	bool has_vectors;
	union {
		struct vectors v;
		struct contexts c;
	};
	uint8_t pool[IV_POOL][IV_LEN];
	unsigned n_pool; /* how many of them are unused; they are the first ones */
};

void
hf_key_clear(struct hf_key *k)
{
	explicit_bzero(k, sizeof *k);
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum |= p[i];
	return sum == 0;
}

bool
hf_key_is_valid(const struct hf_key *k)
{
	return !is_zero(k->encrypt, sizeof k->encrypt) && !is_zero(k->mac_k, sizeof k->mac_k) &&
	       !is_zero(k->mac_r, sizeof k->mac_r);
}

/* ---- vectors ---- */

static void
vectors_init(struct vectors *v, const struct hf_key *key)
{
	hf_aes_x86_key_256(&v->encrypt, key->encrypt);
	hf_aes_x86_key_128(&v->mac_k, key->mac_k);
	hf_poly1305_x86_key(&v->mac_r, key->mac_r);
}

static void
vectors_end(const struct vectors *v, struct hf_poly1305 *mac_of, const uint8_t *iv,
	struct hf_bytes rest, uint8_t *mac)
{
	uint8_t pad[HF_AES_BLOCK];

	hf_aes_x86_block(&v->mac_k, iv, pad);
	hf_poly1305_x86_end(&v->mac_r, mac_of, rest.p, rest.len, pad, mac);
	explicit_bzero(pad, sizeof pad);
	explicit_bzero(mac_of, sizeof *mac_of);
}

static void
vectors_seal(const struct vectors *v, const uint8_t *iv, struct hf_bytes plain, uint8_t *out)
{
	struct hf_poly1305 sum;
	uint8_t counter[IV_LEN];

	memcpy(counter, iv, IV_LEN);
	hf_poly1305_x86_begin(&sum);
	for (; plain.len > PIECE; plain.p += PIECE, plain.len -= PIECE, out += PIECE) {
		hf_aes_x86_ctr(&v->encrypt, counter, plain.p, out, PIECE);
		hf_poly1305_x86_add(&v->mac_r, &sum, out, PIECE);
	}
	hf_aes_x86_ctr(&v->encrypt, counter, plain.p, out, plain.len);
	vectors_end(v, &sum, iv, (struct hf_bytes){out, plain.len}, out + plain.len);
}

static void
vectors_mac(const struct vectors *v, const uint8_t *iv, struct hf_bytes text, uint8_t *mac)
{
	struct hf_poly1305 sum;

	hf_poly1305_x86_begin(&sum);
	vectors_end(v, &sum, iv, text, mac);
}

static void
vectors_decrypt(const struct vectors *v, const uint8_t *iv, struct hf_bytes text, uint8_t *out)
{
	uint8_t counter[IV_LEN];

	memcpy(counter, iv, IV_LEN);
	hf_aes_x86_ctr(&v->encrypt, counter, text.p, out, text.len);
}

/* ---- libcrypto ---- */

/* What can fail here is memory for some hundred bytes, or a libcrypto that is not one. */
static void
must(int ok)
{
	if (ok != 1)
		abort();
}

static EVP_CIPHER_CTX *
cipher(const char *name, const uint8_t *key)
{
	EVP_CIPHER *type = EVP_CIPHER_fetch(NULL, name, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	must(type != NULL && ctx != NULL);
	must(EVP_EncryptInit_ex2(ctx, type, key, NULL, NULL));
	must(EVP_CIPHER_CTX_set_padding(ctx, 0));
	EVP_CIPHER_free(type); /* the context holds it */
	return ctx;
}

static void
contexts_init(struct contexts *c, const struct hf_key *key)
{
	EVP_MAC *poly = EVP_MAC_fetch(NULL, "POLY1305", NULL);

	must(poly != NULL);
	c->poly = EVP_MAC_CTX_new(poly);
	must(c->poly != NULL);
	EVP_MAC_free(poly);
	c->ctr = cipher("AES-256-CTR", key->encrypt);
	c->ecb = cipher("AES-128-ECB", key->mac_k);
	memcpy(c->mac_r, key->mac_r, sizeof c->mac_r);
}

static void
contexts_free(struct contexts *c)
{
	EVP_CIPHER_CTX_free(c->ctr); /* these wipe their keys */
	EVP_CIPHER_CTX_free(c->ecb);
	EVP_MAC_CTX_free(c->poly);
}

/* Starts the MAC of one message: the key is r and, as the pad, AES_k(IV). */
static void
mac_begin(struct contexts *c, const uint8_t *iv)
{
	uint8_t key[32];
	int n;

	memcpy(key, c->mac_r, 16);
	must(EVP_EncryptUpdate(c->ecb, key + 16, &n, iv, IV_LEN));
	must(EVP_MAC_init(c->poly, key, sizeof key, NULL));
	explicit_bzero(key, sizeof key);
}

/*
 * libcrypto's Poly1305 (3.0 at least) returns with the upper halves of the vector registers in use.
 * Until something clears them, each SSE instruction has to preserve them, and so waits for whoever
 * used its register before. Measured: SHA-256 of two lanes at 1.6 GB/s instead of 2.8, of one at 1.6
 * instead of 1.95.
 */
#if defined(__x86_64__)
__attribute__((target("avx"))) static void
clear_upper_halves(void)
{
	__builtin_ia32_vzeroupper();
}
#endif

static void
mac_end(struct contexts *c, uint8_t *mac)
{
	size_t n;

	must(EVP_MAC_final(c->poly, mac, &n, MAC_LEN));
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx"))
		clear_upper_halves();
#endif
}

/* Encrypts or decrypts, which is the same; with `mac`, the output goes to the MAC as well. */
static void
crypt_ctr(struct contexts *c, const uint8_t *iv, struct hf_bytes in, uint8_t *out, bool mac)
{
	must(EVP_EncryptInit_ex2(c->ctr, NULL, NULL, iv, NULL));
	for (size_t done = 0; done < in.len;) {
		size_t part = in.len - done < PIECE ? in.len - done : PIECE;
		int n;

		must(EVP_EncryptUpdate(c->ctr, out + done, &n, in.p + done, (int)part));
		if (mac)
			must(EVP_MAC_update(c->poly, out + done, part));
		done += part;
	}
}

/* ---- either ---- */

struct hf_aead *
hf_aead_new_of(const struct hf_key *key, enum hf_aead_way way)
{
	bool can = hf_aes_x86_works() && hf_poly1305_x86_works();

	if (way == HF_AEAD_VECTORS && !can)
		return NULL;
	struct hf_aead *a = hf_new(struct hf_aead);

	a->has_vectors = can && way != HF_AEAD_LIBCRYPTO;
	if (a->has_vectors)
		vectors_init(&a->v, key);
	else
		contexts_init(&a->c, key);
	return a;
}

struct hf_aead *
hf_aead_new(const struct hf_key *key)
{
	return hf_aead_new_of(key, HF_AEAD_FASTEST);
}

void
hf_aead_free(struct hf_aead *a)
{
	if (a == NULL)
		return;
	if (!a->has_vectors)
		contexts_free(&a->c);
	explicit_bzero(a, sizeof *a);
	free(a);
}

void
hf_aead_seal_iv(
	struct hf_aead *a, const uint8_t iv[static 16], struct hf_bytes plain, uint8_t *out)
{
	memcpy(out, iv, IV_LEN);
	if (a->has_vectors) {
		vectors_seal(&a->v, iv, plain, out + IV_LEN);
		return;
	}
	mac_begin(&a->c, iv);
	crypt_ctr(&a->c, iv, plain, out + IV_LEN, true);
	mac_end(&a->c, out + IV_LEN + plain.len);
}

void
hf_aead_seal(struct hf_aead *a, struct hf_bytes plain, uint8_t *out)
{
	const uint8_t *iv;

	do {
		if (a->n_pool == 0) {
			/* Up to 256 bytes come whole or not at all. */
			if (getrandom(a->pool, sizeof a->pool, 0) != sizeof a->pool)
				abort();
			a->n_pool = IV_POOL;
		}
		iv = a->pool[--a->n_pool];
	} while (is_zero(iv, IV_LEN)); /* which readers refuse */
	hf_aead_seal_iv(a, iv, plain, out);
}

bool
hf_aead_open(struct hf_aead *a, struct hf_bytes sealed, uint8_t *out)
{
	uint8_t mac[MAC_LEN], iv[IV_LEN];

	if (sealed.len < HF_SEAL_OVERHEAD || is_zero(sealed.p, IV_LEN))
		return false;
	struct hf_bytes text = {sealed.p + IV_LEN, sealed.len - HF_SEAL_OVERHEAD};

	memcpy(iv, sealed.p, IV_LEN); /* `out` may lie over it */
	if (a->has_vectors) {
		vectors_mac(&a->v, iv, text, mac);
	} else {
		mac_begin(&a->c, iv);
		must(EVP_MAC_update(a->c.poly, text.p, text.len));
		mac_end(&a->c, mac);
	}
	if (CRYPTO_memcmp(mac, text.p + text.len, MAC_LEN) != 0)
		return false;
	if (a->has_vectors)
		vectors_decrypt(&a->v, iv, text, out);
	else
		crypt_ctr(&a->c, iv, text, out, false);
	return true;
}
