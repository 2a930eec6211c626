/* SPDX-License-Identifier: BSD-2-Clause */
/* Making and opening a repository, and its whole files: sealed on their way in, then proven. */
#include "repo/repo.h"

#include <pthread.h>

#include "base/host.h"
#include "base/io.h"
#include "codec/json.h"
#include "codec/sha256.h"
#include "repo/key.h"
#include "repo/raw.h"
#include "repo/repo_i.h"
#include "repo/window.h"
#include "store/early.h"

enum {
	DEFAULT_PACK_SIZE = 16 << 20,
	MIN_PACK_SIZE = 4 << 20,
	MAX_PACK_SIZE = 128 << 20,
	/*
	 * What is large among whole files are index files, in which hardly anything comes twice: a
	 * larger window makes them larger (by 7 % with the level's 2 MiB), and who reads them piece
	 * by piece needs memory for it.
	 */
	WINDOW_LOG = 16,
};

enum { MAX_SPARE = 16 };

struct hf_repo {
	struct hf_store *store; /* owned */
	struct hf_repo_options options;
	struct hf_windows *windows; /* owned */
	char *key_hint;             /* owned; options.key_hint points to it */
	struct hf_key key;
	struct hf_id key_id;
	struct hf_config config;
	pthread_mutex_t spare_lock;
	struct kit spare[MAX_SPARE]; /* kits that nobody uses */
	unsigned n_spare;
};

/* Takes `store`, also on failure. */
static struct hf_err *
repo_new(struct hf_store *store, const struct hf_repo_options *options, struct hf_repo **out)
{
	hf_autoptr(hf_repo) repo = hf_new(struct hf_repo);

	repo->store = store;
	repo->windows = hf_windows_new();
	pthread_mutex_init(&repo->spare_lock, NULL);
	if (options != NULL)
		repo->options = *options;
	if (repo->options.key_hint != NULL)
		repo->key_hint = hf_str_dup(hf_str(repo->options.key_hint));
	repo->options.key_hint = repo->key_hint;
	repo->options.config = (struct hf_bytes){NULL, 0};
	if (repo->options.pack_size == 0)
		repo->options.pack_size = DEFAULT_PACK_SIZE;
	if (repo->options.pack_size < MIN_PACK_SIZE)
		return hf_err(HF_EINVAL, "pack size is too small, the minimum is 4 MiB");
	if (repo->options.pack_size > MAX_PACK_SIZE)
		return hf_err(HF_EINVAL, "pack size is too large, the maximum is 128 MiB");
	*out = hf_steal(repo);
	return NULL;
}

static void
kit_clear(struct kit *k)
{
	hf_aead_free(k->aead);
	hf_zstd_free(k->zstd);
	*k = (struct kit){NULL, NULL};
}

struct kit
take_kit(struct hf_repo *repo)
{
	struct kit k = {NULL, NULL};

	pthread_mutex_lock(&repo->spare_lock);
	if (repo->n_spare > 0)
		k = repo->spare[--repo->n_spare];
	pthread_mutex_unlock(&repo->spare_lock);
	if (k.aead == NULL) {
		k = (struct kit){
			hf_aead_new(&repo->key), hf_zstd_new(repo->options.compression)};
		hf_zstd_window(k.zstd, WINDOW_LOG);
	}
	return k;
}

void
give_kit(struct hf_repo *repo, struct kit *k)
{
	pthread_mutex_lock(&repo->spare_lock);
	if (repo->n_spare < MAX_SPARE) {
		repo->spare[repo->n_spare++] = *k;
		*k = (struct kit){NULL, NULL};
	}
	pthread_mutex_unlock(&repo->spare_lock);
	kit_clear(k);
}

void
hf_repo_free(struct hf_repo *repo)
{
	if (repo == NULL)
		return;
	hf_store_free(repo->store);
	hf_windows_free(repo->windows);
	for (unsigned i = 0; i < repo->n_spare; i++)
		kit_clear(&repo->spare[i]);
	pthread_mutex_destroy(&repo->spare_lock);
	hf_key_clear(&repo->key);
	free(repo->key_hint);
	free(repo);
}

struct hf_store *
hf_repo_store(const struct hf_repo *repo)
{
	return repo->store;
}

void
hf_repo_set_store(struct hf_repo *repo, struct hf_store *wrapped)
{
	repo->store = wrapped;
}

struct hf_windows *
hf_repo_windows(const struct hf_repo *repo)
{
	return repo->windows;
}

const struct hf_config *
hf_repo_config(const struct hf_repo *repo)
{
	return &repo->config;
}

const struct hf_repo_options *
hf_repo_opts(const struct hf_repo *repo)
{
	return &repo->options;
}

const struct hf_key *
hf_repo_key(const struct hf_repo *repo)
{
	return &repo->key;
}

const struct hf_id *
hf_repo_key_id(const struct hf_repo *repo)
{
	return &repo->key_id;
}

static void
write_config(struct hf_buf *out, const struct hf_config *c)
{
	struct hf_jout o = {.buf = out};
	hf_auto(hf_buf) poly = HF_BUF_MAX(32);

	hf_buf_addf(&poly, "%llx", (unsigned long long)c->polynomial);
	hf_jout_object(&o);
	hf_jout_key(&o, "version");
	hf_jout_u64(&o, c->version);
	hf_jout_key(&o, "id");
	hf_jout_id(&o, &c->id);
	hf_jout_key(&o, "chunker_polynomial");
	hf_jout_str(&o, hf_bytes_str(hf_buf_bytes(&poly)));
	hf_jout_object_end(&o);
}

static void
read_polynomial(struct hf_json *j, hf_poly *out)
{
	struct hf_str s = hf_json_str(j);

	*out = 0;
	if (s.len == 0 || s.len > 16)
		return; /* 0 is no valid polynomial, which the caller says */
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0) {
			*out = 0;
			return;
		}
		*out = *out << 4 | (hf_poly)digit;
	}
}

static struct hf_err *
parse_config(struct hf_bytes json, struct hf_config *out)
{
	hf_auto(hf_buf) scratch = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	struct hf_config c = {0};
	struct hf_json j;
	struct hf_str key;

	hf_json_init(&j, json, &scratch);
	hf_json_object(&j);
	while (hf_json_key(&j, &key)) {
		if (hf_json_key_is(key, "version"))
			c.version = (unsigned)hf_json_u64(&j, UINT32_MAX);
		else if (hf_json_key_is(key, "id"))
			c.id = hf_json_id(&j);
		else if (hf_json_key_is(key, "chunker_polynomial"))
			read_polynomial(&j, &c.polynomial);
		else
			hf_json_skip(&j);
	}
	HF_TRY(hf_json_end(&j));
	if (c.version < 1 || c.version > 2)
		return hf_err(HF_ECORRUPT, "unsupported repository version %u", c.version);
	if (!hf_poly_is_valid(c.polynomial))
		return hf_err(HF_ECORRUPT, "invalid chunker polynomial");
	*out = c;
	return NULL;
}

struct hf_err *
unseal(struct kit *k, struct hf_buf *sealed, struct hf_bytes *plain)
{
	if (sealed->len < HF_SEAL_OVERHEAD)
		return hf_err(HF_ECORRUPT, "the file is too short");
	uint8_t *at = sealed->p + HF_SEAL_OVERHEAD / 2;
	if (!hf_aead_open(k->aead, hf_buf_bytes(sealed), at))
		return hf_err(HF_ECORRUPT, "ciphertext verification failed");
	*plain = (struct hf_bytes){at, sealed->len - HF_SEAL_OVERHEAD};
	return NULL;
}

struct hf_err *
how_packed(
	const struct hf_repo *repo, enum hf_kind kind, struct hf_bytes plain, bool *is_packed)
{
	*is_packed = kind != HF_CONFIG && repo->config.version >= 2 && plain.len > 0 &&
		     plain.p[0] != '[' && plain.p[0] != '{';
	if (*is_packed && plain.p[0] != COMPRESSED)
		return hf_err(HF_ECORRUPT, "not supported encoding format");
	return NULL;
}

/* Appends the JSON that `plain`, the plaintext of a file, stands for. */
static struct hf_err *
decode(const struct hf_repo *repo, struct kit *k, enum hf_kind kind, struct hf_bytes plain,
	struct hf_buf *out)
{
	bool is_packed;

	HF_TRY(how_packed(repo, kind, plain, &is_packed));
	if (is_packed)
		return hf_zstd_unpack_all(
			k->zstd, (struct hf_bytes){plain.p + 1, plain.len - 1}, out);
	hf_buf_add(out, plain.p, plain.len);
	return hf_buf_ok(out);
}

struct hf_err *
hf_repo_load(struct hf_repo *repo, const struct hf_name *name, struct hf_buf *out)
{
	hf_auto(hf_buf) raw = HF_BUF_SPOOL(hf_raw_max(name->kind));
	struct hf_bytes plain;

	HF_TRY(hf_raw_load(repo->store, name, &raw));
	struct kit k = take_kit(repo);
	struct hf_err *e = unseal(&k, &raw, &plain);
	if (e == NULL)
		e = decode(repo, &k, name->kind, plain, out);
	give_kit(repo, &k);
	return hf_err_in(e, "%s", hf_name_text(name).s);
}

/* The bytes that go into sealed(): 0x02 and zstd in version 2, or the JSON as it is. */
static struct hf_err *
encode(const struct hf_repo *repo, struct kit *k, enum hf_kind kind, struct hf_bytes plain,
	struct hf_buf *out)
{
	size_t len;

	if (kind == HF_CONFIG || repo->config.version < 2) {
		hf_buf_add(out, plain.p, plain.len);
		return hf_buf_ok(out);
	}
	HF_TRY(hf_buf_resize(out, 1 + hf_zstd_bound(plain.len)));
	out->p[0] = COMPRESSED;
	HF_TRY(hf_zstd_pack(k->zstd, plain, out->p + 1, &len));
	out->len = 1 + len;
	return NULL;
}

/*
 * Broken memory or a bug in a library would otherwise be found when the file is needed. The
 * copy is opened, because opening works in place.
 */
static struct hf_err *
prove(const struct hf_repo *repo, struct kit *k, enum hf_kind kind, struct hf_bytes sealed,
	struct hf_bytes plain)
{
	hf_auto(hf_buf) copy = HF_BUF_SPOOL(sealed.len);
	hf_auto(hf_buf) back = HF_BUF_SPOOL(plain.len);
	struct hf_bytes inner;

	hf_buf_add(&copy, sealed.p, sealed.len);
	HF_TRY(hf_buf_ok(&copy));
	HF_TRY(unseal(k, &copy, &inner));
	HF_TRY(decode(repo, k, kind, inner, &back));
	if (!hf_bytes_eq(hf_buf_bytes(&back), plain))
		return hf_err(HF_EFATAL, "data mismatch");
	return NULL;
}

static struct hf_err *
seal(const struct hf_repo *repo, struct kit *k, enum hf_kind kind, struct hf_bytes plain,
	struct hf_buf *out)
{
	hf_auto(hf_buf) inner = HF_BUF_SPOOL(1 + hf_zstd_bound(plain.len));

	HF_TRY(encode(repo, k, kind, plain, &inner));
	HF_TRY(hf_buf_resize(out, inner.len + HF_SEAL_OVERHEAD));
	hf_aead_seal(k->aead, hf_buf_bytes(&inner), out->p);
	if (out->len > hf_raw_max(kind))
		return hf_err(HF_EFATAL, "the %s is too large: %zu bytes", hf_kind_text(kind),
			out->len);
	if (repo->options.no_extra_verify)
		return NULL;
	struct hf_err *e = prove(repo, k, kind, hf_buf_bytes(out), plain);
	if (e == NULL)
		return NULL;
	hf_autoptr(hf_err) cause = e;
	return hf_err(HF_EFATAL,
		"proving the %s before it is saved: %s; the memory or the processor of this "
		"computer may be faulty",
		hf_kind_text(kind), hf_err_text(cause));
}

struct hf_err *
hf_repo_seal(struct hf_repo *repo, enum hf_kind kind, struct hf_bytes plain, struct hf_buf *out)
{
	struct kit k = take_kit(repo);
	struct hf_err *e = seal(repo, &k, kind, plain, out);

	give_kit(repo, &k);
	return e;
}

struct hf_err *
hf_repo_save(struct hf_repo *repo, enum hf_kind kind, struct hf_bytes plain, struct hf_id *id)
{
	hf_auto(hf_buf) sealed = HF_BUF_SPOOL(hf_raw_max(kind));
	struct hf_name name = {.kind = kind};

	HF_TRY(hf_repo_seal(repo, kind, plain, &sealed));
	if (kind != HF_CONFIG)
		name.id = hf_sha256(hf_buf_bytes(&sealed));
	*id = name.id;
	return hf_err_in(hf_store_put(repo->store, &name, hf_buf_bytes(&sealed)),
		"saving the %s", hf_kind_text(kind));
}

struct hf_err *
hf_repo_seal_config(struct hf_repo *repo, unsigned version, struct hf_buf *out)
{
	hf_auto(hf_buf) json = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	struct hf_config config = repo->config;

	config.version = version;
	write_config(&json, &config);
	HF_TRY(hf_buf_ok(&json));
	return hf_repo_seal(repo, HF_CONFIG, hf_buf_bytes(&json), out);
}

static struct hf_err *
refuse_any(void *arg, const struct hf_name *name, uint64_t size)
{
	(void)arg;
	(void)size;
	return hf_err(HF_EEXISTS, "repository already contains %ss", hf_kind_text(name->kind));
}

/*
 * Makes the place of a repository, unless there is one. The config alone is no proof: a store may fail
 * to tell of it, or a retention rule may have deleted the old files of a repository, which its
 * config and keys are. What does not exist at all, such as a bucket, cannot be listed.
 */
static struct hf_err *
make_place(struct hf_store *store)
{
	struct hf_name config = {.kind = HF_CONFIG};
	const struct hf_early keys = hf_early_list(HF_KEY);
	const struct hf_early snapshots = hf_early_list(HF_SNAPSHOT);
	uint64_t size;
	struct hf_err *e = hf_store_stat(store, &config, &size);

	if (e == NULL)
		return hf_err(HF_EEXISTS, "config file already exists");
	HF_TRY(hf_err_ignore(e, HF_ENOTFOUND));
	HF_TRY(hf_store_create(store));
	hf_store_early(store, &keys, 1);
	hf_store_early(store, &snapshots, 1);
	HF_TRY(hf_store_list(store, HF_KEY, refuse_any, NULL));
	return hf_store_list(store, HF_SNAPSHOT, refuse_any, NULL);
}

/*
 * Without its config a key is of no use, but it would keep the next try from succeeding; beside the
 * config of somebody who was faster it would be a key that opens nothing.
 */
static void
undo_key(struct hf_store *store, const struct hf_id *id, const struct hf_err *why)
{
	struct hf_name key = {HF_KEY, *id}, config = {.kind = HF_CONFIG};
	uint64_t size;
	hf_autoptr(hf_err) e = NULL;

	if (hf_err_code(why) != HF_EEXISTS)
		e = hf_store_stat(store, &config, &size);
	if (hf_err_code(why) == HF_EEXISTS || (e != NULL && hf_err_code(e) == HF_ENOTFOUND))
		hf_err_free(hf_store_del(store, &key));
}

/* Saves the config of a new repository, and in no other one's place. */
static struct hf_err *
save_new_config(struct hf_repo *repo)
{
	hf_auto(hf_buf) sealed = HF_BUF_MAX(HF_MAX_CONFIG_FILE),
			there = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	const struct hf_name name = {.kind = HF_CONFIG, .is_new = true};

	HF_TRY(hf_repo_seal_config(repo, repo->config.version, &sealed));
	HF_TRY(hf_store_put(repo->store, &name, hf_buf_bytes(&sealed)));
	if (hf_store_promises(repo->store, HF_CREATES_IF_ABSENT))
		return NULL;
	/* Another one may have written his at the same time. What cannot be read now is ours, too. */
	hf_autoptr(hf_err) unknown = hf_store_get(repo->store, &name, 0, SIZE_MAX, &there);
	if (unknown != NULL || hf_bytes_eq(hf_buf_bytes(&there), hf_buf_bytes(&sealed)))
		return NULL;
	return hf_err(HF_EEXISTS, "config file already exists");
}

struct hf_err *
hf_repo_init(struct hf_store *store, const struct hf_secret *password, unsigned version,
	hf_poly polynomial, const struct hf_repo_options *options, struct hf_repo **out)
{
	hf_autoptr(hf_repo) repo = NULL;

	HF_TRY(repo_new(store, options, &repo));
	if (version < 1 || version > 2)
		return hf_err(HF_EINVAL, "there is no repository version %u", version);
	repo->config.version = version;
	repo->config.polynomial = polynomial != 0 ? polynomial : hf_poly_random();
	if (!hf_poly_is_valid(repo->config.polynomial))
		return hf_err(HF_EINVAL, "invalid chunker polynomial");
	hf_random(&repo->config.id, sizeof repo->config.id);
	hf_key_random(&repo->key);

	HF_TRY(make_place(store));
	hf_autofree char *user = hf_user_name(getuid());
	hf_autofree char *host = hf_host_name();
	HF_TRY(hf_key_create(store, &repo->key, password, user, host, &repo->key_id));
	struct hf_err *e = save_new_config(repo);
	if (e != NULL) {
		undo_key(store, &repo->key_id, e);
		return e;
	}
	*out = hf_steal(repo);
	return NULL;
}

static struct hf_err *
load_config(struct hf_store *store, struct hf_buf *sealed)
{
	struct hf_name name = {.kind = HF_CONFIG};
	struct hf_err *e = hf_store_get(store, &name, 0, SIZE_MAX, sealed);

	if (e != NULL && hf_err_code(e) == HF_ENOTFOUND) {
		hf_autoptr(hf_err) cause = e;

		return hf_err(HF_ENOREPO,
			"repository does not exist: unable to open config file: %s\n"
			"Is there a repository at the following location?\n%s",
			hf_err_text(cause), hf_store_url(store));
	}
	HF_TRY(hf_err_in(e, "loading the config"));
	if (sealed->len == 0)
		return hf_err(HF_ECORRUPT, "config file has zero size, invalid repository?");
	return NULL;
}

/* The config first: whether there is a repository at all costs one call, not three. */
struct hf_err *
hf_repo_open(struct hf_store *store, const struct hf_secret *password,
	const struct hf_repo_options *options, struct hf_repo **out)
{
	hf_autoptr(hf_repo) repo = NULL;
	hf_auto(hf_buf) sealed = HF_BUF_MAX(HF_MAX_CONFIG_FILE);
	struct hf_bytes json;

	HF_TRY(repo_new(store, options, &repo));
	if (options != NULL && options->config.len > 0)
		hf_buf_add(&sealed, options->config.p, options->config.len);
	else
		HF_TRY(load_config(store, &sealed));
	HF_TRY(hf_buf_ok(&sealed));
	HF_TRY(hf_key_search(
		store, password, repo->options.key_hint, &repo->key, &repo->key_id));
	struct kit k = take_kit(repo);
	struct hf_err *e = unseal(&k, &sealed, &json);
	give_kit(repo, &k);
	HF_TRY(hf_err_in(e, "config or key %.8s is damaged", hf_id_hex(&repo->key_id).s));
	HF_TRY(hf_err_in(parse_config(json, &repo->config), "config cannot be loaded"));
	*out = hf_steal(repo);
	return NULL;
}
