/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The three primitives come from libcrypto, fetched and keyed once per struct hf_aead; per blob
 * only the IV changes. Sealing encrypts and authenticates piece by piece, so that the MAC reads
 * the ciphertext from the nearest cache.
 */
#include "codec/aead.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

enum {
	IV_LEN = 16,
	MAC_LEN = 16,
	PIECE = 16 << 10, /* a multiple of the AES block */
	IV_POOL = 16,     /* IVs per system call: one alone costs three times the MAC of it */
};

struct hf_aead {
	EVP_CIPHER_CTX *ctr; /* AES-256, keyed with `encrypt` */
	EVP_CIPHER_CTX *ecb; /* AES-128, keyed with `mac_k`; makes the pad of the MAC */
	EVP_MAC_CTX *poly;
	uint8_t mac_r[16];
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

struct hf_aead *
hf_aead_new(const struct hf_key *key)
{
	struct hf_aead *a = hf_new(struct hf_aead);
	EVP_MAC *poly = EVP_MAC_fetch(NULL, "POLY1305", NULL);

	must(poly != NULL);
	a->poly = EVP_MAC_CTX_new(poly);
	must(a->poly != NULL);
	EVP_MAC_free(poly);
	a->ctr = cipher("AES-256-CTR", key->encrypt);
	a->ecb = cipher("AES-128-ECB", key->mac_k);
	memcpy(a->mac_r, key->mac_r, sizeof a->mac_r);
	return a;
}

void
hf_aead_free(struct hf_aead *a)
{
	if (a == NULL)
		return;
	EVP_CIPHER_CTX_free(a->ctr); /* these wipe their keys */
	EVP_CIPHER_CTX_free(a->ecb);
	EVP_MAC_CTX_free(a->poly);
	explicit_bzero(a, sizeof *a);
	free(a);
}

/* Starts the MAC of one message: the key is r and, as the pad, AES_k(IV). */
static void
mac_begin(struct hf_aead *a, const uint8_t *iv)
{
	uint8_t key[32];
	int n;

	memcpy(key, a->mac_r, 16);
	must(EVP_EncryptUpdate(a->ecb, key + 16, &n, iv, IV_LEN));
	must(EVP_MAC_init(a->poly, key, sizeof key, NULL));
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
mac_end(struct hf_aead *a, uint8_t *mac)
{
	size_t n;

	must(EVP_MAC_final(a->poly, mac, &n, MAC_LEN));
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx"))
		clear_upper_halves();
#endif
}

/* Encrypts or decrypts, which is the same; with `mac`, the output goes to the MAC as well. */
static void
crypt_ctr(struct hf_aead *a, const uint8_t *iv, struct hf_bytes in, uint8_t *out, bool mac)
{
	must(EVP_EncryptInit_ex2(a->ctr, NULL, NULL, iv, NULL));
	for (size_t done = 0; done < in.len;) {
		size_t part = in.len - done < PIECE ? in.len - done : PIECE;
		int n;

		must(EVP_EncryptUpdate(a->ctr, out + done, &n, in.p + done, (int)part));
		if (mac)
			must(EVP_MAC_update(a->poly, out + done, part));
		done += part;
	}
}

void
hf_aead_seal_iv(
	struct hf_aead *a, const uint8_t iv[static 16], struct hf_bytes plain, uint8_t *out)
{
	memcpy(out, iv, IV_LEN);
	mac_begin(a, iv);
	crypt_ctr(a, iv, plain, out + IV_LEN, true);
	mac_end(a, out + IV_LEN + plain.len);
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
	mac_begin(a, iv);
	must(EVP_MAC_update(a->poly, text.p, text.len));
	mac_end(a, mac);
	if (CRYPTO_memcmp(mac, text.p + text.len, MAC_LEN) != 0)
		return false;
	crypt_ctr(a, iv, text, out, false);
	return true;
}
