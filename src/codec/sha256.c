/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcrypto looks an algorithm up by name at each SHA256(), which costs more than hashing a
 * small blob does (350 ns against 150). So it is fetched once per process and never let go: the
 * object is immutable and may be used from any thread.
 */
#include "codec/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

struct hf_sha256 {
	EVP_MD_CTX *ctx;
};

enum { HMAC_BLOCK = 64 }; /* bytes that SHA-256 takes at a time */

static void
fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL)
		abort();
}

/* What can fail below is memory for some hundred bytes, or a libcrypto that is not one. */
static void
must(int ok)
{
	if (ok != 1)
		abort();
}

struct hf_id
hf_sha256(struct hf_bytes b)
{
	struct hf_id id;

	pthread_once(&sha256_once, fetch);
	must(EVP_Digest(b.p, b.len, id.b, NULL, sha256, NULL));
	return id;
}

struct hf_sha256 *
hf_sha256_new(void)
{
	struct hf_sha256 *h = hf_new(struct hf_sha256);

	pthread_once(&sha256_once, fetch);
	h->ctx = EVP_MD_CTX_new();
	must(h->ctx != NULL);
	must(EVP_DigestInit_ex2(h->ctx, sha256, NULL));
	return h;
}

void
hf_sha256_add(struct hf_sha256 *h, struct hf_bytes b)
{
	must(EVP_DigestUpdate(h->ctx, b.p, b.len));
}

struct hf_id
hf_sha256_end(struct hf_sha256 *h)
{
	struct hf_id id;

	must(EVP_DigestFinal_ex(h->ctx, id.b, NULL));
	must(EVP_DigestInit_ex2(h->ctx, NULL, NULL));
	return id;
}

void
hf_sha256_free(struct hf_sha256 *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

/* The hash of a block of the key, with every byte changed by `pad`, and then of `b`. */
static struct hf_id
hash_padded(const uint8_t block[HMAC_BLOCK], uint8_t pad, struct hf_bytes b)
{
	hf_autoptr(hf_sha256) h = hf_sha256_new();
	uint8_t padded[HMAC_BLOCK];

	for (size_t i = 0; i < HMAC_BLOCK; i++)
		padded[i] = block[i] ^ pad;
	hf_sha256_add(h, (struct hf_bytes){padded, HMAC_BLOCK});
	hf_sha256_add(h, b);
	explicit_bzero(padded, sizeof padded);
	return hf_sha256_end(h);
}

struct hf_id
hf_hmac_sha256(struct hf_bytes key, struct hf_bytes b)
{
	uint8_t block[HMAC_BLOCK] = {0};
	struct hf_id id;

	if (key.len > HMAC_BLOCK) {
		id = hf_sha256(key);
		memcpy(block, id.b, HF_ID_LEN);
	} else if (key.len > 0) {
		memcpy(block, key.p, key.len);
	}
	id = hash_padded(block, 0x36, b);
	id = hash_padded(block, 0x5c, (struct hf_bytes){id.b, HF_ID_LEN});
	explicit_bzero(block, sizeof block);
	return id;
}
