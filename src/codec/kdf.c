/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scrypt is PBKDF2, then p independent lanes of ROMix, then PBKDF2 again. The lanes are dealt
 * out to threads, and in each thread several are computed side by side (codec/romix.h).
 */
#include "codec/kdf.h"

#include "base/group.h"
#include "base/host.h"
#include "codec/romix.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
	THREADS_MAX = 32,
	MEMORY_AT_ONCE = 64 << 20, /* no lanes are added beyond this, or an eighth of RAM */
};

struct hf_err *
hf_kdf_check(const struct hf_kdf *k)
{
	const uint64_t max = INT32_MAX;

	if (k->n < 2 || k->n > max || (k->n & (k->n - 1)) != 0)
		return hf_err(HF_ECORRUPT, "scrypt: N is not a power of two from 2 to 2^30");
	if (k->r < 1 || k->p < 1)
		return hf_err(HF_ECORRUPT, "scrypt: r or p is zero");
	if (k->r > max / 256 || k->p > max || k->r > max / 128 / k->p || k->r * k->p >= 1 << 30)
		return hf_err(HF_ECORRUPT, "scrypt: r or p is too large");
	if (k->n > max / 128 / k->r)
		return hf_err(HF_ECORRUPT, "scrypt: N is too large");
	return NULL;
}

struct work {
	const struct hf_kdf *k;
	uint8_t *b;        /* p blocks of 128 * r bytes */
	unsigned batch;    /* lanes taken at once */
	atomic_ulong next; /* the first lane that nobody has taken */
};

static struct hf_err *
mix_lanes(void *arg)
{
	struct work *w = arg;

	for (;;) {
		uint64_t lane = atomic_fetch_add(&w->next, w->batch);

		if (lane >= w->k->p)
			return NULL;
		unsigned n = w->k->p - lane < w->batch ? (unsigned)(w->k->p - lane) : w->batch;

		HF_TRY(hf_romix(w->b + lane * 128 * w->k->r, n, w->k->n, w->k->r));
	}
}

/* The others find no lane to take. */
static void
stop(void *arg)
{
	struct work *w = arg;

	atomic_store(&w->next, w->k->p);
}

/* Runs mix_lanes() on `threads` threads, of which this is one. */
static struct hf_err *
mix(struct work *w, unsigned threads)
{
	hf_autoptr(hf_group) g = hf_group_new(stop, w);

	for (unsigned i = 1; i < threads; i++) {
		struct hf_err *e = hf_group_go(g, "scrypt", mix_lanes, w);

		if (e != NULL) { /* then with those that there are */
			hf_err_free(e);
			break;
		}
	}
	struct hf_err *e = mix_lanes(w);

	if (e != NULL) {
		stop(w);
		return e;
	}
	return hf_group_wait(g);
}

/* What all lanes that are computed at the same time may take together, if that is enough for one. */
static uint64_t
memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long size = sysconf(_SC_PAGESIZE);
	uint64_t part = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 8 : 0;

	return part < MEMORY_AT_ONCE ? part : MEMORY_AT_ONCE;
}

/* How many threads, and how many lanes each of them takes at once. */
static unsigned
plan(const struct hf_kdf *k, unsigned threads, unsigned *batch)
{
	uint64_t fit = memory() / (128 * k->r * k->n);
	uint64_t lanes = hf_romix_lanes();

	if (threads == 0)
		threads = hf_cpus();
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (threads > k->p)
		threads = (unsigned)k->p;
	if (threads > fit)
		threads = fit > 0 ? (unsigned)fit : 1;
	uint64_t share = (k->p + threads - 1) / threads;

	if (lanes > share)
		lanes = share;
	if (lanes > fit / threads)
		lanes = fit >= threads ? fit / threads : 1;
	*batch = (unsigned)lanes;
	return threads;
}

static struct hf_err *
pbkdf2(struct hf_bytes password, struct hf_bytes salt, uint8_t *out, size_t len)
{
	static const char none[1] = "";
	const char *text = password.len > 0 ? (const char *)password.p : none;

	if (PKCS5_PBKDF2_HMAC(text, (int)password.len, salt.p, (int)salt.len, 1, EVP_sha256(),
		    (int)len, out) != 1)
		return hf_err(HF_EFATAL, "out of memory for scrypt");
	return NULL;
}

static struct hf_err *
scrypt(const struct hf_kdf *k, struct hf_bytes password, struct hf_bytes salt, unsigned threads,
	uint8_t *b, uint8_t *out, size_t out_len)
{
	struct work w = {.k = k, .b = b};
	size_t len = 128 * k->r * k->p;

	HF_TRY(pbkdf2(password, salt, b, len));
	threads = plan(k, threads, &w.batch);
	HF_TRY(mix(&w, threads));
	return pbkdf2(password, (struct hf_bytes){b, len}, out, out_len);
}

struct hf_err *
hf_scrypt(const struct hf_kdf *k, struct hf_bytes password, struct hf_bytes salt,
	unsigned threads, uint8_t *out, size_t out_len)
{
	HF_TRY(hf_kdf_check(k));
	if (password.len > INT_MAX || salt.len > INT_MAX || out_len > INT_MAX)
		return hf_err(HF_EINVAL, "scrypt: input or output too long");
	uint8_t *b = malloc(128 * k->r * k->p);

	if (b == NULL)
		return hf_err(HF_EFATAL, "out of memory for scrypt");
	struct hf_err *e = scrypt(k, password, salt, threads, b, out, out_len);

	explicit_bzero(b, 128 * k->r * k->p);
	free(b);
	return e;
}

struct hf_err *
hf_kdf_derive(const struct hf_kdf *k, struct hf_bytes password, struct hf_bytes salt,
	unsigned threads, struct hf_key *out)
{
	uint8_t bytes[HF_KEY_LEN];

	if (salt.len != HF_KDF_SALT)
		return hf_err(HF_ECORRUPT, "scrypt: salt of %zu bytes instead of %d", salt.len,
			HF_KDF_SALT);
	HF_TRY(hf_scrypt(k, password, salt, threads, bytes, sizeof bytes));
	memcpy(out->encrypt, bytes, 32);
	memcpy(out->mac_k, bytes + 32, 16);
	memcpy(out->mac_r, bytes + 48, 16);
	explicit_bzero(bytes, sizeof bytes);
	return NULL;
}
