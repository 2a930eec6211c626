/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Repositories made by hand, in memory: packs whose blobs, headers and lists may be as wrong as a
 * test wants them to be. All functions end the test when they cannot do their work.
 */
#ifndef HF_TESTS_UNIT_HANDMADE_H
#define HF_TESTS_UNIT_HANDMADE_H

#include "base/endian.h"
#include "codec/sha256.h"
#include "harness/test.h"
#include "repo/reader.h"
#include "store/mem.h"

/* The key set and the key file of the format description; the password is "geheim". */
static inline struct hf_key
made_key(void)
{
	struct hf_key key;

	for (uint8_t i = 0; i < 64; i++) {
		if (i < 32)
			key.encrypt[i] = i;
		else if (i < 48)
			key.mac_k[i - 32] = i;
		else
			key.mac_r[i - 48] = i;
	}
	return key;
}

static const char made_key_file[] =
	"{\"created\":\"2026-01-02T03:04:05.6Z\",\"username\":\"u\",\"hostname\":\"h\",\"kdf\":"
	"\"scrypt\",\"N\":1024,\"r\":8,\"p\":1,\"salt\":"
	"\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGx"
	"wdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==\",\"data\":"
	"\"QEFCQ0RFRkdISUpLTE1OTzK"
	"EkHkNzeJ35Ps9szdfYZ186kn/"
	"loR3GjEMQ6mNCFoUCwxzgp1vDBA36DIk55K8aOg1cKD7PFUQjZZQnNqmJTzVhJ"
	"e0Rt2B1RU0FijV6UQ1EjsxGBAHY5/"
	"Kt49WIF6+nT25EoApNrjXvVSr2UZmD5mjFvit6go+Cl8x5diCj2LP1u+fG"
	"VHNV0cILvtOyBdkGA==\"}";

/*
 * An empty repository with that key, which costs next to nothing to open (hf_repo_init() derives a key
 * for a sixth of a second). pack_size 0 is the default.
 */
static inline struct hf_repo *
made_repo_with_packs(struct hf_store *store, unsigned version, size_t pack_size)
{
	struct hf_repo_options o = {.pack_size = pack_size};
	hf_auto(hf_secret) password = {0};
	hf_auto(hf_buf) config = HF_BUF_MAX(1000);
	uint8_t sealed[1000];
	struct hf_key key = made_key();
	hf_autoptr(hf_aead) aead = hf_aead_new(&key);
	struct hf_bytes file = hf_str_bytes(hf_str(made_key_file));
	struct hf_name name = {HF_KEY, hf_sha256(file)};
	struct hf_repo *repo;

	REQUIRE_OK(hf_store_create(store));
	REQUIRE_OK(hf_store_put(store, &name, file));
	hf_buf_addf(&config,
		"{\"version\":%u,\"id\":\"%s\",\"chunker_polynomial\":\"3da3358b4dc173\"}",
		version, hf_id_hex(&name.id).s);
	hf_aead_seal(aead, hf_buf_bytes(&config), sealed);
	REQUIRE_OK(hf_store_put(store, &(struct hf_name){.kind = HF_CONFIG},
		(struct hf_bytes){sealed, config.len + HF_SEAL_OVERHEAD}));
	hf_secret_set(&password, hf_str_bytes(hf_str("geheim")));
	REQUIRE_OK(hf_repo_open(store, &password, &o, &repo));
	return repo;
}

static inline struct hf_repo *
made_repo(struct hf_store *store, unsigned version)
{
	return made_repo_with_packs(store, version, 0);
}

/* The hash of a text, for names of what does not exist. */
static inline struct hf_id
made_id_of(const char *text)
{
	return hf_sha256(hf_str_bytes(hf_str(text)));
}

/* A pack under construction: sealed bytes so far, and what they are. */
struct packing {
	struct hf_repo *repo;
	struct hf_buf file;
	struct hf_pack_entries entries;
};

static inline void
packing_clear(struct packing *p)
{
	hf_buf_clear(&p->file);
	hf_pack_entries_clear(&p->entries);
}

#define PACKING(p, r) hf_auto(packing) p = {.repo = (r), .file = HF_BUF_MAX(64 << 20)}

/* Seals `stored` behind what is there and lists it as that blob. */
static inline void
packing_raw(struct packing *p, struct hf_blob blob, struct hf_bytes stored, uint32_t raw_length)
{
	hf_autoptr(hf_aead) aead = hf_aead_new(hf_repo_key(p->repo));
	struct hf_pack_entry e = {
		blob, (uint32_t)p->file.len, (uint32_t)stored.len + 32, raw_length};

	REQUIRE_OK(hf_buf_resize(&p->file, p->file.len + e.length));
	hf_aead_seal(aead, stored, p->file.p + e.offset);
	hf_pack_entries_add(&p->entries, &e);
}

static inline struct hf_blob
packing_blob(struct packing *p, enum hf_blob_type type, struct hf_bytes plain, bool is_packed)
{
	struct hf_blob blob = {hf_sha256(plain), type};
	hf_autoptr(hf_zstd) z = hf_zstd_new(HF_COMPRESS_AUTO);
	hf_auto(hf_buf) packed = HF_BUF_MAX(64 << 20);

	if (!is_packed) {
		packing_raw(p, blob, plain, 0);
		return blob;
	}
	REQUIRE_OK(hf_buf_resize(&packed, hf_zstd_bound(plain.len)));
	REQUIRE_OK(hf_zstd_pack(z, plain, packed.p, &packed.len));
	packing_raw(p, blob, hf_buf_bytes(&packed), (uint32_t)plain.len);
	return blob;
}

static inline struct hf_blob
packing_text(struct packing *p, enum hf_blob_type type, const char *text, bool is_packed)
{
	return packing_blob(p, type, hf_str_bytes(hf_str(text)), is_packed);
}

/* Adds a header that lists `header`, stores the file under its hash and returns that. */
static inline struct hf_id
packing_put_as(struct packing *p, const struct hf_pack_entries *header)
{
	hf_autoptr(hf_aead) aead = hf_aead_new(hf_repo_key(p->repo));
	hf_auto(hf_buf) plain = HF_BUF_MAX(1 << 20);
	size_t blobs = p->file.len;

	hf_pack_header_add(&plain, header);
	REQUIRE_OK(hf_buf_resize(&p->file, blobs + plain.len + 36));
	hf_aead_seal(aead, hf_buf_bytes(&plain), p->file.p + blobs);
	hf_put_le32(p->file.p + p->file.len - 4, (uint32_t)plain.len + 32);
	struct hf_name name = {HF_PACK, hf_sha256(hf_buf_bytes(&p->file))};
	REQUIRE_OK(hf_store_put(hf_repo_store(p->repo), &name, hf_buf_bytes(&p->file)));
	return name.id;
}

static inline struct hf_id
packing_put(struct packing *p)
{
	return packing_put_as(p, &p->entries);
}

/* Stores an index file that lists one pack. */
static inline struct hf_id
made_index(
	struct hf_repo *repo, const struct hf_id *pack, const struct hf_pack_entries *entries)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(64 << 20);
	struct hf_index_pack one = {*pack, *entries};
	struct hf_id id;

	hf_index_json(&json, &one, 1);
	REQUIRE_OK(hf_buf_ok(&json));
	REQUIRE_OK(hf_repo_save(repo, HF_INDEX, hf_buf_bytes(&json), &id));
	return id;
}

/* Changes one bit of a stored file, but not its name. */
static inline void
flip(struct hf_store *store, enum hf_kind kind, const struct hf_id *id, size_t at)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
	struct hf_name name = {kind, *id};

	REQUIRE_OK(hf_store_get(store, &name, 0, SIZE_MAX, &b));
	REQUIRE(at < b.len);
	b.p[at] ^= 1;
	REQUIRE_OK(hf_store_put(store, &name, hf_buf_bytes(&b)));
}

static inline void
cut(struct hf_store *store, enum hf_kind kind, const struct hf_id *id, size_t len)
{
	hf_auto(hf_buf) b = HF_BUF_MAX(64 << 20);
	struct hf_name name = {kind, *id};

	REQUIRE_OK(hf_store_get(store, &name, 0, SIZE_MAX, &b));
	REQUIRE(len < b.len);
	REQUIRE_OK(hf_store_put(store, &name, (struct hf_bytes){b.p, len}));
}

#endif
